"""Functions value by value that have no integer form: computed in float32, between the formats around them."""

import math
from collections.abc import Callable

import torch

from qwidgets.export.onnx_model.pointwise import truncated
from qwidgets.export.onnx_model.step import TRANSLATORS, Step, translates

_OPERATORS = {
    "acos": "Acos",
    "acosh": "Acosh",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "reciprocal": "Reciprocal",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}
"""ATen names of functions for which ONNX has an operator."""


def _plain(operator: str) -> Callable[[Step], str]:
    return lambda step: step.add(operator, [_argument(step)])


TRANSLATORS.update({name: _plain(operator) for name, operator in _OPERATORS.items()})


def _argument(step: Step) -> str:
    """The argument in the type of what leaves: functions of integers give floats."""
    return step.term(step.given["self"], step.output_dtype, "float")


@translates("round")
def _round(step: Step) -> str:
    """Round to whole numbers, ties to even."""
    if step.given.get("decimals"):
        step.refuse("rounding to decimals has no ONNX operator; scale by a power of ten around a plain round")
    return step.add("Round", [_argument(step)])


@translates("trunc", "fix")
def _trunc(step: Step) -> str:
    return truncated(step, _argument(step))


@translates("frac")
def _frac(step: Step) -> str:
    x = _argument(step)
    return step.add("Sub", [x, truncated(step, x)])


@translates("rsqrt")
def _rsqrt(step: Step) -> str:
    return step.add("Reciprocal", [step.then("Sqrt", _argument(step))])


@translates("log2", "log10")
def _log_of_base(step: Step) -> str:
    inverse = 1 / math.log(2 if step.operation == "log2" else 10)
    return step.add("Mul", [step.then("Log", _argument(step)), step.scalar(inverse)])


@translates("log1p")
def _log1p(step: Step) -> str:
    return step.add("Log", [step.then("Add", _argument(step), step.scalar(1.0))])


@translates("expm1", "exp2")
def _exp(step: Step) -> str:
    x = _argument(step)
    if step.operation == "exp2":
        return step.add("Pow", [step.scalar(2.0), x])
    return step.add("Sub", [step.then("Exp", x), step.scalar(1.0)])


@translates("pow")
def _pow(step: Step) -> str:
    base, exponent = step.given["self"], step.given["exponent"]
    dtype = step.output_dtype
    x = step.term(base, dtype, "base")
    if exponent == 2:
        return step.add("Mul", [x, x])
    return step.add("Pow", [x, step.term(exponent, dtype, "exponent")])


# Gates and activation functions


@translates("silu")
def _silu(step: Step) -> str:
    x = step.tensor("self")
    return step.add("Mul", [x, step.add("Sigmoid", [x], "gate")])


@translates("gelu")
def _gelu(step: Step) -> str:
    """By the error function, or by a hyperbolic tangent where the model asks for that."""
    x = step.tensor("self")
    if step.given["approximate"] == "tanh":
        cubed = step.then("Mul", step.then("Mul", step.then("Mul", x, x), x), step.scalar(0.044715))
        inner = step.then("Mul", step.then("Add", x, cubed), step.scalar(math.sqrt(2 / math.pi)))
        gate = step.then("Tanh", inner)
    else:
        gate = step.then("Erf", step.then("Mul", x, step.scalar(math.sqrt(0.5))))
    half = step.then("Mul", x, step.scalar(0.5))
    return step.add("Mul", [half, step.then("Add", gate, step.scalar(1.0))])


@translates("elu", "selu", "celu")
def _elu(step: Step) -> str:
    """``scale * max(x, 0) + scale * alpha * (exp(min(x, 0) * inner) - 1)``."""
    x, given = step.tensor("self"), step.given
    alpha, scale, inner = given.get("alpha", 1.0), given.get("scale", 1.0), given.get("input_scale", 1.0)
    if step.operation == "selu":
        alpha, scale = 1.6732632423543772, 1.0507009873554805
    if step.operation == "celu":
        inner = 1 / alpha
    below = step.then("Min", x, step.scalar(0.0))
    if inner != 1:
        below = step.then("Mul", below, step.scalar(inner))
    below = step.then("Mul", step.then("Sub", step.then("Exp", below), step.scalar(1.0)), step.scalar(alpha * scale))
    above = step.then("Relu", x)
    if scale != 1:
        above = step.then("Mul", above, step.scalar(scale))
    return step.add("Add", [above, below])


@translates("softplus")
def _softplus(step: Step) -> str:
    """As it is written: behind the threshold the argument itself."""
    x, beta, threshold = step.tensor("self"), step.given["beta"], step.given["threshold"]
    scaled = x if beta == 1 else step.then("Mul", x, step.scalar(beta))
    soft = _log_of_sum(step, scaled)
    if beta != 1:
        soft = step.then("Mul", soft, step.scalar(1 / beta))
    return step.add("Where", [step.then("Greater", scaled, step.scalar(threshold)), x, soft])


@translates("mish")
def _mish(step: Step) -> str:
    x = step.tensor("self")
    return step.add("Mul", [x, step.then("Tanh", _log_of_sum(step, x))])


@translates("log_sigmoid")
def _log_sigmoid(step: Step) -> str:
    return step.add("Neg", [_log_of_sum(step, step.then("Neg", step.tensor("self")))])


def _log_of_sum(step: Step, x: str) -> str:
    """``log(1 + exp(x))`` without overflow: ``max(x, 0) + log(1 + exp(-|x|))``."""
    small = step.then("Exp", step.then("Neg", step.then("Abs", x)))
    return step.then("Add", step.then("Relu", x), step.then("Log", step.then("Add", small, step.scalar(1.0))))


@translates("glu")
def _glu(step: Step) -> str:
    axis = step.axis("dim")
    size = step.shape("self")[axis]
    if size is None:
        step.refuse("glu halves a dimension that differs from batch to batch")
    halves = [
        step.then("Slice", step.tensor("self"), *(step.integers("edge", [edge]) for edge in (start, end, axis)))
        for start, end in ((0, size // 2), (size // 2, size))
    ]
    return step.add("Mul", [halves[0], step.then("Sigmoid", halves[1])])


@translates("threshold")
def _threshold(step: Step) -> str:
    x = step.tensor("self")
    above = step.then("Greater", x, step.scalar(step.given["threshold"], step.output_dtype))
    return step.add("Where", [above, x, step.scalar(step.given["value"], step.output_dtype)])


@translates("hardshrink", "softshrink")
def _shrink(step: Step) -> str:
    """Nothing near zero; further out the value, or what it exceeds the bound by."""
    x, bound = step.tensor("self"), float(step.given["lambd"])
    within = step.then("LessOrEqual", step.then("Abs", x), step.scalar(bound))
    kept = x
    if step.operation == "softshrink":
        kept = step.then("Sub", x, step.then("Mul", step.then("Sign", x), step.scalar(bound)))
    return step.add("Where", [within, step.scalar(0.0), kept])


@translates("logit")
def _logit(step: Step) -> str:
    x, one, eps = step.tensor("self"), step.scalar(1.0), step.given.get("eps")
    if eps is not None:
        x = step.then("Clip", x, step.scalar(eps), step.scalar(1 - eps))
    return step.add("Log", [step.then("Div", x, step.then("Sub", one, x))])


@translates("softmax", "log_softmax")
def _softmax(step: Step) -> str:
    x = step.term(step.given["self"], torch.float32, "float")
    return step.add("Softmax" if step.operation == "softmax" else "LogSoftmax", [x], axis=step.given["dim"])
