"""Products: layers with a weight and a bias, products of two tensors, scaling by a number."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qwidgets.formats import CHANNELS_FIRST, MAX_FRACTION_LENGTH, in_steps
from qwidgets.simulation.accumulation import Bilinear, Coded, Codes
from qwidgets.simulation.rules.rule import Call, Exact, Operand, constant, is_number, rule


@rule("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _convolution(call: Call) -> Exact | None:
    weight = call["weight"]
    if not isinstance(weight, Operand) or weight.integers is None:
        return None
    magnitudes = weight.integers.abs()
    if "transpose" in call.name:  # (in, out / groups, ...): an output sums over the inputs of its group
        grouped = magnitudes.reshape(call["groups"], -1, *magnitudes.shape[1:])
        magnitudes = grouped.transpose(1, 2).flatten(0, 1)
    return _weighted_sum(call, _layer(call), magnitudes, (-1, *[1] * (weight.integers.ndim - 2)))


@rule("linear")
def _linear(call: Call) -> Exact | None:
    weight = call["weight"]
    if not isinstance(weight, Operand) or weight.integers is None:
        return None
    return _weighted_sum(call, _layer(call), weight.integers.abs(), (-1,))


@rule("batch_norm")
def _scale_and_shift(call: Call) -> Exact | None:
    """A batch norm by itself, whose weight and bias are its scale and shift."""
    x, scale = call["input"], call["weight"]
    if not isinstance(x, Operand) or not isinstance(scale, Operand) or scale.integers is None:
        return None
    channels = (-1, *[1] * (len(x.shape) - 2))

    def operation(values: Tensor, weights: Tensor) -> Tensor:
        return values * weights.reshape(channels)

    return _weighted_sum(call, operation, scale.integers.abs().unsqueeze(1), channels)


def _layer(call: Call) -> Bilinear:
    rest = {name: value for name, value in call.arguments.items() if name not in ("input", "weight", "bias")}
    return lambda values, weights: call.operation(input=values, weight=weights, **rest)


def _weighted_sum(call: Call, operation: Bilinear, magnitudes: Tensor, bias_shape: tuple[int, ...]) -> Exact | None:
    """A layer with constant weights: ``magnitudes`` are those of their codes, the outputs first."""
    x, weight, bias = call["input"], call["weight"], call.arguments.get("bias")
    if not isinstance(x, Operand) or not (bias is None or isinstance(bias, Operand)):
        return None
    if weight.shifts is not None and call.name not in CHANNELS_FIRST:
        return None
    lsb = x.codes.lsb + weight.codes.lsb
    if abs(lsb) > MAX_FRACTION_LENGTH:
        return None
    products = magnitudes.flatten(1).sum(1) * x.codes.largest
    biases = [0] * len(products) if bias is None else _largest_biases(bias, weight, lsb, len(products))
    largest = max(product + added for product, added in zip(products.tolist(), biases, strict=True))
    codes = Codes(lsb, -largest, largest)
    spread = None if weight.shifts is None else torch.exp2(weight.shifts.double())

    def run(given: Mapping[str, Any]) -> Tensor:
        values, weights, shift = given["input"], given["weight"], None
        if bias is not None:
            shift = _aligned(given["bias"].double(), bias, spread, lsb).reshape(bias_shape)
        if spread is None:
            factors = Coded(values, x.codes), Coded(weights, weight.codes)
            return call.accumulator.sum(operation, *factors, shift, codes)
        # Each channel sums in steps of its own: as if all had the finest step, and its sums are shifted afterwards.
        scale = spread.to(weights)
        aligned = weights / scale.reshape(-1, *[1] * (weights.ndim - 1))
        factors = Coded(values, x.codes), Coded(aligned, _one_step(weight))
        sums = call.accumulator.sum(operation, *factors, shift, codes)
        return sums.to(shifted.carrier) * scale.to(shifted.carrier).reshape(bias_shape)

    shifted = call.accumulator.codes(codes)
    if weight.shifts is not None:
        most = int(weight.shifts.max())
        shifted = replace(shifted, low=shifted.low << most, high=shifted.high << most)
    return Exact(shifted, run, None if weight.shifts is None else weight.shifts.reshape(bias_shape))


def _largest_biases(bias: Operand, weight: Operand, lsb: int, channels: int) -> list[int]:
    """Bound a bias in the steps of the sums that it is added to, channel by channel."""
    if bias.integers is None:
        return [math.ceil(math.ldexp(bias.codes.largest, bias.codes.lsb - lsb)) + 1] * channels
    steps = (
        bias.codes.lsb
        - lsb
        + sum(
            (sign * operand.shifts for sign, operand in ((1, bias), (-1, weight)) if operand.shifts is not None),
            start=torch.zeros(()),
        )
    )
    counted = bias.integers.double().abs().flatten() * torch.exp2(steps.double())
    return [math.ceil(each) + 1 for each in counted.expand(channels).tolist()]


def _one_step(weight: Operand) -> Codes:
    """What is known of the codes of a weight whose channels all count from the finest step."""
    assert weight.integers is not None
    return Codes(weight.codes.lsb, int(weight.integers.min()), int(weight.integers.max()))


def _aligned(values: Tensor, bias: Operand, spread: Tensor | None, lsb: int) -> Tensor:
    """Give a bias in the steps of the sums, as if all channels had the finest."""
    if spread is not None:
        values = values / spread.to(values)
    elif bias.codes.lsb >= lsb:
        return values
    return in_steps(values, lsb, bias.rounding) * math.ldexp(1.0, lsb)


@rule("mul", "div")
def _mul(call: Call) -> Exact | None:
    a, b = call["self"], call["other"]
    if call.name == "div":
        if not is_number(b) or b == 0 or call.arguments.get("rounding_mode"):
            return None
        b = 1 / b
    if not isinstance(a, Operand):
        a, b = b, a
    if isinstance(a, Operand) and isinstance(b, Operand):
        return _product(call, torch.mul, ("self", "other"), 1)
    if not isinstance(a, Operand) or not is_number(b):
        return None
    factor, lsb = constant(b)
    ends = sorted((factor * a.codes.low, factor * a.codes.high))
    codes = Codes(a.codes.lsb + lsb, *ends)

    def run(given: Mapping[str, Any]) -> Tensor:
        values = given["self"] if isinstance(given["self"], Tensor) else given["other"]
        scaled: Tensor = values.to(codes.carrier) * math.ldexp(factor, lsb)
        return scaled

    return Exact(codes, run)


@rule("matmul", "mm", "bmm", "mv", "dot")
def _matmul(call: Call) -> Exact | None:
    names = {"matmul": ("self", "other"), "mv": ("self", "vec"), "dot": ("self", "tensor")}.get(
        call.name, ("self", "mat2")
    )
    length = call[names[0]].shape[-1] if isinstance(call[names[0]], Operand) else None
    return None if length is None else _product(call, torch.matmul, names, length)


def _product(call: Call, operation: Bilinear, names: tuple[str, str], terms: int) -> Exact | None:
    a, b = (call[name] for name in names)
    if not all(isinstance(factor, Operand) for factor in (a, b)):
        return None
    largest = terms * a.codes.largest * b.codes.largest
    codes = Codes(a.codes.lsb + b.codes.lsb, -largest, largest)

    def run(given: Mapping[str, Any]) -> Tensor:
        return call.accumulator.sum(
            operation, Coded(given[names[0]], a.codes), Coded(given[names[1]], b.codes), None, codes
        )

    return Exact(call.accumulator.codes(codes), run)
