"""Plans that are read again: whole, or refused by name; edited by hand, and then with a note."""

import base64
import json
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qwidgets import Calibration, FixedPoint, Plan, calibrate
from qwidgets.errors import EditedFileWarning, FileError, PlanError, QwidgetsError
from qwidgets.files import checked_json
from qwidgets.tuning import plan_file
from tests.loud_and_quiet import mendable
from tests.mutations import mutated

NETWORK, DATA = mendable()
MUTATIONS = 400


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(NETWORK, DATA, device="cpu", progress=False)


@pytest.fixture(scope="module")
def whole(calibration: Calibration, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that a plan's file can hold."""
    plan = calibration.propose(word_length=4, per_channel=True)
    plan.equalize(DATA, progress=False)
    plan.set_rounding("floor")
    plan.commit()
    plan.round_adaptively(DATA, progress=False)
    assert plan.adjustments.factors and plan.adjustments.shifts and plan.adjustments.roundings
    plan["0.weight"] = FixedPoint(6, 3)
    plan.lock("2.weight")
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    plan.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content["history"]:  # so that the mutations are the same today and tomorrow
        entry.update(when="2026-01-01T00:00:00+00:00", who="anybody")
    del content["checksum"]
    head = {"qwidgets": "plan", "schema": plan_file.SCHEMA, "checksum": checked_json.checksum(content)}
    return json.dumps({**head, **content}, indent=1)


@pytest.fixture
def path(whole: str, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(whole, encoding="utf-8")
    return path


def state(plan: Plan) -> tuple[Any, ...]:
    """All that a plan holds, as what can be compared."""
    made = plan.adjustments
    return (
        dict(plan.committed),
        dict(plan.drafts),
        plan.locked,
        plan.history,
        plan.rows,
        plan.network,
        {row: [part.tolist() for part in parts] for row, parts in made.factors.items()},
        {row: shift.tolist() for row, shift in made.shifts.items()},
        {row: (rounding.fmt, rounding.offsets.tolist()) for row, rounding in made.roundings.items()},
    )


def edited(text: str, edit: Callable[[Any], object], checksum: str | None = plan_file.EDITED) -> str:
    content = json.loads(text)
    edit(content)
    if checksum is not None:
        content["checksum"] = checksum
    return json.dumps(content)


def as_older(text: str) -> str:
    """What a version before the checksum wrote."""
    content = json.loads(text)
    del content["checksum"]
    return json.dumps(content | {"schema": 2})


def wider(content: Any) -> None:
    content["tensors"][0]["format"]["fraction_length"] -= 1


def test_of_mutated_files_none_loads_as_something_else(whole: str, path: Path, calibration: Calibration) -> None:
    right = state(Plan.load(path, calibration))
    refused = 0
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(whole.encode(), seed))
        try:
            loaded = Plan.load(path, calibration if seed % 2 else None)
        except QwidgetsError:
            refused += 1
        else:
            assert state(loaded) == right, f"seed {seed}"
    assert refused > MUTATIONS / 2


def test_a_mutated_older_file_never_has_other_formats_than_its_history(
    whole: str, path: Path, calibration: Calibration
) -> None:
    older = as_older(whole)
    path.write_text(older)
    right = state(Plan.load(path, calibration))
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(older.encode(), seed))
        try:
            loaded = Plan.load(path)
        except QwidgetsError:
            continue
        assert loaded.committed == right[0], f"seed {seed}"


def test_every_digit_of_a_format_that_changes_is_noticed(whole: str, path: Path) -> None:
    lines = whole.splitlines()
    numbers = [place for place, line in enumerate(lines) if "_length" in line]
    assert len(numbers) > 20
    for place in numbers:
        digits = [at for at, letter in enumerate(lines[place]) if letter in "1234567890"]
        for at in digits:
            changed = lines[place][:at] + chr(ord(lines[place][at]) ^ 1) + lines[place][at + 1 :]
            path.write_text("\n".join([*lines[:place], changed, *lines[place + 1 :]]))
            with pytest.raises(FileError):
                Plan.load(path)


