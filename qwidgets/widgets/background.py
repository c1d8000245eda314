"""Work beside the notebook: the calibration and the evaluation, each on a thread of its own.

Nothing here draws. What is to be told goes through the functions that were given, which look after locks themselves.
"""

import copy
import threading
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from qwidgets.calibration import Calibration, calibration_steps
from qwidgets.errors import DataError
from qwidgets.plan import Plan
from qwidgets.simulation import quantize

Evaluate = Callable[[nn.Module], float]


def twin_of(model: nn.Module) -> nn.Module:
    """A model of the same modules that shares the parameters and buffers of a model.

    Capturing puts stand-ins in the place of a model's parameters for some seconds. On another thread that must not
    happen to the model that the notebook has in its hands.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


class CalibrationRun:
    """A calibration on a thread.

    Parameters
    ----------
    model, data
        See :func:`qwidgets.calibrate`.
    on_step
        Told the calibration after the capture and after each batch.
    on_end
        Told the error that ended the run, or None, when it is over. What was counted stays.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Iterable[Any],
        on_step: Callable[[Calibration], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._model, self._data = twin_of(model), data
        self._on_step, self._on_end = on_step, on_end
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qwidgets-calibration", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after the batch at hand."""
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
                if self._stopping.is_set():
                    break
        except Exception as error:
            problem = error
        self._on_end(problem)


class Evaluation:
    """The user's measure of a network, for the float model once and for each committed plan, the newest always last.

    Parameters
    ----------
    model
        The network in float.
    evaluate
        Called with a network, gives a number.
    on_result
        Told the number for the float model and for the committed plan, None for what is not known yet.
    on_error
        Told what went wrong.
    """

    def __init__(
        self,
        model: nn.Module,
        evaluate: Evaluate,
        on_result: Callable[[float | None, float | None], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._model, self._evaluate = twin_of(model), evaluate
        self._on_result, self._on_error = on_result, on_error
        self._float: float | None = None
        self._lock = threading.Lock()
        self._wanted: Plan | None = None
        self._thread: threading.Thread | None = None

    def of(self, plan: Plan) -> None:
        """Ask for the number of what the plan has committed now; an older request that still waits is dropped."""
        with self._lock:
            self._wanted = plan
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="qwidgets-evaluation", daemon=True)
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is asked any more; say whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def _run(self) -> None:
        while True:
            with self._lock:
                plan, self._wanted = self._wanted, None
                if plan is None:
                    self._thread = None
                    return
            try:
                self._on_result(self._float, None)
                if self._float is None:
                    self._float = self._number(self._model)
                    self._on_result(self._float, None)
                self._on_result(self._float, self._number(quantize(self._model, plan)))
            except Exception as error:
                self._on_error(error)

    def _number(self, network: nn.Module) -> float:
        value = self._evaluate(network)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise DataError(
                f"evaluate(model) gave {value!r:.80}; it must give a number, such as the accuracy"
            ) from None
