"""Writing a file so that a crash, a kill or a full disk leaves the old one whole.

The new content goes to a temporary file in the same folder, is flushed to the disk, and is renamed over the old one in
one step. Nothing here knows what is in the file.
"""

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from qwidgets.errors import FileError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of ``path`` when the block ends without an error.

    Raises
    ------
    FileError
        The folder does not exist or cannot be written to, or the disk is full. ``path`` is then as it was before.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        temporary.touch(exist_ok=False)
        granted = stat.S_IMODE(temporary.stat().st_mode)
    except OSError as error:
        reason = f"cannot write {target}: {error.strerror}"
        raise FileError(f"{reason}; choose a folder that exists and is writable") from error
    try:
        yield temporary
        temporary.chmod(granted)  # what the umask grants, whatever library wrote the file
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except FileError:
        raise
    except OSError as error:
        reason = f"cannot write {target}: {error.strerror or error}"
        raise FileError(f"{reason}; what was there before is unchanged") from error
    finally:
        temporary.unlink(missing_ok=True)
