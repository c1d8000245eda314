"""The workbench as a person has it: real JupyterLab, real kernel, a trained network, mouse and keys."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab, NotebookPage
from tests.browser.row_list_page import colours_beside
from tests.browser.workbench_page import (
    DIGITS,
    editor,
    figure,
    middle,
    middle_x,
    open_tab,
    row,
    select,
    table,
    wait_for_row,
)

ACCENT = [42, 120, 214]
WAIT = """
plan = workbench.wait()
values = capture(example.model, (torch.zeros(2, 1, 8, 8),)).parameters
def brute_force(name):
    x = values[name].double()
    quantized = plan[name].quantize(x)
    return int(((quantized == 0) & (x != 0)).sum())
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
    opened.execute("vars(plan).pop('undo', None); plan.open('proposal.json'); workbench.selection = ('input',)")
    expect(opened.output(0).get_by_text("no drafts")).to_be_visible()
    return opened


def test_every_tensor_has_a_row_in_the_table(digits: NotebookPage) -> None:
    assert digits.value("list(workbench.plan.names)")[:4] == ["input", "stem.0.weight", "stem.0.bias", "stem.0"]
    expect(digits.output(0).get_by_text("21 tensors", exact=True)).to_be_visible()
    for name in ("input", "stem.0"):
        expect(row(digits, name)).to_be_visible()


def test_a_row_clicked_in_the_table_is_marked_in_the_heat_map_and_fills_the_editor(digits: NotebookPage) -> None:
    row(digits, "stem.0").click()
    digits.wait_for_value("workbench.selection", ["stem.0"])
    expect(editor(digits).get_by_text("stem.0", exact=True)).to_be_visible()
    frame, other = (colours_beside(digits, name)[0] for name in ("stem.0", "stem.0.bias"))
    assert frame == ACCENT != other


def test_a_bit_of_the_heat_map_is_read_out_where_the_mouse_is_and_a_click_selects_its_tensor(
    digits: NotebookPage,
) -> None:
    heat = digits.output(0).locator(".qw-aligned")
    count = digits.value("int(plan.calibration['stem.0.weight'].msb_counts()[-4])")
    digits.page.mouse.move(middle_x(heat.get_by_text("2⁻⁴", exact=True)), middle(row(digits, "stem.0.weight")))
    expect(heat.get_by_text(f"· 2⁻⁴ · {count:,} values")).to_be_visible()
    assert digits.value("workbench.selection") == ["input"]
    digits.page.mouse.down()
    digits.page.mouse.up()
    digits.wait_for_value("workbench.selection", ["stem.0.weight"])
    expect(heat.get_by_text(f"· 2⁻⁴ · {count:,} values")).to_be_visible()
    digits.page.mouse.move(0, 0)
    expect(heat.get_by_text("Point at a bit")).to_be_visible()


def test_the_bits_of_a_row_are_read_out_by_keys(digits: NotebookPage) -> None:
    select(digits, "stem.0.weight")
    table(digits).focus()
    top = digits.value("workbench.heat_map._lines.bits.top")
    for _ in range(top + 5):
        digits.page.keyboard.press("ArrowRight")
    count = digits.value("int(plan.calibration['stem.0.weight'].msb_counts()[-4])")
    heat, spoken = digits.output(0).locator(".qw-aligned"), digits.output(0).locator(".qwl-spoken")
    expect(heat.get_by_text(f"· 2⁻⁴ · {count:,} values")).to_be_visible()
    expect(spoken).to_have_text(f"two to the -4: {count} values")
    digits.page.keyboard.press("ArrowDown")
    count = digits.value("int(plan.calibration['stem.0.bias'].msb_counts().get(-4, 0))")
    expect(heat.get_by_text("stem.0.bias")).to_be_visible()
    expect(heat.get_by_text(f"· 2⁻⁴ · {count:,} values")).to_be_visible()
    digits.page.keyboard.press("Escape")
    expect(heat.get_by_text("Point at a bit")).to_be_visible()


def test_the_slider_moved_by_keys_changes_the_counts_to_those_of_brute_force(digits: NotebookPage) -> None:
    select(digits, "blocks.2.conv1.weight")
    before = digits.value("plan['blocks.2.conv1.weight'].msb")
    handle = editor(digits).get_by_role("slider").first
    for _ in range(3):
        handle.press("ArrowLeft")
    digits.wait_for_value("plan['blocks.2.conv1.weight'].msb", before + 3)
    expected = digits.value("brute_force('blocks.2.conv1.weight')")
    expect(figure(digits, "underflow")).to_contain_text(f"{expected:,} (")
    assert expected > 100
    digits.page.keyboard.press("ArrowRight")
    digits.wait_for_value("plan['blocks.2.conv1.weight'].msb", before + 2)
    expected = digits.value("brute_force('blocks.2.conv1.weight')")
    expect(figure(digits, "underflow")).to_contain_text(f"{expected:,} (")


