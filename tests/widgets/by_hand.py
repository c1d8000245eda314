"""What a person does to the controls of a window, as the browser tells the kernel."""

from qwidgets.widgets.controls import WindowControls


def move_to(controls: WindowControls, msb: int) -> None:
    """Move the window whole, by its slider, until its highest bit is there."""
    high, low = controls.slider.window
    controls.slider.set_state({"window": [msb, low + msb - high]})
