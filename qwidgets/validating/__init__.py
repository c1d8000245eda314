"""The parts of `qwidgets.validation`: errors, metrics, the comparison, sensitivity, cost and the short check."""
