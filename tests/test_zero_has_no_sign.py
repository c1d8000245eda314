"""Whatever becomes zero is zero without a sign, in every float type and in whatever computes it, without a warning."""

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwidgets import FixedPoint, PerChannel, calibrate, quantize
from qwidgets.formats import OVERFLOWS, ROUNDINGS

NUMPY_FLOATS = (np.float16, np.float32, np.float64, np.longdouble)
TORCH_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@st.composite
def formats(draw: st.DrawFn) -> FixedPoint:
    signed = draw(st.booleans())
    length = draw(st.integers(1 + signed, 32))
    fraction = draw(st.one_of(st.integers(-512, 512), st.integers(-40, 60)))
    return FixedPoint(length, fraction, signed, draw(st.sampled_from(ROUNDINGS)), draw(st.sampled_from(OVERFLOWS)))


NUMBERS = st.one_of(
    st.floats(),
    st.integers(-170, 130).map(lambda exponent: -math.ldexp(1.3, exponent)),
    st.sampled_from([-0.0, 0.0, -math.inf, math.inf, math.nan, -5e-324, -0.178]),
)


def has_negative_zero(values: Any) -> bool:
    values = values.detach().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    return bool((np.signbit(values) & (values == 0)).any())


@settings(max_examples=250, derandomize=True, deadline=None)
@given(formats(), NUMBERS)
@example(FixedPoint(14, 41), -0.178)
@example(FixedPoint(12, -28, rounding="floor"), -math.inf)
@example(FixedPoint(8, -308), -math.inf)
def test_of_numbers_arrays_and_tensors_of_every_type(fmt: FixedPoint, number: float) -> None:
    per_channel = PerChannel.of([fmt])
    with np.errstate(over="ignore"):
        arrays: list[Any] = [np.array([number]).astype(dtype) for dtype in NUMPY_FLOATS]
    tensors: list[Any] = [torch.tensor([number]).to(dtype) for dtype in TORCH_FLOATS]
    results = [fmt.quantize(number), *(fmt.quantize(array[0]) for array in arrays)]
    for x in (*arrays, *tensors):
        results += [fmt.quantize(x), per_channel.quantize(x)]
    assert not any(has_negative_zero(result) for result in results)
    # and a type changes nothing where it holds the number and what becomes of it
    for x in (*arrays, *tensors):
        double = x.double().numpy() if isinstance(x, torch.Tensor) else x.astype(np.float64)
        wanted, found = fmt.quantize(double), fmt.quantize(x)
        found = found.double().numpy() if isinstance(found, torch.Tensor) else found.astype(np.float64)
        assert np.isnan(wanted).all() == np.isnan(found).all()
        assert np.isnan(found).all() or abs(found) <= abs(wanted)


class Signs(torch.nn.Module):
    """Operations that give a negative zero in floats."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 3, bias=False)
        self.second = torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.first(x).relu()
        z = self.second(y)
        return (
            y,
            -y,
            y * -1.0,
            y * z,
            torch.nn.functional.hardswish(z),
            torch.nn.functional.leaky_relu(z),
            torch.nn.functional.avg_pool1d(-y, 3),
            torch.cat([-y, y]),
            (-y).max(1).values,
            x[:, :2],
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_of_a_quantized_network(dtype: torch.dtype) -> None:
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    x = torch.cat([x, -torch.zeros(4, 4, dtype=dtype)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Signs().to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        network = quantize(model, calibrate(model, [x], device="cpu", progress=False).propose(signed=True))
    assert any(has_negative_zero(output) for output in model(x)[1:])
    seen: dict[str, bool] = {}
    outputs = network.run((x,), {}, lambda row, values: seen.update({row: has_negative_zero(values)}))
    assert not any(has_negative_zero(output) for output in outputs)
    assert len(seen) > 5 and not any(seen.values())
