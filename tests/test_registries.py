"""Whatever the package offers by name can be added from outside: one of each, registered here and used to the end."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import torch
from torch import Tensor, nn

import qwidgets
from qwidgets import FixedPoint, Plan, calibrate, export, quantize, remedies, schemes, targets
from qwidgets.adjusting import STEPS, Adjusted, Step, Unchanged
from qwidgets.errors import ExportError, PlanError
from qwidgets.histograms import BitHistogram
from qwidgets.progress import Progress
from qwidgets.simulation import RULES, Call, Codes, Exact, register_rule
from qwidgets.tuning import PlanState
from qwidgets.widgets import Workbench, register_panel
from qwidgets.widgets.workbench import PANELS, SessionView

torch.manual_seed(4)
MODEL = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
DATA = [torch.linspace(-1, 1, 32).reshape(8, 4)]


@pytest.fixture
def plan() -> Plan:
    return calibrate(MODEL, DATA, progress=False).propose(8)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Take out again what a test has registered."""
    named = [schemes.SCHEMES, RULES, STEPS, targets.TARGETS, export.EXPORTS, PANELS, remedies.CAUSES]
    registries: list[dict[str, Any]] = [*named]  # type: ignore[list-item]
    before = [dict(registry) for registry in registries]
    yield
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)


def test_a_scheme() -> None:
    @qwidgets.register_scheme
    def whole(histogram: BitHistogram, word_length: int) -> FixedPoint:
        return FixedPoint(word_length, 0)

    plan = calibrate(MODEL, DATA, progress=False).propose(6, scheme="whole")
    assert plan["0.weight"] == FixedPoint(6, 0)


class Signs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x) * 0.5


def test_an_operation_in_integers(tmp_path: Path) -> None:
    plan = calibrate(Signs(), DATA, progress=False).propose(8)
    assert "sign has no integer form" in quantize(Signs(), plan).float_islands["sign"]

    @register_rule("sign")
    def sign(call: Call) -> Exact | None:
        codes = Codes(0, -1, 1)
        return Exact(codes, lambda given: given["self"].sign().to(codes.carrier))

    quantized = quantize(Signs(), plan)
    assert not quantized.float_islands
    assert torch.equal(quantized(DATA[0]), Signs()(plan.committed["input"].quantize(DATA[0])))  # type: ignore[union-attr]
    with pytest.raises(ExportError, match="sign"):  # until it is written there, too
        export.to_c(plan, tmp_path / "c")
    with pytest.raises(ExportError, match="sign"):
        export.to_hls4ml(plan)


def shorten(model: nn.Module, plan: PlanState, data: Iterable[Any], progress: Progress, bits: int = 1) -> Any:
    if not list(data):
        return Unchanged("there is nothing to look at")
    formats = {
        name: dataclasses.replace(fmt, word_length=fmt.word_length - bits)
        for name, fmt in plan.committed.items()
        if isinstance(fmt, FixedPoint)
    }
    return Adjusted(plan.adjustments, formats, "shorter")


def test_a_step(plan: Plan) -> None:
    qwidgets.register_step(Step("shorten", "Shorten", "Takes bits off.", shorten, note="shortened"))
    entry = plan.step("shorten", DATA, progress=False, bits=2)
    assert entry is plan.history[-1]
    assert entry.note == "shortened: shorter"
    assert plan["0.weight"].word_length == 6  # type: ignore[union-attr]
    plan.undo()
    assert plan["0.weight"].word_length == 8  # type: ignore[union-attr]
    reasons: list[str] = []
    assert plan.step("shorten", [], progress=False, on_unchanged=reasons.append) is None
    assert reasons == ["nothing was changed: there is nothing to look at"]


def test_a_cause(plan: Plan) -> None:
    @remedies.register_cause
    def is_a_weight(evidence: remedies.Evidence) -> remedies.Cause | None:
        if evidence.row.kind != "weight":
            return None
        longer = evidence.trial("as an int16", schemes.choose("mse", evidence.histogram, 16))
        return remedies.Cause("is_a_weight", "it is a weight", (longer,))

    plan["0.weight"] = "Q4.0"
    plan.commit()
    (finding,) = plan.remedies(DATA, names=["0.weight"], progress=False)
    assert "it is a weight" in [cause.text for cause in finding.causes]
    assert "as an int16" in [remedy.title for remedy in finding.remedies]


def test_an_unknown_step_is_told_with_the_known_ones(plan: Plan) -> None:
    with pytest.raises(PlanError, match=r"there is no step 'equalise'; did you mean 'equalize'\?; known are equalize"):
        plan.step("equalise", DATA)


def test_a_target(plan: Plan) -> None:
    integer = targets.TARGETS["integer"]
    targets.register_target(dataclasses.replace(integer, name="six", title="six bits", weight_bits=frozenset([6])))
    found = plan.check("six")
    assert "0.weight" in set(found.index)
    plan.propose(8, target="six")
    assert plan["0.weight"].word_length == 6  # type: ignore[union-attr]


def test_an_export(plan: Plan, tmp_path: Path) -> None:
    def write(plan: PlanState, path: Path, model: nn.Module | None, data: Iterable[Any] | None) -> None:
        path.write_text(json.dumps({name: str(fmt) for name, fmt in plan.committed.items()}))

    made = export.register_export(export.Export("words", "Words", ".words", "What each tensor has.", write))
    assert export.EXPORTS["words"] is made
    made.write(plan, tmp_path / "my.words", None, None)
    assert json.loads((tmp_path / "my.words").read_text())["0.weight"] == str(plan["0.weight"])


def test_a_panel(plan: Plan) -> None:
    @register_panel("Widest")
    class Widest(SessionView):
        def _build(self) -> tuple[ipywidgets.Widget, ...]:
            self.words = ipywidgets.HTML()
            return (self.words,)

        def _show(self, changed: frozenset[str]) -> None:
            formats = [self.plan[name] for name in self.plan]
            self.words.value = f"{max(fmt.word_length for fmt in formats if isinstance(fmt, FixedPoint))} bits"

        def on_log(self) -> None:
            self.words.tooltip = self.session.log.entries[0].text

    workbench = Workbench(plan)
    panel = workbench.panels["Widest"]
    assert workbench.tabs.titles[-1] == "Widest"
    assert panel.words.value == "8 bits"
    workbench.selection = ("0.weight",)
    assert panel.selection == ("0.weight",)
    plan["0.weight"] = "Q7.8"
    panel.draw_now()
    assert panel.words.value == "16 bits"
    workbench.footer.commit.click()
    assert panel.words.tooltip == "committed 1 tensor"
    workbench.wait()
    workbench.close()


def _few_bits(evidence: remedies.Evidence) -> None:
    """Tells nothing."""


_few_bits.__name__ = "few_bits"


@pytest.mark.parametrize(
    "register",
    [
        lambda: qwidgets.register_step(dataclasses.replace(STEPS["equalize"], title="Other")),
        lambda: targets.register_target(dataclasses.replace(targets.TARGETS["integer"], title="Other")),
        lambda: export.register_export(dataclasses.replace(export.EXPORTS["csv"], title="Other")),
        lambda: register_panel("Steps")(lambda session: ipywidgets.HTML()),
        lambda: remedies.register_cause(_few_bits),
    ],
    ids=["step", "target", "export", "panel", "cause"],
)
def test_a_name_that_is_taken_is_refused(register: Any) -> None:
    with pytest.raises((PlanError, ExportError), match="already; give this one another (name|title)"):
        register()
