"""Adjustments as JSON: arrays compressed and in base64, histograms of the tensors that are no longer as calibrated."""

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qwidgets.bit_histogram import BitHistogram
from qwidgets.fixed_point import FixedPoint
from qwidgets.per_channel import PerChannel
from qwidgets.planning.adjustments import Adjustments, Rounding

TYPES = ("float64", "int16", "int32", "int64")


def packed(adjustments: Adjustments, pack_format: Any) -> dict[str, Any]:
    """Give what can be written as JSON. The weights are left out: they follow from the model's."""
    calibration = adjustments.calibration
    changed = (
        [] if calibration is None else [name for name in adjustments.factors if name not in calibration.parameters]
    )
    return {
        "factors": {row: [_array(part) for part in parts] for row, parts in adjustments.factors.items()},
        "shifts": {row: _array(shift) for row, shift in adjustments.shifts.items()},
        "roundings": {
            row: {"format": pack_format(rounding.fmt), "offsets": _array(rounding.offsets)}
            for row, rounding in adjustments.roundings.items()
        },
        "histograms": {
            name: {part: _array(array) for part, array in calibration[name].to_arrays().items()}
            for name in changed
            if calibration is not None
        },
    }


def unpacked(content: Mapping[str, Any], unpack_format: Any) -> tuple[Adjustments, dict[str, BitHistogram]]:
    """Give the adjustments, without a calibration, and the histograms of the activations that they scale.

    Raises
    ------
    ValueError, KeyError, TypeError
        The content is damaged.
    """
    roundings = {}
    for row, rounding in content["roundings"].items():
        fmt = unpack_format(rounding["format"])
        if not isinstance(fmt, FixedPoint | PerChannel):
            raise TypeError(f"the rounding of {row} has no format")
        roundings[str(row)] = Rounding(fmt, _values(rounding["offsets"]))
    adjustments = Adjustments(
        {str(row): tuple(map(_values, parts)) for row, parts in content["factors"].items()},
        {str(row): _values(shift) for row, shift in content["shifts"].items()},
        roundings,
    )
    histograms = {
        str(row): BitHistogram.from_arrays({name: _values(array) for name, array in parts.items()})
        for row, parts in content["histograms"].items()
    }
    return adjustments, histograms


def _array(values: npt.NDArray[Any]) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes())).decode("ascii")
    return {"type": values.dtype.name, "shape": list(values.shape), "data": data}


def _values(content: Mapping[str, Any]) -> npt.NDArray[Any]:
    if content["type"] not in TYPES:
        raise ValueError(f"there is no array type {content['type']!r}")
    dtype, shape = np.dtype(content["type"]), tuple(map(int, content["shape"]))
    try:
        data = zlib.decompress(base64.b64decode(content["data"], validate=True))
    except zlib.error as error:
        raise ValueError(f"an array cannot be read: {error}") from error
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError("an array has not the length that it should have")
    return np.frombuffer(data, dtype).reshape(shape).copy()
