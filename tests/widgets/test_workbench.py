"""The workbench, driven from Python: calibrating and evaluating in the background, every error told, nothing lost."""

import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import torch
from torch import Tensor, nn

from qwidgets.errors import CalibrationError, CaptureError, DataError, PlanError
from qwidgets.pictures import first_to_look_at
from qwidgets.plan import Plan
from qwidgets.widgets import Workbench
from tests.waiting import LONG, until
from tests.widgets.made_up import plan_of, tensors
from tests.widgets.test_views import FIRST, text_of


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def batches(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(16, 4, generator=generator) for _ in range(count)]


def finished(workbench: Workbench) -> Plan:
    return workbench.wait(LONG)


def until_problem(workbench: Workbench) -> Exception:
    until(lambda: workbench.problem is not None)
    assert workbench.problem is not None
    return workbench.problem


def result(workbench: Workbench, name: str) -> list[str]:
    """A line of the result strip: what it says of the draft, of the commit, and of the network in float."""
    workbench.panels["Result"].draw_now()
    line = re.search(rf"<tr><th scope='row'>{re.escape(name)}</th>(.*?)</tr>", workbench.panels["Result"].figures.value)
    assert line is not None, workbench.panels["Result"].figures.value
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", line.group(1))]


def is_open(workbench: Workbench) -> bool:
    return workbench.comm is not None


class Gate:
    """A loader that gives its batches one by one, as it is told to."""

    def __init__(self, data: Iterable[Any]) -> None:
        self.data = list(data)
        self.open = threading.Semaphore(1)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.data:
            self.open.acquire(timeout=LONG)
            yield batch

    def __len__(self) -> int:
        return len(self.data)


@pytest.fixture
def workbench() -> Workbench:
    return Workbench(plan_of(tensors(6)))


def test_it_calibrates_proposes_and_commits() -> None:
    workbench = Workbench(network(), batches())
    plan = finished(workbench)
    assert plan is workbench.plan
    assert plan.history[-1].note == "mse, 8 bits"
    assert all(plan.committed[name] is not None for name in plan)
    assert plan.calibration is not None
    assert plan.calibration["input"].count == 3 * 16 * 4
    assert "Sequential cpu · 3 batches · 7 tensors" in re.sub(r"\s+", " ", text_of(workbench))
    assert workbench.problem is None


def test_what_deserves_attention_first_is_selected_and_the_reason_told() -> None:
    model = network()
    with torch.no_grad():
        model.get_submodule("2").get_parameter("weight").view(-1)[0] = 1000.0  # all others are lost beside it
    workbench = Workbench(model, batches())
    plan = finished(workbench)
    name, why = first_to_look_at(plan.table())
    assert name in ("2.weight", "2")
    assert "underflow" in why
    assert workbench.selection == (name,)
    assert workbench.heat_map.readout.value == f"Look first at <b>{name}</b>: as proposed, {why}"
    workbench.selection = ("0.bias",)
    assert "Look first" not in workbench.heat_map.readout.value


def test_who_has_begun_to_work_is_left_where_he_is() -> None:
    data = Gate(batches())
    workbench = Workbench(network(), data)
    until(lambda: workbench.plan is not None)
    workbench.selection = ("2.bias",)
    data.open.release(5)
    finished(workbench)
    assert workbench.selection == ("2.bias",)


def test_the_notebook_stays_alive_and_the_plan_is_there_while_it_calibrates() -> None:
    data = Gate(batches())
    workbench = Workbench(network(), data)
    until(lambda: "1 of 3 batches" in text_of(workbench))
    growing = workbench.plan
    assert growing is not None
    assert growing["0.weight"] is None
    growing["0.weight"] = "2^3..2^-3"
    data.open.release(5)
    plan = finished(workbench)
    assert str(plan["0.weight"]) == "2^3 … 2^-3"


def test_stopping_keeps_what_was_counted() -> None:
    data = Gate(batches(50))
    workbench = Workbench(network(), data)
    until(lambda: workbench.plan is not None)
    workbench.header.progress.stop.click()
    data.open.release(60)
    plan = finished(workbench)
    assert plan.calibration is not None
    assert 1 <= plan.calibration.batches < 50
    assert f"stopped after {plan.calibration.batches} batch" in text_of(workbench)
    assert plan["input"] is not None


def test_a_batch_that_fails_is_named_and_what_was_counted_is_kept() -> None:
    workbench = Workbench(network(), [*batches(2), torch.randn(16, 5)])
    plan = finished(workbench)
    assert "batch 2 failed" in text_of(workbench)
    assert isinstance(workbench.problem, CalibrationError)
    assert plan.calibration is not None
    assert plan.calibration.batches == 2


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ([], CalibrationError, "there is no batch in the data"),
        (["cat", "dog"], DataError, "batch 0"),
    ],
)
def test_data_that_no_network_can_be_fed_is_answered_in_the_workbench(
    data: list[Any], error: type[Exception], text: str
) -> None:
    workbench = Workbench(network(), data)
    with pytest.raises(error, match=text):
        finished(workbench)
    assert text in text_of(workbench)
    assert "There is nothing to show" in text_of(workbench)


