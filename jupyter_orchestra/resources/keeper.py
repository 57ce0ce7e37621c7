"""Acts on leases: claims what the machine shares, keeps the real things behind them, fences; it grants nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from ..core import events as e
from ..core.elsewhere import Elsewhere
from ..core.leases import Lease, is_shared
from ..core.leasing import Held
from ..core.machine import Machine
from ..core.model import Failure, Process, State, Task
from ..core.needs import Need, spell_all, spell_path
from ..core.ports import Failed, Job, Provider, Provision, Reporter
from ..errors import RefusedError, ResourceError
from ..processes.threads import APART, in_thread
from ..processes.tree import Root, end_tree, started
from .broker import Broker, Busy, Claim, Want
from .commands import needs_of
from .identity import machine_time
from .ports import is_free
from .provisions import Provisions
from .standings import others_of
from .tests import TestRunner

log = logging.getLogger("jupyter_orchestra")

SAME = 0.05  # seconds by which two notes of one start may differ

reporter: contextvars.ContextVar[Reporter | None] = contextvars.ContextVar("reporter", default=None)


class Home(Protocol):
    """What the keeper needs of the runtime."""

    machine: Machine

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def now(self) -> float: ...

    def post(self, event: e.Event) -> None: ...

    def ask(self, event: e.Asked) -> Future[e.Answer]: ...

    def new_request(self) -> str: ...


class LeaseKeeper:
    """The leases of one runtime, on its loop.

    Parameters
    ----------
    providers
        Of real things, one for each first word of a need.
    broker
        Makes the machine's broker at the first need, given what to call when a claim may be made again or was lost;
        None: nothing is shared.
    project
        The folder that its tests, servers and declared things belong to.
    folder
        Where grants get their folders.
    label
        Who we are, for people at other notebooks.
    mark
        ``NAME=VALUE`` that our processes carry, by which they are ended when we are not heard of any more.
    hung
        Whether the process of a task is there and does not run, though nobody paused it.
    steward
        The file in which somebody else says what works on under our leases when this process is gone; empty: nobody.
    """

    def __init__(
        self,
        home: Home,
        providers: Iterable[Provider],
        broker: Callable[[Callable[[str], None], Callable[[str, str], None]], Broker] | None,
        project: Path,
        folder: Path,
        label: str = "",
        mark: str = "",
        hung: Callable[[Task], bool] = lambda task: False,
        steward: str = "",
    ) -> None:
        self._steward, self._leaving, self._closed = steward, False, False
        self._home, self._project, self._label, self._mark = home, project, label, mark
        self._things = Provisions(providers, project, folder)
        self._make_broker = broker
        self._made: Broker | None = None
        self._hung = hung
        self._claimed: dict[str, tuple[Need, ...]] = {}  # id -> what of it is claimed
        self._trouble = ""  # why the other notebooks can't be asked at present
        self._wrong: dict[str, str] = {}  # id of a lease that can never be claimed -> why
        self._alone: dict[str, str] = {}  # id of a lease that no other notebook knows of -> why
        self._waiting: dict[str, Future[Held]] = {}
        self._held: dict[str, Held] = {}
        self._commands: dict[str, str] = {}  # of servers that are to come with leases which somebody waits for
        self._acts: set[asyncio.Task[None]] = set()

    # wishes of the machine

    def told(self, wish: e.LeaseCommand) -> None:
        """Act, without waiting."""
        match wish:
            case e.ClaimLease():
                self._act(self._claim(wish))
            case e.GiveLease():
                self._give(wish.lease)
            case e.FreeLease():
                self._free(wish.lease, wish.why)
            case e.FenceLease():
                self._act(self._fence(wish.lease))

    def take_over(self) -> None:
        """On the loop, at the start: what running tasks hold, an earlier kernel has claimed."""
        controller = self._home.machine.controller
        for lease in list(controller.leases.values()):
            if lease.state == "held" and lease.holder and any(map(is_shared, lease.needs)):
                self._act(self._claim_again(lease))

    async def _claim_again(self, lease: Lease) -> None:
        if (broker := self._have_broker()) is None:
            return
        home = self._home
        since, priority = home.machine.controller.seniority(lease)
        try:
            answer = await asyncio.wrap_future(broker.claim(self._made_claim(lease, since, priority)))
        except (ResourceError, RuntimeError, ValueError) as error:
            self._claimed.pop(lease.id, None)
            self._alone[lease.id] = f"not kept apart from other notebooks: {error}"
            return
        if isinstance(answer, Busy):
            self._claimed.pop(lease.id, None)
            broker.release(lease.id)
            task = home.machine.tasks.get(lease.holder)
            if task is not None and task.process is not None and not await in_thread(None, _has_ended, task.process):
                home.post(e.LeaseTaken(home.now(), lease.id, f"{answer.by} has it since the kernel ended"))

    def _made_claim(self, lease: Lease, since: float, priority: int) -> Claim:
        home = self._home
        begun = machine_time() - max(0.0, home.now() - since)
        marks = (self._mark,) if self._mark else ()
        fence = "kill" if lease.holder and marks else "token"
        label = f"{self._name(lease.holder)} of {self._label}"
        self._claimed[lease.id] = tuple(filter(is_shared, lease.needs))
        steward = self._steward if lease.holder else ""
        return Claim(lease.id, tuple(self._wants(lease.needs)), begun, priority, label, fence, marks, steward)

    async def _claim(self, wish: e.ClaimLease) -> None:
        if self._is_awaited(wish):
            self._home.post(await self._answer_to(wish))

    def _is_awaited(self, wish: e.ClaimLease) -> bool:
        """Whether it was not taken back: what was is released, too, and who claims again has an answer of its own."""
        return self._home.machine.controller.awaited(wish.lease.id, wish.claim) is not None

    async def _answer_to(self, wish: e.ClaimLease) -> e.LeaseClaimed | e.LeaseRefused:
        lease, home = wish.lease, self._home
        if (broker := self._have_broker()) is None:
            return await self._refused_for_ports(wish) or e.LeaseClaimed(home.now(), lease.id, claim=wish.claim)
        try:
            answer = await asyncio.wrap_future(broker.claim(self._made_claim(lease, wish.since, wish.priority)))
        except ValueError as error:
            # No waiting mends that: it goes on here alone, up to where it would get what it brings along.
            self._claimed.pop(lease.id, None)
            self._wrong[lease.id] = f"{spell_all(lease.needs)} can't be leased: {error}"
            return e.LeaseClaimed(home.now(), lease.id, claim=wish.claim)
        except (ResourceError, RuntimeError) as error:
            # Who can't reach the others does not know what they hold: it is tried again, and explained meanwhile.
            if self._is_awaited(wish):
                self._claimed.pop(lease.id, None)
            if isinstance(error, RuntimeError) and self._made is broker:
                self._made = None  # it has ended
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("leases wait: %s", error)
            return e.LeaseRefused(home.now(), lease.id, (), f"somebody, perhaps: {error}", wish.claim)
        self._trouble = ""
        if isinstance(answer, Busy):
            return e.LeaseRefused(home.now(), lease.id, answer.keys, answer.by, wish.claim)
        refused = await self._refused_for_ports(wish)  # after the claim: who has a lease of a port listens at it
        if refused is not None and self._is_awaited(wish):
            self._claimed.pop(lease.id, None)
            broker.release(lease.id)
        return refused or e.LeaseClaimed(home.now(), lease.id, answer, wish.claim)

    async def _refused_for_ports(self, wish: e.ClaimLease) -> e.LeaseRefused | None:
        """The refusal where a program without a lease listens at what this one would be for."""
        ports = [unit for need in wish.lease.needs if need.resource == "port" for unit in need.units]
        busy = tuple([f"port/{port}" for port in ports if not await in_thread(None, is_free, port)])
        if not busy:
            return None
        return e.LeaseRefused(self._home.now(), wish.lease.id, busy, "another program", wish.claim)

    def _give(self, lease: Lease) -> None:
        if lease.id in self._held:
            self._held[lease.id].lease = lease
            if lease.id in self._claimed and self._claimed[lease.id] != tuple(filter(is_shared, lease.needs)):
                self._claim_less(lease)
        elif lease.id in self._waiting:
            self._act(self._hand_over(lease))
        else:  # nobody waits for it any more
            self._home.post(e.LeaseReleased(self._home.now(), lease.id))

    async def _hand_over(self, lease: Lease) -> None:
        if lease.id not in self._waiting:
            return  # it was given back meanwhile
        try:
            command = self._commands.pop(lease.id, "")
            provided = await self._provide(lease.id, lease.holder, lease.needs, lambda line: None, command)
        except BaseException as error:
            if (waiting := self._waiting.pop(lease.id, None)) is not None and not waiting.done():
                waiting.set_exception(error)
            await self._let_go(lease.id)
            return
        notes = [*filter(None, [self._alone.get(lease.id)]), *(note for one in provided for note in one.notes)]
        held = Held(lease, _environment(provided), tuple(notes), self._confirm)
        waiting = self._waiting.pop(lease.id, None)
        if waiting is None or not waiting.set_running_or_notify_cancel():
            await self._let_go(lease.id)
            return
        self._held[lease.id] = held
        waiting.set_result(held)

    async def _let_go(self, id: str) -> None:
        """End what a lease has brought along, or is about to; only then it is free."""
        await self._things.end(id)
        self._home.post(e.LeaseReleased(self._home.now(), id))

    def _free(self, lease: Lease, why: str) -> None:
        held, waiting = self._held.pop(lease.id, None), self._waiting.pop(lease.id, None)
        self._commands.pop(lease.id, None)
        if held is not None:
            held.lost = True
        if waiting is not None:
            if not waiting.done():
                waiting.set_exception(RefusedError(why or "it was given back before it was granted"))
            if lease.id in self._things:
                self._act(self._things.end(lease.id))
        self._alone.pop(lease.id, None)
        self._wrong.pop(lease.id, None)
        claimed = self._claimed.get(lease.id)
        if claimed is None or self._made is None:
            return
        left = tuple(need for need in claimed if lease.needs and need not in lease.needs)
        if left and lease.id in self._home.machine.controller.leases:
            self._claim_less(msgspec.structs.replace(lease, needs=left))
        else:
            del self._claimed[lease.id]
            with contextlib.suppress(RuntimeError):  # it has ended, and holds nothing
                self._made.release(lease.id)

    def _claim_less(self, lease: Lease) -> None:
        """From now on that is all that is held."""
        if self._made is not None:
            with contextlib.suppress(RuntimeError, ValueError):
                self._made.claim(self._made_claim(lease, self._home.now(), 0))

    async def _fence(self, lease: Lease) -> None:
        """See to it that the holder can do nothing any more."""
        if (held := self._held.get(lease.id)) is not None:
            held.lost = True
        task = self._home.machine.tasks.get(lease.holder)
        if task is not None and (process := task.process) is not None:
            mark = f"ORCHESTRA_TASK_UID={task.uid}"
            await in_thread(APART, self._kill, mark, Root(process.pid, process.started))
        await self._things.end(lease.id)
        self._home.post(e.LeaseFenced(self._home.now(), lease.id))

    def _kill(self, mark: str, root: Root) -> None:
        """Kill until nothing lives: who can't be ended can't be fenced either. In a thread."""
        while end_tree(mark, root) and not self._closed:
            pass

    # signs of life

    def renew(self) -> None:
        """On the loop, now and then: say which holders live and work."""
        home = self._home
        leases = [lease for lease in home.machine.controller.leases.values() if lease.state == "held" and _ends(lease)]
        ids = tuple(lease.id for lease in leases if self._lives(lease))
        if ids:
            home.post(e.LeasesRenewed(home.now(), ids))
            if self._made is not None and (shared := [id for id in ids if id in self._claimed]):
                with contextlib.suppress(RuntimeError):  # it has ended, and said so of each lease
                    self._made.renew(shared)

    def _lives(self, lease: Lease) -> bool:
        task = self._home.machine.tasks.get(lease.holder)
        return task is None or task.state is State.PAUSED or task.process is None or not self._hung(task)

    # real things, for a job

    async def provide(self, job: Job) -> Job | Failed:
        """The job with what its leases bring along, or why that can't be had."""
        id = f"{job.spec.uid}#{job.attempt}"
        lease = self._home.machine.controller.leases.get(id)
        token = reporter.set(job.reporter)
        try:
            provided = await self._provide(
                id, job.spec.uid, lease.needs if lease else (), partial(job.reporter.progress, None)
            )
        except ResourceError as error:
            return Failed(Failure("start", "ResourceError", str(error)))
        finally:
            reporter.reset(token)
        return msgspec.structs.replace(job, environment={**job.environment, **_environment(provided)})

    async def withdraw(self, job: Job) -> None:
        """End what was provided for a job."""
        await self._things.end(f"{job.spec.uid}#{job.attempt}")

    async def _provide(
        self, id: str, uid: str, needs: tuple[Need, ...], show: Callable[[str], None], command: str = ""
    ) -> tuple[Provision, ...]:
        if wrong := self._wrong.pop(id, ""):
            raise ResourceError(wrong)
        name = self._name(uid)
        provided = await self._things.provide(id, uid, name, needs, show, command)
        for one in provided:
            for note in one.notes:
                show(note)
        if (alone := self._alone.get(id)) is not None:
            log.warning("a lease of %s is %s", name, alone)
            show(alone)
        return provided

    # leases that someone asks for while it works

    def expect(self, id: str, command: str = "") -> Future[Held]:
        """The lease with that id, once it is given with its things and the server of that command. Any thread."""
        future: Future[Held] = Future()
        if command:
            self._commands[id] = command
        self._waiting[id] = future
        return future

    def provided(self, id: str) -> tuple[Provision, ...]:
        """The real things that a lease has brought along. Any thread."""
        return self._things.of(id)

    def _confirm(self, lease: Lease) -> Future[bool] | None:
        """Whether the machine still has a lease for ours; None: no other notebook shares it. Any thread."""
        if lease.id not in self._claimed:
            return None
        if (made := self._made) is None:
            raise RuntimeError("the broker has ended")
        return made.valid(lease.id, lease.token)

    def give_back(self, id: str) -> Future[None] | None:
        """End what such a lease brought along, then the lease. Any thread."""
        home = self._home
        if id in self._held and id not in self._things:
            self._held.pop(id, None)
            home.post(e.LeaseReleased(home.now(), id))
            return None
        return asyncio.run_coroutine_threadsafe(self._give_back(id), home.loop)

    async def _give_back(self, id: str) -> None:
        self._held.pop(id, None)
        self._waiting.pop(id, None)
        self._commands.pop(id, None)
        await self._let_go(id)

    async def others(self) -> tuple[Elsewhere, ...]:
        """What other notebooks hold and wait for. Raises ResourceError where that can't be known."""
        if (broker := self._have_broker()) is None:
            return ()
        standings = await asyncio.wrap_future(broker.holders())
        return tuple(others_of(standings, self._project, self._home.now() - machine_time()))

    @property
    def tests(self) -> str:
        """The command by which the project's tests are run, where it declares one."""
        runner = self._things.providers.get("test-runner")
        return runner.declared if isinstance(runner, TestRunner) else ""

    def lender(self, uid: str, attempt: int) -> TaskLender:
        """Who gives one attempt what it needs while it works."""
        return TaskLender(self, self._home, uid, attempt)

    def leave(self) -> None:
        """On the loop, before the end: the next kernel takes over what running tasks hold."""
        self._leaving = True

    async def close(self) -> None:
        """End everything that is kept."""
        self._closed = True
        for act in self._acts:
            act.cancel()
        await self._things.close()
        if self._made is not None:
            if self._leaving:
                leases = self._home.machine.controller.leases
                for id in [id for id in self._claimed if id not in leases or not leases[id].holder]:
                    self._made.release(id)
            await in_thread(None, partial(self._made.close, keep=self._leaving))

    # the rest

    def _act(self, act: Coroutine[object, object, None]) -> None:
        task = self._home.loop.create_task(act)
        self._acts.add(task)
        task.add_done_callback(self._acted)

    def _acted(self, act: asyncio.Task[None]) -> None:
        self._acts.discard(act)
        if not act.cancelled() and (error := act.exception()) is not None:
            log.error("acting on a lease failed", exc_info=error)

    def _have_broker(self) -> Broker | None:
        if self._made is None and self._make_broker is not None:
            self._made = self._make_broker(self._opened, self._lost)
        return self._made

    def _opened(self, id: str) -> None:
        self._home.post(e.LeaseOpened(self._home.now(), id))

    def _lost(self, id: str, why: str) -> None:
        self._home.post(e.LeaseTaken(self._home.now(), id, why))

    def _wants(self, needs: Iterable[Need]) -> Iterator[Want]:
        capacities = self._home.machine.controller.state.leases.capacities
        for need in filter(is_shared, needs):
            capacity = capacities.get(need.resource, 1)
            if need.resource in ("port", "gpu"):
                yield from (Want(f"{need.resource}/{unit}") for unit in need.units)
            elif need.resource == "path":
                yield Want(f"path|{spell_path(need.path)}", 1, 1, need.mode)
            elif need.resource == "mem":
                yield Want("mem", need.amount, capacity)
            else:
                yield Want(f"{need.resource}|{self._project}", need.amount, capacity)

    def _name(self, uid: str) -> str:
        task = self._home.machine.tasks.get(uid)
        return task.name if task is not None else "your own code"


