"""The bit heat map of a plan as it stands: painted, and as an inline picture of a page."""

import base64

from qwidgets.pictures import heat_picture
from qwidgets.pictures.heat_picture import BitRange, Window
from qwidgets.tuning import Format, PlanState


def picture(plan: PlanState) -> str:
    """The bit heat map, all windows as they are now."""
    if plan.calibration is None or not len(plan):
        return ""
    pixels, bits = paint(plan)
    data = base64.b64encode(heat_picture.to_png(pixels)).decode()
    below = " and below" if bits.bottom_is_open else ""
    columns = f"a column per power of two from 2^{bits.top} to 2^{bits.bottom}{below}"
    return f'<img alt="Bit heat map: a row per tensor, {columns}" src="data:image/png;base64,{data}">'


def paint(plan: PlanState, height: int = 8) -> tuple[heat_picture.Pixels, BitRange]:
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
