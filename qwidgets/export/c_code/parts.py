"""What a network in C consists of: tensors, constant arrays, layers with their structs; values without behaviour.

Lowering makes these, writing turns them into text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from qwidgets.formats import FixedPoint, PerChannel


@dataclass(frozen=True)
class Raw:
    """Text of C, in the place of a number: the name of a constant, of an array, of an enumerator."""

    text: str


Value = int | Raw | list[int] | Mapping[str, Any]
"""What a field of a struct is set to; a mapping is a struct inside."""


@dataclass(frozen=True)
class Buffer:
    """A tensor of codes in memory.

    Attributes
    ----------
    name
        In C.
    row
        Of which row its codes are, "" where they only were moved there.
    about
        For a comment: where the codes come from.
    shape
        Of one example.
    fmt
        The format of the codes.
    is_input
        Whether the caller fills it.
    """

    name: str
    row: str
    about: str
    shape: tuple[int, ...]
    fmt: FixedPoint
    is_input: bool = False


@dataclass(frozen=True)
class Array:
    """Constant integers.

    Attributes
    ----------
    ctype
        The type of its elements.
    values
        int64; the first dimension is that of the output channels, where there are several.
    about
        For a comment.
    """

    name: str
    ctype: str
    values: Tensor
    about: str


@dataclass(frozen=True)
class Constants:
    """What the header of weights says of one layer: its terms as names with a number, and its arrays."""

    title: str
    numbers: Mapping[str, str]
    arrays: tuple[Array, ...]


@dataclass(frozen=True)
class Layer:
    """One call of a function of ``layers.h``, with its struct."""

    name: str
    about: str
    function: str
    struct: str
    fields: Mapping[str, Value]
    reads: tuple[str, ...]
    writes: str


@dataclass
class Parts:
    """A whole network: tensors in the order in which they are computed, constants, layers, the names of its outputs."""

    prefix: str
    buffers: list[Buffer] = field(default_factory=list)
    constants: list[Constants] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    outputs: list[Buffer] = field(default_factory=list)


def ctype(fmt: FixedPoint | PerChannel) -> str:
    """The C type that holds the codes of a format.

    Examples
    --------
    >>> ctype(FixedPoint(5, 2)), ctype(FixedPoint(9, 2, signed=False))
    ('int8_t', 'uint16_t')
    """
    width = next(width for width in (8, 16, 32) if fmt.word_length <= width)
    return f"{'' if fmt.signed else 'u'}int{width}_t"


def storage(fmt: FixedPoint | PerChannel) -> Raw:
    """The same as an enumerator of ``fixed_point.h``."""
    return storage_of(ctype(fmt))


def storage_of(element: str) -> Raw:
    """The enumerator of an integer type of C."""
    return Raw(f"QW_{element.removesuffix('_t').upper()}")


def ends(fmt: FixedPoint | PerChannel) -> tuple[int, int]:
    """The least and the largest code of a format."""
    least = -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    return least, least + (1 << fmt.word_length) - 1