def test_integers_where_floats_are_needed_are_answered_in_the_workbench() -> None:
    workbench = Workbench(network(), [torch.zeros(2, 4, dtype=torch.int64)])
    with pytest.raises((DataError, CalibrationError)):
        raise until_problem(workbench)
    assert "batch 0" in text_of(workbench)


def test_a_model_that_cannot_be_captured_says_so() -> None:
    class Undecided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    workbench = Workbench(Undecided(), batches())
    with pytest.raises(CaptureError, match="Undecided cannot be captured"):
        finished(workbench)


def test_a_tensor_of_nan_can_be_looked_at() -> None:
    workbench = Workbench(network(), [torch.full((4, 4), torch.nan)])
    finished(workbench)
    workbench.selection = ("input",)
    assert workbench.problem is None
    assert "16" in text_of(workbench)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("resnet18",), "shows a Plan or a torch.nn.Module, not 'resnet18'"),
        ((network(),), "needs batches to calibrate with"),
        ((network(), batches(), 0.9), "evaluate must be a function"),
        ((plan_of(tensors(1)), iter(batches())), "again and again"),
    ],
)
def test_wrong_arguments_fail_at_once(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(PlanError, match=re.escape(text)):
        Workbench(*arguments)


def test_unknown_arguments_and_tensors_fail_at_once(workbench: Workbench) -> None:
    with pytest.raises(TypeError, match="colour"):
        Workbench(finished(workbench), colour="blue")  # type: ignore[call-arg]
    with pytest.raises(PlanError, match="no tensor 'conv9'"):
        workbench.selection = ("conv9",)


def test_all_views_share_one_selection(workbench: Workbench) -> None:
    for view in (workbench.table, workbench.heat_map, workbench.panels["Window"]):
        for name in ("blocks.0.conv", "blocks.1.conv"):
            view.selection = (name,)
            assert (
                workbench.selection == workbench.panels["Window"].selection == workbench.heat_map.selection == (name,)
            )


def test_the_float_network_is_evaluated_once_and_every_commit_anew() -> None:
    asked: list[str] = []

    def evaluate(module: nn.Module) -> float:
        asked.append(type(module).__name__)
        return len(asked) / 8

    workbench = Workbench(network(), batches(), evaluate)
    plan = finished(workbench)
    assert asked == ["Sequential", "QuantizedNetwork"]
    assert result(workbench, "evaluate") == ["no draft", "0.25", "0.125"]
    plan["0.weight"] = "2^9..2^3"
    plan.commit()
    finished(workbench)
    assert asked == ["Sequential", "QuantizedNetwork", "QuantizedNetwork"]
    assert result(workbench, "evaluate") == ["no draft", "0.375", "0.125"]


def test_the_model_can_be_used_while_the_workbench_is_at_work_on_it() -> None:
    model, (batch, *_) = network(), batches()
    expected = model(batch)
    seen: list[nn.Module] = []

    def evaluate(module: nn.Module) -> float:
        seen.append(module)
        return float(len(seen))

    workbench = Workbench(model, batches(20), evaluate)
    while not (workbench.plan and workbench.plan.history and len(seen) == 2):
        assert torch.equal(model(batch), expected)
        assert workbench.problem is None
    finished(workbench)
    assert seen[0] is not model
    assert next(seen[0].parameters()) is next(model.parameters())


@pytest.mark.parametrize(
    ("evaluate", "text"),
    [(lambda module: "good", "it must give a number"), (lambda module: 1 / 0, "ZeroDivisionError")],
)
def test_an_evaluation_that_fails_is_told_and_stops_nothing(evaluate: Any, text: str) -> None:
    workbench = Workbench(network(), batches(), evaluate)
    plan = finished(workbench)
    assert text in text_of(workbench)
    assert plan["0.weight"] is not None


def test_a_scheme_is_asked_for_drafts(workbench: Workbench) -> None:
    panel = workbench.panels["Propose"]
    panel.scheme.value, panel.word_length.value = "minmax", 6
    panel.propose.click()
    drafts = finished(workbench).drafts
    assert len(drafts) == 6
    assert {fmt.word_length for fmt in drafts.values() if fmt} == {6}


def test_the_buttons_of_the_foot_do_what_they_say(workbench: Workbench) -> None:
    foot, plan = workbench.footer, finished(workbench)
    assert foot.commit.disabled
    plan[FIRST] = "2^9..2^3"
    foot.draw_now()
    assert "1  draft" in text_of(foot)
    foot.note.value = "<b>why</b>"
    foot.commit.click()
    assert plan.history[-1].note == "<b>why</b>"
    assert not plan.drafts
    workbench.panels["History"].draw_now()
    assert "&lt;b&gt;why&lt;/b&gt;" in workbench.panels["History"].page.value
    foot.undo.click()
    assert list(plan.drafts) == [FIRST]
    foot.redo.click()
    assert not plan.drafts
    plan[FIRST] = "2^8..2^2"
    foot.revert.click()
    assert str(plan[FIRST]) == "2^9 … 2^3"


def test_a_plan_is_saved_and_loaded(workbench: Workbench, tmp_path: Path) -> None:
    foot, plan = workbench.footer, finished(workbench)
    foot.path.value = str(tmp_path / "plan.json")
    plan[FIRST] = "2^9..2^3"
    foot.save.click()
    plan.revert()
    foot.load.click()
    assert str(plan.drafts[FIRST]) == "2^9 … 2^3"
    foot.save.click()
    assert "saved to" in text_of(foot)


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1}', "import torch\n", "[]"])
def test_a_file_that_is_no_plan_is_neither_loaded_nor_written_over(
    workbench: Workbench, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "model.py"
    path.write_text(content)
    plan = finished(workbench)
    before = dict(plan.committed)
    workbench.footer.path.value = str(path)
    workbench.footer.save.click()
    assert "is left alone; choose another name" in text_of(workbench.footer)
    workbench.footer.load.click()
    assert workbench.footer.problem is not None
    assert path.read_text() == content
    assert dict(plan.committed) == before


def test_a_plan_of_another_network_is_refused_by_name(workbench: Workbench, tmp_path: Path) -> None:
    plan_of({"other": tensors(1)[FIRST]}).save(tmp_path / "other.json")
    workbench.footer.path.value = str(tmp_path / "other.json")
    workbench.footer.load.click()
    assert "other" in text_of(workbench.footer)
    assert isinstance(workbench.problem, PlanError)


def test_errors_of_every_part_stand_in_the_log(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    workbench.footer.path.value = ""
    workbench.footer.save.click()
    empty: dict[str, str] = {}
    monkeypatch.setattr(workbench.plan, "lock", lambda *_: empty["<missing>"])
    workbench.selection = (FIRST,)
    workbench.panels["Window"]._lock.value = True
    assert "write the name of a file" in workbench.panels["Log"].page.value
    assert "KeyError: &#x27;&lt;missing&gt;&#x27;" in workbench.panels["Log"].page.value
    assert "Traceback" in workbench.panels["Log"].page.value
    assert workbench.tabs.titles[-1] == "Log · 2 errors"
    assert isinstance(workbench.problem, KeyError)


def test_it_can_be_shown_twice_closed_and_shown_again(workbench: Workbench) -> None:
    view = "application/vnd.jupyter.widget-view+json"
    first, second = (workbench._repr_mimebundle_()[view] for _ in range(2))
    assert first == second
    workbench.close()
    workbench.close()
    assert not is_open(workbench)
    assert workbench._repr_mimebundle_()[view] == first
    assert is_open(workbench)
    finished(workbench)[FIRST] = "2^9..2^3"
    workbench.footer.draw_now()
    assert "1  draft" in text_of(workbench)


def test_closing_it_ends_its_calibration() -> None:
    data = Gate(batches(50))
    workbench = Workbench(network(), data)
    until(lambda: workbench.plan is not None)
    workbench.close()
    data.open.release(60)
    plan = finished(workbench)
    assert plan.calibration is not None
    assert plan.calibration.batches < 50


def test_waiting_has_an_end() -> None:
    data = Gate(batches())
    workbench = Workbench(network(), data)
    with pytest.raises(PlanError, match="still at work after"):
        workbench.wait(0.05)
    data.open.release(5)
    finished(workbench)


def test_without_a_kernel_it_leaves_a_table_and_a_picture(workbench: Workbench) -> None:
    page = workbench._repr_mimebundle_()["text/html"]
    assert "data:image/png;base64," in page
    assert FIRST in page


def test_the_widgets_of_a_workbench_have_no_html_of_the_model() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("<script>run()</script>", nn.Linear(4, 2))

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = getattr(self, "<script>run()</script>")(x)
            return result

    Named.__name__ = "<script>run()</script>"
    workbench = Workbench(Named(), batches())
    finished(workbench)

    def parts(widget: ipywidgets.Widget) -> list[str]:
        own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
        return own + [text for child in getattr(widget, "children", ()) for text in parts(child)]

    assert "<script>" not in "".join(parts(workbench)) + workbench._repr_mimebundle_()["text/html"]
