"""The calibration beside the notebook, on a thread of its own.

Nothing here draws. Whatever is to be said goes through the functions that were given, which look after locks
themselves.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from qwidgets.calibration import Calibration, calibration_steps


class CalibrationRun:
    """A calibration on a thread.

    Parameters
    ----------
    model, data
        See :func:`qwidgets.calibrate`.
    on_step
        Called with the calibration after the capture and after each batch.
    on_end
        Called with the error that ended the run, or None, when it is over. What was counted stays.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Iterable[Any],
        on_step: Callable[[Calibration], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._model, self._data = model, data
        self._on_step, self._on_end = on_step, on_end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qwidgets-calibration", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after the batch at hand, the first one at the earliest."""
        self._stopping.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over; say whether it is."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        problem: Exception | None = None
        try:
            steps = calibration_steps(self._model, self._data)
            for calibration in steps:
                self._on_step(calibration)
                if self._stopping.is_set() and calibration.batches:
                    break
        except Exception as error:
            problem = error
        self._on_end(problem)
