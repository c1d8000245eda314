"""Sums and products of tensors, bounds and slopes, joins: what has an integer form, as ONNX nodes."""

import math

import numpy as np
import torch
from torch import Tensor

from qwidgets.export.clamp_bounds import in_float32, on_grid
from qwidgets.export.onnx_model.step import Step, translates
from qwidgets.network import CLAMPS, Operation, clamp_bounds
from qwidgets.simulation import Parameter


@translates(*CLAMPS)
def _clamp(step: Step) -> str:
    """Clamp between numbers, or between one for each channel, which equalization makes of them."""
    codes, bounds = step.codes("self"), clamp_bounds(step.operation, step.given)
    dtype = step.output_dtype
    if any(isinstance(bound, Operation | Parameter) for bound in bounds) or dtype != torch.float32:
        reached = step.term(step.given["self"], dtype, "cast")
        for operation, bound, part in (("Max", bounds[0], "min"), ("Min", bounds[1], "max")):
            if bound is not None and (dtype.is_floating_point or not _endless(bound)):
                reached = step.then(operation, reached, step.term(bound, dtype, part))
        return reached
    low, high = bounds if codes is None else (on_grid(bound, codes) for bound in bounds)
    reached = step.tensor("self")
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        if low is not None:
            reached = step.add("Max", [reached, step.constant("min", in_float32(low))], "" if high is None else "above")
        if high is not None:
            reached = step.add("Min", [reached, step.constant("max", in_float32(high))])
        return reached
    if low == 0 and high is None:
        return step.add("Relu", [reached])
    ends = [
        "" if bound is None else step.constant(part, in_float32(bound)) for part, bound in (("min", low), ("max", high))
    ]
    return step.add("Clip", [reached, *ends])


def _endless(bound: object) -> bool:
    return isinstance(bound, float) and math.isinf(bound)


@translates("leaky_relu", "rrelu")
def _leaky_relu(step: Step) -> str:
    """Scale what is negative; in eval mode the slope of a random one is the mean of its bounds."""
    given = step.given
    slope = given["negative_slope"] if "negative_slope" in given else (given["lower"] + given["upper"]) / 2
    return step.add("LeakyRelu", [step.tensor("self")], alpha=step.number(slope))


@translates("prelu")
def _prelu(step: Step) -> str:
    slope, dimensions = step.tensor("weight"), len(step.shape("self"))
    if math.prod(size or 0 for size in step.shape("weight")) > 1 and dimensions > 2:
        slope = step.then("Reshape", slope, step.integers("channels", [-1, *[1] * (dimensions - 2)]))
    return step.add("PRelu", [step.tensor("self"), slope])


@translates("hardsigmoid", "hardswish")
def _hard_gate(step: Step) -> str:
    """Written out: the operators of these names multiply by a rounded sixth."""
    x = step.tensor("self")
    raised = step.add("Add", [x, step.constant("three", 3.0)], "raised")
    gate = step.add("Clip", [raised, step.constant("zero", 0.0), step.constant("six", 6.0)], "gate")
    if step.operation == "hardswish":
        gate = step.add("Mul", [x, gate], "product")
    return step.add("Div", [gate, step.constant("divisor", 6.0)])


@translates("abs", "absolute")
def _abs(step: Step) -> str:
    return step.add("Abs", [step.tensor("self")])


@translates("neg", "negative")
def _neg(step: Step) -> str:
    return step.add("Neg", [step.tensor("self")])


@translates("square")
def _square(step: Step) -> str:
    x = step.tensor("self")
    return step.add("Mul", [x, x])


@translates("maximum", "minimum", "fmax", "fmin")
def _larger_or_smaller(step: Step) -> str:
    return larger_or_smaller(step)


def larger_or_smaller(step: Step) -> str:
    """The larger or the smaller of two tensors."""
    terms = [step.term(step.given[name], step.output_dtype, name) for name in ("self", "other")]
    return step.add("Max" if "max" in step.operation else "Min", terms)


