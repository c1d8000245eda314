"""The file of a calibration: histograms and weights as safetensors, everything else as JSON in its header."""

import dataclasses
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from qwidgets.atomic_file import replacing
from qwidgets.bit_histogram import BitHistogram
from qwidgets.capturing.inputs import InputSpec
from qwidgets.capturing.sums import Sum
from qwidgets.errors import DataError, FileError
from qwidgets.network import Row

SCHEMA = 1
"""The version of the layout; a file with a higher one is refused."""

_KEY = "qwidgets.calibration"
_CHECKSUM = "qwidgets.checksum"
_PARAMETER = "parameter/"


def write(
    path: str | os.PathLike[str],
    facts: Mapping[str, Any],
    rows: tuple[Row, ...],
    inputs: InputSpec | None,
    histograms: Mapping[str, BitHistogram],
    parameters: Mapping[str, Tensor],
) -> None:
    """Write a calibration, in the place of what is at ``path`` once all is written.

    Raises
    ------
    FileError
        It cannot be written.
    """
    header = {
        "schema": SCHEMA,
        "grid": BitHistogram.GRID,
        **facts,
        "rows": [dataclasses.asdict(row) for row in rows],
        "inputs": _packed(inputs),
    }
    arrays = [histograms[row.name].to_arrays() for row in rows]
    columns = {name: [each[name] for each in arrays] for name in (arrays[0] if arrays else ())}
    tensors = {name: np.concatenate(column) for name, column in columns.items()}
    tensors |= {f"{name}.lengths": np.array([a.size for a in column], np.int64) for name, column in columns.items()}
    tensors |= {f"{_PARAMETER}{name}": values.contiguous().numpy() for name, values in parameters.items()}
    text = json.dumps(header)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: text, _CHECKSUM: _checksum(text, tensors)})


def read(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], tuple[Row, ...], InputSpec | None, dict[str, BitHistogram], dict[str, Tensor]]:
    """Read and check a whole file.

    Raises
    ------
    FileError
        It cannot be read, is damaged, is no calibration, or is of a later version.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            text = metadata.get(_KEY)
            if text is None:
                raise FileError(f"{path} is a safetensors file, but no calibration of this package")
            header = json.loads(text)
            if not isinstance(header["schema"], int) or header["schema"] > SCHEMA:
                raise FileError(f"{path} has layout {header['schema']!r}; this package reads up to {SCHEMA}: update it")
            if header["grid"] != BitHistogram.GRID:
                raise FileError(
                    f"{path} counts on another grid: {header['grid']}, here {BitHistogram.GRID}; calibrate again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        if metadata.get(_CHECKSUM) != _checksum(text, tensors):
            raise FileError(f"{path} is damaged: its content is not what was written")
        return _content(header, tensors)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, DataError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise FileError(f"{path} is damaged, or no calibration of this package: {error}") from error


def _content(
    header: dict[str, Any], tensors: dict[str, Any]
) -> tuple[dict[str, Any], tuple[Row, ...], InputSpec | None, dict[str, BitHistogram], dict[str, Tensor]]:
    facts = {name: header[name] for name in ("network", "digest", "device", "batches", "total_batches", "complete")}
    # An older version wrote none.
    facts["sums"] = tuple(Sum(**(each | {"reads": tuple(each["reads"])})) for each in header.get("sums", ()))
    rows = tuple(Row(**(row | {"fused": tuple(row["fused"]), "shape": tuple(row["shape"])})) for row in header["rows"])
    parts = {}
    for name in ("bins", "counts", "special", "extremes") if rows else ():
        ends = np.cumsum(tensors[f"{name}.lengths"])
        if len(ends) != len(rows) or (len(ends) and ends[-1] != len(tensors[name])):
            raise DataError(f"the array {name} has not the length that it should have")
        parts[name] = np.split(tensors[name], ends[:-1])
    histograms = {
        row.name: BitHistogram.from_arrays({name: part[index] for name, part in parts.items()})
        for index, row in enumerate(rows)
    }
    inputs = None if header["inputs"] is None else InputSpec.from_json(header["inputs"])
    kinds = {f"{_PARAMETER}{row.name}": row for row in rows if row.kind in ("weight", "bias")}
    parameters = {row.name: torch.from_numpy(tensors[name]) for name, row in kinds.items() if name in tensors}
    for name, values in parameters.items():
        if tuple(values.shape) != kinds[f"{_PARAMETER}{name}"].shape:
            raise DataError(f"the values of {name} have not the shape that they should have")
    return facts, rows, inputs, histograms, parameters


def _checksum(text: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].tobytes(), total)
    return f"{total:08x}"


def _packed(inputs: InputSpec | None) -> Any:
    """Give the inputs for JSON; None for what cannot be saved, which is worth less than the counts."""
    try:
        return None if inputs is None else inputs.to_json()
    except DataError:
        return None
