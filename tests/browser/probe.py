"""Asks a kernel from outside of any page, on a subshell of its own, so that its main shell may be busy."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq
from jupyter_client.session import Session

PATIENCE = 30_000  # milliseconds that an answer may take


class Probe:
    """A client of one kernel. A context manager."""

    def __init__(self, connection: Path) -> None:
        found = json.loads(connection.read_text("utf-8"))
        self._session = Session(key=found["key"].encode(), signature_scheme=found["signature_scheme"])
        self._context = zmq.Context()
        self._shell, self._control = (self._connect(found, name) for name in ("shell_port", "control_port"))
        self._subshell = str(self._request(self._control, "create_subshell_request", {})["subshell_id"])

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._request(self._control, "delete_subshell_request", {"subshell_id": self._subshell})
        self._context.destroy(linger=0)

    def ask(self, expression: str) -> Any:
        """The value of an expression, which must be fit for JSON."""
        content = {
            "code": "", "silent": True, "store_history": False, "allow_stdin": False, "stop_on_error": False,
            "user_expressions": {"found": f"__import__('json').dumps({expression})"},
        }  # fmt: skip
        found = self._request(self._shell, "execute_request", content, self._subshell)["user_expressions"]["found"]
        assert found["status"] == "ok", "\n".join(found["traceback"])
        return json.loads(eval(found["data"]["text/plain"]))

    def _connect(self, found: dict[str, Any], port: str) -> zmq.Socket[bytes]:
        client = self._context.socket(zmq.DEALER)
        client.connect(f"{found['transport']}://{found['ip']}:{found[port]}")
        return client

    def _request(self, to: zmq.Socket[bytes], kind: str, content: dict[str, Any], subshell: str = "") -> dict[str, Any]:
        message = self._session.msg(kind, content)
        if subshell:
            message["header"]["subshell_id"] = subshell
        self._session.send(to, message)
        while to.poll(PATIENCE):
            _, parts = self._session.feed_identities(to.recv_multipart())
            reply = self._session.deserialize(parts)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                found: dict[str, Any] = reply["content"]
                return found
        raise AssertionError(f"the kernel does not answer {kind}")
