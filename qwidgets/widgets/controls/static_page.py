"""A plan as a page without any script: what GitHub, nbviewer or an untrusted notebook shows for the workbench.

It is the workbench's one screen, as far as it can be still: the list with a line of the heat map in each row, and the
bits of the tensor that deserves attention first.
"""

from typing import Any

import pandas as pd

from qwidgets.pictures import (
    BACKGROUNDS,
    LIMITS,
    BitRange,
    escaped,
    first_to_look_at,
    number_text,
    severity_of,
    strip,
    superscript,
    window_of,
)
from qwidgets.plan import Plan

MOST_ROWS = 400
LIST_HEIGHT = 400
LINE_HEIGHT = 12
COLUMNS = {
    "kind": "kind",
    "state": "state",
    "window": "window",
    "underflow_percent": "under %",
    "overflow_percent": "over %",
    "sqnr_db": "SQNR dB",
}


def page(plan: Plan) -> str:
    """The list, and the tensor to look at first; names are escaped."""
    table = plan.table()
    rows = f"<div style='max-height:{LIST_HEIGHT}px;overflow:auto'>{listed(plan, table)}</div>"
    return f"{heading(plan)}{rows}{looked_at(plan, table)}"


def heading(plan: Plan) -> str:
    """What is shown, in a line."""
    drafts = len(plan.drafts)
    return (
        f"<p><b>{escaped(plan.network)}</b> · {len(plan)} tensors · {drafts} draft{'' if drafts == 1 else 's'}"
        " · a picture of it: the workbench itself needs a running kernel</p>"
    )


def listed(plan: Plan, table: pd.DataFrame) -> str:
    """A row for each tensor, with its line of the heat map; the middle of a long list is left out."""
    cells = {COLUMNS[column]: [_cell(column, value) for value in table[column]] for column in COLUMNS}
    shown = pd.DataFrame(cells, index=[escaped(name) for name in table.index])
    if plan.calibration is not None and len(plan):
        counts = {name: plan.calibration[name].msb_counts() for name in plan}
        windows = {name: (window_of(plan[name]), window_of(plan.committed[name])) for name in plan}
        bits = BitRange.over(list(counts.values()), [window for both in windows.values() for window in both])
        title = superscript(f"2^{bits.top} … 2^{bits.bottom}") + (" and below" if bits.bottom_is_open else "")
        left_out = set(plan.names[MOST_ROWS // 2 : -MOST_ROWS // 2]) if len(plan) > MOST_ROWS else set()
        shown[title] = [
            ""
            if name in left_out
            else f'<img alt="bits" src="{strip(counts[name], bits, *windows[name], LINE_HEIGHT)}">'
            for name in plan
        ]
    return str(shown.to_html(escape=False, max_rows=MOST_ROWS, border=0))


def looked_at(plan: Plan, table: pd.DataFrame) -> str:
    """The tensor that deserves attention first, why, and its bits."""
    if plan.calibration is None or not len(plan):
        return ""
    name, why = first_to_look_at(table)
    bits = plan.calibration[name]._repr_html_()
    return f"<p>Look first at <b>{escaped(name)}</b>: {escaped(why)}.</p>{bits}"


def _cell(column: str, value: Any) -> str:
    """A cell as HTML; a figure that deserves attention has a background and a sign."""
    if column == "window":
        return superscript(escaped(value))
    if column not in LIMITS:
        return escaped(value)
    text = number_text(value, "dB").removesuffix(" dB") if column == "sqnr_db" else number_text(value)
    severity = severity_of(column, value)
    if not severity:
        return text
    return f'<b style="background:{BACKGROUNDS[severity]}">{text}{" !" if severity == "severe" else ""}</b>'
