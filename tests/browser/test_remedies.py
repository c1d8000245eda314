"""What to do next, in a real JupyterLab: found, taken, put back, beside the window that it is about."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, NotebookPage
from tests.browser.workbench_page import editor, open_tab, select, wait_for_row

DIGITS = """
from qwidgets import Workbench
from qwidgets.examples import digits

example = digits()
workbench = Workbench(example.model, example.calibration)
workbench
"""
SPOILT = "stem.0.weight"
SPOIL = f"""
plan = workbench.wait()
plan[{SPOILT!r}] = "2^5 … 2^-1"
_ = plan.commit("spoilt")
plan.save("spoilt.json")
"""


# Opening it takes longer than all that is done with it, so the tests share one notebook.
@pytest.fixture(scope="module")
def opened(server: Lab) -> Iterator[NotebookPage]:
    notebook = server.new(DIGITS, SPOIL)
    notebook.run_all()
    yield notebook
    server.close_notebooks()


@pytest.fixture
def spoilt(opened: NotebookPage) -> NotebookPage:
    opened.execute("plan.open('spoilt.json'); workbench.wait(); workbench.selection = ('input',)")
    expect(opened.output(0).get_by_text("no drafts")).to_be_visible()
    return opened


def remedies(notebook: NotebookPage) -> Locator:
    return notebook.output(0).locator(".qw-next")


def test_what_costs_most_is_found_taken_and_put_back(spoilt: NotebookPage) -> None:
    open_tab(spoilt, "Remedies")
    spoilt.output(0).get_by_role("button", name="Look for remedies").click()
    first = remedies(spoilt).get_by_role("button", name=re.compile(rf"^{SPOILT} · .* alone"))
    expect(first).to_be_visible()
    expect(remedies(spoilt).get_by_text(re.compile("bits too high"))).to_be_visible()
    expect(remedies(spoilt).get_by_role("button", name="the network as a whole")).to_be_attached()
    take = remedies(spoilt).get_by_role("button", name="Take").first
    take.focus()
    spoilt.page.keyboard.press("Enter")
    wait_for_row(spoilt, SPOILT, "draft", "2¹ … 2⁻⁵")
    put_back = remedies(spoilt).get_by_role("button", name="Put back")
    expect(put_back).to_be_visible()
    put_back.click()
    wait_for_row(spoilt, SPOILT, "2⁵ … 2⁻¹", without="draft")


def test_beside_the_window_it_is_in_sight(spoilt: NotebookPage) -> None:
    open_tab(spoilt, "Window")
    select(spoilt, SPOILT)
    editor(spoilt).get_by_role("button", name="What would help?").click()
    line = editor(spoilt).locator(".qw-remedies .widget-hbox").first
    expect(line).to_contain_text(re.compile("window 2¹ … 2⁻⁵: .* → .* dB"))
    tab = spoilt.output(0).locator(".qw-tabs > .widget-tab-contents").bounding_box()
    seen = line.bounding_box()
    assert tab is not None and seen is not None
    assert tab["y"] <= seen["y"] and seen["y"] + seen["height"] <= tab["y"] + tab["height"]
    line.get_by_role("button", name="Take").click()
    wait_for_row(spoilt, SPOILT, "draft", "2¹ … 2⁻⁵")


def test_screenshot_of_what_to_do_next(spoilt: NotebookPage) -> None:
    open_tab(spoilt, "Remedies")
    spoilt.output(0).get_by_role("button", name="Look for remedies").click()
    expect(remedies(spoilt).get_by_role("button", name="the network as a whole")).to_be_attached()
    spoilt.execute("workbench.wait()")
    for picture in spoilt.screenshot("remedies", of=spoilt.output(0).locator(".qw-workbench")):
        assert picture.stat().st_size > 50_000
