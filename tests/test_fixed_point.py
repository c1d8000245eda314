"""What a number format is, and the kinds of numbers that it takes."""

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch

from qwidgets.errors import DataError, FormatError
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
BELOW_HALF = math.nextafter(0.5, 0)


class TestWorkedExample:
    @pytest.mark.parametrize(("value", "expected"), [(0.03125, 0.0), (2.1, 2.125), (16.25, 15.875)])
    def test_the_window_from_3_to_minus_3(self, value: float, expected: float) -> None:
        assert FixedPoint.from_window(3, -3).quantize(value) == expected

    def test_its_range_and_bits(self) -> None:
        fmt = FixedPoint.from_window(3, -3)
        assert (fmt.word_length, fmt.msb, fmt.lsb, fmt.step) == (8, 3, -3, 0.125)
        assert (fmt.min, fmt.max) == (-16, 15.875)
        assert fmt.bits == (3, 2, 1, 0, -1, -2, -3)
        assert (fmt.window, str(fmt)) == ("2^3 … 2^-3", "2^3 … 2^-3")

    def test_unsigned_keeps_one_more_magnitude_bit(self) -> None:
        fmt = FixedPoint(8, 3, signed=False)
        assert (fmt.msb, fmt.min, fmt.max, len(fmt.bits)) == (4, 0, 31.875, 8)
        assert str(fmt) == "2^4 … 2^-3 unsigned"


