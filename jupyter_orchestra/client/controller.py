"""``jo.controller``: leases for the person's own code, and what is leased to whom; it decides nothing."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..core import events as e
from ..core.needs import Need, spell
from ..core.ports import Logged, Provision, RunsTests
from ..core.resources import ResourceView, lines_of
from ..errors import GatherTimeout, LeaseLost, RefusedError, ResourceError, UsageError
from .leased import leased
from .request import patience, read_needs, served
from .tests import TestRun

if TYPE_CHECKING:
    from ..core.leasing import Held
    from .client import Client

SURE = 1.5  # seconds within which it must be found out whether a lease is still held
TICK = 0.1  # seconds between two looks, so that an interrupt works at once

_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()  # how many wait, loop by loop


class Controller:
    """The controller, as the person's code sees it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def lease(
        self,
        *needs: str,
        timeout: float | str | None = None,
        priority: int = 0,
        wait: bool = True,
        command: str = "",
    ) -> Lease:
        """Things to work with for as long as a ``with`` or ``async with`` block runs.

        Parameters
        ----------
        needs
            What is needed, all of it or nothing: ``"port:3000-3010"``, ``"path:src/**:w"``, ``"test-runner"``,
            ``"server"``, ``"db:NAME:w"``, ``"container:NAME"``, ``"gpu:1"``, ``"mem=2GiB"``, ``"terminal"``, or what
            the project declares.
        timeout
            Seconds to wait (texts such as ``"5m"`` are understood); None for as long as it takes.
        priority
            Higher ones go first; every 30 s of waiting count for one more.
        wait
            False: now or not at all.
        command
            Of the ``"server"`` among the needs, where the project declares none, such as
            ``"python -m http.server $PORT"``. It is started on a port of the lease, must answer there within 30 s, and
            ends with the lease.

        Returns
        -------
        Lease
            To be entered. Plain ``with`` holds the cell up while it waits; Ctrl-C ends the waiting.

        Raises
        ------
        UsageError
            For a need that can't be right.
        RefusedError
            When it can never be granted, or not now and `wait` is False. Raised on entering.
        GatherTimeout
            When the time is over. Raised on entering.
        """
        found = read_needs(needs)
        if not found:
            raise UsageError("a lease of what? name something, such as port:3000-3010")
        resolved = self._client.resolve(served(found) if command else found)
        return Lease(self._client, resolved, patience(timeout), priority, wait, command)

    def explain(self, task: Any) -> str:
        """Why a task is where it is: who holds what it waits for, how long, and what is ahead. One line."""
        return self._client.explain(getattr(task, "uid", task))

    def resources(self) -> tuple[ResourceView, ...]:
        """Each resource with its holders and its queue, those in other notebooks too when they are known within 1 s."""
        return leased(self._client.runtime)

    def __repr__(self) -> str:
        return "\n".join(lines_of(self.resources(), self._client.runtime.now())) or "nothing is leased"


