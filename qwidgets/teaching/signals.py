"""Sampled signals: made, read from files, quantized, and compared with the rule of 6.02 dB a bit.

A signal is a row of samples between -1 and 1 and a sample rate. Files are read by SciPy and pandas.
"""

import dataclasses
import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from qwidgets.errors import DataError
from qwidgets.formats import FixedPoint
from qwidgets.teaching.bits import OVERFLOW, outcomes
from qwidgets.teaching.pasted import MOST_VALUES, as_values

Floats = npt.NDArray[np.float64]

SAMPLE_RATE = 8000
LONGEST_SECONDS = 10
HIGHEST_RATE = 10_000_000
MOST_COLUMNS = 1000


@dataclass(frozen=True, eq=False)
class Signal:
    """Samples with a name, and how many of them make a second."""

    name: str
    samples: Floats
    sample_rate: int = SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples.size / self.sample_rate


def sine(amplitude: float = 0.99, frequency: float = 441.0, seconds: float = 2.0) -> Signal:
    """A sine, 8000 samples a second.

    Examples
    --------
    >>> tone = sine(0.5)
    >>> tone.samples.size, float(abs(tone.samples).max()) <= 0.5
    (16000, True)
    """
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return Signal("sine", amplitude * np.sin(2 * np.pi * frequency * time))


