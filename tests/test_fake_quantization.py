"""A network under its formats as a module to be trained: what it computes is what the integers give, bit for bit."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets import calibrate, fake_quantized, quantize
from qwidgets.adjusting.fake_quantization import FakeQuantized
from qwidgets.calibration import Calibration
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import ACCUMULATOR, FixedPoint
from qwidgets.plan import Plan
from tests import networks

EXAMPLE = digits()
DATA = list(EXAMPLE.calibration)
IMAGES, LABELS = DATA[0]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(EXAMPLE.model, DATA, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(4)


def train(module: nn.Module, turns: int = 3, lr: float = 1e-3) -> None:
    trained = [value for value in module.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(trained, lr)
    for turn in range(turns):
        images, labels = DATA[turn % len(DATA)]
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()


def equal(one: Any, other: Any) -> bool:
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True)
    return all(a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def test_what_was_trained_is_better_and_in_the_plan(plan: Plan, tmp_path: Path) -> None:
    def right(network: nn.Module) -> float:
        return float(torch.cat([network(images).argmax(1) == labels for images, labels in EXAMPLE.test]).float().mean())

    module, before = fake_quantized(plan), right(quantize(EXAMPLE.model, plan))
    train(module, 80)
    entry = plan.take_weights(module, "by my own loop")
    assert entry is not None and entry.note == "by my own loop" and not entry.changes
    quantized = quantize(EXAMPLE.model, plan)
    assert right(quantized) >= before
    assert equal(module(IMAGES), quantized(IMAGES))
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json", plan.measured)
    assert equal(quantize(EXAMPLE.model, loaded)(IMAGES), quantized(IMAGES))
    plan.undo()
    assert not equal(quantize(EXAMPLE.model, plan)(IMAGES), quantized(IMAGES))


@pytest.mark.parametrize("word_length", [2, 4, 8, 12, 16])
@pytest.mark.parametrize("per_channel", [False, True])
def test_it_computes_what_quantize_does_before_and_after(
    calibration: Calibration, word_length: int, per_channel: bool
) -> None:
    plan = calibration.propose(word_length, per_channel=per_channel)
    module = fake_quantized(plan)
    assert equal(module(IMAGES), quantize(EXAMPLE.model, plan)(IMAGES))
    train(module)
    plan.take_weights(module)
    assert equal(module(IMAGES), quantize(EXAMPLE.model, plan)(IMAGES))
    with torch.no_grad():
        assert equal(module(IMAGES), quantize(EXAMPLE.model, plan)(IMAGES))


def test_it_begins_where_steps_ended(calibration: Calibration) -> None:
    plan = calibration.propose(4, per_channel=True)
    plan.equalize(DATA, progress=False)
    plan.correct_bias(DATA, progress=False)
    plan.round_adaptively(DATA, progress=False)
    plan.lock("blocks.2.conv1.weight", "stem.0.bias")
    plan["classifier.weight"] = None
    plan["input"] = FixedPoint(5, 4, signed=False, rounding="floor", overflow="wrap")
    plan["blocks.2.conv2.weight"] = FixedPoint(20, 18)
    plan.commit()
    module = fake_quantized(plan)
    assert equal(module(IMAGES), quantize(EXAMPLE.model, plan)(IMAGES))
    fixed = {name for name, value in module.named_parameters() if not value.requires_grad}
    assert fixed == {"blocks.2.conv1.weight", "stem.0.bias", "classifier.weight", "blocks.2.conv2.weight"} | (
        {"classifier.bias"} & fixed
    )
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    train(module)
    assert plan.take_weights(module) is not None
    assert equal(module(IMAGES), quantize(EXAMPLE.model, plan)(IMAGES))
    for name, value in module.named_parameters():
        assert torch.equal(value, before[name]) == (name in fixed)


class Heads(nn.Module):
    """Two outputs, one of which no integer form has, beside one that is no float."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.left, self.right = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.stem(x))
        return {"left": self.left(x), "right": torch.erf(self.right(x)), "place": self.left(x).argmax(1)}


@pytest.mark.parametrize(
    ("model", "args"),
    [
        (networks.ResNet(), (torch.randn(4, 3, 16, 16),)),
        (networks.Recurrent(), (torch.randn(4, 6, 4),)),
        (networks.Autocast(8, 16, 4), (torch.randn(4, 8),)),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (torch.randn(4, 5, 16),)),
        (nn.Sequential(nn.Linear(8, 8), nn.Hardtanh(), nn.Linear(8, 4)).bfloat16(), (torch.randn(4, 8).bfloat16(),)),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.PReLU(4), nn.Flatten()).double(), (torch.randn(4, 3, 8).double(),)),
        (Heads(), (torch.randn(4, 8),)),
    ],
    ids=["residual", "recurrent", "autocast", "transformer", "bfloat16", "float64", "heads"],
)
@pytest.mark.parametrize("word_length", [4, 8])
def test_networks_of_all_kinds(model: nn.Module, args: tuple[Tensor, ...], word_length: int) -> None:
    model = model.eval()
    plan = calibrate(model, [args[0]], device="cpu", progress=False).propose(word_length, per_channel=True)
    module = fake_quantized(plan)
    assert equal(module(*args), quantize(model, plan)(*args))
    outputs = [leaf for leaf in pytree.tree_leaves(module(*args)) if leaf.requires_grad]
    assert outputs
    optimizer = torch.optim.SGD([value for value in module.parameters() if value.requires_grad], 0.05)
    sum(output.float().square().mean() for output in outputs).backward()
    optimizer.step()
    assert plan.take_weights(module) is not None
    assert equal(module(*args), quantize(model, plan)(*args))


