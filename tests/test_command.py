"""The command line, in processes of its own: what it saves, how signals end it, and how it goes on."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qwidgets.calibration import Calibration, calibrate
from qwidgets.command import main
from tests.test_ranks import ENVIRONMENT, batches, network
from tests.waiting import LONG, one_thread

# The batches come slowly where a file says so, so that there is time to send a signal.
MODULE = """
import os, pathlib, sys, time
import qwidgets.command
import torch
import torch.distributed as dist
from tests.test_ranks import SHARES, batches, network
qwidgets.command.SAVE_EVERY = 0.0
model = network()
own_shares = lambda: [batches()[index] for index in SHARES[2][dist.get_rank()]]
def data():
    for index, batch in enumerate(batches()):
        print("fetched", index, flush=True)
        if index == 3 and pathlib.Path("slow").exists():
            time.sleep(600)
        yield batch
def fails():
    yield from batches()[:2]
    raise OSError("the disk is gone")
needs = lambda path: path
shuffled = torch.utils.data.DataLoader(torch.zeros(8, 3, 10, 10), batch_size=2, shuffle=True)
"""


OnProgress = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def command(folder: Path, *arguments: str, processes: int = 0) -> subprocess.Popen[str]:
    launch = [sys.executable, "-m"]
    if processes:
        launch += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    return subprocess.Popen(
        [*launch, "qwidgets", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        output, errors = process.communicate(timeout=LONG)
    finally:
        process.kill()
    return process.returncode, output, errors


RUN = ("calibrate", "mine:model", "mine:data", "--out", "stats.safetensors", "--device", "cpu")


def assert_counted(path: Path, of: int = 6) -> None:
    with one_thread():
        alone = calibrate(network(), batches()[:of], device="cpu", progress=False)
    saved = Calibration.load(path)
    assert saved.table().equals(alone.table())
    assert all(saved[name] == alone[name] for name in alone)
    assert (saved.batches, saved.complete) == (of, True)


def stop_within(process: subprocess.Popen[str], number: int, begun: str) -> None:
    """Send a signal once the process has begun to fetch a batch that takes long to come."""
    assert process.stdout is not None
    for line in process.stdout:
        if begun in line:
            break
    process.send_signal(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_state_and_a_resumed_run_gives_the_counts_of_a_whole_one(number: int, folder: Path) -> None:
    (folder / "slow").touch()
    process = command(folder, *RUN)
    stop_within(process, number, "fetched 3")
    code, _, errors = done(process)
    assert code == 128 + number, errors
    assert "after 3 batches; --resume" in errors
    assert "Traceback" not in errors
    part = folder / "stats.part-1-of-1.safetensors"
    assert Calibration.load(part).batches == 3
    assert not (folder / "stats.safetensors").exists()

    (folder / "slow").unlink()
    code, _, errors = done(command(folder, *RUN, "--resume"))
    assert code == 0, errors
    assert_counted(folder / "stats.safetensors")
    assert not part.exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_from_the_last_save_and_a_finished_one_has_nothing_to_do(folder: Path) -> None:
    (folder / "slow").touch()
    process = command(folder, *RUN, "--max-batches", "5")
    stop_within(process, signal.SIGKILL, "fetched 3")
    assert done(process)[0] == -signal.SIGKILL
    (folder / "slow").unlink()
    code, _, errors = done(command(folder, *RUN, "--max-batches", "5", "--resume"))
    assert code == 0, errors
    assert_counted(folder / "stats.safetensors", of=5)

    code, output, errors = done(command(folder, *RUN, "--max-batches", "5", "--resume"))
    assert (code, output) == (0, "")
    assert "is finished" in errors
    code, output, _ = done(command(folder, "table", "stats.safetensors"))
    assert code == 0
    assert re.search(r"^fc.weight +fc +fc +weight +linear +\(5, 4\) +20 ", output, re.MULTILINE)


@pytest.fixture
def told(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[OnProgress]:
    """Runs the command in this process, where it ends with an error, and gives what it says."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr("qwidgets.command.SAVE_EVERY", 0.0)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> str:
        try:
            code: object = main(arguments)
        except SystemExit as ended:  # by argparse
            code = ended.code
        assert code == 2
        return capsys.readouterr().err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("calibrate", "mine:nothing", "mine:data", "--out", "o"), "has no attribute 'nothing'"),
        (("calibrate", "nowhere:model", "mine:data", "--out", "o"), "No module named 'nowhere'"),
        (("calibrate", "mine", "mine:data", "--out", "o"), "write package.module:name"),
        (("calibrate", "mine:model", "mine:needs", "--out", "o"), "without arguments: missing a required argument"),
        (("calibrate", "mine:model", "mine:fails", "--out", "o"), "batch 2 failed: OSError: the disk is gone"),
        (("calibrate", "mine:model", "mine:data", "--out", "no/folder"), "there is no folder no"),
        (("calibrate", "mine:model", "mine:fails", "--out", "/dev/null"), "/dev/null: it is a device"),
        (("calibrate", "mine:model", "mine:data", "--out", "o", "--max-batches", "0"), "0 batches are none"),
        (("table", "mine.py"), "mine.py is damaged, or no calibration"),
        ((), "arguments are required: command"),
    ],
)
def test_errors_are_told_without_a_traceback(
    arguments: tuple[str, ...], words: str, told: OnProgress, folder: Path
) -> None:
    assert words in told(*arguments)
    assert not (folder / "o").exists()


def test_what_was_begun_is_neither_overwritten_nor_resumed_by_another_number_of_processes(
    told: OnProgress, folder: Path
) -> None:
    for part, words in [("1-of-1", "--resume"), ("2-of-3", "another number of processes")]:
        path = folder / f"stats.part-{part}.safetensors"
        path.write_text("hours of work")
        assert words in told(*RUN)
        assert path.read_text() == "hours of work"
        path.unlink()


def test_data_that_comes_in_another_order_each_time_is_not_resumed(told: OnProgress, folder: Path) -> None:
    counted = calibrate(network(), batches()[:2], device="cpu", progress=False)
    counted.save(folder / "stats.part-1-of-1.safetensors")
    arguments = ["mine:shuffled" if argument == "mine:data" else argument for argument in RUN]
    assert "mine:shuffled is shuffled otherwise in each run" in told(*arguments, "--resume")
    assert Calibration.load(folder / "stats.part-1-of-1.safetensors").batches == 2


@pytest.mark.slow
@pytest.mark.parametrize("data", ["mine:data", "mine:own_shares"])
def test_several_processes_share_what_is_the_same_and_add_what_is_their_own(data: str, folder: Path) -> None:
    arguments = [data if argument == "mine:data" else argument for argument in RUN]
    code, _, errors = done(command(folder, *arguments, processes=2))
    assert code == 0, errors
    assert ("take turns" in errors) == (data == "mine:data")
    assert_counted(folder / "stats.safetensors")
    assert [path.name for path in folder.glob("stats*")] == ["stats.safetensors"]


@pytest.mark.slow
def test_several_processes_that_a_signal_ended_go_on(folder: Path) -> None:
    (folder / "slow").touch()
    process = command(folder, *RUN, processes=2)
    stop_within(process, signal.SIGTERM, "fetched 3")
    assert done(process)[0] != 0
    assert list(folder.glob("stats.part-?-of-2.safetensors"))
    (folder / "slow").unlink()
    code, _, errors = done(command(folder, *RUN, "--resume", processes=2))
    assert code == 0, errors
    assert_counted(folder / "stats.safetensors")
    assert [path.name for path in folder.glob("stats*")] == ["stats.safetensors"]
