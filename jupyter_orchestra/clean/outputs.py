"""Makes outputs fit to be shown: as a file may hold them, and harmless where no person wrote what made them."""

from __future__ import annotations

import json
from typing import Any

from ..core.lines import clipped, joined
from ..core.plain import plain
from .untrusted import clean_html, clean_markdown

Output = dict[str, Any]  # as nbformat has it
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")


def live_output(output: Output) -> Output:
    """An output of what no person wrote, cleaned, while its task runs: also one that changes or clears another."""
    match output.get("output_type"):
        case "clear_output":
            return {"output_type": "clear_output", "wait": bool(output.get("wait"))}
        case "update_display_data":
            cleaned = kept_output(output | {"output_type": "display_data"}, False) or {}
            return cleaned | {"output_type": "update_display_data", "transient": _transient(output)}
    cleaned = kept_output(output, False) or {"output_type": "display_data", "data": {}, "metadata": {}}
    return cleaned | {"transient": _transient(output)} if output.get("transient") else cleaned


def _transient(output: Output) -> dict[str, str]:
    return {"display_id": str((output.get("transient") or {}).get("display_id", ""))}


def kept_output(output: Output, trusted: bool) -> Output | None:
    """An output as a cell of a file may hold it; None for what is only a message."""
    match output.get("output_type"):
        case "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            return stream_output(joined(output.get("text", "")), name)
        case "error":
            traceback = [str(line) for line in output.get("traceback") or ()]
            return error_output(str(output.get("ename", "")), str(output.get("evalue", "")), traceback)
        case "display_data" | "execute_result" as kind:
            data = {mime: _value(mime, value) for mime, value in (output.get("data") or {}).items()}
            shown: Output = {"output_type": kind, "data": data, "metadata": dict(output.get("metadata") or {})}
            if not trusted:
                shown |= {"data": _harmless(data), "metadata": {}}
            return shown | {"execution_count": None} if kind == "execute_result" else shown
    return None


def report_output(report: str) -> Output:
    """What an agent wrote of its task, as an output."""
    data = {"text/markdown": clean_markdown(report), "text/plain": plain(report)}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def stream_output(text: str, name: str) -> Output:
    return {"output_type": "stream", "name": name, "text": clipped(text)}


def error_output(ename: str, evalue: str, traceback: list[str]) -> Output:
    lines = traceback if sum(map(len, traceback)) <= len(clipped("\n".join(traceback))) else []
    lines = lines or ([clipped("\n".join(traceback))] if traceback else [])
    return {"output_type": "error", "ename": ename, "evalue": clipped(evalue), "traceback": lines}


def _value(mime: str, value: Any) -> Any:
    """A representation in the form that a file may hold."""
    if isinstance(value, str) or mime == "application/json" or mime.endswith("+json"):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return json.dumps(value)


def _harmless(data: dict[str, Any]) -> dict[str, Any]:
    """Of what no person wrote: words, images, and cleaned HTML and markdown."""
    kept: dict[str, Any] = {mime: data[mime] for mime in IMAGES if isinstance(data.get(mime), str)}
    for mime, clean in (("text/html", clean_html), ("text/markdown", clean_markdown)):
        if isinstance(text := data.get(mime), str) and (cleaned := clean(text)).strip():
            kept[mime] = cleaned
    if isinstance(text := data.get("text/plain"), str):
        kept["text/plain"] = plain(text)
    return kept or {"text/plain": f"not shown: {plain(', '.join(data))}"}
