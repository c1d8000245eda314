"""Upsampling and interpolation, as ONNX nodes."""

from typing import Any

import torch

from qwidgets.capturing import operations
from qwidgets.export.onnx_model.step import Step, translates


@translates("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
@translates("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")
def _nearest(step: Step) -> str:
    """Repeat by whole numbers with an operator; else take, along each dimension, the positions that torch takes."""
    argument = _resized(step)
    before, after = (list(shape[2:]) for shape in (step.shape(argument), step.output_shape))
    if all(small and large and large % small == 0 for small, large in zip(before, after, strict=True)):
        scales = [large / small for small, large in zip(before, after, strict=True) if small and large]
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return step.add("Resize", [step.tensor(argument), "", step.constant("scales", [1.0, 1.0, *scales])], **how)
    x = step.tensor(argument)
    for place, size in enumerate(before):
        if size is None:
            step.refuse(_FREE)
        positions = _positions(step, argument, before, place)
        x = step.then("Gather", x, step.integers("places", positions), axis=place + 2)
    return x


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
    before, after = step.shape(argument)[2:], step.output_shape[2:]
    scales = given.get("scale_factors")
    corners = bool(given["align_corners"])
    how: dict[str, Any] = {"mode": "cubic" if "cubic" in step.operation else "linear"}
    how["coordinate_transformation_mode"] = "align_corners" if corners else "half_pixel"
    if "cubic" in step.operation:
        how["cubic_coeff_a"] = -0.75
    x = step.tensor(argument)
    if scales and all(scales) and not corners:
        return step.add("Resize", [x, "", step.constant("scales", [1.0, 1.0, *scales])], **how)
    if any(size is None for size in (*before, *after)):
        step.refuse(_FREE)
    # Batch and channels are left as they are by their sizes, which only the graph knows.
    sizes = step.sizes("sizes", [*step.traced_sizes(given[argument])[:2], *after])
    return step.add("Resize", [x, "", "", sizes], **how)


_FREE = "images of sizes that differ from batch to batch are resized by a scale_factor only"


def _resized(step: Step) -> str:
    return next(name for name, value in step.given.items() if isinstance(operations.value_of(value), torch.Tensor))