def test_an_older_file_whose_history_tells_of_another_format_names_the_tensor(whole: str, path: Path) -> None:
    content = json.loads(as_older(whole))
    wider(content)
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match=r"'input' has the format .*, and its history leads to .*edited by hand"):
        Plan.load(path)


def test_an_older_file_without_a_checksum_loads(whole: str, path: Path, calibration: Calibration) -> None:
    right = state(Plan.load(path, calibration))
    path.write_text(as_older(whole))
    assert state(Plan.load(path, calibration)) == right


def test_a_file_that_lost_its_checksum_is_refused(whole: str, path: Path) -> None:
    content = json.loads(whole)
    del content["checksum"]
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match="its checksum is another"):
        Plan.load(path)


def test_the_layout_of_the_text_does_not_matter(whole: str, path: Path, calibration: Calibration) -> None:
    right = state(Plan.load(path, calibration))
    path.write_text(json.dumps(json.loads(whole), indent=4, sort_keys=True))
    assert state(Plan.load(path, calibration)) == right
    path.write_text(whole, encoding="utf-8-sig", newline="\r\n")  # as other systems' editors do
    assert state(Plan.load(path, calibration)) == right


@pytest.mark.parametrize("older", [False, True])
def test_what_the_error_advises_for_an_edit_by_hand_takes_it_with_a_note(
    whole: str, path: Path, calibration: Calibration, older: bool
) -> None:
    before = Plan.load(path, calibration)
    text = as_older(whole) if older else whole
    path.write_text(edited(text, wider, checksum=None))
    with pytest.raises(FileError, match=r'If you edited it, write "checksum": "edited by hand" in it'):
        Plan.load(path, calibration)
    path.write_text(edited(text, wider))
    with pytest.warns(EditedFileWarning, match="edited by hand") as caught:
        plan = Plan.load(path, calibration)
    assert caught[0].filename == __file__
    was, now = before["input"], plan["input"]
    assert isinstance(was, FixedPoint) and isinstance(now, FixedPoint)
    assert now.fraction_length == was.fraction_length - 1
    assert plan.history[:-1] == before.history
    assert dict(plan.history[-1].changes) == {"input": (was, now)}
    assert "edited by hand in plan.json" in plan.history[-1].note

    plan.save(path)  # and from then on it is a file like any other
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Plan.load(path, calibration)
    assert state(again) == state(plan)


def test_what_a_person_edits_must_still_make_sense(whole: str, path: Path) -> None:
    def per_channel(content: Any) -> None:
        content["tensors"][0]["format"] = content["tensors"][1]["format"]

    def history(content: Any) -> None:
        content["history"][1]["changes"]["0"]["from"]["fraction_length"] += 7

    for edit, message in ((per_channel, "'input' cannot have formats per channel"), (history, "changes '0' from")):
        path.write_text(edited(whole, edit))
        with pytest.raises(FileError, match=message):
            Plan.load(path)


def test_an_edited_file_that_plan_open_takes_is_one_step_that_undo_takes_back(
    whole: str, path: Path, calibration: Calibration
) -> None:
    plan = Plan.load(path, calibration)
    before = state(plan)
    path.write_text(edited(whole, wider))
    with pytest.warns(EditedFileWarning):
        plan.open(path)
    assert state(plan) != before
    plan.undo()
    assert state(plan) == before


