"""Counting: every kernel gives the counts that arithmetic on the values gives, wherever and however the values lie."""

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwidgets.histograms import kernels
from qwidgets.histograms.kernels import cpu, cpu_threads, grid, reference
from qwidgets.histograms.kernels.table import Counts, Table, add_counts, no_counts
from tests.waiting import LONG

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
Count = Callable[[torch.Tensor, Table], None]


def counted(count: Count, x: torch.Tensor) -> Counts:
    table = Table(x.device)
    count(x, table)
    counts = table.take()
    assert not table.cells.any()
    return counts


def expected(x: torch.Tensor) -> tuple[Any, Any, Any, Any]:
    """Count by the definition of the grid: the leading one of each value, and the fraction after it, by frexp."""
    values = x.detach().cpu().double().numpy().ravel()
    finite = values[np.isfinite(values)]
    nonzero = finite[finite != 0]
    fraction, exponent = np.frexp(np.abs(nonzero))
    step = np.floor((2 * fraction - 1) * 256).astype(int)
    bins = np.clip((exponent - 1 + 149) * 256 + step, 0, 277 * 256 - 1) + np.where(nonzero < 0, 277 * 256, 0)
    occupied, counts = np.unique(bins, return_counts=True)
    special = [(finite == 0).sum(), np.isnan(values).sum(), np.isposinf(values).sum(), np.isneginf(values).sum()]
    extremes = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
    return occupied, counts, special, extremes


def assert_counted(counts: Counts, x: torch.Tensor) -> None:
    extremes = grid.key_to_value(counts.lowest), grid.key_to_value(counts.highest)
    for ours, right in zip((counts.bins, counts.counts, counts.special, extremes), expected(x), strict=True):
        np.testing.assert_array_equal(ours, right)
    assert counts.counts.sum() + counts.special.sum() == x.numel()


def patterns(dtype: torch.dtype, size: int, seed: int = 0) -> torch.Tensor:
    """Values of every kind: random bits."""
    whole = INTEGERS[dtype.itemsize]
    info = torch.iinfo(whole)
    random = torch.Generator().manual_seed(seed)
    return torch.randint(info.min, info.max, (size,), dtype=whole, generator=random).view(dtype)


def tensors(dtype: torch.dtype, size: int) -> dict[str, torch.Tensor]:
    """The kinds of values that take different ways through the kernels."""
    normal = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    last = normal.clone()
    last[-1] = float("nan")
    kinds = {
        "normal": normal,
        "after a ReLU": normal.relu(),
        "after a ReLU6": (4 * normal).clamp(0, 6),
        "negative only": -normal.abs(),
        "tiny": normal * 1e-40,
        "huge": normal * 1e38,
        "zeros of both signs": normal * 0.0,
        "all one": torch.ones(size, dtype=torch.float64),
        "one NaN at the end": last,
        "all NaN": torch.full((size,), float("nan"), dtype=torch.float64),
    }
    return {name: values.to(dtype) for name, values in kinds.items()} | {"any bits": patterns(dtype, size)}


class TestTheGrid:
    def test_its_bins_cover_every_float32_magnitude_without_gap(self) -> None:
        near, far = grid.edges_of(np.arange(grid.MAGNITUDES, dtype=np.int32))
        assert near[0] == 2.0**-149
        assert far[-1] == np.nextafter(2.0**128, 0)
        np.testing.assert_array_equal(np.nextafter(far[:-1], np.inf), near[1:])
        np.testing.assert_array_equal(grid.edges_of(np.array([grid.MAGNITUDES], np.int32))[0], near[:1])

    @given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
    def test_keys_sort_like_values_and_give_them_back(self, a: float, b: float) -> None:
        assert grid.key_to_value(grid.value_to_key(a)) == a
        if a < b:
            assert grid.value_to_key(a) < grid.value_to_key(b)