def chirp(amplitude: float = 0.99, lowest: float = 50.0, highest: float = 2000.0, seconds: float = 2.0) -> Signal:
    """A tone that rises evenly from the lowest to the highest frequency, 8000 samples a second."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return Signal("chirp", amplitude * np.sin(2 * np.pi * (lowest + (highest - lowest) * time / (2 * seconds)) * time))


def from_array(samples: Any, sample_rate: int = SAMPLE_RATE, name: str = "array") -> Signal:
    """A signal from one's own samples; those that are not finite become zero.

    Raises
    ------
    DataError
        There is no sample, or they are no numbers, or the rate is none.
    """
    if not isinstance(sample_rate, int | np.integer) or not 1 <= sample_rate <= HIGHEST_RATE:
        raise DataError(
            f"{name} has a sample rate of {sample_rate!r}; give a whole number from 1 to {HIGHEST_RATE:,} a second"
        )
    values = as_values(samples)
    if not values.size:
        raise DataError(f"{name} holds no sample; give at least one number")
    return Signal(name, np.where(np.isfinite(values), values, 0.0), int(sample_rate))


def read_signal(name: str, content: bytes) -> Signal:
    r"""Read a WAV file, or the last column of numbers of a CSV file; of long ones the first ten seconds.

    The channels of a WAV file are mixed, and its integers scaled to lie between -1 and 1.

    Raises
    ------
    DataError
        It is neither, or holds no number.

    Examples
    --------
    >>> read_signal("two.csv", b"time,volt\n0,0.5\n1,-0.25\n").samples
    array([ 0.5 , -0.25])
    >>> read_signal("tone.wav", to_wav(sine())).sample_rate
    8000
    """
    if name.casefold().endswith(".wav") or content[:4] == b"RIFF":
        return _read_wav(name, content)
    text = [line for line in content.decode(errors="replace").splitlines() if line]
    lines = [re.split(r"[,;\s]+", line.strip(",; \t")) for line in text[: 1 + LONGEST_SECONDS * SAMPLE_RATE]]
    # The first line may be a heading; of the others each has all columns.
    for column in reversed(range(min(map(len, lines[1:] or lines), default=0))[-MOST_COLUMNS:]):
        numbers = [_number(line[column]) if column < len(line) else None for line in lines]
        values = [number for number in numbers if number is not None]
        if values and None not in numbers[1:]:
            return from_array(values, name=name)
    raise DataError(f"{name} has no column of numbers; a WAV file will do, or a CSV file with a number in each line")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read_wav(name: str, content: bytes) -> Signal:
    from scipy.io import wavfile  # slow to import, and only a file needs it

    try:
        rate, data = wavfile.read(io.BytesIO(content))
    except Exception as error:  # SciPy trusts a header, and ends in whatever error what is wrong there leads to
        raise DataError(f"{name} cannot be read as a WAV file: {error}; export it as 16-bit PCM") from None
    begin = content.find(b"fmt ")
    if not any(content[begin + 22 : begin + 24]):
        raise DataError(f"{name} is damaged: it says that its samples have no bits; export it as 16-bit PCM")
    data = np.asarray(data)[: min(int(rate) * LONGEST_SECONDS, MOST_VALUES)]
    samples = data.astype(np.float64)
    if data.dtype == np.uint8:
        samples = (samples - 128) / 128
    elif data.dtype.kind == "i":
        samples /= -float(np.iinfo(data.dtype).min)
    return from_array(samples.mean(axis=1) if samples.ndim == 2 else samples, int(rate), name)


def to_wav(signal: Signal) -> bytes:
    """The signal as a WAV file of 16-bit samples; what lies outside -1 to 1 is clipped."""
    from scipy.io import wavfile

    buffer = io.BytesIO()
    whole = np.clip(np.round(signal.samples * 32767), -32768, 32767).astype(np.int16)
    wavfile.write(buffer, signal.sample_rate, whole)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Quantized:
    """A signal after a format, and how good it still is.

    Attributes
    ----------
    signal : Signal
        The quantized one.
    error : array
        Quantized minus original.
    sqnr_db, rule_db : float
        What was measured, and what the rule says of a sine that fills the range of the format.
    overflow : int
        Samples outside the range.
    """

    signal: Signal
    error: Floats
    sqnr_db: float
    rule_db: float
    overflow: int


def quantize_signal(signal: Signal, fmt: FixedPoint) -> Quantized:
    """Quantize a signal, and measure its SQNR.

    Examples
    --------
    >>> result = quantize_signal(sine(), FixedPoint(8, 7))
    >>> abs(result.sqnr_db - result.rule_db) < 0.3
    True
    """
    kept = fmt.quantize(signal.samples)
    error = kept - signal.samples
    return Quantized(
        Signal(f"{signal.name} in {fmt}", kept, signal.sample_rate),
        error,
        sqnr_db(signal.samples, error),
        rule_db(fmt.word_length),
        int((outcomes(signal.samples, fmt) == OVERFLOW).sum()),
    )


def sqnr_by_word_length(signal: Signal, fmt: FixedPoint, lengths: range = range(2, 17)) -> "pd.Series[float]":
    """The SQNR of a signal for several word lengths with the highest bit of ``fmt``.

    It is measured over the first 32,768 samples.

    Examples
    --------
    >>> sqnr_by_word_length(sine(), FixedPoint(8, 7), range(7, 10)).round().tolist()
    [44.0, 50.0, 56.0]
    """
    part = signal.samples[:32768]
    ratios = {}
    for length in lengths:
        shorter = dataclasses.replace(
            fmt, word_length=length, fraction_length=fmt.fraction_length + length - fmt.word_length
        )
        ratios[length] = sqnr_db(part, shorter.quantize(part) - part)
    return pd.Series(ratios, name="sqnr_db", dtype=float)


def sqnr_db(samples: Floats, error: Floats) -> float:
    """The power of a signal over that of its error, in dB; infinite without an error, NaN without a signal.

    Examples
    --------
    >>> round(sqnr_db(np.array([1.0, -1.0]), np.array([0.1, 0.1])), 6)
    20.0
    """
    signal, noise = float(np.sum(samples**2)), float(np.sum(error**2))
    if not signal:
        return math.nan
    return 10 * math.log10(signal / noise) if noise else math.inf


def rule_db(word_length: int) -> float:
    """The SQNR of a sine that fills the range of ``word_length`` bits: 6.02 dB a bit, and 1.76 dB.

    The power of the sine, half its squared amplitude ``2**(N-1)`` steps, over that of an error spread evenly over one
    step, 1/12: ``10 log10(1.5 * 4**N)``.

    Examples
    --------
    >>> round(rule_db(8), 2), round(rule_db(9) - rule_db(8), 2)
    (49.93, 6.02)
    """
    return 10 * math.log10(1.5) + 20 * math.log10(2) * word_length
