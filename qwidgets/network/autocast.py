"""Which float type operations choose by themselves, and how two computations keep theirs apart on one thread."""

import torch

AutocastState = tuple[tuple[str, bool, torch.dtype], ...]
DEVICES = ("cpu", "cuda")


def autocast_state() -> AutocastState:
    """Give what :class:`torch.autocast` has set on this thread, for each kind of device."""
    return tuple((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in DEVICES)


def set_autocast(state: AutocastState) -> None:
    """Set what :func:`autocast_state` gave."""
    for kind, enabled, dtype in state:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
