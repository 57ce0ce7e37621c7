"""A need that can never be met is refused where it is said, with the reason, and leaves no task behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_kernel import LiveKernel

PROJECT = """
[tool.jupyter_orchestra.resources]
press = 2

[tool.jupyter_orchestra.databases.main]
url = "sqlite:///stock.db"

[tool.jupyter_orchestra.databases.odd]
url = "sqlite:///:memory:"
isolate = "copy"

[tool.jupyter_orchestra.servers.web]
command = "python -m http.server $PORT"
port = "3150-3151"

[tool.jupyter_orchestra.servers.docs]
command = "python -m http.server $PORT"

[tool.jupyter_orchestra.containers.box]
image = "none"
"""
HOPELESS = [
    ("press=3", "press=3 can never be had: there is press=2 at most"),
    ("pres", "did you mean press?"),
    ("gpu:64", "graphics card"),
    ("mem=900TiB", "can never be had: there is mem="),
    ("slots:kernel=999", "can never be had: there is slots:kernel="),
    ("slots:kernal=1", "slots:kernal"),
    ("port:3000-3001,port:3150-70000", "65535"),
    ("db:man:w", "did you mean main?"),
    ("db:odd", "is no plain file"),
    ("server", "which server? say server:web or server:docs"),
    ("server:wib", "did you mean web?"),
    ("container:bax", "did you mean box?"),
    ("path:../outside:w", "outside of the project"),
    ("path:/etc:r", "outside of the project"),
    ("path:out/file:w", "outside of the project"),  # through a link
    ("path:loop:w", "loop"),
    ("press,press=2", "twice"),
    ("press:w", "press"),
]


@pytest.fixture(scope="module")
def nb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKernel]:
    folder = tmp_path_factory.mktemp("hopeless")
    project, run = folder / "project", folder / "run"
    project.mkdir()
    run.mkdir(mode=0o700)
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "out").symlink_to(folder)
    (project / "loop").symlink_to("loop")
    kernel = LiveKernel(project, XDG_RUNTIME_DIR=os.fspath(run))
    yield kernel
    kernel.close()
    kernel.wait_for_no_process()
    assert not kernel.complaints


def refused(nb: LiveKernel, code: str) -> str:
    said = nb.fail(code)
    assert "\n" not in said
    assert nb.ask("[task.name for task in jo.tasks()]") == []
    assert "waits" not in nb.run("%orchestra leases").text
    return said


@pytest.mark.parametrize(("needs", "said"), HOPELESS)
def test_it_is_refused_at_the_cell(nb: LiveKernel, needs: str, said: str) -> None:
    assert said in refused(nb, f"%%dispatch hopeless --needs '{needs}'\n1")


@pytest.mark.parametrize(("needs", "said"), HOPELESS)
def test_it_is_refused_to_the_persons_own_code(nb: LiveKernel, needs: str, said: str) -> None:
    assert said in refused(nb, f"jo.dispatch('1', name='hopeless', needs={needs.split(',')})")
    assert said in refused(nb, f"jo.controller.lease(*{needs.split(',')}).__enter__()")


def test_what_fits_is_granted_all_the_same(nb: LiveKernel, tmp_path: Path) -> None:
    nb.run("with jo.controller.lease('press=2', 'path:new/file:w', 'port:3150-3151') as lease:\n    port = lease.port")
    assert nb.ask("port") in (3150, 3151)
