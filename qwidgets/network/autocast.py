"""Which float type operations choose by themselves: each computation has its own, wherever it is stopped."""

from types import TracebackType
from typing import Self

import torch

DEVICES = ("cpu", "cuda")

State = tuple[tuple[str, bool, torch.dtype], ...]


class AutocastScope:
    """What a computation sets of :class:`torch.autocast`: it holds inside, from one entry to the next, and not outside.

    A network sets it in one operation and takes it back in another. Whoever computes operations of two networks in
    turn, or is interrupted between the two, would else have what the one has set.

    Examples
    --------
    >>> scope = AutocastScope()
    >>> with scope:
    ...     torch.set_autocast_enabled("cpu", True)
    >>> outside = torch.is_autocast_enabled("cpu")
    >>> with scope:
    ...     outside, torch.is_autocast_enabled("cpu")
    (False, True)
    """

    def __init__(self) -> None:
        self._inside = self._outside = _state()

    @classmethod
    def switched_off(cls) -> Self:
        """Give one that begins with every operation in the float type that it is given, whatever holds outside.

        Integers are computed in it: a float type that somebody else has chosen would not hold them.
        """
        scope = cls()
        scope._inside = tuple((kind, False, dtype) for kind, _, dtype in scope._inside)
        return scope

    def __enter__(self) -> None:
        self._outside = _state()
        _set(self._inside)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = _state()
        _set(self._outside)


def _state() -> State:
    return tuple((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in DEVICES)


def _set(state: State) -> None:
    for kind, enabled, dtype in state:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
