"""What the formats do to the network's result, in words: the draft, the commit, and the network in float.

Pure functions from what a session measured to HTML. What is not known yet is an ellipsis.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwidgets.plan import Plan
from qwidgets.session import Checked, Result, ResultsCache
from qwidgets.validation import SHARES
from qwidgets.widgets.controls import BACKGROUNDS, escaped, number_text

MOST_COSTLY = 4
SIGNS = {"fine": "✓", "look": "!", "broken": "✗"}
"""Beside the colour, for those who see none."""


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


def line(columns: Sequence[State], evaluate: str) -> str:
    """The metric of float, commit and draft in one line; of a network without one, the output's SQNR.

    Parameters
    ----------
    columns
        What :func:`states` gave.
    evaluate
        The name of the user's function, or "".
    """
    draft, commit, in_float = columns
    name, text, value = _measure(columns, evaluate)
    shown = [in_float, commit] if name else [commit]
    parts = [f"{each.name} {_told(each, value(each), text)}" for each in shown]
    if draft.exists:
        parts.append(f"draft {_told(draft, value(draft), text)}{_change(value(draft), _beside(columns, value), text)}")
    return f"<span class='qw-quiet'>{escaped(name or 'output SQNR')}</span> {' &ensp; '.join(parts)}"


def figures(columns: Sequence[State], evaluate: str) -> str:
    """All results, as an HTML table."""
    lines: list[tuple[str, list[str]]] = []
    name, text, value = _measure(columns, evaluate)
    if name:
        lines.append((escaped(name), [_told(column, value(column), text) for column in columns]))
    lines.append(("output SQNR", [_sqnr(column) for column in columns]))
    lines.append(("SQNR measured on" if evaluate else "measured on", [_over(c, evaluate) for c in columns]))
    head = "".join(f"<th scope='col'>{column.name}</th>" for column in columns)
    rows = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for name, cells in lines
    )
    return (
        "<div role='status' aria-live='polite'><table class='qw-figures qw-result'>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def word(checked: Checked, *, holds: bool) -> str:
    """The word of the short check, as HTML; ``holds`` if the formats are still those that were checked."""
    health = checked.health
    colour = {"fine": "none", "look": BACKGROUNDS["notable"], "broken": BACKGROUNDS["severe"]}[health.word]
    since = "" if holds else " <span class='qw-quiet'>(before the last change)</span>"
    return f"<span class='qw-word' style='background:{colour}'>{SIGNS[health.word]} <b>{health.word}</b></span>{since}"


def verdict(checked: Checked, *, holds: bool) -> str:
    """The word of the check, what it stands on, and whether it still holds, as HTML."""
    health = checked.health
    since = "" if holds else " · <b>formats have changed since</b>"
    full = ", ".join(escaped(str(row)) for row in health.overflows.head(MOST_COSTLY).index)
    sums = f" · <b>sums do not fit their accumulators</b>: {full}" if full else ""
    costly = (
        "<br><span class='qw-quiet'>these cost most, click to select; the tab Remedies says what would help:</span>"
        if len(health.rows)
        else ""
    )
    return (
        f"<div role='status' aria-live='polite'>short check {word(checked, holds=True)} "
        f"output SQNR {number_text(health.sqnr_db, 'dB')} "
        f"<span class='qw-quiet'>on {escaped(checked.over)}{since}</span>"
        f"{sums}{costly}</div>"
    )


Text = Callable[[float], str]
Value = Callable[[State], float | None]


def _measure(columns: Sequence[State], evaluate: str) -> tuple[str, Text, Value]:
    """The name of the network's measure ("" where it has none), how it is written, and where it stands."""
    if evaluate:
        return evaluate, _plain, lambda column: column.number
    known = next((column.result for column in columns if column.result is not None), None)
    if known is not None and known.metric:
        share = known.metric in SHARES
        return SHARES.get(known.metric, known.metric), _share if share else _plain, _metric
    return "", lambda value: number_text(value, "dB"), lambda c: None if c.result is None else c.result.sqnr_db


def _metric(column: State) -> float | None:
    if column.result is None:
        return None
    return column.result.in_float if column.name == "float" else column.result.quantized


def _beside(columns: Sequence[State], value: Value) -> float | None:
    """What the draft is compared with: the commit, on the same samples where that is known."""
    draft, commit, _ = columns
    return draft.beside if draft.beside is not None else value(commit)


def _change(draft: float | None, commit: float | None, text: Text) -> str:
    if draft is None or commit is None or math.isnan(draft - commit) or text(draft) == text(commit):
        return ""
    return f" <span class='qw-quiet'>{'▲' if draft > commit else '▼'} {text(abs(draft - commit))}</span>"


def _told(column: State, value: float | None, text: Text) -> str:
    if not column.exists:
        return "<span class='qw-quiet'>no draft</span>"
    return "…" if value is None else f"<b>{text(value)}</b>"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if value < 1 else "100 %"


def _plain(value: float) -> str:
    return f"{value:.4g}"


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
