"""Functions value by value, and sums and products of tensors, as ONNX nodes."""

from torch import Tensor
from torch.fx import Node

from qwidgets.export.onnx_model.clamp_bounds import CLAMPS, bounds_of, in_float32, on_grid
from qwidgets.export.onnx_model.step import Step, translates
from qwidgets.integers.rules.rule import is_number


@translates(*CLAMPS)
def _clamp(step: Step) -> str:
    """Clamp between numbers, or between one for each channel, which equalization makes of them."""
    codes, bounds = step.codes("self"), bounds_of(step.operation, step.given)
    if any(isinstance(bound, Node) for bound in bounds):
        step.refuse(f"{step.operation} has bounds that the network computes")
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
