"""Scaled dot product attention, written out in float32."""

import math

import torch

from qwidgets.export.onnx_model.step import Step, translates


@translates("scaled_dot_product_attention")
def _attention(step: Step) -> str:
    given = step.given
    if given["dropout_p"]:
        step.refuse("attention drops out at random; put the model into eval mode before it is captured")
    if given.get("enable_gqa"):
        step.refuse("attention shares keys among heads; repeat them with repeat_interleave before it")
    query, key, value = (step.tensor(name) for name in ("query", "key", "value"))
    width = step.shape("query")[-1]
    scale = given.get("scale")
    if scale is None:
        if width is None:
            step.refuse("the width of attention differs from batch to batch; give it a scale")
        scale = 1 / math.sqrt(width)
    rank = len(step.shape("key"))
    turned = step.then("Transpose", key, perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = step.then("MatMul", step.then("Mul", query, step.scalar(scale)), turned)
    mask = given.get("attn_mask")
    if mask is not None and step.dtype_of(mask) == torch.bool:
        scores = _only_where(step, step.values.tensor(mask), scores)
    elif mask is not None:
        scores = step.then("Add", scores, step.values.tensor(mask))
    if given["is_causal"]:
        scores = _only_where(step, _not_after(step), scores)
    shares = step.then("Softmax", scores, axis=-1)
    if mask is not None:  # a query that sees nothing gets nothing
        shares = step.then("Where", step.then("IsNaN", shares), step.scalar(0.0), shares)
    return step.add("MatMul", [shares, value])


def _only_where(step: Step, mask: str, scores: str) -> str:
    return step.then("Where", mask, scores, step.scalar(-math.inf))


def _not_after(step: Step) -> str:
    """Whether a key comes no later than a query."""
    numbers = []
    for argument, axis in (("query", 1), ("key", 0)):
        size = step.then("Squeeze", step.values.sizes.one(step.traced_sizes(step.given[argument])[-2]))
        numbered = step.then("Range", step.scalar(0, torch.int64), size, step.scalar(1, torch.int64))
        numbers.append(step.then("Unsqueeze", numbered, step.integers("axis", [axis])))
    return step.then("GreaterOrEqual", *numbers)