class TestKinds:
    fmt = FixedPoint(8, 3)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
    def test_numpy_floats_keep_type_and_shape(self, dtype: type[np.floating[Any]]) -> None:
        for shape in ((), (3,), (0, 2), (2, 1, 3)):
            result = self.fmt.quantize(np.full(shape, 2.1, dtype))
            assert isinstance(result, np.ndarray)
            assert (result.dtype, result.shape) == (np.dtype(dtype), shape)
            assert (result == 2.125).all()
            codes = self.fmt.to_integer(np.full(shape, 2.1, dtype))
            assert (codes.dtype, codes.shape) == (np.dtype(np.int64), shape)
        scalar = self.fmt.quantize(dtype(2.1))
        assert type(scalar) is dtype
        assert type(self.fmt.to_integer(dtype(2.1))) is np.int64

    def test_numpy_arrays_of_foreign_byte_order_and_stride(self) -> None:
        x = np.arange(12, dtype=">f4").reshape(3, 4)[::-2, ::3] / 10
        assert self.fmt.quantize(x).tolist() == [[0.75, 1.125], [0.0, 0.25]]

    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    def test_tensors_keep_type_shape_and_memory_format(self, dtype: torch.dtype) -> None:
        for x in (
            torch.full((), 2.1),
            torch.full((0, 3), 2.1),
            torch.full((4, 3), 2.1).t(),
            torch.full((1, 3), 2.1).expand(5, 3),
            torch.full((2, 3, 4, 4), 2.1).to(memory_format=torch.channels_last),
        ):
            x = x.to(dtype)
            result = self.fmt.quantize(x)
            assert (result.dtype, result.shape, result.device) == (dtype, x.shape, x.device)
            assert (result == 2.125).all()
            codes = self.fmt.to_integer(x)
            assert (codes.dtype, codes.shape) == (torch.int64, x.shape)
        assert result.is_contiguous(memory_format=torch.channels_last)

    def test_python_numbers_give_python_numbers(self) -> None:
        assert [type(self.fmt.quantize(x)) for x in (2.1, 3)] == [float, float]
        assert [type(self.fmt.to_integer(x)) for x in (2.1, 3)] == [int, int]
        assert type(self.fmt.from_integer(3)) is float

    @pytest.mark.parametrize(
        "dtype",
        [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64],
    )
    def test_integers_give_float64_which_holds_fractions(self, dtype: torch.dtype) -> None:
        x = torch.tensor([3, 100], dtype=torch.int64).to(dtype)
        for result in (self.fmt.quantize(x), self.fmt.quantize(x.numpy())):
            assert result.tolist() == [3.0, 15.875]
            assert str(result.dtype).endswith("float64")

    def test_the_input_is_left_as_it_was(self) -> None:
        for dtype in (torch.float32, torch.float64):
            x = torch.tensor([2.1, -0.0, 100.0], dtype=dtype)
            for overflow in OVERFLOWS:
                for word_length in (8, 32):
                    FixedPoint(word_length, 3, overflow=overflow).quantize(x)
                    FixedPoint(word_length, 3, overflow=overflow).quantize(x.numpy())
            assert torch.equal(x, torch.tensor([2.1, -0.0, 100.0], dtype=dtype))
            assert torch.signbit(x[1])

    def test_a_parameter_gives_a_detached_tensor(self) -> None:
        weight = torch.nn.Parameter(torch.tensor([2.1]))
        result = self.fmt.quantize(weight)
        assert type(result) is torch.Tensor
        assert not result.requires_grad
        assert weight.requires_grad

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    def test_a_gpu_gives_the_same_codes_as_the_cpu(self, dtype: torch.dtype) -> None:
        x = torch.randn(10_000, dtype=torch.float64).mul(40).to(dtype)
        for fmt in every_mode(FixedPoint(8, 3)) | every_mode(FixedPoint(32, 20)):
            on_gpu = fmt.quantize(x.cuda())
            assert on_gpu.is_cuda
            assert torch.equal(on_gpu.cpu(), fmt.quantize(x))

    @pytest.mark.parametrize(
        ("x", "named"),
        [
            ("2.1", "'2.1'"),
            (None, "None"),
            (1j, "1j"),
            (True, "True"),
            ([2.1], "list"),
            (np.array(["a"]), "ndarray of <U1"),
            (np.array([1, None]), "ndarray of object"),
            (np.array([1j]), "ndarray of complex128"),
            (np.array([True]), "ndarray of bool"),
            (torch.tensor([True]), "torch.bool"),
            (torch.tensor([1j]), "torch.complex64"),
            (torch.eye(2).to_sparse(), "sparse"),
            (torch.ones(1).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        ],
    )
    def test_what_is_not_a_real_number_is_named_in_the_error(self, x: Any, named: str) -> None:
        for ask in (self.fmt.quantize, self.fmt.to_integer, self.fmt.from_integer):
            with pytest.raises(DataError, match=f"not .*{named}"):
                ask(x)

    @pytest.mark.parametrize("x", [np.array([2**63], np.uint64), torch.tensor([-1]).view(torch.uint64)])
    def test_integers_that_int64_does_not_hold_are_refused(self, x: Any) -> None:
        with pytest.raises(DataError, match=r"2\*\*63"):
            self.fmt.quantize(x)


class TestFields:
    def test_the_default_is_a_signed_byte_of_integers(self) -> None:
        assert FixedPoint() == FixedPoint(8, 0, True, "half_away", "saturate")

    def test_a_format_is_a_value(self) -> None:
        fmt = FixedPoint(8, 3)
        assert fmt == replace(FixedPoint(8, 4), fraction_length=3)
        assert len({fmt, FixedPoint(8, 3)}) == 1
        with pytest.raises(FrozenInstanceError):
            fmt.word_length = 9  # type: ignore[misc]

    def test_numpy_numbers_become_python_numbers(self) -> None:
        fmt = FixedPoint(np.int16(8), np.int64(3), np.bool_(False))  # type: ignore[arg-type]
        assert [type(field) for field in (fmt.word_length, fmt.fraction_length, fmt.signed)] == [int, int, bool]

    @pytest.mark.parametrize("value", [0, 33, -8, True, 8.0, None, "8", math.nan, np.float64(8), np.array([8])])
    def test_a_word_length_that_makes_no_sense(self, value: Any) -> None:
        with pytest.raises(FormatError, match="word_length must be an integer from 2 to 32 for a signed format, not "):
            FixedPoint(value)

    def test_a_sign_needs_a_bit_beside_it(self) -> None:
        assert FixedPoint(1, signed=False).max == 1
        with pytest.raises(FormatError, match="word_length must be an integer from 2 to 32 for a signed format, not 1"):
            FixedPoint(1)

    @pytest.mark.parametrize("value", [513, -513, 1.5, None, False])
    def test_a_fraction_length_that_makes_no_sense(self, value: Any) -> None:
        with pytest.raises(ValueError, match="fraction_length must be an integer from -512 to 512, not "):
            FixedPoint(8, value)

    @pytest.mark.parametrize("field", ["rounding", "overflow"])
    @pytest.mark.parametrize("value", ["nearest", "", None, 1, ["floor"], "Wrap"])
    def test_a_mode_that_does_not_exist(self, field: str, value: Any) -> None:
        with pytest.raises(FormatError, match=f"{field} must be one of '.*', not "):
            FixedPoint(**{field: value})

    @pytest.mark.parametrize("value", [1, "yes", None])
    def test_a_sign_that_is_not_a_truth_value(self, value: Any) -> None:
        with pytest.raises(FormatError, match="signed must be True or False, not "):
            FixedPoint(signed=value)

    @pytest.mark.parametrize(
        ("msb", "lsb", "named"),
        [(3, 4, "msb"), (31, 0, "msb"), (3.0, 0, "msb"), (3, None, "lsb"), (600, 600, "lsb"), (True, 0, "msb")],
    )
    def test_a_window_that_makes_no_sense(self, msb: Any, lsb: Any, named: str) -> None:
        with pytest.raises(FormatError, match=f"{named} must be an integer from"):
            FixedPoint.from_window(msb, lsb)


def every_mode(fmt: FixedPoint) -> set[FixedPoint]:
    return {replace(fmt, rounding=rounding, overflow=overflow) for rounding in ROUNDINGS for overflow in OVERFLOWS}
