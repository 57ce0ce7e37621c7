"""The scripted model in a process of its own, for ours and for peers; it answers as it is told and decides nothing.

What the person says tells it what to do: ``dispatch JSON`` calls that tool, anything else is answered with some words
and the mark ``nonce-…`` of the message. An agent gives its result, after the words that ``stream N`` asks for and as
many requests as ``look N`` says.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.kernels import Bench

WORDS = "This is an answer of some forty words, as a model might give it to a short question. " * 2
MODEL = "scripted"
PEER = "look_around"  # the tool by which an agent of a peer's is known


class Model:
    """The server as the benchmarks see it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url

    def take(self) -> list[dict[str, Any]]:
        """The requests since the last call: ``at`` in time.monotonic's seconds, ``body`` and ``items``.

        ``tokens`` are what went in, ``used`` what the answer says that it cost in all.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("take\n")
        self._process.stdin.flush()
        found: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return found

    @property
    def setup(self) -> str:
        """The cell that leads a kernel to it."""
        known = {"OPENAI_BASE_URL": self.url, "OPENAI_API_BASE": self.url, "OPENAI_API_KEY": "none"}
        return f"import os\nos.environ.update({known!r})"


@contextlib.contextmanager
def scripted(bench: Bench, latency: float = 0.0, token_delay: float = 0.0) -> Iterator[Model]:
    """A server that ends with the block; seconds before each answer and between its tokens."""
    command = [sys.executable, "-m", "benchmarks.scripted", str(latency), str(token_delay)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=bench.environment(), stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield Model(process, process.stdout.readline().strip())
        finally:
            process.kill()


# in that process


def _answer(seen: Any) -> Any:
    """The steps that answer a request."""
    from jupyter_orchestra.testing.model_server import Step, ToolCall

    said = list(_fresh(seen.items))
    if "final_result" in seen.tools or PEER in seen.tools:
        calls = [ToolCall("final_result", _result(seen.last_user))] if PEER not in seen.tools else []
        if len(seen.results) < _number("look", seen.last_user):
            calls = [ToolCall(PEER if PEER in seen.tools else "list_files")]
        return Step(say=_stream(seen) + WORDS * (not calls), call=calls)
    wanted = [text.removeprefix("dispatch ") for text in said if text.startswith("dispatch ")]
    if wanted:
        return [Step(call=[ToolCall("dispatch", text) for text in wanted])]
    mark = re.search(r"nonce-\w+", seen.last_user)
    return Step(say=WORDS + (mark[0] if mark and said else "done"))


def _fresh(items: list[dict[str, Any]]) -> Iterator[str]:
    """What the person has said since the model's last answer."""
    from jupyter_orchestra.models.reading import text_of

    start = 0
    for number, item in enumerate(items):
        if item.get("role") == "assistant" or (item["type"] == "function_call" and item["name"] != "collect_inbox"):
            start = number
    return (text_of(item["content"]) for item in items[start:] if item.get("role") == "user")


def _stream(seen: Any) -> str:
    """As many words as are asked for, and fit."""
    most = seen.body.get("max_output_tokens") or 1_000_000
    return "word " * min(_number("stream", seen.last_user), most // 2)


def _result(brief: str) -> dict[str, Any]:
    size = _number("report", brief) or 8
    findings = [f"file_{number}.py:{number}: finding number {number} of the report" for number in range(size // 20)]
    return {"headline": "Looked at it", "summary": "sentence " * size, "findings": findings}


def _number(word: str, brief: str) -> int:
    asked = re.search(rf"{word} (\d+)", brief)
    return int(asked[1]) if asked else 0


def main(latency: str, token_delay: str) -> None:
    """Serve until the pipe ends; each line asks for the requests that have come."""
    from jupyter_orchestra.testing.model_server import ModelServer

    used: dict[int, int] = {}

    def answer(seen: Any) -> Any:
        steps = _answer(seen)
        used[id(seen)] = _used(steps if isinstance(steps, list) else [steps], seen)
        return steps

    server = ModelServer(answer, latency=float(latency), token_delay=float(token_delay), models=[MODEL])
    server.start()
    print(server.url, flush=True)
    for _ in sys.stdin:
        found, server.requests = server.requests, []
        print(json.dumps([_told(seen, used.pop(id(seen), 0)) for seen in found]), flush=True)
    server.stop()


def _told(seen: Any, used: int) -> dict[str, Any]:
    from jupyter_orchestra.models.usage import estimate_tokens

    return {"at": seen.at, "body": seen.body, "items": seen.items, "tokens": estimate_tokens(seen.body), "used": used}


def _used(steps: list[Any], seen: Any) -> int:
    from jupyter_orchestra.testing.model_script import usage_of

    usage = usage_of(steps, seen.body)
    return usage.tokens_in + usage.tokens_out


if __name__ == "__main__":
    main(*sys.argv[1:])
