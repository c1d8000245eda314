"""What is found on real networks, what is said of it beside what is so, and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from qwidgets import calibrate, schemes
from qwidgets.calibration import Calibration
from qwidgets.errors import DataError, PlanError
from qwidgets.examples import digits
from qwidgets.formats import ACCUMULATOR, FixedPoint, moved
from qwidgets.histograms import BitHistogram
from qwidgets.plan import Plan
from qwidgets.remedies import Findings
from qwidgets.validation import validate
from tests import networks

EXAMPLE = digits()
SEEN = list(EXAMPLE.calibration)
JUDGED = list(EXAMPLE.test)[:1]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(EXAMPLE.model, SEEN, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(8)


def spoil(plan: Plan, row: str, fmt: FixedPoint) -> Plan:
    plan[row] = fmt
    plan.commit("spoilt")
    return plan


def chosen(plan: Plan, row: str, scheme: str, word_length: int, *, signed: bool | None = None) -> FixedPoint:
    assert plan.calibration is not None
    return schemes.choose(scheme, plan.calibration[row], word_length, signed=signed)


def moved_by(plan: Plan, row: str, bits: int) -> FixedPoint:
    fmt = plan[row]
    assert isinstance(fmt, FixedPoint)
    found = moved(fmt, bits)
    assert isinstance(found, FixedPoint)
    return found


BROKEN: dict[str, tuple[str, Callable[[Plan], FixedPoint]]] = {
    "wrong_window": ("stem.0.weight", lambda plan: moved_by(plan, "stem.0.weight", 4)),
    "cut_off": ("blocks.0.depthwise", lambda plan: moved_by(plan, "blocks.0.depthwise", -2)),
    "coarse_bias": ("stem.0.bias", lambda plan: FixedPoint(4, 0)),
    "wrong_sign": ("blocks.2.add", lambda plan: chosen(plan, "blocks.2.add", "mse", 4, signed=True)),
    "shifted_mean": (
        "blocks.0.depthwise",
        lambda plan: dataclasses.replace(chosen(plan, "blocks.0.depthwise", "mse", 4), rounding="floor"),
    ),
    "few_bits": ("input", lambda plan: chosen(plan, "input", "mse", 2)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_cause_is_told_on_a_trained_network(plan: Plan, name: str) -> None:
    row, format_of = BROKEN[name]
    before = plan.remedies(JUDGED, names=[row], progress=False).figures["sqnr_db"]
    spoil(plan, row, format_of(plan))
    findings = plan.remedies(JUDGED, progress=False)
    assert findings[0].row == row, findings
    assert name in [cause.name for cause in findings[0].causes], findings[0].why
    best = findings[0].remedies[0]
    assert best.gain_db > (before - findings.figures["sqnr_db"]) / 2, findings


def test_figures_are_those_of_validate(plan: Plan) -> None:
    spoil(plan, "stem.0.weight", moved_by(plan, "stem.0.weight", 5))
    findings = plan.remedies(JUDGED, progress=False)
    looked_at = [(EXAMPLE.model, plan, findings.figures)]
    for remedy in (*findings[0].remedies, *findings[-1].remedies):
        trial = plan.copy()
        trial.take(remedy)
        trial.commit()
        looked_at.append((EXAMPLE.model, trial, remedy.figures))
    for model, trial, figures in looked_at:
        table = validate(model, trial, JUDGED)
        assert table.loc[plan.network, "sqnr_db"] == pytest.approx(figures["sqnr_db"], abs=1e-9)
        assert table.loc["top1", "quantized"] == figures["top1"]


def test_nothing_is_changed(plan: Plan) -> None:
    plan["input"] = None
    state = plan.change, dict(plan.committed), dict(plan.drafts), plan.history
    weights = {name: value.clone() for name, value in EXAMPLE.model.state_dict().items()}
    plan.remedies(JUDGED, learn_from=SEEN[:2], progress=False)
    assert state == (plan.change, dict(plan.committed), dict(plan.drafts), plan.history)
    assert all(torch.equal(value, weights[name]) for name, value in EXAMPLE.model.state_dict().items())


def test_steps_are_tried_and_taken_at_once(calibration: Calibration) -> None:
    plan = calibration.propose(4)
    findings = plan.remedies(JUDGED, learn_from=SEEN[:4], progress=False)
    steps = {remedy.step: remedy for remedy in findings[-1].remedies if remedy.step}
    assert "round_adaptively" in steps, findings
    remedy = steps["round_adaptively"]
    assert remedy.gain_db > 1
    plan.take(remedy)
    assert plan.history[-1].note.startswith("weights rounded adaptively: output SQNR")
    after = validate(EXAMPLE.model, plan, JUDGED)
    assert after.loc[plan.network, "sqnr_db"] == pytest.approx(remedy.figures["sqnr_db"], abs=1e-9)
    with pytest.raises(PlanError, match="other formats than are committed now; look again"):
        plan.take(remedy)
    with pytest.raises(PlanError, match="is a step; undo"):
        plan.put_back(remedy)
    plan.undo()
    plan["input"] = None
    with pytest.raises(PlanError, match="drafts are not committed"):
        plan.take(remedy)


def test_what_was_taken_is_put_back(plan: Plan) -> None:
    spoil(plan, "stem.0.weight", moved_by(plan, "stem.0.weight", 5))
    plan["stem.0.bias"] = None
    remedy = plan.remedies(JUDGED, names=["stem.0.weight"], progress=False)[0].remedies[0]
    with pytest.raises(PlanError, match="nothing to put back"):
        plan.put_back(remedy)
    plan.take(remedy)
    assert set(plan.drafts) == {"stem.0.weight", "stem.0.bias"}
    plan.put_back(remedy)
    assert set(plan.drafts) == {"stem.0.bias"}
    plan.lock("stem.0.weight")
    with pytest.raises(PlanError, match="locked"):
        plan.take(remedy)


def test_what_is_locked_is_left_alone(plan: Plan) -> None:
    plan.lock("stem.0.weight", "stem.0.bias")
    for finding in plan.remedies(JUDGED, progress=False):
        for remedy in finding.remedies:
            assert not set(remedy.formats) & plan.locked


def test_a_price_is_what_memory_and_target_say(plan: Plan) -> None:
    spoil(plan, "blocks.2.conv1.weight", chosen(plan, "blocks.2.conv1.weight", "mse", 3))
    (finding,) = plan.remedies(JUDGED, names=["blocks.2.conv1.weight"], target="hls4ml", progress=False)
    longer = next(remedy for remedy in finding.remedies if remedy.title == "a word of 5 bits")
    assert (longer.more_bytes, longer.price) == (9216 * 2 // 8, "2,304 bytes more")
    in_float = next(remedy for remedy in finding.remedies if remedy.kept_float)
    assert in_float.price.startswith("computed in float; hls4ml cannot have it: ")
    assert plan.check("hls4ml").empty


def test_what_takes_less_at_no_loss_is_told(plan: Plan) -> None:
    # The pixels are multiples of 1/16, so that all bits below are zero.
    spoil(plan, "input", FixedPoint(12, 10, signed=False))
    (finding,) = plan.remedies(JUDGED, names=["input"], progress=False)
    assert finding.causes[0].name == "dead_low_bits"
    shorter = next(remedy for remedy in finding.remedies if remedy.title == "a word of 6 bits")
    assert (shorter.gain_db, shorter.price) == (0.0, "6 bits fewer a value")


class TwoOutputs(nn.Module):
    """Two linear layers side by side, beside a number that is no float."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left = self.left(x)
        return left, self.right(x), left.argmax(1)


