"""PReLU in integers: two slopes on a layer's sums, code for code as an int64 reference computes them."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.formats import OVERFLOWS, ROUNDINGS, FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from tests import integer_reference as reference
from tests.integer_reference import Ints


def plan_of(model: nn.Module, x: Tensor, **how: object) -> Plan:
    return calibrate(model.eval(), [x], device="cpu", progress=False).propose(8, "minmax", **how)


def codes_of(model: nn.Module, plan: Plan, x: Tensor) -> dict[str, np.ndarray]:
    """Give the codes of every input and activation."""
    seen: dict[str, np.ndarray] = {}
    quantized = quantize(model, plan)
    assert not quantized.float_islands

    def observe(row: str, values: Tensor) -> None:
        fmt = plan.committed[row]
        assert isinstance(fmt, FixedPoint)
        seen[row] = fmt.to_integer(values).numpy()

    quantized.run((x,), {}, observe)
    return seen


def two_slopes(x: Ints, slopes: Ints) -> Ints:
    """Multiply negative codes by the slope of their channel, the first axis after the batch."""
    by_channel = slopes.codes.reshape(1, -1, *[1] * (x.codes.ndim - 2))
    fraction = max(slopes.fraction, 0)
    product = (x.codes * by_channel) << (fraction - slopes.fraction)
    return Ints(np.where(x.codes < 0, product, x.codes << fraction), x.fraction + fraction)


formats = st.builds(
    FixedPoint,
    st.integers(2, 10),
    st.integers(-2, 8),
    st.just(True),
    st.sampled_from(ROUNDINGS),
    st.sampled_from(OVERFLOWS),
)


@settings(max_examples=24, deadline=None, derandomize=True)
@given(x=formats, w=formats, slope=formats, out=formats, seed=st.integers(0, 99), shared=st.booleans())
def test_the_sums_of_a_layer_get_two_slopes_before_they_are_rounded(
    x: FixedPoint, w: FixedPoint, slope: FixedPoint, out: FixedPoint, seed: int, shared: bool
) -> None:
    torch.manual_seed(seed)
    layer, bend = nn.Conv2d(2, 3, 2, bias=False), nn.PReLU(1 if shared else 3)
    model = nn.Sequential(layer, bend)
    nn.init.normal_(bend.weight)
    values = torch.randn(2, 2, 3, 4) * 2
    plan = plan_of(model, values)
    assert list(plan) == ["input", "0.weight", "1.weight", "0"]
    plan.draft({"input": x, "0.weight": w, "1.weight": slope, "0": out})
    plan.commit()
    found = codes_of(model, plan, values)
    weight, slopes = (
        reference.encode(module.weight.detach().numpy(), fmt) for module, fmt in ((layer, w), (bend, slope))
    )
    sums = reference.convolution(reference.encode(values.numpy(), x), weight, None, "half_away")
    np.testing.assert_array_equal(found["0"], reference.rescale_once(two_slopes(sums, slopes), out).codes)


@settings(max_examples=16, deadline=None, derandomize=True)
@given(x=formats, slope=formats, out=formats, seed=st.integers(0, 99), unsigned=st.booleans())
def test_by_itself_it_reads_codes_of_any_sign(
    x: FixedPoint, slope: FixedPoint, out: FixedPoint, seed: int, unsigned: bool
) -> None:
    torch.manual_seed(seed)
    model, values = nn.PReLU(4), torch.randn(3, 4) * 3
    nn.init.normal_(model.weight)
    plan = plan_of(model, values)
    given = dataclasses.replace(x, signed=not unsigned)
    plan.draft({"input": given, "weight": slope, "prelu": out})
    plan.commit()
    slopes = reference.encode(model.weight.detach().numpy(), slope)
    expected = two_slopes(reference.encode(values.numpy(), given), slopes)
    np.testing.assert_array_equal(codes_of(model, plan, values)["prelu"], reference.rescale_once(expected, out).codes)


@pytest.mark.parametrize("per_channel", [False, True])
def test_layers_of_all_kinds_have_it_in_their_row(per_channel: bool) -> None:
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.act = nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4)
            self.fc, self.last, self.again = nn.Linear(64, 5), nn.PReLU(5), nn.PReLU()

        def forward(self, x: Tensor) -> Tensor:
            y = self.act(self.norm(self.conv(x)))
            z = self.last(self.fc(y.flatten(1)))
            out: Tensor = self.again(z + 1)
            return out

    model, x = Net(), torch.randn(16, 2, 6, 6)
    with torch.no_grad():
        for act in (model.act, model.last, model.again):
            act.weight.uniform_(-0.5, 0.5)
    plan = plan_of(model, x, per_channel=per_channel)
    rows = {row.name: row.fused for row in plan.rows if row.kind == "activation"}
    assert rows == {"conv": ("conv", "norm", "act"), "fc": ("fc", "last"), "add": ("add", "again")}
    kinds = {row.name: (row.kind, row.operation) for row in plan.rows}
    assert [kinds[f"{name}.weight"] for name in ("act", "last", "again")] == [("weight", "prelu")] * 3
    assert isinstance(plan["conv.weight"], PerChannel) == per_channel
    quantized = quantize(model, plan)
    assert not quantized.float_islands
    with torch.no_grad():
        wanted = model(x)
        assert (quantized(x) - wanted).square().mean() < wanted.square().mean() / 300


def test_slopes_in_float_leave_the_row_in_float_and_say_so() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4)), torch.randn(8, 4)
    plan = plan_of(model, x)
    plan["1.weight"] = None
    plan.commit()
    assert dict(quantize(model, plan).float_islands) == {"0": "prelu reads 1.weight in float"}


def test_slopes_that_are_computed_while_the_network_runs_are_no_constants() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.prelu(self.fc(x), x.mean((0, 1)).reshape(1))

    torch.manual_seed(0)
    model, x = Own(), torch.randn(8, 4)
    plan = plan_of(model, x)
    quantized = quantize(model, plan)
    assert "prelu" in plan and "prelu" in quantized.float_islands
    with torch.no_grad():
        torch.testing.assert_close(quantized(x), model(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("step", ["equalize", "correct_bias", "round_adaptively", "fine_tune", "mend"])
def test_the_steps_take_it_as_they_take_a_leaky_relu(step: str) -> None:
    torch.manual_seed(0)
    first, bend = nn.Conv2d(2, 6, 3), nn.PReLU(6)
    model = nn.Sequential(first, bend, nn.Conv2d(6, 4, 3), nn.PReLU(), nn.Flatten())
    with torch.no_grad():
        first.weight *= torch.logspace(-1.5, 1, 6).reshape(-1, 1, 1, 1)
        bend.weight.uniform_(0.05, 0.6)
    data = [torch.randn(64, 2, 6, 6) for _ in range(4)]
    plan = calibrate(model.eval(), data, device="cpu", progress=False).propose(8 if step == "equalize" else 5)

    def error() -> float:
        with torch.no_grad():
            return float((quantize(model, plan)(data[0]) - model(data[0])).square().mean())

    before = error()
    getattr(plan, step)(data, model, progress=False)
    assert len(plan.history) > 1
    assert error() < before
