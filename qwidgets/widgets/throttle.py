"""Paces for drawing: however often it is asked, a function runs seldom, and always once more after the last request.

It works on a timer thread, because widget callbacks may come on the main thread, on a kernel's subshell thread or from
a plain Python script without any event loop. It knows nothing of widgets.
"""

import threading
import time
from collections.abc import Callable


class Throttle:
    """Call a function without arguments at most once in ``seconds``; the last request is always followed by a call.

    The first request after a pause is served at once, in the thread that asks. Those that follow too closely are served
    together by a timer. The function reads whatever is newest when it runs, so nothing outdated is ever drawn later
    than something new.

    Examples
    --------
    >>> drawn = []
    >>> draw = Throttle(lambda: drawn.append(position), seconds=60)
    >>> for position in range(100):
    ...     draw()
    >>> drawn
    [0]
    >>> draw.flush()
    >>> drawn
    [0, 99]
    """

    def __init__(self, function: Callable[[], None], seconds: float = 0.05) -> None:
        self._function = function
        self._seconds = seconds
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._next = 0.0

    def __call__(self) -> None:
        """Ask for a call."""
        with self._lock:
            if self._timer is not None:
                return
            wait = self._next - time.monotonic()
            self._next = max(self._next, time.monotonic()) + self._seconds
            if wait > 0:
                self._start_timer(wait)
                return
        self._run()

    def flush(self) -> None:
        """Serve a request that waits for its time now."""
        with self._lock:
            waiting = self._timer
            self._timer = None
        if waiting is not None:
            waiting.cancel()
            self._run()

    def _start_timer(self, wait: float) -> None:
        self._timer = threading.Timer(wait, self.flush)
        self._timer.daemon = True
        self._timer.start()

    def _run(self) -> None:
        try:
            self._function()
        finally:
            # However slow the function is, others get their turn before it is called again.
            with self._lock:
                self._next = time.monotonic() + self._seconds


class Debounce:
    """Call a function without arguments when requests pause for ``seconds``, or after ``at_most`` if they do not pause.

    It is for what takes long enough to be in the way while something is in motion. The function runs on a timer thread.
    Where it took long the last time, as on a busy machine, the pause has to be three times as long as that: requests
    come slower there too, and a call between two of them would keep the next from being served.

    Examples
    --------
    >>> drawn = []
    >>> draw = Debounce(lambda: drawn.append(position), seconds=60, at_most=60)
    >>> for position in range(100):
    ...     draw()
    >>> drawn
    []
    >>> draw.flush()
    >>> drawn
    [99]
    """

    def __init__(self, function: Callable[[], None], seconds: float, at_most: float) -> None:
        self._function = function
        self._seconds, self._at_most = seconds, at_most
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._latest = 0.0
        self._took = 0.0

    def __call__(self) -> None:
        """Ask for a call."""
        now = time.monotonic()
        with self._lock:
            if self._timer is None:
                self._latest = now + self._at_most
            else:
                self._timer.cancel()
            pause = max(self._seconds, 3 * self._took)
            self._timer = threading.Timer(min(pause, max(self._latest - now, 0.0)), self.flush)
            self._timer.daemon = True
            self._timer.start()

    def flush(self) -> None:
        """Serve a request that waits for its time now."""
        with self._lock:
            waiting, self._timer = self._timer, None
        if waiting is not None:
            waiting.cancel()
            began = time.monotonic()
            self._function()
            self._took = time.monotonic() - began
