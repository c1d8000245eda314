"""Scaling up by powers of two sums whole steps, as a reference by fractions does; other factors are no sums."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from tests import integer_reference as reference
from tests.integer_reference import Ints


class Scaled(nn.Module):
    def __init__(self, **how: object) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, **self.how)  # type: ignore[arg-type]


def plan_of(model: nn.Module, x: Tensor) -> Plan:
    return calibrate(model, [x], device="cpu", progress=False).propose(8, "minmax")


def weights(size: int, scale: int) -> list[list[Fraction]]:
    """For each value that leaves, what each that enters weighs: the two around it, at the edges only one."""
    rows = []
    for place in range(size * scale):
        at = max(Fraction(2 * place + 1, 2 * scale) - Fraction(1, 2), Fraction(0))
        before = math.floor(at)
        row = [Fraction(0)] * size
        row[before] += 1 - (at - before)
        row[min(before + 1, size - 1)] += at - before
        rows.append(row)
    return rows


def whole(matrix: list[list[Fraction]], fraction: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    steps = [[weight * 2**fraction for weight in row] for row in matrix]
    assert all(step.denominator == 1 for row in steps for step in row)
    return np.array([[int(step) for step in row] for row in steps], np.int64)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    scales=st.tuples(*[st.sampled_from([1, 2, 4, 8])] * 2).filter(lambda scales: scales != (1, 1)),
    bits=st.integers(2, 12),
    rounding=st.sampled_from(ROUNDINGS),
    overflow=st.sampled_from(OVERFLOWS),
    by_size=st.booleans(),
)
def test_an_image_between_its_values_has_the_codes_of_the_reference(
    sizes: tuple[int, int], scales: tuple[int, int], bits: int, rounding: str, overflow: str, by_size: bool
) -> None:
    torch.manual_seed(bits)
    x = torch.randn(2, 2, *sizes) * 2
    if by_size:
        how: dict[str, object] = {"size": tuple(size * scale for size, scale in zip(sizes, scales, strict=True))}
    else:
        how = {"scale_factor": tuple(map(float, scales))}
    model = Scaled(mode="bilinear", **how)
    plan = plan_of(model, x)
    into, out = FixedPoint(8, 5), FixedPoint(bits, bits - 3, True, rounding, overflow)
    names = [row.name for row in plan.rows]
    plan.draft(dict(zip(names, (into, out), strict=True)))
    plan.commit()
    quantized = quantize(model, plan)
    assert not quantized.float_islands
    rows, columns = (whole(weights(size, scale), 4) for size, scale in zip(sizes, scales, strict=True))
    sums = np.einsum("ih,nchw,jw->ncij", rows, reference.encode(x.numpy(), into).codes, columns)
    expected = reference.rescale(Ints(sums, into.fraction_length + 8), out)
    np.testing.assert_array_equal(out.to_integer(quantized(x)).numpy(), expected.codes)


@pytest.mark.parametrize(
    "model",
    [
        Scaled(mode="bilinear", scale_factor=3.0),
        Scaled(mode="bilinear", scale_factor=0.5),
        Scaled(mode="bilinear", size=(7, 8)),
        Scaled(mode="bilinear", scale_factor=2.0, align_corners=True),
    ],
)
def test_factors_whose_weights_are_no_fractions_of_bits_stay_in_float(model: Scaled) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 1, 4, 4)
    quantized = quantize(model, plan_of(model, x))
    assert list(quantized.float_islands.values()) == ["upsample_bilinear2d has no integer form with these arguments"]
    torch.testing.assert_close(quantized(x), model(x), atol=0.05, rtol=0)
