"""Tables of figures as a notebook shows them: a dash for what is not there, and the digits that people read."""

from typing import Any

import numpy as np
import pandas as pd


class ShownTable(pd.DataFrame):
    """A DataFrame that looks like a table of figures in a notebook; in all else it is a DataFrame.

    Examples
    --------
    >>> counts = pd.array([524288, None], "Int64")
    >>> table = ShownTable({"sqnr_db": [38.041, np.nan], "count": counts}, index=["a", "b"])
    >>> [text in table._repr_html_() for text in ("38.04", "524,288", "–", "NaN", "NA")]
    [True, True, True, False, False]
    >>> type(table.loc[["a"]]).__name__, table.loc["b", "count"]
    ('ShownTable', <NA>)
    """

    @property
    def _constructor(self) -> type["ShownTable"]:
        return ShownTable  # so that what is picked from it or sorted is shown so, too

    def _repr_html_(self) -> str:
        shown = pd.DataFrame(
            {place: [_text(value) for value in self.iloc[:, place]] for place in range(self.shape[1])}, index=self.index
        )
        shown.columns = self.columns
        return str(shown.to_html(max_rows=pd.get_option("display.max_rows"), show_dimensions=False))


def _text(value: Any) -> str:
    """A cell as people read it.

    Examples
    --------
    >>> [_text(value) for value in (1234567, 0.000012345, np.float32(0.1), -np.inf)]
    ['1,234,567', '1.234e-05', '0.1', '-∞']
    >>> [_text(value) for value in (None, True, "2^1 … 2^-6", [1, None])]
    ['–', 'yes', '2^1 … 2^-6', '[1, None]']
    """
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}".replace("inf", "∞")
    return str(value)
