"""One connection of a program outside: it is greeted, what it wants is checked, done and answered, then the next."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from .. import __version__
from ..core import events as e
from ..errors import OrchestraError
from . import words
from .capability import VERBS, Capability
from .listing import Listing
from .wishes import event_of, is_about

if TYPE_CHECKING:
    from .server import Door

log = logging.getLogger("jupyter_orchestra")

HELLO_WITHIN = 5.0  # seconds in which a program has to say who it is
IDLE = 60.0  # seconds without a whole message after which a connection is closed
ANSWER_WITHIN = 10.0  # seconds that the machine may take to answer
TAKE_WITHIN = 10.0  # seconds in which a program has to take what it is sent
LINGER = 1.0  # seconds that the last words may take
PAUSE = 0.1  # seconds between two looks at what has changed

NO_TOKEN = "this token opens no door: read the one that stands beside it anew"
EXPIRED = "this token is no longer in force: ask for a new one"
UNANSWERED = "no answer yet, the machine is overloaded: look at the tasks before you try again"
BUG = "a bug in jupyter_orchestra: see the kernel's log"

Wanted = words.Ask | words.Tasks | words.Explain | words.Leases


class Visit:
    """One program at a door. Everything is for the runtime's loop."""

    def __init__(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._door, self._reader, self._writer = door, reader, writer
        self._runtime = door.runtime
        self._loop = asyncio.get_running_loop()
        self._token = ""

    @property
    def known(self) -> bool:
        """Whether the program has shown a token."""
        return self._token != ""

    def cut(self) -> None:
        """End the connection, whatever is under way."""
        self._writer.transport.abort()

    async def run(self) -> None:
        """Serve the program until it goes, falls silent, or loses its right."""
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):  # it has gone, or might as well have
                try:
                    if await self._greet():
                        await self._serve()
                except words.BadFrame as error:
                    await self._say(words.Problem(message=str(error)))
        finally:
            await self._leave()

    async def _leave(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(LINGER):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.cut()

    # messages

    async def _hear(self, seconds: float) -> bytes:
        """The next message. Raises BadFrame, EOFError, OSError or TimeoutError."""
        async with asyncio.timeout(seconds):
            head = await self._reader.readexactly(words.HEAD.size)
            return await self._reader.readexactly(words.length(head))

    async def _say(self, message: words.FromDoor | e.Command) -> None:
        await self._send([words.frame(message)])

    async def _send(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self._writer.write(frame)
            async with asyncio.timeout(TAKE_WITHIN):
                await self._writer.drain()

    async def _greet(self) -> bool:
        """Say welcome, if the program may come in."""
        try:
            hello = words.read_said(await self._hear(HELLO_WITHIN))
        except words.BadMessage as error:
            await self._say(words.Problem(message=str(error)))
            return False
        capability = self._door.capabilities.find(hello.token) if isinstance(hello, words.Hello) else None
        if not isinstance(hello, words.Hello) or capability is None:
            await self._say(words.Problem(message=NO_TOKEN))
            return False
        if hello.protocol != words.PROTOCOL:
            await self._say(words.Problem(message=_mismatch(hello.protocol)))
            return False
        self._token = capability.token
        welcome = words.Welcome(
            protocol=words.PROTOCOL,
            version=__version__,
            notebook=self._door.notebook,
            allows=tuple(sorted(capability.allows)),
            task=capability.task,
        )
        await self._say(welcome)
        return True

    async def _serve(self) -> None:
        while True:
            try:
                wanted = words.read_said(await self._hear(IDLE))
            except words.BadMessage as error:
                await self._say(words.Problem(message=str(error)))
                continue
            if isinstance(wanted, words.Hello):
                await self._say(words.Problem(message="a hello comes first, not later"))
                continue
            capability = self._door.capabilities.find(self._token)
            if capability is None:
                await self._say(e.Refused(wanted.request, EXPIRED))
                return
            if (verb := _verb(wanted)) not in capability.allows:
                await self._say(e.Refused(wanted.request, f"this token does not allow to {verb}"))
            elif isinstance(wanted, words.Watch):
                await self._watch(wanted, capability)
                return
            else:
                await self._send(await self._answer(wanted, capability))

    # what it wants

    async def _answer(self, wanted: Wanted, capability: Capability) -> list[bytes]:
        """Carry out what it may do; the frames of the answer."""
        try:
            return await self._carry_out(wanted, capability)
        except OrchestraError as error:
            return [words.frame(e.Refused(wanted.request, str(error)))]
        except TimeoutError:
            return [words.frame(words.Problem(request=wanted.request, message=UNANSWERED))]
        except Exception:
            log.exception("%s could not be answered", type(wanted).__name__)
            return [words.frame(words.Problem(request=wanted.request, message=BUG))]

    async def _carry_out(self, wanted: Wanted, capability: Capability) -> list[bytes]:
        board, request = self._runtime.board, wanted.request
        match wanted:
            case words.Ask(event=asked):
                event = event_of(asked, self._runtime.now(), self._runtime.new_request(), capability.task, board)
                async with asyncio.timeout(ANSWER_WITHIN):
                    answer = await asyncio.wrap_future(self._runtime.ask(event))
                return [words.frame(words.answer_to(request, answer))]
            case words.Tasks():
                listing = Listing(board, capability.task)
                return await self._loop.run_in_executor(None, listing.frames, request, self._runtime.now())
            case words.Explain(name=name):
                is_about(capability.task, (name,), board)
                lines = self._door.explain(name).splitlines()
            case words.Leases():
                lines = await self._loop.run_in_executor(None, lambda: list(self._door.leases()))
        return [words.frame(words.Lines(request=request, lines=tuple(lines)))]

    async def _watch(self, wanted: words.Watch, capability: Capability) -> None:
        """Tell all, then what changes, until it goes or the orchestra ends."""
        board, listing, changed = self._runtime.board, Listing(self._runtime.board, capability.task), asyncio.Event()
        stop = board.watch(partial(self._poke, changed))
        gone = self._loop.create_task(self._wait_for_end(), name="jo-door-end")
        gone.add_done_callback(lambda done: changed.set())
        try:
            while not gone.done() and not board.closed and self._door.capabilities.find(self._token) is not None:
                changed.clear()
                now = self._runtime.now()
                await self._send(await self._loop.run_in_executor(None, listing.frames, wanted.request, now))
                await asyncio.sleep(PAUSE)
                with contextlib.suppress(TimeoutError):  # a look now and then, whether the token is still in force
                    async with asyncio.timeout(IDLE):
                        await changed.wait()
        finally:
            stop()
            gone.cancel()

    async def _wait_for_end(self) -> None:
        with contextlib.suppress(OSError):
            await self._reader.read(1)  # whatever it says: nothing else can be wanted here

    def _poke(self, changed: asyncio.Event) -> None:
        """On any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(changed.set)


def _verb(wanted: Wanted | words.Watch) -> str:
    return VERBS[type(wanted.event if isinstance(wanted, words.Ask) else wanted)]


def _mismatch(protocol: int) -> str:
    return (
        f"this program speaks protocol {protocol}, jupyter_orchestra {__version__} in the kernel {words.PROTOCOL}: "
        "install the same version for both, then restart the kernel"
    )
