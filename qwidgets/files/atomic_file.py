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
from qwidgets.files.file_paths import place_of, unwritable


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and put it in the place of ``path`` when the block ends without an error.

    Where ``path`` is a link, what it leads to is replaced; a file that is there passes its permissions on.

    Raises
    ------
    FileError
        The folder does not exist or cannot be written to, or the disk is full, or what stands at ``path`` is no regular
        file, or a text is written that no file can hold. ``path`` is then as it was before.
    """
    target = place_of(path)
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        before = target.stat() if target.exists() else None
        # Nobody may read in the temporary file what they may not read in the old one.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if before is None else 0o600))
        granted = stat.S_IMODE((before or temporary.stat()).st_mode)
    except OSError as error:
        raise unwritable(target, error) from error
    try:
        yield temporary
        if before is not None:
            _own_like(temporary, before)
        temporary.chmod(granted)  # whatever library wrote the file, and after its owner, who may lose bits of it
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except FileError:
        raise
    except OSError as error:
        reason = f"cannot write {target}: {error.strerror or error}"
        raise FileError(f"{reason}; what was there before is unchanged") from error
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        around = error.object[max(error.start - 20, 0) : error.end + 20]
        raise FileError(
            f"cannot write {target}: {half!r} in {around!r} is half a character, which no file can hold; what was "
            "there before is unchanged"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _own_like(temporary: Path, before: os.stat_result) -> None:
    """Leave a file to whom the old one belongs, as far as the system lets us."""
    made = temporary.stat()
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid) and hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(temporary, before.st_uid, before.st_gid)
