import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import FileError, FormatError, PlanError
from qwidgets.formats import FixedPoint
from qwidgets.plan import Plan
from qwidgets.tuning import Change

WIDE = FixedPoint.from_window(3, -3)
FINE = FixedPoint.from_window(-1, -7)


def network(features: int = 4) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(features, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    generator = torch.Generator().manual_seed(1)
    return calibrate(network(), [torch.randn(16, 4, generator=generator) for _ in range(3)], progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    return calibration.propose(word_length=8, scheme="minmax")


@pytest.fixture
def seen(plan: Plan) -> list[Change]:
    changes: list[Change] = []
    plan.observe(lambda event: changes.append(event["new"]), "change")
    return changes


def test_a_new_plan_keeps_everything_in_float(calibration: Calibration) -> None:
    plan = Plan(calibration)
    assert set(plan.names) == {"input", "0.weight", "0.bias", "0", "2.weight", "2.bias", "2"}
    assert all(plan[name] is None for name in plan)
    assert plan.preview("0.weight") is None


def test_a_proposal_is_committed_and_says_how_it_came_about(plan: Plan) -> None:
    assert not plan.drafts
    assert all(fmt is not None and fmt.word_length == 8 for fmt in plan.committed.values())
    assert "minmax" in plan.history[0].note
    assert len(plan.history[0].changes) == len(plan)


def test_setting_the_rounding_drafts_inputs_and_activations_only(plan: Plan) -> None:
    plan["2"] = None
    plan.lock("0")
    plan.commit()
    before = dict(plan.committed)
    assert plan.set_rounding("half_even") == ["input"]
    assert plan.drafts == {"input": dataclasses.replace(before["input"], rounding="half_even")}  # type: ignore[type-var]
    assert plan.set_rounding("half_even") == []
    plan.unlock("0")
    assert plan.set_rounding("floor", "[02]") == ["0"]
    plan.undo()
    assert plan["0"] == before["0"]


def test_a_rounding_that_cannot_be_set_changes_nothing(plan: Plan) -> None:
    with pytest.raises(FormatError, match="rounding must be one of"):
        plan.set_rounding("nearest")
    with pytest.raises(PlanError, match="no input or activation"):
        plan.set_rounding("half_even", "*.weight")
    plan.lock("0")
    with pytest.raises(PlanError, match="locked"):
        plan.set_rounding("half_even", "0")
    assert not plan.drafts


def test_what_is_set_is_a_draft_until_it_is_committed(plan: Plan, seen: list[Change]) -> None:
    before = plan["0.weight"]
    plan["0.weight"] = WIDE
    assert plan["0.weight"] == WIDE
    assert dict(plan.drafts) == {"0.weight": WIDE}
    assert plan.committed["0.weight"] == before
    entry = plan.commit("room for outliers")
    assert not plan.drafts
    assert plan.committed["0.weight"] == WIDE
    assert entry.note == "room for outliers"
    assert entry.changes == {"0.weight": (before, WIDE)}
    assert entry.who
    assert plan.history[-1] is entry
    assert [change.kind for change in seen] == ["draft", "commit"]
    assert all(change.names == frozenset({"0.weight"}) for change in seen)


def test_setting_a_tensor_back_to_what_is_committed_leaves_no_draft(plan: Plan) -> None:
    committed = plan["0.weight"]
    plan["0.weight"] = WIDE
    plan["0.weight"] = committed
    assert not plan.drafts


def test_nothing_is_told_where_nothing_changed(plan: Plan, seen: list[Change]) -> None:
    plan["0.weight"] = plan["0.weight"]
    plan.revert()
    plan.unlock("0.weight")
    assert not seen


def test_any_notation_is_taken(plan: Plan) -> None:
    plan["0.weight"] = "ap_fixed<8, 5, AP_RND_INF, AP_SAT>"
    assert plan["0.weight"] == FixedPoint(8, 3)


def test_none_keeps_a_tensor_in_float_as_a_draft(plan: Plan) -> None:
    plan["0.weight"] = None
    assert dict(plan.drafts) == {"0.weight": None}
    assert plan.table().loc["0.weight", "state"] == "draft, float"


def test_globs_set_many_at_once_in_one_step(plan: Plan) -> None:
    assert plan.set("*.weight", WIDE) == ["0.weight", "2.weight"]
    assert set(plan.drafts) == {"0.weight", "2.weight"}
    plan.undo()
    assert not plan.drafts


def test_undo_and_redo_walk_through_every_step(plan: Plan) -> None:
    start = dict(plan.committed)
    plan["0.weight"] = WIDE
    plan["0.weight"] = FINE
    plan.commit("finer")
    plan.lock("0.weight")
    plan.undo()
    assert not plan.locked
    plan.undo()
    assert dict(plan.drafts) == {"0.weight": FINE}
    assert [entry.note for entry in plan.history] == [plan.history[0].note]
    plan.undo()
    assert dict(plan.drafts) == {"0.weight": WIDE}
    plan.undo()
    assert dict(plan.committed) == start
    assert not plan.drafts
    for _ in range(4):
        plan.redo()
    assert plan.committed["0.weight"] == FINE
    assert plan.locked == {"0.weight"}
    assert plan.history[-1].note == "finer"
    assert not plan.can_redo


def test_a_new_step_forgets_what_was_undone(plan: Plan) -> None:
    plan["0.weight"] = WIDE
    plan.undo()
    plan["0.bias"] = WIDE
    with pytest.raises(PlanError, match="nothing to redo"):
        plan.redo()


def test_undo_tells_which_tensors_look_different_now(plan: Plan, seen: list[Change]) -> None:
    plan["0.weight"] = WIDE
    plan["2.weight"] = WIDE
    plan.undo()
    assert seen[-1].kind == "undo"
    assert seen[-1].names == frozenset({"2.weight"})


def test_a_slider_in_motion_is_one_step(plan: Plan) -> None:
    before = plan["0.weight"]
    plan["0.weight"] = WIDE
    for lsb in range(-4, -20, -1):
        plan.redraft({"0.weight": FixedPoint.from_window(3, lsb)})
    plan.undo()
    assert plan["0.weight"] == before


def test_a_slider_of_another_tensor_is_another_step(plan: Plan) -> None:
    plan.redraft({"0.weight": WIDE})
    plan.redraft({"2.weight": WIDE})
    plan.undo()
    assert set(plan.drafts) == {"0.weight"}


def test_revert_drops_one_draft_or_all(plan: Plan) -> None:
    plan.set("*.weight", WIDE)
    plan.revert("0.weight")
    assert set(plan.drafts) == {"2.weight"}
    plan.revert()
    assert not plan.drafts


def test_a_locked_tensor_is_neither_set_nor_proposed_nor_reverted(plan: Plan) -> None:
    plan["0.weight"] = WIDE
    plan.lock("0.weight")
    with pytest.raises(PlanError, match=r"'0.weight' is locked; plan.unlock"):
        plan["0.weight"] = FINE
    with pytest.raises(PlanError, match="locked"):
        plan.revert("0.weight")
    assert plan.set("*.weight", FINE) == ["2.weight"]
    plan.propose(word_length=4)
    plan.revert()
    assert plan["0.weight"] == WIDE
    assert plan.table().loc["0.weight", "state"] == "draft, locked"
    plan.unlock("0.weight")
    plan["0.weight"] = FINE
    assert plan["0.weight"] == FINE


def test_when_one_of_several_cannot_be_set_none_is(plan: Plan, seen: list[Change]) -> None:
    plan.lock("2.weight")
    with pytest.raises(PlanError, match="locked"):
        plan.draft({"0.weight": WIDE, "2.weight": WIDE})
    with pytest.raises(FormatError, match="nonsense"):
        plan.draft({"0.weight": WIDE, "0.bias": "nonsense"})
    assert not plan.drafts
    assert len(seen) == 1


def test_an_unknown_name_is_told_with_names_like_it(plan: Plan) -> None:
    with pytest.raises(PlanError, match=r"no tensor '0.wieght'; did you mean '0.weight'"):
        plan["0.wieght"] = WIDE
    with pytest.raises(PlanError, match="no tensor"):
        plan["nowhere"]
    with pytest.raises(PlanError, match=r"no tensor's name matches '\*.wait'"):
        plan.set("*.wait", WIDE)


def test_what_is_no_format_is_refused(plan: Plan) -> None:
    with pytest.raises(FormatError, match=r"'0.weight' was given 8"):
        plan["0.weight"] = 8  # type: ignore[assignment]


def test_a_commit_of_nothing_is_refused(plan: Plan) -> None:
    with pytest.raises(PlanError, match="nothing to commit"):
        plan.commit()


def test_the_table_gives_the_counts_of_brute_force_for_draft_and_commit(plan: Plan, calibration: Calibration) -> None:
    values = network().get_parameter("0.weight").detach().numpy().astype(np.float64)
    committed = plan["0.weight"]
    assert committed is not None
    coarse = FixedPoint.from_window(-3, -4)
    plan["0.weight"] = coarse
    row = plan.table().loc["0.weight"]
    steps = np.trunc(np.abs(values) / coarse.step + 0.5) * np.sign(values) * coarse.step
    assert row["underflow"] == ((steps == 0) & (values != 0)).sum() > 0
    assert row["overflow"] == ((steps < coarse.min) | (steps > coarse.max)).sum() > 0
    assert row["overflow_percent"] == pytest.approx(100 * row["overflow"] / values.size)
    assert row["exact"]
    assert row["committed_window"] == committed.window
    assert row["committed_overflow"] == 0
    assert row["sqnr_db"] < row["committed_sqnr_db"]
    error = np.mean((coarse.quantize(values) - values) ** 2)
    assert row["sqnr_db"] == pytest.approx(10 * np.log10(np.mean(values**2) / error), abs=0.3)


def test_a_preview_of_a_format_changes_nothing(plan: Plan, seen: list[Change]) -> None:
    preview = plan.preview("0.weight", WIDE)
    assert preview is not None
    assert preview.count == 12
    assert not plan.drafts
    assert not seen


def test_a_copy_is_a_plan_of_its_own(plan: Plan, seen: list[Change]) -> None:
    plan["0"] = WIDE
    plan.lock("0")
    twin, told = plan.copy(), len(seen)
    assert (twin.committed, twin.drafts, twin.locked) == (plan.committed, plan.drafts, plan.locked)
    assert (twin.history, twin.model, twin.calibration) == (plan.history, plan.model, plan.calibration)
    assert not twin.can_undo
    twin.commit("tried out")
    twin["2"] = "2^9 … 2^2"
    assert list(plan.drafts) == ["0"]
    assert str(plan["2"]) != "2^9 … 2^2"
    assert "tried out" not in [entry.note for entry in plan.history]
    assert len(seen) == told
    plan.undo()
    assert "0" in twin.locked


def test_diff_names_what_differs_between_two_plans(plan: Plan, calibration: Calibration) -> None:
    other = calibration.propose(word_length=8, scheme="minmax")
    assert plan.diff(other).empty
    plan["0.weight"] = None
    difference = plan.diff(other)
    assert list(difference.index) == ["0.weight"]
    assert difference.loc["0.weight", "this"] == "float"
    assert difference.loc["0.weight", "other"] == str(other["0.weight"])


def test_a_saved_plan_comes_back_whole(plan: Plan, calibration: Calibration, tmp_path: Path) -> None:
    plan["0.weight"] = FixedPoint(12, 14, signed=True, rounding="floor", overflow="wrap")
    plan.commit("why: <b>bold</b> & “quoted”")
    plan["2.weight"] = None
    plan.lock("2.bias")
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json", calibration)
    assert loaded.committed == plan.committed
    assert loaded.drafts == plan.drafts
    assert loaded.locked == plan.locked
    assert loaded.history == plan.history
    assert loaded.table().equals(plan.table())
    assert not loaded.can_undo


def test_a_plan_without_its_calibration_knows_the_formats_but_previews_nothing(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")
    assert loaded.table()["window"].equals(plan.table()["window"])
    assert loaded.table()["underflow"].isna().all()
    with pytest.raises(PlanError, match="no calibration"):
        loaded.preview("0.weight")


def test_opening_a_file_is_one_step_that_undo_takes_back(plan: Plan, tmp_path: Path, seen: list[Change]) -> None:
    plan.save(tmp_path / "plan.json")
    plan["0.weight"] = WIDE
    plan.open(tmp_path / "plan.json")
    assert not plan.drafts
    assert seen[-1].kind == "open"
    plan.undo()
    assert dict(plan.drafts) == {"0.weight": WIDE}


def test_a_plan_of_another_network_names_what_does_not_fit_and_changes_nothing(plan: Plan, tmp_path: Path) -> None:
    other = calibrate(network(features=5), [torch.randn(4, 5)], progress=False).propose()
    other.save(tmp_path / "other.json")
    plan["0.bias"] = WIDE
    with pytest.raises(PlanError, match=r"'0.weight' is a weight of shape 3×5 in the file and .* 3×4 in the network"):
        plan.open(tmp_path / "other.json")
    assert dict(plan.drafts) == {"0.bias": WIDE}
    with pytest.raises(PlanError, match="does not fit"):
        Plan.load(tmp_path / "other.json", plan.calibration)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: "", "damaged"),
        (lambda text: '{"some": "json"}', "no plan"),
        (lambda text: "[1, 2]", "no plan"),
        (lambda text: text.replace('"schema": 3', '"schema": 99'), "update it"),
        (lambda text: text.replace('"word_length": 8', '"word_length": 99'), "word_length"),
        (lambda text: text.replace('"word_length": 8', '"word_size": 8'), "word_size"),
        (lambda text: text.replace('"history"', '"herstory"'), "history"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_and_changes_nothing(
    plan: Plan, tmp_path: Path, damage: "object", message: str
) -> None:
    path = tmp_path / "plan.json"
    plan.save(path)
    assert callable(damage)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    plan["0.weight"] = WIDE
    with pytest.raises(FileError, match=message):
        plan.open(path)
    assert dict(plan.drafts) == {"0.weight": WIDE}


def test_a_file_that_is_not_there_or_not_text_is_named(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.json"):
        plan.open(tmp_path / "nothing.json")
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))
    with pytest.raises(FileError, match=r"binary\.json"):
        plan.open(tmp_path / "binary.json")


def test_the_file_is_json_that_names_its_layout(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert content["qwidgets"] == "plan"
    assert content["schema"] == 3
    assert content["tensors"][1]["format"]["word_length"] == 8


def test_threads_that_change_the_plan_at_once_lose_nothing(plan: Plan) -> None:
    def work(name: str) -> None:
        for lsb in range(-10, -60, -1):
            plan[name] = FixedPoint.from_window(lsb + 6, lsb)

    threads = [threading.Thread(target=work, args=(name,)) for name in plan]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {fmt.lsb for fmt in plan.drafts.values() if isinstance(fmt, FixedPoint)} == {-59}
    assert len(plan.drafts) == len(plan)
    steps = 0
    while plan.can_undo:
        plan.undo()
        steps += 1
    assert steps == 50 * len(plan) + len(("propose", "commit"))
