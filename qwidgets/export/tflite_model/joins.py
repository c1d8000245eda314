"""Sums, products and concatenations of tensors."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qwidgets.errors import ExportError
from qwidgets.export.tflite_model.layer import LayerSpec
from qwidgets.export.tflite_model.layers import uniform_bounds, within_word
from qwidgets.export.tflite_model.places import Order, Place, as_they_are
from qwidgets.formats import FixedPoint
from qwidgets.simulation import constant, is_number

_SUMS = range(-10, 8)
"""By how many bits the step of what is added may lie above that of the result. Beyond, LiteRT's kernel rounds
otherwise: measured in tests/export/test_tflite_kernels.py."""


def _add(spec: LayerSpec) -> Place:
    return _of_two(spec, "ADD", "AddOptions", ("self", "other"))


def _sub(spec: LayerSpec) -> Place:
    return _of_two(spec, "SUB", "SubOptions", ("self", "other"))


def _rsub(spec: LayerSpec) -> Place:
    return _of_two(spec, "SUB", "SubOptions", ("other", "self"))


def _mul(spec: LayerSpec) -> Place:
    return _of_two(spec, "MUL", "MulOptions", ("self", "other"))


def _of_two(spec: LayerSpec, operator: str, table: str, names: tuple[str, str]) -> Place:
    operands = [_operand(spec, spec.given[name], name) for name in names]
    steps = [place.fmt.lsb for place in operands]
    far = [step - spec.ending.fmt.lsb for step in steps if step - spec.ending.fmt.lsb not in _SUMS]
    if operator != "MUL" and far:
        raise ExportError(
            f"has steps of 2^{spec.ending.fmt.lsb}, and adds what has steps of 2^{far[0] + spec.ending.fmt.lsb}; "
            f"TFLite takes 2^{-_SUMS[-1]} to 2^{-_SUMS[0]} times that; bring the windows closer"
        )
    if spec.ending.sums.lsb > (sum(steps) if operator == "MUL" else min(steps)):
        raise ExportError("reads tensors that do not fit 32 bits in the finer of their steps")
    order = _common_order(operands, len(spec.shape))
    aligned = [_aligned(spec, place, order) for place in operands]
    result = spec.output(order)
    spec.graph.add(operator, [place.tensor for place in aligned], result.tensor, 2, table=table)
    return spec.to.limited(result, *uniform_bounds(spec.ending))


def _common_order(operands: list[Place], rank: int) -> Order:
    """Give the order of the first operand that has all dimensions: the others are turned to it."""
    whole = [place.order for place in operands if len(place.shape) == rank]
    return whole[0] if whole else as_they_are(rank)


def _aligned(spec: LayerSpec, place: Place, order: Order) -> Place:
    """Give an operand with all dimensions, in an order."""
    missing = len(order) - len(place.shape)
    if missing:
        place = spec.to.ordered(place, as_they_are(len(place.shape)))
        shape = (*[1] * missing, *place.shape)
        place = replace(spec.to.reshaped(place, shape), shape=shape, order=as_they_are(len(order)))
    return spec.to.ordered(place, order)


def _operand(spec: LayerSpec, value: Any, name: str) -> Place:
    if not is_number(value):
        return spec.to.place(value)
    code, lsb = constant(value)
    if not -128 <= code <= 127:
        raise ExportError(f"reads the number {value}, which takes more than the 8 bits that TFLite has for it")
    return spec.to.constant(f"{spec.row}:{name}", np.array([code]), FixedPoint(8, -lsb))


def _cat(spec: LayerSpec) -> Place:
    fmt, parts = spec.ending.fmt, [spec.to.place(part) for part in spec.given["tensors"]]
    rank = len(spec.shape)
    if spec.node.name == "stack":
        raise ExportError("stacks tensors, which is not written for TFLite; torch.cat of unsqueezed ones is")
    order = _common_order(parts, rank)
    tensors = [
        spec.to.ordered(within_word(spec.to, spec.to.requantized(part, fmt, spec.row)), order).tensor for part in parts
    ]
    result = spec.output(order)
    axis = order.index(spec.given.get("dim", 0) % rank)
    spec.graph.add("CONCATENATION", tensors, result.tensor, 2, table="ConcatenationOptions", axis=axis)
    return spec.to.limited(result, *uniform_bounds(spec.ending))


JOINS: Mapping[str, Callable[[LayerSpec], Place]] = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "stack": _cat,
}
