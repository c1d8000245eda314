"""The number line, the table of roundings and the scope, without a browser."""

import dataclasses
import io
import wave
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from qwidgets import FixedPoint
from qwidgets.errors import DataError
from qwidgets.teaching import signals
from qwidgets.widgets.teaching import NumberLine, RoundingTable, SineScope
from qwidgets.widgets.teaching.sine_scope import OWN
from qwidgets.widgets.teaching.teaching_view import TeachingView


def settled(exhibit: TeachingView) -> Any:
    exhibit.draw_now()
    assert exhibit.problem is None
    return exhibit


def test_a_number_line_draws_every_number_and_where_each_value_goes() -> None:
    line = settled(NumberLine(FixedPoint(3, 1), [0.6, 9, -0.2]))
    assert line._numbers.x.tolist() == [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5]
    assert line._points.x.tolist() == [0.6, 9, -0.2]
    assert line._tips.x.tolist() == [0.5, 1.5, 0]
    assert "9 goes to 1.5, overflow" in line.description
    assert "-0.2 goes to 0, underflow" in line.description


def test_changing_the_format_moves_what_is_drawn_and_animates() -> None:
    line = NumberLine()
    line._controls.notation.value = "Q2.2"
    assert settled(line).format == FixedPoint(5, 2)
    assert line._walls.x.tolist() == [[-4, -4], [3.75, 3.75]]
    assert line._figure.animation_duration > 0


@pytest.mark.parametrize("values", [[], [np.nan], "inf 1", [1e300, -1e300], np.linspace(-9, 9, 1000)])
@pytest.mark.parametrize("fmt", [FixedPoint(2, 0), FixedPoint(32, 40), FixedPoint(1, 0, signed=False)])
def test_a_number_line_takes_any_values_and_any_format(values: Any, fmt: FixedPoint) -> None:
    line = settled(NumberLine(fmt, values))
    assert len(line._numbers.x) <= 257
    assert line.description


def test_the_rounding_table_shows_what_each_rounding_does_on_ties() -> None:
    table = settled(RoundingTable())
    assert table.table().loc[2.5].tolist() == [3, 2, 3, 2, 3, 2]
    assert table._table.value.count("<tr>") == 6 + 3
    assert "Least bias: half_away, half_even, zero" in table.description


def test_typed_values_are_rounded_and_what_is_no_number_is_marked() -> None:
    table = RoundingTable()
    table._values_box.text.value = "0.3 <i> nan"
    assert settled(table).values.size == 2
    assert "&lt;i&gt;" in table._values_box.faults.value
    table._values_box.text.value = ""
    assert "type or paste" in settled(table).description


def test_the_scope_measures_what_the_functions_measure() -> None:
    scope = settled(SineScope(fmt=FixedPoint(6, 5)))
    result = signals.quantize_signal(signals.sine(0.87), FixedPoint(6, 5))
    assert scope.result.sqnr_db == result.sqnr_db
    assert f"{result.sqnr_db:.1f} dB" in scope.description
    assert scope._after.y.tolist() == result.signal.samples[:120].tolist()


def test_too_loud_a_sine_saturates_or_wraps_as_one_says() -> None:
    scope = SineScope(fmt=FixedPoint(6, 5))
    scope._amplitude.value = 1.5
    assert "overflow and saturate" in settled(scope).description
    scope.format = dataclasses.replace(scope.format, overflow="wrap")
    assert "wrap to the other side" in settled(scope).description


def test_a_chirp_and_ones_own_samples_can_be_seen() -> None:
    scope = SineScope([0.1, 0.2])
    assert scope._kind.value == OWN
    scope._kind.value = "chirp"
    assert settled(scope).signal.name == "chirp"
    scope._kind.value = OWN
    assert "upload a WAV or CSV file" in str(scope.problem)
    scope.signal = np.zeros(3)
    scope.draw_now()
    assert scope._kind.value == OWN
    assert scope._amplitude.disabled
    with pytest.raises(DataError, match="no sample"):
        scope.signal = []


def upload(scope: SineScope, name: str, content: bytes) -> None:
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    scope._upload.value = (file | {"last_modified": datetime.now(UTC)},)


def test_a_file_is_read_and_a_bad_one_is_told_and_changes_nothing() -> None:
    scope = SineScope()
    upload(scope, "mine.csv", b"0.5\n-0.5\n")
    assert settled(scope).signal.name == "mine.csv"
    upload(scope, "noise.wav", b"nothing")
    assert "noise.wav" in str(scope.problem)
    assert scope.signal.name == "mine.csv"


def test_one_can_listen_to_both_until_something_changes() -> None:
    scope = settled(SineScope())
    scope._listen.click()
    (box,) = scope._sound.children
    sounds = [bytes(part.value) for part in box.children if hasattr(part, "autoplay")]
    for sound in sounds:
        with wave.open(io.BytesIO(sound)) as file:
            assert file.getnframes() == 16000
    assert sounds[0] != sounds[1]
    scope.format = FixedPoint(5, 4)
    assert not settled(scope)._sound.children


@pytest.mark.parametrize("make", [NumberLine, RoundingTable, SineScope])
def test_each_tells_what_is_seen_in_a_live_region_and_without_a_kernel(make: Any) -> None:
    exhibit = settled(make())
    assert "role='status'" in exhibit._told.value
    assert len(exhibit._repr_mimebundle_()["text/html"]) > 40
    exhibit._controls.notation.value = "nonsense"
    assert "cannot read the format" in str(exhibit.problem)
