"""What each rounding does to a magnitude: it depends on the sign of the value whose magnitude it is."""

from qwidgets.formats import ROUNDINGS

TIE_UP, TIE_EVEN, TIE_DOWN, DOWN, UP = range(5)
ON_MAGNITUDES = {  # of a positive value, of a negative value
    "half_away": (TIE_UP, TIE_UP),
    "half_even": (TIE_EVEN, TIE_EVEN),
    "half_up": (TIE_UP, TIE_DOWN),
    "floor": (DOWN, UP),
    "ceil": (UP, DOWN),
    "zero": (DOWN, DOWN),
    "double": (TIE_UP, TIE_UP),
}
assert set(ON_MAGNITUDES) == set(ROUNDINGS)
