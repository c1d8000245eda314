"""One committed plan, written down for the tools that build hardware and firmware: one module a target.

Each gives the same integers as :func:`qwidgets.quantize`, or refuses with an error that names what it cannot take.
Packages that only one target needs are imported when it is asked for.
"""

from qwidgets.export.record import to_csv, to_json

__all__ = ["to_csv", "to_json"]
