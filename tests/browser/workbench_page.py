"""The workbench in a notebook, as the tests in a browser take hold of it: by what a person sees."""

import json
import re

from playwright.sync_api import Locator, expect

from tests.browser.lab import REPOSITORY, NotebookPage

DIGITS = """
import torch
from qwidgets import Workbench, capture
from qwidgets.examples import digits

example = digits()
workbench = Workbench(example.model, example.calibration, validation=example.test)
workbench
"""
MADE_UP = """
import sys
sys.path.insert(0, {repository!r})
from qwidgets import Workbench
from qwidgets.pictures import superscript
from tests.widgets.made_up import plan_of, tensors

plan = plan_of({tensors})
workbench = Workbench(plan)
workbench
"""


def made_up(tensors: str) -> str:
    return MADE_UP.format(repository=str(REPOSITORY), tensors=tensors)


def row(notebook: NotebookPage, name: str, cell: int = 0) -> Locator:
    """The row of a tensor in the table; it is in the page only while it is near what is seen."""
    return notebook.output(cell).locator(f"[data-tensor={json.dumps(name)}]")


def table(notebook: NotebookPage, cell: int = 0) -> Locator:
    return notebook.output(cell).get_by_role("treegrid", name="tensors")


def wait_for_row(notebook: NotebookPage, name: str, *texts: str, without: str = "") -> None:
    """Wait until the table's row of a tensor has these texts in it."""
    for text in texts:
        expect(row(notebook, name)).to_contain_text(text)
    if without:
        expect(row(notebook, name)).not_to_contain_text(without)


def select(notebook: NotebookPage, name: str) -> None:
    notebook.execute(f"workbench.selection = ({name!r},)")
    expect(editor(notebook).get_by_text(name, exact=True)).to_be_visible()


def open_tab(notebook: NotebookPage, title: str, cell: int = 0) -> None:
    notebook.output(cell).get_by_role("tab", name=re.compile(f"^{title}")).click()


def editor(notebook: NotebookPage, cell: int = 0) -> Locator:
    return notebook.output(cell).locator(".qw-editor")


def figure(notebook: NotebookPage, name: str) -> Locator:
    return editor(notebook).get_by_role("row", name=re.compile(f"^{name}"))


def middle(of: Locator) -> float:
    box = of.bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


def middle_x(of: Locator) -> float:
    box = of.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2
