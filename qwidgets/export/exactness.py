"""Where a runtime that computes in float32 gives the integers of the plan, and where it may not.

A tensor's values are codes times a power of two. float32 holds every integer up to 2^24 of such steps, so a sum is
exact in any order, with or without fused multiply-adds, where the magnitudes of all its terms together stay within
that; a runtime that finds the integer form of a layer and sums in 32 bits then gives the same. What the terms can reach
at most is known of each layer from its constant weights. A quotient (an average) is rounded to float32 before it is
rounded to its format: the error of at most two roundings is smaller than the distance from any value that is no tie
where the sum stays within 2^22, and a tie is met exactly by a division. ONNX Runtime divides in all but the integer
form of a pool over all there is, which its graph optimizations put in: that one multiplies by the inverse, rounded.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qwidgets.export.aligned_bias import aligned_bias, row_of_constant, sum_lsbs, weight_of
from qwidgets.export.clamp_bounds import on_grid
from qwidgets.formats import FixedPoint
from qwidgets.network import CLAMPS, Operation, clamp_bounds
from qwidgets.simulation import Codes, Program

FLOAT32_HOLDS = 2**24
QUOTIENT_HOLDS = 2**22
ONE_TO_ONE = frozenset(
    [*("abs", "absolute", "cat", "concat", "concatenate", "maximum", "max", "minimum", "min", "neg", "negative")]
    + ["stack", "where"]
)
"""What leaves is as exact as what enters."""

LAYERS = frozenset(
    ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "batch_norm"]
)
"""What sums products with a weight."""

_AVERAGES = frozenset(
    [f"{how}avg_pool{dimensions}d" for how in ("", "adaptive_") for dimensions in (1, 2, 3)] + ["mean"]
)
_ADDING = frozenset(["addcmul", "addmm", "addmv", "baddbmm"])
"""What adds a tensor to products; its integer form rounds that tensor to their step first."""

KNOWN = _AVERAGES | frozenset(
    [*("add", "sub", "rsub", "mul", "div", "square", "leaky_relu", "prelu", "sum"), "matmul", "mm", "bmm", "mv", "dot"]
    + [*("einsum", "inner", "outer", "pow", "tensordot", "to", "vdot", "_to_copy"), *_ADDING]
)
"""What is exact in float32 where that holds all that it can come to: each step on the way is a multiple of its step."""

EXACT_IN_FLOAT = frozenset(["arange", "one_hot", "to", "_to_copy", "type_as"])
"""What makes floats of numbers or integers, and rounds them as torch does."""


def before_rounding(program: Program, node: Operation) -> Codes | None:
    """Tell what is known of a row's values before they are rounded to its format; None for an input, and in float."""
    if node in program.sums:
        return program.sums[node]
    if node.kind == "call" and not node.only_moves and node.is_batch_norm:
        before = program.operands.get(node.operands[0])  # folded into the layer before it
        return None if before is None else before.codes
    return None


def never_rounds(codes: Codes | None, fmt: FixedPoint) -> bool:
    """Whether all values are codes of the format already, but for its range."""
    return codes is not None and codes.divisor == 1 and codes.lsb >= fmt.lsb


def never_ties(program: Program, node: Operation, fmt: FixedPoint) -> bool:
    """Whether no value can lie midway between two codes of the format."""
    codes = before_rounding(program, node)
    if codes is None:
        return False
    if codes.divisor > 1 and not _divides_alike(program, node):
        return False
    # A sum S over n = m 2^e (m odd) is a tie where 2 S = (2 k + 1) m 2^(s + e): never where s + e is 0 or less.
    twos = (codes.divisor & -codes.divisor).bit_length() - 1
    return fmt.lsb - codes.lsb + twos <= 0


def never_leaves(codes: Codes | None, fmt: FixedPoint) -> bool:
    """Whether no value can lie outside the range of the format."""
    if codes is None or codes.divisor > 1:
        return False
    lsb = min(codes.lsb, fmt.lsb)
    shift, least = codes.lsb - lsb, -(1 << (fmt.word_length - 1)) if fmt.signed else 0
    most = least + (1 << fmt.word_length) - 1
    return least << (fmt.lsb - lsb) <= codes.low << shift and codes.high << shift <= most << (fmt.lsb - lsb)


def why_inexact(program: Program, node: Operation) -> str:
    """Say why float32 may give other codes than an operation's integer form does; an empty text where it cannot."""
    given, codes, name = program.arguments[node], program.sums[node], node.name
    if name in LAYERS and _has_constant_weight(program, given):
        most = largest_sums(program, given, transposed="transpose" in name)
        if bool((most > FLOAT32_HOLDS).any()) and not _settled(program, node, most):
            return f"the sums of {name} reach {_bits(int(most.max()))}"
    elif codes.divisor > 1:
        if codes.largest > QUOTIENT_HOLDS:
            return f"the sums of {name} reach {_bits(codes.largest)}; what is divided must not have more than 22"
    elif name in CLAMPS:
        if not _bounds_hold(program, node):
            return f"float32 does not hold the bounds of {name}"
    elif name not in ONE_TO_ONE | KNOWN | LAYERS:
        return f"it is not known whether float32 gives every code of {name}"
    elif name in _ADDING and _lsb(program, given["self"]) < codes.lsb:
        return f"what {name} adds has a finer step than its products"
    elif name not in ONE_TO_ONE and not codes.held_by(torch.float32):
        return f"what {name} computes reaches {_bits(codes.largest)}"
    return ""


