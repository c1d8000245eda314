"""Windows moved as they are, or made longer at their lower end, by whole bits."""

import dataclasses

from qwidgets.errors import FormatError
from qwidgets.formats.fixed_point import MAX_WORD_LENGTH, FixedPoint
from qwidgets.formats.per_channel import PerChannel


def moved(fmt: FixedPoint | PerChannel, bits: int) -> FixedPoint | PerChannel | None:
    """Give a format with its window, or that of each channel, so many bits higher; None where formats end.

    Examples
    --------
    >>> moved(FixedPoint.from_window(3, -3), 2).window, moved(PerChannel(8, (3, 5)), -1).fraction_lengths
    ('2^5 … 2^-1', (4, 6))
    """
    try:
        if isinstance(fmt, PerChannel):
            return dataclasses.replace(fmt, fraction_lengths=tuple(length - bits for length in fmt.fraction_lengths))
        return dataclasses.replace(fmt, fraction_length=fmt.fraction_length - bits)
    except FormatError:
        return None


def longer(fmt: FixedPoint | PerChannel, bits: int) -> FixedPoint | PerChannel | None:
    """Give a format with so many bits more at the lower end of its window, or windows; None where formats end.

    Examples
    --------
    >>> longer(FixedPoint.from_window(3, -3), 2).window, longer(FixedPoint(31), 2)
    ('2^3 … 2^-5', None)
    """
    finer = moved(fmt, -bits)
    if finer is None or fmt.word_length + bits > MAX_WORD_LENGTH:
        return None
    return dataclasses.replace(finer, word_length=fmt.word_length + bits)
