"""How batches are fed and counted, on one process or many. `qwidgets.calibration` is the door to it."""
