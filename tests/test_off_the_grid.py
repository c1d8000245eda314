"""float64 values that lie below the grid of the histograms, or above it: counted, and never told as exact when not."""

import fractions
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwidgets import BitHistogram, Calibration, FixedPoint, Plan, calibrate
from qwidgets.errors import DataError
from qwidgets.formats import OVERFLOWS, ROUNDINGS

Values = npt.NDArray[np.float64]

TINY = st.integers(-1074, -140).map(lambda exponent: float(np.ldexp(1.0, exponent)))
HUGE = st.integers(120, 500).map(lambda exponent: float(np.ldexp(1.5, exponent)))
MAGNITUDES = st.one_of(TINY, HUGE, st.sampled_from([5e-324, 2.0**-149, np.nextafter(2.0**-149, 0), 2.0**128, 0.5, 0.0]))
VALUES = st.lists(st.tuples(MAGNITUDES, st.sampled_from([-1.0, 1.0])).map(lambda pair: pair[0] * pair[1]), min_size=1)


@st.composite
def formats(draw: st.DrawFn) -> FixedPoint:
    signed = draw(st.booleans())
    length = draw(st.integers(1 + signed, 16))
    fraction = draw(st.one_of(st.integers(130, 180), st.integers(-512, -100), st.integers(-512, 512)))
    return FixedPoint(length, fraction, signed, draw(st.sampled_from(ROUNDINGS)), draw(st.sampled_from(OVERFLOWS)))


def counted(values: Values, fmt: FixedPoint) -> tuple[int, int]:
    """Underflow and overflow as the values themselves tell."""
    zero = over = 0
    least, most = fractions.Fraction(fmt.min), fractions.Fraction(fmt.max)
    wide = FixedPoint(32, fmt.fraction_length, True, fmt.rounding)
    for value in values:
        rounded = fractions.Fraction(float(wide.quantize(float(value))))
        outside = not least <= rounded <= most
        over += outside
        zero += bool(value != 0 and rounded == 0 and not outside)
    return zero, over


@settings(max_examples=250, derandomize=True, deadline=None)
@given(VALUES, formats())
@example([5e-324, 0.5], FixedPoint(2, 156))
@example([5e-324, 0.5], FixedPoint(16, 153, False, "half_even"))
@example([5e-324, 0.5], FixedPoint(8, -12, rounding="ceil"))
@example([5e-324, -0.5], FixedPoint(8, 160))
@example([2.0**131], FixedPoint(8, -123))
@example([-5e-324], FixedPoint(1, -100, False, "floor"))
@example([5e-324], FixedPoint(8, -100, True, "ceil"))
@example([-5e-324], FixedPoint(8, -100, True, "floor"))
def test_a_preview_is_exact_or_a_bound_that_is_told_as_one(numbers: list[float], fmt: FixedPoint) -> None:
    values = np.array(numbers)
    preview = BitHistogram().update(values).preview(fmt)
    underflow, overflow = counted(values, fmt)
    if preview.exact:
        assert (preview.underflow, preview.overflow) == (underflow, overflow)
    assert preview.underflow >= underflow
    assert preview.overflow >= overflow


def test_values_on_the_grid_keep_their_exact_previews_whatever_their_type() -> None:
    lowest = np.array([2.0**-149, -(2.0**-149), 0.75])
    for values in (lowest, lowest.astype(np.float32), torch.from_numpy(lowest)):
        table = BitHistogram().update(values).previews(8, signed=True)
        assert table["exact"].all()


def test_the_windows_that_are_previewed_stay_on_the_grid() -> None:
    table = BitHistogram().update(np.array([5e-324, -1e300, 1.0])).previews(8, signed=True)
    assert table.index.max() <= 129
    assert table.index.min() >= -152
    assert not table["mse"].isna().any()


HISTOGRAM = BitHistogram().update(np.array([5e-324, 0.5, np.nan])) + BitHistogram().update(np.array([-1.0]))
UNKNOWN_AT = FixedPoint(8, 156)


def test_what_lies_below_the_grid_is_not_forgotten() -> None:
    truncated = BitHistogram().update(np.array([2.0**-149, 0.5, np.nan])) + BitHistogram().update(np.array([-1.0]))
    assert truncated.preview(UNKNOWN_AT).exact
    for copy in (
        HISTOGRAM,
        HISTOGRAM + BitHistogram(),
        BitHistogram() + HISTOGRAM,
        BitHistogram.from_arrays(HISTOGRAM.to_arrays()),
        pickle.loads(pickle.dumps(HISTOGRAM)),
    ):
        assert not copy.preview(UNKNOWN_AT).exact
        assert copy == HISTOGRAM
        assert copy != truncated


def test_a_calibration_of_such_values_comes_back_whole(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x

    tiny = torch.tensor([[5e-324, -1.0], [0.5, 2.0]], dtype=torch.float64)
    calibration = calibrate(Sum(), [tiny, tiny.flip(0)], device="cpu", progress=False)
    assert not calibration["input"].preview(UNKNOWN_AT).exact
    calibration.save(tmp_path / "stats.safetensors")
    loaded = Calibration.load(tmp_path / "stats.safetensors")
    assert all(loaded[name] == calibration[name] for name in calibration)
    assert loaded.data_digest == calibration.data_digest
    plan = loaded.propose()
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json", loaded).table().equals(plan.table())


@pytest.mark.parametrize(
    "change",
    [
        None,
        3,
        [1, 2],
        {"bins": [1, 2]},
        {"bins": None},
        {"special": np.zeros(4)},
        {"counts": np.array([2**62, 2**62])},
        {"extremes": np.array([1.0, np.inf])},
        {"extremes": np.array([np.nan, np.nan])},
        {"extremes": np.array([2.0, 1.0])},
        {"extremes": np.array([0.0, 2.0])},
        {"extremes": np.array([1.0, 4.0])},
        {"extremes": np.array([-1.0, 2.0])},
        {"extremes": np.array([1.0, 2.0, -1.0])},
        {"extremes": np.array([1.0, 2.0, np.nan])},
        {"extremes": np.array([1.0, 2.0, 3.0, 4.0])},
    ],
    ids=repr,
)
def test_arrays_that_no_histogram_has_are_refused(change: Any) -> None:
    arrays = BitHistogram().update(np.array([1.0, 2.0])).to_arrays()
    with pytest.raises(DataError, match="arrays of a bit histogram"):
        BitHistogram.from_arrays({**arrays, **change} if isinstance(change, dict) else change)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.one_of(VALUES.map(lambda v: v[0]), st.floats()), max_size=5))
def test_every_histogram_comes_back_from_its_arrays(numbers: list[float]) -> None:
    histogram = BitHistogram().update(np.array(numbers, np.float64))
    assert BitHistogram.from_arrays(histogram.to_arrays()) == histogram
