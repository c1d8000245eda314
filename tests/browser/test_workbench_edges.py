"""The workbench at its edges: strange names, many tensors, shown twice, closed, and the README's picture of it."""

import time

from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.workbench_page import editor, made_up, select


def test_html_in_a_layer_s_name_is_shown_and_not_run(lab: Lab) -> None:
    name = "<img src=x onerror='window.ran=true'><b>bold</b>.weight"
    notebook = lab.new(made_up(f"{{**tensors(2), {name!r}: tensors(1)['blocks.0.conv.weight']}}"))
    notebook.run_all()
    select(notebook, name)
    notebook.execute(f"plan[{name!r}] = '2^9..2^3'\nplan.commit({name!r})")
    notebook.output(0).get_by_text("history").click()
    expect(notebook.output(0).locator("details").get_by_text(name).first).to_be_visible()
    assert notebook.page.evaluate("window.ran") is None
    assert notebook.output(0).locator(".qw img").count() == 0


def test_it_can_be_shown_twice_closed_and_shown_again(lab: Lab) -> None:
    notebook = lab.new(made_up("tensors(6)"), "workbench", "workbench.close()", "workbench")
    notebook.run_all()
    assert notebook.output(0).get_by_role("button", name="Commit").count() == 0
    expect(notebook.output(3).get_by_role("button", name="Commit")).to_be_visible()
    notebook.execute("plan['blocks.0.conv'] = '2^9..2^3'")
    expect(notebook.output(3).get_by_text("1 draft")).to_be_visible()


def test_screenshot_of_the_workbench(lab: Lab) -> None:
    notebook = lab.open("quickstart.ipynb")
    notebook.run_all()
    notebook.execute("plan['blocks.0.depthwise'] = '2^4..2^-1 unsigned'\nworkbench.selection = ('blocks.0.depthwise',)")
    expect(editor(notebook, 1).get_by_text("more underflow")).to_be_visible()
    for picture in notebook.screenshot("workbench", of=notebook.output(1).locator(".qw-workbench")):
        assert picture.stat().st_size > 50_000
