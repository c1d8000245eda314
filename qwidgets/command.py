"""What ``python -m qwidgets`` does, for clusters and batch queues: calibrate, and print the table.

``calibrate`` saves its state every so often and when a signal ends it: each process in a file beside the one that is
wanted, ``stats.part-1-of-4.safetensors`` beside ``stats.safetensors``. With ``--resume`` it goes on from there. Under
``torchrun`` the processes count together. Errors of this package are told in a line, with exit code 2; a run that a
signal ended has the exit code that shells give it, 128 and the signal's number.
"""

import argparse
import contextlib
import functools
import importlib
import inspect
import itertools
import os
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import RandomSampler
from tqdm.auto import tqdm

from qwidgets.calibration import Calibration, Ranks, calibration_steps
from qwidgets.errors import CalibrationError, DataError, FileError, QwidgetsError
from qwidgets.feeding import batches_of, device_for, length_of
from qwidgets.files import place_of

SAVE_EVERY = 30.0
"""Seconds between two saves of the state."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks, and give the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.work(options)
    except QwidgetsError as error:
        _say(str(error))
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qwidgets", description="The bits of a trained network's tensors.")
    works = parser.add_subparsers(required=True, metavar="command")
    calibrate = works.add_parser(
        "calibrate",
        help="run a network over data, and count the values of each of its tensors",
        description="Run a network over data, and count the values of each of its tensors. Under torchrun the "
        "processes share the work: where all see the same data they take turns at the batches; where the data gives "
        "each its own, each counts that.",
    )
    calibrate.add_argument("model", metavar="package.module:model", help="a module, or a function that gives one")
    calibrate.add_argument(
        "data",
        metavar="package.module:data",
        help="what yields batches, or a function that gives it; to be resumed it must give them in the same order",
    )
    calibrate.add_argument("--out", type=Path, required=True, metavar="stats.safetensors", help="where to save")
    calibrate.add_argument("--device", help="where to run: by default a GPU if there is one")
    calibrate.add_argument(
        "--max-batches", type=_positive, metavar="N", help="stop after the first N batches of the data"
    )
    calibrate.add_argument("--resume", action="store_true", help="go on where a run that was ended stopped")
    calibrate.set_defaults(work=_calibrate)
    table = works.add_parser("table", help="print what was counted, a line for each tensor")
    table.add_argument("path", type=Path, metavar="stats.safetensors")
    table.set_defaults(work=_table)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} batches are none")
    return number


def _table(options: argparse.Namespace) -> int:
    calibration = Calibration.load(options.path)
    with pd.option_context("display.max_rows", None, "display.max_columns", None, "display.width", None):
        print(f"{calibration!r}\n{calibration.table().to_string()}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    stop = _Stop()
    try:
        with _group(options) as ranks:
            _Run(options, ranks, stop).work()
    except KeyboardInterrupt as interrupt:
        _say(str(interrupt) or f"stopped by {stop.signal.name}")
        return 128 + stop.signal
    return 0


@contextlib.contextmanager
def _group(options: argparse.Namespace) -> Iterator[Ranks | None]:
    """Join the processes that torchrun, or whoever sets the same variables, started with this one."""
    if not os.environ.keys() >= {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}:
        yield None
        return
    gpus = torch.cuda.device_count() if options.device in (None, "cuda") else 0
    if gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % gpus)
    each_has_one = gpus >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.distributed.init_process_group("nccl" if each_has_one else "gloo")
    with Ranks() as ranks:
        yield ranks
    torch.distributed.destroy_process_group()


class _Stop:
    """Hears the signals that end a run: each becomes a KeyboardInterrupt, which waits for the end of a batch."""

    def __init__(self) -> None:
        self.signal = signal.SIGINT
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the background jobs of a shell ignore it
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal != number:
            self.signal = signal.Signals(number)
            signal.raise_signal(signal.SIGINT)

    def hear_no_more(self) -> None:
        """Let the state be saved undisturbed."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


