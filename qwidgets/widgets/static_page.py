"""A plan as a page without any script: what GitHub, nbviewer or an untrusted notebook shows for the workbench."""

import base64

from qwidgets.plan import Plan
from qwidgets.planning.plan_state import Format
from qwidgets.widgets import heat_picture, style
from qwidgets.widgets.heat_picture import BitRange, Window

MOST_ROWS = 60
COLUMNS = {
    "kind": "kind",
    "state": "state",
    "window": "window",
    "underflow_percent": "underflow %",
    "overflow_percent": "overflow %",
    "sqnr_db": "SQNR dB",
}


def page(plan: Plan) -> str:
    """The heat map as an inline picture, and the table; names are escaped."""
    return f"{heading(plan)}{picture(plan)}{table(plan)}"


def heading(plan: Plan) -> str:
    """What is shown, in a line."""
    drafts = len(plan.drafts)
    return (
        f"<p><b>{style.escaped(plan.network)}</b> · {len(plan)} tensors · {drafts} draft{'' if drafts == 1 else 's'}"
        " · a picture of it: the workbench itself needs a running kernel</p>"
    )


def table(plan: Plan) -> str:
    """The plan's table; the middle of a long one is left out."""
    shown = plan.table()[list(COLUMNS)].rename(columns=COLUMNS)
    return str(shown.to_html(escape=True, max_rows=MOST_ROWS, float_format="{:.3g}".format, na_rep="–"))


def picture(plan: Plan) -> str:
    """The bit heat map, all windows as they are now."""
    if plan.calibration is None or not len(plan):
        return ""
    pixels, bits = paint(plan)
    data = base64.b64encode(heat_picture.png(pixels)).decode()
    below = " and below" if bits.bottom_is_open else ""
    columns = f"a column per power of two from 2^{bits.top} to 2^{bits.bottom}{below}"
    return f'<img alt="Bit heat map: a row per tensor, {columns}" src="data:image/png;base64,{data}">'


def paint(plan: Plan, height: int = 8) -> tuple[heat_picture.Pixels, BitRange]:
    """Paint all rows of a plan."""
    assert plan.calibration is not None
    counts = [plan.calibration[name].msb_counts() for name in plan]
    windows = [window_of(plan[name]) for name in plan]
    committed = [window_of(plan.committed[name]) for name in plan]
    bits = BitRange.over(counts, [*windows, *committed])
    rows = [
        heat_picture.paint_row(heat_picture.levels(bits.counts(series)), bits, window, before, height)
        for series, window, before in zip(counts, windows, committed, strict=True)
    ]
    return heat_picture.stacked(rows), bits


def window_of(fmt: Format) -> Window:
    """The edges of a format's window; None for float, and for a format that has no window of its own."""
    return (fmt.msb, fmt.lsb) if fmt and hasattr(fmt, "msb") and hasattr(fmt, "lsb") else None
