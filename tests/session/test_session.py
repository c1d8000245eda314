"""A session calibrates, measures, mends and exports beside its caller, without a screen."""

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qwidgets import FixedPoint, Plan, calibrate
from qwidgets.errors import CaptureError, DataError, ExportError, PlanError
from qwidgets.export import EXPORTS
from qwidgets.session import Calibrating, Failed, Listener, Pace, Session, Tuning
from qwidgets.tuning import Commit
from tests.waiting import LONG

torch.manual_seed(0)
MODEL = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def batches(count: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(16, 4, generator=generator) for _ in range(count)]


class Heard(Listener):
    """Writes down what it is called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.paces: list[Pace] = []
        self.problems: list[Exception] = []

    def on_captured(self, plan: Plan) -> None:
        self.calls.append("captured")

    def on_counts(self) -> None:
        self.calls.append("counts")

    def on_calibrated(self, problem: Exception | None) -> None:
        self.calls.append("calibrated")

    def on_measured(self) -> None:
        self.calls.append("measured")

    def on_pace(self, pace: Pace | None) -> None:
        if pace is not None:
            self.paces.append(pace)

    def on_problem(self, problem: Exception) -> None:
        self.problems.append(problem)


def test_it_calibrates_proposes_and_measures() -> None:
    heard = Heard()
    with Session(MODEL, batches(), listener=heard) as session:
        plan = session.wait(LONG)
        assert plan.model is MODEL
        assert plan.history[-1].note == "mse, 8 bits"
        done = f"calibrated; mse proposed formats of 8 bits for {len(plan)} tensors"
        assert [entry.text for entry in session.log.entries] == [done]
        result = session.tuning.live.measured.best(plan, drafted=False)
        assert result is not None
        assert result.sqnr_db > 20
        assert session.tuning.live.checked is not None
    assert heard.calls[0] == "captured"
    assert heard.calls.index("calibrated") > heard.calls.index("counts")
    assert heard.calls[-1] == "measured"
    assert not heard.problems


def test_a_draft_is_measured_as_it_is_made_and_no_more_once_nobody_watches() -> None:
    plan = calibrate(MODEL, batches(), progress=False).propose(8)
    with Session(plan, validation=batches(2)) as session:
        session.wait(LONG)
        plan["0.weight"] = FixedPoint(3, 0)
        session.wait(LONG)
        measured = session.tuning.live.measured
        worse, committed = measured.best(plan, drafted=True), measured.best(plan, drafted=False)
        assert worse is not None
        assert committed is not None
        assert worse.sqnr_db < committed.sqnr_db - 10
    plan["0.weight"] = FixedPoint(4, 0)
    session.wait(LONG)
    assert measured.best(plan, drafted=True) is None


def test_a_step_and_an_export_run_beside_the_caller(tmp_path: Path) -> None:
    heard = Heard()
    with Session(MODEL, batches(), listener=heard) as session:
        plan = session.wait(LONG)
        plan.propose(5)
        plan.set_rounding("floor")  # half a step too low on the average, which a bias can mend
        plan.commit()
        result = session.step("correct_bias").result(LONG)
        assert isinstance(result.found, Commit)
        assert result.found is plan.history[-1]
        assert any(pace.what == "Correct bias" for pace in heard.paces)
        session.wait(LONG)
        written = session.export("csv", tmp_path / "plan.csv").result(LONG)
        assert [entry.text for entry in session.log.entries[:2]] == [written, result.text]
    assert "0.weight" in (tmp_path / "plan.csv").read_text()


def test_what_a_job_raises_is_in_its_future(tmp_path: Path) -> None:
    with Session(MODEL, batches()) as session:
        plan = session.wait(LONG)
        plan["0.weight"] = FixedPoint(3, 0)
        with pytest.raises(PlanError, match="commit or revert what is drafted first"):
            session.step("equalize")
        with pytest.raises(PlanError, match="only what is committed is exported"):
            session.export("csv", tmp_path / "plan.csv").result(LONG)
    assert not list(tmp_path.iterdir())


def test_what_waits_for_its_turn_is_cancelled_by_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write(*_: object) -> None:
        begun.set()
        go_on.wait(LONG)

    monkeypatch.setitem(EXPORTS, "slow", dataclasses.replace(EXPORTS["csv"], title="slow", write=write))
    with Session(MODEL, batches()) as session:
        session.wait(LONG)
        first, second = session.export("slow", tmp_path), session.export("csv", tmp_path / "plan.csv")
        assert begun.wait(LONG)
        session.stop()
        go_on.set()
        assert first.result(LONG).startswith("slow: wrote")
        assert second.cancelled()


def test_a_plan_with_data_can_be_mended_and_checked_against_a_target() -> None:
    plan = calibrate(MODEL, batches(), progress=False).propose(8)
    with Session(plan, batches()) as session:
        session.wait(LONG)
        session.pick_target("onnxruntime")
        session.wait(LONG)
        assert set(session.tuning.check.misfits) == set(plan.check("onnxruntime").index) & set(plan.names)
        session.propose(8, "mse")
        session.wait(LONG)
        assert session.tuning.check.misfits == {}
        plan.commit()
        assert "Equalize: " in session.step("equalize").result(LONG).text
        with pytest.raises(PlanError, match="there is no target 'onnxrt'"):
            session.pick_target("onnxrt")
        assert session.tuning.check.target == "onnxruntime"


def test_it_can_be_stopped_before_it_is_over() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        for batch in batches(4):
            yield batch
            begun.set()
            go_on.wait(LONG)

    session = Session(MODEL, slowly())
    session.start()
    assert begun.wait(LONG)
    session.stop()
    go_on.set()
    plan = session.wait(LONG)
    assert plan.calibration is not None
    assert not plan.calibration.complete


def test_what_is_not_there_yet_is_refused_by_name() -> None:
    session = Session(MODEL, batches())
    assert isinstance(session.state, Calibrating)
    for ask in (lambda: session.plan, session.validate, session.sense, lambda: session.step("equalize")):
        with pytest.raises(PlanError, match="still being"):
            ask()
    with session:
        session.wait(LONG)
        assert isinstance(session.state, Tuning)
        with pytest.raises(ExportError, match="there is no export 'nope'; known are report, json"):
            session.export("nope", "x")
        with pytest.raises(PlanError, match="there is no step 'nope'"):
            session.step("nope")


def test_a_plan_without_data_says_what_steps_would_need() -> None:
    plan = calibrate(MODEL, batches(), progress=False).propose(8)
    with Session(plan) as session, pytest.raises(PlanError, match="there is no data here to look at"):
        session.step("equalize")


def test_a_network_that_cannot_be_captured_ends_in_a_state_of_its_own() -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with Session(Branches(), batches()) as session, pytest.raises((CaptureError, DataError)):
        session.wait(LONG)
    assert isinstance(session.state, Failed)


def test_it_needs_no_widget_library() -> None:
    code = "import sys, qwidgets.session; sys.exit('ipywidgets' in sys.modules or 'bqplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
