"""Channels, steps, targets and exports in the workbench, in a real JupyterLab, by mouse and keys."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, NotebookPage
from tests.browser.workbench_page import editor, figure, middle_x, open_tab, select, wait_for_row

DIGITS = """
import torch
from qwidgets import Workbench
from qwidgets.examples import digits

example = digits()
workbench = Workbench(example.model, example.calibration)
workbench
"""
WAIT = """
plan = workbench.wait()
plan.propose(per_channel=True)
plan.commit("per channel")
plan.save("start.json")
values = plan.calibration.values("blocks.2.conv1.weight").double()
def underflow(channel):
    x, fmt = values[channel], plan["blocks.2.conv1.weight"][channel]
    return int(((fmt.quantize(x) == 0) & (x != 0)).sum())
"""
WEIGHT = "blocks.2.conv1.weight"


# Opening it takes longer than all that is done with it, so the tests share one notebook.
@pytest.fixture(scope="module")
def opened(server: Lab) -> Iterator[NotebookPage]:
    notebook = server.new(DIGITS, WAIT)
    notebook.run_all()
    yield notebook
    server.close_notebooks()


@pytest.fixture
def digits(opened: NotebookPage) -> NotebookPage:
    opened.execute("plan.open('start.json'); workbench.wait(); workbench.selection = ('input',)")
    expect(opened.output(0).get_by_text("no drafts")).to_be_visible()
    open_tab(opened, "Window")
    return opened


def part(notebook: NotebookPage, name: str) -> Locator:
    return notebook.output(0).locator(f".qw-{name}").last


def test_a_channel_that_is_clicked_is_moved_by_keys_with_the_exact_count(digits: NotebookPage) -> None:
    select(digits, WEIGHT)
    heat = editor(digits).locator(".qw-heat")
    heat.scroll_into_view_if_needed()
    image = heat.locator("image").bounding_box()
    assert image is not None
    digits.page.mouse.click(middle_x(heat.get_by_text("2⁻⁶", exact=True)), image["y"] + image["height"] * 6.5 / 32)
    expect(editor(digits).get_by_text("Channel 6: window")).to_be_visible()
    expect(editor(digits).get_by_text("nonzero values")).to_be_visible()
    before = digits.value(f"plan[{WEIGHT!r}].fraction_lengths")
    handle = editor(digits).get_by_role("slider").first
    for _ in range(3):
        handle.press("ArrowLeft")
    digits.wait_for_value(f"plan[{WEIGHT!r}].fraction_lengths[6]", before[6] - 3)
    after = digits.value(f"plan[{WEIGHT!r}].fraction_lengths")
    assert [length for channel, length in enumerate(after) if channel != 6] == [*before[:6], *before[7:]]
    expected = digits.value("underflow(6)")
    assert expected > 5
    expect(figure(digits, "underflow")).to_contain_text(f"{expected} (")


def test_keys_alone_choose_a_channel_and_several(digits: NotebookPage) -> None:
    select(digits, WEIGHT)
    editor(digits).get_by_label("channel", exact=True).fill("4")
    digits.page.keyboard.press("ArrowUp")
    digits.wait_for_value("workbench.panels['Window']._channels.channels", [5])
    editor(digits).get_by_label("channels", exact=True).fill("0-3, 8")
    digits.page.keyboard.press("Enter")
    digits.wait_for_value("workbench.panels['Window']._channels.channels", [0, 1, 2, 3, 8])
    expect(editor(digits).get_by_text("channels 0-3, 8", exact=True)).to_be_visible()
    editor(digits).get_by_role("button", name="All", exact=True).press("Enter")
    digits.wait_for_value("workbench.panels['Window']._channels.channels", [])


def test_one_window_for_all_and_one_a_channel_again(digits: NotebookPage) -> None:
    select(digits, WEIGHT)
    editor(digits).get_by_role("button", name="One window for all").click()
    expect(editor(digits).get_by_text("under one window")).to_be_visible()
    expect(editor(digits).locator(".qw-heat")).to_have_count(0)
    editor(digits).get_by_label("show channels").check()
    expect(editor(digits).locator(".qw-heat image")).to_be_visible()
    wait_for_row(digits, WEIGHT, "draft")
    editor(digits).get_by_role("button", name="One window a channel").click()
    digits.wait_for_value(f"len(getattr(plan[{WEIGHT!r}], 'fraction_lengths', ()))", 32)
    wait_for_row(digits, WEIGHT, "×32", without="draft")  # they are the windows that are committed


def test_a_bias_at_its_accumulator_is_explained_and_can_have_a_window(digits: NotebookPage) -> None:
    select(digits, "stem.0.bias")
    expect(editor(digits).get_by_text("32 bits at the step of the sums")).to_be_visible()
    editor(digits).get_by_label("accumulator", exact=True).uncheck()
    expect(editor(digits).get_by_text("aligned to the sums")).to_be_visible()
    digits.wait_for_value("type(plan['stem.0.bias']).__name__", "FixedPoint")


def test_a_step_is_run_told_and_undone(digits: NotebookPage) -> None:
    open_tab(digits, "Steps")
    steps = part(digits, "steps")
    expect(steps.get_by_role("button", name="Correct bias")).to_be_enabled()
    steps.get_by_role("button", name="Correct bias").click()
    expect(steps.get_by_text(re.compile(r"Correct bias: \d+ biases corrected; output SQNR"))).to_be_visible()
    corrected = digits.value("len(plan.adjustments.shifts)")
    assert digits.value("plan.history[-1].note").startswith("biases corrected: output SQNR")
    digits.output(0).get_by_label("show", exact=True).select_option("adjusted")
    expect(digits.output(0).get_by_text(f"{corrected} of 21 tensors", exact=True)).to_be_visible()
    digits.output(0).get_by_role("button", name="Undo").click()
    expect(digits.output(0).get_by_text("No tensor is adjusted")).to_be_visible()
    expect(steps.get_by_text("biases corrected")).not_to_be_visible()
    assert not digits.value("bool(plan.adjustments)")
    digits.output(0).get_by_label("show", exact=True).select_option("all")


def test_steps_wait_for_drafts_to_be_committed(digits: NotebookPage) -> None:
    open_tab(digits, "Steps")
    steps = part(digits, "steps")
    digits.execute("plan['input'] = 'Q4.3'")
    expect(steps.get_by_text("commit or revert what is drafted first")).to_be_visible()
    expect(steps.get_by_role("button", name="Equalize")).to_be_disabled()


def test_a_target_is_picked_and_kept_to_and_its_export_written(digits: NotebookPage) -> None:
    target, export, out = part(digits, "propose"), part(digits, "export"), digits.output(0)
    open_tab(digits, "Propose")
    target.get_by_label("target").select_option("ONNX Runtime")
    expect(target.get_by_text(re.compile(r"ONNX Runtime: \d+ of 21 tensors do not fit"))).to_be_visible()
    wait_for_row(digits, "input", "no fit")
    open_tab(digits, "Export")
    export.get_by_label("for").select_option("ONNX (QDQ)")
    export.get_by_role("button", name="Export").click()
    expect(export.get_by_text("ONNX rounds ties to even").first).to_be_visible()
    open_tab(digits, "Propose")
    out.get_by_role("button", name="Propose").click()
    expect(target.get_by_text("every tensor fits")).to_be_visible()
    out.get_by_role("button", name="Commit").click()
    open_tab(digits, "Export")
    export.get_by_role("button", name="Export").click()
    expect(export.get_by_text(re.compile(r"wrote DigitsNet\.onnx, \d+ kB"))).to_be_visible()
    expect(export.get_by_text("ONNX rounds ties to even")).not_to_be_visible()
    open_tab(digits, "Propose")
    assert digits.value("__import__('pathlib').Path('DigitsNet.onnx').stat().st_size") > 10_000
    target.get_by_label("target").select_option("any")


@pytest.mark.parametrize("width", [1440, 800])
def test_screenshot_of_channels_and_steps(digits: NotebookPage, width: int) -> None:
    digits.page.set_viewport_size({"width": width, "height": 1000})
    select(digits, WEIGHT)
    digits.execute("workbench.panels['Window']._channels.channels = (6,)")
    expect(editor(digits).get_by_text("Channel 6: window")).to_be_visible()
    for picture in digits.screenshot(f"channels-{width}", of=digits.output(0).locator(".qw-workbench")):
        assert picture.stat().st_size > 50_000
    digits.page.set_viewport_size({"width": 1440, "height": 1000})
