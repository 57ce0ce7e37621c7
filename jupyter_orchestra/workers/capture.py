"""Owns the snapshot of the notebook's variables that a body uses; knows neither the task nor how the snapshot travels.

The form: one pickle stream (protocol 5) of ``{name: object}``; buffers of 64 kB and more, when they are over 1 MB
together, stand in one file beside it, each beginning where :func:`.restore.offsets` says.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.model import Capture
from ..core.ports import Store
from . import restore, source

if TYPE_CHECKING:  # both import cloudpickle, which a dispatch that captures nothing does not pay for
    from .culprits import Culprit
    from .pickling import Buffer, Own

SMALL = 64 << 10  # bytes; a smaller buffer stays in the stream
IN_STREAM = 1 << 20  # bytes; buffers that are together no more than this stay in the stream
CHUNK = 16 << 20  # bytes of an array with gaps that are made contiguous at a time

_SHM = Path("/dev/shm")
_OWN = frozenset({"In", "Out", "get_ipython", "exit", "quit", "_ih", "_oh", "_dh", "_exit_code"})
_HISTORY = re.compile(r"_{1,3}|_i{1,3}|_i?\d+")


class CaptureError(Exception):
    """The variables can't be copied; the message says in one line what to do."""


def take(
    code: str,
    namespace: dict[str, object],
    *,
    share: Sequence[str] | None,
    no_share: bool,
    store: Store,
    folder: Path,
    reserved: Collection[str] = (),
) -> Capture | None:
    """A snapshot of what `code` uses of `namespace`; None when that is nothing.

    Parameters
    ----------
    code
        A body that ``source.check`` has passed.
    share
        Copy exactly these names, whatever the code uses; None: what it uses.
    no_share
        Copy nothing.
    store
        Keeps the stream.
    folder
        Where the file with the big buffers goes when shared memory has no room for it. Files of it that no capture
        names may be removed, and so may those in ``shared_memory(folder)``.
    reserved
        Names that the task gets from elsewhere, such as ``results``.

    Raises
    ------
    CaptureError
        When something can't be copied, does not exist, or there is no room.
    """
    if no_share:
        return None
    needed, maybe = _wanted(code, namespace, share, reserved)
    if not needed and not maybe:
        return None

    def own(name: str) -> bool:
        return name in reserved or belongs_to_ipython(name, namespace)

    stream, buffers, names = _pickled(needed, maybe, namespace, own)
    if not names:
        return None
    sizes = tuple(buffer.nbytes for buffer in buffers)
    path = _write(buffers, sizes, folder) if buffers else None
    try:
        return Capture(names=names, stream=store.put(stream), buffers=path, sizes=sizes)
    except BaseException:
        if path is not None:
            os.unlink(path)
        raise


def drop(capture: Capture) -> None:
    """Remove the file of a capture's big buffers; nothing when it is gone."""
    if capture.buffers is not None:
        with suppress(FileNotFoundError):
            os.unlink(capture.buffers)


def shared_memory(folder: Path) -> Path:
    """The folder in shared memory that stands beside `folder`; it need not exist."""
    key = hashlib.blake2b(str(folder.absolute()).encode(), digest_size=8).hexdigest()
    return _SHM / f"jupyter_orchestra-{os.getuid()}-{key}"


# Which names.


