"""Calibrating: every kind of batch is fed, every tensor is counted, and what goes wrong is named and loses nothing."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from qwidgets.calibration import Calibration, calibrate, calibration_steps
from qwidgets.errors import CalibrationError, CaptureError, DataError, FileError
from qwidgets.histograms import BitHistogram
from tests.networks import Branching, Recurrent, ResNet, Reused, TwoInputs, lively


def quietly(model: nn.Module, data: Any, **options: Any) -> Calibration:
    return calibrate(model, data, device="cpu", progress=False, **options)


def layer() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU())


def of(values: Tensor) -> BitHistogram:
    return BitHistogram().update(values.detach())


def images(batches: int, size: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(size, 3, 10, 10, generator=generator) for _ in range(batches)]


# What is counted


def test_each_tensor_is_counted_over_all_batches() -> None:
    model = layer()
    data = [torch.randn(5, 4), torch.randn(2, 4)]
    calibration = quietly(model, data)
    assert calibration.names == ("input", "0.weight", "0.bias", "0")
    assert calibration["input"] == of(torch.cat(data))
    assert calibration["0"] == of(model(torch.cat(data)))
    assert calibration["0.weight"] == of(model.get_parameter("0.weight"))
    assert (calibration.batches, calibration.total_batches, calibration.complete) == (2, 2, True)


def test_the_last_batch_may_be_smaller_and_a_batch_may_be_one() -> None:
    loader = DataLoader(TensorDataset(torch.randn(9, 3, 10, 10)), batch_size=4)
    assert quietly(lively(ResNet()), loader)["fc"].count == 9 * 5
    assert quietly(lively(ResNet()), images(3, size=1))["fc"].count == 3 * 5


def test_batch_size_and_order_do_not_change_a_count() -> None:
    data = torch.cat(images(6))
    model = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Threshold(0.5, 0.1)).eval()
    whole = quietly(model, [data])
    parts = quietly(model, [data[20:], data[5:20], data[:5]])
    assert all(whole[name] == parts[name] for name in whole)


def test_what_was_computed_under_autocast_is_what_is_counted() -> None:
    model, x = layer(), torch.randn(64, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        calibration = quietly(model, [x])
        expected = model(x)
    assert expected.dtype == torch.bfloat16
    assert calibration["0"] == of(expected)
    assert calibration["0"] != quietly(model, [x])["0"]


def test_a_layer_called_twice_counts_its_weight_once() -> None:
    model = Reused()
    tokens = torch.randint(0, 10, (3, 4))
    calibration = quietly(model, [tokens, tokens])
    assert calibration["fc.weight"] == of(model.fc.weight)
    assert calibration["embedding.weight"] == of(model.embedding.weight)
    once = model.fc(model.embedding(tokens)).relu()
    assert calibration["fc"] == of(once) + of(once)
    assert calibration["fc@2"].count == 2 * once.numel()


def test_nan_and_infinite_values_are_counted() -> None:
    x = torch.tensor([[float("nan"), 1.0, 2.0, 3.0], [float("inf"), 0.0, 0.0, 1.0]])
    table = quietly(layer(), [x, torch.full((3, 4), float("nan"))]).table()
    assert table["nonfinite"]["input"] == 2 + 12
    assert table["count"]["0"] == 5 * 3
    assert table["nonfinite"]["0"] >= 4 * 3


def test_the_table_has_a_row_for_each_tensor() -> None:
    table = quietly(lively(ResNet()), images(1)).table()
    assert table.index.name == "name"
    assert list(table.columns) == [
        *("layer", "fused", "kind", "operation", "shape", "count", "min", "max", "zeros", "nonfinite")
    ]
    assert table["fused"]["layer1.0.conv1"] == "layer1.0.conv1, layer1.0.bn1, layer1.0.relu"
    assert table["shape"]["layer1.0.conv1"] == (None, 4, 4, 4)
    assert table["min"]["layer1.0.conv1"] == 0


def test_memory_does_not_grow_with_the_data() -> None:
    def endless() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(1)
        while True:
            yield torch.randn(64, 4, generator=generator)

    def size(calibration: Calibration) -> int:
        arrays = [array for name in calibration for array in calibration[name].to_arrays().values()]
        return sum(array.nbytes for array in arrays)

    few, many = (size(quietly(layer(), endless(), max_batches=batches)) for batches in (200, 2000))
    assert many < 1.5 * few


# What a loader can yield


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


LEFT, RIGHT, TARGET = torch.randn(5, 6), torch.randn(5, 6), torch.arange(5)


@pytest.mark.parametrize(
    "batch",
    [
        (LEFT, RIGHT),
        [LEFT, RIGHT, TARGET],
        ((LEFT, RIGHT), TARGET),
        Pair(LEFT, RIGHT),
        {"left": LEFT, "right": RIGHT},
        {"right": RIGHT, "left": LEFT, "label": TARGET, "mask": None},
        ({"left": LEFT, "right": RIGHT},),
        (LEFT.numpy(), RIGHT.numpy(), ["a", "b", "c", "d", "e"]),
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_two_inputs_are_found_in(batch: Any) -> None:
    if isinstance(batch, tuple) and isinstance(batch[0], dict):
        calibration = quietly(TwoInputs(), [batch], forward=lambda model, parts: model(**parts[0]))
    else:
        calibration = quietly(TwoInputs(), [batch])
    assert calibration["input.left"] == of(LEFT)
    assert calibration["input.right"] == of(RIGHT)


@pytest.mark.parametrize("batch", [LEFT, (LEFT,), (LEFT, TARGET), [LEFT, TARGET, "note"], LEFT.numpy()], ids=type)
def test_one_input_is_found_in(batch: Any) -> None:
    model = nn.Sequential(nn.Linear(6, 2))
    assert quietly(model, [batch])["input"] == of(LEFT)


def test_a_dict_that_is_no_set_of_arguments_is_the_argument() -> None:
    class TakesDict(nn.Module):
        def forward(self, features: dict[str, Tensor]) -> Tensor:
            return features["left"] * features["right"]

    calibration = quietly(TakesDict(), [{"left": LEFT, "right": RIGHT}])
    assert calibration["mul"] == of(LEFT * RIGHT)


def test_a_tensor_alone_is_one_batch() -> None:
    calibration = quietly(nn.Sequential(nn.Linear(6, 2)), LEFT)
    assert (calibration.batches, calibration["input"].count) == (1, 30)


def test_a_function_of_the_users_feeds_the_model() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = 3.0
            self.fc = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x)
            return out

    def forward(model: Any, batch: dict[str, Any]) -> None:
        outputs = model(x=batch["image"] * model.scale)
        assert outputs.shape == (len(batch["image"]), 2)

    calibration = quietly(Wrapped(), [{"image": LEFT, "note": "n"}] * 2, forward=forward)
    assert calibration["input"] == of(LEFT * 3) + of(LEFT * 3)


def test_a_function_that_does_not_call_the_model_is_told_so() -> None:
    with pytest.raises(CalibrationError, match="did not call the model"):
        quietly(layer(), [torch.randn(2, 4)], forward=lambda model, batch: None)


def test_no_more_batches_are_fetched_than_asked_for() -> None:
    fetched: list[int] = []

    def data() -> Iterator[Tensor]:
        for index in range(10):
            fetched.append(index)
            yield torch.randn(2, 4)

    calibration = quietly(layer(), data(), max_batches=3)
    assert (calibration.batches, calibration.complete, fetched) == (3, True, [0, 1, 2])


# Step by step


def test_steps_give_the_same_growing_calibration() -> None:
    seen = [(id(each), each.batches, each["input"].count) for each in calibration_steps(layer(), [LEFT[:, :4]] * 3)]
    assert [step[1:] for step in seen] == [(0, 0), (1, 20), (2, 40), (3, 60)]
    assert len({step[0] for step in seen}) == 1


def test_steps_may_be_left_at_any_time() -> None:
    steps = calibration_steps(layer(), [LEFT[:, :4]] * 3, device="cpu")
    next(steps)
    calibration = next(steps)
    steps.close()
    assert (calibration.batches, calibration.total_batches, calibration.complete) == (1, 3, False)
    assert torch.is_grad_enabled()


def test_steps_run_in_a_thread_while_others_read() -> None:
    found: list[Calibration] = []

    def work() -> None:
        found.extend(calibration_steps(layer(), [LEFT[:, :4]] * 50, device="cpu"))

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        if found:
            assert found[0].table()["count"]["input"] % 20 == 0
    thread.join()
    assert found[0]["input"].count == 50 * 20


# Merging and files


def test_merging_gives_what_one_run_over_both_gives() -> None:
    model, data = lively(ResNet()), images(5)
    merged = quietly(model, data[:2]).merge(quietly(model, data[2:]))
    together = quietly(model, data)
    assert all(merged[name] == together[name] for name in together)
    assert (merged.batches, merged.total_batches) == (5, 5)


def test_statistics_of_another_network_are_refused_with_the_difference() -> None:
    first = quietly(nn.Sequential(nn.Linear(4, 3)), [torch.randn(2, 4)])
    for model, words in [
        (nn.Sequential(nn.Linear(4, 5)), r"the shape of 0.weight is \(3, 4\) in the first, \(5, 4\) in the second"),
        (nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), "only the second has 1"),
        (nn.Sequential(nn.Linear(4, 3, bias=False)), "only the first has 0.bias"),
        (nn.Sequential(nn.Linear(4, 3)), "the values of 0.bias differ"),
    ]:
        with pytest.raises(CalibrationError, match=words):
            first.merge(quietly(model, [torch.randn(2, 4)]))


def test_more_data_is_added_to_what_was_counted() -> None:
    model, data = lively(ResNet()), images(5)
    before = quietly(model, data[:2])
    assert quietly(model, iter(data[2:]), into=before) is before
    assert (before.batches, before.total_batches, before.complete) == (5, None, True)
    together = quietly(model, data)
    assert all(before[name] == together[name] for name in together)
    counts = [each.batches for each in calibration_steps(model, data[:2], device="cpu", into=before)]
    assert counts == [5, 6, 7]
    assert before.total_batches == 7


def test_no_more_data_leaves_what_was_counted() -> None:
    before = quietly(layer(), [LEFT[:, :4]])
    assert quietly(layer(), [], into=before) is before
    assert before.batches == 1


def test_data_of_another_network_is_not_added_to_what_was_counted() -> None:
    before = quietly(layer(), [LEFT[:, :4]])
    table = before.table()
    wider = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    with pytest.raises(
        CalibrationError, match=r"the shape of 0.weight is \(3, 4\) in the first, \(5, 4\) in the second"
    ):
        quietly(wider, [LEFT[:, :4]], into=before)
    assert before.table().equals(table)
    assert (before.batches, before.total_batches, before.complete) == (1, 1, True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "stats.safetensors"
    quietly(Recurrent(), [torch.randn(2, 5, 4)]).save(path)
    return path


def test_a_saved_calibration_comes_back_whole(tmp_path: Path) -> None:
    calibration = quietly(lively(ResNet()), images(3), max_batches=2)
    calibration.save(tmp_path / "stats.safetensors")
    loaded = Calibration.load(tmp_path / "stats.safetensors")
    assert loaded.table().equals(calibration.table())
    assert all(loaded[name] == calibration[name] for name in calibration)
    for fact in ("network", "digest", "rows", "inputs", "device", "batches", "total_batches", "complete"):
        assert getattr(loaded, fact) == getattr(calibration, fact)


def test_one_with_arguments_that_no_file_can_hold_is_saved_without_them(tmp_path: Path) -> None:
    calibration = quietly(nn.Sequential(nn.Linear(6, 2)), [LEFT])
    calibration.inputs = type(calibration.inputs)((object(),), {})  # type: ignore[misc]
    calibration.save(tmp_path / "stats.safetensors")
    assert Calibration.load(tmp_path / "stats.safetensors").inputs is None


def test_a_truncated_file_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for length in (0, 5, 200, len(content) - 8):
        saved.write_bytes(content[:length])
        with pytest.raises(FileError, match="damaged"):
            Calibration.load(saved)


def test_a_file_of_which_a_byte_changed_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for place in (content.index(b"lstm"), content.index(b"batches") + 12, len(content) // 2, len(content) - 3):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FileError, match="damaged"):
            Calibration.load(saved)


def test_a_foreign_file_is_recognized(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(FileError, match="no calibration of this package"):
        Calibration.load(tmp_path / "weights.safetensors")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(FileError, match="no calibration of this package"):
        Calibration.load(tmp_path / "plan.json")
    with pytest.raises(FileError, match="cannot read"):
        Calibration.load(tmp_path / "nothing")


def test_a_file_of_a_later_version_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content.replace(rb"\"schema\": 1", rb"\"schema\": 9", 1))
    with pytest.raises(FileError, match=r"layout 9.*update"):
        Calibration.load(saved)


def test_a_saved_file_may_be_read_by_whom_the_umask_lets(saved: Path) -> None:
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


def test_a_file_of_another_grid_is_refused_with_both(saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content.replace(b"octaves -149 to 127", b"octaves -126 to 127", 1))
    with pytest.raises(FileError, match=r"another grid: sign, octaves -126 to 127.*, here sign, octaves -149 to 127"):
        Calibration.load(saved)


def test_a_save_that_fails_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qwidgets.calibration.calibration_file.save_file", full)
    with pytest.raises(FileError, match="No space left"):
        quietly(layer(), [torch.randn(2, 4)]).save(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_the_header_can_be_read_without_this_package(saved: Path) -> None:
    content = saved.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = json.loads(header["__metadata__"]["qwidgets.calibration"])
    assert facts["rows"][0]["name"] == "input"


def test_propose_gives_a_committed_plan() -> None:
    plan = quietly(layer(), [torch.randn(8, 4)]).propose(word_length=6, scheme="minmax")
    assert all(fmt is not None and fmt.word_length == 6 for fmt in plan.committed.values())
    assert not plan.drafts


# What goes wrong


def test_a_batch_that_fails_is_named_and_what_was_counted_before_is_kept() -> None:
    data = [torch.randn(2, 4), torch.randn(2, 4), torch.randn(2, 5), torch.randn(2, 4)]
    with pytest.raises(CalibrationError, match=r"batch 2 failed: input 0 is \(2, 5\).*(?s:.*)the 2 before") as caught:
        quietly(layer(), data)
    assert caught.value.calibration is not None
    assert caught.value.calibration["input"] == of(torch.cat(data[:2]))
    assert (caught.value.calibration.batches, caught.value.calibration.complete) == (2, False)


def test_a_loader_that_fails_is_named_with_the_batch() -> None:
    def data() -> Iterator[Tensor]:
        yield torch.randn(2, 4)
        raise OSError("the disk is gone")

    with pytest.raises(CalibrationError, match="batch 1 failed: OSError: the disk is gone") as caught:
        quietly(layer(), data())
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.calibration is not None
    assert caught.value.calibration["input"].count == 8


@pytest.mark.parametrize("data", [[], DataLoader(TensorDataset(torch.zeros(0, 4))), iter(())], ids=type)
def test_no_data_is_an_error(data: Any) -> None:
    with pytest.raises(CalibrationError, match="no batch"):
        quietly(layer(), data)
    with pytest.raises(CalibrationError, match="no batch"):
        list(calibration_steps(layer(), data))


@pytest.mark.parametrize("data", [3, "images", {"a": 1}, None])
def test_what_yields_no_batches_is_refused(data: Any) -> None:
    with pytest.raises(DataError, match="iterable of batches"):
        quietly(layer(), data)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.zeros(2, 4, dtype=torch.int64), r"inputs are torch.int64 .* convert .*x.to\(torch.float32\)"),
        (np.zeros((2, 4)), r"inputs are torch.float64 .* convert"),
        ("text", "no tensor"),
        (["a", "b"], "a list of str, in which there is no tensor"),
        (np.array(["a", "b"]), "an array of <U1 cannot be fed"),
        ([], "0 parts"),
    ],
)
def test_a_first_batch_of_the_wrong_kind_is_a_data_error(batch: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"batch 0: .*{words}"):
        quietly(layer(), [batch])


def test_a_batch_with_too_few_parts_names_what_is_missing() -> None:
    with pytest.raises(DataError, match="has 1 part, but the network's forward needs 2: left, right"):
        quietly(TwoInputs(), [(LEFT,)])


def test_a_model_that_cannot_be_captured_is_named_with_its_line() -> None:
    with pytest.raises(CaptureError, match=r"networks\.py"):
        quietly(Branching(), [torch.randn(2, 4)])


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(CalibrationError, match="cannot run on 'cuda:99'"):
        calibrate(layer(), [torch.randn(2, 4)], device="cuda:99", progress=False)


def test_an_interrupt_keeps_what_was_counted_and_says_so() -> None:
    def data() -> Iterator[Tensor]:
        for index in range(5):
            if index == 2:
                raise KeyboardInterrupt
            yield torch.randn(2, 4)

    with pytest.warns(UserWarning, match="interrupted: .*2.* batches"):
        calibration = quietly(layer(), data())
    assert (calibration.batches, calibration.complete) == (2, False)
    assert calibration["input"].count == calibration["0"].count / 3 * 4 == 16


def test_a_function_follows_the_progress_instead_of_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int, int]] = []
    model, batches = nn.Linear(4, 2), [torch.randn(3, 4) for _ in range(3)]
    calibrate(model, batches, progress=lambda *step: seen.append(step))
    assert seen == [("calibrate", done, 3) for done in range(4)]
    seen.clear()
    calibrate(model, iter(batches), progress=lambda *step: seen.append(step))
    assert seen[-1] == ("calibrate", 3, 0)
    assert not capsys.readouterr().err
