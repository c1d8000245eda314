"""Sums, extremes and norms over dimensions, and running sums, as ONNX nodes."""

import math

import torch

from qwidgets.export.onnx_model.pointwise import larger_or_smaller
from qwidgets.export.onnx_model.step import Names, Step, translates


def axes_of(step: Step, argument: str = "dim") -> list[int]:
    """Give the dimensions that are reduced; all where none is named."""
    axes, rank = step.given.get(argument), len(step.shape("self"))
    if axes is None or axes == []:
        return list(range(rank))
    return [axis % max(rank, 1) for axis in ([axes] if isinstance(axes, int) else axes)]


def _keep(step: Step) -> bool:
    return bool(step.given.get("keepdim", False))


@translates("mean", "sum", "prod", "logsumexp")
def _sum(step: Step) -> str:
    operator = {"mean": "ReduceMean", "sum": "ReduceSum", "prod": "ReduceProd", "logsumexp": "ReduceLogSumExp"}
    x = step.term(step.given["self"], step.output_dtype, "cast")
    return step.reduce(operator[step.operation], x, axes_of(step), _keep(step))


@translates("amax", "amin")
def _extreme(step: Step) -> str:
    return step.reduce(_operator(step), step.tensor("self"), axes_of(step), _keep(step))


@translates("max", "min")
def _extreme_and_place(step: Step) -> Names:
    """Over all, over a dimension with the place where it was found first, or of two tensors."""
    if "other" in step.given:
        return larger_or_smaller(step)
    x = step.tensor("self")
    if "dim" not in step.given:
        return step.reduce(_operator(step), x, axes_of(step), keep=False)
    axis, keep = step.axis("dim"), _keep(step)
    values = step.reduce(_operator(step), x, [axis], keep, "values")
    where = "ArgMax" if step.operation == "max" else "ArgMin"
    return values, step.add(where, [x], "indices", axis=axis, keepdims=int(keep))


def _operator(step: Step) -> str:
    return "ReduceMax" if "max" in step.operation else "ReduceMin"


@translates("all", "any")
def _all_or_any(step: Step) -> str:
    truth = step.term(step.given["self"], torch.bool, "truth")
    numbers = step.cast(truth, torch.bool, torch.int32)
    operator = "ReduceMin" if step.operation == "all" else "ReduceMax"
    return step.cast(step.reduce(operator, numbers, axes_of(step), _keep(step), "found"), torch.int32, torch.bool, "")


@translates("std", "var")
def _deviation(step: Step) -> str:
    """The mean square of what is left behind the mean, over one value less where torch corrects for that."""
    axes, x = axes_of(step), step.tensor("self")
    sizes = [step.shape("self")[axis] for axis in axes]
    correction = step.given.get("correction")
    if correction is None:
        correction = int(bool(step.given.get("unbiased", True)))
    rest = step.then("Sub", x, step.reduce("ReduceMean", x, axes, True, "mean"))
    squares = step.then("Mul", rest, rest)
    if correction == 0:
        variance = step.reduce("ReduceMean", squares, axes, _keep(step), "variance")
    else:
        count = math.prod(size or 0 for size in sizes)
        if not count:
            step.refuse(f"{step.operation} over a dimension that differs from batch to batch needs correction=0")
        total = step.reduce("ReduceSum", squares, axes, _keep(step), "total")
        variance = step.then("Div", total, step.scalar(count - correction))
    return step.then("Sqrt", variance) if step.operation == "std" else variance


@translates("linalg_vector_norm", "norm")
def _norm(step: Step) -> str:
    order = step.given.get("ord", step.given.get("p"))
    order = 2 if order is None else order
    axes, keep, x = axes_of(step), _keep(step), step.tensor("self")
    if order in (1, 2):
        return step.reduce(f"ReduceL{int(order)}", x, axes, keep)
    size = step.then("Abs", x)
    if math.isinf(order):
        return step.reduce("ReduceMax" if order > 0 else "ReduceMin", size, axes, keep)
    if order == 0:
        step.refuse("a norm of order 0 has no ONNX operator; count what is not zero by a comparison")
    total = step.reduce("ReduceSum", step.then("Pow", size, step.scalar(order)), axes, keep, "total")
    return step.add("Pow", [total, step.scalar(1 / order)])


@translates("cumsum")
def _cumsum(step: Step) -> str:
    dtype = step.output_dtype
    axis = step.graph.constant(f"{step.name}.axis", torch.tensor(step.axis("dim")).numpy())
    return step.add("CumSum", [step.term(step.given["self"], dtype, "cast"), axis])


@translates("cosine_similarity")
def _cosine_similarity(step: Step) -> str:
    """The product of two vectors, each over its length, which counts at least ``eps``."""
    axis = step.given["dim"]
    eps = step.scalar(step.given["eps"])
    parts = [
        step.then("Div", x, step.then("Max", step.reduce("ReduceL2", x, [axis], True, "length"), eps))
        for x in (step.tensor("x1"), step.tensor("x2"))
    ]
    return step.reduce("ReduceSum", step.then("Mul", *parts), [axis], keep=False)
