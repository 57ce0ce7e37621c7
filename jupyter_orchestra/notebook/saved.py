"""Shows what a notebook's file holds of a task that this journal does not know; it knows no runtime.

Such a file is a copy, and may be anyone's: nothing of it is shown that could run or load anything.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ..core.lines import clipped
from .publisher import Publisher

FILE_LIMIT = 100_000_000  # bytes of a notebook that is read
IMAGE_LIMIT = 8_000_000  # characters of base64 of one image
MOST = 100  # outputs that are shown
IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}

_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # a title, a link, the clipboard
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b."
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def show_saved(publisher: Publisher, files: Iterable[Path], cell: str, name: str) -> bool:
    """Show the saved result of a task; False where the notebook's file holds none of that name.

    Parameters
    ----------
    files
        Where the notebook may be: the first that holds one counts.
    cell
        The id of the running cell, empty when unknown: then the cell is found by what it says.
    """
    found = _find(files, cell, name)
    if found is None:
        return False
    outputs = list(_outputs(found))
    if outputs:
        publisher.stream(f"{name}: the saved result; to make it anew, run the cell that dispatches {name}\n")
    else:
        publisher.stream(f"{name}: nothing is saved here; run the cell that dispatches {name}\n")
    for output in outputs:
        _show(publisher, output)
    return True


def _find(files: Iterable[Path], cell: str, name: str) -> dict[str, Any] | None:
    for found in chain.from_iterable(map(_cells, files)):
        here = found.get("id") == cell if cell else _text(found.get("source")).split() == ["%task", name]
        if here and _task(found) == name:
            return found
    return None


def _cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook's file; none where it can't be read."""
    try:
        about = path.stat()
        if not S_ISREG(about.st_mode) or about.st_size > FILE_LIMIT:
            return []
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    cells = content.get("cells") if isinstance(content, dict) else None
    return [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []


def _task(cell: dict[str, Any]) -> Any:
    metadata = cell.get("metadata")
    ours = metadata.get("orchestra") if isinstance(metadata, dict) else None
    return ours.get("task") if isinstance(ours, dict) else None


def _outputs(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    outputs = cell.get("outputs")
    for output in outputs[:MOST] if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            yield output


def _show(publisher: Publisher, output: dict[str, Any]) -> None:
    match output.get("output_type"):
        case "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            publisher.stream(_plain(output.get("text")), name)
        case "error":
            lines = output.get("traceback")
            told = [_plain(line) for line in lines] if isinstance(lines, list) else []
            said = "\n".join(told) or f"{_plain(output.get('ename'))}: {_plain(output.get('evalue'))}"
            publisher.stream(clipped(said) + "\n", "stderr")
        case "display_data" | "execute_result":
            data = output.get("data")
            if isinstance(data, dict) and (bundle := dict(_harmless(data))):
                publisher.display(bundle)


def _harmless(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "text/plain" in data:
        yield "text/plain", _plain(data["text/plain"])
    for mime, signature in IMAGES.items():
        image = "".join(_text(data.get(mime)).split())
        if image and len(image) <= IMAGE_LIMIT and _is_image(image, signature):
            yield mime, image


def _is_image(image: str, signature: bytes) -> bool:
    try:
        return base64.b64decode(image, validate=True).startswith(signature)
    except (binascii.Error, ValueError):
        return False


def _plain(text: Any) -> str:
    """A text without what a terminal or a bidirectional reader would take for a command."""
    return _CONTROL.sub("", clipped(_text(text)))


def _text(text: Any) -> str:
    """A multi-line string of nbformat as one string."""
    if isinstance(text, list):
        return "".join(part for part in text if isinstance(part, str))
    return text if isinstance(text, str) else ""
