"""Exports from the workbench: every tool is written for, what was written is told, and so is why not."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from qwidgets import export
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import ExtraError, FileError, PlanError
from qwidgets.export import EXPORTS
from qwidgets.plan import Plan
from qwidgets.widgets import Workbench
from qwidgets.widgets.workbench.export_menu import ExportMenu
from tests.waiting import LONG, until
from tests.widgets.test_views import text_of
from tests.widgets.test_workbench import batches, network

NAMES = {each.title: each.name for each in EXPORTS.values()}
TARGETS = {
    "ONNX (QDQ)": "onnxruntime",
    "hls4ml": "hls4ml",
    "ESP-DL, ESP32-P4": "esp32p4",
    "ESP-DL, ESP32-S3": "esp32s3",
}
DATA = [torch.randn(16, 2, 6, 6, generator=torch.Generator().manual_seed(0))]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    return calibrate(model, DATA, device="cpu", progress=False)


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def menu_for(title: str, plan: Plan) -> tuple[ExportMenu, list[str]]:
    told: list[str] = []
    menu = ExportMenu(plan, told.append)
    menu.give(DATA)
    menu._tool.value = NAMES[title]
    return menu, told


def press(menu: ExportMenu) -> ExportMenu:
    menu._button.click()
    assert menu.wait(LONG)
    until(lambda: not menu._button.disabled)
    return menu


@pytest.mark.parametrize("title", NAMES)
def test_each_export_writes_and_says_what_it_wrote(title: str, calibration: Calibration) -> None:
    menu, told = menu_for(title, calibration.propose(target=TARGETS.get(title)))
    path = Path(menu._path.value)
    press(menu)
    assert menu.problem is None, menu.problem
    size = sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
    assert size > 100
    assert told[0].startswith(f"{title}: wrote {path}")
    assert told[0] in text_of(menu)


def test_the_configuration_for_hls4ml_is_what_the_function_gives(calibration: Calibration) -> None:
    plan = calibration.propose(target="hls4ml")
    menu, _ = menu_for("hls4ml", plan)
    press(menu)
    assert runpy.run_path(menu._path.value)["hls_config"] == export.to_hls4ml(plan)


def test_the_c_that_was_written_tests_itself(calibration: Calibration) -> None:
    menu, told = menu_for("C99", calibration.propose())
    press(menu)
    assert "files" in told[0]
    subprocess.run(["make"], cwd=menu._path.value, check=True, capture_output=True)


def test_the_report_has_the_validation_where_there_is_data(calibration: Calibration) -> None:
    plan = calibration.propose()
    menu, _ = menu_for("report", plan)
    press(menu)
    with_data = Path(menu._path.value).read_text()
    menu.give(None)
    menu._path.value = "without.html"
    press(menu)
    assert "agreement" in with_data
    assert "agreement" not in Path("without.html").read_text()


def test_open_drafts_are_refused_and_nothing_is_written(calibration: Calibration, somewhere: Path) -> None:
    plan = calibration.propose()
    plan["input"] = "Q4.3"
    menu, told = menu_for("JSON record", plan)
    press(menu)
    assert isinstance(menu.problem, PlanError)
    assert "nothing was written" in text_of(menu)
    assert told == []
    assert list(somewhere.iterdir()) == []
    plan.revert()
    press(menu)
    assert "nothing was written" not in text_of(menu)
    assert len(told) == 1


def test_a_file_that_is_there_is_left_alone_unless_it_is_to_be_replaced(calibration: Calibration) -> None:
    menu, _ = menu_for("CSV table", calibration.propose())
    Path("mine.csv").write_text("years of work")
    menu._path.value = "mine.csv"
    press(menu)
    assert "exists and is left alone" in text_of(menu)
    assert Path("mine.csv").read_text() == "years of work"
    menu._replace.value = True
    press(menu)
    assert Path("mine.csv").read_text() != "years of work"
    assert "exists and is left alone" not in text_of(menu)


@pytest.mark.parametrize(("path", "text"), [("", "name of a file"), ("no/such/folder/a.csv", "cannot write")])
def test_a_place_that_cannot_be_written_to_is_answered(path: str, text: str, calibration: Calibration) -> None:
    menu, told = menu_for("CSV table", calibration.propose())
    menu._path.value = path
    press(menu)
    assert isinstance(menu.problem, FileError)
    assert text in text_of(menu)
    assert told == []


def test_an_extra_that_is_not_installed_is_told_with_the_line_that_installs_it(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch, somewhere: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as Python does for what cannot be imported
    menu, _ = menu_for("ONNX (QDQ)", calibration.propose(target="onnxruntime"))
    press(menu)
    assert isinstance(menu.problem, ExtraError)
    assert "pip install" in text_of(menu)
    assert "qwidgets[onnx]" in text_of(menu)
    assert list(somewhere.iterdir()) == []


def test_what_a_tool_cannot_take_is_named(calibration: Calibration) -> None:
    menu, _ = menu_for("ONNX (QDQ)", calibration.propose())
    press(menu)
    assert "ONNX rounds ties to even" in text_of(menu)


def test_a_path_that_the_person_wrote_stays_when_another_tool_is_chosen(calibration: Calibration) -> None:
    menu, _ = menu_for("CSV table", calibration.propose())
    assert menu._path.value == "Sequential.csv"
    menu._tool.value = NAMES["C99"]
    assert menu._path.value == "Sequential-c"
    menu._path.value = "mine"
    menu._tool.value = NAMES["QONNX"]
    assert menu._path.value == "mine"


def test_the_workbench_tells_what_it_wrote_and_what_went_wrong_in_its_log() -> None:
    workbench = Workbench(network(), batches())
    workbench.wait(LONG)
    press(workbench._export)
    assert "report: wrote Sequential.html" in workbench._log.value
    press(workbench._export)
    assert "exists and is left alone" in workbench._log.value
    assert isinstance(workbench.problem, FileError)
