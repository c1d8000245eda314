"""The package as a whole: its public names, and what importing it costs."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import qwidgets

PUBLIC = {
    "BitExplorer",
    "BitHeatMap",
    "BitHistogram",
    "Calibration",
    "FixedPoint",
    "LayerTable",
    "NumberLine",
    "Plan",
    "Preview",
    "RoundingTable",
    "SineScope",
    "WindowEditor",
    "Workbench",
    "calibrate",
    "capture",
    "quantize",
    "validate",
}


def modules_loaded_by(code: str) -> set[str]:
    """Run code in a Python of its own and give the top-level modules that it has then."""
    ask = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_what_the_design_promises_is_a_public_name(name: str) -> None:
    assert name in qwidgets.__all__
    assert getattr(qwidgets, name).__name__ == name


def test_every_public_name_exists_and_is_listed_once() -> None:
    assert len(set(qwidgets.__all__)) == len(qwidgets.__all__)
    for name in qwidgets.__all__:
        assert name in dir(qwidgets)
        getattr(qwidgets, name)


def test_the_version_is_the_installed_one() -> None:
    assert qwidgets.__version__ == version("qwidgets")


def test_headless_work_loads_no_widget_library() -> None:
    loaded = modules_loaded_by("from qwidgets import BitHistogram, FixedPoint, Plan, calibrate, quantize, validate")
    assert not loaded & {"anywidget", "bqplot", "ipywidgets", "IPython"}


def test_importing_the_package_loads_nothing_that_only_a_part_of_it_needs() -> None:
    assert not modules_loaded_by("import qwidgets") & {"numba", "sklearn", "triton"}
