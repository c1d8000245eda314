"""A number format for each output channel of a weight: the same word, windows of their own.

A `PerChannel` is what a `FixedPoint` is, for the channels along the first dimension of a tensor.
It does no arithmetic of its own: channels with the same window are handed to `FixedPoint` together.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from qwidgets.errors import DataError, FormatError
from qwidgets.formats.fixed_point import FixedPoint

CHANNELS_FIRST = {"conv1d", "conv2d", "conv3d", "linear"}
"""The layers whose weight has its output channels along the first dimension."""

Values = TypeVar("Values", torch.Tensor, npt.NDArray[Any])


@dataclasses.dataclass(frozen=True)
class PerChannel:
    """Fixed-point formats of the channels along a tensor's first dimension, which differ in their windows only.

    Parameters
    ----------
    word_length
        In bits, of every channel.
    fraction_lengths
        For each channel, its bits right of the binary point.
    signed, rounding, overflow
        As for `FixedPoint`, of every channel.

    Raises
    ------
    FormatError
        There is no channel, or a channel's format makes no sense; the text names the channel.

    Examples
    --------
    >>> fmt = PerChannel.of([FixedPoint(8, 3), FixedPoint(8, 7)])
    >>> fmt.quantize(np.array([[0.1, 2.1], [0.1, 2.1]]))
    array([[0.125    , 2.125    ],
           [0.1015625, 0.9921875]])
    >>> str(fmt.with_channel(0, FixedPoint(8, 9)))
    '2^-1 … 2^-9 (2 channels)'
    """

    word_length: int
    fraction_lengths: tuple[int, ...]
    signed: bool = True
    rounding: str = "half_away"
    overflow: str = "saturate"

    FORMAT: ClassVar[type[FixedPoint]] = FixedPoint

    def __post_init__(self) -> None:
        object.__setattr__(self, "fraction_lengths", tuple(self.fraction_lengths))
        if not self.fraction_lengths:
            raise FormatError("formats per channel need at least one channel")
        for channel in {length: place for place, length in enumerate(self.fraction_lengths)}.values():
            try:
                fmt = self[channel]
            except FormatError as error:
                raise FormatError(f"channel {channel}: {error}") from None
        # FixedPoint has made NumPy's numbers and booleans Python's own, which write themselves to JSON.
        object.__setattr__(self, "word_length", fmt.word_length)
        object.__setattr__(self, "signed", fmt.signed)
        object.__setattr__(self, "fraction_lengths", tuple(map(int, self.fraction_lengths)))

    @classmethod
    def of(cls, formats: Iterable[FixedPoint]) -> Self:
        """Make it of one format for each channel.

        Raises
        ------
        FormatError
            There is none, or two differ in more than their windows.
        """
        formats = tuple(formats)
        if not formats:
            raise FormatError("formats per channel need at least one channel")
        for channel, fmt in enumerate(formats):
            if dataclasses.replace(fmt, fraction_length=formats[0].fraction_length) != formats[0]:
                raise FormatError(
                    f"channels may differ in their windows only, not in word length, sign, rounding or overflow: "
                    f"channel {channel} has {fmt!r}, channel 0 {formats[0]!r}"
                )
        first = formats[0]
        lengths = tuple(fmt.fraction_length for fmt in formats)
        return cls(first.word_length, lengths, first.signed, first.rounding, first.overflow)

    def __getitem__(self, channel: int) -> FixedPoint:
        length = self.fraction_lengths[channel]
        return self.FORMAT(self.word_length, length, self.signed, self.rounding, self.overflow)

    def __len__(self) -> int:
        return len(self.fraction_lengths)

    def __iter__(self) -> Iterator[FixedPoint]:
        return (self[channel] for channel in range(len(self)))

    def with_channel(self, channel: int, fmt: FixedPoint) -> "PerChannel":
        """Give the same with another format for one channel.

        Raises
        ------
        FormatError
            There is no such channel, or the format differs from the others in more than its window.
        """
        if not -len(self) <= channel < len(self):
            raise FormatError(f"there is no channel {channel}: there are {len(self)}, counted from 0")
        formats = list(self)
        formats[channel] = fmt
        return PerChannel.of(formats)

    def __str__(self) -> str:
        return self.window if self.signed else f"{self.window} unsigned"

    @property
    def msb(self) -> int:
        """Position of the highest magnitude bit that any channel keeps."""
        return self.word_length - self.signed - 1 - min(self.fraction_lengths)

    @property
    def lsb(self) -> int:
        """Position of the lowest bit that any channel keeps."""
        return -max(self.fraction_lengths)

    @property
    def window(self) -> str:
        """From the highest to the lowest bit that any channel keeps, as text, and how many channels there are."""
        return f"2^{self.msb} … 2^{self.lsb} ({len(self)} channel{'s' if len(self) != 1 else ''})"

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """The distance between two neighbouring values, for each channel."""
        return np.array([math.ldexp(1.0, -length) for length in self.fraction_lengths])

    def quantize(self, x: Values) -> Values:
        """Give the value that stands for each value of ``x`` in the format of its channel; see `FixedPoint.quantize`.

        Raises
        ------
        DataError
            ``x`` is no array or tensor, or has not as many channels.
        """
        return self._by_channel(x, FixedPoint.quantize)

    def to_integer(self, x: Values) -> Values:
        """Give the integer code of each value of ``x``; see `FixedPoint.to_integer`.

        Raises
        ------
        DataError
            As in `quantize`, and where no integer stands for a value.
        """
        return self._by_channel(x, FixedPoint.to_integer)

    def from_integer(self, q: Values) -> Values:
        """Give the value that each integer code stands for, in float64; see `FixedPoint.from_integer`.

        Raises
        ------
        DataError
            As in `quantize`, and where a code is none of the format's.
        """
        return self._by_channel(q, FixedPoint.from_integer)

    def _by_channel(self, x: Values, convert: Callable[[FixedPoint, Any], Any]) -> Values:
        if not isinstance(x, torch.Tensor | np.ndarray):
            raise DataError(f"formats per channel take a tensor or an array, not {type(x).__name__}")
        if x.ndim == 0 or x.shape[0] != len(self):
            raise DataError(f"there are formats for {len(self)} channels, but the shape is {tuple(x.shape)}")
        channels: dict[int, list[int]] = {}
        for channel, length in enumerate(self.fraction_lengths):
            channels.setdefault(length, []).append(channel)
        result: Any = None
        for where in channels.values():
            part = convert(self[where[0]], x[where])
            if result is None:
                kind = torch if isinstance(x, torch.Tensor) else np
                result = kind.empty_like(x, dtype=part.dtype)
            result[where] = part
        return result  # type: ignore[no-any-return]
