"""Functions value by value, and sums and products of tensors, as ONNX nodes."""

import math

import numpy as np
from torch import Tensor
from torch.fx import Node

from qwidgets.export.onnx_model.step import Step, translates
from qwidgets.fixed_point import MAX_WORD_LENGTH, FixedPoint
from qwidgets.integers.accumulation import Codes
from qwidgets.integers.rules.rule import is_number

Bound = float | Tensor | None


@translates("relu")
def _relu(step: Step) -> str:
    return step.add("Relu", [step.tensor("self")])


@translates("relu6")
def _relu6(step: Step) -> str:
    return _clamped(step, 0.0, 6.0)


@translates("hardtanh")
def _hardtanh(step: Step) -> str:
    return _clamped(step, step.given["min_val"], step.given["max_val"])


@translates("clamp", "clamp_min", "clamp_max")
def _clamp(step: Step) -> str:
    return _clamped(step, step.given.get("min"), step.given.get("max"))


def _clamped(step: Step, least: Bound, most: Bound) -> str:
    """Clamp between numbers, or between one for each channel, which equalization makes of them."""
    codes = step.codes("self")
    bounds = [_on_grid(bound, codes) for bound in (least, most)]
    if any(isinstance(bound, Node) for bound in (least, most)):
        step.refuse(f"{step.operation} has bounds that the network computes")
    if not any(isinstance(bound, Tensor) for bound in bounds):
        low, high = bounds
        if low == 0 and high is None:
            return step.add("Relu", [step.tensor("self")])
        named = [
            "" if bound is None else step.constant(part, bound)
            for part, bound in zip(("min", "max"), bounds, strict=True)
        ]
        return step.add("Clip", [step.tensor("self"), *named])
    reached = step.tensor("self")
    for operation, part, bound in (("Max", "min", bounds[0]), ("Min", "max", bounds[1])):
        if bound is not None:
            values = np.asarray(bound, np.float32)
            last = operation == "Min" or bounds[1] is None
            reached = step.add(operation, [reached, step.constant(part, values)], "" if last else "above")
    return reached


def _on_grid(bound: Bound, codes: Codes | None) -> Bound:
    """Round a bound to the step of what it bounds, ties away from zero, as its integer form does."""
    if codes is None or bound is None:
        return bound
    step = math.ldexp(1.0, codes.lsb)
    if isinstance(bound, Tensor):
        nearest = FixedPoint(MAX_WORD_LENGTH, -codes.lsb).quantize(bound.double())
        return nearest.clamp(codes.low * step, codes.high * step)
    whole = math.floor(abs(bound) / step + 0.5) if abs(bound) / step < 2**52 else abs(bound) / step
    rounded = math.copysign(whole * step, bound)
    if float(np.float32(rounded)) != rounded:  # far outside of what there is to bound
        return min(max(rounded, codes.low * step), codes.high * step)
    return rounded


@translates("leaky_relu")
def _leaky_relu(step: Step) -> str:
    return step.add("LeakyRelu", [step.tensor("self")], alpha=step.number(step.given["negative_slope"]))


@translates("hardsigmoid", "hardswish")
def _hard_gate(step: Step) -> str:
    """Written out: the operators of these names multiply by a rounded sixth."""
    x = step.tensor("self")
    raised = step.add("Add", [x, step.constant("three", 3.0)], "raised")
    gate = step.add("Clip", [raised, step.constant("zero", 0.0), step.constant("six", 6.0)], "gate")
    if step.operation == "hardswish":
        gate = step.add("Mul", [x, gate], "product")
    return step.add("Div", [gate, step.constant("divisor", 6.0)])


@translates("neg")
def _neg(step: Step) -> str:
    return step.add("Neg", [step.tensor("self")])


@translates("add", "sub", "rsub", "mul", "div")
def _arithmetic(step: Step) -> str:
    operation = {"add": "Add", "sub": "Sub", "rsub": "Sub", "mul": "Mul", "div": "Div"}[step.operation]
    a, b = step.given["self"], step.given["other"]
    if step.given.get("alpha", 1) != 1 or step.given.get("rounding_mode"):
        step.refuse(f"{step.operation} with alpha or a rounding mode has no ONNX operator")
    if step.operation == "rsub":
        a, b = b, a
    if step.operation == "div" and step.exact:  # by a number, whose inverse the integers are multiplied by
        operation, b = "Mul", 1 / b
    return step.add(operation, [_term(step, a, "left"), _term(step, b, "right")])


def _term(step: Step, value: object, part: str) -> str:
    return step.constant(part, step.number(value)) if is_number(value) else step.values.tensor(value)


@translates("cat", "concat", "concatenate")
def _cat(step: Step) -> str:
    parts = [step.values.tensor(part) for part in step.given["tensors"]]
    return step.add("Concat", parts, axis=step.given.get("dim") or 0)


@translates("sigmoid", "tanh")
def _float_function(step: Step) -> str:
    return step.add({"sigmoid": "Sigmoid", "tanh": "Tanh"}[step.operation], [step.tensor("self")])


@translates("silu")
def _silu(step: Step) -> str:
    x = step.tensor("self")
    return step.add("Mul", [x, step.add("Sigmoid", [x], "gate")])


@translates("softmax")
def _softmax(step: Step) -> str:
    return step.add("Softmax", [step.tensor("self")], axis=step.given["dim"])
