"""Several processes count exactly what one counts; one that fails or dies ends the others, and is named."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from qwidgets.calibration import Calibration, calibrate
from tests.networks import ResNet, lively
from tests.waiting import LONG, one_thread

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
PREAMBLE = """
import fcntl, os, signal, sys, time
import torch, torch.distributed as dist
from qwidgets.calibration import ranks
from qwidgets.calibration import Calibration, calibrate
from qwidgets.errors import CalibrationError
from tests.networks import ResNet, lively
from tests.test_ranks import SHARES, batches, network
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
"""

# Which batches each process is given: none in a row of one length, and one process without any.
SHARES = {2: [(0, 1, 2, 3, 4, 5), ()], 4: [(2,), (), (5, 0, 4), (3, 1)]}


def network() -> torch.nn.Module:
    torch.manual_seed(11)
    return lively(ResNet())


def batches() -> list[torch.Tensor]:
    """Each of another size, with values that no other has."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(2 + index, 3, 10, 10, generator=generator) * 4.0**index for index in range(6)]


def torchrun(program: str, processes: int, folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "program.py"
    script.write_text(PREAMBLE + textwrap.dedent(program))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        str(script),
    ]
    return subprocess.run(
        launch, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=LONG, check=False
    )


@pytest.mark.parametrize("processes", [2, 4])
def test_uneven_shares_sum_to_what_one_process_counts(processes: int, tmp_path: Path) -> None:
    run = torchrun(
        """
        own = [batches()[index] for index in SHARES[size][rank]]
        calibration = calibrate(network(), own, device="cpu", progress=False)
        calibration.save(f"{rank}.safetensors")
        """,
        processes,
        tmp_path,
    )
    assert run.returncode == 0, run.stderr
    with one_thread():
        alone = calibrate(network(), batches(), device="cpu", progress=False)
    for rank in range(processes):
        summed = Calibration.load(tmp_path / f"{rank}.safetensors")
        assert summed.table().equals(alone.table())
        assert all(summed[name] == alone[name] for name in alone)
        assert all(torch.equal(summed.values(name), values) for name, values in alone.parameters.items())
        assert (summed.batches, summed.total_batches, summed.complete, summed.device) == (6, 6, True, "cpu")


def test_a_group_adds_to_what_was_there_may_be_left_out_and_needs_data(tmp_path: Path) -> None:
    run = torchrun(
        """
        before = calibrate(network(), batches()[:2], device="cpu", progress=False, merge_ranks=False)
        both = calibrate(network(), batches()[2 + rank::size], device="cpu", progress=False, into=before)
        assert both is before
        both.save(f"{rank}.safetensors")
        if rank == 0:
            assert calibrate(network(), batches()[:2], device="cpu", progress=False, merge_ranks=False).batches == 2
        try:
            calibrate(network(), [], device="cpu", progress=False)
        except CalibrationError as error:
            assert "no process was given any batch" in str(error), error
        else:
            raise SystemExit("no error")
        """,
        2,
        tmp_path,
    )
    assert run.returncode == 0, run.stderr
    with one_thread():
        alone = calibrate(network(), batches(), device="cpu", progress=False)
    for rank in range(2):
        assert Calibration.load(tmp_path / f"{rank}.safetensors").table().equals(alone.table())


# Not under torchrun, which ends the processes itself when one of them does.


def alone_together(program: str, folder: Path) -> list[subprocess.Popen[str]]:
    """Start three processes of a group that nothing looks after."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = folder / "program.py"
    script.write_text(PREAMBLE + "ranks.SILENCE = 20.0\n" + textwrap.dedent(program))
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "3"}
    return [
        subprocess.Popen(
            [sys.executable, script],
            cwd=folder,
            env=ENVIRONMENT | group | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """The exit code of each process, and the last line that it wrote of an error."""
    try:
        errors = [process.communicate(timeout=LONG)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


def test_what_fails_in_one_process_ends_all_with_its_words(tmp_path: Path) -> None:
    program = """
    own = [torch.randn(2, 3, 10, 10), torch.randn(2, 4, 10, 10)] if rank == 1 else [torch.randn(2, 3, 10, 10)]
    try:
        calibrate(network(), own, device="cpu", progress=False)
    except CalibrationError as error:
        print(error, file=sys.stderr)
        assert error.calibration.batches == 1 or rank != 1  # the others are ended whenever they hear of it
    model = network()
    if rank == 2:
        model.fc.bias.data += 1
    calibrate(model, batches()[:1], device="cpu", progress=False)
    """
    for rank, (code, text) in enumerate(ends(alone_together(program, tmp_path))):
        assert code == 1, text
        assert "batch 1 failed: input 0 is (2, 4, 10, 10)" in text
        assert ("rank 1 failed" in text) == (rank != 1)
        assert "the values of fc.bias differ, so these are other weights" in text
        assert ("rank 2 failed" in text) == (rank != 2)


def test_a_process_that_is_gone_before_the_others_come_is_named(tmp_path: Path) -> None:
    program = """
    alive = open(f"{rank}.alive", "w")
    fcntl.flock(alive, fcntl.LOCK_EX)
    open(f"{rank}.ready", "w").close()
    while not all(os.path.exists(f"{each}.ready") for each in range(size)):
        time.sleep(0.05)
    if rank == 0:
        os._exit(0)
    fcntl.flock(open("0.alive"), fcntl.LOCK_SH)  # comes when rank 0 is gone
    calibrate(network(), batches()[:1], device="cpu", progress=False)
    """
    _, *others = ends(alone_together(program, tmp_path))
    for code, text in others:
        assert code == 1, text
        assert "CalibrationError: rank 0, which keeps what the processes tell each other, is gone" in text


@pytest.mark.parametrize(("victim", "others"), [(0, "count"), (2, "wait")])
def test_a_process_that_is_killed_ends_the_others_and_is_named(victim: int, others: str, tmp_path: Path) -> None:
    # The others are counting on and on, or have counted and wait for the sum.
    program = f"""
    def data():
        yield batches()[0]
        while rank == {victim} or {others == "count"}:
            time.sleep(0.2)
            if rank == {victim}:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batches()[0]
    calibrate(network(), data(), device="cpu", progress=False).save("stats.safetensors")
    """
    before = b"what was saved before"
    (tmp_path / "stats.safetensors").write_bytes(before)
    for rank, (code, text) in enumerate(ends(alone_together(program, tmp_path))):
        assert code == (-9 if rank == victim else 1), text
        assert rank == victim or f"rank {victim}" in text.splitlines()[-1]
    assert (tmp_path / "stats.safetensors").read_bytes() == before
