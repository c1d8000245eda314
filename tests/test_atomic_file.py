import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qwidgets.errors import FileError
from qwidgets.files import replacing
from tests.waiting import LONG


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_an_error_while_writing_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    with pytest.raises(FileError, match=r"plan.json: No space left on device"), replacing(target) as temporary:
        temporary.write_text("half")
        # /dev/full is the kernel's own full disk.
        Path("/dev/full").write_text("more")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileError, match=r"nowhere.*choose a folder that exists"),
        replacing(tmp_path / "nowhere" / "plan"),
    ):
        pytest.fail("nothing can be written there")


def test_a_kill_in_the_middle_of_a_save_leaves_the_old_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    target.write_text("old")
    program = (
        "import sys, time\n"
        "from qwidgets.files import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=LONG)
    assert target.read_text() == "old"


def test_errno_is_not_lost_for_programs_that_look_at_it(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught, replacing(tmp_path / "plan.json"):
        Path("/dev/full").write_text("more")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_the_new_file_has_the_permissions_that_the_umask_grants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "plan.json") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(before)
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o640
