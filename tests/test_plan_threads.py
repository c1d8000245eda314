"""A plan on several threads: who is told of a change may wait for any other thread, and each change is told once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from qwidgets import FixedPoint, calibrate
from qwidgets.plan import Plan
from tests.loud_and_quiet import mendable
from tests.widgets.made_up import plan_of, tensors

BATCHES = [torch.randn(8, 4, generator=torch.Generator().manual_seed(0))]


@pytest.fixture
def plan() -> Plan:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    return calibrate(network, BATCHES, device="cpu", progress=False).propose()


NETWORK, DATA = mendable()
CHANGES: dict[str, Callable[[Plan], object]] = {
    "draft": lambda plan: plan.draft({"0.weight": FixedPoint(8, 1)}),
    "redraft": lambda plan: plan.redraft({"0.weight": FixedPoint(8, 1)}),
    "item": lambda plan: plan.__setitem__("0.weight", "2^3..2^-3"),
    "set": lambda plan: plan.set("*.weight", FixedPoint(8, 1)),
    "set_rounding": lambda plan: plan.set_rounding("half_even"),
    "propose": lambda plan: plan.propose(4),
    "propose for a target": lambda plan: plan.propose(4, target="cmsis_nn"),
    "revert": lambda plan: plan.revert(),
    "commit": lambda plan: plan.commit(),
    "undo": lambda plan: plan.undo(),
    "redo": lambda plan: plan.redo(),
    "lock": lambda plan: plan.lock("2.weight"),
    "unlock": lambda plan: plan.unlock("0.bias"),
    "open": lambda plan: plan.open("plan.json"),
    "search": lambda plan: plan.search(DATA, progress=False),
    "equalize": lambda plan: plan.equalize(DATA, progress=False),
    "correct_bias": lambda plan: plan.correct_bias(DATA, progress=False),
    "round_adaptively": lambda plan: plan.round_adaptively(DATA, progress=False),
    "fine_tune": lambda plan: plan.fine_tune(DATA, progress=False),
    "mend": lambda plan: plan.mend(DATA, progress=False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_observer_may_wait_for_a_thread_that_changes_the_plan(
    name: str, plan: Plan, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan.lock("0.bias")
    if name in ("search", "equalize", "correct_bias", "round_adaptively", "fine_tune", "mend"):
        plan = calibrate(NETWORK, DATA, device="cpu", progress=False).propose(word_length=4)
        if name != "equalize":
            plan.set_rounding("floor")
            plan.commit()
    else:
        plan["0.weight"] = FixedPoint(8, 5)
        plan.save("plan.json")
    if name == "redo":
        plan.undo()
    passed: list[bool] = []

    def observe(_: object) -> None:
        other = threading.Thread(target=lambda: plan.lock("input"), daemon=True)
        other.start()
        other.join(60)
        passed.append(not other.is_alive())

    plan.observe(observe, "change")
    CHANGES[name](plan)
    plan.unobserve_all()
    assert passed[0]
    assert "input" in plan.locked


def test_what_an_observer_does_to_the_plan_is_told_too(plan: Plan) -> None:
    told: list[str] = []

    def observe(event: Any) -> None:
        told.append(event.new.kind)
        if event.new.kind == "draft":
            plan.commit()

    plan.observe(observe, "change")
    plan["0.weight"] = "2^3..2^-3"
    assert told == ["draft", "commit"]
    assert not plan.drafts


def test_what_was_changed_before_an_error_is_told(plan: Plan) -> None:
    told: list[frozenset[str]] = []
    plan.observe(lambda event: told.append(event.new.names), "change")
    plan["0.weight"] = "2^3..2^-3"
    with pytest.raises(ZeroDivisionError), plan._changing():
        plan["2.weight"] = "2^3..2^-3"
        raise ZeroDivisionError
    assert told == [{"0.weight"}, {"2.weight"}]
    assert set(plan.drafts) == {"0.weight", "2.weight"}


def test_every_change_of_many_threads_is_told_once_and_has_its_own_number() -> None:
    plan, told = plan_of(tensors(6)), list[Any]()
    before = plan.change.revision if plan.change else 0
    plan.observe(lambda event: told.append(event.new), "change")
    formats = [FixedPoint(8, fraction) for fraction in range(25)]

    def work(name: str) -> None:
        for fmt in formats:
            plan[name] = fmt

    threads = [threading.Thread(target=work, args=(name,)) for name in plan]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = len(formats) * len(threads)
    assert sorted(change.revision for change in told) == list(range(before + 1, before + made + 1))
    assert plan.change is not None
    assert plan.change.revision == before + made
