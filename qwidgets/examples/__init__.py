"""The embedded default: a small trained network with real data, for the quickstart, the course and the tests."""

from qwidgets.examples.handwritten_digits import Digits, DigitsNet, digits

__all__ = ["Digits", "DigitsNet", "digits"]
