"""The strip under the head of the workbench: what the formats do to the network's result, drafted, committed, in float.

It shows what was measured and holds the buttons that ask for more; it measures nothing itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets

from qwidgets.plan import Plan
from qwidgets.session import SHARES, Checked, Pace, Result, ResultsCache, Throttle
from qwidgets.widgets.controls import BACKGROUNDS, View, close_tree, drawing, escaped, guarded, number_text, shortened

SECONDS_BETWEEN_PACES = 0.2
MOST_COSTLY = 4
NAME_LENGTH = 44
WORTH_A_BAR = 0.5
"""Seconds that a job takes before a bar is worth its place in the eye."""


class ResultStrip(View):
    """What was measured of a plan.

    Parameters
    ----------
    on_validate, on_sensitivity, on_stop
        Called when the person asks for that.
    on_select
        Called with the name of a tensor that the person wants to see.
    lack
        What is missing to measure anything; "" if nothing is.
    """

    def __init__(
        self,
        on_validate: Callable[[], None],
        on_sensitivity: Callable[[], None],
        on_stop: Callable[[], None],
        on_select: Callable[[str], None],
        lack: str,
    ) -> None:
        super().__init__()
        self._on = {"Validate": on_validate, "Sensitivity": on_sensitivity, "Stop": on_stop}
        self._validate = self._button("Validate", "check-square-o", "Run float and quantized side by side on all data")
        self._sensitivity = self._button(
            "Sensitivity", "bar-chart", "Quantize each tensor alone, and leave each out alone: which cost most?"
        )
        self._stop = self._button("Stop", "stop", "End what is being measured; what is known so far stays")
        self._stop.disabled = True
        self._lack = lack
        for button in (self._validate, self._sensitivity):
            button.disabled = bool(lack)
            if lack:
                button.tooltip = lack
        self._bar = ipywidgets.IntProgress(layout=ipywidgets.Layout(width="120px", visibility="hidden"))
        place = ipywidgets.Layout(flex="1 1 120px", min_width="0")  # it has its place also when empty
        self._words = ipywidgets.HTML(layout=place)
        self._words.add_class("qw-quiet")
        self._words.add_class("qw-one-line")
        self._pace: Pace | None = None
        self._paced = Throttle(self._show_pace, SECONDS_BETWEEN_PACES)
        self._figures = ipywidgets.HTML()
        self._on_select = on_select
        self._verdict = ipywidgets.HTML()
        self._costly = ipywidgets.HBox()
        self._costly.layout.flex_flow = "row wrap"
        self._told: Checked | None = None
        buttons = ipywidgets.HBox([self._validate, self._sensitivity, self._stop, self._bar, self._words])
        buttons.add_class("qw-bar")
        self.add_class("qw-results")
        check = ipywidgets.VBox([self._verdict, self._costly])
        found = ipywidgets.HBox([self._figures, check])
        found.layout.flex_flow = "row wrap"
        for part, basis in ((self._figures, "520px"), (check, "300px")):
            part.layout.flex, part.layout.min_width = f"1 1 {basis}", "0"
        self.fill(buttons, found)
        if lack:
            self._figures.value = f"<span class='qw-quiet'>{escaped(lack)}.</span>"

    def show(self, plan: Plan, measured: ResultsCache, evaluate: str) -> None:
        """Show what is known of a plan as it stands; ``evaluate`` is the name of the user's function, or ""."""
        if not self._lack or evaluate:
            self._figures.value = figures(states(plan, measured), evaluate)

    def show_check(self, checked: Checked | None, plan: Plan) -> None:
        """Show what the short check of the last proposal said, and the tensors that cost most, to be clicked."""
        if checked is None:
            return
        self._verdict.value = verdict(checked, holds=checked.holds_for(plan))
        if checked is self._told:
            return
        self._told = checked
        for old in self._costly.children:
            close_tree(old)
        costly = [(str(name), float(gain)) for name, gain in checked.health.rows.head(MOST_COSTLY).items()]
        self._costly.children = [self._row_button(name, gain) for name, gain in costly]

    def show_pace(self, pace: Pace | None) -> None:
        """Show how far the job at hand is; None when there is none."""
        self._pace = pace
        if self.is_open:
            self._paced()
        else:
            self._show_pace()  # as it is closed, it costs nothing, and no timer keeps it in memory

    def _attach(self) -> None:
        """It observes nothing."""

    def _detach(self) -> None:
        self._paced.cancel()

    def _static_page(self) -> str:
        return str(self._figures.value)

    @drawing
    def _show_pace(self) -> None:
        pace = self._pace
        self._stop.disabled = pace is None
        self._words.value = "" if pace is None else escaped(pace)
        self._bar.layout.visibility = "visible" if pace and pace.total and pace.seconds > WORTH_A_BAR else "hidden"
        if pace is not None and pace.total:
            self._bar.max, self._bar.value = pace.total, pace.done

    @guarded
    def _clicked(self, button: ipywidgets.Button) -> None:
        self._on[button.description]()

    def _row_button(self, name: str, alone_db: float) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description=f"{shortened(name, NAME_LENGTH)} · {alone_db:.1f} dB",
            tooltip=f"Select {name}: with its format alone, the output has an SQNR of {alone_db:.1f} dB",
            layout=ipywidgets.Layout(width="auto"),
        )
        button.on_click(lambda _: self._selected(name))
        return button

    @guarded
    def _selected(self, name: str) -> None:
        self._on_select(name)

    def _button(self, description: str, icon: str, tooltip: str) -> ipywidgets.Button:
        width = "112px" if len(description) > 8 else "94px"
        button = ipywidgets.Button(
            description=description, icon=icon, tooltip=tooltip, layout=ipywidgets.Layout(width=width)
        )
        button.on_click(self._clicked)
        return button