def test_a_bias_at_its_accumulator_is_trained(calibration: Calibration) -> None:
    plan = calibration.propose(4)
    plan.draft(dict.fromkeys([name for name in plan if name.endswith("bias")], ACCUMULATOR))
    plan.commit()
    module = fake_quantized(plan)
    before = module.get_parameter("stem.0.bias").detach().clone()
    train(module)
    assert not torch.equal(module.get_parameter("stem.0.bias"), before)
    plan.take_weights(module)
    assert equal(module(IMAGES), quantize(EXAMPLE.model, plan)(IMAGES))


def test_gradients_stop_where_a_value_saturates() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    plan = calibrate(layer, [torch.ones(4, 1)], progress=False).propose(8)
    plan["linear"] = FixedPoint.from_window(-2, -8)  # which ends below a half
    plan.commit()
    module = fake_quantized(plan)
    module(torch.ones(4, 1)).sum().backward()
    (weight,) = module.parameters()
    assert weight.grad is not None and float(weight.grad) == 0
    module.zero_grad()
    module(torch.full((4, 1), 0.25)).sum().backward()
    assert float(weight.grad or torch.zeros(1)) == 1.0


def test_the_plan_and_the_model_are_not_changed(plan: Plan) -> None:
    weights = {name: value.clone() for name, value in EXAMPLE.model.state_dict().items()}
    state = plan.change, dict(plan.committed), plan.history
    train(fake_quantized(plan))
    assert state == (plan.change, dict(plan.committed), plan.history)
    assert all(torch.equal(value, weights[name]) for name, value in EXAMPLE.model.state_dict().items())


def test_it_is_copied_saved_and_loaded_like_any_module(plan: Plan) -> None:
    module = fake_quantized(plan)
    train(module)
    twin = copy.deepcopy(module)
    other = fake_quantized(plan)
    other.load_state_dict(module.state_dict())
    for each in (twin, other):
        assert equal(each(IMAGES), module(IMAGES))
    train(twin)
    assert not equal(twin(IMAGES), module(IMAGES))
    assert equal(other(IMAGES), module(IMAGES))
    assert module.train().training and equal(module(IMAGES), module.eval()(IMAGES))
    assert equal(module.double()(IMAGES), other(IMAGES))


def test_nothing_trained_is_nothing_taken(plan: Plan) -> None:
    assert plan.take_weights(fake_quantized(plan)) is None
    assert len(plan.history) == 1


# What is refused


def test_another_state_of_the_plan_is_refused(plan: Plan) -> None:
    module = fake_quantized(plan)
    train(module)
    plan["input"] = FixedPoint(6, 4)
    with pytest.raises(PlanError, match="drafts are not committed"):
        plan.take_weights(module)
    plan.commit()
    with pytest.raises(PlanError, match="other formats than are committed now; make one anew"):
        plan.take_weights(module)
    plan.undo()
    plan.undo()
    assert plan.take_weights(module) is not None
    with pytest.raises(PlanError, match="adjusted otherwise|other formats"):
        plan.take_weights(module)


def test_values_that_are_lost_are_refused(plan: Plan) -> None:
    module, history = fake_quantized(plan), plan.history
    with torch.no_grad():
        module.get_parameter("stem.0.weight").view(-1)[:3] = torch.nan
    with pytest.raises(PlanError, match="3 of the 144 values of 'stem.0.weight' are not finite"):
        plan.take_weights(module)
    assert plan.history == history


def test_other_modules_and_plans_are_refused(plan: Plan) -> None:
    with pytest.raises(PlanError, match="not from a Linear"):
        plan.take_weights(nn.Linear(2, 2))
    other = calibrate(nn.Linear(2, 2), [torch.randn(4, 2)], progress=False)
    with pytest.raises(PlanError, match="other formats"):
        plan.take_weights(fake_quantized(other.propose(8)))
    with pytest.raises(PlanError, match="nothing to train"):
        fake_quantized(Plan(other))
    with pytest.raises(PlanError, match="another network"):
        fake_quantized(plan, nn.Conv2d(1, 1, 1))


def test_a_call_of_another_form_is_refused(plan: Plan) -> None:
    module = fake_quantized(plan)
    assert isinstance(module, FakeQuantized)
    with pytest.raises(DataError):
        module(torch.zeros(2, 3))
