"""Fine-tuning learns codes of the formats that are there; mending does what helps of all steps."""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qwidgets.adjusting.learned_network import LearnedNetwork
from qwidgets.adjusting.learned_weights import begin
from qwidgets.adjusting.learned_windows import FURTHEST, LearnedWindow
from qwidgets.adjusting.straight_through import steps_of, straight_through
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.simulation import Program, QuantizedNetwork, captured, quantize
from qwidgets.tuning import Commit
from qwidgets.validation import validate
from tests.networks import Reused

EXAMPLE = digits()
DATA = [images for images, _ in EXAMPLE.calibration]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(EXAMPLE.model, DATA, device="cpu", progress=False)


def sqnr_db(plan: Plan) -> float:
    return float(validate(EXAMPLE.model, plan, EXAMPLE.test)["sqnr_db"]["DigitsNet"])


def top1(plan: Plan) -> float:
    return float(validate(EXAMPLE.model, plan, EXAMPLE.test)["quantized"]["top1"])


def all_codes(plan: Plan) -> Mapping[str, Tensor]:
    network = captured(EXAMPLE.model, plan)
    return QuantizedNetwork(EXAMPLE.model, network, plan.committed, adjustments=plan.adjustments).codes


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("word_length", [3, 4])
def test_it_makes_images_that_it_never_saw_better(
    calibration: Calibration, word_length: int, per_channel: bool
) -> None:
    plan = calibration.propose(word_length, per_channel=per_channel)
    before, committed = sqnr_db(plan), dict(plan.committed)
    entry = plan.fine_tune(DATA, progress=False)
    assert isinstance(entry, Commit)
    assert sqnr_db(plan) > before + 2
    assert dict(plan.committed) == committed
    assert {"fine-tuned"} == {entry.note.partition(":")[0]}


def test_it_begins_where_other_steps_ended_and_leaves_what_is_locked_or_in_float(calibration: Calibration) -> None:
    plan = calibration.propose(3)
    plan.round_adaptively(DATA, progress=False)
    plan["classifier.weight"] = None
    plan.commit()
    plan.lock("stem.0.weight", "stem.0.bias")
    before, codes = sqnr_db(plan), all_codes(plan)
    assert plan.fine_tune(DATA, progress=False) is not None
    assert sqnr_db(plan) > before
    after = all_codes(plan)
    assert torch.equal(after["stem.0.weight"], codes["stem.0.weight"])
    assert torch.equal(after["stem.0.bias"], codes["stem.0.bias"])
    assert not torch.equal(after["blocks.2.conv1.weight"], codes["blocks.2.conv1.weight"])
    assert "classifier.weight" not in plan.adjustments.roundings


@pytest.mark.parametrize("word_length", [3, 8])
def test_what_is_learned_with_computes_what_the_integers_do(calibration: Calibration, word_length: int) -> None:
    plan = calibration.propose(word_length, per_channel=True)
    network = captured(EXAMPLE.model, plan)
    formats = Program(network, plan.committed, 32).formats
    learned = LearnedNetwork(network, formats, network.parameters, frozenset(), torch.device("cpu"))
    x = DATA[0]
    found: dict[str, Tensor] = {}
    learned.run([x], lambda row, values: found.__setitem__(row, values))
    exact: dict[str, Tensor] = {}
    with torch.no_grad():
        quantized = QuantizedNetwork(EXAMPLE.model, network, plan.committed)
        quantized.run((x,), {}, lambda row, values: exact.__setitem__(row, values))
    assert found.keys() == exact.keys()
    for row, values in found.items():
        fmt = plan[row]
        assert isinstance(fmt, FixedPoint)
        away = (values.double() - exact[row].double()).abs() / fmt.step
        if word_length == 3:  # whose sums a float32 holds
            assert torch.equal(values.double(), exact[row].double())
        assert away.max() <= 1
        assert float((away > 0).double().mean()) < 0.01  # a sum in float32 can fall on the other side of a tie


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("word_length", [2, 4, 8])
def test_it_begins_with_the_codes_that_are_there(calibration: Calibration, word_length: int, per_channel: bool) -> None:
    plan = calibration.propose(word_length, per_channel=per_channel)
    plan.round_adaptively(DATA, progress=False)
    network = plan.adjustments.applied(captured(EXAMPLE.model, plan))
    begun = begin(network, plan)
    codes = all_codes(plan)
    assert plan.adjustments.roundings
    for row in plan.adjustments.roundings:
        fmt = plan[row]
        assert isinstance(fmt, FixedPoint | PerChannel)
        assert torch.equal(fmt.to_integer(begun[row]), codes[row])


