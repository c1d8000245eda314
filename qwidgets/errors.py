"""The package's own errors.

Every error that a user can cause is one of these, so that ``except QwidgetsError`` catches them all. Each also is the
built-in error that a Python programmer would expect, and its text says what was wrong, where, and what to do next.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwidgets.calibration import Calibration


class QwidgetsError(Exception):
    """Base of every error that this package raises on purpose."""


class FormatError(QwidgetsError, ValueError):
    """A number format, or a notation of one, that makes no sense."""


class DataError(QwidgetsError, ValueError):
    """Values, batches or arrays that cannot be counted or fed to a network."""


class CaptureError(QwidgetsError, RuntimeError):
    """A model that cannot be captured as a graph."""


class CalibrationError(QwidgetsError, RuntimeError):
    """A calibration that could not run, or two that do not belong together.

    ``calibration`` is what was counted before a batch failed, or None.
    """

    calibration: "Calibration | None" = None


class PlanError(QwidgetsError, ValueError):
    """A request that the plan cannot fulfil: an unknown tensor, a locked one, a rule that does not exist."""


class FileError(QwidgetsError, OSError):
    """A file that cannot be read or written, or that is not what its name promises."""


class EditedFileWarning(UserWarning):
    """A file that says of itself that it was edited by hand, and was taken as it is now."""


class ExportError(QwidgetsError, ValueError):
    """A plan that a target cannot take: an operation, a format, a tensor in float; the text names it."""


class ExtraError(QwidgetsError, ImportError):
    """A package that only some exports need and that is not installed; the text has the line that installs it."""
