"""The record of a plan: it says what is so, keeps to its schema, and is whole or not there."""

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from qwidgets import examples
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import ExportError, FileError, PlanError
from qwidgets.export import to_csv, to_json
from qwidgets.export.record import schema
from qwidgets.formats import FixedPoint, PerChannel
from qwidgets.plan import Plan
from qwidgets.simulation import quantize
from tests.loud_and_quiet import loud_and_quiet

EXAMPLE = examples.digits()
DATA = list(EXAMPLE.calibration)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(EXAMPLE.model, DATA, device="cpu", progress=False)


@pytest.fixture
def plan(calibration: Calibration) -> Plan:
    """One with every kind of format: per channel, at the accumulator, in float, wrapping, and a bound on its counts."""
    plan = calibration.propose(8, per_channel=True)
    plan["classifier"] = None
    plan.commit("the logits stay in float")
    plan["blocks.2.add"] = FixedPoint(4, 3, False, "half_even", "wrap")
    plan["classifier.bias"] = FixedPoint(8, 6)
    plan.commit("µ, “quotes” and\na second line")
    plan.lock("pool")
    return plan


def written(plan: Plan, folder: Path, **options: Any) -> dict[str, Any]:
    to_json(plan, folder / "record.json", **options)
    record: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return record


def by_name(record: dict[str, Any]) -> dict[str, Any]:
    return {tensor["name"]: tensor for tensor in record["tensors"]}


def test_the_schema_is_a_schema_and_every_part_of_a_record_is_described() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())

    def closed(part: Any) -> bool:
        """Whether no object in it may have anything that is not described."""
        if isinstance(part, list):
            return all(map(closed, part))
        if not isinstance(part, dict):
            return True
        open_object = part.get("type") == "object" and part.get("additionalProperties") is not False
        return not open_object and all(closed(each) for each in part.values())

    assert closed(schema())


def test_a_record_keeps_to_the_schema_that_is_shipped(plan: Plan, tmp_path: Path) -> None:
    record = written(plan, tmp_path)
    jsonschema.Draft202012Validator(schema()).validate(record)
    assert (record["qwidgets"], record["schema"]) == ("record", 1)
    changes: list[dict[str, Any]] = [{"tensors": [{}]}, {"history": None}, {"more": 1}, {"data": {"sha256": "?"}}]
    for tampered in changes:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**record, **tampered}, schema())


def test_every_tensor_has_its_format_as_it_is_committed(plan: Plan, tmp_path: Path) -> None:
    tensors = by_name(written(plan, tmp_path))
    assert list(tensors) == list(plan.names)
    resolved = quantize(EXAMPLE.model, plan).program.formats
    for name, tensor in tensors.items():
        fmt, packed = resolved[name], tensor["format"]
        if fmt is None:
            assert packed is None and plan.committed[name] is None
            continue
        fields = {key: packed[key] for key in ("word_length", "signed", "rounding", "overflow")}
        if isinstance(packed["fraction_length"], list):
            assert PerChannel(**fields, fraction_lengths=tuple(packed["fraction_length"])) == fmt
        else:
            assert FixedPoint(**fields, fraction_length=packed["fraction_length"]) == fmt
        assert (packed["msb"], packed["lsb"]) == (fmt.msb, fmt.lsb)
    assert [name for name, tensor in tensors.items() if tensor["locked"]] == ["pool"]
    assert tensors["stem.0.bias"]["format"]["accumulator"]
    assert not tensors["classifier.bias"]["format"]["accumulator"]


def test_the_counts_are_those_of_brute_force_over_the_weights(plan: Plan, tmp_path: Path) -> None:
    tensors, quantized = by_name(written(plan, tmp_path)), quantize(EXAMPLE.model, plan)
    for name, values in quantized.network.parameters.items():
        fmt = quantized.program.formats[name]
        assert fmt is not None
        counts, kept = tensors[name]["counts"], fmt.quantize(values.double())
        channels: list[tuple[FixedPoint, torch.Tensor]] = [(fmt, values)] if isinstance(fmt, FixedPoint) else []
        channels = channels or list(zip(fmt, values, strict=True))  # type: ignore[arg-type]
        outside = sum(
            int(((part.double() / one.step).abs().add(0.5).floor() * part.sign() * one.step > one.max).sum())
            + int((-(part.double() / one.step).abs().add(0.5).floor() * (part < 0) * one.step < one.min).sum())
            for one, part in channels
        )
        assert counts["count"] == values.numel()
        assert counts["underflow"] == int(((kept == 0) & (values != 0)).sum())
        assert counts["overflow"] == outside
        assert counts["exact"] is True
        assert (counts["min"], counts["max"]) == (float(values.min()), float(values.max()))


def test_a_bound_is_called_one_and_float_has_no_counts_of_errors(plan: Plan, tmp_path: Path) -> None:
    tensors = by_name(written(plan, tmp_path))
    preview = plan.committed_preview("blocks.2.add")
    assert preview is not None and not preview.exact
    assert tensors["blocks.2.add"]["counts"]["exact"] is False
    assert tensors["blocks.2.add"]["counts"]["underflow"] == preview.underflow
    assert tensors["classifier"]["counts"]["underflow"] is None


def test_the_note_is_that_of_the_last_commit_that_changed_the_tensor(plan: Plan, tmp_path: Path) -> None:
    record = written(plan, tmp_path)
    tensors = by_name(record)
    assert tensors["input"]["change"]["note"] == "mse, 8 bits"
    assert tensors["classifier"]["change"]["note"] == "the logits stay in float"
    assert tensors["blocks.2.add"]["change"]["note"] == "µ, “quotes” and\na second line"
    assert [commit["note"] for commit in record["history"]] == [commit.note for commit in plan.history]
    (change,) = record["history"][1]["changes"]
    assert (change["name"], change["from"]["word_length"], change["to"]) == ("classifier", 8, None)


