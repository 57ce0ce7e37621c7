"""Whatever comes over the supervisor's socket: it is hung up on, nothing hangs, and the kernel is served as before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from live_kernel import wait_until

from jupyter_orchestra.core.ports import Launch
from jupyter_orchestra.supervisor import server
from jupyter_orchestra.supervisor.launcher import SupervisedLauncher
from jupyter_orchestra.supervisor.link import Link, connect
from jupyter_orchestra.supervisor.main import BEAT, SOCKET
from jupyter_orchestra.supervisor.wire import FIRST, LARGEST

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor is for Linux")
GREETING = {"op": "hello", "id": 1, "grace": 60.0}
PEER = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.settimeout(10)\n"


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jo-", dir="/tmp"))
    yield folder
    wait_until(lambda: shutil.rmtree(folder, ignore_errors=True) or not folder.exists())


def framed(message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


class Guest:
    """A connection of somebody who means no good."""

    def __init__(self, place: Path, greets: bool = False) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(os.fspath(place / SOCKET))
        if greets:
            self.send(framed(GREETING))
            assert self.hear()["id"] == 1

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it may hang up meanwhile
            self.socket.sendall(data)

    def hear(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._exactly(4))
        found: dict[str, Any] = json.loads(self._exactly(length))
        return found

    def answer(self, id: int) -> dict[str, Any]:
        while (found := self.hear()).get("id") != id:
            pass
        return found

    @property
    def hung_up_on(self) -> bool:
        """Waits until it is."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part, "hung up"
            data += part
        return data


class House:
    """A supervisor with a kernel that it serves."""

    def __init__(self, place: Path, launcher: SupervisedLauncher) -> None:
        self.place, self.launcher = place, launcher
        self.guests: list[Guest] = []
        self._crowd: list[socket.socket] = []
        self._count = 0

    def guest(self, greets: bool = False) -> Guest:
        self.guests.append(Guest(self.place, greets))
        return self.guests[-1]

    async def serves(self) -> None:
        """The kernel is still served."""
        self._count += 1
        folder = self.place / f"run-{self._count}"
        order = ("bash", "-c", "exit 7")
        async with asyncio.timeout(20):
            running = await self.launcher.start(
                Launch(order, folder, "", {"PATH": os.environ["PATH"]}, folder / "spool")
            )
            assert await running.wait() == 7
            await running.end()

    async def run(self, script: str) -> int:
        """A process that the kernel starts and that runs on."""
        folder = self.place / "runs"
        launch = Launch(("bash", "-c", script), folder, "", {"PATH": os.environ["PATH"]}, folder / "spool")
        return (await self.launcher.start(launch)).process.pid

    def crowd(self) -> bool:
        """One more who connects and says nothing; whether there was room."""
        with socket.socket(socket.AF_UNIX) as one:
            one.setblocking(False)
            try:
                one.connect(os.fspath(self.place / SOCKET))
            except BlockingIOError:
                return False
            self._crowd.append(one.dup())
        return True

    def clear(self) -> None:
        for one in (*self.guests, *self._crowd):
            one.close()

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(int((self.place / "supervisor.lock").read_text()))


def at_home(place: Path, act: Callable[[House], Awaitable[None]]) -> None:
    async def main() -> None:
        house = House(place, SupervisedLauncher(place, "test", grace=60.0))
        try:
            await house.serves()
            await act(house)
            await house.serves()
        finally:
            house.clear()
            await house.launcher.close()

    asyncio.run(main())


def deep(levels: int) -> bytes:
    return b'{"op":' + b"[" * levels + b"]" * levels + b"}"


