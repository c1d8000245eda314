"""Files written whole or not at all, JSON checked on its way in, and paths as a person gives them."""

from qwidgets.files.atomic_file import replacing
from qwidgets.files.file_paths import path_of, place_of, source_of

__all__ = ["path_of", "place_of", "replacing", "source_of"]
