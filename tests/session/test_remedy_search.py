"""Looking for remedies beside the caller: what was found, for which formats, and stopping."""

import threading

import pytest

from qwidgets.errors import PlanError
from qwidgets.examples import Digits, digits
from qwidgets.session import Listener, Session


@pytest.fixture(scope="module")
def example() -> Digits:
    return digits()


def test_what_is_drafted_is_what_is_looked_at(example: Digits) -> None:
    with Session(example.model, example.calibration) as session:
        plan = session.wait()
        plan["stem.0.weight"] = "2^5 … 2^-1"
        session.look_for_remedies()
        session.wait()
        remedies = session.tuning.remedies
        assert remedies.findings is not None and remedies.findings.complete
        worst = remedies.findings[0]
        assert (worst.row, worst.causes[0].name) == ("stem.0.weight", "wrong_window")
        plan.take(worst.remedies[0])
        assert [remedies.holds, str(plan["stem.0.weight"])] == [False, "2^1 … 2^-5"]
        plan.put_back(worst.remedies[0])
        assert [remedies.holds, str(plan["stem.0.weight"])] == [True, "2^5 … 2^-1"]


def test_a_tensor_that_is_asked_for_joins_the_others(example: Digits) -> None:
    with Session(example.model, example.calibration) as session:
        session.wait()
        session.look_for_remedies()
        session.wait()
        remedies = session.tuning.remedies
        assert remedies.findings is not None
        before = [finding.row for finding in remedies.findings]
        other = next(name for name in session.plan if name not in before)
        session.look_for_remedies([other])
        session.wait()
        assert [finding.row for finding in remedies.findings] == [*before, other]
        session.plan[other] = None
        session.look_for_remedies([before[0]])
        session.wait()
        assert [finding.row for finding in remedies.findings] == [before[0]]  # the others were of other formats


def test_it_stops_and_keeps_what_it_found(example: Digits) -> None:
    found = threading.Event()

    class Impatient(Listener):
        def on_remedies(self) -> None:
            if not found.is_set():
                found.set()
                session.stop()

    session = Session(example.model, example.calibration, listener=Impatient())
    with session:
        session.wait()
        session.look_for_remedies(steps=True)
        session.wait()
        findings = session.tuning.remedies.findings
        assert found.is_set() and findings is not None
        assert len(findings) == 1 and not findings.complete


def test_without_data_it_says_so(example: Digits) -> None:
    with Session(example.model, example.calibration) as session:
        plan = session.wait()
    with Session(plan) as session, pytest.raises(PlanError, match="no data to measure on"):
        session.look_for_remedies()
