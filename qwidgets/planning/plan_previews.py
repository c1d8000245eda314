"""What formats do to the tensors of a plan: read from histograms, or counted on the weights themselves.

A histogram tells what one format does to a whole tensor. Where each output channel has its own, or each value was
rounded on purpose, the values are counted; these are weights only, of which the calibration has a copy.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qwidgets import arithmetic
from qwidgets.accumulator_format import AccumulatorFormat
from qwidgets.fixed_point import FixedPoint
from qwidgets.per_channel import PerChannel
from qwidgets.planning.plan_state import NumberFormat
from qwidgets.preview import Preview

if TYPE_CHECKING:
    from qwidgets.calibration import Calibration


class Previews:
    """Answers, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Preview] = {}

    def of(self, calibration: "Calibration", name: str, fmt: NumberFormat) -> Preview | None:
        """Tell what a format would do to a tensor; None where that follows only from other tensors' formats."""
        if isinstance(fmt, AccumulatorFormat):
            return None
        key = (id(calibration), name, fmt, calibration[name].count)
        if key not in self._known:
            if len(self._known) > 64 * len(calibration):
                self._known.clear()
            self._known[key] = (
                calibration[name].preview(fmt) if isinstance(fmt, FixedPoint) else count(calibration.values(name), fmt)
            )
        return self._known[key]


def count(values: Tensor, fmt: PerChannel, codes: Tensor | None = None) -> Preview:
    """Tell what formats per channel do to values, by doing it; the errors too are exact.

    Parameters
    ----------
    codes
        What the values become, where that is not what rounding gives.
    """
    values = values.detach().double()
    quantized = fmt.quantize(values) if codes is None else fmt.from_integer(codes)
    steps = torch.from_numpy(fmt.steps).reshape(-1, *[1] * (values.ndim - 1))
    rounded = (values / steps).numpy().copy()
    arithmetic.round_in_place(np, rounded, fmt.rounding)
    channel = fmt[0]
    outside = (rounded < channel.min / channel.step) | (rounded > channel.max / channel.step)
    over = torch.from_numpy(outside)
    finite = values.isfinite()
    errors = torch.where(finite, quantized - values, 0.0)
    total = max(int(finite.sum()), 1)
    signal, noise = (float(part.square().sum()) for part in (torch.where(finite, values, 0.0), errors))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.divide(signal, noise) if noise else (np.inf if signal else np.nan)
        sqnr_db = float(10 * np.log10(ratio))
    return Preview(
        count=values.numel(),
        underflow=int(((quantized == 0) & (values != 0) & ~over & ~values.isnan()).sum()),
        overflow=int((over & ~values.isnan()).sum()),
        mse=noise / total,
        sqnr_db=sqnr_db,
        max_error=float(errors.abs().max()) if values.numel() else 0.0,
        exact=True,
    )
