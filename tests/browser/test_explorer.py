"""The teaching widgets as a person has them: in JupyterLab, with a mouse, with keys, and read aloud."""

import time

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, NotebookPage
from tests.waiting import LONG


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    """All four on one page; each test starts from what the one before it cannot have changed."""
    notebook = lab.new(
        "from qwidgets import BitExplorer, NumberLine, RoundingTable, SineScope\nexplorer = BitExplorer()\nexplorer",
        "line = NumberLine()\nline",
        "roundings = RoundingTable()\nroundings",
        "scope = SineScope()\nscope",
    )
    notebook.run_all()
    for cell in range(4):
        expect(notebook.output(cell).get_by_role("status")).to_be_visible()
    expect(notebook.output(0).locator(".bqplot rect.bar").first).to_be_attached()
    return notebook


def said(notebook: NotebookPage, cell: int) -> Locator:
    return notebook.output(cell).get_by_role("status")


def test_each_widget_answers_the_mouse_and_the_keys_in_words(notebook: NotebookPage) -> None:
    """The widgets stand on one page and are asked one after the other, since opening a page takes longest."""
    explorer, line, roundings, scope = (notebook.output(cell) for cell in range(4))
    keyboard = notebook.page.keyboard

    # The worked example, one step at a time.
    expect(said(notebook, 0)).to_contain_text("1 precision loss, 1 underflow, 1 overflow")
    explorer.get_by_role("button", name="1 Bits").click()
    expect(said(notebook, 0)).to_contain_text("Step 1 of 5")
    expect(explorer.get_by_text("MSBs counted")).to_be_hidden()
    explorer.get_by_role("button", name="Next").press("Enter")
    expect(said(notebook, 0)).to_contain_text("Step 2 of 5: MSBs")
    explorer.get_by_role("button", name="5 Data type").click()
    row = explorer.get_by_role("row", name="2.1 10.000110011001…")
    expect(row).to_contain_text("2.125")
    expect(row).to_contain_text("precision loss")

    # The window by keys on the slider, and by a drag of the brush.
    handle = explorer.get_by_role("slider").first
    handle.press("ArrowRight")
    notebook.wait_for_value("explorer.format.window", "2^2 … 2^-4")
    expect(said(notebook, 0)).to_contain_text("2 overflow")
    brush = explorer.locator(".bqplot .brushintsel .selection, .bqplot .selector .selection").first
    box = brush.bounding_box()
    assert box is not None
    notebook.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + box["width"] / 2 - 48, box["y"] + box["height"] / 2, steps=8)
    notebook.page.mouse.up()
    notebook.wait_for_value("explorer.format.window", "2^4 … 2^-2")

    # Numbers of one's own; a rule that says why.
    values = explorer.get_by_role("textbox", name="values")
    values.fill("3, <b>four</b>, 100")
    expect(explorer.get_by_role("alert")).to_contain_text("<b>four</b> is not a number")
    notebook.wait_for_value("explorer.values.tolist()", [3, 100])
    explorer.get_by_role("button", name="Propose").press("Enter")
    expect(explorer.get_by_text("is the finest window of 8 bits in which none of them overflows")).to_be_visible()

    # The number line says where each value goes, and moves with its format.
    notation = line.get_by_role("textbox", name="notation")
    notation.fill("Q2.0")
    notation.press("Enter")
    expect(said(notebook, 1)).to_contain_text("8 numbers from -4 to 3, 1 apart")
    expect(said(notebook, 1)).to_contain_text("5 goes to 3, overflow")

    # The roundings part on ties only.
    expect(roundings.get_by_role("row", name="2.5", exact=False).last).to_contain_text("↓ 2")
    roundings.get_by_role("textbox", name="values").fill("0.3 0.5")
    expect(roundings.get_by_role("row")).to_have_count(5)

    # One more bit, heard and read.
    bits = scope.get_by_role("spinbutton", name="bits")
    bits.focus()
    before = notebook.value("scope.result.sqnr_db")
    keyboard.press("ArrowUp")
    notebook.wait_for_value("scope.format.word_length", 5)
    assert 4 < notebook.value("scope.result.sqnr_db") - before < 8
    expect(said(notebook, 3)).to_contain_text("the rule says 31.9 dB")
    scope.get_by_role("button", name="Listen").click()
    expect(scope.locator("audio")).to_have_count(2)
    scope.get_by_role("combobox", name="overflow").select_option("wrap")
    expect(scope.locator("audio")).to_have_count(0)


OVERHANG = """
exhibit => Math.max(...[...exhibit.querySelectorAll('*')]
    .filter(part => part.getClientRects().length && !part.closest('.qw-scroll, .qw-unseen'))
    .filter(part => part.matches('.plotarea_events') || !part.closest('svg *, canvas'))
    .map(part => part.getBoundingClientRect().right)) - exhibit.getBoundingClientRect().right
"""
MARGIN = 2


def test_screenshots_and_no_widget_is_cut_off_in_a_window_of_800_pixels(notebook: NotebookPage) -> None:
    names = ("bit-explorer", "number-line", "rounding-table", "sine-scope")
    for cell, name in enumerate(names):
        pictures = notebook.screenshot(name, of=notebook.output(cell).locator(".qw-exhibit"))
        assert all(picture.stat().st_size > 10_000 for picture in pictures)
    notebook.page.set_viewport_size({"width": 800, "height": 1000})
    for cell, name in enumerate(names):
        exhibit = notebook.output(cell).locator(".qw-exhibit")
        exhibit.scroll_into_view_if_needed()
        deadline = time.monotonic() + LONG  # a figure follows the window a moment after it comes into view
        while (overhang := exhibit.evaluate(OVERHANG)) > MARGIN:
            assert time.monotonic() < deadline, f"{name} is cut off by {overhang} pixels"
            notebook.page.wait_for_timeout(100)
