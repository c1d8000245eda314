"""The embedded default: the digits network and its data."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from qwidgets.examples import DigitsNet, digits
from qwidgets.examples.handwritten_digits import WEIGHTS, split
from qwidgets.examples.train_digits import accuracy, main, train
from tests.waiting import LONG


def test_the_shipped_weights_get_at_least_98_percent_of_the_held_out_images_right() -> None:
    example = digits()
    right = sum(int((example.model(images).argmax(1) == labels).sum()) for images, labels in example.test)
    assert right / 450 >= 0.98


def test_the_shipped_file_is_small() -> None:
    assert WEIGHTS.stat().st_size < 200_000


def test_the_splits_are_always_the_same_and_share_no_image() -> None:
    training, test = split()
    again, _ = split()
    assert torch.equal(training.tensors[0], again.tensors[0])
    assert (len(training), len(test)) == (1347, 450)
    assert test.tensors[1].bincount().min() >= 40
    seen = {image.numpy().tobytes() for image in training.tensors[0]}
    assert not any(image.numpy().tobytes() in seen for image in test.tensors[0])


def test_calibration_images_are_training_images_in_a_fixed_order() -> None:
    example = digits()
    calibration = torch.cat([images for images, _ in example.calibration])
    assert calibration.shape == (512, 1, 8, 8)
    assert torch.equal(calibration, torch.cat([images for images, _ in example.training])[:512])
    assert torch.equal(calibration * 16, (calibration * 16).round())


def test_the_model_comes_ready_to_use_and_each_call_gives_a_new_one() -> None:
    one, other = digits().model, digits().model
    assert not one.training
    with torch.no_grad():
        one.classifier.bias.zero_()
    assert other.classifier.bias.abs().sum() > 0


def test_loading_needs_no_network_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something asked for a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(digits().test) == 8


def test_importing_the_examples_does_not_import_scikit_learn() -> None:
    code = "import sys, qwidgets.examples; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=LONG).returncode == 0


def test_a_short_training_learns() -> None:
    training, test = split()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = accuracy(DigitsNet().eval(), test)
    assert accuracy(train(training, epochs=2), test) > max(0.8, untrained + 0.5)


def test_training_gives_the_same_weights_each_time_and_leaves_the_callers_random_numbers() -> None:
    few = TensorDataset(*split()[0][:128])
    before = torch.get_rng_state()
    one, other = (train(few, epochs=2).state_dict() for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_script_writes_weights_that_load_and_says_how_good_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = WEIGHTS.read_bytes()
    monkeypatch.setattr("qwidgets.examples.train_digits.train", lambda data: train(data, epochs=1))
    main(tmp_path / "digits.safetensors")
    assert "% of the 450 held-out images right" in capsys.readouterr().out
    assert (tmp_path / "digits.safetensors").stat().st_size == len(shipped)
    assert WEIGHTS.read_bytes() == shipped
