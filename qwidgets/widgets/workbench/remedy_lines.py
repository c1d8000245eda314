"""What helps a tensor, line by line: what it is, what it does, what it costs, and a button that drafts or puts back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets

from qwidgets.pictures import superscript
from qwidgets.plan import Plan
from qwidgets.remedies import Finding, Findings, Remedy
from qwidgets.widgets.controls import button, escaped, set_traits

TAKE, BACK = "Take", "Put back"


class RemedyLines:
    """Some lines that are filled anew with the remedies of a finding; those that are not needed are hidden.

    Parameters
    ----------
    plan
        What remedies change.
    lines
        How many there are at most.
    on_press
        Called with a remedy whose button was pressed.

    Attributes
    ----------
    widget
        What to show.
    """

    def __init__(self, plan: Plan, lines: int, on_press: Callable[[Remedy], None]) -> None:
        self._plan, self._on_press = plan, on_press
        self._remedies: tuple[Remedy, ...] = ()
        self._why = ipywidgets.HTML()
        self._buttons = [button(TAKE, partial(self._on_click, place)) for place in range(lines)]
        for each in self._buttons:
            each.layout.width = "72px"
        self._texts = [ipywidgets.HTML() for _ in range(lines)]
        self._lines = [ipywidgets.HBox(pair) for pair in zip(self._buttons, self._texts, strict=True)]
        self.widget = ipywidgets.VBox([self._why, *self._lines])
        self.widget.add_class("qw-remedies")
        self._why.add_class("qw-one-line")
        self.clear()

    def show(self, finding: Finding, findings: Findings, *, holds: bool) -> None:
        """Fill the lines; ``holds`` if the formats are still those that were measured."""
        self._remedies = finding.remedies[: len(self._lines)]
        since = "" if holds else "<b>before the last change</b>, "
        none = "" if finding.remedies else f" <b>Nothing helps by itself</b>; {finding.tried} changes were tried."
        why = escaped(superscript(finding.why))
        set_traits(self._why, value=f"<span title='{why}'>{since}why: {why}.{none}</span>")
        set_traits(self.widget.layout, display=None)
        for place, line in enumerate(self._lines):
            set_traits(line.layout, display=None if place < len(self._remedies) else "none")
        for control, text, remedy in zip(self._buttons, self._texts, self._remedies, strict=False):
            taken = remedy.is_taken_in(self._plan)
            step_of_others = remedy.found is not None and not (taken or remedy.holds_for(self._plan))
            set_traits(
                control,
                description=BACK if taken else TAKE,
                disabled=step_of_others or (remedy.found is not None and taken),
                tooltip=_tooltip(remedy, taken),
            )
            set_traits(text, value=_text(findings, remedy))

    def clear(self) -> None:
        """Show nothing."""
        self._remedies = ()
        set_traits(self.widget.layout, display="none")

    def _on_click(self, place: int, _: Any) -> None:
        if place < len(self._remedies):
            self._on_press(self._remedies[place])


def take_or_put_back(plan: Plan, remedy: Remedy) -> None:
    """Take a remedy, or put back what it changed where it was taken.

    Raises
    ------
    PlanError
        As `Plan.take` and `Plan.put_back`.
    """
    taken = remedy.found is None and remedy.is_taken_in(plan)
    (plan.put_back if taken else plan.take)(remedy)


def _tooltip(remedy: Remedy, taken: bool) -> str:
    if remedy.found is not None:
        return "Done; Undo takes it back" if taken else "Commit what this step found"
    return f"Draft what was there before: {_listed(remedy.before)}" if taken else f"Draft {_listed(remedy.formats)}"


def _listed(formats: Any) -> str:
    named = [f"{name}: {fmt or 'float'}" for name, fmt in formats.items()]
    return ", ".join(named[:2]) + (f" and {len(named) - 2} more" if named[2:] else "")


def _text(findings: Findings, remedy: Remedy) -> str:
    price = f" <span class='qw-quiet'>· {escaped(remedy.price)}</span>" if remedy.price else ""
    return f"{escaped(superscript(remedy.title))}: <b>{escaped(findings.effect(remedy))}</b>{price}"
