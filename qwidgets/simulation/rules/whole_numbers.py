"""Tensors of integers and booleans as codes: bytes of an image, masks. Each stands for itself, with a step of one.

Integers of 64 bits have no bounds that a sum could hold, so they are no codes; as indices they are none of values.
"""

import torch
from torch import Tensor

from qwidgets.network import Operation, shape_of
from qwidgets.simulation.accumulation import Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, rule

READERS = frozenset(["to", "_to_copy", "add", "div", "mul", "rsub", "sub"])
"""The operations that make floats of such tensors, by converting them or together with floats."""
_MOST_BITS = 32


def operand_of(value: object) -> Operand | None:
    """Give what is known of a tensor of integers in a graph; None where it is none, or has too many bits.

    A tensor that the network holds has the bounds of its type, too: what it holds may be loaded anew.
    """
    given = value.value if isinstance(value, Operation) else None
    codes = codes_of(given.dtype) if isinstance(given, Tensor) else None
    return None if codes is None or not isinstance(given, Tensor) else Operand(codes, shape_of(given))


def codes_of(dtype: torch.dtype) -> Codes | None:
    """Give the bounds of an integer type.

    Examples
    --------
    >>> codes_of(torch.uint8), codes_of(torch.int64)
    (Codes(lsb=0, low=0, high=255, divisor=1), None)
    """
    if dtype == torch.bool:
        return Codes(0, 0, 1)
    if dtype.is_floating_point or dtype.is_complex or 8 * dtype.itemsize > _MOST_BITS:
        return None
    info = torch.iinfo(dtype)
    return Codes(0, info.min, info.max)


@rule("to", "_to_copy")
def _converted(call: Call) -> Exact | None:
    x, dtype = call["self"], call.arguments.get("dtype")
    if not isinstance(x, Operand) or (isinstance(dtype, torch.dtype) and not x.codes.held_by(dtype)):
        return None
    return Exact(x.codes, lambda given: given["self"].to(x.codes.carrier))
