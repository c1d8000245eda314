import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwidgets.errors import PlanError
from qwidgets.formats import FixedPoint
from qwidgets.histograms import BitHistogram
from qwidgets.schemes import SCHEMES, choose, register_scheme

LOGGED = np.array([0.03125, 0.25, 0.25, 0.5, 1, 2.1, -2.125, 8.25, 16.25])


def of(*values: float) -> BitHistogram:
    return BitHistogram().update(np.array(values, dtype=np.float32))


def overflows(fmt: FixedPoint, values: np.ndarray) -> int:
    unlimited = np.trunc(np.abs(values) / fmt.step + 0.5) * np.sign(values) * fmt.step
    return int(((unlimited < fmt.min) | (unlimited > fmt.max)).sum())


def test_the_histogram_rule_gives_the_window_of_the_worked_example() -> None:
    fmt = choose("histogram", BitHistogram().update(LOGGED), 8)
    assert fmt == FixedPoint.from_window(3, -3, signed=True)
    assert fmt.word_length == 8


def test_the_histogram_rule_moves_up_when_its_centre_lies_between_two_windows() -> None:
    # Unsigned, 8 bits: a window's centre lies on a half; all values have their MSB at 0.
    assert choose("histogram", of(1.0, 1.5), 8).bits[0] == 4


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_the_sign_is_chosen_from_the_data_unless_asked_for(scheme: str) -> None:
    assert choose(scheme, of(-1.0, 2.0), 8).signed
    assert not choose(scheme, of(1.0, 2.0), 8).signed
    assert choose(scheme, of(1.0, 2.0), 8, signed=True).signed
    assert not choose(scheme, of(-1.0, 2.0), 8, signed=False).signed


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("word_length", [2, 4, 8, 12, 16, 32])
def test_every_scheme_gives_the_word_length_asked_for(scheme: str, word_length: int) -> None:
    assert choose(scheme, BitHistogram().update(LOGGED), word_length).word_length == word_length


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("values", [(), (0.0, 0.0), (np.nan,), (np.inf, 0.0)])
def test_a_tensor_without_a_bit_to_go_by_gets_the_window_below_one(scheme: str, values: tuple[float, ...]) -> None:
    assert choose(scheme, of(*values), 8) == FixedPoint.from_window(-1, -8, signed=False)


finite = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(st.lists(finite, min_size=1, max_size=30), st.integers(2, 16))
def test_minmax_never_overflows_and_is_the_finest_that_does_not(values: list[float], word_length: int) -> None:
    data = np.array(values, dtype=np.float32)
    if not data.any():
        return
    fmt = choose("minmax", BitHistogram().update(data), word_length)
    finer = FixedPoint.from_window(fmt.msb - 1, fmt.lsb - 1, fmt.signed)
    assert overflows(fmt, data.astype(np.float64)) == 0
    assert overflows(finer, data.astype(np.float64)) > 0


def test_minmax_keeps_the_most_negative_number_of_a_signed_format() -> None:
    assert choose("minmax", of(-1.0, 0.5), 8).window == "2^-1 … 2^-7"
    assert choose("minmax", of(1.0, -0.5), 8).window == "2^0 … 2^-6"


def test_minmax_sees_that_a_value_may_be_rounded_out_of_the_range() -> None:
    # 1 - 2^-9 is below 2^0, but in eight unsigned bits below one it would be rounded to 2^0.
    assert choose("minmax", of(1 - 2**-9), 8).window == "2^0 … 2^-7"
    assert choose("minmax", of(1 - 2**-8), 8).window == "2^-1 … 2^-8"


@given(st.lists(finite, min_size=1, max_size=50))
def test_mse_is_as_good_as_the_best_window_by_brute_force(values: list[float]) -> None:
    data = np.array(values, dtype=np.float32)
    if not data.any():
        return
    fmt = choose("mse", BitHistogram().update(data), 8)
    exact = data.astype(np.float64)

    def error(candidate: FixedPoint) -> float:
        return float(np.mean((candidate.quantize(exact) - exact) ** 2))

    best = min(error(FixedPoint.from_window(fmt.msb + by, fmt.lsb + by, fmt.signed)) for by in range(-40, 40))
    # The histogram knows a value to one part in 256, and so an error to about that part of the value.
    tolerance = float(np.mean((exact / 256) ** 2))
    assert np.sqrt(error(fmt)) <= np.sqrt(best) + 2 * np.sqrt(tolerance)


def test_percentile_lets_exactly_the_rest_overflow() -> None:
    values = np.concatenate([np.linspace(0.01, 1.0, 990), np.full(10, 100.0)])
    counted = BitHistogram().update(values)
    tight = choose("percentile", counted, 8, percentile=99.0)
    assert counted.preview(tight).overflow == 10
    assert counted.preview(choose("percentile", counted, 8, percentile=99.95)).overflow == 0
    assert choose("percentile", counted, 8, percentile=100) == choose("minmax", counted, 8)


def test_a_percentile_that_is_none_is_refused() -> None:
    with pytest.raises(PlanError, match=r"percentile is 101.*from 0 to 100"):
        choose("percentile", of(1.0), 8, percentile=101)


def test_an_unknown_scheme_is_named_with_those_that_there_are() -> None:
    with pytest.raises(PlanError, match=r"no scheme 'kl'.*minmax, mse, percentile, histogram"):
        choose("kl", of(1.0), 8)


def test_an_unknown_option_is_named_with_those_that_the_scheme_takes() -> None:
    with pytest.raises(PlanError, match=r"takes no option 'percent'; it takes signed, percentile"):
        choose("percentile", of(1.0), 8, percent=99)


def test_a_rule_of_ones_own_is_used_by_its_name() -> None:
    @register_scheme
    def whole_numbers(histogram: BitHistogram, word_length: int, signed: bool | None = None) -> FixedPoint:
        return FixedPoint(word_length, 0)

    try:
        assert choose("whole_numbers", of(1.0), 12) == FixedPoint(12, 0)
    finally:
        del SCHEMES["whole_numbers"]
