"""Compiling a function with Numba: when it is first called, without the interpreter's lock, and kept on disk."""

from collections.abc import Callable
from typing import TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile ``function`` with Numba at its first call, and keep the machine code where a folder can be written to."""
    try:
        jitted: Function = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # Numba found no folder for its cache: compile in every process instead
        jitted = numba.njit(nogil=True, error_model="numpy")(function)
    return jitted