def _wanted(
    code: str, namespace: Mapping[str, object], share: Sequence[str] | None, reserved: Collection[str]
) -> tuple[list[str], list[str]]:
    if share is not None:
        unknown = [name for name in share if name not in namespace]
        if unknown:
            raise CaptureError(f"--share: the notebook has no variable {_listed(map(repr, unknown))}")
        return list(dict.fromkeys(share)), []
    try:
        found = source.free_names(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CaptureError(source.check(code) or str(error)) from error

    def here(names: Iterable[str]) -> list[str]:
        return sorted(
            name
            for name in names
            if name in namespace and name not in reserved and not belongs_to_ipython(name, namespace)
        )

    return here(found.needed), here(found.maybe)


def belongs_to_ipython(name: str, namespace: Mapping[str, object]) -> bool:
    """Is this IPython's own, or what Python puts into every module?"""
    if name in _OWN or (name.startswith("__") and name.endswith("__") and name != "__"):
        return True
    if name != "open" and not _HISTORY.fullmatch(name):
        return False
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell._instance
    if shell is None or shell.user_ns is not namespace:
        return True
    # A `_` or `open` of the person's own is theirs; what `%pylab` hides is not asked about here.
    return name in shell.user_ns_hidden and shell.user_ns_hidden[name] is namespace.get(name)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


# The stream.


def _pickled(
    needed: list[str], maybe: list[str], namespace: dict[str, object], own: Own
) -> tuple[bytes, list[Buffer], tuple[str, ...]]:
    names = needed + maybe
    try:
        return *_dump(names, namespace, own), tuple(names)
    except Exception as error:
        first = error
    from .culprits import find

    good: list[str] = []
    bad: list[Culprit] = []
    for name in names:
        culprit = find(name, namespace, own)
        if culprit is None:
            good.append(name)
        elif name in needed:
            bad.append(culprit)
    if bad:
        raise CaptureError(_refusal(bad)) from first
    if len(good) == len(names):  # each goes alone, not all together
        raise CaptureError(f"cannot copy {_listed(map(repr, names))} together ({first}): share fewer") from first
    if not good:
        return b"", [], ()
    return *_dump(good, namespace, own), tuple(good)


def _refusal(culprits: list[Culprit]) -> str:
    listed = _listed(dict.fromkeys(culprit.line() for culprit in culprits))
    them = "it" if len(culprits) == 1 else "them"
    return f"cannot copy {listed}: leave {them} out of the code, or dispatch with --no-share"


def _dump(names: list[str], namespace: dict[str, object], own: Own) -> tuple[bytes, list[Buffer]]:
    from .pickling import Pickler

    file = io.BytesIO()
    buffers: list[Buffer] = []
    values = {name: namespace[name] for name in names}
    Pickler(file, namespace, own, buffers, SMALL).dump(values)
    if buffers and sum(buffer.nbytes for buffer in buffers) <= IN_STREAM:
        file, buffers = io.BytesIO(), []
        Pickler(file, namespace, own).dump(values)
    return file.getvalue(), buffers


# The file.


def _write(buffers: list[Buffer], sizes: tuple[int, ...], folder: Path) -> str:
    """Write the buffers to a new file, in shared memory where there is room."""
    size = sum(sizes)
    if _room(_SHM) >= 2 * size:
        with suppress(OSError):
            return _write_in(_private(shared_memory(folder)), buffers, sizes)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _write_in(folder, buffers, sizes)
    except OSError as error:
        raise CaptureError(
            f"no room to copy {size / 1e9:.2f} GB of variables, neither in {_SHM} nor in {folder} ({error.strerror}): "
            "leave them out of the code, or free some space"
        ) from error


def _room(folder: Path) -> int:
    """Bytes that may be put there; what is in shared memory takes from the memory that is free."""
    try:
        room = shutil.disk_usage(folder).free
        with open("/proc/meminfo", encoding="ascii") as lines:
            free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        return 0
    return min([room, *free])


def _private(folder: Path) -> Path:
    """The folder, made if need be. Everyone may write in /dev/shm, so one that is not ours alone is refused."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private folder")
    return folder


def _write_in(folder: Path, buffers: list[Buffer], sizes: tuple[int, ...]) -> str:
    path = folder / f"capture-{secrets.token_hex(8)}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for buffer, offset in zip(buffers, restore.offsets(sizes), strict=True):
            for piece in buffer.pieces(CHUNK):
                while piece:
                    written = os.pwrite(file, piece, offset)
                    piece = piece[written:]
                    offset += written
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)
    return str(path)
