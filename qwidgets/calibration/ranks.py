"""The processes of a ``torch.distributed`` group, while they count together.

Through the group's store each shows that it is alive, says when it fails, and watches one other; so a process that
fails or dies ends all others with an error that names it, and none waits for it. Counts are summed as 64-bit integers
by all_reduce: whatever the number of processes, the sum is the same. Nothing here knows what a calibration is.
"""

import contextlib
import datetime
import itertools
import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
import torch.distributed
from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

from qwidgets.errors import CalibrationError
from qwidgets.histograms import BINS, CELLS, BitHistogram

SILENCE = 60.0
"""Seconds without a sign of life after which a process counts as dead."""

ARRIVAL = 1800.0
"""Seconds that a process may take to come to the place where all count together."""

_PULSE = 1.0
_ROWS_AT_ONCE = 32  # 36 MB
_sessions = itertools.count()  # the same in each process, as each enters the same ones in the same order


def in_group() -> bool:
    """Whether this is one of the processes of a group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class Ranks:
    """All processes of the default group; a context that each enters, and in which it is watched.

    A process that leaves the context with an exception has failed, and so have then all the others.

    Attributes
    ----------
    rank, size
        The number of this process, and how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._store = PrefixStore(f"qwidgets/{next(_sessions)}", _connection())
        self._stages = itertools.count()
        self._trouble = ""
        self._left = threading.Event()
        self._watch = threading.Thread(target=self._watch_neighbour, name="qwidgets ranks", daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the store may be gone, with the process that kept it
            if error is not None and not self._trouble:
                self._report(f"rank {self.rank} failed: {str(error) or type(error).__name__}")
                time.sleep(2 * _PULSE)  # the store may end with this process: let the others hear first
            self._store.set(f"left/{self.rank}", "")
            if error is None and self.rank == 0:  # who keeps the store leaves last
                everyone = [f"left/{rank}" for rank in range(self.size)]
                self._wait_until(lambda: bool(self._store.check(everyone)))
        self._left.set()
        self._watch.join()

    def check(self) -> None:
        """Do nothing while all is well.

        Raises
        ------
        CalibrationError
            A process failed or died; the text names it.
        """
        if self._trouble:
            raise CalibrationError(self._trouble)

    def gathered(self, own: Any) -> list[Any]:
        """Give what each process gives, a value that JSON can hold, once all have.

        Raises
        ------
        CalibrationError
            See `check`.
        """
        stage = next(self._stages)
        keys = [f"{stage}/{rank}" for rank in range(self.size)]
        with self._named():
            self._store.set(keys[self.rank], json.dumps(own))
        self._wait_until(lambda: bool(self._store.check(keys)))
        with self._named():
            return [json.loads(value) for value in self._store.multi_get(keys)]

    def from_rank(self, rank: int, own: Any, device: torch.device) -> Any:
        """Give an object that one process has to all of them."""
        content = pickle.dumps(own) if self.rank == rank else b""
        length = self.gathered(len(content))[rank]
        packed = torch.frombuffer(bytearray(content or length), dtype=torch.uint8).to(_place(device))
        self._finish(lambda: torch.distributed.broadcast(packed, rank, async_op=True))
        return pickle.loads(packed.cpu().numpy().tobytes())

    def summed(self, histograms: Sequence[BitHistogram], device: torch.device) -> list[BitHistogram]:
        """Sum each histogram with those at its place in the other processes; the same sums in each process."""
        firsts = range(0, len(histograms), _ROWS_AT_ONCE)
        parts = (self._summed(histograms[first : first + _ROWS_AT_ONCE], _place(device)) for first in firsts)
        return [histogram for part in parts for histogram in part]

    def _summed(self, histograms: Sequence[BitHistogram], place: torch.device) -> Iterator[BitHistogram]:
        cells = np.zeros((len(histograms), CELLS), np.int64)
        extremes = np.full((len(histograms), 3), np.nan)
        for row, arrays in enumerate(histogram.to_arrays() for histogram in histograms):
            cells[row, arrays["bins"]] = arrays["counts"]
            cells[row, BINS:] = arrays["special"]
            extremes[row, : arrays["extremes"].size] = arrays["extremes"]
        # The lowest of the low ends, of the negated high ends and of the least magnitudes; infinity stands for none.
        ends = np.where(np.isnan(extremes), np.inf, extremes * (1, -1, 1))
        cells = self._reduced(cells, torch.distributed.ReduceOp.SUM, place)
        ends = self._reduced(ends, torch.distributed.ReduceOp.MIN, place)
        extremes = np.where(np.isinf(ends), np.nan, ends * (1, -1, 1))
        for counted, extreme in zip(cells, extremes, strict=True):
            bins = np.flatnonzero(counted[:BINS])
            arrays = {"bins": bins.astype(np.int32), "counts": counted[bins], "special": counted[BINS:]}
            yield BitHistogram.from_arrays({**arrays, "extremes": extreme[: 2 + np.isfinite(extreme[2])]})

    def _reduced(self, values: Any, how: torch.distributed.ReduceOp.RedOpType, place: torch.device) -> Any:
        tensor = torch.from_numpy(values).to(place)
        self._finish(lambda: torch.distributed.all_reduce(tensor, how, async_op=True))
        return tensor.cpu().numpy()

    def _finish(self, begin: Callable[[], torch.distributed.Work | None]) -> None:
        """Let a collective operation come to its end, but not wait for a process that is dead."""
        with self._named():
            work = begin()
            assert work is not None
            self._wait_until(work.is_completed)
            work.wait()

    def _wait_until(self, done: Callable[[], bool]) -> None:
        pause = 0.001
        with self._named():
            while not done():
                self.check()
                time.sleep(pause)
                pause = min(2 * pause, 0.5)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Turn the error of a lost connection into one that names the process that was lost."""
        try:
            yield
        except CalibrationError:
            raise
        except RuntimeError as error:
            until = time.monotonic() + SILENCE + 2 * _PULSE
            while not self._trouble and time.monotonic() < until:
                time.sleep(_PULSE / 10)
            found = self._trouble or f"rank {self.rank} lost the other processes, all of which seem alive: {error}"
            raise CalibrationError(found) from error

    def _report(self, trouble: str) -> None:
        """Tell all what ends them."""
        self._trouble = trouble
        self._store.set("trouble", trouble)

    def _watch_neighbour(self) -> None:
        """Show that this process is alive, and look whether the next one is and whether anyone reported trouble."""
        neighbour = (self.rank + 1) % self.size
        beats, heard = 0, time.monotonic()
        try:
            while True:
                self._store.add(f"alive/{self.rank}", 1)
                now = time.monotonic()
                counted = self._store.add(f"alive/{neighbour}", 0)
                if counted != beats or self._store.check([f"left/{neighbour}"]):
                    beats, heard = counted, now
                patience = SILENCE if beats else ARRIVAL
                if self._store.check(["trouble"]):
                    self._trouble = self._store.get("trouble").decode()
                    return
                if now - heard > patience:
                    self._report(f"rank {neighbour} has died: it gave no sign of life for {patience:g} seconds")
                    return
                if self._left.wait(_PULSE):
                    return
        except RuntimeError as error:
            self._trouble = f"rank 0, which keeps what the processes tell each other, is gone: {error}"


def _connection() -> Any:
    """Give a connection of one's own to the group's store: who waits on the group's own keeps others from using it."""
    store: Any = _get_default_store()  # torch's types do not know that it can be cloned
    patience = store.timeout
    store.set_timeout(datetime.timedelta(seconds=SILENCE))  # half an hour, else, for a store that is gone
    try:
        return store.clone()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise CalibrationError(f"rank 0, which keeps what the processes tell each other, is gone: {reason}") from error
    finally:
        store.set_timeout(patience)


def _place(device: torch.device) -> torch.device:
    """Where tensors have to lie for the group to exchange them: NCCL takes those on its GPU only."""
    return device if torch.distributed.get_backend() == "nccl" else torch.device("cpu")
