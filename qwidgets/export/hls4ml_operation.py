"""An operation of a captured network, the pieces of hls4ml that it becomes, and what types their numbers have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from qwidgets.errors import ExportError
from qwidgets.formats import FixedPoint
from qwidgets.network import Operation
from qwidgets.simulation import Codes, Operand, Parameter, Program

Types = Mapping[str, str]
"""By the names that hls4ml has for them (result, weight, bias, accum, scale): what a layer's numbers are kept in."""


@dataclass(frozen=True)
class Piece:
    """One layer of hls4ml: what it is called, a module or a function of tensors, and its types."""

    name: str
    does: nn.Module | Callable[..., Any]
    types: Types


@dataclass(frozen=True)
class HlsOperation:
    """An operation of a captured network, as a program of integers sees it.

    Attributes
    ----------
    captured, program
        Which it is, in which network.
    arguments
        By name; a `Parameter` in the place of a weight or bias.
    name
        What its last layer is to be called.
    result
        The type of what leaves it.
    """

    captured: Operation
    program: Program
    arguments: Mapping[str, Any]
    name: str
    result: str

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def codes(self, argument: str) -> Codes:
        """What is known of the codes of a tensor that comes in."""
        operand = self.program.operands.get(self[argument])
        if operand is None:
            raise self.refused(f"its {argument} is no tensor that another operation gives")
        return operand.codes

    def shape(self) -> tuple[int | None, ...]:
        """The sizes of what leaves it, the batch first."""
        return self._operand_of(self.captured).shape

    def input_shape(self) -> tuple[int | None, ...]:
        """The sizes of the tensor that comes in, the batch first."""
        return self._operand_of(next(node for node in self.captured.operands if node.is_float)).shape

    def parameter(self, argument: str) -> tuple[Tensor, FixedPoint]:
        """Give the values (float64) and the format of a weight or bias."""
        given = self[argument]
        if not isinstance(given, Parameter):
            raise self.refused(f"its {argument} is no constant of its own")
        fmt = self.program.formats[given.row]
        if not isinstance(fmt, FixedPoint):
            raise self.refused(f"{given.row!r} has another window for each channel, and hls4ml has one type for all")
        return fmt.from_integer(self.program.codes[given.row]).double(), fmt

    def refused(self, why: str) -> ExportError:
        """Give the error that names the operation, by the path of its module where it has one."""
        name = self.captured.module or self.name
        return ExportError(f"hls4ml cannot take {name!r} ({self.captured.name}): {why}")

    def _operand_of(self, node: Operation) -> Operand:
        return self.program.operands[node]


def holding(codes: Codes) -> str:
    """Give the narrowest type that holds some codes exactly, and wraps around beyond them.

    Examples
    --------
    >>> holding(Codes(-4, -128, 127)), holding(Codes(2, 0, 255))
    ('ap_fixed<8,4>', 'ap_ufixed<8,10>')
    """
    if codes.low < 0:
        bits = max(codes.high.bit_length(), (-codes.low - 1).bit_length(), 1) + 1
        return f"ap_fixed<{bits},{bits + codes.lsb}>"
    bits = max(codes.high.bit_length(), 1)
    return f"ap_ufixed<{bits},{bits + codes.lsb}>"


def type_text(fmt: FixedPoint) -> str:
    """Give the type of a tensor that codes are made for while the network runs.

    Raises
    ------
    FormatError
        ``ap_fixed`` has no such rounding.
    """
    return fmt.notation("ap_fixed")
