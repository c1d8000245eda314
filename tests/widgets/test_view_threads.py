"""Views on several threads: a cell, a click on a subshell of the kernel and what is measured may all come at once."""

import threading
from collections.abc import Callable

import bqplot
import ipywidgets
import numpy as np
import pytest

from qwidgets import FixedPoint
from qwidgets.widgets import BitExplorer, WindowEditor, Workbench
from qwidgets.widgets.controls import DRAWING
from qwidgets.widgets.controls.lifetime import tree
from tests.widgets.test_closing import MAKERS, WEIGHT, plan

# What shows something and takes nothing from a person, or a click only.
PASSIVE = (
    *(ipywidgets.Box, ipywidgets.Button, ipywidgets.HTML, ipywidgets.Image, ipywidgets.IntProgress),
    *(ipywidgets.Layout, ipywidgets.Style),
    *(bqplot.Figure, bqplot.Mark, bqplot.Scale, bqplot.Axis),
)


def on_threads(work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            work(seed)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_the_selection_can_be_set_on_several_threads() -> None:
    workbench = Workbench(plan())
    names = workbench.plan.names if workbench.plan else ()

    def select(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(20):
            first, second = random.choice(len(names), 2, replace=False)
            workbench.selection = (names[first], names[second])

    on_threads(select)
    views = (workbench.table, workbench.heat_map, workbench.panels["Window"], workbench.panels["Propose"])
    assert {view.selection for view in views} == {workbench.selection}
    assert workbench.problem is None
    workbench.close()


def test_the_numbers_of_an_explorer_can_be_set_on_several_threads() -> None:
    explorer = BitExplorer()

    def change(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(15):
            explorer.values = random.normal(size=random.integers(0, 9))
            explorer.format = FixedPoint(8, int(random.integers(0, 8)))
            explorer.step = int(random.integers(1, 6))

    on_threads(change)
    explorer.draw_now()
    assert explorer.problem is None
    explorer.close()


def test_a_cell_and_a_slider_that_move_the_same_windows_do_not_wait_for_each_other() -> None:
    moved = plan()
    workbench = Workbench(moved)
    workbench.selection = (WEIGHT,)
    slider = workbench.panels["Window"]._controls.slider

    def work(seed: int) -> None:
        for turn in range(25):
            if seed == 0:
                moved.set("*", FixedPoint(8, turn % 9))
            elif seed == 1:
                moved.propose(4 + turn % 5)
            elif seed == 2:
                moved.set_rounding(("half_even", "floor")[turn % 2])
            else:
                slider.set_state({"window": [turn % 9, turn % 9 - 6]})

    on_threads(work)
    assert workbench.problem is None
    workbench.close()


@pytest.mark.parametrize("name", MAKERS)
def test_each_control_of_a_view_is_heard_whole(name: str) -> None:
    view = MAKERS[name]()
    for part in tree(view):
        assert isinstance(part, PASSIVE) or type(part).set_state is not ipywidgets.Widget.set_state, type(part)
    view.close()


def test_a_view_that_is_drawn_does_not_take_back_what_a_person_just_moved() -> None:
    moved = plan()
    editor = WindowEditor(moved, [WEIGHT])
    slider = editor._controls.slider
    high, low = slider.window
    shown: list[object] = []
    slider.observe(lambda event: shown.append(event.new), "window")
    hand = threading.Thread(target=slider.set_state, args=({"window": [high + 1, low + 1]},))
    with DRAWING:  # as the timer's thread does
        hand.start()
        hand.join(0.5)  # the longest that it gets to set half of it
        editor.refresh()
    hand.join()
    editor.draw_now()
    assert shown == [(high + 1, low + 1)]
    assert str(moved[WEIGHT]) == f"2^{high + 1} … 2^{low + 1}"
    editor.close()
