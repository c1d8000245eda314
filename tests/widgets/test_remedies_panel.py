"""What to do next, in the workbench: looked for, chosen, taken and put back."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qwidgets.calibration import calibrate
from qwidgets.examples import digits
from qwidgets.plan import Plan
from qwidgets.widgets import Workbench
from qwidgets.widgets.workbench import RemediesPanel, WindowPanel
from tests.waiting import LONG

EXAMPLE = digits()
DATA = list(EXAMPLE.calibration)
SPOILT = "stem.0.weight"


@pytest.fixture(scope="module")
def spoilt() -> Plan:
    plan = calibrate(EXAMPLE.model, DATA, device="cpu", progress=False).propose(8)
    plan[SPOILT] = "2^5 … 2^-1"
    plan.commit("spoilt")
    return plan


@pytest.fixture
def workbench(spoilt: Plan) -> Iterator[Workbench]:
    opened = Workbench(spoilt.copy(), DATA, validation=list(EXAMPLE.test)[:1])
    opened.wait(LONG)
    yield opened
    opened.close()


def panel_of(workbench: Workbench) -> RemediesPanel:
    panel: Any = workbench.panels["Remedies"]
    assert isinstance(panel, RemediesPanel)
    panel.draw_now()
    return panel


def editor_of(workbench: Workbench) -> WindowPanel:
    editor: Any = workbench.panels["Window"]
    assert isinstance(editor, WindowPanel)
    editor.draw_now()
    return editor


def looked(workbench: Workbench) -> RemediesPanel:
    panel_of(workbench).look.click()
    workbench.session.wait(LONG)
    return panel_of(workbench)


def shown(box: Any) -> list[Any]:
    return [child for child in box.children if child.layout.display != "none"]


def lines(remedies: Any) -> list[tuple[Any, str]]:
    """The button of each line, and what is said beside it."""
    return [(line.children[0], line.children[1].value) for line in shown(remedies.widget)[1:]]


def test_before_anybody_asked_it_says_what_it_is_for(workbench: Workbench) -> None:
    panel = panel_of(workbench)
    assert "what would mend it" in panel._about.value
    assert not panel.look.disabled
    assert panel._place.layout.display == "none"


def test_the_dearest_is_chosen_and_its_best_remedy_stands_first(workbench: Workbench) -> None:
    panel = looked(workbench)
    rows = [each for each in panel.rows if each.layout.display != "none"]
    assert rows[0].description.startswith(f"{SPOILT} · ")
    assert rows[-1].description == "the network as a whole"
    assert "bits too high" in shown(panel.remedies.widget)[0].value
    button, text = lines(panel.remedies)[0]
    assert (button.description, "dB" in text) == ("Take", True)


def test_a_remedy_is_taken_and_put_back_by_the_same_button(workbench: Workbench) -> None:
    panel = looked(workbench)
    button, _ = lines(panel.remedies)[0]
    button.click()
    assert list(workbench.session.plan.drafts) == [SPOILT]
    panel.draw_now()
    assert button.description == "Put back"
    assert "before the last change" in shown(panel.remedies.widget)[0].value
    button.click()
    panel.draw_now()
    assert not workbench.session.plan.drafts
    assert button.description == "Take"
    workbench.session.plan.undo()
    assert list(workbench.session.plan.drafts) == [SPOILT]


def test_another_row_is_chosen_and_selected(workbench: Workbench) -> None:
    panel = looked(workbench)
    panel.rows[1].click()
    panel.draw_now()
    assert workbench.selection[0] in panel.rows[1].description
    assert panel.rows[1].button_style == "primary" and panel.rows[0].button_style == ""


def test_the_editor_tells_of_the_selected_tensor(workbench: Workbench) -> None:
    workbench.selection = (SPOILT,)
    editor = editor_of(workbench)
    assert editor.remedies.widget.layout.display == "none"
    editor.why.click()
    workbench.session.wait(LONG)
    editor = editor_of(workbench)
    assert "bits too high" in shown(editor.remedies.widget)[0].value
    button, _ = lines(editor.remedies)[0]
    button.click()
    assert str(workbench.session.plan[SPOILT]) == "2^1 … 2^-5"
    workbench.selection = ("input",)
    assert editor_of(workbench).remedies.widget.layout.display == "none"


def test_a_locked_tensor_is_reported_and_not_changed(workbench: Workbench) -> None:
    panel = looked(workbench)
    workbench.session.plan.lock(SPOILT)
    lines(panel.remedies)[0][0].click()
    assert workbench.problem is not None and "locked" in str(workbench.problem)
    assert not workbench.session.plan.drafts


def test_a_step_is_committed_and_undone(workbench: Workbench) -> None:
    plan = workbench.session.plan
    plan.propose(4)
    plan.commit()
    panel = panel_of(workbench)
    panel.steps.value = True
    panel.look.click()
    workbench.session.wait(LONG)
    panel.draw_now()
    next(each for each in panel.rows if each.description == "the network as a whole").click()
    panel.draw_now()
    button = next(button for button, text in lines(panel.remedies) if "rounded adaptively" in text)
    button.click()
    assert plan.history[-1].note.startswith("weights rounded adaptively")
    panel.draw_now()
    assert button.disabled and "Undo" in button.tooltip
    plan.undo()
    panel.draw_now()
    assert not button.disabled


def test_without_data_the_button_says_why(spoilt: Plan) -> None:
    workbench = Workbench(spoilt.copy())
    panel = panel_of(workbench)
    assert panel.look.disabled and "no data" in panel.look.tooltip
    assert editor_of(workbench).why.disabled
    workbench.close()


def test_closing_ends_the_search(workbench: Workbench) -> None:
    began = threading.Event()
    on_remedies = workbench.session.tuning.remedies._on_found

    def on_found() -> None:
        began.set()
        on_remedies()

    workbench.session.tuning.remedies._on_found = on_found
    panel_of(workbench).look.click()
    assert began.wait(LONG)
    workbench.close()
    assert workbench.session.tuning.remedies.wait(LONG)
