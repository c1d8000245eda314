"""The workbench where people are: Notebook 7, Voila, and pages whose scripts come from npm, as in VS Code and Colab."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ipywidgets import embed
from playwright.sync_api import Browser, Locator, Page, expect

from qwidgets import Workbench
from qwidgets.pictures import palette
from tests.browser.lab import NotebookPage
from tests.browser.npm_packages import serve
from tests.browser.row_list_page import assert_level, header, seen
from tests.browser.serving import notebook_7, run_all_cells, serving
from tests.browser.workbench_page import editor, made_up, row, table
from tests.waiting import LONG, until
from tests.widgets.made_up import plan_of, tensors

COUNT = 90
NOTEBOOK = "workbench.ipynb"


class PageAlone(NotebookPage):
    """A page with one workbench, in which the test runs no Python."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def output(self, index: int) -> Locator:
        return self.page.locator("body")


@pytest.fixture
def painted() -> dict[str, Any]:
    """What the heat map shows of each of the tensors that were made up, without its ends."""
    lines = Workbench(plan_of(tensors(COUNT))).heat_map._lines
    assert lines is not None
    return {name: palette()[line[0]][2:-2].tolist() for name, line in lines.lines.items()}


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """A folder with one notebook, that shows the same tensors."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cell: dict[str, Any] = {"cell_type": "code", "id": "cell", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [cell | {"source": made_up(f"tensors({COUNT})")}],
    }
    (folder / NOTEBOOK).write_text(json.dumps(notebook))
    return folder


def assert_it_works(saved: PageAlone, painted: dict[str, Any]) -> None:
    """Rows are level with their lines, as they are sorted and scrolled; the histogram is there."""
    expect(row(saved, "blocks.0.conv.weight")).to_be_visible()
    assert len(seen(saved)) == 10
    expect(editor(saved).locator(".bqplot rect.bar").first).to_be_attached()
    assert_level(saved, painted)
    header(saved, "SQNR").click()
    order = list(plan_of(tensors(COUNT)).table().sort_values("sqnr_db", kind="stable").index)
    assert assert_level(saved, painted) == order[:10]
    table(saved).evaluate("grid => { grid.scrollTop = 22 * 40; }")
    until(lambda: seen(saved) == order[40:50])
    assert_level(saved, painted)


def test_in_notebook_7(browser: Browser, tmp_path: Path, notebooks: Path, painted: dict[str, Any]) -> None:
    with notebook_7(tmp_path, notebooks, NOTEBOOK) as address:
        page = browser.new_page()
        page.set_default_timeout(LONG * 1000)
        page.goto(address)
        run_all_cells(page)
        assert_it_works(PageAlone(page), painted)
        name = seen(PageAlone(page))[3]
        row(PageAlone(page), name).click()
        expect(editor(PageAlone(page)).get_by_text(name, exact=True)).to_be_visible()
        page.context.close()


def test_under_voila(browser: Browser, tmp_path: Path, notebooks: Path, painted: dict[str, Any]) -> None:
    with serving(tmp_path, notebooks, "voila", NOTEBOOK) as address:
        page = browser.new_page()
        page.set_default_timeout(LONG * 1000)
        page.goto(address)
        assert_it_works(PageAlone(page), painted)
        name = seen(PageAlone(page))[3]
        row(PageAlone(page), name).click()
        expect(editor(PageAlone(page)).get_by_text(name, exact=True)).to_be_visible()
        page.context.close()


def test_a_saved_page_without_a_kernel_whose_scripts_come_from_npm(
    browser: Browser, tmp_path: Path, painted: dict[str, Any]
) -> None:
    workbench = Workbench(plan_of(tensors(COUNT)))
    saved_page = tmp_path / "saved.html"
    embed.embed_minimal_html(saved_page, views=[workbench], state=embed.dependency_state(workbench), title="saved")
    workbench.close()
    # npm has require.js as it was written, the page asks for it as it was minified.
    saved_page.write_text(re.sub(r'integrity="[^"]*"', "", saved_page.read_text()))
    page = browser.new_page(viewport={"width": 1186, "height": 768})
    serve(page)
    page.goto(saved_page.as_uri())
    assert_it_works(PageAlone(page), painted)
    page.context.close()
