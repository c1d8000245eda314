"""Where the codes of a tensor lie in a TFLite model: in which order of dimensions, with which offset.

TFLite's layers on pictures read channels last, torch's channels first. So a tensor of the network lies in its own order
or, where such a layer made it or reads it, with its channels behind the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qwidgets.export.tflite_model.graph import Quantization, Tensor
from qwidgets.formats import FixedPoint

Order = tuple[int, ...]
Ints = npt.NDArray[np.int64]

BITS = 8


@dataclass(frozen=True)
class Place:
    """A tensor of codes in the model.

    Attributes
    ----------
    tensor
        There; it may have more dimensions of size one than ``order`` names.
    shape
        In torch's order, for one example.
    order
        The dimensions of ``shape`` in the order in which they lie in memory.
    fmt
        What the codes stand for.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    order: Order
    fmt: FixedPoint

    @property
    def lying(self) -> tuple[int, ...]:
        """The sizes in the order in which they lie."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def is_last(self) -> bool:
        """Whether the channels lie behind the other dimensions."""
        return self.order == channels_last(len(self.shape)) and len(self.order) > 2

    def positions(self) -> Ints:
        """Give for each value, in torch's order, where it lies in memory."""
        numbers = np.arange(int(np.prod(self.lying)), dtype=np.int64).reshape(self.lying)
        return numbers.transpose(np.argsort(self.order))


def as_they_are(rank: int) -> Order:
    """Torch's own order."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """The channels behind the others: those of pictures, of signals."""
    return as_they_are(rank) if rank < 3 else (0, *range(2, rank), 1)


def zero_point(fmt: FixedPoint) -> int:
    """Give the byte that stands for zero: unsigned codes begin at the least byte."""
    return 0 if fmt.signed else -(1 << (BITS - 1))


def quantization(fmt: FixedPoint) -> Quantization:
    """Give what the bytes of a format stand for."""
    return Quantization((fmt.step,), zero_point(fmt))


def planar(lying: Sequence[int]) -> tuple[int, ...]:
    """Give a batch of signals or pictures, channels last, four dimensions: the height of a signal is one."""
    batch, *between, channels = lying
    return (batch, *[1] * (2 - len(between)), *between, channels)