@pytest.mark.parametrize("fmt", [FixedPoint(4, 1), FixedPoint(3, 2, signed=False), PerChannel(4, (1, 3))])
def test_gradients_pass_what_is_rounded_and_not_what_saturates(fmt: FixedPoint | PerChannel) -> None:
    values = torch.linspace(-9, 9, 400).reshape(2, 200).requires_grad_()
    rounded = straight_through(values, fmt)
    assert torch.equal(rounded, fmt.quantize(values.detach()))
    rounded.sum().backward()
    ends = [(one.min, one.max, one.step) for one in (fmt if isinstance(fmt, PerChannel) else [fmt, fmt])]
    assert values.grad is not None
    for line, gradient, (least, most, step) in zip(values.detach(), values.grad, ends, strict=True):
        assert (gradient[(line > least) & (line < most)] == 1).all()
        assert (gradient[(line < least - step) | (line > most + step)] == 0).all()


def test_stopped_it_keeps_the_best_so_far(calibration: Calibration) -> None:
    plan = calibration.propose(3)
    before, asked = sqnr_db(plan), itertools.count(1)
    entry = plan.fine_tune(DATA, progress=False, stop=lambda: next(asked) > 100)
    assert entry is not None
    assert next(asked) == 102
    assert sqnr_db(plan) > before + 1
    plan.undo()
    assert sqnr_db(plan) == before
    assert plan.fine_tune(DATA, progress=False, stop=lambda: True) is None
    assert sqnr_db(plan) == before


def test_it_learns_for_callers_who_turned_gradients_off(calibration: Calibration) -> None:
    found = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        plan = calibration.propose(3)
        with mode():
            data = [batch.clone() for batch in DATA]
            plan.fine_tune(data, progress=False, epochs=2, on_unchanged=lambda reason: None)
        found.append(all_codes(plan))
    for codes in found[1:]:
        assert all(torch.equal(codes[row], found[0][row]) for row in codes)


class Recurrent(nn.Module):
    """A network without convolutions, of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        states, (last, _) = self.lstm(x)
        return {"classes": self.head(last[0]), "states": states.mean(1)}


def test_a_network_of_several_outputs_without_convolutions_learns_too() -> None:
    torch.manual_seed(0)
    model = Recurrent().eval()
    data = [torch.randn(16, 7, 6) for _ in range(6)]
    plan = calibrate(model, data, device="cpu", progress=False).propose(5)
    others = [torch.randn(64, 7, 6)]
    before = validate(model, plan, others)["sqnr_db"]["Recurrent"]
    assert plan.fine_tune(data, progress=False) is not None
    assert validate(model, plan, others)["sqnr_db"]["Recurrent"] > before + 0.5


class Masked(nn.Module):
    """Scores that are masked with infinities on the way, and a class beside the output that has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.queries, self.values = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.queries(x) @ self.keys(x).transpose(1, 2)
        later = torch.ones(5, 5, dtype=torch.bool).triu(1)
        y: Tensor = scores.masked_fill(later, float("-inf")).softmax(-1) @ self.values(x)
        return y, y.argmax(-1)


