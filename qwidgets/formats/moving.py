"""Windows moved as they are, by whole bits."""

import dataclasses

from qwidgets.errors import FormatError
from qwidgets.formats.fixed_point import FixedPoint
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