def shifted(**changes: Any) -> Callable[[Any], None]:
    def edit(content: Any) -> None:
        content["adjustments"]["shifts"]["2.bias"].update(changes)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (shifted(shape=[float("inf")]), "shifts/2.bias/shape/0"),
        (shifted(shape=[3]), "'2.bias' has not its shape"),
        (shifted(shape=[2.0]), "shifts/2.bias/shape/0"),
        (shifted(type="int64"), "array of int64 stands where one of float64 should"),
        (shifted(data="???"), "base64"),
        (shifted(data=base64.b64encode(b"nonsense").decode()), "cannot be read"),
        (shifted(data=base64.b64encode(zlib.compress(bytes(15))).decode()), "length"),
        (shifted(data=base64.b64encode(zlib.compress(bytes(16))[:-2]).decode()), "length"),
        (shifted(data=base64.b64encode(zlib.compress(b"\xff" * 16)).decode()), "'2.bias' is not finite"),
        (lambda content: content["adjustments"]["factors"].update(nowhere=[]), "there is no tensor 'nowhere'"),
        (lambda content: content["adjustments"]["factors"]["0"].clear(), "'0' has 0 arrays of factors"),
        (lambda content: content["adjustments"]["histograms"]["0"].pop("bins"), "the histogram of '0'"),
        (lambda content: content["adjustments"]["roundings"]["0.weight"].update(format=None), "has no format"),
        (lambda content: content["tensors"].append(content["tensors"][0]), "two have one name"),
        (lambda content: content["tensors"][0].update(format="accumulator"), "'input' cannot have"),
        (lambda content: content["tensors"][0].update(format="none"), "there is no format 'none'"),
        (lambda content: content["tensors"][0]["format"].update(fraction_lengths=[1]), "a format of 'input'"),
        (lambda content: content["tensors"][0]["format"].pop("signed"), "'signed'"),
        (lambda content: content["tensors"][0].update(kind="else"), "tensors/0/kind"),
        (lambda content: content["history"][0]["changes"].update(nowhere={"from": None, "to": None}), "'nowhere'"),
        (lambda content: content["history"][0].update(note="\ud83d"), "surrogates"),
    ],
)
def test_what_makes_no_sense_is_named(whole: str, path: Path, edit: Callable[[Any], object], message: str) -> None:
    path.write_text(edited(whole, edit))
    with pytest.raises(FileError, match=message):
        Plan.load(path)


def test_nesting_without_end_is_refused(whole: str, path: Path) -> None:
    for levels in (200, 100_000):
        path.write_text(whole.rstrip()[:-1] + ',"x":' + "[" * levels + "]" * levels + "}")
        with pytest.raises(FileError, match="levels deep"):
            Plan.load(path)


def test_no_more_is_unpacked_than_the_shape_asks_for(whole: str, path: Path) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(1 << 27), 9)).decode()
    path.write_text(edited(whole, shifted(data=bomb)))
    path.with_name("whole.json").write_text(whole)
    del bomb
    assert Plan.load(path.with_name("whole.json"))  # what is imported now does not count
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="length"):
            Plan.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_file_too_long_to_be_a_plan_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(plan_file.MOST_BYTES + 1)
    with pytest.raises(FileError, match=r"268,435,457 bytes"):
        Plan.load(tmp_path / "long.json")


def test_half_an_emoji_in_a_note_becomes_one_character_and_the_plan_can_be_saved(
    calibration: Calibration, tmp_path: Path
) -> None:
    plan = calibration.propose()
    notes = {"half \ud83d": "half \ufffd", "\udc4d half": "\ufffd half", "a pair \ud83d\udc4d": "a pair 👍"}
    for note, kept in notes.items():
        plan["input"] = None if plan["input"] else FixedPoint()
        assert plan.commit(note).note == kept
        plan.save(tmp_path / "plan.json")
        assert Plan.load(tmp_path / "plan.json", calibration).history[-1].note == kept
        plan.report(tmp_path / "page.html")
        assert kept in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_name_that_no_file_can_hold_is_named_and_the_old_file_stays(path: Path, calibration: Calibration) -> None:
    before = path.read_text()
    plan = calibration.propose()
    plan.network = "Half\ud83d"
    with pytest.raises(FileError, match=r"half a character"):
        plan.save(path)
    assert path.read_text() == before


def test_a_plan_of_other_weights_and_shapes_is_told_apart_before_its_arrays_are_used(
    path: Path, calibration: Calibration
) -> None:
    other = calibrate(torch.nn.Sequential(torch.nn.Linear(24, 5)), DATA, device="cpu", progress=False)
    with pytest.raises(PlanError, match="does not fit"):
        Plan.load(path, other)
