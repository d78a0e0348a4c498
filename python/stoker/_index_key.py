"""The secret by which a decode index's entries are this user's own.

An entry counts only where its tag was made with the key that lies in the user's cache folder, for
nobody else to read: an index that came with the data, or that somebody else has written, cannot
change a pixel (``docs/decode-index.md``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from . import _C

_BYTES = 16


def _read(path: Path) -> bytes | None:
    """The key in the file; None where none is there, or half a one.

    Raises OSError where it is not for this user alone, or cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(fd)
        private = status.st_uid == os.geteuid() and not status.st_mode & 0o077
        if not stat.S_ISREG(status.st_mode) or not private:
            raise OSError("others than this user can read or write it: remove it (chmod 600 is too late)")
        key = os.read(fd, _BYTES + 1)
    finally:
        os.close(fd)
    return key if len(key) == _BYTES else None


def _make(path: Path) -> bytes:
    """A new key, or the one that another process has made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(_BYTES)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(fd, key)
            os.fsync(fd)
        finally:
            os.close(fd)
        with contextlib.suppress(FileExistsError):
            try:
                os.link(temporary, path)
            except FileExistsError:
                if _read(path) is not None:
                    raise
                os.replace(temporary, path)  # half a key, of a disk that was full
            except OSError:  # a file system without links
                os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    made = _read(path)
    if made is None:
        raise OSError("the key that was written is not there")
    return made


def index_key(path: Path) -> tuple[bytes | None, str]:
    """This user's key, made where there is none; or None, and why."""
    try:
        return _read(path) or _make(path), ""
    except OSError as e:
        return None, f"no key to write it with: {path}: {e.strerror or e}"


def open_index(
    path: Path,
    samples_root: bytes,
    sources: list[tuple[bytes, bytes]],
    record: bool,
    index_root: bytes,
    share: float = _C.index_share,
) -> _C.DecodeIndex:
    """The decode index in ``sources`` with the key in the file ``path``."""
    key, problem = index_key(path)
    return _C.DecodeIndex(samples_root, sources, record, index_root, share, key, problem)
