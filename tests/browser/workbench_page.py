"""The workbench in a notebook, as the tests in a browser take hold of it: by what a person sees."""

import re

from playwright.sync_api import Locator, expect

from qwidgets.widgets.workbench.grid_adapter import HEADER_HEIGHT, ROW_HEIGHT
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
from tests.widgets.made_up import plan_of, tensors

plan = plan_of({tensors})
workbench = Workbench(plan)
workbench
"""


def made_up(tensors: str) -> str:
    return MADE_UP.format(repository=str(REPOSITORY), tensors=tensors)


def click_row(notebook: NotebookPage, row: int) -> None:
    """Click the row of the table that is at this place on the screen."""
    canvas = notebook.output(0).locator(".ipydatagrid-widget").first
    canvas.click(position={"x": 60, "y": HEADER_HEIGHT + (row + 0.5) * ROW_HEIGHT})


# The table is a canvas. What is written into it in one go is kept here: the newest texts for each height.
READ_TABLE = """() => {
    window.lines = new Map();
    let go = 0;
    const draw = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
        const now = go, line = Math.round(y);
        queueMicrotask(() => { go = now + 1; });
        if (window.lines.get(line)?.go !== now) window.lines.set(line, {go: now, texts: []});
        window.lines.get(line).texts.push(text);
        return draw.call(this, text, x, y, ...rest);
    };
}"""


# When the words under the editor and the heat map's picture were last drawn, and each text in the table first, by the
# height that it stands at; where each text stands.
WATCH = """() => {
    window.seen = {};
    window.heights = {};
    addEventListener('keydown', () => { window.lastKey = performance.now(); }, true);
    const watch = (name, element, options) => new MutationObserver(
        () => { window.seen[name] = performance.now(); }
    ).observe(element, options);
    const figures = document.querySelector('.qw-editor table.qw-figures');
    watch('editor', figures.parentElement, {childList: true, subtree: true, characterData: true});
    watch('heat map', document.querySelector('.qw-heat image'), {attributes: true});
    const draw = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        const place = `${Math.round(rest[1])} ${text}`;
        window.heights[text] = Math.round(rest[1]);
        if (!(place in window.seen)) window.seen[place] = performance.now();
        return draw.call(this, text, ...rest);
    };
}"""


def wait_for_row(notebook: NotebookPage, name: str, *texts: str, without: str = "") -> None:
    """Wait until the table's row of a tensor has these texts in it."""
    notebook.page.wait_for_function(
        """([name, texts, without]) => [...window.lines.values()].some(line => line.texts.includes(name)
            && texts.every(text => line.texts.includes(text)) && !line.texts.includes(without))""",
        arg=[name, list(texts), without],
    )


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
