"""Paces for drawing: however often it is asked, a function runs seldom, and always once more after the last request.

It works on a timer thread, because widget callbacks may come on the main thread, on a kernel's subshell thread or from
a plain Python script without any event loop. It knows nothing of widgets.
"""

import threading
import time
from collections.abc import Callable


class Alarm:
    """Call a function after so many seconds, on a thread; one that is cancelled lets go of the function at once."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Call it no more."""
        self._function = None
        self._timer.cancel()

    def _ring(self) -> None:
        function = self._function
        if function is not None:
            function()


class Paced:
    """A function that is called later: one request at most waits for its time.

    Parameters
    ----------
    function
        Called without arguments. It reads whatever is newest when it runs.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._alarm: Alarm | None = None
        self._serving: list[int] = []  # by the threads that do

    def flush(self) -> None:
        """Serve a request that waits for its time now.

        One that another thread is just serving is served here once more rather than waited for, since that thread may
        wait for this one. So when this is over, the function was called after the last request.
        """
        me = threading.get_ident()
        with self._lock:
            waiting, self._alarm = self._alarm, None
            if waiting is None and all(thread == me for thread in self._serving):
                return
            self._serving.append(me)
        if waiting is not None:
            waiting.cancel()
        self._serve()

    def cancel(self) -> None:
        """Forget a request that waits for its time."""
        with self._lock:
            waiting, self._alarm = self._alarm, None
        if waiting is not None:
            waiting.cancel()

    def _serve(self) -> None:
        """Call the function; the thread is among those that serve."""
        began = time.monotonic()
        try:
            self._function()
        finally:
            with self._lock:
                self._serving.remove(threading.get_ident())
                self._served(began, time.monotonic())

    def _served(self, began: float, ended: float) -> None:
        """Called with the times of each call, while the lock is held."""
        raise NotImplementedError


class Throttle(Paced):
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
        super().__init__(function)
        self._seconds = seconds
        self._next = 0.0

    def __call__(self) -> None:
        """Ask for a call."""
        with self._lock:
            if self._alarm is not None:
                return
            now = time.monotonic()
            wait = self._next - now
            self._next = max(self._next, now) + self._seconds
            if wait > 0:
                self._alarm = Alarm(wait, self.flush)
                return
            self._serving.append(threading.get_ident())
        self._serve()

    def _served(self, began: float, ended: float) -> None:
        self._next = ended + self._seconds  # however slow the function is, others get their turn before the next call


class Debounce(Paced):
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
        super().__init__(function)
        self._seconds, self._at_most = seconds, at_most
        self._latest = 0.0
        self._took = 0.0

    def __call__(self) -> None:
        """Ask for a call."""
        now = time.monotonic()
        with self._lock:
            if self._alarm is None:
                self._latest = now + self._at_most
            else:
                self._alarm.cancel()
            pause = max(self._seconds, 3 * self._took)
            self._alarm = Alarm(min(pause, max(self._latest - now, 0.0)), self.flush)

    def _served(self, began: float, ended: float) -> None:
        self._took = ended - began
