"""Plans over tensors that were never in a network: any names, any values, any number of them."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qwidgets.calibration import Calibration
from qwidgets.histograms import BitHistogram
from qwidgets.network import Row, digest_of
from qwidgets.plan import Plan

Values = npt.NDArray[np.float32]


def plan_of(tensors: Mapping[str, Values], *, scheme: str = "minmax", word_length: int = 8) -> Plan:
    """A plan whose formats a scheme proposed and which were committed."""
    calibration = calibration_of(tensors)
    return calibration.propose(word_length, scheme) if tensors else Plan(calibration)


def calibration_of(tensors: Mapping[str, Values]) -> Calibration:
    """What calibrating would have remembered of these tensors."""
    rows = tuple(_row(name) for name in tensors)
    histograms = {name: BitHistogram().update(values) for name, values in tensors.items()}
    return Calibration(
        "MadeUpNet", digest_of(rows), rows, None, histograms, device="cpu", batches=1, total_batches=1, complete=True
    )


def tensors(count: int, values: int = 1000, seed: int = 0) -> dict[str, Values]:
    """Weights, biases and activations of layers with different scales, three to a layer."""
    random = np.random.default_rng(seed)
    kinds = (".weight", ".bias", "")
    return {
        f"blocks.{index // 3}.conv{kinds[index % 3]}": (
            random.laplace(size=values) * 2.0 ** random.integers(-6, 3)
        ).astype(np.float32)
        for index in range(count)
    }


def _row(name: str) -> Row:
    layer = name.removesuffix(".weight").removesuffix(".bias")
    kind = name.removeprefix(layer).removeprefix(".") or "activation"
    return Row(name, layer, (layer,), cast(Any, kind), "conv2d", (8,))
