"""The names of files that a workbench suggests lead nowhere else, whatever a network is called."""

from pathlib import Path

import ipywidgets
import pytest
import torch
from torch import nn

from qwidgets import calibrate
from qwidgets.session import Session
from qwidgets.widgets.controls import file_name
from qwidgets.widgets.controls.file_names import LONGEST
from qwidgets.widgets.workbench import ExportPanel
from qwidgets.widgets.workbench.footer import Footer
from tests.export.hostile_names import TEXTS, mixtures


def test_a_name_is_one_file_of_the_current_folder() -> None:
    for text in (*TEXTS, *mixtures(300), "../../.bashrc", "/etc/passwd", "C:\\autoexec.bat", "~root", "-rf"):
        name = file_name(text)
        assert Path(name).name == name == name.strip(".-~")
        assert name.isascii() and name.isprintable() and 0 < len(name) <= LONGEST


@pytest.mark.parametrize("view", [ExportPanel, Footer])
def test_the_boxes_suggest_such_names(view: type[ExportPanel | Footer], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = calibrate(nn.Linear(2, 2), [torch.ones(2, 2)], device="cpu", progress=False).propose(8)
    monkeypatch.setattr(plan, "network", "../../<b>")
    shown = view(Session(plan))
    paths = [box.value for box in boxes(shown) if box.description in ("to", "file")]
    assert len(paths) == 1
    assert paths[0].startswith("b") and Path(paths[0]).name == paths[0]
    shown.close()


def boxes(widget: ipywidgets.Widget) -> list[ipywidgets.Text]:
    own = [widget] if isinstance(widget, ipywidgets.Text) else []
    return own + [box for child in getattr(widget, "children", ()) for box in boxes(child)]
