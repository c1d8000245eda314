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


def test_a_slider_in_motion_ends_with_the_newest_value_within_200_ms_with_300_tensors(lab: Lab) -> None:
    notebook = lab.new(made_up("tensors(300)"))
    notebook.run_all()
    expect(notebook.output(0).get_by_text("300 tensors", exact=True)).to_be_visible()
    select(notebook, "blocks.0.conv.weight")
    notebook.page.evaluate(WATCH)
    handle = editor(notebook).get_by_role("slider").first
    handle.focus()
    waits: list[dict[str, float]] = []
    for _ in range(4):
        shared = how_shared_the_processor_is()
        before = notebook.value("plan['blocks.0.conv.weight'].msb")
        for key in ["ArrowRight", "ArrowRight", "ArrowLeft"] * 3:
            notebook.page.keyboard.press(key)
        notebook.wait_for_value("plan['blocks.0.conv.weight'].msb", before - 3)
        notebook.page.wait_for_function("performance.now() - window.lastKey > 1000")
        window = notebook.value("plan['blocks.0.conv.weight'].window")
        ask = "names => Object.fromEntries(names.map(name => [name, window.seen[name] - window.lastKey]))"
        wait = notebook.page.evaluate(ask, ["editor", "heat map", window])
        waits.append({view: ms / shared for view, ms in wait.items()})
    # What else runs on the machine can only make it slower, so the best of a few motions is what it takes.
    assert min(max(wait.values()) for wait in waits) < 200, waits


def how_shared_the_processor_is() -> float:
    """How many times longer work takes than it would if nothing else ran: 1 on a machine that is free."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 0.25:
        sum(range(10_000))
    return (time.perf_counter() - wall) / (time.process_time() - cpu)


# When the words under the editor and the heat map's picture were last drawn, and each text in the table first.
WATCH = """() => {
    window.seen = {};
    addEventListener('keydown', () => { window.lastKey = performance.now(); }, true);
    const watch = (name, element, options) => new MutationObserver(
        () => { window.seen[name] = performance.now(); }
    ).observe(element, options);
    const figures = document.querySelector('.qw-editor table.qw-figures');
    watch('editor', figures.parentElement, {childList: true, subtree: true, characterData: true});
    watch('heat map', document.querySelector('.qw-heat image'), {attributes: true});
    const draw = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        if (!(text in window.seen)) window.seen[text] = performance.now();
        return draw.call(this, text, ...rest);
    };
}"""


def test_screenshot_of_the_workbench(lab: Lab) -> None:
    notebook = lab.open("quickstart.ipynb")
    notebook.run_all()
    notebook.execute("plan['blocks.0.depthwise'] = '2^4..2^-1 unsigned'\nworkbench.selection = ('blocks.0.depthwise',)")
    expect(editor(notebook, 1).get_by_text("more underflow")).to_be_visible()
    for picture in notebook.screenshot("workbench", of=notebook.output(1).locator(".qw-workbench")):
        assert picture.stat().st_size > 50_000
