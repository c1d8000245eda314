"""Interrupts: a batch is counted whole or not at all, wherever and however often Ctrl-C is pressed."""

import contextlib
import itertools
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import qwidgets
from qwidgets.calibration import Calibration, calibrate, calibration_steps
from qwidgets.calibration.interruption import finished_first, undisturbed
from qwidgets.errors import CalibrationError
from qwidgets.histograms import BitHistogram, move_counts
from qwidgets.histograms.kernels.table import Table, add_counts, pour

PACKAGE = str(Path(qwidgets.__file__).parent)
MOMENTS = ("call", "c_return")
"""Where Python looks whether a signal came: when a function begins, and when a built-in one has ended."""


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.signal(signal.SIGINT, before)
    assert left is signal.default_int_handler


def test_an_interrupt_is_heard_after_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), finished_first():
        ctrl_c()
        done.append("the rest of the block")
    assert done


def test_a_second_interrupt_is_heard_at_once() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), finished_first():
        ctrl_c()
        ctrl_c()
        done.append("the rest of the block")
    assert not done


def test_what_must_not_be_disturbed_is_not_however_often_one_interrupts() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), finished_first(), undisturbed():
        for _ in range(5):
            ctrl_c()
        done.append("the rest of the block")
    assert done


def test_who_else_hears_interrupts_hears_each_of_them_afterwards() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with finished_first(), undisturbed():
            ctrl_c()
            ctrl_c()
            assert not heard
        assert heard == [signal.SIGINT] * 2
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    seen: list[object] = []

    def work() -> None:
        with finished_first(), undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


# Batches

BATCH = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
BATCHES = 4


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4), nn.Tanh())


class Presses:
    """Presses Ctrl-C so many times at the n-th moment within the package."""

    def __init__(self, at: int, times: int) -> None:
        self.left, self.times = at, times

    def __enter__(self) -> None:
        sys.setprofile(self._look)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        if event in MOMENTS and frame.f_code.co_filename.startswith(PACKAGE):
            self.left -= 1
            if self.left < 0:
                sys.setprofile(None)
                for _ in range(self.times):
                    ctrl_c()


def counted_until_interrupted(at: int, times: int) -> Calibration:
    """Count batches until Ctrl-C is pressed so many times at the n-th moment after the capture."""
    steps = calibration_steps(network(), [BATCH] * BATCHES, device="cpu")
    calibration = next(steps)
    with contextlib.suppress(KeyboardInterrupt), Presses(at, times):
        for _ in steps:
            pass
    return calibration


def values_of_a_batch(calibration: Calibration) -> dict[str, int]:
    return {row.name: 20 if row.name != "0" else 15 for row in calibration.rows if row.kind in ("input", "activation")}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(at=st.integers(0, 700), times=st.integers(1, 3))
def test_a_batch_is_counted_whole_or_not_at_all(at: int, times: int) -> None:
    calibration = counted_until_interrupted(at, times)
    assert 0 <= calibration.batches <= BATCHES
    for name, values in values_of_a_batch(calibration).items():
        assert calibration[name].count == values * calibration.batches
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("times", "batches"), [(1, 2), (2, 1), (5, 1)])
def test_one_interrupt_counts_the_batch_at_hand_and_a_second_one_does_not(times: int, batches: int) -> None:
    calls = itertools.count()

    def forward(model: nn.Module, batch: Tensor) -> None:
        model(batch)  # all of it is counted, but the batch is not over
        if next(calls) == 1:
            for _ in range(times):
                ctrl_c()

    with pytest.warns(UserWarning, match=rf"interrupted: .* {batches} of {BATCHES} batches"):
        found = calibrate(network(), [BATCH] * BATCHES, device="cpu", progress=False, forward=forward)
    assert found.batches == batches
    assert {name: found[name].count for name in values_of_a_batch(found)} == {
        name: values * batches for name, values in values_of_a_batch(found).items()
    }


