"""What was counted of the tensors of a network, and the questions that can be asked of it."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd
from torch import Tensor, nn

from qwidgets.errors import CalibrationError
from qwidgets.histograms import BitHistogram
from qwidgets.network import InputSpec, Network, Row, Sum

WHOLE_BATCHES = threading.RLock()
"""Held while a batch is added to a calibration, and by who must not find part of one."""


class Counted:
    """The bit histogram of every tensor of a network, and what is known beside it.

    Attributes
    ----------
    network
        The model's class.
    digest
        A text that two networks share only if their rows agree in names, kinds, operations and shapes.
    rows
        What was counted, in the order of execution.
    inputs
        What the network is fed, so that it can be captured again without data; None if that could not be saved.
    device
        Where it ran.
    batches, total_batches
        How many were counted, and how many there are (None if the data does not say).
    complete
        Whether the data was seen to its end.
    parameters
        The values of each weight and bias row, batch norm folded in; empty if an older version saved it.
    model
        The network itself, as it was given to :func:`qwidgets.calibrate`; None where these statistics came from a file.
    sums
        What each operation sums up, so that formats can leave that room; empty if an older version saved it.
    captured
        The network as it was captured last; None where these statistics came from a file and nothing has run since.
    """

    def __init__(
        self,
        network: str,
        digest: str,
        rows: tuple[Row, ...],
        inputs: InputSpec | None,
        histograms: Mapping[str, BitHistogram],
        *,
        device: str,
        batches: int = 0,
        total_batches: int | None = None,
        complete: bool = False,
        parameters: Mapping[str, Tensor] = MappingProxyType({}),
        model: nn.Module | None = None,
        sums: tuple[Sum, ...] = (),
        captured: Network | None = None,
    ) -> None:
        self.network = network
        self.digest = digest
        self.rows = rows
        self.inputs = inputs
        self.device = device
        self.batches = batches
        self.total_batches = total_batches
        self.complete = complete
        self.parameters = parameters
        self.model = model
        self.sums = sums
        self.captured = captured
        self._rows = {row.name: row for row in rows}
        self._histograms = dict(histograms)

    def values(self, name: str) -> Tensor:
        """Give the values of a weight or bias, as they were counted.

        Raises
        ------
        CalibrationError
            They are not known: the row is another kind of tensor, or the calibration was saved by an older version.
        """
        if name not in self.parameters:
            raise CalibrationError(f"the values of {name!r} are not known, only their counts; calibrate again")
        return self.parameters[name]

    def count(self, name: str, values: Tensor) -> None:
        """Count more values of a tensor."""
        self._histograms[name].update(values)

    @property
    def names(self) -> tuple[str, ...]:
        """The rows' names, in the order of execution."""
        return tuple(self._rows)

    def row(self, name: str) -> Row:
        """What is known of a tensor beside its values.

        Raises
        ------
        KeyError
            There is no such row.
        """
        return self._rows[name]

    def __getitem__(self, name: str) -> BitHistogram:
        return self._histograms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "captured": None}  # a copy captures anew

    def __repr__(self) -> str:
        total = "" if self.total_batches is None else f" of {self.total_batches}"
        return f"Calibration({self.network}: {len(self)} tensors, {self.batches}{total} batches on {self.device})"

    def _repr_html_(self) -> str:
        return str(self.table().to_html(max_rows=20))

    def table(self) -> pd.DataFrame:
        """Give a row for each tensor: where it is in the network, and the extremes of its values.

        Returns
        -------
        DataFrame
            Indexed by name; ``layer``, ``fused`` (the network's layers in it), ``kind``, ``operation``, ``shape`` (None
            where it may differ from batch to batch), ``count``, ``min``, ``max``, ``zeros``, ``nonfinite``.
        """
        records = [
            {
                "layer": row.layer,
                "fused": ", ".join(row.fused),
                "kind": row.kind,
                "operation": row.operation,
                "shape": row.shape,
                "count": histogram.count,
                "min": histogram.min,
                "max": histogram.max,
                "zeros": histogram.zeros,
                "nonfinite": histogram.nonfinite,
            }
            for row, histogram in ((row, self[row.name]) for row in self.rows)
        ]
        return pd.DataFrame(records, index=pd.Index(self.names, name="name", dtype="str"))

    @property
    def data_digest(self) -> str:
        """SHA-256 over the histograms of the inputs and activations, in hexadecimal.

        The data itself is not kept, so this identifies it only as far as formats depend on it: data that gave the same
        counts and extremes, in whatever order and batches, has the same digest. The network's weights have a part in
        it, since activations depend on them.
        """
        digest = hashlib.sha256(BitHistogram.GRID.encode())
        with WHOLE_BATCHES:
            counted = {name: self[name].to_arrays() for name in sorted(self._rows.keys() - self._constant)}
        for name, arrays in counted.items():
            digest.update(f"\n{name}\n".encode())
            for array in arrays.values():
                digest.update(f"{array.size}\n".encode())
                digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    @property
    def weights_digest(self) -> str | None:
        """SHA-256 over the values of the weights and biases, batch norm folded in; None where they are not known.

        :attr:`digest` tells networks apart by their structure only; this tells two trainings of one apart.
        """
        if not self.parameters and self._constant:
            return None
        digest = hashlib.sha256()
        for name, values in sorted(self.parameters.items()):
            array = values.contiguous().numpy()
            digest.update(f"{name}\n{array.dtype} {array.shape}\n".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    @property
    def _constant(self) -> frozenset[str]:
        return frozenset(row.name for row in self.rows if row.kind in ("weight", "bias"))
