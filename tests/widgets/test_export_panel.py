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
from qwidgets.widgets.workbench import ExportPanel
from tests.waiting import LONG
from tests.widgets.test_views import text_of
from tests.widgets.test_workbench import batches, network

NAMES = {each.title: each.name for each in EXPORTS.values()}
TARGETS = {
    "ONNX (QDQ)": "onnxruntime",
    "TFLite (LiteRT)": "tflite",
    "TFLite Micro": "tflite_micro",
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


def panel_for(title: str, plan: Plan, validation: list[torch.Tensor] | None = DATA) -> ExportPanel:
    panel: ExportPanel = Workbench(plan, validation=validation).panels["Export"]
    panel.tool.value = NAMES[title]
    return panel


def press(panel: ExportPanel) -> ExportPanel:
    panel.draw_now()
    assert not panel.write.disabled
    panel.write.click()
    panel.session.wait(LONG)
    panel.draw_now()
    return panel


def told(panel: ExportPanel) -> list[str]:
    return [entry.text for entry in panel.session.log.entries[::-1] if entry.error is None]


@pytest.mark.parametrize("title", NAMES)
def test_each_export_writes_and_says_what_it_wrote(title: str, calibration: Calibration) -> None:
    panel = panel_for(title, calibration.propose(target=TARGETS.get(title)))
    path = Path(panel.path.value)
    press(panel)
    assert panel.problem is None, panel.problem
    size = sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
    assert size > 100
    assert told(panel)[0].startswith(f"{title}: wrote {path}")
    assert told(panel)[0] in text_of(panel)


def test_the_configuration_for_hls4ml_is_what_the_function_gives(calibration: Calibration) -> None:
    plan = calibration.propose(target="hls4ml")
    panel = panel_for("hls4ml", plan)
    press(panel)
    assert runpy.run_path(panel.path.value)["hls_config"] == export.to_hls4ml(plan)


def test_the_c_that_was_written_tests_itself(calibration: Calibration) -> None:
    panel = panel_for("C99", calibration.propose())
    press(panel)
    assert "files" in told(panel)[0]
    subprocess.run(["make"], cwd=panel.path.value, check=True, capture_output=True)


def test_the_report_has_the_validation_where_there_is_data(calibration: Calibration) -> None:
    plan = calibration.propose()
    panel = panel_for("report", plan)
    press(panel)
    with_data = Path(panel.path.value).read_text()
    panel = panel_for("report", plan, None)
    panel.path.value = "without.html"
    press(panel)
    assert "agreement" in with_data
    assert "agreement" not in Path("without.html").read_text()


def test_open_drafts_are_refused_and_nothing_is_written(calibration: Calibration, somewhere: Path) -> None:
    plan = calibration.propose()
    plan["input"] = "Q4.3"
    panel = panel_for("JSON record", plan)
    press(panel)
    assert isinstance(panel.problem, PlanError)
    assert "nothing was written" in text_of(panel)
    assert told(panel) == []
    assert list(somewhere.iterdir()) == []
    plan.revert()
    press(panel)
    assert "nothing was written" not in text_of(panel)
    assert len(told(panel)) == 1


def test_a_file_that_is_there_is_left_alone_unless_it_is_to_be_replaced(calibration: Calibration) -> None:
    panel = panel_for("CSV table", calibration.propose())
    Path("mine.csv").write_text("years of work")
    panel.path.value = "mine.csv"
    press(panel)
    assert "exists and is left alone" in text_of(panel)
    assert Path("mine.csv").read_text() == "years of work"
    panel.replace.value = True
    press(panel)
    assert Path("mine.csv").read_text() != "years of work"
    assert "exists and is left alone" not in text_of(panel)


@pytest.mark.parametrize(("path", "text"), [("", "name of a file"), ("no/such/folder/a.csv", "cannot write")])
def test_a_place_that_cannot_be_written_to_is_answered(path: str, text: str, calibration: Calibration) -> None:
    panel = panel_for("CSV table", calibration.propose())
    panel.path.value = path
    press(panel)
    assert isinstance(panel.problem, FileError)
    assert text in text_of(panel)
    assert told(panel) == []


def test_an_extra_that_is_not_installed_is_told_with_the_line_that_installs_it(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch, somewhere: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as Python does for what cannot be imported
    panel = panel_for("ONNX (QDQ)", calibration.propose(target="onnxruntime"))
    press(panel)
    assert isinstance(panel.problem, ExtraError)
    assert "pip install" in text_of(panel)
    assert "qwidgets[onnx]" in text_of(panel)
    assert list(somewhere.iterdir()) == []


def test_what_a_tool_cannot_take_is_named(calibration: Calibration) -> None:
    panel = panel_for("ONNX (QDQ)", calibration.propose())
    press(panel)
    assert "ONNX rounds ties to even" in text_of(panel)


def test_a_path_that_the_person_wrote_stays_when_another_tool_is_chosen(calibration: Calibration) -> None:
    panel = panel_for("CSV table", calibration.propose())
    assert panel.path.value == "Sequential.csv"
    panel.tool.value = NAMES["C99"]
    assert panel.path.value == "Sequential-c"
    panel.path.value = "mine"
    panel.tool.value = NAMES["QONNX"]
    assert panel.path.value == "mine"


def test_the_workbench_tells_what_it_wrote_and_what_went_wrong_in_its_log() -> None:
    workbench = Workbench(network(), batches())
    workbench.wait(LONG)
    press(workbench.panels["Export"])
    assert "report: wrote Sequential.html" in workbench.panels["Log"].page.value
    press(workbench.panels["Export"])
    assert "exists and is left alone" in workbench.panels["Log"].page.value
    assert isinstance(workbench.problem, FileError)
