"""The ground that the other tests in a browser stand on: a notebook that fails must not pass unseen."""

import pytest

from tests.browser.lab import CellFailedError, Lab


def test_a_cell_that_fails_fails_the_test_with_its_traceback(lab: Lab) -> None:
    notebook = lab.new("1 / 0")
    with pytest.raises(CellFailedError, match="ZeroDivisionError: division by zero"):
        notebook.run_all()
