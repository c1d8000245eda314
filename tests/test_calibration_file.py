"""Calibrations that are read again: whole, or refused by name."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from qwidgets import Calibration, calibrate
from qwidgets.calibration import calibration_file
from qwidgets.errors import FileError
from tests.mutations import mutated

MUTATIONS = 400


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
        return calibrate(network, [torch.randn(8, 4)], device="cpu", progress=False)


@pytest.fixture
def path(calibration: Calibration, tmp_path: Path) -> Path:
    path = tmp_path / "stats.safetensors"
    calibration.save(path)
    return path


Tensors = dict[str, Any]


def parts(path: Path) -> tuple[dict[str, str], Tensors]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path: Path, change: Callable[[Any, Tensors], object], *, older: bool = False) -> None:
    """Change a file and make its checksums anew, as only a file of another program could have them."""
    metadata, tensors = parts(path)
    header = json.loads(metadata["qwidgets.calibration"])
    change(header, tensors)
    text = json.dumps(header)
    metadata = {"qwidgets.calibration": text, "qwidgets.checksum": calibration_file._checksum(text, tensors)}
    if not older:
        metadata["qwidgets.sha256"] = calibration_file._sha256(text, tensors)
    save_file(tensors, path, metadata=metadata)


def state(calibration: Calibration) -> tuple[Any, ...]:
    """All that a calibration holds, as what can be compared."""
    return (
        {name: [array.tolist() for array in calibration[name].to_arrays().values()] for name in calibration},
        {name: (values.dtype, values.tolist()) for name, values in calibration.parameters.items()},
        (calibration.rows, calibration.inputs, calibration.network, calibration.digest, calibration.device),
        (calibration.batches, calibration.total_batches, calibration.complete),
    )


def test_of_mutated_files_none_loads_as_something_else(calibration: Calibration, path: Path) -> None:
    whole, right = path.read_bytes(), state(calibration)
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(whole, seed))
        try:
            loaded = Calibration.load(path)
        except FileError:
            continue
        assert state(loaded) == right, f"seed {seed}"


def test_no_bit_that_flips_in_the_names_types_and_shapes_goes_unnoticed(calibration: Calibration, path: Path) -> None:
    whole, right = path.read_bytes(), state(calibration)
    end = 8 + int.from_bytes(whole[:8], "little")
    for place in range(whole.index(b'"parameter/'), end):
        for bit in (0, 3):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                loaded = Calibration.load(path)
            except FileError:
                continue
            assert state(loaded) == right, (place, bit)


@pytest.mark.parametrize("older", [False, True])
def test_a_weight_whose_name_or_type_changed_is_noticed_in_older_files_too(path: Path, older: bool) -> None:
    rewrite(path, lambda header, tensors: None, older=older)
    whole = path.read_bytes()
    for before, after in (
        (b'"parameter/0.weight"', b'"parameter/0.weighu"'),
        (b'"parameter/0.weight":{"dtype":"F32"', b'"parameter/0.weight":{"dtype":"I32"'),
    ):
        assert before in whole
        path.write_bytes(whole.replace(before, after))
        with pytest.raises(FileError, match="damaged"):
            Calibration.load(path)


def test_a_file_with_the_older_checksum_loads(calibration: Calibration, path: Path) -> None:
    rewrite(path, lambda header, tensors: None, older=True)
    assert "qwidgets.sha256" not in parts(path)[0]
    assert state(Calibration.load(path)) == state(calibration)


def test_a_yet_older_file_without_any_weights_loads(calibration: Calibration, path: Path) -> None:
    def without_weights(header: Any, tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith("parameter/")]:
            del tensors[name]

    rewrite(path, without_weights, older=True)
    loaded = Calibration.load(path)
    assert not loaded.parameters
    assert state(loaded)[0] == state(calibration)[0]


def nested(levels: int) -> Any:
    inputs: Any = {"value": 1}
    for _ in range(levels):
        inputs = {"list": [inputs]}
    return {"args": [inputs], "kwargs": {"dict": {}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, tensors: header.update(batches=-1), "batches: -1"),
        (lambda header, tensors: header.update(batches=2.0), "batches: 2.0"),
        (lambda header, tensors: header.update(complete="yes"), "complete"),
        (lambda header, tensors: header.update(schema="1"), "version of its layout"),
        (lambda header, tensors: header.update(more=1), "'more' was unexpected"),
        (lambda header, tensors: header.pop("digest"), "'digest' is a required property"),
        (lambda header, tensors: header["rows"].append(header["rows"][0]), "two rows have one name"),
        (lambda header, tensors: header["rows"].pop(), "length"),
        (lambda header, tensors: header["rows"][0].update(shape=[4.0]), "rows/0/shape/0"),
        (lambda header, tensors: header["inputs"]["args"][0]["tensor"].update(dtype="load"), "dtype"),
        (lambda header, tensors: header.update(inputs=nested(60)), "levels deep"),
        (lambda header, tensors: tensors.pop("parameter/0.bias"), "no values of 0.bias"),
        (lambda header, tensors: tensors.update({"parameter/x": np.ones(3)}), "no row, of x"),
        (lambda header, tensors: tensors.update({"parameter/0.bias": np.ones(4)}), "have not the shape"),
        (lambda header, tensors: tensors.update({"parameter/0.bias": np.ones(3, int)}), "should be floats"),
        (lambda header, tensors: tensors.update({"more": np.ones(3)}), "an array 'more'"),
        (lambda header, tensors: tensors.pop("bins"), "bins"),
        (lambda header, tensors: tensors.update({"counts": -tensors["counts"]}), "counts"),
        (lambda header, tensors: tensors.update({"bins.lengths": tensors["bins.lengths"][::-1].copy()}), "histogram"),
    ],
)
def test_what_makes_no_sense_is_named_whatever_its_checksum_says(path: Path, change: Any, message: str) -> None:
    rewrite(path, change)
    with pytest.raises(FileError, match=message):
        Calibration.load(path)


def test_plain_arguments_of_the_network_come_back(calibration: Calibration, path: Path) -> None:
    plain = [None, True, 3, 0.5, float("inf"), "text"]
    rewrite(path, lambda header, tensors: header["inputs"]["args"].append({"list": [{"value": v} for v in plain]}))
    inputs = Calibration.load(path).inputs
    assert inputs is not None and inputs.args[1] == plain
    Calibration.load(path).save(path)
    assert Calibration.load(path).inputs == inputs


def test_a_full_disk_is_named_and_the_old_file_stays(calibration: Calibration, tmp_path: Path) -> None:
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        target = place / "stats.safetensors"
        calibration.save(target)
        before = target.read_bytes()
        wide = calibrate(torch.nn.Linear(64, 64), [torch.zeros(8, 64)], device="cpu", progress=False)
        with pytest.raises(FileError, match="No space left on device.*what was there before is unchanged"):
            wide.save(target)
        assert target.read_bytes() == before
        assert list(place.iterdir()) == [target]
    finally:
        subprocess.run(["umount", str(place)], check=True)
