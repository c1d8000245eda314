"""The counts of one batch, apart from those of the batches before until it is over.

So a calibration never holds part of a batch, whatever ends it: an error, or an interrupt, however often Ctrl-C is
pressed.
"""

from torch import Tensor

from qwidgets.calibration.calibration import Calibration
from qwidgets.calibration.counted import WHOLE_BATCHES
from qwidgets.calibration.interruption import undisturbed
from qwidgets.histograms import BitHistogram, move_counts


class BatchCounts:
    """What a batch counts, for a calibration to have when it is over.

    Parameters
    ----------
    calibration
        Which is to have it.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._histograms = dict[str, BitHistogram]()

    def count(self, name: str, values: Tensor) -> None:
        """Count values of a tensor."""
        if name not in self._histograms:
            self._histograms[name] = BitHistogram()
        self._histograms[name].update(values)

    def hand_over(self, *, last: bool) -> None:
        """Give the calibration everything that was counted, as one batch more; ``last`` if it is the last one."""
        targets = [self._calibration[name] for name in self._histograms]
        with undisturbed(), WHOLE_BATCHES:
            move_counts(self._histograms.values(), targets)
            self._calibration.batches += 1
            self._calibration.complete = last
