"""Upsampling and interpolation, as ONNX nodes."""

from collections.abc import Sequence
from typing import Any

import torch

from qwidgets.export.onnx_model.step import Step, translates


@translates("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
@translates("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")
def _nearest(step: Step) -> str:
    """Repeat by whole numbers with an operator; else take, along each dimension, the positions that torch takes."""
    argument = _resized(step)
    before, after = (list(shape[2:]) for shape in (step.shape(argument), step.output_shape))
    factors = _whole_factors(before, after, step.given.get("scale_factors"))
    if factors:
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return step.add("Resize", [step.tensor(argument), "", step.constant("scales", [1.0, 1.0, *factors])], **how)
    if any(step.given.get("scale_factors") or ()) and None in before:
        step.refuse("images of sizes that differ from batch to batch are repeated by whole numbers, or to a size")
    x = step.tensor(argument)
    for place, known in enumerate(before):
        if known is None or after[place] is None:
            positions = _computed_positions(step, argument, place)
        else:
            positions = step.integers("places", _positions(step, argument, before, place))
        x = step.then("Gather", x, positions, axis=place + 2)
    return x


def _whole_factors(
    before: list[int | None], after: list[int | None], scales: Sequence[float] | None
) -> list[float] | None:
    """Give by what each dimension is repeated, where these are whole numbers."""
    if None not in before and None not in after:
        scales = [(large or 0) / (small or 1) for small, large in zip(before, after, strict=True)]
    return list(scales) if scales and all(float(scale).is_integer() for scale in scales) else None


def _computed_positions(step: Step, argument: str, place: int) -> str:
    """Compute where torch takes the values from along a dimension whose size only the graph knows, as torch does."""
    sizes = [step.values.sizes.one(step.traced_sizes(value)[place + 2]) for value in (step.given[argument], step.node)]
    small, large = (step.cast(size, torch.int64, torch.float32) for size in sizes)
    numbers = [step.scalar(0, torch.int64), step.then("Squeeze", sizes[1]), step.scalar(1, torch.int64)]
    numbered = step.cast(step.then("Range", *numbers), torch.int64, torch.float32)
    if "exact" in step.operation:
        numbered = step.then("Add", numbered, step.scalar(0.5))
    nearest = step.then("Floor", step.then("Mul", numbered, step.then("Div", small, large)))
    last = step.then("Sub", sizes[0], step.scalar(1, torch.int64))
    return step.then("Min", step.cast(nearest, torch.float32, torch.int64), last)


def _positions(step: Step, argument: str, sizes: list[int | None], place: int) -> list[int]:
    """Give where torch takes the values from along one dimension."""
    shape = [1] * len(sizes)
    shape[place] = -1
    numbered = torch.arange(float(sizes[place] or 0)).reshape(1, 1, *shape).expand(1, 1, *[size or 0 for size in sizes])
    target: Any = step.node.target
    moved: torch.Tensor = target(**{**step.given, argument: numbered.contiguous()})
    line = moved[0, 0].movedim(place, 0).flatten(1)[:, 0] if len(sizes) > 1 else moved[0, 0]
    return [int(position) for position in line]


@translates("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
def _interpolate(step: Step) -> str:
    argument, given = _resized(step), step.given
    scales = given.get("scale_factors")
    corners = bool(given["align_corners"])
    how: dict[str, Any] = {"mode": "cubic" if "cubic" in step.operation else "linear"}
    how["coordinate_transformation_mode"] = "align_corners" if corners else "half_pixel"
    if "cubic" in step.operation:
        how["cubic_coeff_a"] = -0.75
    x = step.tensor(argument)
    if scales and all(scales) and not corners:
        return step.add("Resize", [x, "", step.constant("scales", [1.0, 1.0, *scales])], **how)
    return step.add("Resize", [x, "", "", step.sizes("sizes", step.traced_sizes(step.node))], **how)


def _resized(step: Step) -> str:
    return next(name for name, value in step.given.items() if isinstance(value.value, torch.Tensor))
