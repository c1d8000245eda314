"""How far several jobs are, as one: of the last that moved, and of none only when none is left."""

from collections.abc import Callable

from qwidgets.session.job_queue import Pace


class Paces:
    """Joins what several queues say of their jobs.

    Parameters
    ----------
    on_pace
        Called with how far the job is that moved last; None when nothing is at work.

    Examples
    --------
    >>> paces = Paces(lambda pace: print(pace))
    >>> step, look = paces.of("step"), paces.of("look")
    >>> step(Pace("equalize", 0, None, "", 0.0))
    equalize …
    >>> look(Pace("measuring", 0, None, "", 0.0))
    measuring …
    >>> look(None)
    equalize …
    >>> step(None)
    None
    """

    def __init__(self, on_pace: Callable[[Pace | None], None]) -> None:
        self._on_pace = on_pace
        self._paces: dict[str, Pace | None] = {}

    def of(self, queue: str) -> Callable[[Pace | None], None]:
        """Give what a queue calls."""

        def on_pace(pace: Pace | None) -> None:
            self._paces[queue] = pace
            others = (other for other in self._paces.values() if other is not None)
            self._on_pace(pace if pace is not None else next(others, None))

        return on_pace
