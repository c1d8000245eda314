"""What people upload and paste by mistake ends soon, and in an error of the package or in marks."""

import io
import struct
import wave
from typing import Any

import numpy as np
import pytest

from qwidgets import FixedPoint
from qwidgets.errors import DataError, FormatError
from qwidgets.teaching import as_values, read_numbers, signals
from qwidgets.teaching.pasted import MOST_FAULTS, MOST_VALUES, Fault
from tests.mutations import mutated

pytestmark = pytest.mark.filterwarnings("ignore::scipy.io.wavfile.WavFileWarning")


def wav(width: int = 2, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, width, 8000, 0, "NONE", ""))
        file.writeframes(bytes(range(240)))
    return buffer.getvalue()


@pytest.mark.parametrize(("width", "channels"), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 2)])
def test_a_broken_wav_file_is_a_signal_or_a_data_error(width: int, channels: int) -> None:
    whole = wav(width, channels)
    for seed in range(300):
        # The header comes to harm more often than its share of the length.
        broken = mutated(whole[:60], seed) + whole[60:] if seed % 2 else mutated(whole, seed)
        try:
            signal = signals.read_signal("broken.wav", broken)
        except DataError:
            continue
        assert signal.samples.size
        assert np.isfinite(signal.samples).all()
        assert signals.read_signal("again.wav", signals.to_wav(signal)).samples.size == signal.samples.size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole.replace(b"data", b"dada"), "cannot be read as a WAV file"),
        (lambda whole: whole[:6], "cannot be read as a WAV file"),
        (lambda whole: whole[:32] + b"\0\0" + whole[34:], "cannot be read as a WAV file"),
        (lambda whole: whole[:34] + b"\0\0" + whole[36:], "no bits"),
        (lambda whole: whole[:24] + struct.pack("<II", 4294945860, 8589846) + whole[32:], "WAV file|sample rate"),
        (lambda whole: whole[:24] + struct.pack("<II", 2000000000, 4000000000) + whole[32:], "rate of 2000000000"),
        (lambda whole: whole[:24] + struct.pack("<II", 0, 0) + whole[32:], "rate of 0"),
    ],
)
def test_what_is_wrong_with_a_wav_file_is_named_with_the_file(change: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"odd.wav.*({message})"):
        signals.read_signal("odd.wav", change(wav()))


def test_what_an_error_about_a_wav_file_advises_helps() -> None:
    assert signals.read_signal("good.wav", wav(width=2)).samples.size == 120


@pytest.mark.parametrize("rate", [0, -1, 1.5, "8000", None, 1 << 40])
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(DataError, match="mine has a sample rate"):
        signals.from_array([0.5], rate, "mine")


def test_of_a_file_of_many_samples_a_million_are_read() -> None:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, 192_000, 0, "NONE", ""))
        file.writeframes(bytes(1_200_000))
    assert signals.read_signal("fine.wav", buffer.getvalue()).samples.size == MOST_VALUES


def test_lines_of_very_different_lengths_end_soon() -> None:
    ragged = b"heading\n" + b"1," * 200_000 + b"\n" + b"x\n" * 20_000
    with pytest.raises(DataError, match="no column of numbers"):
        signals.read_signal("ragged.csv", ragged)
    with pytest.raises(DataError, match="no column of numbers"):
        signals.read_signal("wide.csv", b"x," * 200_000)
    assert signals.read_signal("ragged.csv", b"1;2;3\n4\n5;6\n").samples.tolist() == [1, 4, 5]


def test_prose_is_left_unread_after_a_thousand_words_and_the_numbers_before_it_stay() -> None:
    text = "1.5 " + "word " * 100_000 + "2.5"
    pasted = read_numbers(text)
    assert pasted.values.tolist() == [1.5]
    assert len(pasted.faults) == MOST_FAULTS + 1
    last = pasted.faults[-1]
    assert last == Fault(
        4 + 5 * MOST_FAULTS, len(text), "left unread after 1,000 pieces that are none; take a part of it"
    )


def test_text_holds_a_million_numbers_and_no_more() -> None:
    most = "1 " * MOST_VALUES
    assert as_values(most).size == MOST_VALUES
    with pytest.raises(DataError, match="left unread after 1,000,000 numbers; take a part of it"):
        as_values(most + "1")


@pytest.mark.parametrize("piece", ["1", "x", " ", "−", "Q4.", "ap_fixed<8,5,", "2^ "])
def test_a_format_of_a_megabyte_is_refused_in_a_short_text(piece: str) -> None:
    with pytest.raises(FormatError, match="characters.*examples of what is understood") as caught:
        FixedPoint.parse(piece * 1_000_000)
    assert len(str(caught.value)) < 500
