"""How a view sets its own controls without taking that for a person's wish."""

from types import TracebackType


class Silence:
    """Held while a view sets its own controls; true meanwhile, so that what observes them can let it pass.

    Examples
    --------
    >>> silence = Silence()
    >>> with silence:
    ...     bool(silence)
    True
    >>> bool(silence)
    False
    """

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