def _lsb(program: Program, value: Any) -> int:
    operand = program.operand(value)
    assert operand is not None
    return operand.codes.lsb


def _has_constant_weight(program: Program, given: Mapping[str, Any]) -> bool:
    operand = program.operand(given["weight"])
    return operand is not None and operand.integers is not None


def may_stray(program: Program, node: Operation) -> bool:
    """Whether multiplying by the inverse of a count, instead of dividing, could send a tie to the other side."""
    if node not in program.arguments:
        return False
    codes, fmt = program.sums.get(node), program.formats.get(node.slot or "")
    if codes is None or codes.divisor == 1 or not isinstance(fmt, FixedPoint):
        return False
    power_of_two = codes.divisor & (codes.divisor - 1) == 0 and _divides_alike(program, node)
    return not power_of_two and not never_ties(program, node, fmt)


def largest_sums(program: Program, given: Mapping[str, Any], transposed: bool) -> Tensor:
    """Give the most that the magnitudes of all terms of a sum can come to, for each channel in its own steps."""
    magnitudes = weight_of(program, given["weight"])[0].abs()
    if transposed:  # (in, out / groups, ...): an output sums over the inputs of its group
        grouped = magnitudes.reshape(given["groups"], -1, *magnitudes.shape[1:])
        magnitudes = grouped.transpose(1, 2).flatten(0, 1)
    sums: Tensor = magnitudes.reshape(len(magnitudes), -1).sum(1) * program.operands[given["input"]].codes.largest
    return sums + _bias(program, given).abs()


def _bias(program: Program, given: Mapping[str, Any]) -> Tensor:
    row = row_of_constant(program, given.get("bias"))
    if row is None:
        return torch.zeros((), dtype=torch.int64)
    return torch.from_numpy(aligned_bias(program, given, row).codes)


def _settled(program: Program, node: Operation, most: Tensor) -> bool:
    """Whether each channel whose sums float32 does not hold gives one code only, so that no error can show.

    Such are channels with next to no weights, of which only the bias is left: with a window of their own it is a large
    number of small steps, and what leaves is zero behind a ReLU, or whatever the bias alone comes to.
    """
    given = program.arguments[node]
    shape = weight_of(program, given["weight"])[0].shape
    terms = math.prod(shape if "transpose" in node.name else shape[1:]) + 3
    if terms > FLOAT32_HOLDS >> 4 or bool((most >= FLOAT32_HOLDS << 7).any()):
        return False
    steps, bias = torch.exp2(torch.tensor(sum_lsbs(program, given), dtype=torch.float64)), _bias(program, given)
    # In any order, each term adds at most one rounding of the sum of all magnitudes.
    margin = (most - bias.abs()).double() + most * (2 * terms / FLOAT32_HOLDS)
    large = most > FLOAT32_HOLDS
    ends = [_reached(program, node, (bias + sign * margin) * steps) for sign in (-1, 1)]
    if ends[0] is None or ends[1] is None:
        return False
    return bool((ends[0] == ends[1])[large].all())


def _reached(program: Program, node: Operation, values: Tensor) -> Tensor | None:
    """Give what becomes of one value of each channel at the row that a layer's sums end in; None if there is no one."""
    axis = len(node.shape) - 1 if node.name == "linear" else 1
    after = len(node.shape) - 1 - axis
    at, reached = node, values.reshape(*[1] * axis, -1, *[1] * after)
    if node.slot is not None:
        fmt = program.formats[node.slot]
        return None if fmt is None else fmt.quantize(reached).flatten()
    row = None
    while row is None:
        if len(at.users) != 1:
            return None
        at = at.users[0]
        row = at.slot
        if at not in program.steps or not (row is not None or at in program.arguments or at in program.operands):
            return None
        if at.name not in CLAMPS | {"batch_norm"}:
            return None
        carried = reached
        reached = program.steps[at](lambda value: value if isinstance(value, torch.device) else carried)  # noqa: B023
    return None if program.formats[row] is None else reached.flatten()


def _bounds_hold(program: Program, node: Operation) -> bool:
    """Whether the bounds of a clamp are float32 numbers, or at least come to the same codes as what they become."""
    given = program.arguments[node]
    fmt = None if node.slot is None else program.formats[node.slot]
    for bound in clamp_bounds(node.name, given):
        if bound is None or isinstance(bound, Operation):
            continue
        exact = np.asarray(on_grid(bound, program.operands[given["self"]].codes), np.float64)
        held = exact.astype(np.float32).astype(np.float64)
        same = np.array_equal(held, exact)
        if not same and (fmt is None or not np.array_equal(fmt.to_integer(held), fmt.to_integer(exact))):
            return False
    return True


def _divides_alike(program: Program, node: Operation) -> bool:
    """Whether all values are divided by the same: not where a pool leaves out its padding or hangs over."""
    given = program.arguments[node]
    if given.get("ceil_mode"):
        return False
    return bool(given.get("count_include_pad", True)) or not any(_flat(given["padding"]))


def _flat(sizes: Any) -> list[int]:
    return [sizes] if isinstance(sizes, int) else list(sizes)


def _bits(largest: int) -> str:
    return f"2^{(largest - 1).bit_length()} steps, and float32 holds integers of 24 bits"
