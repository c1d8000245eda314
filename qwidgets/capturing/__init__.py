"""How a model becomes a graph with rows: traced, fused, named. `qwidgets.network` is the door to it."""