@translates("add", "sub", "subtract", "rsub", "mul", "multiply")
def _arithmetic(step: Step) -> str:
    operation = {"a": "Add", "s": "Sub", "r": "Sub", "m": "Mul"}[step.operation[0]]
    names = ("other", "self") if step.operation == "rsub" else ("self", "other")
    dtype = step.output_dtype
    if dtype == torch.bool:
        return step.add(
            {"Add": "Or", "Mul": "And"}[operation], [step.term(step.given[name], dtype, name) for name in names]
        )
    left, right = (
        step.term(step.given[name], dtype, part) for name, part in zip(names, ("left", "right"), strict=True)
    )
    alpha = step.given.get("alpha", 1)
    if alpha != 1:  # what the second argument is multiplied by
        scale = step.scalar(alpha, dtype)
        left, right = (
            (step.then("Mul", left, scale), right)
            if step.operation == "rsub"
            else (left, step.then("Mul", right, scale))
        )
    return step.add(operation, [left, right])


@translates("div", "divide", "true_divide", "floor_divide")
def _divide(step: Step) -> str:
    mode = "floor" if step.operation == "floor_divide" else step.given.get("rounding_mode")
    if step.exact:  # by a number, whose inverse the integers are multiplied by
        x = step.term(step.given["self"], torch.float32, "left")
        return step.add("Mul", [x, step.term(1 / step.given["other"], torch.float32, "right")])
    dtype = step.output_dtype
    a, b = (step.term(step.given[name], dtype, part) for name, part in (("self", "left"), ("other", "right")))
    if mode is None:
        return step.add("Div", [a, b])
    if not dtype.is_floating_point:  # Div cuts off, Mod has the divisor's sign
        return step.add("Div", [a if mode == "trunc" else step.then("Sub", a, step.then("Mod", a, b)), b])
    if mode == "trunc":
        return truncated(step, step.then("Div", a, b))
    # As torch does it, lest a quotient that is rounded up becomes the next whole number.
    rest = step.add("Mod", [a, b], "rest", fmod=1)
    whole = step.then("Round", step.then("Div", step.then("Sub", a, rest), b))
    below = step.add("Cast", [_unlike(step, rest, b)], "below", to=step.graph.number_of(np.float32))
    return step.add("Sub", [whole, below])


def _unlike(step: Step, rest: str, divisor: str) -> str:
    """Whether the rest of a division has another sign than the divisor."""
    zero = step.scalar(0.0)
    return step.then("Less", step.then("Mul", step.then("Sign", rest), step.then("Sign", divisor)), zero)


def truncated(step: Step, x: str) -> str:
    """Cut off what comes behind the point."""
    return step.add("Mul", [step.then("Sign", x), step.then("Floor", step.then("Abs", x))])


@translates("remainder", "fmod")
def _remainder(step: Step) -> str:
    """The rest of a division, of the divisor's sign or, for fmod, of the dividend's."""
    dtype = step.output_dtype
    a, b = (step.term(step.given[name], dtype, name) for name in ("self", "other"))
    if not dtype.is_floating_point or step.operation == "fmod":
        return step.add("Mod", [a, b], fmod=int(step.operation == "fmod"))
    rest = step.add("Mod", [a, b], "rest", fmod=1)
    return step.add("Where", [_unlike(step, rest, b), step.then("Add", rest, b), rest])


@translates("cat", "concat", "concatenate")
def _cat(step: Step) -> str:
    dtype = step.output_dtype
    parts = [part for part in step.given["tensors"] if step.shape_of(part) != (0,)]
    names = [step.term(part, dtype, "part") for part in parts]
    return step.add("Concat", names, axis=step.given.get("dim") or 0)


@translates("stack")
def _stack(step: Step) -> str:
    dtype = step.output_dtype
    axis = step.given.get("dim") or 0
    axis += len(step.output_shape) if axis < 0 else 0
    at = step.integers("axis", [axis])
    parts = [step.then("Unsqueeze", step.term(part, dtype, "part"), at) for part in step.given["tensors"]]
    return step.add("Concat", parts, axis=axis)


@translates("addcmul", "addcdiv")
def _add_scaled(step: Step) -> str:
    """A tensor plus a product or a quotient of two, times a number."""
    x, a, b = (step.tensor(name) for name in ("self", "tensor1", "tensor2"))
    term = step.then("Mul" if step.operation == "addcmul" else "Div", a, b)
    return step.add("Add", [x, step.then("Mul", term, step.scalar(step.given["value"]))])


@translates("lerp")
def _lerp(step: Step) -> str:
    """From one tensor towards another."""
    a, b = step.tensor("self"), step.tensor("end")
    weight = step.term(step.given["weight"], torch.float32, "weight")
    return step.add("Add", [a, step.then("Mul", step.then("Sub", b, a), weight)])
