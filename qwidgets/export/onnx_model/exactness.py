"""Where a runtime that computes in float32 gives the integers of the plan, and where it may not.

A tensor's values are codes times a power of two. float32 holds every integer up to 2^24 of such steps, so a sum is
exact in any order, with or without fused multiply-adds, where the magnitudes of all its terms together stay within
that; a runtime that finds the integer form of a layer and sums in 32 bits then gives the same. What the terms can reach
at most is known of each layer from its constant weights. A quotient (an average) is rounded to float32 before it is
rounded to its format: the error of at most two roundings is smaller than the distance from any value that is no tie
where the sum stays within 2^22, and a tie is met exactly where the divisor is a power of two.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from qwidgets.capturing import operations
from qwidgets.export.onnx_model.aligned_bias import aligned_bias, row_of_constant, weight_of
from qwidgets.fixed_point import FixedPoint
from qwidgets.integers.accumulation import Codes
from qwidgets.integers.program import Program

FLOAT32_HOLDS = 2**24
QUOTIENT_HOLDS = 2**22
GATES = {"hardswish", "hardsigmoid"}


def before_rounding(program: Program, node: Node) -> Codes | None:
    """Tell what is known of a row's values before they are rounded to its format; None for an input, and in float."""
    if node in program.sums:
        return program.sums[node]
    if node.op == "call_function" and not operations.only_moves(node) and operations.is_batch_norm(node):
        before = program.operands.get(node.all_input_nodes[0])  # folded into the layer before it
        return None if before is None else before.codes
    return None


def never_rounds(codes: Codes | None, fmt: FixedPoint) -> bool:
    """Whether all values are codes of the format already, but for its range."""
    return codes is not None and codes.divisor == 1 and codes.lsb >= fmt.lsb


def never_ties(program: Program, node: Node, fmt: FixedPoint) -> bool:
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


def why_inexact(program: Program, node: Node) -> str:
    """Say why float32 may give other sums than an operation with an integer form has; an empty text where it cannot."""
    given, codes, name = program.arguments[node], program.sums[node], operations.name_of(node)
    if "weight" in given:
        most = largest_sum(program, given, transposed="transpose" in name)
        if most > FLOAT32_HOLDS:
            return f"the sums of {name} reach {_bits(most)}"
    elif codes.divisor > 1:
        if codes.largest > QUOTIENT_HOLDS:
            return f"the sums of {name} reach {_bits(codes.largest)}; what is divided must not have more than 22"
    elif name in ("cat", "concat", "concatenate", "stack"):
        return ""  # each part is as exact as it was
    elif not codes.held_by(torch.float32):
        return f"what {name} computes reaches {_bits(codes.largest)}"
    return ""


def why_ties_stray(program: Program, node: Node) -> str:
    """Say why the ties of an average may be rounded to the other side; an empty text where they cannot."""
    codes, name, fmt = program.sums.get(node), operations.name_of(node), program.formats[program.rows[node]]
    if codes is None or codes.divisor == 1 or name in GATES or not isinstance(fmt, FixedPoint):
        return ""
    power_of_two = codes.divisor & (codes.divisor - 1) == 0 and _divides_alike(program, node)
    if power_of_two or never_ties(program, node, fmt):
        return ""
    return f"{name} may multiply by 1/{codes.divisor}, rounded, so that a tie can go to the other side"


def largest_sum(program: Program, given: Mapping[str, Any], transposed: bool) -> int:
    """Give the most that the magnitudes of all terms of one sum can come to, in steps of its channel."""
    magnitudes = weight_of(program, given["weight"])[0].abs()
    if transposed:  # (in, out / groups, ...): an output sums over the inputs of its group
        grouped = magnitudes.reshape(given["groups"], -1, *magnitudes.shape[1:])
        magnitudes = grouped.transpose(1, 2).flatten(0, 1)
    sums: Tensor = magnitudes.reshape(len(magnitudes), -1).sum(1) * program.operands[given["input"]].codes.largest
    row = row_of_constant(program, given.get("bias"))
    if row is not None:
        sums = sums + torch.from_numpy(aligned_bias(program, given, row).codes).abs()
    return int(sums.max())


def _divides_alike(program: Program, node: Node) -> bool:
    """Whether all values are divided by the same: not where a pool leaves out its padding or hangs over."""
    given = program.arguments[node]
    if given.get("ceil_mode"):
        return False
    return bool(given.get("count_include_pad", True)) or not any(_flat(given["padding"]))


def _flat(sizes: Any) -> list[int]:
    return [sizes] if isinstance(sizes, int) else list(sizes)


def _bits(largest: int) -> str:
    return f"2^{(largest - 1).bit_length()} steps, and float32 holds integers of 24 bits"
