import threading
import time

from qwidgets.widgets.throttle import Debounce, Throttle


def test_the_first_request_is_served_at_once_in_the_thread_that_asks() -> None:
    threads: list[threading.Thread] = []
    Throttle(lambda: threads.append(threading.current_thread()))()
    assert threads == [threading.current_thread()]


def test_requests_without_pause_are_served_seldom_and_the_newest_value_last() -> None:
    position = 0
    drawn: list[int] = []
    draw = Throttle(lambda: drawn.append(position), seconds=0.05)
    began = time.monotonic()
    while time.monotonic() - began < 0.4:
        position += 1
        draw()
    time.sleep(0.1)
    assert drawn[-1] == position
    assert len(drawn) <= 10


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
    time.sleep(0.05)
    assert drawn[-1] == 800


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
    draw = Debounce(lambda: drawn.append(position), seconds=0.1, at_most=60)
    for _ in range(20):
        position += 1
        draw()
        time.sleep(0.005)
    assert not drawn
    time.sleep(0.3)
    assert drawn == [20]


def test_a_debounced_function_does_not_wait_for_ever() -> None:
    drawn: list[float] = []
    draw = Debounce(lambda: drawn.append(time.monotonic()), seconds=10, at_most=0.2)
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        draw()
        time.sleep(0.005)
    assert drawn
