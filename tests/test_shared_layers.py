"""Layers that are called again, and tensors that several layers share: what is proposed for them can be used."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qwidgets.calibration import calibrate
from qwidgets.errors import PlanError
from qwidgets.formats import ACCUMULATOR, FixedPoint, PerChannel
from qwidgets.simulation import quantize
from qwidgets.validation import health, validate


class Levels(nn.Module):
    """A head that levels of different scale share, as those of a feature pyramid do."""

    def __init__(self, scales: list[float], kind: str, bias: bool) -> None:
        super().__init__()
        self.scales = scales
        self.body = nn.Conv1d(3, 3, 3, padding=1)
        layers: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv1d(3, 2, 3, bias=bias),
            "linear": lambda: nn.Linear(6, 4, bias=bias),
            "transposed": lambda: nn.ConvTranspose1d(3, 2, 3, bias=bias),
            "norm": lambda: nn.BatchNorm1d(3),
            "conv and norm": lambda: nn.Sequential(nn.Conv1d(3, 2, 3, bias=bias), nn.BatchNorm1d(2)),
        }
        self.head = layers[kind]()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.body(x).relu()
        return tuple(self.head(scale * y) for scale in self.scales)


class Siamese(nn.Module):
    """One network for two inputs, of which one is louder."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x) - self.net(30 * x)
        return out


class Tied(nn.Module):
    """Weights, or biases, that layers of several kinds share."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.conv, self.back = nn.Conv1d(3, 4, 3), nn.ConvTranspose1d(4, 3, 3)
        self.table = nn.Embedding(6, 6)
        if how == "weight":
            self.second.weight = self.first.weight
        if how == "bias":
            self.second.bias = self.first.bias
        if how == "autoencoder":
            self.back.weight = self.conv.weight
        if how in ("embedding", "embedding after"):
            self.first.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "autoencoder":
            out: Tensor = self.back(self.conv(x).relu())
            return out
        if self.how == "transposed":
            return F.linear(self.first(x).relu(), self.first.weight.t())
        tokens = torch.arange(6, device=x.device).reshape(1, 6).expand(x.shape[0], 6)[:, :3]
        if self.how == "embedding":
            return self.second(self.first(self.table(tokens) + x))  # type: ignore[no-any-return]
        if self.how == "embedding after":
            return self.second(self.first(x)) * self.table(tokens)  # type: ignore[no-any-return]
        return self.second(20 * self.first(x).relu())  # type: ignore[no-any-return]


def networks() -> st.SearchStrategy[tuple[Any, ...]]:
    scales = st.lists(st.sampled_from([1.0, 0.03, 40.0]), min_size=1, max_size=3)
    kinds = st.sampled_from(["conv", "linear", "transposed", "norm", "conv and norm"])
    ties = st.sampled_from(["weight", "bias", "autoencoder", "transposed", "embedding", "embedding after"])
    return st.one_of(
        st.tuples(st.just(Levels), scales, kinds, st.booleans()),
        st.tuples(st.just(Siamese)),
        st.tuples(st.just(Tied), ties),
    )


@settings(max_examples=10, derandomize=True, deadline=None)
@given(
    made=networks(),
    scheme=st.sampled_from(["minmax", "mse", "percentile", "histogram"]),
    word_length=st.sampled_from([8, 12, 16]),
    per_channel=st.booleans(),
)
def test_whatever_is_proposed_can_be_quantized_validated_and_checked(
    made: tuple[Any, ...], scheme: str, word_length: int, per_channel: bool
) -> None:
    torch.manual_seed(0)
    model, x = made[0](*made[1:]).eval(), torch.randn(4, 3, 6)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(word_length, scheme, per_channel=per_channel)
    report, found = validate(model, plan, [x]), health(model, plan, [x])
    assert found.overflows.empty
    assert found.sqnr_db == report.loc[type(model).__name__, "sqnr_db"]
    assert found.sqnr_db > (25 if scheme != "histogram" else 10)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_bias_that_is_added_to_several_sums_has_a_window(per_channel: bool) -> None:
    torch.manual_seed(0)
    model = Levels([1.0, 40.0], "conv", bias=True).eval()
    plan = calibrate(model, [torch.randn(4, 3, 6)], device="cpu", progress=False).propose(8, per_channel=per_channel)
    assert isinstance(plan["head.bias"], FixedPoint)
    assert isinstance(plan["head.weight"], PerChannel if per_channel else FixedPoint)
    assert (plan["body.bias"] == ACCUMULATOR) == per_channel


@pytest.mark.parametrize("how", ["autoencoder", "transposed", "embedding", "embedding after"])
def test_a_weight_that_is_read_in_another_way_too_has_one_window(how: str) -> None:
    torch.manual_seed(0)
    model, x = Tied(how).eval(), torch.randn(4, 3, 6)
    calibration = calibrate(model, [x], device="cpu", progress=False)
    plan = calibration.propose(8, per_channel=True)
    shared = next(name for name, row in ((row.name, row) for row in plan.rows) if len(set(row.fused)) > 1)
    assert isinstance(plan[shared], FixedPoint)
    islands = quantize(model, plan).float_islands
    assert islands == quantize(model, calibration.propose(8)).float_islands


def test_what_is_advised_for_a_bias_at_several_accumulators_helps() -> None:
    torch.manual_seed(0)
    model, x = Levels([1.0, 40.0], "conv", bias=True).eval(), torch.randn(4, 3, 6)
    plan = calibrate(model, [x], device="cpu", progress=False).propose(8, per_channel=True)
    plan["head.bias"] = "accumulator"
    plan.commit()
    with pytest.raises(PlanError, match=r"plan\.propose\(8, names=\['head\.bias'\]\) and plan\.commit\(\)"):
        quantize(model, plan)
    plan.propose(8, names=["head.bias"])
    plan.commit()
    assert health(model, plan, [x]).sqnr_db > 25


@pytest.mark.parametrize("scales", [[1.0], [1.0, 40.0]])
def test_statistics_of_an_older_version_give_biases_alike(scales: list[float]) -> None:
    torch.manual_seed(0)
    model, x = Levels(scales, "conv and norm", bias=True).eval(), torch.randn(4, 3, 6)
    calibration = calibrate(model, [x], device="cpu", progress=False)
    plan = calibration.propose(8, per_channel=True)
    calibration.sums = ()
    older = calibration.propose(8, per_channel=True)
    assert {name for name in older if older[name] == ACCUMULATOR} == {
        name for name in plan if plan[name] == ACCUMULATOR
    }
    assert health(model, older, [x]).sqnr_db > 25