def test_what_is_masked_with_infinity_teaches_nothing_and_spoils_nothing() -> None:
    torch.manual_seed(0)
    model = Masked().eval()
    data = [torch.randn(16, 5, 6) for _ in range(6)]
    plan = calibrate(model, data, device="cpu", progress=False).propose(5)
    others = [torch.randn(64, 5, 6)]
    before = validate(model, plan, others)["sqnr_db"]["Masked"]
    plan.fine_tune(data, progress=False, on_unchanged=lambda reason: None)
    assert validate(model, plan, others)["sqnr_db"]["Masked"] > before - 0.2


class Chosen(nn.Module):
    """Its only output is a number of a class."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x).argmax(-1)
        return found


def test_what_cannot_be_learned_is_said() -> None:
    data = [torch.randn(16, 6) for _ in range(4)]
    plan = calibrate(Chosen().eval(), data, device="cpu", progress=False).propose(4)
    reasons: list[str] = []
    assert plan.fine_tune(data, progress=False, on_unchanged=reasons.append) is None
    plan.lock(*plan.names)
    assert plan.fine_tune(data, progress=False, on_unchanged=reasons.append) is None
    assert "no output has a gradient that leads to a weight or bias" in reasons[0]
    assert "and is not locked" in reasons[1]


def test_a_bias_at_the_accumulator_of_a_layer_in_float_is_left_alone(calibration: Calibration) -> None:
    plan = calibration.propose(4)
    plan["input"] = None  # so that the first layer computes in float
    plan["stem.0.bias"] = "accumulator"
    plan.commit()
    plan.fine_tune(DATA, progress=False, epochs=2, on_unchanged=lambda reason: None)
    assert "stem.0.bias" not in plan.adjustments.shifts


def test_words_longer_than_a_rounding_can_tell_are_left_alone(calibration: Calibration) -> None:
    plan = calibration.propose(4)
    plan.set("*.conv*.weight", FixedPoint(24, 22))
    plan.commit()
    plan.fine_tune(DATA, progress=False, epochs=3, on_unchanged=lambda reason: None)
    assert "blocks.2.conv1.weight" not in plan.adjustments.roundings


@pytest.mark.parametrize("epochs", [0, -1, 1.5, True, "many", None])
def test_epochs_that_make_no_sense_are_refused(calibration: Calibration, epochs: Any) -> None:
    plan = calibration.propose(4)
    with pytest.raises(PlanError, match="epochs must be a whole number from 1"):
        plan.fine_tune(DATA, progress=False, epochs=epochs)
    assert len(plan.history) == 1


# With windows that are learned, too


@pytest.mark.parametrize("word_length", [3, 4])
def test_windows_that_lie_too_high_are_learned(calibration: Calibration, word_length: int) -> None:
    within, moving = (calibration.propose(word_length, "minmax") for _ in range(2))
    start = dict(moving.committed)
    within.fine_tune(DATA, progress=False)
    entry = moving.fine_tune(DATA, progress=False, windows=True)
    assert isinstance(entry, Commit)
    assert sqnr_db(moving) > sqnr_db(within) + 0.5
    assert entry.changes
    for name, (before, after) in entry.changes.items():
        assert isinstance(before, FixedPoint) and isinstance(after, FixedPoint)
        assert dataclasses.replace(before, fraction_length=after.fraction_length) == after
        assert abs(before.fraction_length - after.fraction_length) <= FURTHEST
        assert not name.endswith("bias")
    moving.undo()
    assert dict(moving.committed) == start and not moving.adjustments


def test_windows_of_channels_are_learned_and_locked_ones_stay(calibration: Calibration) -> None:
    plan = calibration.propose(3, "minmax", per_channel=True)
    plan.lock("input", "stem.0.weight")
    entry = plan.fine_tune(DATA, progress=False, windows=True)
    assert isinstance(entry, Commit)
    assert not {"input", "stem.0.weight"} & set(entry.changes)
    assert any(isinstance(after, PerChannel) for _, after in entry.changes.values())
    network = captured(EXAMPLE.model, plan)
    assert not any(
        accumulator.needed_bits > 32
        for accumulator in Program(network, plan.committed, 32, plan.adjustments).accumulators.values()
    )


@pytest.mark.parametrize("fmt", [FixedPoint(4, 1), FixedPoint(4, 1, signed=False), PerChannel(4, (1, 3))])
def test_a_window_rounds_as_its_format_and_has_the_gradient_of_its_threshold(fmt: FixedPoint | PerChannel) -> None:
    window = LearnedWindow(fmt, torch.device("cpu"))
    window.shift.requires_grad_(True)
    values = torch.tensor([[0.3, -0.9, 9.0, -7.3], [0.05, 0.4, -3.0, 0.77]], requires_grad=True)
    for by in (0.0, 0.7, -2.2):
        window.shift.data.fill_(by)
        rounded = window(values)
        assert torch.equal(rounded, window.format.quantize(values.detach()))
        of_values, of_shift = torch.autograd.grad(rounded.sum(), (values, window.shift))
        steps = steps_of(window.format, values.detach())
        saturates = (rounded - values).detach().abs() > steps
        # Jain et al. (2020): in steps, the rounding error, or the end of the window.
        expected = math.log(2) * torch.where(saturates, rounded, rounded - values).detach()
        shift = expected.sum(1) if isinstance(fmt, PerChannel) else expected.sum()
        assert torch.allclose(of_shift, shift, atol=1e-5)
        assert torch.equal(of_values, saturates.logical_not().float())


def test_what_wraps_is_in_float_or_locked_stays(calibration: Calibration) -> None:
    plan = calibration.propose(4, "minmax", per_channel=True)
    pool = plan["pool"]
    assert isinstance(pool, FixedPoint)
    plan["pool"] = dataclasses.replace(pool, overflow="wrap")
    plan["classifier"] = None
    plan.commit()
    plan.lock("input")
    formats = dict(plan.committed)
    assert plan.fine_tune(DATA, progress=False, windows=True, epochs=10) is not None
    for row in ("pool", "classifier", "input"):
        assert plan.committed[row] == formats[row]


def test_with_all_weights_locked_windows_are_learned_alone(calibration: Calibration) -> None:
    plan = calibration.propose(4, "minmax")
    plan.lock(*(row.name for row in plan.rows if row.kind in ("weight", "bias")))
    before = sqnr_db(plan)
    assert plan.fine_tune(DATA, progress=False, windows=True, epochs=10) is not None
    assert not plan.adjustments
    assert sqnr_db(plan) > before + 1


def test_a_bias_that_layers_share_at_their_accumulators_keeps_their_steps_together() -> None:
    torch.manual_seed(0)
    model = Reused().eval()
    data = [torch.randint(0, 10, (16, 3)) for _ in range(4)]
    plan = calibrate(model, data, device="cpu", progress=False).propose(4)
    plan["fc"] = plan["embedding.weight"]  # so that both calls of fc have one step
    plan["fc.bias"] = "accumulator"
    plan.commit()
    formats = dict(plan.committed)
    plan.fine_tune(data, progress=False, windows=True, epochs=10, on_unchanged=lambda reason: None)
    for row in ("embedding.weight", "fc", "fc.weight", "fc.bias"):
        assert plan.committed[row] == formats[row]


@pytest.mark.parametrize("windows", [1, "yes", None])
def test_windows_is_a_truth_value(calibration: Calibration, windows: Any) -> None:
    with pytest.raises(PlanError, match="windows must be True or False"):
        calibration.propose(4).fine_tune(DATA, progress=False, windows=windows)


# With a loss of one's own


LABELLED = list(EXAMPLE.calibration)


def test_labels_and_a_loss_are_learned_and_judged_by(calibration: Calibration) -> None:
    plan = calibration.propose(2)
    before = top1(plan)
    entry = plan.fine_tune(LABELLED, progress=False, loss=nn.functional.cross_entropy, epochs=20)
    assert isinstance(entry, Commit)
    assert re.fullmatch(r"fine-tuned: loss [0-9.]+ -> [0-9.]+ on 128 samples kept aside", entry.note)
    lost, left = map(float, re.findall(r"[0-9.]+(?= )", entry.note)[:2])
    assert left < lost
    assert top1(plan) > before + 0.2


def test_one_batch_is_divided_with_its_labels(calibration: Calibration) -> None:
    plan, reasons = calibration.propose(2), list[str]()
    entry = plan.fine_tune(
        LABELLED[:1],
        progress=False,
        loss=nn.functional.cross_entropy,
        epochs=4,
        on_unchanged=reasons.append,
    )
    said = entry.note if isinstance(entry, Commit) else reasons[0]
    assert re.search(r"loss [0-9.]+ -> [0-9.]+ on 16 samples kept aside$", said)


@pytest.mark.parametrize(
    ("data", "loss", "message"),
    [
        (DATA, nn.functional.cross_entropy, "batch [0-9] has no targets for the loss"),
        (LABELLED, lambda outputs, targets: outputs["scores"], "the loss fails on batch [0-9]: "),
        (LABELLED, lambda outputs, targets: outputs.sum(1), "must give a tensor of one number for batch [0-9], not"),
        (LABELLED, lambda outputs, targets: 0.5, "must give a tensor of one number for batch [0-9], not 0.5"),
    ],
)
def test_a_loss_that_is_none_is_refused(calibration: Calibration, data: Any, loss: Any, message: str) -> None:
    plan = calibration.propose(4)
    history = plan.history
    with pytest.raises(DataError, match=message):
        plan.fine_tune(data, progress=False, loss=loss)
    assert plan.history == history


def test_a_loss_without_a_gradient_is_refused(calibration: Calibration) -> None:
    plan = calibration.propose(4)
    with pytest.raises(DataError, match="the loss has no gradient"):
        plan.fine_tune(LABELLED, progress=False, loss=lambda outputs, targets: outputs.detach().sum())
    assert len(plan.history) == 1


def test_a_loss_that_is_lost_changes_nothing(calibration: Calibration) -> None:
    plan, reasons = calibration.propose(4), list[str]()
    done = plan.fine_tune(
        LABELLED,
        progress=False,
        loss=lambda outputs, targets: outputs.sum() * torch.nan,
        epochs=2,
        on_unchanged=reasons.append,
    )
    assert done is None and reasons


def test_mending_does_what_helps_as_one_step_for_undo(calibration: Calibration) -> None:
    plan = calibration.propose(3)
    alone = []
    for step in ("equalize", "correct_bias", "round_adaptively"):
        trial = plan.copy()
        trial.step(step, DATA, progress=False, on_unchanged=lambda reason: None)
        alone.append(sqnr_db(trial))
    before, history = sqnr_db(plan), plan.history
    entry = plan.mend(DATA, progress=False)
    assert entry is not None
    assert "fine-tuned; output SQNR" in entry.note
    assert plan.history == (*history, entry)
    assert sqnr_db(plan) > max(before, *alone)
    plan.undo()
    assert sqnr_db(plan) == before
    assert plan.history == history


def test_mending_keeps_what_was_done_when_its_time_is_over(calibration: Calibration) -> None:
    plan = calibration.propose(3)
    asked = itertools.count(1)
    entry = plan.mend(DATA, progress=False, stop=lambda: next(asked) > 25)
    assert entry is not None
    assert "fine-tuned" not in entry.note
    assert plan.copy().mend(DATA, progress=False, budget_s=1e-9) is None
    for wrong in (0, -1, math.nan, "soon"):
        with pytest.raises(PlanError, match="budget_s must be a number of seconds above zero"):
            plan.mend(DATA, progress=False, budget_s=wrong)


@pytest.mark.parametrize("step", ["fine_tune", "mend"])
def test_what_was_learned_is_in_the_plan_file(calibration: Calibration, step: str, tmp_path: Any) -> None:
    plan = calibration.propose(4)
    assert plan.step(step, DATA, progress=False) is not None
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json", calibration)
    with torch.no_grad():
        x = DATA[0]
        assert torch.equal(quantize(EXAMPLE.model, again)(x), quantize(EXAMPLE.model, plan)(x))
