"""Which folder is the project: the same one for all notebooks in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_orchestra.config import Orchestra, project_of
from jupyter_orchestra.controlling import Controlling

TABLE = "[tool.jupyter_orchestra.resources]\npress = 1\n"


@pytest.fixture
def below(tmp_path: Path) -> Path:
    folder = tmp_path / "studies" / "first"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("sign", [".git", "pyproject.toml", "setup.cfg"])
def test_a_folder_with_a_sign_of_a_project_is_the_one_of_all_below(tmp_path: Path, below: Path, sign: str) -> None:
    (tmp_path / sign).touch()
    assert project_of(below) == project_of(below.parent) == project_of(tmp_path) == tmp_path


def test_the_nearest_of_them_counts(tmp_path: Path, below: Path) -> None:
    (tmp_path / ".git").mkdir()
    (below.parent / "setup.cfg").touch()
    assert project_of(below) == below.parent


def test_our_table_counts_for_more_than_what_is_nearer_without_one(tmp_path: Path, below: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE)
    (below / "pyproject.toml").write_text('[project]\nname = "first"\n')
    assert project_of(below) == tmp_path
    assert Orchestra().apply_project(below) == (tmp_path / "pyproject.toml", {"resources": {"press": 1}})


def test_a_file_with_a_mistake_is_still_where_the_project_is(tmp_path: Path, below: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.jupyter_orchestra\n")
    (below / "pyproject.toml").touch()
    assert project_of(below) == tmp_path


def test_without_any_sign_it_is_the_folder_itself(below: Path) -> None:
    assert project_of(below) == below


def test_a_home_folder_under_version_control_makes_no_project_of_all_that_is_in_it(
    tmp_path: Path, below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert project_of(below) == below
    assert project_of(tmp_path) == tmp_path


def test_it_stays_the_same_when_the_working_directory_changes(
    tmp_path: Path, below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(below)
    controlling = Controlling(None, "")
    monkeypatch.chdir(tmp_path)
    assert controlling.project == below
    assert controlling.declared().project == below
