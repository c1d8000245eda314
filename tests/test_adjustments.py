import dataclasses
from collections.abc import Callable

import pytest
import torch

from qwidgets.adjusting.adaptive_rounding import fit_codes
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.simulation import QuantizedNetwork, captured, quantize
from qwidgets.tuning import Commit
from qwidgets.validation import validate


class Blocks(torch.nn.Module):
    """All that channels are scaled through: depthwise, a sum, ReLU6, pads, pooling, a flattened end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(6)
        self.relu = torch.nn.ReLU6()
        self.depthwise = torch.nn.Conv2d(6, 6, 3, groups=6)
        self.project = torch.nn.Conv2d(6, 6, 1)
        self.grouped = torch.nn.Conv2d(6, 4, 3, groups=2)
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.out = torch.nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.relu(self.depthwise(torch.nn.functional.pad(x, (1, 1, 1, 1))))
        x = x + self.project(y)
        x = torch.nn.functional.hardtanh(self.grouped(x), -0.5, 3.0)
        result: torch.Tensor = self.out(self.pool(x).flatten(1))
        return result


def network() -> Blocks:
    torch.manual_seed(0)
    model = Blocks().eval()
    with torch.no_grad():
        model.stem.weight.mul_(torch.tensor([1, 2, 30, 0.1, 0.3, 5]).reshape(-1, 1, 1, 1))
        model.out.weight.mul_(3)
    return model


MODEL = network()
DATA = [torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(6)]
OTHERS = [torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(99))]
Step = Callable[[Plan], Commit | None]
STEPS: list[Step] = [
    lambda plan: plan.equalize(DATA, MODEL, progress=False),
    lambda plan: plan.correct_bias(DATA, MODEL, progress=False),
    lambda plan: plan.round_adaptively(DATA, MODEL, progress=False),
    lambda plan: plan.fine_tune(DATA, MODEL, progress=False, epochs=10),
]
NAMES = ["equalize", "correct_bias", "round_adaptively", "fine_tune"]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(MODEL, DATA, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(8, per_channel=True)


def coarse(plan: Plan) -> None:
    """Give the weights so few bits that there is something to round otherwise."""
    plan.propose(3, names=[name for name in plan if name.endswith("weight")], per_channel=True)
    plan.commit("coarse weights")


def codes(plan: Plan) -> dict[str, torch.Tensor]:
    return dict(quantize(MODEL, plan).codes)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[row], second[row]) for row in first)


def test_an_equalized_network_in_float_computes_what_the_network_does(plan: Plan) -> None:
    plan.equalize(DATA, MODEL, progress=False)
    assert {"stem", "depthwise", "project", "add", "grouped"} <= set(plan.adjustments.factors)
    adjusted = plan.adjustments.applied(captured(MODEL, plan))
    inside = QuantizedNetwork(MODEL, adjusted, dict.fromkeys(plan))
    for batch in (OTHERS[0], 50 * OTHERS[0]):  # far beyond what the clamps let through
        torch.testing.assert_close(inside(batch), MODEL(batch), rtol=1e-5, atol=1e-5)


def test_clamps_move_with_their_channels_in_integers_too(plan: Plan) -> None:
    plan.equalize(DATA, MODEL, progress=False)
    quantized = quantize(MODEL, plan)
    assert not quantized.float_islands
    wide = {row.name: FixedPoint(16, 9) for row in plan.rows if row.kind in ("activation", "input")}
    plan.draft({**wide, "stem": FixedPoint(24, 12)})
    plan.commit("room above the clamps")
    seen: dict[str, torch.Tensor] = {}
    quantize(MODEL, plan).run((50 * OTHERS[0],), {}, lambda row, values: seen.update({row: values.clone()}))
    (scale,) = plan.adjustments.factors["stem"]
    highest = seen["stem"].amax((0, 2, 3)).double()
    bounds = 6 * torch.from_numpy(scale)
    clamped = MODEL.relu(MODEL.norm(MODEL.stem(50 * OTHERS[0]))).amax((0, 2, 3)) == 6
    assert clamped.any()
    torch.testing.assert_close(highest[clamped], bounds[clamped], rtol=0, atol=2**-12)
    assert (highest <= bounds + 2**-12).all()


def test_the_loudest_channel_reaches_the_top_and_the_others_come_half_the_way(plan: Plan) -> None:
    plan.equalize(DATA, MODEL, progress=False)
    assert plan.calibration is not None
    network = captured(MODEL, plan)

    def largest(batches: list[torch.Tensor]) -> torch.Tensor:
        found: dict[str, torch.Tensor] = {}
        network.run((torch.cat(batches),), None, lambda row, values: found.update({row: values.abs()}) or None)
        return found["depthwise"].amax((0, 2, 3)).double()

    (scale,) = plan.adjustments.factors["depthwise"]
    before = largest([batch for place, batch in enumerate(DATA) if place % 4 != 1])
    reached = before * torch.from_numpy(scale)
    fmt = plan["depthwise"]
    assert isinstance(fmt, FixedPoint)
    assert float(reached.max()) == pytest.approx(fmt.max, rel=1e-4)
    # What the data that were kept aside reach counts in the statistics, too.
    of_all = float((largest(DATA) * torch.from_numpy(scale)).max())
    assert plan.calibration["depthwise"].max == pytest.approx(of_all, rel=1e-4)
    alive = before > before.max() / 64
    assert alive.sum() > 3
    expected = fmt.max * (before / before.max()).sqrt()
    torch.testing.assert_close(reached[alive], expected[alive], rtol=1e-4, atol=0)


@pytest.mark.parametrize("step", STEPS)
def test_rounding_and_overflow_stay_whatever_windows_are_chosen_anew(calibration: Calibration, step: Step) -> None:
    plan = calibration.propose(8, per_channel=True, target="onnxruntime")
    fmt = plan["stem.weight"]
    assert isinstance(fmt, PerChannel)
    plan["stem.weight"] = dataclasses.replace(fmt, rounding="floor")
    plan.commit()
    before = modes(plan)
    step(plan)
    assert modes(plan) == before
    assert {rounding for rounding, _ in before.values()} == {"half_away", "half_even", "floor"}


def modes(plan: Plan) -> dict[str, tuple[str, str]]:
    formats = {name: fmt for name, fmt in plan.committed.items() if isinstance(fmt, FixedPoint | PerChannel)}
    return {name: (fmt.rounding, fmt.overflow) for name, fmt in formats.items()}


def test_the_table_shows_the_adjusted_tensors(plan: Plan) -> None:
    before = plan.table()
    plan.equalize(DATA, MODEL, progress=False)
    assert plan.calibration is not None
    (outer, *_) = plan.adjustments.factors["stem.weight"]
    weights = captured(MODEL, plan).parameters["stem.weight"].double() * torch.from_numpy(outer)
    torch.testing.assert_close(plan.calibration.values("stem.weight").double(), weights)
    assert plan.table().loc["stem.weight", "max"] == pytest.approx(float(weights.max()))
    plan.undo()
    assert plan.table().equals(before)


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_each_step_can_be_undone_and_done_again(plan: Plan, step: Step) -> None:
    before = codes(plan)
    entry = step(plan)
    assert plan.history[-1] is entry
    after = codes(plan)
    assert not same(before, after)
    plan.undo()
    assert same(codes(plan), before)
    assert not plan.adjustments
    plan.redo()
    assert same(codes(plan), after)


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_a_step_that_is_stopped_or_fails_leaves_the_plan_as_it_was(plan: Plan, step: Step) -> None:
    before, history = codes(plan), plan.history
    name = NAMES[STEPS.index(step)]
    assert getattr(plan, name)(DATA, MODEL, progress=False, stop=lambda: True) is None
    with pytest.raises(DataError, match="batch 1"):
        getattr(plan, name)([DATA[0], torch.zeros(2, 2)], MODEL, progress=False)
    with pytest.raises(DataError, match="no batch"):
        getattr(plan, name)([], MODEL, progress=False)
    with pytest.raises(PlanError, match="another network"):
        getattr(plan, name)(DATA, torch.nn.Conv2d(3, 2, 1), progress=False)
    plan["stem"] = None
    with pytest.raises(PlanError, match="drafts are not committed"):
        getattr(plan, name)(DATA, MODEL, progress=False)
    plan.revert()
    assert same(codes(plan), before)
    assert plan.history == history


def test_correcting_biases_takes_away_the_mean_error(plan: Plan) -> None:
    plan.set("*.weight", FixedPoint(4, 3))
    plan.commit("coarse")
    before = validate(MODEL, plan, DATA)["mean_error"]
    plan.correct_bias(DATA, MODEL, progress=False)
    after = validate(MODEL, plan, DATA)["mean_error"]
    assert abs(after["project"]) < 0.5 * abs(before["project"])
    assert abs(after["out"]) < 0.5 * abs(before["out"])


def test_adaptive_rounding_keeps_the_output_better_than_rounding_to_nearest() -> None:
    example = digits()
    plan = calibrate(example.model, example.calibration, device="cpu", progress=False).propose(8, per_channel=True)
    plan.propose(4, names=[name for name in plan if name.endswith("weight")], per_channel=True)
    plan.commit("coarse weights")
    plan.correct_bias(example.calibration, progress=False)
    before = validate(example.model, plan, example.test)["sqnr_db"]
    plan.undo()
    plan.round_adaptively(example.calibration, progress=False)
    after = validate(example.model, plan, example.test)["sqnr_db"]
    network = type(example.model).__name__
    assert after[network] > before[network] + 3


def test_a_rounding_counts_only_for_the_format_that_it_was_made_for(plan: Plan) -> None:
    coarse(plan)
    nearest = codes(plan)["project.weight"]
    plan.round_adaptively(DATA, MODEL, progress=False)
    rounded, fmt = codes(plan)["project.weight"], plan["project.weight"]
    assert isinstance(fmt, PerChannel)
    assert not torch.equal(rounded, nearest)
    plan["project.weight"] = fmt.with_channel(0, FixedPoint(3, -2))
    plan.commit()
    values = captured(MODEL, plan).parameters["project.weight"]
    changed = plan["project.weight"]
    assert isinstance(changed, PerChannel)
    assert torch.equal(codes(plan)["project.weight"], changed.to_integer(values))
    plan["project.weight"] = fmt
    plan.commit()
    assert torch.equal(codes(plan)["project.weight"], rounded)


def test_a_locked_tensor_is_left_alone(plan: Plan) -> None:
    plan.lock("stem", "project.weight", "out.bias")
    before = codes(plan)["project.weight"]
    plan.equalize(DATA, MODEL, progress=False)
    assert "stem" not in plan.adjustments.factors
    plan.round_adaptively(DATA, MODEL, progress=False)
    assert "project.weight" not in plan.adjustments.roundings
    assert "out.bias" not in plan.adjustments.shifts
    assert before.shape == codes(plan)["project.weight"].shape


def test_a_quantized_network_that_loads_its_own_state_computes_the_same(plan: Plan) -> None:
    for step in STEPS:
        step(plan)
    quantized = quantize(MODEL, plan)
    outputs = quantized(OTHERS[0])
    quantized.load_state_dict(quantized.state_dict())
    assert torch.equal(quantized(OTHERS[0]), outputs)


def test_the_steps_do_not_change_the_model(plan: Plan) -> None:
    before = {name: value.clone() for name, value in MODEL.state_dict().items()}
    for step in STEPS:
        step(plan)
    assert all(torch.equal(value, before[name]) for name, value in MODEL.state_dict().items())


def test_adjustments_survive_a_file(plan: Plan, calibration: Calibration, tmp_path: object) -> None:
    path = f"{tmp_path}/plan.json"
    for step in STEPS:
        step(plan)
    plan.save(path)
    back = Plan.load(path, calibration)
    assert same(codes(back), codes(plan))
    assert back.table().equals(plan.table())
    opened = Plan(calibration)
    opened.open(path)
    assert same(codes(opened), codes(plan))
    opened.undo()
    assert not opened.adjustments


def test_rounding_by_the_hessian_is_never_worse_than_to_nearest_on_its_own_measure() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 12, 200, generator=generator).double()
    inputs += inputs[:, :1]
    rows = torch.randn(2, 5, 12, generator=generator).double()
    hessian, steps = inputs @ inputs.transpose(1, 2), torch.full((2, 5), 0.25).double()

    def error(found: torch.Tensor) -> torch.Tensor:
        return ((found * 0.25 - rows) @ inputs).square().sum(2)

    fitted = error(fit_codes(rows, hessian, steps, (-128, 127)))
    nearest = error((rows / 0.25).round())
    assert fitted.sum() < 0.6 * nearest.sum()
