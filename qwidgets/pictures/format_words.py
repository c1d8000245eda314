"""A format in words, short enough for a cell of a table."""

from qwidgets.formats import AccumulatorFormat, FixedPoint, PerChannel
from qwidgets.tuning import Format, NumberFormat


def format_text(fmt: Format) -> str:
    """Give sign, word length and window, and the rounding and overflow where they are not the usual ones.

    Examples
    --------
    >>> format_text(FixedPoint(8, 3)), format_text(FixedPoint(8, 8, False, "half_even", "wrap"))
    ('signed 8, 2^3 … 2^-3', 'unsigned 8, 2^-1 … 2^-8, half_even, wraps')
    >>> format_text(PerChannel(8, (3, 5)))
    'signed 8, 2^3 … 2^-5, 2 channels'
    """
    return "float" if fmt is None else ", ".join(parts(fmt))


def parts(fmt: NumberFormat) -> list[str]:
    """Give the same one by one: sign and word length, window, and what else there is to say."""
    word = f"{'signed' if fmt.signed else 'unsigned'} {fmt.word_length}"
    if isinstance(fmt, AccumulatorFormat):
        return [word, fmt.window]
    usual = FixedPoint()
    found = [word, f"2^{fmt.msb} … 2^{fmt.lsb}"]
    if isinstance(fmt, PerChannel):
        found.append(f"{len(fmt)} channel{'s' if len(fmt) != 1 else ''}")
    if fmt.rounding != usual.rounding:
        found.append(fmt.rounding)
    if fmt.overflow != usual.overflow:
        found.append("wraps")
    return found
