from __future__ import annotations

import os
from pathlib import Path

import pytest

from jupyter_orchestra.core.needs import Need, parse_all, spell_all
from jupyter_orchestra.core.ports import Provider
from jupyter_orchestra.processes.launcher import LocalLauncher
from jupyter_orchestra.resources.declared import Declared, Server
from jupyter_orchestra.resources.ports import PortProvider
from jupyter_orchestra.resources.resolving import Resolver
from jupyter_orchestra.resources.server import ServerProvider


def resolved(text: str, project: Path, *servers: str) -> tuple[Need, ...]:
    declared = Declared(project / "pyproject.toml", servers={name: Server("serve", port=None) for name in servers})
    providers: list[Provider] = [PortProvider(), ServerProvider(LocalLauncher(), declared, None)]
    return Resolver(providers, declared, project).resolve(parse_all(text))


def test_the_only_server_is_one_thing_by_whatever_name(tmp_path: Path) -> None:
    assert resolved("server", tmp_path, "web") == resolved("server:web", tmp_path, "web")
    assert spell_all(resolved("server,server:web", tmp_path, "web")) == "server:web, port:3000-3999"


def test_each_of_several_servers_has_a_port_of_its_own(tmp_path: Path) -> None:
    needs = resolved("server:web,server:docs", tmp_path, "web", "docs")
    assert sorted(need.resource for need in needs) == ["port", "port", "server:docs", "server:web"]


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("path:src:r,path:lib/../src:w", "w"),
        ("path:lib/../src:w,path:src:r", "w"),
        ("path:src/**:r,path:link:r", "r"),
        ("path:link/deep/..:w,path:src:w,path:src/*:r", "w"),
    ],
)
def test_one_place_under_several_names_is_one_need_and_writing_wins(tmp_path: Path, text: str, mode: str) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    (tmp_path / "link").symlink_to("src")
    place = Path(os.path.realpath(tmp_path)) / "src"
    assert resolved(text, tmp_path) == (Need("path", mode=mode, path=place.parts),)


def test_places_in_each_other_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    assert [need.mode for need in resolved("path:src:r,path:src/deep:w", tmp_path)] == ["r", "w"]
