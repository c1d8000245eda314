"""Rules that choose a bit window from a histogram.

A scheme is a plain function ``scheme(histogram, word_length, signed=None, **options) -> FixedPoint``. It sees only what
is remembered of one tensor. ``SCHEMES`` is the one registry; :func:`register_scheme` adds a rule of your own to it.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from qwidgets.calibration import Calibration
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.histograms import BitHistogram
from qwidgets.network import Row
from qwidgets.tuning import (
    NumberFormat,
    has_accumulator,
    has_one_accumulator,
    has_output_channels_first,
    masks,
    why_not_per_channel,
)

Scheme = Callable[..., FixedPoint]

SCHEMES: dict[str, Scheme] = {}

SPREAD = 12
"""By how many bits the windows of one weight's channels may lie apart. A trained network has channels that are all but
dead; in steps as fine as their weights are small, the bias would overflow the accumulator."""


def register_scheme(scheme: Scheme) -> Scheme:
    """Make a rule known under the name of its function; usable as a decorator.

    Examples
    --------
    >>> @register_scheme
    ... def integers(histogram, word_length, signed=None):
    ...     return FixedPoint(word_length, 0, signed=True)
    >>> SCHEMES.pop("integers")(BitHistogram(), 8)
    FixedPoint(word_length=8, fraction_length=0, signed=True, rounding='half_away', overflow='saturate')
    """
    SCHEMES[scheme.__name__] = scheme
    return scheme


def propose(
    name: str, calibration: Calibration, row: Row, word_length: int, per_channel: bool, **options: object
) -> NumberFormat | None:
    """Choose the format of a tensor; with ``per_channel``, of each output channel of a weight where that may be.

    A bias then gets the format of its layer's accumulator, unless it is added to several. All channels have the sign
    that the whole tensor needs. What masks the scores of an attention stays in float: None (see
    `qwidgets.tuning.attention_masks`).

    Raises
    ------
    PlanError
        There is no such scheme, or it takes no such option.
    CalibrationError
        The calibration does not know the weight's values.
    """
    _known(name)
    if masks(calibration, row):
        return None
    histogram = calibration[row.name]
    if per_channel and has_accumulator(row) and has_one_accumulator(calibration, row):
        return ACCUMULATOR
    whole = why_not_per_channel(row) or not has_output_channels_first(calibration, row)
    if not per_channel or whole:
        return choose(name, histogram, word_length, **options)
    values = calibration.values(row.name)
    signed = options.pop("signed", None)
    options["signed"] = histogram.negative > 0 if signed is None else signed
    if SCHEMES.get(name) is mse and set(options) == {"signed"}:
        return least_squares(values, word_length, bool(options["signed"]))
    channels = (BitHistogram().update(channel) for channel in values)
    return _together(choose(name, channel, word_length, **options) for channel in channels)


def anew(
    calibration: Calibration, row: Row, fmt: FixedPoint | PerChannel, per_channel: bool, name: str = "mse"
) -> FixedPoint | PerChannel:
    """Choose the window of a tensor anew, or one for each output channel; all else that its format says stays.

    Raises
    ------
    CalibrationError
        The calibration does not know the weight's values.
    """
    found = propose(name, calibration, row, fmt.word_length, per_channel, signed=fmt.signed)
    assert isinstance(found, FixedPoint | PerChannel)
    return dataclasses.replace(found, rounding=fmt.rounding, overflow=fmt.overflow)


def least_squares(values: Tensor, word_length: int = 8, signed: bool = True) -> PerChannel:
    """For each channel along the first dimension, the window with the least squared error of these very values.

    Where several windows do equally well, the one with the most headroom, as for `mse`. No window lies more than
    `SPREAD` bits below the highest one.

    Examples
    --------
    >>> [fmt.window for fmt in least_squares(torch.tensor([[1.0, 0.5], [8.1, -3.0], [0.0, 0.0]]))]
    ['2^5 … 2^-1', '2^3 … 2^-3', '2^-1 … 2^-7']
    """
    channels = values.detach().double().flatten(1)
    channels = torch.where(channels.isfinite(), channels, 0.0)
    top = torch.frexp(channels.abs().amax(1, keepdim=True)).exponent.double() - 1
    least = -(2.0 ** (word_length - 1)) if signed else 0.0
    most = least + 2.0**word_length - 1
    found = torch.full_like(top, -1.0)
    smallest = torch.full_like(top, math.inf)
    # Above, nothing overflows, and the values keep at least one bit; far below, almost everything does.
    for offset in range(word_length - 1, -word_length, -1):
        step = torch.exp2(top + offset - (word_length - signed) + 1)
        codes = channels / step
        rounded = (torch.trunc(codes + torch.copysign(torch.tensor(0.5), codes))).clamp_(least, most)
        errors = (rounded * step - channels).square_().sum(1, keepdim=True)
        better = errors < smallest
        smallest = torch.where(better, errors, smallest)
        found = torch.where(better, top + offset, found)
    empty = (channels == 0).all(1, keepdim=True)
    msbs = torch.where(empty, -1.0, found).flatten().int().tolist()
    return _together(_at_msb(msb, word_length, signed) for msb in msbs)


def _together(formats: Iterable[FixedPoint]) -> PerChannel:
    """Join the formats of channels, the lowest ones raised to where they are within `SPREAD` of the highest."""
    found = PerChannel.of(formats)
    finest = min(found.fraction_lengths) + SPREAD
    return dataclasses.replace(found, fraction_lengths=tuple(min(n, finest) for n in found.fraction_lengths))


def choose(name: str, histogram: BitHistogram, word_length: int, **options: object) -> FixedPoint:
    """Apply the scheme called ``name``.

    Raises
    ------
    PlanError
        There is no such scheme, or it takes no such option.
    """
    scheme = _known(name)
    unknown = sorted(option for option in options if not takes(name, option))
    if unknown:
        known = ", ".join(list(inspect.signature(scheme).parameters)[2:])
        raise PlanError(f"scheme {name!r} takes no option {', '.join(map(repr, unknown))}; it takes {known}")
    return scheme(histogram, word_length, **options)


def takes(name: str, option: str) -> bool:
    """Whether the scheme called ``name`` takes an option.

    Raises
    ------
    PlanError
        There is no such scheme.

    Examples
    --------
    >>> takes("mse", "signed"), takes("mse", "percentile")
    (True, False)
    """
    parameters = inspect.signature(_known(name)).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return takes_any or option in parameters


def _known(name: str) -> Scheme:
    scheme = SCHEMES.get(name) if isinstance(name, str) else None
    if scheme is None:
        raise PlanError(f"there is no scheme {name!r}; known are {', '.join(SCHEMES)} (register_scheme adds one)")
    return scheme


@register_scheme
def minmax(histogram: BitHistogram, word_length: int = 8, signed: bool | None = None) -> FixedPoint:
    """The finest window in which no finite value overflows (of an unsigned format: no positive one).

    Examples
    --------
    >>> minmax(BitHistogram().update(np.array([-1.0, 0.25])), 8).window
    '2^-1 … 2^-7'
    """
    signed = _signedness(histogram, signed)
    if not _has_bits(histogram):
        return _unit_window(word_length, signed)
    low = histogram.min if signed else max(histogram.min, 0.0)
    highest = math.frexp(max(abs(low), abs(histogram.max)))[1]
    formats = (_at_msb(msb, word_length, signed) for msb in range(highest - 2, highest + 1))
    # A tie goes away from zero, so a value half a step beyond the range is already outside.
    return next(fmt for fmt in formats if fmt.min - fmt.step / 2 < low and histogram.max < fmt.max + fmt.step / 2)


@register_scheme
def mse(histogram: BitHistogram, word_length: int = 8, signed: bool | None = None) -> FixedPoint:
    """The window with the least mean squared error, as the histogram estimates it.

    Where several windows do equally well, the one with the most headroom above the data.
    """
    signed = _signedness(histogram, signed)
    if not _has_bits(histogram):
        return _unit_window(word_length, signed)
    errors = histogram.previews(word_length, signed)["mse"]
    return _at_msb(_highest(errors == errors.min()), word_length, signed)


@register_scheme
def percentile(
    histogram: BitHistogram, word_length: int = 8, signed: bool | None = None, percentile: float = 99.99
) -> FixedPoint:
    """The finest window in which at least ``percentile`` percent of the values do not overflow.

    Raises
    ------
    PlanError
        ``percentile`` is not a number from 0 to 100.
    """
    if not 0 <= percentile <= 100:
        raise PlanError(f"percentile is {percentile!r}; it takes a number from 0 to 100, such as 99.99")
    signed = _signedness(histogram, signed)
    if not _has_bits(histogram):
        return _unit_window(word_length, signed)
    overflow = histogram.previews(word_length, signed)["overflow"]
    # Infinities overflow every window, and so do the negative values of a format that was asked to be unsigned.
    finite = histogram.count - histogram.nonfinite
    allowed = overflow.min() + math.floor(finite * (100 - percentile) / 100)
    fits = overflow[overflow <= allowed]
    return _at_msb(int(fits.index.min()), word_length, signed)


@register_scheme
def histogram(histogram: BitHistogram, word_length: int = 8, signed: bool | None = None) -> FixedPoint:
    """The window centred on the mean MSB position of the nonzero values.

    With n magnitude bits the top one is ``floor(mean + (n - 1) / 2 + 1 / 2)``: the centre of the window is the mean,
    rounded to where a window of n bits can have its centre, upwards on a tie.

    Examples
    --------
    >>> logged = np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25])
    >>> histogram(BitHistogram().update(logged), 8).window
    '2^3 … 2^-3'
    """
    signed = _signedness(histogram, signed)
    if not _has_bits(histogram):
        return _unit_window(word_length, signed)
    counts = histogram.msb_counts()
    mean = float(np.average(counts.index.to_numpy(), weights=counts.to_numpy()))
    magnitude_bits = word_length - signed
    return _at_msb(math.floor(mean + (magnitude_bits - 1) / 2 + 0.5), word_length, signed)


def _signedness(histogram: BitHistogram, asked: bool | None) -> bool:
    return histogram.negative > 0 if asked is None else asked


def _has_bits(histogram: BitHistogram) -> bool:
    return histogram.count > histogram.zeros + histogram.nonfinite


def _lsb(msb: int, word_length: int, signed: bool) -> int:
    return msb - (word_length - signed) + 1


def _at_msb(msb: int, word_length: int, signed: bool) -> FixedPoint:
    return FixedPoint.from_window(msb, _lsb(msb, word_length, signed), signed)


def _unit_window(word_length: int, signed: bool) -> FixedPoint:
    """The window just below one: what a tensor gets that has no bit to go by."""
    return _at_msb(-1, word_length, signed)


def _highest(chosen: "pd.Series[bool]") -> int:
    return int(chosen.index[chosen.to_numpy()].max())