class Lease:
    """A right to things that are used by one at a time."""

    def __init__(
        self,
        client: Client,
        needs: tuple[Need, ...],
        timeout: float | None,
        priority: int,
        wait: bool,
        command: str = "",
    ) -> None:
        self._client, self._needs, self._timeout = client, needs, timeout
        self._priority, self._wait, self._command = priority, wait, command
        self._id = ""
        self._held: Held | None = None

    @property
    def token(self) -> int:
        """Its fencing token: a later lease of the same thing has a higher one."""
        return self._now().lease.token

    @property
    def lost(self) -> bool:
        """Whether it is known to be held no longer, for want of a sign of life or since another program took it."""
        return self._held is None or self._held.is_over(self._client.runtime.now())

    @property
    def port(self) -> int:
        """The port that it holds. Raises UsageError when it is of no port."""
        ports = self.ports
        if not ports:
            raise UsageError("this lease is of no port: ask for port:3000-3010")
        return ports[0]

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports that it holds."""
        return tuple(unit for need in self._now().lease.needs if need.resource == "port" for unit in need.units)

    @property
    def url(self) -> str:
        """Where the server answers that came with it. Raises UsageError when none did."""
        if (found := self._now().environment.get("SERVER_URL")) is None:
            raise UsageError("this lease is of no server: ask for server")
        return found

    def log(self) -> str:
        """The end of what the server has put out. Raises UsageError when none came with it."""
        logged = next((thing for thing in self._things() if isinstance(thing, Logged)), None)
        if logged is None:
            raise UsageError("this lease is of no server: ask for server")
        return self._client.runtime.on_loop(logged.log).result(5.0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to know of it, a line each, such as where a browser finds its server."""
        return self._now().notes

    @property
    def environment(self) -> Mapping[str, str]:
        """What programs that use it are given, such as ``PORT`` and ``DATABASE_URL``."""
        return self._now().environment

    def check(self) -> None:
        """To be called before each write of something that it guards: the others who share it are asked.

        Raises
        ------
        LeaseLost
            When it is no longer held, or when that can't be found out within 1.5 s.
        """
        held = self._held
        if held is None or self.lost or not self._is_confirmed(held) or self.lost:
            raise LeaseLost("the lease is no longer held: stop writing, and ask for a new one")

    def _is_confirmed(self, held: Held) -> bool:
        """Whether this notebook and all others see it as held by its token. Raises LeaseLost when nobody says."""
        runtime, until = self._client.runtime, time.monotonic() + SURE
        id, token = self._id, held.lease.token
        ours = runtime.on_loop(lambda: runtime.machine.controller.table.valid(id, token))
        try:
            theirs = held.confirm()
            return all(answer.result(until - time.monotonic()) for answer in (ours, theirs) if answer is not None)
        except (FutureTimeout, CancelledError, ResourceError, RuntimeError):
            raise LeaseLost("nobody can say now whether the lease is still held: stop writing, check again") from None

    def downgrade(self, need: str) -> None:
        """From now on only read what could be written, such as ``"path:src:w"``.

        Raises
        ------
        UsageError
            When the lease holds no such thing for writing.
        """
        wanted = self._client.resolve(read_needs(need))
        for one in wanted:
            if not any(held.resource == one.resource and held.path == one.path for held in self._now().lease.needs):
                raise UsageError(f"this lease does not hold {spell(one)}")
            runtime = self._client.runtime
            runtime.post(e.LeaseDowngraded(runtime.now(), self._id, one))

    def extend(self, *needs: str) -> None:
        """Hold more, now or not at all. Raises RefusedError."""
        self._now()
        runtime = self._client.runtime
        found = self._client.resolve(read_needs(needs))
        answer = runtime.ask(e.LeaseExtendAsked(runtime.now(), runtime.new_request(), id=self._id, needs=found))
        self._settle(answer.result(5.0))

    def run_tests(self, *arguments: str, show: Callable[[str], object] = print) -> TestRun:
        """Run the project's tests, for which the lease must be of ``test-runner``; they end with it at the latest.

        Parameters
        ----------
        *arguments
            More of them for the command, such as the names of some tests.
        show
            Takes each line that they put out, while they are waited for; by default it is printed.

        Returns
        -------
        TestRun
            The run: ``await`` it or call its ``get()`` for the report, which has ``passed``, ``failed``, ``failures``,
            ``exit_code``, ``seconds`` and more.

        Raises
        ------
        UsageError
            When the lease is of no test runner.
        """
        found = next((thing for thing in self._things() if isinstance(thing, RunsTests)), None)
        if found is None:
            raise UsageError("this lease is of no test runner: ask for test-runner")
        return TestRun(found, self._client.runtime.loop, tuple(map(str, arguments)), show)

    async def __aenter__(self) -> Lease:
        future = self._ask()
        try:
            self._held = await self._awaited(future)
        except BaseException:
            self._give_up()
            raise
        return self

    async def __aexit__(self, *why: object) -> None:
        over = self._end()
        if over is not None:
            await asyncio.wrap_future(over)

    def __enter__(self) -> Lease:
        future = self._ask()
        until = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            while self._held is None:
                try:
                    self._held = future.result(TICK)
                except FutureTimeout:
                    if until is not None and time.monotonic() > until:
                        raise self._too_late() from None
        except BaseException:
            self._give_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        over = self._end()
        if over is not None:
            over.result(10.0)

    def _ask(self) -> Future[Held]:
        if self._held is not None:
            raise UsageError("this lease is held already: ask for another one")
        runtime = self._client.runtime
        keeper = runtime.keeper
        if keeper is None:
            raise ResourceError("leases can't be kept here: the kernel's log says why")
        self._id = f"lease-{uuid.uuid4().hex}"
        future = keeper.expect(self._id, self._command)
        answer = runtime.ask(
            e.LeaseAsked(
                runtime.now(),
                runtime.new_request(),
                id=self._id,
                needs=self._needs,
                priority=self._priority,
                wait=self._wait,
            )
        )
        try:
            self._settle(answer.result(5.0))
        except BaseException:
            self._give_up()
            raise
        return future

    async def _awaited(self, future: Future[Held]) -> Held:
        limit = asyncio.timeout(self._timeout)
        try:
            with _waking():
                async with limit:
                    return await asyncio.wrap_future(future)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late() from None

    def _settle(self, answer: e.Answer) -> None:
        if isinstance(answer, e.Refused):
            raise RefusedError(answer.reason)

    def _too_late(self) -> GatherTimeout:
        what = ", ".join(map(spell, self._needs))
        return GatherTimeout(f"{what} was not free within {self._timeout:g} s: %orchestra leases shows who holds it")

    def _give_up(self) -> None:
        keeper = self._client.runtime.keeper
        if self._id and keeper is not None:
            keeper.give_back(self._id)
        self._held = None

    def _end(self) -> Future[None] | None:
        keeper = self._client.runtime.keeper
        self._held = None
        return keeper.give_back(self._id) if keeper is not None else None

    def _things(self) -> tuple[Provision, ...]:
        """What it has brought along."""
        self._now()
        keeper = self._client.runtime.keeper
        return keeper.provided(self._id) if keeper is not None else ()

    def _now(self) -> Held:
        if self._held is None:
            raise LeaseLost("the lease is not held: use it inside its with block")
        return self._held


@contextmanager
def _waking() -> Iterator[None]:
    """Wake this loop now and then, once for all that wait on it: an interrupt is not heard before."""
    loop = asyncio.get_running_loop()
    if loop not in _waiting:
        loop.call_later(TICK, _wake, loop)
    _waiting[loop] = _waiting.get(loop, 0) + 1
    try:
        yield
    finally:
        _waiting[loop] -= 1


def _wake(loop: asyncio.AbstractEventLoop) -> None:
    if _waiting[loop]:
        loop.call_later(TICK, _wake, loop)
    else:
        del _waiting[loop]
