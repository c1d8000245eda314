"""The course where people take it: as an app under Voila, with the code hidden, and in Notebook 7."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.serving import notebook_7, run_all_cells, serving
from tests.waiting import LONG

COURSE = Path(__file__).parents[2] / "notebooks" / "course"
NOTEBOOK = "01-words-and-points.ipynb"


def test_under_voila_a_notebook_is_an_app_without_code(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, COURSE, "voila", NOTEBOOK) as address:
        page = browser.new_page()
        page.set_default_timeout(LONG * 1000)
        page.goto(address)
        question = page.locator(".qw-question").first
        expect(question).to_be_visible()
        expect(page.get_by_text("from qwidgets import")).to_have_count(0)
        question.get_by_role("textbox").fill("-16, 15.875, 0.125")
        question.get_by_role("textbox").press("Enter")
        expect(question.get_by_role("status")).to_contain_text("Right.")
        page.context.close()


def test_in_notebook_7_the_widgets_answer(browser: Browser, tmp_path: Path) -> None:
    with notebook_7(tmp_path, COURSE, NOTEBOOK) as address:
        page = browser.new_page()
        page.set_default_timeout(LONG * 1000)
        page.goto(address)
        run_all_cells(page)
        status = page.locator(".qw-exhibit").first.get_by_role("status")
        expect(status).to_contain_text("Step 1 of 5")
        page.locator(".qw-exhibit").first.get_by_role("button", name="Next").click()
        expect(status).to_contain_text("Step 2 of 5")
        page.context.close()
