"""A Jupyter server with folders of its own, its kernels and its files. It knows no browser."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil

PATIENCE = 30.0  # seconds that anything may take on a loaded machine
DOUBLES = Path(__file__).with_name("doubles")
LABEXTENSION = Path(__file__).resolve().parents[2] / "jupyter_orchestra" / "labextension"
COLLABORATION, EXECUTOR = "jupyter-collaboration", "jupyter-server-nbmodel"
# what each of them brings: server extensions and labextensions
PARTS = {
    COLLABORATION: (
        ["jupyter_server_ydoc", "jupyter_server_fileid"],
        ["@jupyter/collaboration-extension", "@jupyter/docprovider-extension"],
    ),
    EXECUTOR: (["jupyter_server_nbmodel"], ["@datalayer/jupyter-server-nbmodel"]),
}
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
KERNELS = {"no-subshells": "kernel_without_subshells", "echo": "kernel_of_another_language"}  # of the folder doubles
Json = dict[str, Any]


class Site:
    """A server that runs from its making to :meth:`close`.

    Parameters
    ----------
    folder
        Where it keeps notebooks, settings, journals and its log.
    parts
        Of COLLABORATION and EXECUTOR; what is not named is switched off where it is installed.
    environment
        What server and kernels find besides.
    """

    def __init__(self, folder: Path, parts: Collection[str] = (), **environment: str) -> None:
        self.folder, self.parts, self._given = folder, frozenset(parts), environment
        self.notebooks = folder / "notebooks"
        self.data, self.runtime = folder / "data", folder / "runtime"
        self.notebooks.mkdir(parents=True)
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self._write_settings()
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser"],
            cwd=self.notebooks, env=self._environment(), stdout=self._log, stderr=self._log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            until(self._answers, why=lambda: f"the server does not start\n{self.log}")
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        """What the server and its kernels wrote to standard error."""
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def close(self) -> None:
        """End it and everything that it started."""
        with contextlib.suppress(psutil.Error):
            server = psutil.Process(self._process.pid)
            started = [*server.children(recursive=True), server]
            self._process.terminate()
            _, left = psutil.wait_procs(started, timeout=10)
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        self._process.wait()
        self._log.close()

    # what a page would ask

    def api(self, method: str, path: str, data: Json | None = None) -> Any:
        """The answer of the server's REST API."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found = answer.read()
        return json.loads(found) if found else None

    def write(self, name: str, cells: Sequence[Json | str], **metadata: Any) -> Path:
        """Write a notebook; a text is a code cell, with the ids c0, c1, …"""
        path = self.notebooks / name
        found = [code(f"c{number}", cell) if isinstance(cell, str) else cell for number, cell in enumerate(cells)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel, **metadata}, "cells": found}
        path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
        return path

    def saved(self, name: str) -> list[Json]:
        """The cells of a notebook as they are on disk."""
        found: list[Json] = []
        until(lambda: _read_json(self.notebooks / name, found), why=lambda: f"{name} can't be read")
        cells: list[Json] = found[-1]["cells"]
        for cell in cells:
            cell["source"] = "".join(cell["source"])
        return cells

    # kernels

    def kernel(self, name: str) -> str:
        """The id of the kernel of a notebook."""
        found = [session["kernel"]["id"] for session in self.api("GET", "sessions") if session["path"].endswith(name)]
        assert found, f"{name} has no kernel"
        return str(found[0])

    def connection(self, name: str) -> Path:
        """The connection file of a notebook's kernel."""
        return self.runtime / f"kernel-{self.kernel(name)}.json"

    def pid(self, name: str) -> int:
        """The process of a notebook's kernel."""
        wanted = str(self.connection(name))
        for process in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.Error):
                if wanted in process.cmdline():
                    return process.pid
        raise AssertionError(f"no process has {wanted}")

    def has_new_kernel(self, name: str, before: int) -> bool:
        """Whether a kernel that is not the process `before` works for a notebook."""
        try:
            process = self.pid(name)
        except AssertionError:
            return False
        found = self.api("GET", f"kernels/{self.kernel(name)}")
        return process != before and found["execution_state"] in ("idle", "starting")

    def restart(self, name: str) -> None:
        """Restart a notebook's kernel, as no page does it."""
        self.api("POST", f"kernels/{self.kernel(name)}/restart")

    def end_kernels(self) -> None:
        """Shut all kernels down; of two sessions on one kernel, the second is gone with the first."""
        for session in self.api("GET", "sessions"):
            self._delete(f"sessions/{session['id']}")
        for kernel in self.api("GET", "kernels"):
            self._delete(f"kernels/{kernel['id']}")

    def _delete(self, path: str) -> None:
        try:
            self.api("DELETE", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    # what it is made of

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"the server ended\n{self.log}"
        try:
            self.api("GET", "")
        except OSError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_", "XDG_"))}
        folders = {
            "HOME": home,
            "IPYTHONDIR": home / "ipython",
            "JUPYTER_CONFIG_DIR": self.folder / "config",
            "JUPYTER_DATA_DIR": self.data,
            "JUPYTER_RUNTIME_DIR": self.runtime,
            "XDG_STATE_HOME": self.folder / "state",
            "PYTHONPATH": DOUBLES,
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        names = {name: str(folder) for name, folder in folders.items()}
        # in a virtual environment its own settings would win over these
        return {**kept, **names, "PATH": path, "JUPYTER_PREFER_ENV_PATH": "0", **self._given}

    def _write_settings(self) -> None:
        config = self.folder / "config"
        on = {part: part in self.parts for part in PARTS}
        server = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": int(self.url.rpartition(":")[2]),
                "port_retries": 0,
                "root_dir": str(self.notebooks),
                "allow_root": True,
                "open_browser": False,
                "disable_check_xsrf": True,
                "jpserver_extensions": {name: on[part] for part in PARTS for name in PARTS[part][0]},
            },
            "IdentityProvider": {"token": ""},
            "LabApp": {"expose_app_in_browser": True, "extra_labextensions_path": [str(self._labextensions())]},
            "JupyterNotebookApp": {"expose_app_in_browser": True},
        }
        off = {name: True for part in PARTS if not on[part] for name in PARTS[part][1]}
        _write_json(config / "jupyter_server_config.json", server)
        _write_json(config / "labconfig" / "page_config.json", {"disabledExtensions": off})
        for name, settings in SETTINGS.items():
            _write_json(config / "lab" / "user-settings" / f"{name}.jupyterlab-settings", settings)
        for kernel, module in {
            "no-subshells": "kernel_without_subshells",
            "echo": "kernel_of_another_language",
        }.items():
            _write_json(
                self.data / "kernels" / kernel / "kernel.json",
                {"argv": [sys.executable, "-m", module, "-f", "{connection_file}"], "display_name": kernel,
                 "language": "echo" if kernel == "echo" else "python"},
            )  # fmt: skip

    def _labextensions(self) -> Path:
        """A folder that holds ours, wherever this Python keeps the others."""
        folder = self.folder / "labextensions"
        folder.mkdir()
        (folder / "jupyter-orchestra").symlink_to(LABEXTENSION)
        return folder


def code(name: str, source: str, **metadata: Any) -> Json:
    """A code cell without outputs."""
    return {
        "cell_type": "code", "id": name, "source": source, "metadata": metadata, "outputs": [], "execution_count": None,
    }  # fmt: skip


def until(condition: Callable[[], object], seconds: float = PATIENCE, why: Callable[[], str] = str) -> None:
    """Wait for a condition that no browser is needed for."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, why()
        sleep(0.02)


def _read_json(path: Path, found: list[Json]) -> bool:
    """Read a file that may be half written; whether it was whole."""
    try:
        found.append(json.loads(path.read_text("utf-8")))
    except ValueError:
        return False
    return True


def _write_json(path: Path, data: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1), "utf-8")
