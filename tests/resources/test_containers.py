"""Containers with a real podman, in a store of the tests' own."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import container_holder
import psutil
import pytest
from engine import IMAGE, SERVER, PodmanStore
from live_kernel import marked, wait_until

from jupyter_orchestra.core.needs import Need
from jupyter_orchestra.core.ports import Grant, Provision
from jupyter_orchestra.errors import ResourceError, UsageError
from jupyter_orchestra.resources import engines, marks
from jupyter_orchestra.resources.container import ContainerProvider
from jupyter_orchestra.resources.declared import read
from jupyter_orchestra.resources.resolving import Resolver

BOX = Need("container:box")
STAYS = "sleep 600"


async def yes(action: str, detail: str) -> bool:
    return True


async def no(action: str, detail: str) -> bool:
    return False


@pytest.fixture
def store(filled: PodmanStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodmanStore]:
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    yield filled
    left = filled.containers
    filled.empty()
    assert left == []


def provider(
    folder: Path,
    owner: str = "runtime",
    living: marks.Living = lambda lease: True,
    approved: Callable[[str, str], Awaitable[bool]] | None = yes,
    **box: object,
) -> ContainerProvider:
    declared = read({"containers": {"box": {"image": IMAGE, "command": STAYS, **box}}}, folder / "pyproject.toml")
    return ContainerProvider(declared, approved, owner, living)


def grant(folder: Path, lease: str = "uid#1") -> Grant:
    own = folder / f"grant-{secrets.token_hex(4)}"
    own.mkdir(mode=0o700)
    return Grant(lease, "uid", "task", own, folder, (BOX,), lambda line: None)


def held(act: Callable[[Provision], Awaitable[None]], served: ContainerProvider, given: Grant) -> None:
    async def run() -> None:
        provision = await served.provide(BOX, given)
        try:
            await act(provision)
        finally:
            await provision.end()

    asyncio.run(run())


def test_a_container_runs_as_long_as_its_lease_named_labelled_and_apart(store: PodmanStore, tmp_path: Path) -> None:
    async def act(provision: Provision) -> None:
        name = provision.environment["CONTAINER"]
        assert store.containers == [name]
        assert provision.environment["CONTAINER_RUNTIME"] == "podman"
        assert any(name in note for note in provision.notes)
        found = store.inspect(name)
        assert found["State"]["Running"] is True
        labels = found["Config"]["Labels"]
        assert labels["orchestra.lease"] == "uid#1"
        mark = marks.read(labels["orchestra.mark"])
        assert mark is not None
        assert (mark.owner, mark.lease) == ("runtime", "uid#1")
        assert found["HostConfig"]["NetworkMode"] == "none"
        assert "no-new-privileges" in " ".join(found["HostConfig"]["SecurityOpt"])
        assert found["HostConfig"]["AutoRemove"] is True

    held(act, provider(tmp_path), grant(tmp_path))
    assert store.containers == []


def test_its_limits_are_set_or_the_person_is_told_that_they_are_not(
    store: PodmanStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    async def act(provision: Provision) -> None:
        name = provision.environment["CONTAINER"]
        limits = store.inspect(name)["HostConfig"]
        told = any("limits not enforced here" in note for note in provision.notes)
        hog = store.run("exec", name, "bash", "-c", 'printf -v x "%*s" 200000000 "" && echo ${#x}')
        if told:
            assert hog.stdout.strip() == "200000000"
        else:
            assert (limits["Memory"], limits["PidsLimit"], limits["NanoCpus"]) == (64 << 20, 256, 500_000_000)
            assert hog.returncode != 0
            assert hog.stdout == ""

    held(act, provider(tmp_path, memory="64MiB", cpus=0.5), grant(tmp_path))
    assert not os.listdir(), "podman's monitor writes a file where it was started"


def test_a_port_of_it_is_reached_from_this_machine_alone(store: PodmanStore, tmp_path: Path) -> None:
    if why := store.works("--publish", "127.0.0.1::8000"):
        pytest.skip(f"podman publishes no ports here: {why}")

    async def act(provision: Provision) -> None:
        port = int(provision.environment["CONTAINER_PORT_8000"])
        assert store.call("port", provision.environment["CONTAINER"], "8000") == f"127.0.0.1:{port}"
        await asyncio.to_thread(wait_until, lambda: said(port) == b"from inside\n")

    def said(port: int) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                return connection.recv(100)
        except OSError:
            return b""

    served = provider(tmp_path, command=f"perl -e '{SERVER}' 8000", ports=[8000], network=True)
    held(act, served, grant(tmp_path))


def test_each_task_has_its_own(store: PodmanStore, tmp_path: Path) -> None:
    async def run() -> None:
        served = provider(tmp_path, slots=2)
        both = await asyncio.gather(*(served.provide(BOX, grant(tmp_path, f"{name}#1")) for name in ("one", "two")))
        names = [provision.environment["CONTAINER"] for provision in both]
        assert sorted(store.containers) == sorted(names)
        store.call("exec", names[0], "bash", "-c", "echo mine > /seen")
        assert store.run("exec", names[1], "cat", "/seen").returncode != 0
        await both[0].end()
        assert store.containers == [names[1]]
        await both[1].end()

    asyncio.run(run())


def refused(served: ContainerProvider, folder: Path) -> str:
    with pytest.raises(ResourceError) as caught:
        asyncio.run(served.provide(BOX, grant(folder)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_image_that_is_not_there_is_named_with_what_to_do(store: PodmanStore, tmp_path: Path) -> None:
    said = refused(provider(tmp_path, image="localhost/no-such-image:1"), tmp_path)
    assert said == (
        "container box: the image localhost/no-such-image:1 is not here: podman pull localhost/no-such-image:1"
    )


@pytest.mark.parametrize(("command", "hint"), [("no-such-program", "no-such-program"), ("cat /no-such-file", "stays")])
def test_one_that_does_not_stay_says_so(store: PodmanStore, tmp_path: Path, command: str, hint: str) -> None:
    assert hint in refused(provider(tmp_path, command=command), tmp_path)


def test_one_of_that_name_that_is_not_ours_is_left_alone(
    store: PodmanStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = grant(tmp_path), grant(tmp_path, "other#1")
    monkeypatch.setattr(secrets, "token_hex", lambda size=None: "a" * 8)

    async def act(provision: Provision) -> None:
        assert provision.environment["CONTAINER"] == "jo-aaaaaaaa"
        with pytest.raises(ResourceError, match="in use"):
            await provider(tmp_path).provide(BOX, mine)
        assert store.inspect("jo-aaaaaaaa")["State"]["Running"] is True

    held(act, provider(tmp_path), others)


def test_nothing_is_started_that_the_person_did_not_approve(store: PodmanStore, tmp_path: Path) -> None:
    assert "declined to start the container box" in refused(provider(tmp_path, approved=no), tmp_path)
    assert "nobody could be asked" in refused(provider(tmp_path, approved=None), tmp_path)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2, 0.35, 0.6])
def test_one_that_is_cancelled_while_it_starts_leaves_nothing(store: PodmanStore, tmp_path: Path, after: float) -> None:
    async def run() -> None:
        served = provider(tmp_path)
        await served.sweep()
        starting = asyncio.ensure_future(served.provide(BOX, grant(tmp_path)))
        await asyncio.wait((starting,), timeout=after)
        if not starting.cancel():
            await starting.result().end()
        await asyncio.wait((starting,))

    asyncio.run(run())
    assert store.containers == []
    assert store.call("ps", "--all", "--external", "--quiet") == ""


def test_one_that_was_removed_behind_our_back_ends_without_a_word(store: PodmanStore, tmp_path: Path) -> None:
    async def act(provision: Provision) -> None:
        store.empty()

    held(act, provider(tmp_path), grant(tmp_path))


class Dead:
    """A runtime that started a container and was killed; what it started may live on."""

    def __init__(self, folder: Path, owner: str, task: bool = False, guarded: bool = True) -> None:
        words = [sys.executable, container_holder.__file__, str(folder), owner, *(["task"] if task else [])]
        environment = {**os.environ, container_holder.OWNER: owner}
        self.owner = owner
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
        ) as process:
            assert process.stdout is not None
            self.name = process.stdout.readline().strip()
            assert self.name.startswith("jo-")
            guards = [one for one in psutil.Process(process.pid).children() if one.name() == "sh"]
            assert len(guards) == 1
            if not guarded:
                guards[0].kill()
            process.kill()

    def end_its_task(self) -> None:
        for process in marked("ORCHESTRA_RUNTIME", self.owner):
            process.kill()
        wait_until(lambda: not list(marked("ORCHESTRA_RUNTIME", self.owner)))


@pytest.fixture
def owner() -> str:
    return f"runtime-{secrets.token_hex(6)}"


def swept(served: ContainerProvider) -> list[str]:
    return asyncio.run(served.sweep())


def test_nothing_is_left_of_a_killed_kernel(store: PodmanStore, tmp_path: Path, owner: str) -> None:
    Dead(tmp_path, owner)
    wait_until(lambda: store.containers == [])
    wait_until(lambda: not list(marked(container_holder.OWNER, owner)))


def test_what_it_could_not_remove_the_next_one_does(store: PodmanStore, tmp_path: Path, owner: str) -> None:
    dead = Dead(tmp_path, owner, guarded=False)
    assert store.containers == [dead.name]
    assert swept(provider(tmp_path, owner, living=lambda lease: False)) == [dead.name]
    assert store.containers == []


def test_what_another_dead_notebook_left_is_removed_once_nothing_of_it_lives(
    store: PodmanStore, tmp_path: Path, owner: str
) -> None:
    dead = Dead(tmp_path, owner, task=True, guarded=False)
    mine = provider(tmp_path, "another", living=lambda lease: False)
    assert swept(mine) == []
    dead.end_its_task()
    assert swept(mine) == [dead.name]


def test_what_a_living_notebook_has_is_left_to_it(store: PodmanStore, tmp_path: Path) -> None:
    async def act(provision: Provision) -> None:
        other = provider(tmp_path, "another", living=lambda lease: False)
        assert await other.sweep() == []
        assert store.containers == [provision.environment["CONTAINER"]]

    held(act, provider(tmp_path), grant(tmp_path))


def test_without_an_engine_a_task_is_refused_at_dispatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    served = provider(tmp_path)
    with pytest.raises(UsageError, match="containers need podman or docker") as caught:
        Resolver([served], served._declared, tmp_path).resolve((BOX,))
    assert "\n" not in str(caught.value)


def test_a_container_that_is_not_declared_is_refused_at_dispatch(tmp_path: Path) -> None:
    served = provider(tmp_path)
    with pytest.raises(UsageError, match="did you mean box"):
        Resolver([served], served._declared, tmp_path).resolve((Need("container:bax"),))


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ('{"ServerErrors": ["Cannot connect to the Docker daemon"]}', "Cannot connect to the Docker daemon"),
        ("", "no containers"),
        ("{", "no containers"),
        ("null", "no containers"),
    ],
)
def test_an_engine_whose_service_is_down_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, hint: str
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hint in refused(provider(tmp_path), tmp_path)


def test_an_engine_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\ntrap '' TERM\n/bin/sleep 600\n")
    program.chmod(0o755)
    mark = f"{os.getpid()}-hangs"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JO_TEST_ENGINE", mark)
    monkeypatch.setattr(engines, "PROBE", 0.2)
    monkeypatch.setattr(engines, "LEAVE", 0.2)
    assert "took longer than" in refused(provider(tmp_path), tmp_path)
    monkeypatch.delenv("JO_TEST_ENGINE")
    wait_until(lambda: not list(marked("JO_TEST_ENGINE", mark)))