class TaskLender:
    """Gives one attempt what it needs while it works; when the attempt is over, so are its leases."""

    def __init__(self, keeper: LeaseKeeper, home: Home, uid: str, attempt: int) -> None:
        self._keeper, self._home, self._uid, self._attempt = keeper, home, uid, attempt
        self._count = 0

    async def needs_of(self, command: str) -> tuple[Need, ...]:
        """What a script for the shell must hold while it runs."""
        return needs_of(command, self._keeper.tests)

    @contextlib.asynccontextmanager
    async def lease(self, *needs: Need) -> AsyncIterator[Held]:
        """Wait for all of it, and hold it as long as the block runs. Raises RefusedError or ResourceError."""
        home = self._home
        self._count += 1
        id = f"{self._uid}#{self._attempt}+t{self._count}"
        future = self._keeper.expect(id)
        asked = e.LeaseAsked(
            home.now(), home.new_request(), id=id, needs=needs, holder=self._uid, attempt=self._attempt
        )
        try:
            answer = await asyncio.wrap_future(home.ask(asked))
            if isinstance(answer, e.Refused):
                raise RefusedError(answer.reason)
            yield await asyncio.wrap_future(future)
        finally:
            over = self._keeper.give_back(id)
            if over is not None:
                await asyncio.shield(asyncio.wrap_future(over))


def _has_ended(process: Process) -> bool:
    """Whether what held something has given it up by ending, and what it came to is only to be read."""
    return abs(started(process.pid) - process.started) > SAME


def _environment(provided: Iterable[Provision]) -> Mapping[str, str]:
    return {name: value for one in provided for name, value in one.environment.items()}


def _ends(lease: Lease) -> bool:
    return lease.expires is not None