def test_the_brush_dragged_with_the_mouse_moves_the_window(digits: NotebookPage) -> None:
    select(digits, "blocks.2.conv1.weight")
    before = digits.value("plan['blocks.2.conv1.weight'].msb")
    brush = editor(digits).locator(".bqplot rect.selection").bounding_box()
    assert brush is not None
    bits = digits.value("plan['blocks.2.conv1.weight'].msb - plan['blocks.2.conv1.weight'].lsb + 1")
    x, y, bit = brush["x"] + brush["width"] / 2, brush["y"] + 20, brush["width"] / bits
    digits.page.mouse.move(x, y)
    digits.page.mouse.down()
    digits.page.mouse.move(x + bit, y, steps=4)
    digits.page.mouse.move(x + 2 * bit, y, steps=4)
    digits.page.mouse.up()
    digits.wait_for_value("plan['blocks.2.conv1.weight'].msb", before - 2)
    assert digits.value("plan['blocks.2.conv1.weight'].word_length") == 8


def test_commit_changes_the_table_and_undo_brings_the_draft_back(digits: NotebookPage) -> None:
    out = digits.output(0)
    expect(out.get_by_role("button", name="Commit")).to_be_disabled()
    select(digits, "stem.0")
    editor(digits).get_by_label("notation").fill("Q5.2")
    digits.page.keyboard.press("Enter")
    expect(out.get_by_text("1 draft")).to_be_visible()
    wait_for_row(digits, "stem.0", "draft", "2⁴ … 2⁻²")
    out.get_by_label("note").fill("room for outliers")
    out.get_by_role("button", name="Commit").click()
    expect(out.get_by_text("committed 1 tensor", exact=True)).to_be_visible()
    assert digits.value("str(plan.committed['stem.0'])") == "2^4 … 2^-2"
    wait_for_row(digits, "stem.0", "2⁴ … 2⁻²", without="draft")
    out.get_by_role("button", name="Undo").click()
    expect(out.get_by_text("1 draft")).to_be_visible()
    wait_for_row(digits, "stem.0", "draft", "2⁴ … 2⁻²")


def test_what_python_does_shows_at_once(digits: NotebookPage) -> None:
    select(digits, "stem.0")
    digits.execute("plan['stem.0'] = '2^9 … 2^3 unsigned'")
    expect(figure(digits, "underflow")).to_contain_text("+")
    expect(editor(digits).get_by_label("notation")).to_have_value("numerictype(0,7,-3)")
    expect(digits.output(0).get_by_text("1 draft")).to_be_visible()


def test_what_is_said_of_a_bias_leaves_room_for_its_controls(digits: NotebookPage) -> None:
    select(digits, "stem.0.bias")
    expect(editor(digits).get_by_text("A bias with a window of its own")).to_be_visible()
    panel, notation, bars = (
        part.bounding_box()
        for part in (editor(digits), editor(digits).get_by_label("notation"), editor(digits).locator(".qw-bars"))
    )
    assert panel is not None
    assert notation is not None
    assert bars is not None
    assert notation["x"] + notation["width"] <= panel["x"] + panel["width"]
    assert bars["width"] >= 266


def test_a_notation_that_makes_no_sense_is_answered_in_place(digits: NotebookPage) -> None:
    select(digits, "stem.0")
    editor(digits).get_by_label("notation").fill("eight bits please")
    digits.page.keyboard.press("Enter")
    expect(editor(digits).get_by_text("cannot read the format 'eight bits please'")).to_be_visible()
    editor(digits).get_by_label("notation").fill("Q4.3")
    digits.page.keyboard.press("Enter")
    expect(editor(digits).get_by_text("cannot read the format")).not_to_be_visible()
    digits.wait_for_value("str(plan['stem.0'])", "2^3 … 2^-3")


def test_an_error_in_a_callback_is_seen(digits: NotebookPage) -> None:
    digits.execute("def broken(*_, **__): raise ZeroDivisionError('division by the widget')\nplan.undo = broken")
    digits.output(0).get_by_role("button", name="Undo").click()
    foot = digits.output(0).locator(".qw-foot")
    expect(foot.get_by_text("ZeroDivisionError: division by the widget")).to_be_visible()
    digits.output(0).get_by_role("tab", name=re.compile(r"Log · \d+ error")).click()
    expect(digits.output(0).get_by_text("in broken")).to_be_visible()
    open_tab(digits, "Window")


def test_without_a_kernel_a_table_and_a_picture_are_left(digits: NotebookPage) -> None:
    outputs = digits.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.toJSON()"
    )
    # What a library of torch says on stderr while the network runs (of the processor, say) is an output, too.
    (page,) = [output["data"]["text/html"] for output in outputs if output["output_type"] != "stream"]
    page = page if isinstance(page, str) else "".join(page)
    assert "data:image/png;base64," in page
    assert "<td>2¹ … 2⁻⁶</td>" in page
    assert "Look first at" in page
