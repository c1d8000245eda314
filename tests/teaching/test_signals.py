"""Signals: made, read, quantized, and measured against the rule."""

import io
import math
import wave

import numpy as np
import pytest

from qwidgets import FixedPoint
from qwidgets.errors import DataError
from qwidgets.teaching import signals


@pytest.mark.parametrize("word_length", range(4, 17))
def test_a_full_sine_follows_the_rule_of_six_decibels_a_bit(word_length: int) -> None:
    full = signals.sine(amplitude=1 - 2.0 ** (1 - word_length))
    result = signals.quantize_signal(full, FixedPoint(word_length, word_length - 1))
    assert result.overflow == 0
    assert result.rule_db == pytest.approx(6.02 * word_length + 1.76, abs=0.1)
    assert result.sqnr_db == pytest.approx(result.rule_db, abs=1.0)


def test_wrapping_is_far_worse_than_saturating() -> None:
    loud = signals.sine(amplitude=1.2)
    saturated = signals.quantize_signal(loud, FixedPoint(8, 7))
    wrapped = signals.quantize_signal(loud, FixedPoint(8, 7, overflow="wrap"))
    assert saturated.overflow == wrapped.overflow > 0
    assert wrapped.sqnr_db < saturated.sqnr_db - 10


def test_the_overflow_is_counted_as_the_values_say() -> None:
    ramp = signals.from_array(np.linspace(-2, 2, 1001))
    fmt = FixedPoint(8, 7)
    beyond = [value for value in ramp.samples if not fmt.min <= FixedPoint(20, 7).quantize(value) <= fmt.max]
    assert signals.quantize_signal(ramp, fmt).overflow == len(beyond)


def test_a_chirp_rises_from_its_lowest_to_its_highest_frequency() -> None:
    tone = signals.chirp(lowest=100, highest=1000)
    crossings = np.flatnonzero(np.diff(np.signbit(tone.samples)))
    early, late = 4000 / np.diff(crossings)[:5].mean(), 4000 / np.diff(crossings)[-50:].mean()
    assert early == pytest.approx(100, rel=0.1)
    assert late == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize(("width", "tolerance"), [(1, 2**-7), (2, 2**-15), (4, 2**-30)])
def test_a_wav_file_of_any_width_is_read_between_minus_one_and_one(width: int, tolerance: float) -> None:
    tone = signals.sine(seconds=0.01).samples
    scale = 2 ** (8 * width - 1)
    codes = np.clip(np.round(tone * scale), -scale, scale - 1).astype(f"<i{width}")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, width, 22050, 0, "NONE", ""))
        file.writeframes((codes.astype(np.int16) + 128).astype(np.uint8).tobytes() if width == 1 else codes.tobytes())
    read = signals.read_signal("tone.wav", buffer.getvalue())
    assert read.sample_rate == 22050
    assert np.abs(read.samples - tone).max() <= tolerance


def test_what_is_written_as_wav_is_read_again() -> None:
    tone = signals.chirp(seconds=0.1)
    read = signals.read_signal("chirp.wav", signals.to_wav(tone))
    assert read.seconds == pytest.approx(0.1)
    assert np.abs(read.samples - tone.samples).max() < 1e-4


def test_both_channels_are_mixed() -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.array([[16384, 0], [0, -16384]], "<i2").tobytes())
    assert signals.read_signal("stereo.wav", buffer.getvalue()).samples.tolist() == [0.25, -0.25]


@pytest.mark.parametrize("text", ["0.5\n-0.25\n", "t;u\n1;0.5\n2;-0.25\n", "volt\n0.5\n-0.25", "0.5,\n-0.25,\n"])
def test_a_column_of_numbers_is_found_in_a_csv_file(text: str) -> None:
    assert signals.read_signal("signal.csv", text.encode()).samples.tolist() == [0.5, -0.25]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "empty.csv"),
        ("words.csv", b"one\ntwo\nthree\n", "no column of numbers"),
        ("noise.wav", b"RIFF but nothing more", "noise.wav cannot be read"),
        ("empty.wav", b"", "cannot be read"),
        ("bytes.csv", bytes(range(128, 256)), "bytes.csv"),
    ],
)
def test_a_file_that_is_no_signal_is_refused_by_name(name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        signals.read_signal(name, content)


def test_samples_that_are_not_finite_become_silence() -> None:
    assert signals.from_array([0.5, math.nan, math.inf]).samples.tolist() == [0.5, 0, 0]
    with pytest.raises(DataError, match="no sample"):
        signals.from_array([])


def test_silence_has_no_sqnr_and_a_perfect_copy_an_infinite_one() -> None:
    silence = signals.quantize_signal(signals.from_array([0.0, 0.0]), FixedPoint(8, 7))
    assert math.isnan(silence.sqnr_db)
    assert signals.quantize_signal(signals.from_array([0.5]), FixedPoint(8, 7)).sqnr_db == math.inf
