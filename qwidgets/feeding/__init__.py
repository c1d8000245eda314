"""The batches of any loader, as calls of a network."""

from qwidgets.feeding.batches import batches_of, call_of, length_of, to_device
from qwidgets.feeding.fed_batches import Fed, fed, not_fed, read
from qwidgets.feeding.feeder import Feeder, Forward, OtherSizes, device_for

__all__ = [
    "Fed",
    "Feeder",
    "Forward",
    "OtherSizes",
    "batches_of",
    "call_of",
    "device_for",
    "fed",
    "length_of",
    "not_fed",
    "read",
    "to_device",
]
