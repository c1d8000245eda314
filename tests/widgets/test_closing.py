"""What is closed is gone, in the kernel and in the browser, and comes back whole when it is shown again."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import pandas as pd
import pytest
from ipywidgets.widgets import widget as registry

from qwidgets import FixedPoint, calibrate
from qwidgets.course import ask
from qwidgets.formats import PerChannel
from qwidgets.plan import Plan
from qwidgets.widgets import (
    BitExplorer,
    BitHeatMap,
    LayerTable,
    NumberLine,
    RoundingTable,
    SensitivityChart,
    SineScope,
    WindowEditor,
    Workbench,
)
from qwidgets.widgets.controls import View, close_tree
from qwidgets.widgets.controls.lifetime import tree
from qwidgets.widgets.workbench.channel_map import ChannelMap
from tests.waiting import LONG, until
from tests.widgets.test_views import text_of
from tests.widgets.test_workbench import Gate, batches, network

WEIGHT = "0.weight"


def plan() -> Plan:
    return calibrate(network(), batches(), device="cpu", progress=False).propose()


def report(of: Plan) -> pd.DataFrame:
    columns = {"format": "float", "alone_sqnr_db": 30.0, "without_sqnr_db": 31.0}
    found = pd.DataFrame(columns, index=list(of.names))
    found.attrs["sqnr_db"] = 30.0
    return found


PLAN_VIEWS = ("LayerTable", "BitHeatMap", "WindowEditor", "ChannelMap", "SensitivityChart", "Workbench")
MAKERS: dict[str, Callable[[], View]] = {
    "LayerTable": lambda: LayerTable(plan(), [WEIGHT]),
    "BitHeatMap": lambda: BitHeatMap(plan(), [WEIGHT]),
    "WindowEditor": lambda: WindowEditor(plan(), [WEIGHT]),
    "WindowEditor of nothing": lambda: WindowEditor(plan()),
    "ChannelMap": lambda: ChannelMap(plan(), [WEIGHT]),
    "SensitivityChart": lambda: SensitivityChart(chart_plan := plan(), report(chart_plan)),
    "Workbench": lambda: Workbench(plan()),
    "Workbench with data": lambda: Workbench(plan(), validation=batches()),
    "BitExplorer": BitExplorer,
    "BitExplorer at its first step": lambda: BitExplorer(step=1),
    "NumberLine": NumberLine,
    "RoundingTable": RoundingTable,
    "SineScope": SineScope,
}
OF_A_PLAN = [name for name in MAKERS if name.split()[0] in PLAN_VIEWS]


def quiet() -> None:
    """Wait for what views of other tests still had to draw or to measure."""
    while busy := [each for each in threading.enumerate() if _is_of_a_view(each)]:
        busy[0].join(LONG)
        assert not busy[0].is_alive()


def _is_of_a_view(thread: threading.Thread) -> bool:
    if thread.name.startswith("qwidgets-count"):  # which wait for more to count as long as the process is there
        return False
    return isinstance(thread, threading.Timer) or thread.name.startswith("qwidgets-")


def opened() -> set[str]:
    """The models of all widgets that are open."""
    return set(registry._instances)


def is_open(view: View) -> bool:
    """Whether a view and all that it is made of is open."""
    return view.is_open and all(part.comm is not None for part in tree(view))


def plan_of_view(view: Any) -> Plan:
    found: Plan = view.plan
    return found


def observers(of: Plan) -> int:
    return sum(len(callbacks) for kinds in of._trait_notifiers.values() for callbacks in kinds.values())


@pytest.fixture(autouse=True)
def before() -> set[str]:
    quiet()
    return opened()


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_of_a_view_that_was_closed_stays_open_or_in_memory(name: str, before: set[str]) -> None:
    view = MAKERS[name]()
    assert opened() > before
    view.close()
    quiet()
    assert opened() == before
    gone = weakref.ref(view)
    del view
    until(lambda: gc.collect() is not None and gone() is None)


@pytest.mark.parametrize("name", OF_A_PLAN)
def test_nobody_follows_a_plan_for_a_view_that_was_closed(name: str, before: set[str]) -> None:
    view: Any = MAKERS[name]()
    assert observers(view.plan) > 0
    view.close()
    quiet()
    assert observers(view.plan) == 0
    view.plan[WEIGHT] = "2^9..2^3"
    view.selection = ("2.weight",)
    view.refresh() if hasattr(view, "refresh") else view.wait(LONG)
    quiet()
    assert opened() == before


@pytest.mark.parametrize("name", MAKERS)
def test_a_view_that_is_shown_again_is_whole(name: str) -> None:
    view = MAKERS[name]()
    quiet()
    first, parts = view._repr_mimebundle_(), len(tree(view))
    view.close()
    quiet()
    again = view._repr_mimebundle_()
    quiet()
    assert again["application/vnd.jupyter.widget-view+json"] == first["application/vnd.jupyter.widget-view+json"]
    assert again["text/html"] == first["text/html"]
    assert len(tree(view)) == parts
    assert is_open(view)
    assert view.problem is None


@pytest.mark.parametrize("name", OF_A_PLAN)
def test_a_view_that_is_shown_again_shows_what_it_missed_and_what_comes(name: str) -> None:
    closed, constant = views = [MAKERS[name](), MAKERS[name]()]
    plans = [plan_of_view(view) for view in views]
    closed.close()
    for each in plans:
        each[WEIGHT] = "2^9..2^3"
    closed._repr_mimebundle_()
    for each in plans:
        each["0.bias"] = "2^9..2^3"
    quiet()
    if not isinstance(closed, Workbench):  # whose figures tell how fast it was
        assert text_of(closed) == text_of(constant)
    assert observers(plans[0]) == observers(plans[1])


def test_a_part_of_a_workbench_is_closed_with_it_and_shown_again_by_itself() -> None:
    workbench = Workbench(plan())
    table = workbench.table
    workbench.close()
    assert not is_open(table)
    table._repr_mimebundle_()
    assert is_open(table)
    assert not is_open(workbench)
    workbench._repr_mimebundle_()
    assert is_open(workbench)


def test_a_widget_that_an_exercise_asks_to_be_set_is_not_closed_with_it(before: set[str]) -> None:
    explorer = BitExplorer()
    alone = opened()
    question = ask("1.1", explorer)
    question.close()
    assert opened() == alone
    explorer.close()
    quiet()
    assert opened() == before


# Moving and drawing


def moves_of_the_heat_map() -> Iterator[Callable[[int], object]]:
    view = BitHeatMap(moved := plan(), [WEIGHT])

    def move(turn: int) -> None:
        moved[WEIGHT] = FixedPoint(8, turn)
        view.draw_now()

    yield move
    view.close()


def moves_of_the_editor() -> Iterator[Callable[[int], object]]:
    """Moves far enough that other bits are drawn."""
    view = WindowEditor(moved := plan(), [WEIGHT])

    def move(turn: int) -> None:
        moved[WEIGHT] = FixedPoint(8, 9 * (turn % 4))
        view.draw_now()

    yield move
    view.close()


def selections_in_the_editor() -> Iterator[Callable[[int], object]]:
    view = WindowEditor(plan(), [WEIGHT])
    several = [(WEIGHT, "2.weight"), (), ("input",), (WEIGHT,)]
    yield lambda turn: setattr(view, "selection", several[turn % 4])
    view.close()


def channels() -> Iterator[Callable[[int], object]]:
    moved = plan()
    moved[WEIGHT] = PerChannel.of([FixedPoint(8, 6)] * 3)
    view = ChannelMap(moved, [WEIGHT])

    def move(turn: int) -> None:
        view.channels = (turn % 3,)
        moved[WEIGHT] = PerChannel.of([FixedPoint(8, turn), *[FixedPoint(8, 6)] * 2])
        view.draw_now()

    yield move
    view.close()


def steps_of_the_explorer() -> Iterator[Callable[[int], object]]:
    view = BitExplorer()

    def move(turn: int) -> None:
        view.step, view.format = 1 + turn % 5, FixedPoint(8, turn)
        view.draw_now()

    yield move
    view.close()


def sounds_of_the_scope() -> Iterator[Callable[[int], object]]:
    view = SineScope()

    def listen(turn: int) -> None:
        view._listen.click()
        view.format = FixedPoint(4, turn % 3)
        view.draw_now()

    yield listen
    view.close()


def reports() -> Iterator[Callable[[int], object]]:
    view = SensitivityChart(measured := plan())
    view.show(report(measured))
    yield lambda _: view.show(report(measured))
    view.close()


def proposals() -> Iterator[Callable[[int], object]]:
    """Each is checked, and the tensors that cost most get buttons."""
    workbench = Workbench(plan(), validation=batches())
    workbench.wait(LONG)

    def propose(turn: int) -> None:
        assert workbench.plan is not None
        workbench.panels["Propose"].word_length.value = 3 + turn % 3
        workbench.panels["Propose"].propose.click()
        workbench.wait(LONG)
        quiet()

    yield propose
    workbench.close()


@pytest.mark.parametrize(
    ("moves", "times"),
    [
        (moves_of_the_heat_map, 12),
        (moves_of_the_editor, 12),
        (selections_in_the_editor, 12),
        (channels, 9),
        (steps_of_the_explorer, 10),
        (sounds_of_the_scope, 6),
        (reports, 5),
        (proposals, 4),
    ],
)
def test_what_is_drawn_anew_leaves_nothing_of_what_it_replaces(
    moves: Callable[[], Iterator[Callable[[int], object]]], times: int, before: set[str]
) -> None:
    made = moves()
    move = next(made)
    counts = []
    for turn in range(times):
        move(turn)
        counts.append(len(opened()))
    half = times // 2
    assert max(counts[half:]) <= max(counts[:half])
    with pytest.raises(StopIteration):
        next(made)
    quiet()
    assert opened() == before


# Closing while something is at work


def test_a_workbench_that_is_closed_before_its_network_is_captured_opens_nothing_later(before: set[str]) -> None:
    data = Gate(batches(6))
    data.open.acquire()
    workbench = Workbench(network(), data)
    workbench.close()
    data.open.release(7)
    found = workbench.wait(LONG)
    quiet()
    assert found is workbench.plan
    assert opened() == before
    workbench._repr_mimebundle_()
    workbench.wait(LONG)
    quiet()
    assert is_open(workbench)
    assert observers(found) > 0
    workbench.close()
    quiet()
    assert opened() == before
    assert observers(found) == 0


def test_closing_between_two_drawings_of_other_threads_leaves_nothing(before: set[str]) -> None:
    moved, over = plan(), threading.Event()

    def move() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            moved.set("*", FixedPoint(8, turn % 12))

    thread = threading.Thread(target=move)
    thread.start()
    try:
        for _ in range(4):
            workbench = Workbench(moved)
            workbench.selection = (WEIGHT,)
            workbench.close()
            assert workbench.problem is None
    finally:
        over.set()
        thread.join()
    quiet()
    assert opened() == before
    assert observers(moved) == 0


def test_closing_a_widget_closes_its_layout_its_style_and_its_children(before: set[str]) -> None:
    inner = ipywidgets.HBox([ipywidgets.Button(), ipywidgets.IntSlider(), ipywidgets.HTML()])
    outer = ipywidgets.Accordion([inner])
    assert len(tree(outer)) == 5 + 5 + 3
    close_tree(outer)
    assert opened() == before