@pytest.mark.parametrize("count", [cpu.count, reference.count], ids=["cpu", "reference"])
class TestBothKernelsOfTheCPU:
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    @pytest.mark.parametrize("size", [1, 7, 1024, 1025, 50_001])
    def test_count_every_kind_of_value(self, count: Count, dtype: torch.dtype, size: int) -> None:
        for x in tensors(dtype, size).values():
            assert_counted(counted(count, x), x)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_count_every_16_bit_pattern_there_is(self, count: Count, dtype: torch.dtype) -> None:
        x = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
        assert_counted(counted(count, x), x)

    def test_truncate_float64_toward_zero_and_never_round_across_an_edge(self, count: Count) -> None:
        edge = 1 + 1 / 256
        x = torch.tensor([edge, np.nextafter(edge, 0), 1e-300, -1e-300, 1e300, -1e300], dtype=torch.float64)
        counts = counted(count, x)
        octave_zero = 149 * 256
        top = grid.MAGNITUDES - 1
        assert list(counts.bins) == [0, octave_zero, octave_zero + 1, top, grid.MAGNITUDES, grid.MAGNITUDES + top]
        assert (grid.key_to_value(counts.lowest), grid.key_to_value(counts.highest)) == (-1e300, 1e300)

    def test_add_to_what_is_in_the_table(self, count: Count) -> None:
        first, second = patterns(torch.float32, 3000), patterns(torch.float32, 20_000, seed=1)
        table = Table(first.device)
        count(first, table)
        count(second, table)
        assert_counted(table.take(), torch.cat([first, second]))

    @pytest.mark.parametrize("size", [300, 4000])
    def test_see_the_logical_values_of_any_view(self, count: Count, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cpu, "COPY", 1000)
        monkeypatch.setattr(reference, "BLOCK", 1000)
        x = patterns(torch.float32, size * 4).view(size // 20, 4, 5, 4)
        dense = [x, x.contiguous(memory_format=torch.channels_last), x.permute(3, 1, 0, 2), x.transpose(0, 3), x[5:]]
        strided = [x[::2, :, 1::3], x[..., 1], x.flatten()[3::7]]
        expanded = [x[:, :1].expand(-1, 7, -1, -1), x[0, 0, 0, 0].expand(3, 5), x[0, 0, 0].expand(9, 4)[1:, 1:3]]
        overlapping = x.flatten().as_strided((size, 3), (1, 1))
        for view in (*dense, *strided, *expanded, overlapping, x[0, 0, 0, 0], x[:0]):
            assert_counted(counted(count, view), view.contiguous())


class TestWhatATensorMayBe:
    @pytest.mark.parametrize("size", [100, 100_000])
    def test_of_an_inference_pass_and_of_a_pass_with_gradients(self, size: int) -> None:
        table = Table(torch.device("cpu"))
        with torch.inference_mode():
            made_inside = Table(torch.device("cpu"))
            inference = torch.randn(size)
            kernels.count(inference, made_inside)
        leaf = torch.randn(size, requires_grad=True)
        kernels.count(leaf * 2, table)
        kernels.count(inference, table)
        kernels.count(inference, made_inside)
        assert_counted(table.take(), torch.cat([leaf * 2, inference]))
        assert_counted(made_inside.take(), torch.cat([inference, inference]))

    def test_negated_lazily(self) -> None:
        x = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
        assert x.is_neg()
        table = Table(x.device)
        kernels.count(x, table)
        assert_counted(table.take(), torch.tensor([-2.0, 4.0]))

    def test_it_is_never_changed(self) -> None:
        x = patterns(torch.float32, 10_000)
        before = x.view(torch.int32).clone()
        kernels.count(x, Table(x.device))
        assert torch.equal(x.view(torch.int32), before)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_an_array_of_any_strides(self, dtype: type[np.floating[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cpu, "COPY", 50)
        x = np.random.default_rng(0).normal(size=(6, 8, 10)).astype(dtype)
        x.flags.writeable = False
        views = [x, x[::-1], x.T, x[:, ::-2, 1:], np.broadcast_to(x[0], (3, 8, 10)), x[0, 0, 0:1], np.asfortranarray(x)]
        for view in views:
            table = Table(torch.device("cpu"))
            kernels.count(view, table)
            assert_counted(table.take(), torch.from_numpy(view.copy()))


class TestThreads:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("openmp", [True, False])
    def test_share_a_tensor_without_changing_a_count(
        self, dtype: torch.dtype, openmp: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cpu, "SHARE", 20_000)
        monkeypatch.setattr(cpu, "LARGEST_SHARE", 33_333)  # so that the threads go over the tensor several times
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        if not openmp:
            monkeypatch.setattr(cpu_threads, "_openmp", lambda: None)
        for x in tensors(dtype, 200_001).values():
            assert_counted(counted(kernels.count, x), x)

    def test_of_python_count_at_once(self) -> None:
        x = patterns(torch.float32, 600_000)
        tables = [Table(x.device) for _ in range(4)]
        threads = [threading.Thread(target=kernels.count, args=(x, table)) for table in tables]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for table in tables:
            assert_counted(table.take(), x)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_are_made_anew_in_a_forked_process(self) -> None:
        script = """
import os, torch
from qwidgets.histograms.kernels import count
from qwidgets.histograms.kernels import cpu_threads
from qwidgets.histograms.kernels import grid
from qwidgets.histograms.kernels.table import Table
cpu_threads._openmp = lambda: None
torch.set_num_threads(1)  # torch's own threads do not outlive a fork
torch.get_num_threads = lambda: 2
def zeros():
    table = Table(torch.device("cpu"))
    count(torch.zeros(1_000_000), table)
    return int(table.take().special[0])
assert zeros() == 1_000_000
child = os.fork()
if child == 0:
    os._exit(0 if zeros() == 1_000_000 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
        subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=LONG)

    def test_nothing_is_compiled_by_importing(self) -> None:
        script = "from qwidgets.histograms.kernels import cpu_loops; assert not cpu_loops.sweep32.signatures"
        subprocess.run([sys.executable, "-c", script], check=True, timeout=LONG)


class TestSparseCounts:
    @given(st.lists(st.lists(st.integers(0, 20)), max_size=4))
    @settings(deadline=None)
    def test_add_like_the_values_that_they_count(self, batches: list[list[int]]) -> None:
        def counts_of(bins: list[int]) -> Counts:
            occupied, times = np.unique(np.array(bins, np.int32), return_counts=True)
            return no_counts()._replace(bins=occupied, counts=times)

        total = no_counts()
        for batch in batches:
            total = add_counts(total, counts_of(batch))
        right = counts_of([b for batch in batches for b in batch])
        assert total.bins.tolist() == right.bins.tolist()
        assert total.counts.tolist() == right.counts.tolist()


class TestADeviceWithoutAKernel:
    def test_is_counted_by_torch_operations_with_one_line_in_the_log(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(kernels, "_told", set())
        x = patterns(torch.float32, 2000)
        with pytest.raises(NotImplementedError):  # meta tensors hold nothing, but get as far as the reference
            kernels.count(x.to("meta"), Table(torch.device("meta")))
        with pytest.raises(NotImplementedError):
            kernels.count(x.to("meta"), Table(torch.device("meta")))
        assert [record.message for record in caplog.records] == [
            "no counting kernel of its own for meta; the slower torch operations count instead"
        ]


def test_the_triton_kernel_counts_right_when_interpreted() -> None:
    pytest.importorskip("triton")
    # Triton decides once for a process whether it interprets.
    these = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::TestInterpreted"]
    run = subprocess.run(
        these, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=LONG
    )
    assert run.returncode == 0, run.stdout
    assert "9 passed" in run.stdout


@pytest.fixture
def interpreted() -> ModuleType:
    """The Triton kernel, run by Triton's interpreter on the CPU."""
    return importlib.import_module("qwidgets.histograms.kernels.cuda")


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="runs in a process of its own")
@pytest.mark.filterwarnings("ignore")  # the interpreter computes with NumPy, which warns of what is wanted
class TestInterpreted:
    @pytest.mark.parametrize("privately", [True, False])
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    def test_counts_like_the_reference(
        self, interpreted: ModuleType, dtype: torch.dtype, privately: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interpreted, "PRIVATELY", privately)
        pieces = [x[:400] for x in tensors(dtype, 1000).values()]
        for x in (torch.cat(pieces), tensors(dtype, 20_000)["after a ReLU"], patterns(dtype, 3)):
            assert_counted(counted_in_place(interpreted.count, x), x)

    def test_goes_over_many_blocks_and_sees_the_logical_values_of_views(self, interpreted: ModuleType) -> None:
        x = torch.randn(40, 50, 70, generator=torch.Generator().manual_seed(2))
        for view in (x.transpose(0, 2), x[:, ::5, 3:], x[:1, :1].expand(4, 3, 70), x[:0]):
            assert_counted(counted_in_place(interpreted.count, view), view.contiguous())


def counted_in_place(count: Count, x: torch.Tensor) -> Counts:
    """Read the counts from the cells, as they are taken on a device."""
    table = Table(x.device)
    count(x, table)
    table.arrays = None
    return table.take()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnAGPU:
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    @pytest.mark.parametrize("size", [1, 1000, 1_000_003])
    def test_both_kernels_count_every_kind_of_value(self, dtype: torch.dtype, size: int) -> None:
        for x in tensors(dtype, size).values():
            for count in (kernels.count, reference.count):
                assert_counted(counted(count, x.cuda()), x)

    def test_nothing_waits_for_the_device(self) -> None:
        x = torch.randn(1_000_000, device="cuda")
        table = Table(x.device)
        kernels.count(x, table)
        torch.cuda.set_sync_debug_mode("error")
        try:
            kernels.count(x, table)
            kernels.count(x.view(1000, 1000).t(), table)
            kernels.count(x.view(1000, 1000)[:, ::3], table)
        finally:
            torch.cuda.set_sync_debug_mode("default")
