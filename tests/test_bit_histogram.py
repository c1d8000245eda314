"""What a histogram remembers, how histograms add, and how they are kept."""

import copy
import math
import pickle
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qwidgets.errors import DataError
from qwidgets.formats import FixedPoint
from qwidgets.histograms import BitHistogram
from tests.value_kinds import DATASETS, WORKED_EXAMPLE


class TestCounting:
    def test_tells_what_it_counted(self) -> None:
        x = np.array([1.5, -2.0, 0.0, -0.0, 1e-45, np.nan, np.inf, -np.inf, -np.inf], np.float32)
        histogram = BitHistogram().update(x)
        assert (histogram.count, histogram.zeros, histogram.nan, histogram.infinite, histogram.nonfinite) == (
            9,
            2,
            1,
            3,
            4,
        )
        assert (histogram.negative, histogram.min, histogram.max) == (3, -2.0, 1.5)
        assert repr(histogram) == "BitHistogram(count=9, min=-2, max=1.5)"

    def test_an_empty_one_has_no_extremes(self) -> None:
        histogram = BitHistogram().update(np.array([np.nan], np.float32)).update(torch.empty(0, 3))
        assert math.isnan(histogram.min) and math.isnan(histogram.max)
        assert histogram.count == histogram.nan == 1

    def test_extremes_are_exact_though_bins_are_wide(self) -> None:
        x = torch.tensor([1.0000001, -3.3333333, 0.1])
        histogram = BitHistogram().update(x)
        assert (histogram.min, histogram.max) == (x.min().item(), x.max().item())

    def test_there_is_no_negative_zero_among_the_extremes(self) -> None:
        histogram = BitHistogram().update(np.array([-0.0]))
        assert (str(histogram.min), str(histogram.max)) == ("0.0", "0.0")

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_arrays_of_the_other_byte_order_count_the_same(self, dtype: type[np.floating[Any]]) -> None:
        x = np.random.default_rng(0).normal(size=(3, 50)).astype(dtype)
        assert BitHistogram().update(x.astype(x.dtype.newbyteorder())) == BitHistogram().update(x)

    def test_every_float_type_of_torch_gives_what_its_values_give_in_float64(self) -> None:
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            x = torch.randn(5000, generator=torch.Generator().manual_seed(0)).to(dtype)
            assert BitHistogram().update(x) == BitHistogram().update(x.double())

    def test_an_interrupted_count_leaves_nothing_in_the_next_histogram(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(x: object, table: Any) -> None:
            table.cells[5] = 1
            table.touched[0] = 1
            raise KeyboardInterrupt

        interrupted = BitHistogram()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("qwidgets.histograms.kernels.count", interrupt)
            interrupted.update(torch.ones(3))
        assert interrupted.count == 0
        assert BitHistogram().update(torch.ones(3)).count == 3


class TestBadInput:
    @pytest.mark.parametrize(
        ("x", "named"),
        [
            (torch.tensor([1, 2]), "torch.int64"),
            (torch.tensor([True]), "torch.bool"),
            (torch.tensor([1j]), "torch.complex64"),
            (torch.ones(3).to(torch.float8_e4m3fn), "float8_e4m3fn"),
            (torch.ones(3).to_sparse(), "sparse"),
            (torch.empty(3, device="meta"), "meta"),
            (np.array([1, 2]), "int64"),
            (np.array([True]), "bool"),
            (np.array(["1.0"]), "<U3"),
            (np.array([1j]), "complex128"),
            (np.array([1.0], object), "object"),
            (np.array([1.0], np.longdouble), "longdouble|float128|float96"),
            ([1.0, 2.0], "list"),
            ("text", "str"),
            (None, "NoneType"),
            (1.5, "float"),
        ],
        ids=str,
    )
    def test_is_refused_by_name_with_what_to_do_and_nothing_is_lost(self, x: Any, named: str) -> None:
        histogram = BitHistogram().update(torch.ones(3))
        with pytest.raises(DataError, match=f"(?s)cannot count .*({named}).*floating-point"):
            histogram.update(x)
        assert histogram == BitHistogram().update(torch.ones(3))


class TestAdding:
    @given(hnp.arrays(np.uint32, st.integers(0, 40)), st.integers(0, 40), st.integers(0, 40))
    @settings(deadline=None)
    def test_batches_of_any_size_in_any_order_give_the_same(self, bits: Any, first: int, second: int) -> None:
        x = bits.view(np.float32)
        parts = np.split(x, sorted((min(first, x.size), min(second, x.size))))
        whole = BitHistogram().update(x)
        a, b, c = (BitHistogram().update(part) for part in parts)
        assert whole == (a + b) + c == c + (b + a)
        assert whole == BitHistogram().update(parts[2]).update(parts[0]).update(parts[1])

    def test_leaves_its_parts_as_they_were(self) -> None:
        a, b = BitHistogram().update(torch.ones(3)), BitHistogram().update(-torch.ones(2))
        total = a + b
        assert (a.count, b.count, total.count) == (3, 2, 5)
        assert a != b
        assert total + BitHistogram() == total

    def test_counts_go_on_beyond_32_bits(self) -> None:
        histogram = BitHistogram().update(torch.tensor([1.0, -2.0, 0.0, float("nan")]))
        for _ in range(50):
            histogram += histogram
        assert histogram.count == 4 << 50
        assert histogram.preview(FixedPoint(8, 7)).overflow == 2 << 50

    def test_only_works_with_its_like(self) -> None:
        with pytest.raises(TypeError):
            BitHistogram() + 1
        assert BitHistogram() != 1

    def test_from_many_threads_loses_nothing(self) -> None:
        histogram, x = BitHistogram(), torch.randn(2000)

        def update() -> None:
            for _ in range(20):
                histogram.update(x)

        threads = [threading.Thread(target=update) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert histogram.count == 2000 * 80


class TestMsbCounts:
    def test_of_the_worked_example(self) -> None:
        counts = BitHistogram().update(WORKED_EXAMPLE).msb_counts()
        assert counts.to_dict() == {4: 1, 3: 1, 2: 0, 1: 2, 0: 1, -1: 1, -2: 2, -3: 0, -4: 0, -5: 1}
        assert counts.dtype == np.int64

    def test_of_each_sign_share_an_index_and_add_up(self) -> None:
        histogram = BitHistogram().update(WORKED_EXAMPLE)
        negative, positive = histogram.msb_counts("negative"), histogram.msb_counts("positive")
        assert negative.sum() == histogram.negative == 1
        pd.testing.assert_series_equal(negative + positive, histogram.msb_counts())

    @pytest.mark.parametrize("name", DATASETS)
    def test_are_the_floor_of_the_binary_logarithm(self, name: str) -> None:
        with np.errstate(invalid="ignore"):  # a signalling NaN says so
            x = DATASETS[name].astype(np.float64)
        x = np.abs(x[np.isfinite(x) & (x != 0)])
        counts = BitHistogram().update(DATASETS[name]).msb_counts()
        bits, times = np.unique(np.floor(np.log2(x)).astype(int), return_counts=True)
        assert counts[counts > 0].to_dict() == dict(zip(bits.tolist(), times.tolist(), strict=True))

    def test_are_empty_where_no_value_has_a_leading_one(self) -> None:
        assert BitHistogram().update(np.array([0.0, np.nan, np.inf])).msb_counts().empty

    def test_refuse_an_unknown_sign(self) -> None:
        with pytest.raises(DataError, match="'negative', 'positive' or None, not 'both'"):
            BitHistogram().msb_counts("both")  # type: ignore[arg-type]


class TestKeeping:
    @pytest.mark.parametrize("name", DATASETS)
    def test_arrays_give_back_the_same_histogram(self, name: str) -> None:
        histogram = BitHistogram().update(DATASETS[name])
        assert BitHistogram.from_arrays(histogram.to_arrays()) == histogram
        assert pickle.loads(pickle.dumps(histogram)) == copy.deepcopy(histogram) == histogram

    def test_it_goes_on_counting(self) -> None:
        histogram = BitHistogram.from_arrays(BitHistogram().update(np.array([1.0])).to_arrays())
        assert histogram.update(np.array([-2.0])) == BitHistogram().update(np.array([-2.0, 1.0]))

    def test_takes_twelve_bytes_an_occupied_bin(self) -> None:
        arrays = BitHistogram().update(torch.randn(100_000)).to_arrays()
        assert sum(array.nbytes for array in arrays.values()) == 12 * arrays["bins"].size + 48

    @pytest.mark.parametrize(
        "change",
        [
            {"bins": np.array([3, 2], np.int32)},
            {"bins": np.array([-1, 2], np.int32)},
            {"bins": np.array([2, 277 * 512], np.int32)},
            {"bins": np.array([2], np.int32)},
            {"bins": np.array([2, 3], np.int64)},
            {"counts": np.array([1, 0])},
            {"counts": np.array([1.0, 2.0])},
            {"special": np.array([0, 0, -1, 0])},
            {"special": np.zeros(5, np.int64)},
            {"extremes": np.zeros(3)},
            {"extremes": np.zeros((1, 2))},
        ],
        ids=str,
    )
    def test_refuses_arrays_that_are_not_a_histogram(self, change: dict[str, npt.NDArray[Any]]) -> None:
        arrays = BitHistogram().update(np.array([1.0, 2.0])).to_arrays()
        with pytest.raises(DataError, match="not the arrays of a bit histogram"):
            BitHistogram.from_arrays(arrays | change)
        for name in change:
            del arrays[name]
            with pytest.raises(DataError, match=f"{name!r} is missing"):
                BitHistogram.from_arrays(arrays)


class TestItsPicture:
    def test_names_bits_and_counts_and_runs_no_script(self) -> None:
        picture = BitHistogram().update(WORKED_EXAMPLE)._repr_html_()
        assert picture.startswith("<div><svg")
        assert "2 positive values with leading bit 2^-2" in picture
        assert "1 negative values with leading bit 2^1" in picture
        assert "<script" not in picture

    def test_says_that_there_is_nothing_to_draw(self) -> None:
        assert "no finite nonzero values" in BitHistogram().update(np.zeros(3))._repr_html_()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnAGPU:
    def test_counts_stay_on_the_device_until_asked_for_and_add_to_those_of_the_cpu(self) -> None:
        x = torch.randn(1000, 100)
        histogram = BitHistogram().update(x[:500])
        torch.cuda.set_sync_debug_mode("error")
        try:
            histogram.update(x[500:].cuda(non_blocking=True))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert histogram == BitHistogram().update(x)
