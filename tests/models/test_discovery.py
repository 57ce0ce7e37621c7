import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_orchestra.models.discovery import Config, Found, discover
from jupyter_orchestra.models.endpoint import Secret
from jupyter_orchestra.models.http import NoList, list_models
from jupyter_orchestra.testing.model_server import ModelServer


def find(config: Config | None = None, environ: dict[str, str] | None = None, ports: tuple[int, ...] = ()) -> Found:
    return asyncio.run(discover(config or Config(), environ or {}, ports))


def port_of(server: ModelServer) -> int:
    return int(server.url.rpartition(":")[2].removesuffix("/v1"))


@contextmanager
def other_server(answer: bytes, status: int = 200, **headers: str) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_without_anything_it_is_the_rules_planner_and_says_how_to_connect() -> None:
    found = find()
    assert found.endpoint is None
    assert found.agents == ()
    assert found.line == (
        "master: the rules planner (no model found): set OPENAI_API_KEY or OPENAI_BASE_URL to connect one"
    )


def test_installed_agents_are_named(tmp_path: Path) -> None:
    for name in ("codex", "opencode"):
        (tmp_path / name).touch(0o755)
    found = find(environ={"PATH": str(tmp_path)})
    assert found.agents == ("codex", "opencode")
    assert found.line.endswith("; installed: codex, opencode (workers to come)")


def test_the_configuration_goes_before_the_environment_and_that_before_this_machine() -> None:
    with (
        ModelServer([], models=["set"]) as first,
        ModelServer([], models=["environ"]) as second,
        ModelServer([], models=["local"]) as third,
    ):
        ports = (port_of(third),)
        environ = {"OPENAI_BASE_URL": second.url}
        lines = [
            find(Config(base_url=first.url), environ, ports).line,
            find(None, environ, ports).line,
            find(None, {}, ports).line,
        ]
        assert lines == [
            f"master: set at {first.url} (from configuration)",
            f"master: environ at {second.url} (from OPENAI_BASE_URL)",
            f"master: local at {third.url} (from loopback)",
        ]


def test_a_key_alone_means_openai_where_nothing_needs_to_be_listed() -> None:
    models = {"fast": "a", "standard": "b", "strong": "c"}
    found = find(Config(models=models), {"OPENAI_API_KEY": "sk-secret"})
    assert found.endpoint is not None
    assert found.endpoint.base_url == "https://api.openai.com/v1"
    assert found.endpoint.key.reveal() == "sk-secret"
    assert found.line == "master: c at https://api.openai.com/v1 (from OPENAI_API_KEY)"
    assert "sk-secret" not in repr(found)


def test_openais_key_goes_nowhere_else_unasked() -> None:
    environ = {"OPENAI_API_KEY": "sk-secret", "MINE": "sk-mine"}
    with ModelServer([]) as server:
        unasked = find(Config(base_url=server.url), environ).endpoint
        asked = find(Config(base_url=server.url, key_env="MINE"), environ).endpoint
        given = find(Config(base_url=server.url, key=Secret.of("sk-given")), environ).endpoint
        named = find(None, {**environ, "OPENAI_BASE_URL": server.url}).endpoint
    assert unasked is not None
    assert not unasked.key
    keys = [endpoint.key.reveal() for endpoint in (asked, given, named) if endpoint is not None]
    assert keys == ["sk-mine", "sk-given", "sk-secret"]


def test_a_variable_that_is_to_hold_the_key_and_does_not_is_named() -> None:
    with ModelServer([]) as server:
        found = find(Config(base_url=server.url, key_env="MINE"))
    assert found.line.endswith("(from configuration); MINE is not set")


def test_models_that_were_set_go_before_those_that_are_listed() -> None:
    with ModelServer([], models=["a-mini", "a"]) as server:
        found = find(Config(base_url=server.url, models={"strong": "mine"}))
    assert found.endpoint is not None
    assert found.endpoint.tiers == {"fast": "a-mini", "standard": "a", "strong": "mine"}


def test_an_endpoint_that_lists_nothing_is_kept_and_the_line_says_what_to_do() -> None:
    with other_server(b"no", 401) as port:
        found = find(Config(base_url=f"http://me:word@127.0.0.1:{port}/v1"))
    assert found.endpoint is not None
    assert found.line == (
        f"master: no model yet at http://127.0.0.1:{port}/v1 (from configuration): "
        "its models could not be listed: 401; name one with %orchestra model strong=NAME"
    )
    assert "word" not in repr(found)


@pytest.mark.parametrize("text", ["localhost:8000/v1", "ftp://x/v1", "http://[::1", "http://", "http://x:0/v1"])
def test_what_is_no_url_is_told_and_not_silently_passed_over(text: str) -> None:
    found = find(None, {"OPENAI_BASE_URL": text})
    assert found.endpoint is None
    assert "the rules planner (OPENAI_BASE_URL is no http URL)" in found.line


@pytest.mark.parametrize(
    "answer", [b"hello", b"{}", b"[]", b'{"object": "list", "data": []}', b'{"object": "list", "data": {"id": "x"}}']
)
def test_a_port_that_does_not_answer_as_a_model_server_is_passed_over(answer: bytes) -> None:
    with other_server(answer) as port, ModelServer([]) as server:
        assert find(ports=(port,)).endpoint is None
        found = find(ports=(port, port_of(server)))
    assert found.endpoint is not None
    assert found.endpoint.base_url == server.url


def test_a_port_that_says_nothing_holds_nothing_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, ModelServer([]) as server:
        found = find(ports=(mute.getsockname()[1], port_of(server)))
    assert found.endpoint is not None
    assert found.endpoint.base_url == server.url


def test_a_redirect_does_not_carry_the_key_elsewhere() -> None:
    with ModelServer([]) as server, other_server(b"", 302, location=f"{server.url}/models") as port:
        with pytest.raises(NoList, match="302"):
            asyncio.run(list_models(f"http://127.0.0.1:{port}/v1", Secret.of("sk-secret"), 2))
        assert server.listed == 0


def test_a_list_without_end_is_not_read() -> None:
    with other_server(b" " * (2 << 20)) as port, pytest.raises(NoList, match="without end"):
        asyncio.run(list_models(f"http://127.0.0.1:{port}/v1", Secret(), 5))


def test_no_proxy_leads_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with ModelServer([]) as server:
        assert asyncio.run(list_models(server.url, Secret(), 2)) == ["scripted"]
