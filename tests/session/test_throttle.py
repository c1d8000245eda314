import gc
import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from qwidgets.session import Debounce, Throttle
from tests.waiting import LONG, until


def test_the_first_request_is_served_at_once_in_the_thread_that_asks() -> None:
    threads: list[threading.Thread] = []
    Throttle(lambda: threads.append(threading.current_thread()))()
    assert threads == [threading.current_thread()]


def test_requests_without_pause_are_served_seldom_and_the_newest_value_last() -> None:
    position = 0
    drawn: list[int] = []
    draw = Throttle(lambda: drawn.append(position), seconds=0.05)
    began = time.monotonic()
    while len(drawn) < 4:
        position += 1
        draw()
    most = (time.monotonic() - began) / 0.05 + 2
    assert len(drawn) <= most
    until(lambda: drawn[-1] == position)


def test_requests_from_many_threads_end_with_the_newest_value() -> None:
    values: list[int] = []
    drawn: list[int] = []
    draw = Throttle(lambda: drawn.append(len(values)), seconds=0.01)

    def ask() -> None:
        for _ in range(200):
            values.append(1)
            draw()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    draw.flush()
    assert max(drawn) == 800


@pytest.mark.parametrize("make", [lambda function: Throttle(function), lambda function: Debounce(function, 0.0, 0.0)])
def test_after_a_flush_the_newest_is_drawn_though_another_thread_is_just_drawing(
    make: Callable[[Callable[[], None]], Throttle | Debounce],
) -> None:
    position, drawn = 0, list[int]()
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        seen = position
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            go.wait()
        drawn.append(seen)

    draw = make(slow)
    other = threading.Thread(target=lambda: draw())
    other.start()
    begun.wait()
    position = 1
    draw.flush()
    assert drawn == [1]
    go.set()
    other.join()
    until(lambda: drawn == [1, 0])


@pytest.mark.parametrize("paced", [Throttle, lambda function, seconds: Debounce(function, seconds, 60)])
def test_a_request_that_is_cancelled_is_not_served_and_lets_go_of_the_function(
    paced: Callable[[Callable[[], None], float], Any],
) -> None:
    class Drawn:
        times = 0

        def draw(self) -> None:
            self.times += 1

    drawn = Drawn()
    draw = paced(drawn.draw, 60)
    draw()
    draw()
    before = drawn.times
    draw.cancel()
    draw.flush()
    assert drawn.times == before
    gone = weakref.ref(drawn)
    del drawn, draw
    gc.collect()
    assert gone() is None


def test_a_function_that_fails_is_called_again_at_the_next_request() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ValueError

    draw = Throttle(fail, seconds=0.0)
    for _ in range(2):
        try:
            draw()
        except ValueError:
            continue
    assert len(calls) == 2


def test_a_debounced_function_waits_for_a_pause() -> None:
    position = 0
    drawn: list[int] = []
    draw = Debounce(lambda: drawn.append(position), seconds=0.05, at_most=math.inf)
    draw._took = 100  # as on a machine so busy that a pause has to be long
    for _ in range(20):
        position += 1
        draw()
    assert not drawn
    draw._took = 0
    draw()
    until(lambda: drawn == [20])


def test_a_debounced_function_does_not_wait_for_ever() -> None:
    drawn: list[int] = []
    draw = Debounce(lambda: drawn.append(1), seconds=1000, at_most=0.2)
    deadline = time.monotonic() + LONG
    while not drawn and time.monotonic() < deadline:
        draw()
        time.sleep(0.005)
    assert drawn
    draw.cancel()