def test_the_worst_output_counts() -> None:
    data = [torch.randn(16, 8, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    model = TwoOutputs().eval()
    plan = calibrate(model, data, progress=False).propose(10)
    plan["right.weight"] = FixedPoint(3, 1)
    plan.commit()
    findings = plan.remedies(data, progress=False)
    assert findings[0].row == "right.weight"
    assert set(findings.figures) >= {"sqnr_db", "output[0]_sqnr_db", "output[1]_sqnr_db"}
    assert findings.figures["output[0]_sqnr_db"] > 40


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (networks.ResNet(), torch.randn(4, 3, 16, 16)),
        (networks.Recurrent(), torch.randn(4, 6, 4)),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), torch.randn(4, 5, 16)),
        (networks.Autocast(8, 16, 4), torch.randn(4, 8)),
        (nn.Linear(8, 4).bfloat16(), torch.randn(4, 8).bfloat16()),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), torch.zeros(4, 4)),
    ],
    ids=["residual", "recurrent", "transformer", "autocast", "bfloat16", "zeros"],
)
def test_networks_of_all_kinds_are_looked_at(model: nn.Module, data: Tensor) -> None:
    plan = calibrate(model.eval(), [data], progress=False).propose(5)
    findings = plan.remedies([data], progress=False)
    assert findings.complete and findings[-1].row == ""
    assert all(finding.why for finding in findings)
    assert all(remedy.title for finding in findings for remedy in finding.remedies)


