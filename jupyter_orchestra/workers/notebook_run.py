"""The program that executes one notebook with papermill and spools how it goes; knows no tasks, only its job file."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import DeadKernelError
from papermill import PapermillExecutionError, execute_notebook  # type: ignore[import-untyped]
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines  # type: ignore[import-untyped]
from papermill.inspection import _infer_parameters  # type: ignore[import-untyped]
from papermill.iorw import load_notebook_node  # type: ignore[import-untyped]

from ..processes.spool import SpoolWriter
from ..processes.tree import Root, end_tree

Outcome = dict[str, Any]


def main(path: str) -> int:
    """Carry out the job at `path`: ``notebook``, ``output``, ``folder``, ``spool`` and ``parameters``."""
    watch_lifeline()
    job = json.loads(Path(path).read_text())
    writer = SpoolWriter(job["spool"])
    outcome = executed(job, writer)
    writer.frame("summary", json.dumps(outcome).encode())
    writer.close()
    return 1 if "failure" in outcome else 0


def executed(job: dict[str, Any], writer: SpoolWriter) -> Outcome:
    """Execute; what it came to, ready for JSON."""
    outcome: Outcome = {}
    try:
        notebook = load_notebook_node(job["notebook"])
        outcome["unknown"] = unknown_parameters(notebook, job["parameters"])
        papermill_engines.register("orchestra", engine(writer))
        execute_notebook(
            notebook,
            job["output"].replace("{", "{{").replace("}", "}}"),  # papermill fills parameters into paths
            parameters=job["parameters"],
            engine_name="orchestra",
            progress_bar=False,
            cwd=job["folder"],
            **_kernel_of(notebook),
        )
    except PapermillExecutionError as error:
        where = f"cell [{error.exec_count}] of {Path(job['notebook']).name}"
        outcome["failure"] = {"kind": "exception", "name": error.ename, "message": f"{error.evalue} (in {where})"}
    except DeadKernelError as error:
        outcome["failure"] = {"kind": "killed", "name": "DeadKernelError", "message": first_line(str(error))}
    except Exception as error:  # a missing kernel, a full disk: the message is for the person
        outcome["failure"] = {"kind": "start", "name": type(error).__name__, "message": first_line(str(error))}
    outcome["cells"] = spool_last_outputs(Path(job["output"]), writer)
    return outcome


def engine(writer: SpoolWriter) -> type[NBClientEngine]:
    """papermill's own engine, which tells the spool after each cell how far it is."""

    class Telling(NBClientEngine):  # type: ignore[misc]
        @classmethod
        def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **settings: Any) -> Any:
            complete, count = nb_man.cell_complete, len(nb_man.nb.cells)

            def cell_complete(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                complete(cell, cell_index, **more)
                done = (cell_index or 0) + 1
                writer.frame("progress", fraction=done / count, line=f"cell {done} of {count}")

            nb_man.cell_complete = cell_complete
            return super().execute_managed_notebook(nb_man, kernel_name, **settings)

    return Telling


def _kernel_of(notebook: Any) -> dict[str, str]:
    """What papermill must be told of a notebook that names no kernel: Python."""
    if notebook.metadata.get("kernelspec", {}).get("name"):
        return {}
    return {"kernel_name": "python3", "language": "python"}


def unknown_parameters(notebook: Any, parameters: dict[str, Any]) -> list[str]:
    """Those that no parameters cell defines."""
    if not parameters:
        return []
    kernel = _kernel_of(notebook)
    try:
        found = _infer_parameters(notebook, name=kernel.get("kernel_name"), language=kernel.get("language"))
    except Exception:  # a language that papermill can't inspect: nothing is known, so nothing is said
        return []
    known = {parameter.name for parameter in found}
    return [name for name in parameters if name not in known]


def spool_last_outputs(path: Path, writer: SpoolWriter) -> int:
    """Put the outputs of the last code cell that has any into the spool; how many code cells were executed."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return 0
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count]
    for output in next((cell.outputs for cell in reversed(cells) if cell.outputs), ()):
        if output.output_type == "stream":
            writer.write(output.name, output.text)
        else:
            writer.frame("error" if output.output_type == "error" else "display", json.dumps(output).encode())
    return len(cells)


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def watch_lifeline() -> None:
    """End this tree as soon as stdin ends: the notebook's kernel, which holds its other end, is gone then."""
    threading.Thread(target=_end_with_lifeline, name="lifeline", daemon=True).start()


def _end_with_lifeline() -> None:
    while os.read(0, 4096):
        pass
    end_tree(f"ORCHESTRA_LAUNCH={os.environ.get('ORCHESTRA_LAUNCH', '-')}", Root(os.getpid(), 0.0))
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
