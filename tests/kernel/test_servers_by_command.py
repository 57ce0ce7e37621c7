"""Servers that a person's code starts by a command of its own, as a part of a lease."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

SERVE = "python -m http.server $PORT --bind 127.0.0.1"
FETCH = "import urllib.request\nstatus = urllib.request.urlopen(lease.url).status"


@pytest.fixture
def nb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveKernel]:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    kernel = LiveKernel(tmp_path)
    yield kernel
    kernel.close()
    kernel.wait_for_no_process()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_by_a_command_answers_is_logged_and_ends_with_its_lease(nb: LiveKernel) -> None:
    nb.run(f"lease = await jo.controller.lease('server', command={SERVE!r}).__aenter__()\n{FETCH}")
    assert nb.ask("status") == 200
    port = nb.ask("lease.port")
    assert nb.ask("lease.url") == f"http://127.0.0.1:{port}/"
    nb.until_true("'\"GET / HTTP/1.1\" 200' in lease.log()")
    assert f"the server: http://127.0.0.1:{port}/" in nb.ask("lease.notes")
    assert listens(port)
    nb.run("await lease.__aexit__(None, None, None)")
    assert not listens(port)


def test_it_takes_the_port_that_is_asked_for_and_a_plain_with_does_as_well(nb: LiveKernel) -> None:
    nb.run(f"with jo.controller.lease('server', 'port:3160-3165', command={SERVE!r}) as lease:\n    port = lease.port\n"
           f"    import urllib.request\n    status = urllib.request.urlopen(lease.url).status")  # fmt: skip
    assert nb.ask("(status, 3160 <= port <= 3165)") == (200, True)
    assert not listens(nb.ask("port"))


def test_one_that_does_not_come_up_says_why_and_nothing_is_held(nb: LiveKernel) -> None:
    said = nb.fail("with jo.controller.lease('server', command='echo it is broken >&2; exit 3'):\n    pass")
    assert "it is broken" in said
    nb.until(lambda: "held by" not in nb.run("%orchestra leases").text)
    assert "ask for server besides" in nb.fail("jo.controller.lease('port', command='true')")
    assert "of no server" in nb.fail("with jo.controller.lease('port') as lease:\n    lease.url")