def test_a_network_in_float_has_nothing_to_mend() -> None:
    model, data = nn.Linear(4, 2), [torch.randn(8, 4)]
    findings = Plan(calibrate(model, data, progress=False)).remedies(data, progress=False)
    assert [finding.row for finding in findings] == [""]
    assert not findings[0].remedies


def test_a_scheme_that_chooses_the_sign_itself_is_passed_over(plan: Plan) -> None:
    @schemes.register_scheme
    def whole(histogram: BitHistogram, word_length: int) -> FixedPoint:
        return FixedPoint(word_length, 0)

    try:
        assert plan.remedies(JUDGED, progress=False).complete
    finally:
        del schemes.SCHEMES["whole"]


# Being read


def test_a_table_has_a_line_for_each_remedy(plan: Plan) -> None:
    spoil(plan, "stem.0.weight", moved_by(plan, "stem.0.weight", 5))
    findings = plan.remedies(JUDGED, progress=False)
    table = findings.table()
    assert len(table) == sum(max(len(finding.remedies), 1) for finding in findings)
    assert table.index[0] == "stem.0.weight" and table.index[-1] == plan.network
    assert table["sqnr_db"].dropna().tolist() == [
        remedy.figures["sqnr_db"] for finding in findings for remedy in finding.remedies
    ]
    assert isinstance(table, pd.DataFrame)
    page = findings._repr_html_()
    assert "stem.0.weight" in page and "window 2" in page
    assert str(findings).startswith(f"DigitsNet: {findings.figures['sqnr_db']:.1f} dB on 64 samples")


def test_the_report_lists_them(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    spoil(plan, "stem.0.weight", moved_by(plan, "stem.0.weight", 5))
    findings = plan.remedies(JUDGED, progress=False)
    plan.report(path, remedies=findings)
    page = path.read_text(encoding="utf-8")
    assert "What to do next" in page and findings[0].remedies[0].title in page
    spoil(plan, "input", FixedPoint(4, 4))
    with pytest.raises(PlanError, match="found for other formats than are committed"):
        plan.report(path, remedies=findings)
    assert path.read_text(encoding="utf-8") == page


# What is refused, and stopping


def test_bad_arguments_are_refused_by_name(plan: Plan) -> None:
    with pytest.raises(PlanError, match="stem.0.wieght"):
        plan.remedies(JUDGED, names=["stem.0.wieght"], progress=False)
    with pytest.raises(PlanError, match="there is no target 'tpu'"):
        plan.remedies(JUDGED, target="tpu", progress=False)
    with pytest.raises(DataError, match="no batch"):
        plan.remedies([], progress=False)
    with pytest.raises(DataError, match="batch 0"):
        plan.remedies([torch.zeros(2, 3)], progress=False)
    with pytest.raises(DataError, match="metric"):
        plan.remedies(JUDGED, metric=lambda outputs, targets: 1 / 0, progress=False)
    with pytest.raises(PlanError, match="another network"):
        plan.remedies(JUDGED, nn.Conv2d(1, 1, 1), progress=False)


@pytest.mark.parametrize("after", [0, 1, 3, 12])
def test_stopped_it_gives_what_it_found(plan: Plan, after: int) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    told: list[Findings] = []
    findings = plan.remedies(JUDGED, progress=False, stop=stop, on_found=told.append)
    assert not findings.complete
    assert not told or told[-1] == findings
    assert str(findings).startswith("DigitsNet: ") and findings._repr_html_()
    assert len(findings.found) <= 2


def test_each_time_more_is_known(plan: Plan) -> None:
    told: list[Findings] = []
    findings = plan.remedies(JUDGED, progress=False, on_found=told.append)
    assert told[-1] == findings and findings.complete
    assert [len(each) for each in told] == sorted(len(each) for each in told)
    tried = [sum(finding.tried for finding in each) for each in told]
    assert tried == sorted(tried) and len(set(tried)) == tried[-1] + 1


def test_a_bias_at_its_accumulator_is_looked_at(plan: Plan) -> None:
    plan["stem.0.bias"] = ACCUMULATOR
    plan.commit()
    (finding,) = plan.remedies(JUDGED, names=["stem.0.bias"], progress=False)
    assert finding.row == "stem.0.bias"
    assert all(remedy.kept_float for remedy in finding.remedies)
