"""Where the scripts of widgets come from npm, and no kernel runs: VS Code, Colab, and pages that were saved."""

import re
from pathlib import Path

from ipywidgets import embed
from playwright.sync_api import Browser, Locator, Page, expect

from qwidgets import Workbench
from qwidgets.pictures import palette
from tests.browser.lab import NotebookPage
from tests.browser.npm_packages import serve
from tests.browser.row_list_page import assert_level, header, seen
from tests.browser.workbench_page import editor, row, table
from tests.widgets.made_up import plan_of, tensors


class SavedPage(NotebookPage):
    """A page with one output and no kernel."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def output(self, index: int) -> Locator:
        return self.page.locator("body")


def test_a_saved_page_shows_table_heat_map_and_histogram_and_moves(browser: Browser, tmp_path: Path) -> None:
    plan = plan_of(tensors(90))
    workbench = Workbench(plan)
    lines = workbench.heat_map._lines
    assert lines is not None
    painted = {name: palette()[line[0]][2:-2].tolist() for name, line in lines.lines.items()}
    saved_page = tmp_path / "saved.html"
    embed.embed_minimal_html(saved_page, views=[workbench], state=embed.dependency_state(workbench), title="saved")
    # npm has require.js as it was written, the page asks for it as it was minified.
    saved_page.write_text(re.sub(r'integrity="[^"]*"', "", saved_page.read_text()))
    workbench.close()
    page = browser.new_page(viewport={"width": 1186, "height": 768})
    serve(page)
    page.goto(saved_page.as_uri())
    saved = SavedPage(page)
    expect(row(saved, "blocks.0.conv.weight")).to_be_visible()
    assert len(seen(saved)) == 10
    expect(editor(saved).locator(".bqplot rect.bar").first).to_be_attached()
    assert_level(saved, painted)
    header(saved, "SQNR").click()
    order = list(plan.table().sort_values("sqnr_db", kind="stable").index)
    assert assert_level(saved, painted) == order[:10]
    table(saved).evaluate("grid => { grid.scrollTop = 22 * 40; }")
    page.wait_for_function("() => document.querySelector('.qwl-line[data-line]') !== null")
    assert assert_level(saved, painted) == order[40:50]
    page.context.close()
