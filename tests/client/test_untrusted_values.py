"""What becomes of the value of a task in the notebook, by who dispatched it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest

from jupyter_orchestra.client.client import Client
from jupyter_orchestra.core.model import Blob, Kind, Origin, Result, Spec, State, Task
from jupyter_orchestra.core.views import TaskView, view
from jupyter_orchestra.errors import ValueGoneError


class Trap:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def client() -> Client:
    runtime: Any = SimpleNamespace(journal=SimpleNamespace(get=lambda blob: blob.data))
    context: Any = None
    return Client(lambda: runtime, context)


def done(value: object, origin: Origin, *, agent: bool = False) -> TaskView:
    data = cloudpickle.dumps(value)
    blob = Blob(len(data), data)
    spec = Spec("u", "fit", "kernel", "brief", origin=origin)
    task = Task(spec, "fit", State.DONE, 0.0, attempt=1, result=Result(value=blob, returned={"x": blob}))
    return view(task, kind=Kind("kernel", 1, agent=agent))


@pytest.mark.parametrize(
    ("origin", "agent"), [(Origin.MASTER, False), (Origin.TASK, False), (Origin.PERSON, True), (Origin.MASTER, True)]
)
def test_a_trap_of_a_model_does_nothing_in_the_notebook(tmp_path: Path, origin: Origin, agent: bool) -> None:
    held = done(Trap(tmp_path / "sprung"), origin, agent=agent)
    with pytest.raises(ValueGoneError) as caught:
        client().value(held)
    assert str(caught.value) == (
        "the value of 'fit' holds posix.system, which is not loaded from what a model wrote: dispatch its code "
        "yourself, or have it return plain data; its output is kept: %task fit"
    )
    with pytest.raises(ValueGoneError, match=r"^'x' of 'fit' holds posix\.system"):
        client().value(held, "x")
    assert not (tmp_path / "sprung").exists()


def test_plain_data_of_a_model_and_anything_of_the_persons_is_loaded(tmp_path: Path) -> None:
    assert client().value(done({"a": [1.5]}, Origin.MASTER)) == {"a": [1.5]}
    assert client().value(done({"a": [1.5]}, Origin.MASTER), "x") == {"a": [1.5]}
    assert client().value(done(lambda: 7, Origin.PERSON))() == 7
    client().value(done(Trap(tmp_path / "sprung"), Origin.PERSON))
    assert (tmp_path / "sprung").exists()
