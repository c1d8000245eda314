"""A format in words, short enough for a cell of a table."""

from qwidgets.accumulator_format import AccumulatorFormat
from qwidgets.fixed_point import FixedPoint
from qwidgets.planning.plan_state import Format


def written(fmt: Format) -> str:
    """Give sign, word length and window, and the rounding and overflow where they are not the usual ones.

    Examples
    --------
    >>> written(FixedPoint(8, 3)), written(FixedPoint(8, 8, signed=False, rounding="half_even", overflow="wrap"))
    ('signed 8, 2^3 … 2^-3', 'unsigned 8, 2^-1 … 2^-8, half_even, wraps')
    """
    if fmt is None:
        return "float"
    if isinstance(fmt, AccumulatorFormat):
        return str(fmt)
    usual = FixedPoint()
    parts = [f"{'signed' if fmt.signed else 'unsigned'} {fmt.word_length}", fmt.window]
    if fmt.rounding != usual.rounding:
        parts.append(fmt.rounding)
    if fmt.overflow != usual.overflow:
        parts.append("wraps")
    return ", ".join(parts)