STRANGE = {
    "a giant length": struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000,
    "a length just too large for a stranger": struct.pack(">I", FIRST + 1),
    "no length": bytes(1),
    "nothing in a frame": struct.pack(">I", 0),
    "a request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "garbage": random.Random(7).randbytes(100_000),
    "zeros": bytes(100_000),
    "no object": framed([1, 2, 3]),
    "no JSON": framed(b"{" * 100),
    "no text": framed(b"\xff\xfe\x00"),
    "deep JSON": framed(deep(FIRST // 2 - 10)),
    "a wish without a greeting": framed({"op": "close", "id": 1}),
    "no grace": framed({"op": "hello", "id": 1}),
    "a grace that is none": framed({"op": "hello", "id": 1, "grace": [1]}),
    "a grace that is no number": framed(b'{"op": "hello", "id": 1, "grace": NaN}'),
    "half a greeting": framed(GREETING)[:-3],
}


def all_hung_up_on(guests: dict[str, Guest]) -> None:
    for name, guest in guests.items():
        try:
            assert guest.hung_up_on
        except TimeoutError:
            pytest.fail(f"not hung up on: {name}")


def test_strangers_who_say_no_greeting_are_hung_up_on(place: Path) -> None:
    async def act(house: House) -> None:
        guests = {}
        for name, data in STRANGE.items():
            guests[name] = house.guest()
            guests[name].send(data)
            await house.serves()
        await asyncio.to_thread(all_hung_up_on, guests)

    at_home(place, act)


MARK = f"ORCHESTRA_LAUNCH={'0' * 16}"
LAUNCH = {
    "argv": ["true"], "cwd": "/", "environment": {}, "log": "/dev/null", "spool": "", "mark": MARK, "around": False,
    "kept": "", "memory": None, "processes": None,
}  # fmt: skip
HOSTILE = {
    "a giant length": struct.pack(">I", LARGEST + 1),
    "deep JSON": framed(deep(2_000_000)),
    "an operation that there is not": framed({"op": "fly", "id": 2}),
    "an attribute": framed({"op": "_class__", "id": 2}),
    "no operation": framed({"id": 2}),
    "no command": framed({"op": "start", "id": 2, **LAUNCH, "argv": []}),
    "a command that is no text": framed({"op": "start", "id": 2, **LAUNCH, "argv": [["x"]]}),
    "an environment that is none": framed({"op": "start", "id": 2, **LAUNCH, "environment": 7}),
    "a folder that is none": framed({"op": "start", "id": 2, **LAUNCH, "cwd": {"a": 1}}),
    "a launch without a mark of its own": framed({"op": "start", "id": 2, **LAUNCH, "mark": "HOME=/root"}),
    "half a launch": framed({"op": "start", "id": 2, "argv": ["sleep", "600"], "cwd": "/", "log": "/dev/null"}),
    "a limit that is none": framed({"op": "start", "id": 2, **LAUNCH, "memory": "much"}),
    "a launch that is none": framed({"op": "signal", "launch": "x", "number": 9}),
    "an endless launch": framed(b'{"op": "signal", "launch": Infinity, "number": 9}'),
    "an endless grace": framed(b'{"op": "grace", "grace": Infinity}'),
    "a grace that is no number": framed(b'{"op": "grace", "grace": NaN}'),
    "pids that are none": framed({"op": "drop", "id": 2, "kept": [None]}),
}


def test_clients_that_turn_hostile_harm_themselves_alone(place: Path) -> None:
    async def act(house: House) -> None:
        guests = {}
        for name, data in HOSTILE.items():
            guests[name] = house.guest(greets=True)
            guests[name].send(data)
            await house.serves()
        await asyncio.to_thread(all_hung_up_on, guests)
        assert not house.process.children(), "something was started"

    at_home(place, act)


IMPOSSIBLE: list[dict[str, Any]] = [
    {"argv": ["tr\0ue"]},
    {"argv": ["no-such-program-here"]},
    {"argv": ["true", "x" * 3_000_000]},
    {"cwd": "/nowhere"},
    {"log": "/nowhere/log"},
    {"environment": {"a=b": "c", "\ud800": "d"}},
]


def test_what_can_not_be_started_is_answered(place: Path) -> None:
    async def act(house: House) -> None:
        guest = house.guest(greets=True)
        for number, wrong in enumerate(IMPOSSIBLE, 10):
            guest.send(framed({"op": "start", "id": number, **LAUNCH, **wrong}))
            assert (await asyncio.to_thread(guest.answer, number))["strerror"], wrong

    at_home(place, act)


def test_wishes_about_launches_that_never_were_change_nothing(place: Path) -> None:
    async def act(house: House) -> None:
        guest = house.guest(greets=True)
        for op in ("signal", "ladder", "keep", "limit", "write"):
            more = {"number": 9, "kept": "x", "memory": 1, "processes": 1, "data": "x"}
            guest.send(framed({"op": op, "launch": 10**9, **more}))
        guest.send(framed({"op": "end", "launch": -1, "id": 5}))
        assert (await asyncio.to_thread(guest.answer, 5)) == {"id": 5}

    at_home(place, act)


def test_a_signal_that_there_is_not_ends_nobody(place: Path) -> None:
    async def act(house: House) -> None:
        pid = await house.run("sleep 600")
        (held,) = [held for held in await house.launcher.launches() if held.pid == pid]
        for number in (10**6, -1, "x", None):
            guest = house.guest(greets=True)
            guest.send(framed({"op": "signal", "launch": held.launch, "number": number}))
        await house.serves()
        assert psutil.Process(pid).is_running()

    at_home(place, act)


@pytest.fixture
def many_files() -> Iterator[int]:
    """Let this process open many files; how many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(before[1], 4_096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    yield most
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def list_as_next_kernel(place: Path) -> list[int]:
    """The processes that a next kernel is told of."""
    link = await connect(place, 60.0, lambda: Link(lambda event: None, lambda link: None))
    assert link is not None
    found = [launch["pid"] for launch in (await link.ask("list"))["launches"] if launch["code"] is None]
    link.close()
    await asyncio.sleep(0)  # in which it is
    return found


def test_a_thousand_strangers_do_not_keep_a_kernel_out(place: Path, many_files: int) -> None:
    async def act(house: House) -> None:
        pid = await house.run("sleep 600")
        for _ in range(min(1_000, many_files - 500)):
            house.crowd()
        await house.serves()
        assert pid in await list_as_next_kernel(place)
        assert house.process.num_fds() < 300

    at_home(place, act)


def test_a_crowd_before_a_supervisor_that_stands_still_keeps_no_kernel_out(place: Path, many_files: int) -> None:
    async def act(house: House) -> None:
        pid = await house.run("sleep 600")
        house.process.suspend()
        try:
            while house.crowd():
                pass
            next_one = asyncio.ensure_future(list_as_next_kernel(place))
            await asyncio.wait((next_one,), timeout=0.2)
        finally:
            house.process.resume()
        assert pid in await next_one

    at_home(place, act)


def test_who_reads_nothing_is_hung_up_on_before_it_takes_all_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(house: House) -> None:
        for _ in range(20):
            await house.serves()  # each is remembered, and listed
        before = house.process.memory_info().rss
        guest = house.guest(greets=True)
        guest.socket.setblocking(False)
        asked, wish = 0, framed({"op": "list", "id": 2}) * 100
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                asked += guest.socket.send(wish[asked % len(wish) :])
            except BlockingIOError:
                await asyncio.sleep(0.01)
            except ConnectionError:
                break
        else:
            pytest.fail("it is never hung up on")
        await house.serves()
        assert house.process.memory_info().rss - before < 4 * server.WAITING

    at_home(place, act)


def test_a_greeting_that_comes_byte_by_byte_is_one(place: Path) -> None:
    async def act(house: House) -> None:
        guest = house.guest()
        for byte in framed(GREETING):
            guest.send(bytes([byte]))
            await asyncio.sleep(0.002)
        assert (await asyncio.to_thread(guest.hear))["version"] == server.VERSION

    at_home(place, act)


def test_a_worker_of_its_own_is_not_heard(place: Path) -> None:
    async def act(house: House) -> None:
        folder = place / "worker"
        code = f"{PEER}try: sys.exit(len(s.recv(10)))\nexcept ConnectionError: sys.exit(0)"
        argv = (sys.executable, "-I", "-S", "-c", code, os.fspath(place / SOCKET))
        running = await house.launcher.start(Launch(argv, folder, "", dict(os.environ), folder / "spool"))
        async with asyncio.timeout(20):
            assert await running.wait() == 0
        await running.end()

    at_home(place, act)


def test_another_user_is_not_heard(place: Path) -> None:
    python = shutil.which("python3", path="/usr/bin")
    if os.geteuid() or python is None:
        pytest.skip("becoming another user takes root, and a Python that it may run")

    async def act(house: House) -> None:
        os.chmod(place, 0o755)
        os.chmod(place / SOCKET, 0o666)  # were it so, the peer's user still counts
        code = f"{PEER}try: sys.exit(len(s.recv(10)))\nexcept ConnectionError: sys.exit(0)"
        words = [python, "-I", "-S", "-c", code, os.fspath(place / SOCKET)]
        ran = await asyncio.to_thread(subprocess.run, words, user=65534, cwd="/", timeout=30)
        assert ran.returncode == 0

    at_home(place, act)


@pytest.mark.parametrize("name", ["kept", "mark"])
def test_what_names_a_lease_can_not_write_lines_of_its_own_into_the_beat(place: Path, name: str) -> None:
    async def act(house: House) -> None:
        guest = house.guest(greets=True)
        forged = "mine\nforged\tORCHESTRA_X=1\t0.0"
        order = {"op": "start", "id": 2, **LAUNCH, "argv": ["sleep", "600"], "kept": "mine", name: forged}
        guest.send(framed(order))
        guest.send(framed({"op": "keep", "launch": 2, "kept": forged}))
        await house.serves()
        assert "forged" not in (place / BEAT).read_text()

    at_home(place, act)


def test_a_log_that_nobody_reads_does_not_stop_the_supervisor(place: Path) -> None:
    async def act(house: House) -> None:
        os.mkfifo(place / "pipe")
        guest = house.guest(greets=True)
        guest.send(framed({"op": "start", "id": 2, **LAUNCH, "log": os.fspath(place / "pipe")}))
        await house.serves()

    at_home(place, act)
