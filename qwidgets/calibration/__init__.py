"""Running a network over data, and the bit histogram of each of its tensors."""

from qwidgets.calibration.calibration import Calibration
from qwidgets.calibration.calibration_run import calibrate, calibration_steps
from qwidgets.calibration.ranks import Ranks

__all__ = ["Calibration", "Ranks", "calibrate", "calibration_steps"]
