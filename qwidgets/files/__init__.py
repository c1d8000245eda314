"""Files written whole or not at all, JSON checked on its way in, and paths as a person gives them."""

from qwidgets.files.atomic_file import replacing
from qwidgets.files.checked_json import check as check_json
from qwidgets.files.checked_json import checksum as json_checksum
from qwidgets.files.checked_json import parse as parse_json
from qwidgets.files.checked_json import schema as json_schema
from qwidgets.files.file_paths import path_of, place_of, source_of

__all__ = ["check_json", "json_checksum", "json_schema", "parse_json", "path_of", "place_of", "replacing", "source_of"]
