"""The kernels that a TFLite model runs on, and what is particular to each."""

from dataclasses import dataclass
from typing import Literal

from qwidgets.errors import ExportError

KernelsName = Literal["litert", "micro"]


@dataclass(frozen=True)
class Kernels:
    """One set of kernels.

    Attributes
    ----------
    title
        In sentences.
    target
        The name of its rules among :data:`qwidgets.targets.TARGETS`.
    averages_by_mean
        Whether MEAN rounds an average once, whatever the window of the result. Otherwise an average over a picture is a
        pool, whose result has the window of what it reads.
    sums_in_float
        Whether a sum becomes a float32 before it is rescaled, which holds integers of 24 bits.
    """

    title: str
    target: str
    averages_by_mean: bool
    sums_in_float: bool


KERNELS: dict[str, Kernels] = {
    "litert": Kernels("LiteRT", "tflite", averages_by_mean=True, sums_in_float=True),
    "micro": Kernels("TFLite Micro", "tflite_micro", averages_by_mean=False, sums_in_float=False),
}


def kernels_of(name: str) -> Kernels:
    """Give the kernels of a name.

    Raises
    ------
    ExportError
        There are none.
    """
    if name not in KERNELS:
        raise ExportError(f"TFLite models are written for {' or '.join(map(repr, KERNELS))}, not for {name!r}")
    return KERNELS[name]
