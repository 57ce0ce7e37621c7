"""Files named by what is in them, whole and durable as soon as they have their name; knows nothing of the database."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from . import files, points

CHUNK = 1 << 20
DIGEST_SIZE = 20


def digest_of(data: bytes) -> str:
    """The name of these bytes."""
    return blake2b(data, digest_size=DIGEST_SIZE).hexdigest()


class Artifacts:
    """The folder ``artifacts/``: every file lies at ``ab/abcdef…``. Any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scratch = folder / "new"

    def path(self, digest: str) -> Path:
        """Where the file is, or would be."""
        return self.folder / digest[:2] / digest

    def has(self, digest: str, size: int) -> bool:
        """Whether the file is there."""
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def put(self, digest: str, data: bytes) -> None:
        """Write the file, where it isn't yet. Raises OSError."""
        path = self.path(digest)
        files.private_folder(path.parent)
        if self.has(digest, len(data)):
            files.sync_folder(path.parent)  # who wrote it may not have come that far
            return
        files.write(path, data, scratch=files.private_folder(self._scratch))
        points.reach("artifact put")

    def get(self, digest: str) -> bytes | None:
        """The bytes; None where there is no such file or it is damaged."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
        return data if digest_of(data) == digest else None

    def adopt(self, path: Path) -> tuple[str, int]:
        """Move a file in.

        Parameters
        ----------
        path : Path
            A regular file; it is gone afterwards.

        Returns
        -------
        digest : str
        size : int
            In bytes.

        Raises
        ------
        OSError
            It can't be moved, is no regular file, or was changed meanwhile; then it is still there.
        """
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            files.private_folder(self._scratch)
            alone = before.st_nlink == 1 and before.st_dev == os.stat(self._scratch).st_dev
            digest, size = (self._move if alone else self._copy)(path, before, Source(handle))
        finally:
            os.close(handle)
        if not alone:
            os.unlink(path)
        points.reach("artifact adopted")
        return digest, size

    def _move(self, path: Path, before: os.stat_result, source: Source) -> tuple[str, int]:
        digest, size = source.read()
        os.fchmod(source.handle, 0o600)
        os.fsync(source.handle)
        now = os.lstat(path)
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, size, before.st_mtime_ns):
            raise OSError(errno.EBUSY, "changed while it was taken over", str(path))
        self._name(str(path), digest)
        return digest, size

    def _copy(self, path: Path, before: os.stat_result, source: Source) -> tuple[str, int]:
        handle, name = tempfile.mkstemp(dir=self._scratch, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb", buffering=0) as target:
                digest, size = source.read(target.write)
                os.fsync(target.fileno())
            self._name(name, digest)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        return digest, size

    def _name(self, name: str, digest: str) -> None:
        path = self.path(digest)
        files.private_folder(path.parent)
        points.reach("artifact synced")
        os.replace(name, path)
        points.reach("artifact renamed")
        files.sync_folder(path.parent)

    def digests(self) -> Iterator[str]:
        """All that are there."""
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            for entry in os.scandir(folder):
                if len(entry.name) == 2 * DIGEST_SIZE:
                    yield entry.name

    def remove(self, digest: str) -> int:
        """Remove one; the bytes freed. Raises OSError."""
        path = self.path(digest)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def clear_scratch(self) -> None:
        """Remove what a kill left half written. For the owner, before it writes."""
        shutil.rmtree(self._scratch, ignore_errors=True)


class Source:
    """An open file, read once."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def read(self, write: Callable[[bytes], int | None] | None = None) -> tuple[str, int]:
        """Digest and size of all of it; what is read goes through `write`."""
        sums, size = blake2b(digest_size=DIGEST_SIZE), 0
        while chunk := os.read(self.handle, CHUNK):
            sums.update(chunk)
            size += len(chunk)
            rest = chunk
            while write is not None and rest:
                rest = rest[write(rest) or 0 :]
        return sums.hexdigest(), size
