"""Comparisons, truth values and choices by them, and changes of the element type, as ONNX nodes."""

import torch

from qwidgets.export.onnx_model.step import Step, promoted, translates

_COMPARISONS = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}


@translates(*_COMPARISONS, "ne")
def _compare(step: Step) -> str:
    dtype = promoted((step.given["self"], step.given["other"]))
    if dtype == torch.bool and step.operation not in ("eq", "ne"):
        dtype = torch.int32
    terms = [step.term(step.given[name], dtype, name) for name in ("self", "other")]
    if step.operation == "ne":
        return step.add("Not", [step.then("Equal", *terms)])
    return step.add(_COMPARISONS[step.operation], terms)


@translates("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor")
@translates("__and", "__or", "__xor")
def _combine(step: Step) -> str:
    _truth_values_only(step)
    terms = [step.term(step.given[name], torch.bool, name) for name in ("self", "other")]
    return step.add(step.operation.strip("_").rpartition("_")[2].capitalize(), terms)


@translates("logical_not", "bitwise_not")
def _not(step: Step) -> str:
    _truth_values_only(step)
    return step.add("Not", [step.term(step.given["self"], torch.bool, "truth")])


def _truth_values_only(step: Step) -> None:
    if step.output_dtype != torch.bool:
        step.refuse(f"{step.operation} of integers is no ONNX operator of this operator set; combine truth values")


@translates("isnan")
def _isnan(step: Step) -> str:
    return step.add("IsNaN", [step.tensor("self")])


@translates("isinf")
def _isinf(step: Step) -> str:
    return step.add("IsInf", [step.tensor("self")])


@translates("isfinite")
def _isfinite(step: Step) -> str:
    x = step.tensor("self")
    return step.add("Not", [step.then("Or", step.then("IsNaN", x), step.then("IsInf", x))])


@translates("where")
def _where(step: Step) -> str:
    if "other" not in step.given:
        step.refuse("where with a condition alone gives as many positions as it finds; give it two values")
    return chosen(step, step.given["condition"], step.given["self"], step.given["other"])


@translates("masked_fill")
def _masked_fill(step: Step) -> str:
    return chosen(step, step.given["mask"], step.given["value"], step.given["self"])


def chosen(step: Step, condition: object, kept: object, other: object) -> str:
    """Choose between two tensors or numbers, value by value; a condition that was just written is given by its name."""
    dtype = step.output_dtype
    # ONNX Runtime chooses between numbers of these types only.
    carried = dtype if dtype in (torch.float32, torch.int32, torch.int64, torch.uint8) else torch.int32
    picked = [
        condition if isinstance(condition, str) else step.values.tensor(condition),
        *(step.term(value, carried, part) for value, part in ((kept, "kept"), (other, "other"))),
    ]
    if carried == dtype:
        return step.add("Where", picked)
    return step.cast(step.then("Where", *picked), carried, dtype, "")


@translates("to", "_to_copy", "type_as", "float", "long", "int", "bool")
def _to(step: Step) -> str:
    source = next(iter(step.given)) if "self" not in step.given else "self"
    return step.cast(step.tensor(source), step.dtype_of(step.given[source]), step.output_dtype, "")


@translates("one_hot")
def _one_hot(step: Step) -> str:
    classes = step.given["num_classes"]
    if not isinstance(classes, int) or classes < 1:
        step.refuse("one_hot without a number of classes gives as many as it finds; give it num_classes")
    values = step.constant("values", torch.tensor([0, 1]).numpy())
    return step.add("OneHot", [step.tensor("self"), step.integers("classes", [classes]), values])
