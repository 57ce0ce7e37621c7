from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import msgspec
import pytest

import jupyter_orchestra
from jupyter_orchestra import cli, doctor
from jupyter_orchestra.doctor import Check
from jupyter_orchestra.models.discovery import Config
from jupyter_orchestra.sandbox import probing


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put_program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_every_check_has_a_name_and_a_finding(tmp_path: Path) -> None:
    checks = doctor.run_checks(tmp_path)
    assert len({check.name for check in checks}) == len(checks) == 14
    assert all(check.found for check in checks)
    assert {check.name for check in checks if check.status == "missing"} <= {"JupyterLab", "Notebook", "Labextension"}


def test_whatever_is_missing_says_how_to_get_it(programs: Path) -> None:
    assert all(check.how for check in doctor.run_checks(programs) if check.status == "missing")


def test_a_broken_probe_is_a_note() -> None:
    check = doctor._guarded("Thing", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert check == Check("Thing", "note", "could not be checked: ZeroDivisionError: division by zero")


def test_report_is_aligned_with_advice_under_its_line() -> None:
    text = doctor.render([Check("A", "ok", "1"), Check("Longer", "missing", "not there", "get it")])
    assert text.splitlines() == ["ok       A       1", "missing  Longer  not there", "                 get it"]


def test_report_of_nothing_is_empty() -> None:
    assert doctor.render([]) == ""


def test_journal_below_something_that_is_no_directory_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = doctor._journal(tmp_path / "file" / "journals")
    assert (check.status, "JUPYTER_DATA_DIR" in check.how) == ("missing", True)


def test_small_shared_memory_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=64 * 2**20))
    check = doctor._shared_memory(tmp_path)
    assert (check.status, check.found) == ("note", f"64 MiB free in {tmp_path}")


def test_no_shared_memory_is_a_note(tmp_path: Path) -> None:
    assert doctor._shared_memory(tmp_path / "shm").status == "note"


def test_old_package_is_missing_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _: "4.6.1")
    check = doctor._page("JupyterLab", "jupyterlab", (4, 6, 2))
    assert (check.status, check.found) == ("missing", "4.6.1, older than 4.6.2")


@pytest.mark.parametrize(("version", "status"), [(jupyter_orchestra.__version__, "ok"), ("0.0.1", "missing")])
def test_labextension_must_have_the_version_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, status: str
) -> None:
    folder = tmp_path / "labextensions" / "jupyter-orchestra"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert doctor._labextension().status == status


def test_subshells_are_asked_of_the_kernel_that_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_features_of_this_kernel", lambda: ["debugger"])
    assert doctor._subshells().status == "missing"
    monkeypatch.setattr(doctor, "_features_of_this_kernel", lambda: ["kernel subshells"])
    assert doctor._subshells().found.endswith("in this kernel")


@pytest.fixture
def _sandbox_anew() -> Iterator[None]:
    probing._tried.cache_clear()
    yield
    probing._tried.cache_clear()


@pytest.mark.usefixtures("_sandbox_anew")
def test_bubblewrap_counts_only_if_it_runs(programs: Path) -> None:
    assert doctor._bubblewrap().status == "note"
    assert doctor._bubblewrap().how == "apt-get install bubblewrap"
    (programs / "env").symlink_to("/usr/bin/env")
    put_program(programs, "bwrap", "echo 'No permissions to create a new namespace' >&2; exit 1")
    probing._tried.cache_clear()
    assert doctor._bubblewrap().found == (
        "No permissions to create a new namespace: agents ask before each command and piece of code"
    )


def test_what_confines_says_what_it_does() -> None:
    for kind, check in (("bubblewrap", doctor._bubblewrap()), ("landlock", doctor._landlock())):
        rung = next(rung for rung in probing.rungs() if rung.sandbox.kind == kind)
        assert check.status == ("note" if rung.trouble else "ok")
        assert (rung.trouble or rung.sandbox.limits) in check.found


def test_program_tells_its_version_and_where_it_is(programs: Path) -> None:
    put_program(programs, "codex", "echo codex-cli 1.2.3; echo more")
    assert doctor._codex().found.startswith(f"codex-cli 1.2.3 at {programs / 'codex'}")


def test_agents_on_path_are_listed(programs: Path) -> None:
    put_program(programs, "opencode", "exit 0")
    put_program(programs, "gemini", "exit 0")
    assert doctor._acp_agents().found.startswith("opencode, gemini")


class _Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v1/models" else 404)
        self.end_headers()
        self.wfile.write(self.server.body)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Models) as served:
        thread = Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def listing(*names: str) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()


def test_endpoint_never_shows_a_key_or_a_password(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.body = listing("m")  # type: ignore[attr-defined]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://name:password@127.0.0.1:{server.server_port}/v1?key=secret")
    check = doctor._model_endpoint(Config(), [])
    assert check.found.startswith(f"http://127.0.0.1:{server.server_port}/v1 (from OPENAI_BASE_URL), key set")
    assert "secret" not in repr(check)
    assert "password" not in repr(check)


@pytest.mark.parametrize(
    ("body", "status"),
    [(listing("m"), "ok"), (b'[{"id": "m"}]', "note"), (b'{"data": "no list"}', "note"), (b"<html>", "note")],
)
def test_local_server_counts_only_if_it_lists_models(server: HTTPServer, body: bytes, status: str) -> None:
    server.body = body  # type: ignore[attr-defined]
    assert doctor._model_endpoint(Config(), [server.server_port]).status == status


def test_endpoint_says_which_model_serves_which_tier(server: HTTPServer) -> None:
    server.body = listing("some-mini", "some-large", "some")  # type: ignore[attr-defined]
    found = doctor._model_endpoint(Config(), [server.server_port]).found
    assert found.endswith("no key set; fast: some-mini, standard: some, strong: some-large")
    named = Config(models={"strong": "mine"})
    assert doctor._model_endpoint(named, [server.server_port]).found.endswith("strong: mine")


def test_one_model_serves_all_tiers(server: HTTPServer) -> None:
    server.body = listing("only")  # type: ignore[attr-defined]
    assert doctor._model_endpoint(Config(), [server.server_port]).found.endswith("all tiers: only")


def test_endpoint_that_lists_nothing_says_how_to_name_a_model(server: HTTPServer) -> None:
    server.body = b"<html>"  # type: ignore[attr-defined]
    check = doctor._model_endpoint(Config(base_url=f"http://127.0.0.1:{server.server_port}/v1"), [])
    assert check.status == "note"
    assert "%orchestra model strong=NAME" in check.found


def test_without_an_endpoint_the_rules_planner_is_named() -> None:
    check = doctor._model_endpoint(Config(), [])
    assert check.status == "note"
    assert "rules planner" in check.found
    assert "agents can't work" in check.how


def test_endpoint_is_looked_for_from_a_running_loop_too(server: HTTPServer) -> None:
    server.body = listing("m")  # type: ignore[attr-defined]

    async def in_a_cell() -> Check:
        return doctor._model_endpoint(Config(), [server.server_port])

    assert asyncio.run(in_a_cell()).status == "ok"


def test_command_prints_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith("ok       Python ")
    assert cli.main(["doctor", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=list[Check])[0].name == "Python"
