"""Second moments of what a layer multiplies its weights with, over data: what adaptive rounding goes by."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from qwidgets.adjusting.layerwise import LayerPair


@dataclass(frozen=True)
class Moments:
    """Central second moments of the inputs of each group of channels, float64, (groups, inputs, inputs).

    Attributes
    ----------
    hessian
        Of the quantized inputs with themselves.
    cross
        Of the inputs in float (rows) with the quantized ones (columns).
    """

    hessian: Tensor
    cross: Tensor


def moments(pair: LayerPair) -> Moments | None:
    """Give the moments of a layer's inputs; None for a layer that has not this form."""
    layer = pair.layer
    weight = pair.reference.parameters[layer.weight_row]
    given = dict(layer.head.arguments)
    if layer.operation not in ("linear", "conv1d", "conv2d") or isinstance(given.get("padding"), str):
        return None
    count = 0
    own: Any = 0.0
    cross: Any = 0.0
    sums: list[Any] = [0.0, 0.0]
    for reference, quantized in pair.inputs:
        wide = torch.promote_types(torch.promote_types(reference.dtype, quantized.dtype), torch.float32)
        columns = [_columns(value.to(wide), weight, given) for value in (reference, quantized)]
        own = own + (columns[1] @ columns[1].transpose(1, 2)).double()
        cross = cross + (columns[0] @ columns[1].transpose(1, 2)).double()
        sums = [total + part.sum(2, dtype=torch.float64) for total, part in zip(sums, columns, strict=True)]
        count += columns[0].shape[2]
    means = [total / count for total in sums]
    return Moments(
        (own / count - means[1].unsqueeze(2) * means[1].unsqueeze(1)).cpu(),
        (cross / count - means[0].unsqueeze(2) * means[1].unsqueeze(1)).cpu(),
    )


def _columns(value: Tensor, weight: Tensor, given: dict[str, Any]) -> Tensor:
    """Give what each output is computed from, in columns: (groups, inputs of a group, places)."""
    if weight.ndim == 2:
        return value.reshape(-1, value.shape[-1]).T.unsqueeze(0)
    if weight.ndim == 3:  # one dimension as two
        value, weight = value.unsqueeze(2), weight.unsqueeze(2)
    two = {name: _pair(given[name], fill) for name, fill in (("stride", 1), ("padding", 0), ("dilation", 1))}
    kernel = tuple(weight.shape[2:])
    if kernel == (1, 1) and two["stride"] == (1, 1) and two["padding"] == (0, 0):
        patches = value.flatten(2)
    else:
        patches = functional.unfold(value, kernel, two["dilation"], two["padding"], two["stride"])
    groups = int(given["groups"])
    parts = patches.reshape(value.shape[0], groups, -1, patches.shape[2])
    return parts.permute(1, 2, 0, 3).flatten(2)


def _pair(sizes: Any, fill: int) -> tuple[int, int]:
    given = [sizes] if isinstance(sizes, int) else list(sizes)
    return (fill, given[0]) if len(given) == 1 else (given[0], given[1])
