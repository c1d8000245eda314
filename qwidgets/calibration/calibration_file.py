"""The file of a calibration: histograms and weights as safetensors, everything else as JSON in its header.

Its checksum covers the header, and the name, type, shape and content of each array. Files of before that have a shorter
one, of the header and the contents; those and yet older ones are checked as far as they go.
"""

import dataclasses
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from qwidgets.errors import DataError, FileError
from qwidgets.files import check_json, json_schema, parse_json, path_of, replacing, source_of
from qwidgets.histograms import BitHistogram
from qwidgets.network import InputSpec, Row, Sum

SCHEMA = 1
"""The version of the layout; a file with a higher one is refused."""

_KEY = "qwidgets.calibration"
_CHECKSUM = "qwidgets.checksum"
_SHA256 = "qwidgets.sha256"
_PARAMETER = "parameter/"
_HISTOGRAM = ("bins", "counts", "special", "extremes")


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
    metadata = {_KEY: text, _CHECKSUM: _checksum(text, tensors), _SHA256: _sha256(text, tensors)}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:  # which a full disk gives, too
            raise FileError(f"cannot write {path_of(path)}: {error}; what was there before is unchanged") from error


def read(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], tuple[Row, ...], InputSpec | None, dict[str, BitHistogram], dict[str, Tensor]]:
    """Read and check a whole file.

    Raises
    ------
    FileError
        It cannot be read, is damaged, is no calibration, or is of a later version.
    """
    path = source_of(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            text = metadata.get(_KEY)
            if text is None:
                raise FileError(f"{path} is a safetensors file, but no calibration of this package")
            header = parse_json(text)
            if not isinstance(header, dict) or type(header.get("schema")) is not int:
                raise DataError("its header is no object with the version of its layout")
            if header["schema"] > SCHEMA:
                raise FileError(f"{path} has layout {header['schema']!r}; this package reads up to {SCHEMA}: update it")
            check_json(header, json_schema("qwidgets.calibration", "calibration.schema.json"))
            if header["grid"] != BitHistogram.GRID:
                raise FileError(
                    f"{path} counts on another grid: {header['grid']}, here {BitHistogram.GRID}; calibrate again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        if unknown := sorted(metadata.keys() - {_KEY, _CHECKSUM, _SHA256}):
            raise DataError(f"it has the metadata {unknown[0]!r}, which no such file has")
        older = _SHA256 not in metadata
        if metadata.get(_CHECKSUM) != _checksum(text, tensors) or not (
            older or metadata[_SHA256] == _sha256(text, tensors)
        ):
            raise DataError("its content is not what was written")
        return _content(header, tensors)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, DataError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise FileError(f"{path} is damaged, or no calibration of this package: {error}") from error


def _content(
    header: dict[str, Any], tensors: dict[str, Any]
) -> tuple[dict[str, Any], tuple[Row, ...], InputSpec | None, dict[str, BitHistogram], dict[str, Tensor]]:
    facts = {name: header[name] for name in ("network", "digest", "device", "batches", "total_batches", "complete")}
    # An older version wrote none.
    facts["sums"] = tuple(Sum(**(each | {"reads": tuple(each["reads"])})) for each in header.get("sums", ()))
    rows = tuple(Row(**(row | {"fused": tuple(row["fused"]), "shape": tuple(row["shape"])})) for row in header["rows"])
    if len({row.name for row in rows}) < len(rows):
        raise DataError("two rows have one name")
    parts = {}
    for name in _HISTOGRAM if rows else ():
        ends = np.cumsum(tensors[f"{name}.lengths"])
        if len(ends) != len(rows) or (len(ends) and ends[-1] != len(tensors[name])):
            raise DataError(f"the array {name} has not the length that it should have")
        parts[name] = np.split(tensors[name], ends[:-1])
    histograms = {
        row.name: BitHistogram.from_arrays({name: part[index] for name, part in parts.items()})
        for index, row in enumerate(rows)
    }
    inputs = None if header["inputs"] is None else InputSpec.from_json(header["inputs"])
    return facts, rows, inputs, histograms, _parameters(rows, tensors)


def _parameters(rows: tuple[Row, ...], tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Give the values of all weights and biases; none, where an older version wrote none."""
    found = {name.removeprefix(_PARAMETER): values for name, values in tensors.items() if name.startswith(_PARAMETER)}
    expected = {row.name: row for row in rows if row.kind in ("weight", "bias")}
    if unlike := sorted(found.keys() ^ expected.keys()) if found else []:
        which = "there are no values of" if unlike[0] in expected else "there are values, but no row, of"
        raise DataError(f"{which} {unlike[0]}")
    for name, values in found.items():
        if values.dtype.kind != "f":
            raise DataError(f"the values of {name} are {values.dtype} and should be floats")
        if values.shape != expected[name].shape:
            raise DataError(f"the values of {name} have not the shape that they should have")
    known = {f"{name}{suffix}" for name in _HISTOGRAM for suffix in ("", ".lengths")}
    if unknown := sorted(name for name in tensors if name not in known and not name.startswith(_PARAMETER)):
        raise DataError(f"it has an array {unknown[0]!r}, which no such file has")
    return {name: torch.from_numpy(found[name]) for name in expected if found}


def _checksum(text: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Give the checksum that readers of before the other one ask for."""
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].tobytes(), total)
    return f"{total:08x}"


def _sha256(text: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(tensors.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _packed(inputs: InputSpec | None) -> Any:
    """Give the inputs for JSON; None for what cannot be saved, which is worth less than the counts."""
    try:
        return None if inputs is None else inputs.to_json()
    except DataError:
        return None
