"""The workbench at its edges: strange names, many tensors, shown twice, closed, and the README's picture of it."""

from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.row_list_page import assert_level, expected_colours, seen
from tests.browser.workbench_page import editor, made_up, open_tab, select, wait_for_row


def test_html_in_a_layer_s_name_is_shown_and_not_run(lab: Lab) -> None:
    name = "<img src=x onerror='window.ran=true'><b>bold</b>.weight"
    notebook = lab.new(made_up(f"{{**tensors(2), {name!r}: tensors(1)['blocks.0.conv.weight']}}"))
    notebook.run_all()
    select(notebook, name)
    notebook.execute(f"plan[{name!r}] = '2^9..2^3'\nplan.commit({name!r})")
    open_tab(notebook, "History")
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


def test_a_slider_in_motion_ends_with_the_newest_value_and_draws_nothing_that_did_not_change(lab: Lab) -> None:
    name = "blocks.0.conv.weight"
    notebook = lab.new(made_up("tensors(300)"))
    notebook.run_all()
    expect(notebook.output(0).get_by_text("300 tensors", exact=True)).to_be_visible()
    select(notebook, name)
    wait_for_row(notebook, name)
    before = notebook.value(f"plan[{name!r}].msb")
    notebook.page.evaluate(COUNT)
    editor(notebook).get_by_role("slider").first.focus()
    keys = ["ArrowRight", "ArrowRight", "ArrowLeft"] * 3 + ["ArrowRight"]
    for key in keys:
        notebook.page.keyboard.press(key)
    notebook.wait_for_value(f"plan[{name!r}].msb", before - 4)
    newest = notebook.value(f"[superscript(plan[{name!r}].window), plan[{name!r}].notation('numerictype')]")
    wait_for_row(notebook, name, "draft", newest[0])
    expect(editor(notebook).get_by_label("notation")).to_have_value(newest[1])
    assert_level(notebook, expected_colours(notebook, seen(notebook)))
    drawn = notebook.page.evaluate("window.drawn")
    assert 1 <= drawn["picture"] <= len(keys)
    assert 1 <= drawn["figures"] <= len(keys)
    assert drawn["names"] == 0
    assert drawn["footer"] <= 1  # "1 draft", however often it is moved


# How often parts of the page are drawn: of the heat map its picture and its axes, the words of the editor and the foot.
COUNT = """() => {
    window.drawn = {picture: 0, names: 0, figures: 0, footer: 0};
    const count = (part, element, options) => new MutationObserver(() => { window.drawn[part]++; })
        .observe(element, options);
    const inside = {childList: true, subtree: true, characterData: true};
    count('picture', document.querySelector('.qw-heat image'), {attributes: true});
    for (const axis of document.querySelectorAll('.qw-heat .axis')) count('names', axis, inside);
    count('figures', document.querySelector('.qw-editor table.qw-figures').parentElement, inside);
    const foot = [...document.querySelectorAll('.qw .widget-html-content')].find(e => e.textContent === 'no drafts');
    count('footer', foot, inside);
}"""


def test_screenshot_of_the_workbench(lab: Lab) -> None:
    notebook = lab.open("quickstart.ipynb")
    notebook.run_all()
    notebook.execute("plan['blocks.0.depthwise'] = '2^4..2^-1 unsigned'\nworkbench.selection = ('blocks.0.depthwise',)")
    expect(editor(notebook, 1).get_by_role("row", name="underflow")).to_contain_text("+")
    for picture in notebook.screenshot("workbench", of=notebook.output(1).locator(".qw-workbench")):
        assert picture.stat().st_size > 50_000
