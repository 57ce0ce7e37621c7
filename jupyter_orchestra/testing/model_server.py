"""A real HTTP server on 127.0.0.1 that answers as a model would, by a script: both wires, whole or streamed, faults.

``python -m jupyter_orchestra.testing.model_server SCRIPT.json [--port N] [--latency S]`` runs it until interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from . import model_wires as wires
from .model_script import Fault, Player, Script, ScriptError, SeenRequest, Step, ToolCall, items_of, usage_of

__all__ = ["Fault", "ModelServer", "SeenRequest", "Step", "ToolCall"]

_PATHS: dict[str, Literal["responses", "chat"]] = {"/v1/responses": "responses", "/v1/chat/completions": "chat"}
_SECRET = ("authorization", "x-api-key", "api-key", "cookie")
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "401": (401, "invalid_api_key", "Incorrect API key provided: {key}."),
    "404_model": (404, "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
    "429": (429, "rate_limit_exceeded", "Rate limit reached for {model}."),
    "500": (500, "server_error", "The server had an error while processing your request."),
    "overflow": (400, "context_length_exceeded", "This model's maximum context length is 8192 tokens."),
    "invalid": (400, "invalid_value", "Invalid type for 'input[0].role'."),
}
_TICK = 0.003  # seconds between two looks at a gate


class _Gone(Exception):
    """The client went away."""


class ModelServer:
    """Answers on a thread of its own, from entering the context to leaving it, which checks the script.

    Parameters
    ----------
    script : callable, sequence of Step, or path of a JSON file
        A callable gets each request and gives a step, or several that make one answer. Of a sequence, the first step
        that fits a request and is not used up answers it.
    token_delay : float
        Seconds between tokens.
    latency : float
        Seconds before each answer.
    models : sequence of str
        What ``GET /v1/models`` lists.
    speaks : sequence of str
        The wires that there are; the others are not found.
    port : int
        0: any that is free.

    Attributes
    ----------
    requests : list of SeenRequest
        What was asked, without the listings.
    listed : int
        How often the models were listed.
    open : int
        Answers that are being made now.
    dropped : int
        Clients that went away before their answer was whole.

    Examples
    --------
    >>> with ModelServer([Step(say="Good morning.")]) as server:
    ...     client = EndpointClient(Endpoint(server.url))
    """

    def __init__(
        self,
        script: Script,
        *,
        token_delay: float = 0.0,
        latency: float = 0.0,
        models: Sequence[str] = ("scripted",),
        speaks: Sequence[str] = ("responses", "chat"),
        port: int = 0,
    ) -> None:
        self._player = Player(script)
        self._token_delay, self._latency = token_delay, latency
        self._models, self._speaks, self._port = models, speaks, port
        self.requests: list[SeenRequest] = []
        self.listed = self.open = self.dropped = 0
        self._gate = threading.Event()
        self._gate.set()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble: OSError | None = None
        self._thread = threading.Thread(target=self._serve, name="jo-model-server", daemon=True)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.check()

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._thread.start()
        self._ready.wait()
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        """Drop all connections and leave."""
        self.release()
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def hold(self) -> threading.Event:
        """Let every answer wait for its beginning until :meth:`release`, or until the event given is set."""
        self._gate = threading.Event()
        return self._gate

    def release(self) -> None:
        """Let the answers that wait begin."""
        self._gate.set()

    def unused(self) -> list[Step]:
        """The steps that were never reached."""
        return self._player.unused()

    def check(self) -> None:
        """Raise AssertionError for requests that the script did not foresee, and for steps never reached."""
        problems = [*self._player.complaints, *(f"never reached: {step}" for step in self.unused())]
        if problems:
            raise AssertionError("the script was not followed:\n  " + "\n  ".join(problems))

    # the thread

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._converse, "127.0.0.1", self._port, backlog=512, limit=1 << 26)
            self._port = server.sockets[0].getsockname()[1]
        except OSError as error:
            self._trouble = error
            return
        finally:
            self._ready.set()
        await self._stop.wait()
        server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            try:
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    line, *lines = head.split("\r\n")
                    headers = {k.lower(): v.strip() for k, _, v in (text.partition(":") for text in lines if text)}
                    body = await reader.readexactly(int(headers.get("content-length") or 0))
                    method, path = line.split()[:2]
                    await _Answer(self, reader, writer).give(method, path.partition("?")[0], headers, body)
            except _Gone:
                pass
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()


class _Answer:
    """The answer to one request."""

    def __init__(self, server: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer

    async def give(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Send it. Raises _Gone when the connection is at its end."""
        server = self._server
        wire = _PATHS.get(path)
        if method == "GET" and path == "/v1/models":
            server.listed += 1
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in server._models]
            return self._whole(200, {"object": "list", "data": data})
        if wire is None or wire not in server._speaks:
            return self._refuse(404, "not_found", "404 page not found")
        try:
            seen = _seen(wire, path, headers, body)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            server._player.complaints.append(f"a body that can't be read: {error!r}")
            return self._refuse(400, "invalid_value", "The body can't be read.")
        server.requests.append(seen)
        server.open += 1
        try:
            steps = server._player.steps(seen)
            await self._play(seen, steps, headers)
        except ScriptError as error:
            self._refuse(400, "script", str(error))
        except (_Gone, ConnectionError):
            server.dropped += 1
            raise
        finally:
            server.open -= 1

    async def _play(self, seen: SeenRequest, steps: list[Step], headers: dict[str, str]) -> None:
        server = self._server
        fault = next((step.fault for step in steps if step.fault), "")
        gate = server._gate
        await self._until(gate)
        await self._pause(server._latency + sum(step.delay for step in steps))
        if fault == "hang":
            await self._until(threading.Event())
        if fault == "drop":
            self._writer.transport.abort()
            raise _Gone
        if fault in _REFUSALS:
            status, code, message = _REFUSALS[fault]
            message = message.format(model=seen.model, key=headers.get("authorization", "").removeprefix("Bearer "))
            wait = {"retry-after-ms": f"{steps[0].retry_after * 1000:.0f}"} if fault == "429" else {}
            return self._refuse(status, code, message, wait)
        if fault == "empty":
            steps = []
        usage = usage_of(steps, seen.body)
        if not seen.body.get("stream"):
            for step in steps:
                await self._until(step.gate or gate)
            whole = wires.responses_whole if seen.wire == "responses" else wires.chat_whole
            return self._whole(200, whole(steps, seen.model, usage))
        events = wires.responses_events if seen.wire == "responses" else wires.chat_events
        await self._stream(list(events(steps, seen.model, usage)), steps, fault, seen.wire)

    async def _stream(self, events: list[tuple[wires.Event, bool]], steps: list[Step], fault: str, wire: str) -> None:
        self._head(200, "text/event-stream", {"transfer-encoding": "chunked"})
        gates = [(step.tokens, step.gate) for step in steps if step.gate is not None]
        tokens = 0
        for number, (event, is_token) in enumerate(events):
            while gates and is_token and tokens >= gates[0][0]:
                await self._until(gates.pop(0)[1])
            if number == len(events) // 2 and fault == "cut":
                self._writer.transport.abort()
                raise _Gone
            data = "{broken" if number == len(events) // 2 and fault == "malformed" else json.dumps(event)
            name = f"event: {event['type']}\n" if wire == "responses" else ""
            await self._chunk(f"{name}data: {data}\n\n")
            tokens += is_token
            if is_token and self._server._token_delay:
                await asyncio.sleep(self._server._token_delay)
        for _, gate in gates:
            await self._until(gate)
        if wire == "chat":
            await self._chunk("data: [DONE]\n\n")
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def _chunk(self, text: str) -> None:
        data = text.encode()
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def _until(self, gate: threading.Event) -> None:
        """Wait for the gate, as long as the client does."""
        while not gate.is_set():
            if self._reader.at_eof():
                raise _Gone
            await asyncio.sleep(_TICK)

    async def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._reader.at_eof():
                raise _Gone
            await asyncio.sleep(min(left, 0.05))

    def _refuse(self, status: int, code: str, message: str, more: dict[str, str] | None = None) -> None:
        self._whole(status, {"error": {"message": message, "type": code, "param": None, "code": code}}, more)

    def _whole(self, status: int, value: Any, more: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self._head(status, "application/json", {"content-length": str(len(data)), **(more or {})})
        self._writer.write(data)

    def _head(self, status: int, kind: str, more: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {kind}", *(f"{k}: {v}" for k, v in more.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


def _seen(wire: Literal["responses", "chat"], path: str, headers: dict[str, str], body: bytes) -> SeenRequest:
    kept = {name: "…" if name in _SECRET else value for name, value in headers.items()}
    decoded = json.loads(body or b"{}")
    return SeenRequest(wire, path, decoded, kept, time.monotonic(), items_of(decoded))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a script until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_orchestra.testing.model_server", description=__doc__)
    parser.add_argument("script", type=Path, help="JSON: a list of steps")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--token-delay", type=float, default=0.0, help="seconds between tokens")
    given = parser.parse_args(arguments)
    server = ModelServer(given.script, port=given.port, latency=given.latency, token_delay=given.token_delay)
    server.start()
    print(server.url, flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
