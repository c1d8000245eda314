"""What moving a window means for a format: pure functions from formats to formats.

The controls of the editor all end here. Holding the length moves a window as a whole; otherwise one edge moves and the
word grows or shrinks. A window that makes no sense is refused by :class:`qwidgets.FixedPoint` itself.
"""

import dataclasses
from collections.abc import Collection, Mapping

from qwidgets.formats import FixedPoint, PerChannel

MODES = ("signed", "rounding", "overflow")
"""What a format is beside its window."""


def with_window(fmt: FixedPoint, msb: int, lsb: int) -> FixedPoint:
    """The format with another window; sign, rounding and overflow stay.

    Raises
    ------
    FormatError
        The window holds no bit, or more than a word does.
    """
    return FixedPoint.from_window(msb, lsb, fmt.signed, fmt.rounding, fmt.overflow)


def with_msb(fmt: FixedPoint, msb: int, *, hold_length: bool) -> FixedPoint:
    """The format with its highest bit elsewhere.

    Examples
    --------
    >>> fmt = FixedPoint.from_window(3, -3)
    >>> with_msb(fmt, 5, hold_length=True).window, with_msb(fmt, 5, hold_length=False).window
    ('2^5 … 2^-1', '2^5 … 2^-3')
    """
    return with_window(fmt, msb, fmt.lsb + msb - fmt.msb if hold_length else fmt.lsb)


def with_lsb(fmt: FixedPoint, lsb: int, *, hold_length: bool) -> FixedPoint:
    """The format with its lowest bit elsewhere."""
    return with_window(fmt, fmt.msb + lsb - fmt.lsb if hold_length else fmt.msb, lsb)


def with_edges(fmt: FixedPoint, msb: int, lsb: int, *, hold_length: bool) -> FixedPoint:
    """The format after its edges were dragged; where the length is held, one takes the other along."""
    if not hold_length:
        return with_window(fmt, msb, lsb)
    return with_msb(fmt, msb, hold_length=True) if msb != fmt.msb else with_lsb(fmt, lsb, hold_length=True)


def with_word_length(fmt: FixedPoint, word_length: int) -> FixedPoint:
    """The format with more or fewer bits at its low end."""
    return dataclasses.replace(
        fmt, word_length=word_length, fraction_length=fmt.fraction_length + word_length - fmt.word_length
    )


def with_sign(fmt: FixedPoint, signed: bool) -> FixedPoint:
    """The format with or without a sign: the highest bit and the word length stay, so the low end moves by one.

    Examples
    --------
    >>> with_sign(FixedPoint.from_window(3, -3), False).window
    '2^3 … 2^-4'
    """
    return dataclasses.replace(fmt, signed=signed, fraction_length=fmt.fraction_length + fmt.signed - signed)


def with_mode(fmt: FixedPoint, rounding: str, overflow: str) -> FixedPoint:
    """The format with another rounding or another way to overflow."""
    return dataclasses.replace(fmt, rounding=rounding, overflow=overflow)


def together(formats: Mapping[str, FixedPoint], old: FixedPoint, new: FixedPoint) -> dict[str, FixedPoint]:
    """Do to several formats what was done to one.

    Their windows' edges move as far as those of ``old`` moved to become ``new``; a sign, rounding or overflow that was
    changed becomes that of ``new``.

    Examples
    --------
    >>> old = FixedPoint.from_window(3, -3)
    >>> moved = together({"a": FixedPoint.from_window(0, -6)}, old, FixedPoint.from_window(4, -2))
    >>> moved["a"].window
    '2^1 … 2^-5'
    """
    changed = {field: getattr(new, field) for field in MODES if getattr(new, field) != getattr(old, field)}
    return {
        name: FixedPoint.from_window(
            fmt.msb + new.msb - old.msb,
            fmt.lsb + new.lsb - old.lsb,
            **{**{field: getattr(fmt, field) for field in MODES}, **changed},
        )
        for name, fmt in formats.items()
    }


def of_channels(fmt: PerChannel, channels: Collection[int], old: FixedPoint, new: FixedPoint) -> PerChannel:
    """Do to some channels what was done to a format.

    Their highest bits move as far as that of ``old`` moved to become ``new``. Word length, sign, rounding and overflow
    become those of ``new`` in all channels, since all share them; the highest bits of the other channels stay.

    Examples
    --------
    >>> fmt = PerChannel.of([FixedPoint.from_window(3, -3), FixedPoint.from_window(0, -6)])
    >>> moved = of_channels(fmt, [1], fmt[1], FixedPoint.from_window(1, -6))
    >>> [channel.window for channel in moved]
    ['2^3 … 2^-4', '2^1 … 2^-6']
    """
    msbs = [one.msb + (new.msb - old.msb if channel in channels else 0) for channel, one in enumerate(fmt)]
    top = new.word_length - new.signed - 1
    return PerChannel(new.word_length, tuple(top - msb for msb in msbs), new.signed, new.rounding, new.overflow)


def highest(fmt: PerChannel) -> FixedPoint:
    """The format of the channel whose window lies highest, to stand for them all."""
    return max(fmt, key=lambda one: one.msb)