def verdict(checked: Checked, *, holds: bool) -> str:
    """The word of the check, what it stands on, and whether it still holds, as HTML."""
    health = checked.health
    colour = {"fine": "none", "look": BACKGROUNDS["notable"], "broken": BACKGROUNDS["severe"]}[health.word]
    since = "" if holds else " · <b>formats have changed since</b>"
    full = ", ".join(escaped(str(row)) for row in health.overflows.head(MOST_COSTLY).index)
    sums = f" · <b>sums do not fit their accumulators</b>: {full}" if full else ""
    costly = "<br><span class='qw-quiet'>these cost most, click to select:</span>" if len(health.rows) else ""
    return (
        f"<div role='status' aria-live='polite'>short check <span class='qw-word' style='background:"
        f"{colour}'><b>{health.word}</b></span> "
        f"output SQNR {number_text(health.sqnr_db, 'dB')} "
        f"<span class='qw-quiet'>on {escaped(checked.over)}{since}</span>"
        f"{sums}{costly}</div>"
    )


@dataclass(frozen=True)
class State:
    """What is known of one column: the draft, the commit, or the network in float."""

    name: str
    exists: bool
    result: Result | None = None
    number: float | None = None
    beside: float | None = None
    """What the commit gives on the samples that the draft was measured on, where the commit shows another figure."""


def states(plan: Plan, measured: ResultsCache) -> tuple[State, State, State]:
    """Give what is known of the draft, the commit and the network in float."""
    drafts = bool(plan.drafts)
    draft, commit = (measured.best(plan, drafted=drafted) for drafted in (True, False))
    few = measured.few(plan, drafted=False)
    apart = draft is not None and commit is not None and draft.over != commit.over and few is not None
    return (
        State(
            "draft",
            drafts,
            draft if drafts else None,
            measured.number(plan, drafted=True) if drafts else None,
            few.quantized if apart and few is not None and draft is not None and few.over == draft.over else None,
        ),
        State("committed", True, commit, measured.number(plan, drafted=False)),
        State("float", True, commit or draft, measured.in_float),
    )


def figures(columns: Sequence[State], evaluate: str) -> str:
    """The results as an HTML table; what is not known yet is an ellipsis."""
    known = next((column.result for column in columns if column.result is not None), None)
    lines: list[tuple[str, list[str]]] = []
    if evaluate:
        lines.append((escaped(evaluate), [_told(c, c.number, lambda value: f"{value:.4g}") for c in columns]))
    elif known is not None and known.metric:
        share = known.metric in SHARES
        lines.append(
            (
                escaped(SHARES.get(known.metric, known.metric)),
                [_told(c, _metric(c), _share if share else lambda value: f"{value:.4g}") for c in columns],
            )
        )
    lines.append(("output SQNR", [_sqnr(c) for c in columns]))
    lines.append(("SQNR measured on" if evaluate else "measured on", [_over(c, evaluate) for c in columns]))
    head = "".join(f"<th scope='col'>{column.name}</th>" for column in columns)
    rows = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for name, cells in lines
    )
    return (
        "<div role='status' aria-live='polite'><table class='qw-figures qw-result'>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _metric(column: State) -> float | None:
    if column.result is None:
        return None
    return column.result.in_float if column.name == "float" else column.result.quantized


def _told(column: State, value: float | None, text: Callable[[float], str]) -> str:
    if not column.exists:
        return "<span class='qw-quiet'>no draft</span>"
    return "…" if value is None else f"<b>{text(value)}</b>"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if value < 1 else "100 %"


def _sqnr(column: State) -> str:
    if column.name == "float" or not column.exists:
        return "<span class='qw-quiet'>–</span>"
    return "…" if column.result is None else number_text(column.result.sqnr_db, "dB")


def _over(column: State, evaluate: str) -> str:
    if not column.exists or column.result is None:
        return ""
    if column.name == "float" and evaluate:
        return ""
    mark = f"{column.name}, " if column.name == "draft" else ""
    beside = ""
    if column.beside is not None and not math.isnan(column.beside) and not evaluate:
        shown = _share(column.beside) if column.result.metric in SHARES else f"{column.beside:.4g}"
        beside = f"; the commit gives {shown} there"
    return f"<span class='qw-quiet'>{mark}{escaped(column.result.over)}{beside}</span>"
