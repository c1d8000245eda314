"""The commits, the newest first: what changed, from what to what, when, by whom, and why."""

from qwidgets.tuning import Commit, Format
from qwidgets.widgets.controls import escaped
from qwidgets.widgets.workbench.page_panel import PagePanel
from qwidgets.widgets.workbench.panel import register_panel

MOST_CHANGES = 12


@register_panel("History")
class HistoryPanel(PagePanel):
    """The history of a plan."""

    def _text(self) -> str:
        return history_page(self.plan.history)


def history_page(history: tuple[Commit, ...]) -> str:
    """The commits as HTML, the newest first."""
    if not history:
        return "<span class='qw-quiet'>Nothing was committed yet.</span>"
    return "".join(_entry(commit) for commit in reversed(history))


def _entry(commit: Commit) -> str:
    listed = list(commit.changes.items())
    lines = [f"{escaped(name)}: {_text(old)} → {_text(new)}" for name, (old, new) in listed[:MOST_CHANGES]]
    if len(listed) > MOST_CHANGES:
        lines.append(f"and {len(listed) - MOST_CHANGES} more")
    note = escaped(commit.note) or "<i>without a note</i>"
    tensors = f"{len(listed)} tensor{'' if len(listed) == 1 else 's'}"
    return (
        f"<details><summary><b>{note}</b> <span class='qw-quiet'>{tensors} · {escaped(commit.who)}"
        f" · {escaped(commit.when.replace('T', ' '))}</span></summary>{'<br>'.join(lines)}</details>"
    )


def _text(fmt: Format) -> str:
    return "float" if fmt is None else escaped(str(fmt))
