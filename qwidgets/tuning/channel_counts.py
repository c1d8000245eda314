"""The output channels of a weight one by one: which bits their values have, and what their formats do to them.

The values are counted themselves; a calibration has a copy of every weight. Pure functions of values and formats.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from qwidgets.errors import DataError
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.tuning.plan_previews import Effect


def effects(values: Tensor, fmt: FixedPoint | PerChannel, only: Sequence[int] | None = None) -> pd.DataFrame:
    """Tell what a format does to each channel along the first dimension, by doing it.

    Parameters
    ----------
    values
        Of the whole weight.
    fmt
        Of each channel, or one for all.
    only
        The channels to tell of, from 0 on; all if None.

    Returns
    -------
    DataFrame
        Indexed by ``channel``: ``window``, ``msb`` and ``lsb``, and the fields of `Preview`, all of
        them exact.

    Raises
    ------
    DataError
        There is no such channel.

    Examples
    --------
    >>> table = effects(torch.tensor([[0.03125, 2.1], [16.25, 1.0]]), FixedPoint.from_window(3, -3))
    >>> table[["window", "underflow", "overflow"]].values.tolist()
    [['2^3 … 2^-3', 1, 0], ['2^3 … 2^-3', 0, 1]]
    """
    channels = list(range(values.shape[0]) if only is None else only)
    unknown = [channel for channel in channels if not 0 <= channel < values.shape[0]]
    if unknown:
        raise DataError(f"there is no channel {unknown[0]}: there are {values.shape[0]}, counted from 0")
    formats = [fmt if isinstance(fmt, FixedPoint) else fmt[channel] for channel in channels]
    index = pd.Index(channels, name="channel")
    windows = pd.DataFrame(
        {
            "window": [one.window for one in formats],
            "msb": [one.msb for one in formats],
            "lsb": [one.lsb for one in formats],
        },
        index=index,
    )
    counted = Effect.of(values[channels], PerChannel.of(formats)).by_channel() if channels else []
    fields = ["count", "underflow", "overflow", "mse", "sqnr_db", "max_error", "exact"]
    previews = pd.DataFrame([vars(preview) for preview in counted], columns=fields, index=index)
    return windows.join(previews)


def msb_counts(values: Tensor) -> pd.DataFrame:
    """Count the finite nonzero values of each channel by the position of their leading one.

    Returns
    -------
    DataFrame of int64
        Indexed by ``channel``, with a column per bit from the highest to the lowest that occurs in any of them.

    Examples
    --------
    >>> msb_counts(torch.tensor([[4.0, 7.5], [-1.0, 0.0]])).values.tolist()
    [[2, 0, 0], [0, 0, 1]]
    """
    flat = values.detach().double().flatten(1)
    counted = flat.isfinite() & (flat != 0)
    bits = (torch.frexp(torch.where(counted, flat, 1.0)).exponent - 1).numpy()
    there = counted.numpy()
    top, bottom = (int(bits[there].max()), int(bits[there].min())) if there.any() else (-1, 0)
    totals = np.zeros((flat.shape[0], top - bottom + 1), np.int64)
    np.add.at(totals, (np.nonzero(there)[0], top - bits[there]), 1)
    index = pd.RangeIndex(flat.shape[0], name="channel")
    return pd.DataFrame(totals, index=index, columns=pd.RangeIndex(top, bottom - 1, -1, name="bit"))
