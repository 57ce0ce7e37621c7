"""Binder, step by step as repo2docker does it, in a clean environment and with the very files in binder/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from package_checkout import NOTEBOOKS, clean_venv, clone, environment, run

pytestmark = pytest.mark.timeout(900)


def test_binder_files_make_the_notebooks_run(tmp_path: Path) -> None:
    source = clone(tmp_path / "source")
    programs = clean_venv(tmp_path / "venv")
    env = environment(programs, tmp_path / "jupyter")

    run([programs / "pip", "install", "--quiet", "-r", "binder/requirements.txt"], cwd=source, env=env)
    run([source / "binder" / "postBuild"], cwd=source, env=env)

    doctor = run([programs / "jupyter", "orchestra", "doctor", "--json"], cwd=source, env=env)
    status = {check["name"]: check["status"] for check in json.loads(doctor)}
    assert (status["JupyterLab"], status["Notebook"], status["Labextension"]) == ("ok", "ok", "ok")

    settings = tmp_path / "venv" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert json.loads(settings.read_text())["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    sanitizer = json.loads(settings.read_text())["@jupyterlab/apputils-extension:sanitizer"]
    assert sanitizer == {"allowCommandLinker": False}

    for notebook in NOTEBOOKS:
        run([programs / "jupyter", "execute", "--inplace", notebook.name], cwd=source / notebook.parent, env=env)
