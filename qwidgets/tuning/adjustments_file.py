"""Adjustments as JSON: arrays compressed and in base64, histograms of the tensors that are no longer as calibrated."""

import base64
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.histograms import BINS, BitHistogram
from qwidgets.network import Row
from qwidgets.tuning.adjustments import Adjustments, Rounding

_HISTOGRAM = {"bins": "int32", "counts": "int64", "special": "int64", "extremes": "float64"}


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


def unpacked(
    content: Mapping[str, Any], rows: Mapping[str, Row], unpack_format: Callable[[Row, Any], Any]
) -> tuple[Adjustments, dict[str, BitHistogram]]:
    """Give the adjustments, without a calibration, and the histograms of the activations that they scale.

    Parameters
    ----------
    content
        What the schema allows.
    rows
        The tensors that may be adjusted.

    Raises
    ------
    ValueError
        The content is damaged: an array cannot be read, or does not fit the tensor that it is for.
    """
    for part, named in content.items():
        if unknown := [name for name in named if name not in rows]:
            raise ValueError(f"adjustments/{part}: there is no tensor {unknown[0]!r}")
    factors = {
        name: tuple(_finite(_values(part, "float64", _can_scale(rows[name])), name) for part in parts)
        for name, parts in content["factors"].items()
    }
    for name, parts in factors.items():
        if rows[name].kind in ("input", "activation") and len(parts) != 1:
            raise ValueError(f"{name!r} has {len(parts)} arrays of factors, and its channels take one")
    shifts = {
        name: _finite(_values(shift, "float64", _has_shape_of(rows[name])), name)
        for name, shift in content["shifts"].items()
    }
    roundings = {}
    for name, rounding in content["roundings"].items():
        fmt = unpack_format(rows[name], rounding["format"])
        if not isinstance(fmt, FixedPoint | PerChannel):
            raise ValueError(f"the rounding of {name!r} has no format")
        roundings[name] = Rounding(fmt, _values(rounding["offsets"], "int16", _has_shape_of(rows[name])))
    histograms = {}
    for name, parts in content["histograms"].items():
        if set(parts) != set(_HISTOGRAM):
            raise ValueError(f"the histogram of {name!r} has the arrays {sorted(parts)}, not {sorted(_HISTOGRAM)}")
        histograms[name] = BitHistogram.from_arrays(
            {part: _values(parts[part], kind, _is_short_row) for part, kind in _HISTOGRAM.items()}
        )
    return Adjustments(factors, shifts, roundings), histograms


def _array(values: npt.NDArray[Any]) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes())).decode("ascii")
    return {"type": values.dtype.name, "shape": list(values.shape), "data": data}


def _values(content: Mapping[str, Any], kind: str, fits: Callable[[tuple[int, ...]], str]) -> npt.NDArray[Any]:
    """Read an array, of which no more is unpacked than its shape asks for; ``fits`` says what is wrong with that."""
    dtype, shape = np.dtype(kind), tuple(content["shape"])
    if content["type"] != kind:
        raise ValueError(f"an array of {content['type']} stands where one of {kind} should")
    if reason := fits(shape):
        raise ValueError(reason)
    length = math.prod(shape) * dtype.itemsize
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(content["data"], validate=True), length + 1)
    except zlib.error as error:
        raise ValueError(f"an array cannot be read: {error}") from error
    if len(data) != length or not unpacking.eof or unpacking.unused_data:
        raise ValueError("an array has not the length that it should have")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _has_shape_of(row: Row) -> Callable[[tuple[int, ...]], str]:
    return lambda shape: "" if shape == row.shape else f"what is added to {row.name!r} has not its shape"


def _can_scale(row: Row) -> Callable[[tuple[int, ...]], str]:
    def fits(shape: tuple[int, ...]) -> str:
        whole = len(shape) == len(row.shape) and all(
            size in (1, most) for size, most in zip(shape, row.shape, strict=True)
        )
        channels = shape == row.shape[1:2] and row.kind in ("input", "activation")
        return "" if whole or channels else f"the factors of {row.name!r} have not its shape"

    return fits


def _is_short_row(shape: tuple[int, ...]) -> str:
    short = len(shape) == 1 and shape[0] <= BINS
    return "" if short else f"an array of a histogram has the shape {shape}"


def _finite(values: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise ValueError(f"what is changed of {name!r} is not finite")
    return values
