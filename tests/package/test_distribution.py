"""The wheel and the sdist, built once from a copy of the checkout."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from package_checkout import BUILT, NOTEBOOKS, ROOT, SCRIPT, clean_venv, clone, environment, run

from jupyter_orchestra import __version__ as VERSION

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    source = clone(tmp_path_factory.mktemp("source"), built=True)
    # The environment of the tests already holds what [build-system] requires.
    env = environment(Path(sys.executable).parent, folder)
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "out"], cwd=source, env=env)
    return folder / "out"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    return next(dist.glob("*.tar.gz"))


def test_wheel_carries_package_labextension_and_demo(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    share = f"jupyter_orchestra-{VERSION}.data/data/share/jupyter/labextensions/jupyter-orchestra/"
    demo = {f"jupyter_orchestra/demo/{path.relative_to('notebooks')}" for path in (*NOTEBOOKS, SCRIPT)}
    assert {"jupyter_orchestra/py.typed", *demo} <= set(names)
    assert {share + "package.json", share + "install.json", share + "static/style.js"} <= set(names)
    assert any(name.startswith(share + "static/remoteEntry.") for name in names)
    assert not [name for name in names if name.startswith(BUILT.as_posix())], "the labextension is packed twice"
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests", "labextension"))]


def test_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 1_200_000  # half of it is the page; source maps or a second xterm would go beyond


def test_sdist_carries_built_and_source_labextension(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"{BUILT.as_posix()}/package.json", "labextension/src/index.ts", "labextension/yarn.lock"} <= names
    assert {"LICENSE", "README.md", *(path.as_posix() for path in (*NOTEBOOKS, SCRIPT))} <= names
    assert not [name for name in names if "node_modules" in name]


def test_sdist_installs_without_node_and_the_command_runs(sdist: Path, tmp_path: Path) -> None:
    programs = clean_venv(tmp_path / "venv")
    env = environment(programs, tmp_path / "jupyter", system=False)
    assert shutil.which("node", path=env["PATH"]) is None
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pip = [programs / "python", "-m", "pip", "install", "--quiet"]
    run([*pip, *(name for name in requires if not name.startswith("nodejs"))], cwd=tmp_path, env=env)
    run([*pip, "--no-build-isolation", sdist], cwd=tmp_path, env=env)

    checks = {check["name"]: check for check in json.loads(run_doctor(programs, tmp_path, env))}
    assert checks["Labextension"]["status"] == "ok"
    assert checks["Kernel subshells"]["status"] == "ok"
    assert checks["JupyterLab"]["status"] == "missing"
    code = "from jupyter_orchestra import demo; print(demo.find_notebook())"
    assert "site-packages" in run([programs / "python", "-c", code], cwd=tmp_path, env=env)


def run_doctor(programs: Path, folder: Path, env: dict[str, str]) -> str:
    return run([programs / "jupyter", "orchestra", "doctor", "--json"], cwd=folder, env=env)


def test_python_only_install_needs_no_labextension(tmp_path: Path) -> None:
    source = clone(tmp_path / "source")
    env = {**environment(Path(sys.executable).parent, tmp_path), "SKIP_JUPYTER_BUILDER": "1"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "out", "."]
    run(command, cwd=source, env=env)
    assert list((source / "out").glob("jupyter_orchestra-*.whl"))


def test_versions_of_package_and_labextension_agree() -> None:
    manifest = json.loads((ROOT / "labextension" / "package.json").read_text())
    assert manifest["version"] == VERSION
