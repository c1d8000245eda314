import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qwidgets import Calibration, Plan, calibrate
from qwidgets.errors import FileError
from qwidgets.export.c_code.folder import check_folder, replace_folder
from qwidgets.files import replacing


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(torch.nn.Linear(4, 2), [torch.ones(2, 4)], device="cpu", progress=False)


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


NO_PATHS: list[Any] = ["", "a\0b", "half\ud83d", None, 3, b"bytes"]


@pytest.mark.parametrize("path", NO_PATHS, ids=repr)
@pytest.mark.parametrize("verb", ["save a plan", "save a calibration", "load a plan", "load a calibration", "report"])
def test_what_can_name_no_file_is_refused_by_everything_that_reads_or_writes_one(
    calibration: Calibration, path: Any, verb: str
) -> None:
    plan = calibration.propose()
    verbs: dict[str, Callable[[Any], object]] = {
        "save a plan": plan.save,
        "save a calibration": calibration.save,
        "load a plan": Plan.load,
        "load a calibration": Calibration.load,
        "report": plan.report,
    }
    with pytest.raises(FileError, match="path|called"):
        verbs[verb](path)


@pytest.mark.parametrize("path", NO_PATHS, ids=repr)
def test_what_can_name_no_folder_is_refused(path: Any) -> None:
    with pytest.raises(FileError, match="path|called"):
        replace_folder(path, {"file": "text"}, ())
    with pytest.raises(FileError, match="path|called"):
        check_folder(path, ())


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_text("old")
    (tmp_path / "link").symlink_to(Path("folder", "real"))
    (tmp_path / "link to it").symlink_to("link")
    write(tmp_path / "link to it")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "link to it").is_symlink()
    assert (tmp_path / "folder" / "real").read_text() == "new"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["real"]


def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("later")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "later").read_text() == "new"


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(FileError, match="circle"):
        write(tmp_path / "one")
    with pytest.raises(FileError, match="cannot read"):
        Plan.load(tmp_path / "one")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    target.chmod(mode)
    with replacing(target) as temporary:
        assert permissions(temporary) & ~mode & 0o077 == 0  # nor can others read it while it is written
        temporary.write_text("new")
    assert permissions(target) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    os.chown(target, 12345, 23456)
    target.chmod(0o600)
    write(target)
    after = target.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (12345, 23456, 0o600)


def test_a_pipe_and_a_folder_are_refused_and_stay(tmp_path: Path, calibration: Calibration) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a device, a pipe or a socket"), ("folder", "a folder")):
        for work in (calibration.save, calibration.propose().save, Plan.load, Calibration.load):
            with pytest.raises(FileError, match=f"{name}: it is {kind} and not a file"):
                work(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "folder").is_dir()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="there are no devices here")
def test_devices_are_refused_and_stay(calibration: Calibration) -> None:
    with pytest.raises(FileError, match="device"):
        calibration.propose().save("/dev/null")
    with pytest.raises(FileError, match="device"):
        Plan.load("/dev/zero")  # which has no end
    assert Path("/dev/null").is_char_device()


def test_the_longest_name_that_the_system_takes_is_taken(tmp_path: Path) -> None:
    write(tmp_path / ("n" * 255))
    assert (tmp_path / ("n" * 255)).read_text() == "new"
    with pytest.raises(FileError, match="choose a shorter name"):
        write(tmp_path / ("n" * 256))


def test_two_that_write_one_file_leave_the_whole_of_one(tmp_path: Path) -> None:
    texts = {letter: letter * 100_000 for letter in "abcd"}
    threads = [threading.Thread(target=write, args=(tmp_path / "plan.json", text)) for text in texts.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "plan.json").read_text() in texts.values()
    assert len(list(tmp_path.iterdir())) == 1
