"""The journal follows its notebook; a copy begins with its own; none lies in the person's repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_orchestra.core import events as e
from jupyter_orchestra.journal import Journal, location
from jupyter_orchestra.journal.birth import born

Start = Callable[..., Journal]
EVENT = e.TimePassed(1.0)


@pytest.fixture
def first(start: Start) -> Journal:
    """A journal of the notebook, with one event, closed."""
    journal = start()
    journal.append(EVENT)
    journal.close()
    return journal


def test_a_renamed_notebook_keeps_its_journal(start: Start, notebook: Path, first: Journal) -> None:
    new = notebook.with_name("new.ipynb")
    notebook.rename(new)
    journal = start(new)
    assert list(journal.events()) == [EVENT]
    assert journal.folder != first.folder
    assert not first.folder.exists()
    journal.close()
    journal = start(new)
    assert list(journal.events()) == [EVENT]


def test_a_copy_begins_with_a_journal_of_its_own(start: Start, notebook: Path, first: Journal) -> None:
    copy = notebook.with_name("copy.ipynb")
    shutil.copy(notebook, copy)
    journal = start(copy)
    assert (list(journal.events()), journal.private) == ([], False)
    journal.close()
    assert list(start().events()) == [EVENT]


def test_a_hard_link_is_a_copy(start: Start, notebook: Path, first: Journal) -> None:
    link = notebook.with_name("link.ipynb")
    os.link(notebook, link)
    assert list(start(link).events()) == []


def test_a_link_to_the_notebook_is_the_notebook(start: Start, notebook: Path, first: Journal) -> None:
    link = notebook.with_name("link.ipynb")
    link.symlink_to(notebook)
    assert start(link).folder == first.folder


def test_a_notebook_saved_anew_then_renamed_is_followed(start: Start, notebook: Path) -> None:
    journal = start()
    journal.append(EVENT)
    saved = notebook.with_name("saved")
    saved.write_text("{}")
    saved.replace(notebook)
    journal.refresh()
    journal.close()
    new = notebook.with_name("new.ipynb")
    notebook.rename(new)
    assert list(start(new).events()) == [EVENT]


def test_a_notebook_renamed_while_its_kernel_runs_is_followed(start: Start, notebook: Path) -> None:
    journal = start()
    journal.append(EVENT)
    new = notebook.with_name("new.ipynb")
    notebook.rename(new)
    journal.refresh(new)
    notebook.write_text("another one under the old name")
    other = start()
    assert other.folder != journal.folder
    assert list(other.events()) == []
    journal.close()
    assert list(start(new).events()) == [EVENT]
    other.close()
    assert list(start().events()) == []


def test_a_reused_inode_is_not_a_rename(start: Start, notebook: Path, first: Journal) -> None:
    if not born(str(notebook)):
        pytest.skip("this file system does not tell when a file was born")
    inode = notebook.stat().st_ino
    notebook.unlink()
    for number in range(50):
        new = notebook.with_name(f"new{number}.ipynb")
        new.write_text("{}")
        if new.stat().st_ino == inode:
            assert list(start(new).events()) == []
            return
    pytest.skip("the inode was not reused")


def test_a_notebook_that_is_not_saved_yet_has_a_journal(start: Start, notebook: Path) -> None:
    new = notebook.with_name("unsaved.ipynb")
    journal = start(new)
    journal.append(EVENT)
    journal.close()
    assert list(start(new).events()) == [EVENT]


@pytest.mark.parametrize(
    ("checkout", "data", "inside"),
    [
        (None, "home/.local/share/jupyter", "home/.local/share/jupyter/orchestra"),
        ("home/project", "home/.local/share/jupyter", "home/.local/share/jupyter/orchestra"),
        ("home/project", "home/project/.jupyter", "home/.local/state/jupyter_orchestra"),
        ("home", "home/.local/share/jupyter", "home/.local/share/jupyter/orchestra"),
    ],
)
def test_never_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: str | None, data: str, inside: str
) -> None:
    notebook = tmp_path / "home" / "project" / "deep" / "n.ipynb"
    notebook.parent.mkdir(parents=True)
    if checkout:
        (tmp_path / checkout / ".git").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / data))
    assert location.base(notebook) == tmp_path / inside