@pytest.mark.parametrize("at", range(50, 650, 150))
def test_what_is_saved_after_two_interrupts_has_whole_batches(at: int, tmp_path: Path) -> None:
    counted_until_interrupted(at, 2).save(tmp_path / "counts.safetensors")
    loaded = Calibration.load(tmp_path / "counts.safetensors")
    for name, values in values_of_a_batch(loaded).items():
        assert loaded[name].count == values * loaded.batches


def test_a_batch_that_fails_half_way_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    update, calls = BitHistogram.update, itertools.count()

    def fail(self: BitHistogram, x: Any) -> BitHistogram:
        if x.shape == (5, 4) and next(calls) == 3:  # the last layer of the second batch
            raise MemoryError("no room")
        return update(self, x)

    monkeypatch.setattr(BitHistogram, "update", fail)
    with pytest.raises(CalibrationError, match="batch 1 failed") as caught:
        calibrate(network(), [BATCH] * BATCHES, device="cpu", progress=False)
    left = caught.value.calibration
    assert left is not None
    assert left.batches == 1
    assert {name: left[name].count for name in values_of_a_batch(left)} == values_of_a_batch(left)


def test_who_reads_while_batches_are_counted_finds_whole_ones(tmp_path: Path) -> None:
    calibration = calibrate(network(), [BATCH], device="cpu", progress=False)
    over = threading.Event()
    found: list[Calibration] = []

    def read() -> None:
        while not over.is_set() or not found:
            calibration.save(tmp_path / "counts.safetensors")
            found.append(Calibration.load(tmp_path / "counts.safetensors"))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        calibrate(network(), [BATCH] * 40, device="cpu", progress=False, into=calibration)
    finally:
        over.set()
        thread.join()
    for each in found:
        counts = {name: each[name].count / values for name, values in values_of_a_batch(each).items()}
        assert set(counts.values()) == {each.batches}


# What is counted on a device, where the counters stay


def table_of(values: list[float]) -> Table:
    table = Table(torch.device("cpu"))
    qwidgets.histograms.kernels.count(torch.tensor(values), table)
    return table


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), max_size=5), min_size=2, max_size=2))
def test_counters_that_are_poured_together_hold_what_both_held(values: list[list[float]]) -> None:
    source, target = map(table_of, values)
    expected = add_counts(source.read(), target.read())
    pour([source], [target])
    for poured, sum_of_both in zip(target.read(), expected, strict=True):
        assert torch.equal(torch.as_tensor(poured), torch.as_tensor(sum_of_both))
    assert not source.cells.any()


def test_histograms_hand_over_what_they_counted_and_count_on() -> None:
    sources, targets = [BitHistogram().update(BATCH)], [BitHistogram().update(BATCH[:2])]
    for _ in range(2):
        move_counts(sources, targets)
    assert targets[0] == BitHistogram().update(torch.cat([BATCH, BATCH[:2]]))
    assert sources[0] == BitHistogram()
    assert sources[0].update(BATCH).count == 20


@pytest.mark.parametrize("at", range(12))
def test_who_is_interrupted_while_reading_what_a_device_counted_loses_nothing(at: int) -> None:
    histogram = BitHistogram().update(BATCH)
    histogram._tables[torch.device("cpu")] = table_of([1.0, -3.0, 0.25])
    with contextlib.suppress(KeyboardInterrupt), Presses(at, 1):
        assert histogram.count
    assert histogram == BitHistogram().update(torch.cat([BATCH.flatten(), torch.tensor([1.0, -3.0, 0.25])]))


def test_counters_of_a_device_are_handed_over_too() -> None:
    device = torch.device("cpu")  # which keeps none of its own, so that these stand for those of a GPU
    sources, targets = [BitHistogram()], [BitHistogram()]
    for values in ([1.0, -3.0], [0.25], []):
        sources[0]._tables.setdefault(device, Table(device))
        qwidgets.histograms.kernels.count(torch.tensor(values), sources[0]._tables[device])
        move_counts(sources, targets)
    assert targets[0] == BitHistogram().update(torch.tensor([1.0, -3.0, 0.25]))
    assert sources[0].count == 0
    assert not targets[0]._tables
