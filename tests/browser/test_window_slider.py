"""The slider under the bars: by keys and by the mouse, whole and by its edges, without losing what a hand does."""

import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, NotebookPage
from tests.browser.workbench_page import editor, made_up, select
from tests.waiting import until

NAME = "blocks.0.conv.weight"
BITS = f"[plan[{NAME!r}].msb, plan[{NAME!r}].lsb]"


@pytest.fixture(scope="module")
def opened(server: Lab) -> Iterator[NotebookPage]:
    notebook = server.new(made_up("tensors(300)"))
    notebook.run_all()
    expect(notebook.output(0).get_by_text("300 tensors", exact=True)).to_be_visible()
    yield notebook
    server.close_notebooks()


@pytest.fixture
def notebook(opened: NotebookPage) -> NotebookPage:
    opened.execute(f"plan.unlock({NAME!r}); plan[{NAME!r}] = '2^0..2^-6'")
    select(opened, NAME)
    expect(slider(opened, "window")).to_have_attribute("aria-valuetext", "2^0 … 2^-6")
    return opened


def slider(notebook: NotebookPage, name: str) -> Locator:
    return editor(notebook).get_by_role("slider", name=name, exact=True)


def drag(notebook: NotebookPage, of: Locator, bits: int) -> None:
    """Drag something so many bits to the right."""
    window, box = slider(notebook, "window").bounding_box(), of.bounding_box()
    assert window is not None
    assert box is not None
    high, low = notebook.value(BITS)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = notebook.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + bits * window["width"] / (high - low + 1), y, steps=6)
    mouse.up()


def test_no_key_is_lost_however_fast_they_come(notebook: NotebookPage) -> None:
    keys = random.Random(1)
    handle = slider(notebook, "window")
    handle.focus()
    for _ in range(6):
        moved = 0
        for turn in range(20):
            key = "ArrowRight" if moved >= 3 or (moved > -3 and keys.random() < 0.5) else "ArrowLeft"
            moved += 1 if key == "ArrowLeft" else -1
            notebook.page.keyboard.press(key)
            notebook.page.wait_for_timeout(keys.choice([0, 20, 50]) if turn % 2 else 0)
        notebook.wait_for_value(BITS, [moved, moved - 6])
        expect(handle).to_have_attribute("aria-valuenow", str(moved))
        # Nothing comes late and takes it back.
        notebook.page.wait_for_timeout(300)
        assert notebook.value(BITS) == [moved, moved - 6]
        for _ in range(abs(moved)):
            notebook.page.keyboard.press("ArrowRight" if moved > 0 else "ArrowLeft")
        notebook.wait_for_value(BITS, [0, -6])


def test_each_edge_is_moved_by_keys(notebook: NotebookPage) -> None:
    slider(notebook, "highest bit").press("ArrowUp")
    notebook.wait_for_value(BITS, [1, -6])
    slider(notebook, "lowest bit").press("PageUp")
    notebook.wait_for_value(BITS, [1, -2])
    slider(notebook, "lowest bit").press("Home")
    notebook.wait_for_value(BITS, [1, 1])
    expect(slider(notebook, "highest bit")).to_have_attribute("aria-valuemin", "1")
    notebook.page.keyboard.press("ArrowRight")
    notebook.wait_for_value(BITS, [1, 0])


def test_the_window_and_its_edges_are_dragged(notebook: NotebookPage) -> None:
    drag(notebook, slider(notebook, "window"), 2)
    notebook.wait_for_value(BITS, [-2, -8])
    drag(notebook, slider(notebook, "highest bit"), -3)
    notebook.wait_for_value(BITS, [1, -8])
    drag(notebook, slider(notebook, "lowest bit"), -4)
    notebook.wait_for_value(BITS, [1, -4])
    assert notebook.value("len(plan.drafts)") == 1
    rail = editor(notebook).locator(".qws-rail").bounding_box()
    assert rail is not None
    notebook.page.mouse.click(rail["x"] + 1, rail["y"] + 14)
    notebook.wait_for_value(f"plan[{NAME!r}].word_length", 7)
    assert notebook.value(BITS)[0] > 1


def test_it_lies_under_the_brush(notebook: NotebookPage) -> None:
    def level() -> bool:  # bqplot draws its figures anew some time after what is in them has changed
        brush = editor(notebook).locator(".bqplot rect.selection").bounding_box()
        window = slider(notebook, "window").bounding_box()
        # How much room bqplot keeps at the ends of bars depends on how many there were when it last made room.
        return bool(brush and window and all(abs(brush[side] - window[side]) <= 8 for side in ("x", "width")))

    until(level)


def test_what_cannot_be_moved_is_not(notebook: NotebookPage) -> None:
    notebook.execute(f"plan.lock({NAME!r})")
    expect(slider(notebook, "window")).to_have_attribute("aria-disabled", "true")
    drag(notebook, slider(notebook, "window"), 2)
    assert notebook.value(BITS) == [0, -6]
    notebook.execute(f"plan.unlock({NAME!r}); plan[{NAME!r}] = None")
    expect(slider(notebook, "window")).to_be_hidden()
    notebook.execute(f"plan[{NAME!r}] = '2^0..2^-6'")
    expect(slider(notebook, "window")).to_be_visible()
    slider(notebook, "window").press("ArrowLeft")
    notebook.wait_for_value(BITS, [1, -5])
