"""Counting kernels: one function, ``count``, one contract, and an implementation for each kind of device.

``count(x, table)`` adds every value of ``x`` to a ``Table``, on the grid of ``grid.py``. All kernels give the same
table for the same values. The kernel is chosen by the device of ``x``: Numba on the CPU, Triton on CUDA, torch
elsewhere.
"""

import logging
from types import ModuleType

import numpy as np
import numpy.typing as npt
import torch

from qwidgets.histograms.kernels import reference
from qwidgets.histograms.kernels.table import Table

_log = logging.getLogger(__name__)
_told: set[str] = set()


def count(x: torch.Tensor | npt.NDArray[np.generic], table: Table) -> None:
    """Add every value of ``x`` to ``table``.

    Parameters
    ----------
    x
        float16, bfloat16, float32 or float64 values in any shape and memory format: a tensor on any device, or an
        array in the machine's byte order. It is read where it lies and never changed.
    table
        The counters, made by ``Table(x.device)``. On CUDA nothing waits for the device.
    """
    if isinstance(x, np.ndarray):
        _cpu().count(x, table)
        return
    with torch.no_grad():
        x = x.detach().resolve_neg()
        if x.device.type == "cpu":
            _cpu().count(x, table)
        elif x.device.type == "cuda":
            _cuda().count(x, table)
        else:
            _tell(f"no counting kernel of its own for {x.device.type}; the slower torch operations count instead")
            reference.count(x, table)


def _cpu() -> ModuleType:
    """Import the Numba kernel when it is first needed: Numba takes half a second."""
    from qwidgets.histograms.kernels import cpu

    return cpu


def _cuda() -> ModuleType:
    """Import the Triton kernel where it can be had; CUDA builds of torch bring Triton on Linux."""
    try:
        from qwidgets.histograms.kernels import cuda
    except ImportError:
        _tell("Triton is not installed; the slower torch operations count on CUDA instead")
        return reference
    return cuda


def _tell(message: str) -> None:
    if message not in _told:
        _told.add(message)
        _log.warning(message)