def test_what_is_computed_in_float_says_why(plan: Plan, tmp_path: Path) -> None:
    plan["stem.0"] = None
    plan.commit()
    tensors = by_name(written(plan, tmp_path))
    assert "reads stem.0 and blocks.0.depthwise.bias in float" in tensors["blocks.0.depthwise"]["computed_in_float"]
    assert tensors["blocks.0.depthwise.bias"]["format"]["fraction_length"] is None  # of sums that are not integers
    assert tensors["input"]["computed_in_float"] is None


def test_adjusted_tensors_are_named_and_the_data_is_still_the_same(tmp_path: Path) -> None:
    model = loud_and_quiet(EXAMPLE.model)
    plan = calibrate(model, DATA, device="cpu", progress=False).propose(8, per_channel=True)
    before = written(plan, tmp_path)
    plan.equalize(DATA, progress=False)
    after = written(plan, tmp_path)
    assert before["adjustments"] == {"scaled": [], "shifted": [], "rounded": []}
    assert "stem.0.weight" in after["adjustments"]["scaled"]
    assert (after["data"], after["network"]) == (before["data"], before["network"])
    assert by_name(after)["stem.0"]["counts"] != by_name(before)["stem.0"]["counts"]


def test_digests_tell_other_data_and_other_weights_apart(calibration: Calibration, tmp_path: Path) -> None:
    def digests(found: Calibration) -> tuple[str, str | None, str]:
        return found.digest, found.weights_digest, found.data_digest

    again = calibrate(EXAMPLE.model, DATA[::-1], device="cpu", progress=False)
    assert digests(again) == digests(calibration)  # in another order
    calibration.save(tmp_path / "calibration.safetensors")
    assert digests(Calibration.load(tmp_path / "calibration.safetensors")) == digests(calibration)

    other = examples.digits().model
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3
    changed = calibrate(other, DATA, device="cpu", progress=False)
    assert changed.digest == calibration.digest
    assert changed.weights_digest != calibration.weights_digest
    fewer = calibrate(EXAMPLE.model, DATA[1:], device="cpu", progress=False)
    assert fewer.weights_digest == calibration.weights_digest
    assert fewer.data_digest != calibration.data_digest


def test_the_table_says_what_the_record_says(plan: Plan, tmp_path: Path) -> None:
    record = written(plan, tmp_path)
    to_csv(plan, tmp_path / "record.csv")
    with (tmp_path / "record.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == list(plan.names)
    for line, tensor in zip(lines, record["tensors"], strict=True):
        assert line["note"] == tensor["change"]["note"]
        assert line["data_sha256"] == record["data"]["sha256"]
        assert line["underflow_count"] == ("" if tensor["format"] is None else str(tensor["counts"]["underflow"]))
        assert line["max"] == str(tensor["counts"]["max"])
        lengths = tensor["format"] and tensor["format"]["fraction_length"]
        assert line["fraction_length"] == " ".join(map(str, lengths)) if isinstance(lengths, list) else True
    (weight,) = [line for line in lines if line["name"] == "stem.0.weight"]
    assert (weight["shape"], weight["word_length"], weight["signed"]) == ("16 1 3 3", "8", "True")
    assert len(weight["fraction_length"].split()) == 16
    (added,) = [line for line in lines if line["name"] == "blocks.2.add"]
    assert (added["rounding"], added["overflow"], added["exact"]) == ("half_even", "wrap", "False")


# What is refused, and what is lost then: nothing

WRITERS = pytest.mark.parametrize("write", [to_json, to_csv])


@WRITERS
def test_open_drafts_are_refused(plan: Plan, tmp_path: Path, write: Any) -> None:
    plan["stem.0"] = FixedPoint(8, 2)
    with pytest.raises(PlanError, match="only what is committed is exported.*'stem.0'"):
        write(plan, tmp_path / "record")
    assert not list(tmp_path.iterdir())


@WRITERS
def test_a_plan_without_calibration_or_network_says_what_it_lacks(plan: Plan, tmp_path: Path, write: Any) -> None:
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")
    with pytest.raises(PlanError, match=r"say which: model=\.\.\."):
        write(loaded, tmp_path / "record")
    with pytest.raises(PlanError, match=r"Plan.load\(path, calibration\)"):
        write(loaded, tmp_path / "record", EXAMPLE.model)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_plan_and_calibration_from_files_give_the_same_record(
    plan: Plan, calibration: Calibration, tmp_path: Path
) -> None:
    plan.save(tmp_path / "plan.json")
    calibration.save(tmp_path / "calibration.safetensors")
    loaded = Plan.load(tmp_path / "plan.json", Calibration.load(tmp_path / "calibration.safetensors"))
    assert written(loaded, tmp_path, model=EXAMPLE.model) == written(plan, tmp_path)


@WRITERS
def test_a_folder_that_is_not_there_is_named(plan: Plan, tmp_path: Path, write: Any) -> None:
    with pytest.raises(FileError, match=r"nowhere.record.*choose a folder that exists and is writable"):
        write(plan, tmp_path / "nowhere" / "record")


@WRITERS
def test_a_note_that_is_no_text_is_named_and_the_old_file_stays(plan: Plan, tmp_path: Path, write: Any) -> None:
    (tmp_path / "record").write_text("old")
    plan["stem.0"] = FixedPoint(8, 2)
    plan.commit(3.5)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"note: 3.5 is not of type 'string'; nothing was written"):
        write(plan, tmp_path / "record")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
