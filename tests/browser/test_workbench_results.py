"""What the workbench measures, as a person sees it: the strip of results, the column, the bars, the short check."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, NotebookPage
from tests.browser.workbench_page import DIGITS, editor, open_tab, select

WAIT = """
from qwidgets.validation import validate
from qwidgets.session.samples import first

plan = workbench.wait()
def top1(data=None):
    trial = plan.copy()
    if trial.drafts:
        trial.commit()
    share = validate(example.model, trial, example.test if data is None else data).loc['top1', 'quantized']
    return '100 %' if share == 1 else f'{100 * share:.1f} %'
"""


# Opening it takes longer than all that is done with it, so the tests share one notebook; each begins with the proposal.
@pytest.fixture(scope="module")
def opened(server: Lab) -> Iterator[NotebookPage]:
    notebook = server.new(DIGITS, WAIT)
    notebook.run_all()
    notebook.execute("plan.save('proposal.json')")
    yield notebook
    server.close_notebooks()


@pytest.fixture
def digits(opened: NotebookPage) -> NotebookPage:
    opened.execute("plan.open('proposal.json'); workbench.selection = ('input',)")
    open_tab(opened, "Result")
    expect(cells(opened, "top-1").nth(0)).to_have_text("no draft")
    return opened


def results(notebook: NotebookPage) -> Locator:
    return notebook.output(0).locator(".qw-results")


def cells(notebook: NotebookPage, name: str) -> Locator:
    return results(notebook).get_by_role("row", name=name).get_by_role("cell")


def button(notebook: NotebookPage, name: str) -> Locator:
    return notebook.output(0).get_by_role("button", name=name)


def test_the_accuracy_of_a_draft_shows_when_the_slider_is_let_go(digits: NotebookPage) -> None:
    open_tab(digits, "Window")
    select(digits, "blocks.2.conv1.weight")
    editor(digits).get_by_role("slider").first.focus()
    for _ in range(4):
        digits.page.keyboard.press("ArrowLeft")
    open_tab(digits, "Result")
    expect(cells(digits, "measured on").nth(0)).to_contain_text("draft, first 128 of 450 images")
    expected = digits.value("top1(first(example.test, 128))")
    assert expected != digits.value("top1()")
    expect(cells(digits, "top-1").nth(0)).to_have_text(expected)
    expect(digits.output(0).locator(".qw-scores")).to_contain_text(f"draft {expected}")


def test_validate_fills_the_strip_with_what_all_data_gives(digits: NotebookPage) -> None:
    digits.execute("plan['blocks.2.conv1.weight'] = '2^3 … 2^-3'")
    button(digits, "Validate").click()
    expect(cells(digits, "measured on").nth(0)).to_have_text("draft, all 450 images")
    expect(cells(digits, "top-1").nth(0)).to_have_text(digits.value("top1()"))
    expect(cells(digits, "measured on").nth(1)).to_have_text("all 450 images")
    expect(button(digits, "Stop")).to_be_disabled()


def test_a_bar_clicked_selects_its_row_and_keys_go_from_bar_to_bar(digits: NotebookPage) -> None:
    button(digits, "Sensitivity").click()
    chart = digits.output(0).locator(".qw-sensitivity")
    expect(chart.get_by_text("measured on first 128 of 450 images")).to_be_visible()
    names = digits.value("workbench.panels['Result'].chart._shown")
    expect(chart.locator("rect.bar")).to_have_count(len(names))
    chart.locator("rect.bar").nth(1).click()
    digits.wait_for_value("workbench.selection", [names[1]])
    chart.get_by_role("slider").focus()
    digits.page.keyboard.press("ArrowRight")
    digits.wait_for_value("workbench.selection", [names[2]])


def test_a_proposal_that_breaks_the_network_is_called_so_and_its_rows_can_be_clicked(digits: NotebookPage) -> None:
    open_tab(digits, "Propose")
    digits.output(0).get_by_label("word length").fill("3")
    digits.output(0).get_by_label("word length").press("Enter")
    digits.output(0).get_by_role("button", name="Propose").click()
    expect(digits.output(0).locator(".qw-head").get_by_text("broken")).to_be_visible()
    open_tab(digits, "Result")
    expect(results(digits).get_by_text("broken")).to_be_visible()
    worst = digits.value("workbench.session.tuning.live.checked.health.rows.index[0]")
    results(digits).get_by_role("button", name="dB").first.click()
    digits.wait_for_value("workbench.selection", [worst])


@pytest.mark.parametrize("width", [1440, 800])
def test_screenshot_of_the_results(digits: NotebookPage, width: int) -> None:
    digits.execute(
        "plan.propose(4); workbench.session.tuning.live.check(); workbench.session.sense(); workbench.wait()"
    )
    button(digits, "Validate").click()
    expect(cells(digits, "measured on").nth(0)).to_have_text("draft, all 450 images")
    digits.page.set_viewport_size({"width": width, "height": 1000})
    for picture in digits.screenshot(f"results-{width}", of=digits.output(0).locator(".qw-workbench")):
        assert picture.stat().st_size > 50_000
    too_wide = """[...document.querySelectorAll('.qw-workbench .qw')]
        .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.className)"""
    assert digits.page.evaluate(too_wide) == []
    digits.page.set_viewport_size({"width": 1440, "height": 1000})
