"""One list: rows and lines of the heat map that stay level, and everything that a person does with them."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, ViewportSize, expect

from tests.browser.lab import Lab, NotebookPage
from tests.browser.row_list_page import assert_level, expected_colours, header, seen
from tests.browser.workbench_page import editor, made_up, open_tab, row, table
from tests.waiting import until

COUNT = 300
LAPTOP = ViewportSize(width=1366, height=768)
AROUND = 180
"""Pixels of a JupyterLab page that are beside an output."""


@pytest.fixture(scope="module")
def opened(server: Lab) -> Iterator[NotebookPage]:
    notebook = server.new(made_up(f"tensors({COUNT})"), "names = list(plan.names)")
    notebook.page.set_viewport_size(LAPTOP)
    notebook.run_all()
    yield notebook
    server.close_notebooks()


@pytest.fixture
def notebook(opened: NotebookPage) -> NotebookPage:
    opened.page.set_viewport_size(LAPTOP)
    opened.output(0).get_by_label("find").fill("")
    opened.output(0).get_by_label("show", exact=True).select_option("all")
    opened.output(0).get_by_label("rows by").select_option("network")
    for column in table(opened).get_by_role("columnheader").all():
        while column.get_attribute("aria-sort") != "none":
            column.get_by_role("button").click()
    opened.execute("workbench.selection = names[:1]")
    table(opened).evaluate("grid => { grid.scrollTop = 0; }")
    expect(row(opened, "blocks.0.conv.weight")).to_have_attribute("aria-selected", "true")
    return opened


@pytest.fixture(scope="module")
def colours(opened: NotebookPage) -> dict[str, Any]:
    return expected_colours(opened, opened.value("names"))


def box(of: Locator) -> dict[str, float]:
    found = of.bounding_box()
    assert found is not None
    return {
        "left": found["x"],
        "top": found["y"],
        "right": found["x"] + found["width"],
        "bottom": found["y"] + found["height"],
    }


@pytest.mark.parametrize("width", [900, 1186, 1900])
def test_the_whole_loop_is_on_one_screen(notebook: NotebookPage, width: int) -> None:
    notebook.page.set_viewport_size({"width": width + AROUND, "height": 768})
    out = notebook.output(0)
    whole = box(out.locator(".qw-workbench").last)
    assert whole["right"] - whole["left"] == pytest.approx(width, abs=12)
    assert whole["bottom"] - whole["top"] <= 640
    assert len(seen(notebook)) >= 10
    parts = [
        out.get_by_text("committed", exact=True).first,
        out.get_by_role("button", name="Commit"),
        out.get_by_role("button", name="Undo"),
        table(notebook),
        out.locator(".qw-aligned image"),
        editor(notebook).locator(".bqplot"),
        editor(notebook).locator("table.qw-figures"),
        *editor(notebook).get_by_role("slider").all(),
        *(
            editor(notebook).get_by_label(label, exact=True)
            for label in ("msb", "lsb", "bits", "sign", "rounding", "overflow", "notation")
        ),
    ]
    # bqplot draws its figures anew some time after their room has changed.
    until(lambda: all(box(part)["right"] <= whole["right"] + 1 for part in parts))
    tab = box(out.locator(".qw-tabs > .widget-tab-contents"))
    for part in parts:
        inside = box(part)
        if part != parts[4]:  # the picture has lines above and below those that are seen
            assert inside["top"] >= whole["top"]
            assert inside["bottom"] <= whole["bottom"]
        assert inside["left"] >= whole["left"] - 1
        assert inside["right"] <= whole["right"] + 1
    for part in parts[5:]:
        assert box(part)["bottom"] <= tab["bottom"], part
    labels = sorted(box(label)["left"] for label in out.locator(".qw-aligned .axis .tick text").all())
    rights = sorted(box(label)["right"] for label in out.locator(".qw-aligned .axis .tick text").all())
    assert all(right < left for right, left in zip(rights, labels[1:], strict=False))


def test_a_taller_workbench_shows_more_rows(server: Lab) -> None:
    taller = server.new(made_up("tensors(60)").replace("Workbench(plan)", "Workbench(plan, height=852)"))
    taller.run_all()
    expect(row(taller, "blocks.0.conv.weight")).to_be_visible()
    assert len(seen(taller)) == 20
    assert_level(taller, expected_colours(taller, seen(taller)))


def test_each_row_is_level_with_its_line_whatever_is_done_to_the_list(
    notebook: NotebookPage, colours: dict[str, Any]
) -> None:
    out = notebook.output(0)
    first = assert_level(notebook, colours)
    assert first == notebook.value("names")[: len(first)]
    header(notebook, "SQNR").click()
    lowest = notebook.value("list(plan.table().sort_values('sqnr_db', kind='stable').index)")
    assert assert_level(notebook, colours)[:8] == lowest[:8]
    header(notebook, "SQNR").click()
    assert assert_level(notebook, colours)[0] == lowest[-1]
    out.get_by_label("show", exact=True).select_option("weights")
    assert all(name.endswith((".weight", ".bias")) for name in assert_level(notebook, colours))
    out.get_by_label("show", exact=True).select_option("all")
    out.get_by_label("find").fill("blocks.9")
    assert all(name.startswith("blocks.9") for name in assert_level(notebook, colours))
    expect(out.get_by_text(f"33 of {COUNT} tensors")).to_be_visible()
    out.get_by_label("find").fill("")
    out.get_by_label("rows by").select_option("module")
    assert_level(notebook, colours)
    groups = table(notebook).locator("[role=row][aria-expanded]")
    groups.nth(2).click()
    expect(table(notebook).locator("[role=row][aria-expanded=false]")).to_have_count(1)
    assert_level(notebook, colours)
    for by in (7, 443, 2000, 100_000, -333):
        table(notebook).evaluate("(grid, by) => { grid.scrollTop += by; }", by)
        notebook.page.wait_for_timeout(100)
        assert_level(notebook, colours)


def test_a_name_that_has_no_room_keeps_the_end_that_tells_it_apart(server: Lab) -> None:
    beginning = ".".join(["encoder", "layers", *"0123456789", "attention"] * 2)
    names = [f"{beginning}.{end}" for end in ("query.weight", "query.bias", "(odd) [name]!")]
    notebook = server.new(made_up(f"dict(zip({names!r}, tensors(3).values()))"))
    notebook.run_all()
    for name in names:
        cell = row(notebook, name).get_by_role("rowheader")
        expect(cell).to_have_attribute("title", name)
        places = cell.locator(".qwl-text").evaluate(
            """(text, letters) => {
                const range = document.createRange(), node = text.firstChild;
                const at = place => { range.setStart(node, place); range.setEnd(node, place + 1);
                    return range.getBoundingClientRect(); };
                const box = text.getBoundingClientRect(), last = node.data.length - 2;  // after it there is a mark
                return {first: at(1).left - box.left, end: at(last - letters).left - box.left,
                    last: box.right - at(last).right, said: node.data.slice(1, -1)};
            }""",
            len("query.bias"),
        )
        assert places["said"] == name
        assert places["first"] < 0
        assert places["end"] > 0
        assert places["last"] >= -1


def test_without_a_kernel_the_list_is_as_quick_and_as_level(server: Lab) -> None:
    notebook = server.new(made_up("tensors(90)"), "names = list(plan.names)")
    notebook.run_all()
    expect(row(notebook, "blocks.0.conv.weight")).to_be_visible()
    colours = expected_colours(notebook, notebook.value("names"))
    notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    header(notebook, "SQNR").click()
    assert_level(notebook, colours)
    table(notebook).evaluate("grid => { grid.scrollTop += 777; }")
    notebook.page.wait_for_timeout(100)
    assert_level(notebook, colours)
    table(notebook).press("End")
    expect(table(notebook).locator("[aria-selected=true]")).to_have_attribute("data-tensor", seen(notebook)[-1])


def test_shown_twice_it_is_arranged_and_scrolled_in_one_way_as_its_heat_map_is(server: Lab) -> None:
    notebook = server.new(made_up("tensors(90)"), "workbench")
    notebook.run_all()
    expect(row(notebook, "blocks.0.conv.weight", 1)).to_be_visible()
    colours = expected_colours(notebook, notebook.value("list(plan.names)"))
    header(notebook, "SQNR").click()
    lowest = notebook.value("list(plan.table().sort_values('sqnr_db', kind='stable').index)")
    table(notebook, 1).evaluate("grid => { grid.scrollTop = 22 * 30; }")
    for cell in (0, 1):
        until(lambda cell=cell: seen(notebook, cell) == lowest[30:40])  # type: ignore[misc]
    assert_level(notebook, colours)


def test_keys_alone_sort(notebook: NotebookPage) -> None:
    lowest = notebook.value("list(plan.table().sort_values('sqnr_db', kind='stable').index)")
    header(notebook, "SQNR").focus()
    for key, first in (("Enter", lowest[0]), ("Space", lowest[-1]), ("Enter", notebook.value("names")[0])):
        notebook.page.keyboard.press(key)
        until(lambda first=first: seen(notebook)[0] == first)  # type: ignore[misc]


def test_keys_alone_select(notebook: NotebookPage) -> None:
    names = notebook.value("names")
    grid = table(notebook)
    grid.focus()
    for key, selected in [
        ("ArrowDown", [names[1]]),
        ("Shift+ArrowDown", names[1:3]),
        ("Shift+ArrowDown", names[1:4]),
        ("End", [names[-1]]),
        ("Home", [names[0]]),
        ("PageDown", [names[9]]),
        ("PageUp", [names[0]]),
        ("Control+ArrowDown", [names[0]]),
        ("Space", [names[0], names[1]]),
        ("Control+a", names),
    ]:
        notebook.page.keyboard.press(key)
        notebook.wait_for_value("workbench.selection", selected)
    notebook.page.keyboard.type("blocks.42.conv.b")
    notebook.wait_for_value("workbench.selection", ["blocks.42.conv.bias"])
    expect(row(notebook, "blocks.42.conv.bias")).to_be_in_viewport()
    expect(editor(notebook).get_by_text("blocks.42.conv.bias", exact=True)).to_be_visible()
    spoken = notebook.value("plan.table(['blocks.42.conv.bias']).sqnr_db.iloc[0]")
    expect(notebook.output(0).get_by_role("status").filter(has_text="blocks.42.conv.bias, ")).to_contain_text(
        f"SQNR {spoken:.1f} dB"
    )


def test_clicks_select_one_a_range_and_one_more(notebook: NotebookPage) -> None:
    names = notebook.value("names")
    row(notebook, names[2]).click()
    notebook.wait_for_value("workbench.selection", [names[2]])
    row(notebook, names[5]).click(modifiers=["Shift"])
    notebook.wait_for_value("workbench.selection", names[2:6])
    row(notebook, names[0]).click(modifiers=["Control"])
    notebook.wait_for_value("workbench.selection", [*names[2:6], names[0]])
    row(notebook, names[3]).click(modifiers=["Control"])
    notebook.wait_for_value("workbench.selection", [names[2], *names[4:6], names[0]])


def test_a_module_that_is_folded_shows_its_worst_tensor(notebook: NotebookPage) -> None:
    notebook.execute("plan['blocks.1.conv.bias'] = '2^-30 … 2^-31'")
    notebook.output(0).get_by_label("rows by").select_option("module")
    group = table(notebook).locator("[role=row][aria-expanded]").filter(has_text="1 (3)").first
    group.click()
    expect(group).to_have_attribute("aria-expanded", "false")
    expect(group).to_contain_text("draft")
    expect(group.get_by_role("rowheader")).to_have_attribute(
        "title", "blocks.1: 3 tensors, the worst is blocks.1.conv.bias"
    )
    notebook.execute("plan['blocks.1.conv.bias'] = '2^-30 … 2^-33'")
    expect(group).to_contain_text("2⁻³⁰ … 2⁻³³")
    table(notebook).press("ArrowRight")
    expect(group).to_have_attribute("aria-expanded", "true")
    notebook.execute("plan.revert()")


def test_columns_that_are_chosen_are_remembered(server: Lab) -> None:
    notebook = server.new(made_up("tensors(6)"), "Workbench(plan)")
    notebook.run_all()
    expect(table(notebook, 1).get_by_role("columnheader", name="bits")).to_have_count(0)
    notebook.output(0).get_by_text("columns", exact=True).click()
    notebook.output(0).get_by_role("checkbox", name="bits", exact=True).check()
    notebook.output(0).get_by_role("checkbox", name="kind", exact=True).uncheck()
    expect(table(notebook).get_by_role("columnheader", name="bits")).to_be_visible()
    expect(row(notebook, "blocks.0.conv")).to_contain_text("8")
    expect(table(notebook).get_by_role("columnheader", name="kind")).to_have_count(0)
    notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    for cell in (0, 1):
        expect(table(notebook, cell).get_by_role("columnheader", name="bits")).to_be_visible()
        expect(table(notebook, cell).get_by_role("columnheader", name="kind")).to_have_count(0)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_no_tab_has_anything_that_axe_objects_to(notebook: NotebookPage, theme: str) -> None:
    notebook.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    notebook.page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light", arg=str("Light" in theme).lower()
    )
    for title in ("Window", "Propose", "Result", "Steps", "Export", "History", "Log"):
        open_tab(notebook, title)
        found = Axe().run(notebook.page, context=".qw-workbench")
        assert found.violations_count == 0, f"{title}: {found.generate_report()}"
    open_tab(notebook, "Window")