class _Run:
    """One run of ``calibrate``, in one process or in one of several."""

    def __init__(self, options: argparse.Namespace, ranks: Ranks | None, stop: _Stop) -> None:
        self.options = options
        self.ranks = ranks
        self.stop = stop
        self.rank, self.size = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        self.out: Path = options.out
        self.part = self._part(self.rank + 1, self.size)

    def work(self) -> None:
        """Count, sum and save."""
        before = self._state()
        if self.options.resume and self.out.exists() and not any(self._gathered(before is not None)):
            self._say(f"{self.out} is finished: {Calibration.load(self.out)!r}")
            return
        model = _named(self.options.model, lambda found: isinstance(found, nn.Module))
        data = _named(self.options.data, lambda found: hasattr(found, "__iter__"))
        calibration = self._counted(model, self._share(data, before), before)
        if self.ranks is not None:
            calibration = Calibration.from_ranks(self.ranks, calibration, device_for(model, self.options.device))
        assert calibration is not None
        if self.rank == 0:
            calibration.save(self.out)
            self._say(f"{self.out}: {calibration!r}")
        self._gathered("saved")
        self.part.unlink(missing_ok=True)

    def _state(self) -> Calibration | None:
        """Give what an earlier run left for this process to go on with."""
        if not self.out.parent.is_dir():
            raise FileError(f"cannot write {self.out}: there is no folder {self.out.parent}")
        place_of(self.out)  # or all would be counted before it is seen that it cannot be saved
        left = sorted(self.out.parent.glob(self._part("*", "*").name))
        ours = {self._part(rank + 1, self.size) for rank in range(self.size)}
        if foreign := [path for path in left if path not in ours]:
            raise FileError(f"{foreign[0]} is of a run with another number of processes: start as many, or delete it")
        if left and not self.options.resume:
            raise FileError(f"{left[0]} is of a run that did not end: go on with it by --resume, or delete it")
        return Calibration.load(self.part) if self.part.exists() else None

    def _share(self, data: Iterable[Any], before: Calibration | None) -> "_Share":
        """Give the batches that are left for this process to count."""
        batches: Iterator[Any] = itertools.islice(batches_of(data), self.options.max_batches)
        length = length_of(data, self.options.max_batches)
        begin = list(itertools.islice(batches, 1))
        batches = itertools.chain(begin, batches)
        if self.ranks is not None and len(set(self._gathered(_fingerprint(begin)))) == 1:
            self._say(f"the {self.size} processes take turns at the batches")
            batches = itertools.islice(batches, self.rank, None, self.size)
            length = None if length is None else len(range(self.rank, length, self.size))
        elif self.ranks is not None:
            self._say(f"each of the {self.size} processes has data of its own")
        done = 0 if before is None else before.batches
        sampler = getattr(data, "sampler", None)
        if done and isinstance(sampler, RandomSampler) and sampler.generator is None:
            raise DataError(
                f"{self.options.data} is shuffled otherwise in each run, so that it cannot be told which batches were "
                "counted; do not shuffle, or give the loader a generator with a seed, and start anew"
            )
        return _Share(itertools.islice(batches, done, None), None if length is None else max(length - done, 0))

    def _counted(self, model: nn.Module, share: "_Share", before: Calibration | None) -> Calibration | None:
        """Count the share, and save now and then; None for a process of several that has no batch."""
        first = list(itertools.islice(share.batches, 1))
        if not first and before is None and self.ranks is not None:
            return None
        share.batches = itertools.chain(first, share.batches)
        calibration = before
        saved = time.monotonic()
        begun = 0 if before is None else before.batches
        total = None if share.length is None else begun + share.length
        pause = 0.1 if sys.stderr.isatty() else 10  # a log file wants fewer lines
        bar = tqdm(total=total, initial=begun, unit="batch", disable=self.rank != 0, mininterval=pause)
        try:
            with bar:
                for calibration in calibration_steps(model, share, device=self.options.device, into=before):
                    bar.update(calibration.batches - bar.n)
                    if time.monotonic() - saved >= SAVE_EVERY:
                        calibration.save(self.part)
                        saved = time.monotonic()
                    self._look_at_the_others(calibration)
            if self.ranks is not None and calibration is not None:
                calibration.save(self.part)
        except KeyboardInterrupt:
            self.stop.hear_no_more()
            if calibration is not None:
                calibration.save(self.part)
            count = begun if calibration is None else calibration.batches
            words = f"stopped by {self.stop.signal.name} after {count} batches; --resume goes on from there"
            raise KeyboardInterrupt(words) from None
        return calibration

    def _look_at_the_others(self, calibration: Calibration) -> None:
        try:
            if self.ranks is not None:
                self.ranks.check()
        except CalibrationError:
            calibration.save(self.part)
            raise

    def _part(self, number: int | str, size: int | str) -> Path:
        return self.out.with_name(f"{self.out.stem}.part-{number}-of-{size}{self.out.suffix}")

    def _gathered(self, own: Any) -> list[Any]:
        return [own] if self.ranks is None else self.ranks.gathered(own)

    def _say(self, words: str) -> None:
        if self.rank == 0:
            _say(words)


class _Share:
    """Batches, and how many if that is known."""

    def __init__(self, batches: Iterator[Any], length: int | None) -> None:
        self.batches = batches
        self.length = length

    def __iter__(self) -> Iterator[Any]:
        return self.batches

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("not known")
        return self.length


def _named(text: str, is_wanted: Callable[[object], bool]) -> Any:
    """Give the object that ``package.module:name`` is, or the one that the function or class of this name gives."""
    path, _, name = text.partition(":")
    if not path or not name:
        raise DataError(f"{text!r} names nothing in a module: write package.module:name")
    try:
        found: Any = functools.reduce(getattr, name.split("."), importlib.import_module(path))
    except (ImportError, AttributeError) as error:
        raise DataError(f"cannot find {text}: {error}; modules are looked for here and on PYTHONPATH") from error
    if callable(found) and (isinstance(found, type) or not is_wanted(found)):
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            raise DataError(f"{text} cannot be called without arguments: {error}") from error
        return found()
    return found


def _fingerprint(batches: list[Any]) -> int:
    """Give a number that differs where the tensors do."""
    total = len(batches)
    for leaf in pytree.tree_leaves(batches):
        if isinstance(leaf, Tensor):
            leaf = leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        if isinstance(leaf, np.ndarray):
            total = zlib.crc32(leaf.tobytes(), total)
    return total


def _say(words: str) -> None:
    print(f"qwidgets: {words}", file=sys.stderr)
