"""What notebooks of one person share on one machine: claims of this process among all others', on a thread of its own.

It knows neither tasks nor what the keys mean. A claim that can't be granted waits in line; when it could be, its owner
is told and makes it again, in its old place. Whoever waits looks after those in the way: what a dead process held is
freed, and what expired is fenced first.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from ..core.leases import TTL
from ..errors import ResourceError
from ..processes.tree import end_tree
from . import broker_place, identity
from .broker_file import BrokerFile, Ledger
from .broker_rules import Busy, Claim, Review, Row, Want, check, grown, in_way, review
from .identity import Identity, Vigil, machine_time
from .identity import mine as this_process
from .steward import looked_after

__all__ = ["Broker", "Busy", "Claim", "Standing", "Want"]

log = logging.getLogger(__name__)
T = TypeVar("T")

WAITING = 0.025  # seconds between looks whether anything has changed, while a claim waits
HOLDING = 0.25  # and while something is held
REVIEW = 0.5  # seconds after which those in the way are looked at though nothing has changed
KILLING = 0.5  # seconds that one try to end the processes of an expired lease may take


class Standing(msgspec.Struct, frozen=True):
    """A claim of the machine, for people."""

    id: str
    wants: tuple[Want, ...]
    state: str  # "waiting", "opened", "held", "fencing"
    changed: float  # when the state began, of the machine's time
    who: str
    pid: int
    mine: bool


class _Mine(msgspec.Struct):
    """What this broker's owner knows of its claim."""

    claim: Claim
    token: int = 0  # 0: it waits
    expires: float = 0.0
    told: bool = False  # that it could be made again


class Broker:
    """Claims, renews and releases for one process; every method may be called on any thread and returns at once.

    Parameters
    ----------
    folder : Path or None
        Where the file of all brokers is; the usual place if None.
    opened : callable
        Called with the id of a waiting claim that could be granted now, or whose waiting has come to nothing: claim it
        again, with the same ``since``, to get the lease or the reason. After 0.5 s it blocks nobody any more.
    lost : callable
        Called with an id and the reason when something is not held any more. Both are called on the broker's thread.
    identity : Identity or None
        The process that lives as long as the claims; this one if None.
    ttl : float
        Seconds that a lease lasts unless it is renewed.
    clock : callable
        The machine's time.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        opened: Callable[[str], None],
        lost: Callable[[str, str], None],
        identity: Identity | None = None,
        ttl: float = TTL,
        clock: Callable[[], float] = machine_time,
    ) -> None:
        self._folder = folder or broker_place.usual()
        self._opened, self._lost, self._ttl, self._clock = opened, lost, ttl, clock
        self._party = (identity or this_process()).spell()
        self._mine: dict[str, _Mine] = {}
        self._owed: set[str] = set()  # released, and still to be written
        self._news: list[Callable[[], None]] = []  # to be told once the transaction is over
        self._file = BrokerFile(self._folder, self._restore, clock)
        self._again = 0.0  # when to review next
        self._stale = True  # whether this broker itself has changed something
        self._commands: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._closing = self._keep = False
        self._vigil = Vigil()
        self._thread = threading.Thread(target=self._run, name="jupyter_orchestra broker", daemon=True)
        self._thread.start()

    # any thread

    def claim(self, claim: Claim) -> Future[int | Busy]:
        """Claim all or nothing: the token, or Busy, and then it waits in line.

        To claim an id that is held already changes what it holds: the same token, or Busy, and then it holds what it
        held and does not wait.

        Raises
        ------
        ValueError
            The claim can never be right.
        ResourceError
            In the future: the place of the leases can't be used; one line, it says what to do. It does not wait.
        """
        check(claim)
        return self._ask(partial(self._claim, claim))

    def release(self, id: str) -> Future[None]:
        """Give back what is held, or take back what waits or was granted meanwhile."""
        return self._ask(partial(self._release, id))

    def renew(self, ids: Iterable[str]) -> Future[None]:
        """Hold on to leases for another `ttl` seconds; ``lost`` is called for what is not held any more."""
        return self._ask(partial(self._renew, tuple(ids)))

    def valid(self, id: str, token: int) -> Future[bool]:
        """Whether the lease is held by this token; if so, it is renewed, so that it is for the next `ttl` seconds."""
        return self._ask(partial(self._valid, id, token))

    def holders(self) -> Future[tuple[Standing, ...]]:
        """All claims of the machine, those that are held first."""
        return self._ask(self._standings)

    def close(self, keep: bool = False, timeout: float = 5.0) -> None:
        """Release everything and end; with `keep`, what is held stays until it expires or is claimed again."""
        with self._lock:
            self._keep = self._keep or keep
            if not self._closing:
                self._closing = True
                self._vigil.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _ask(self, act: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closing:
                raise RuntimeError("the broker is closed")
            self._commands.append(partial(_settle, future, act))
            self._vigil.wake()
        return future

    # the broker's thread

    def _run(self) -> None:
        try:
            while not self._closing or self._commands:
                if self._vigil.wait(self._patience()):
                    self._stale = True
                while self._commands:
                    self._commands.popleft()()
                    self._tell()
                self._tick()
                self._tell()
        except Exception:
            log.exception("the broker has ended")
            for id in tuple(self._mine):
                self._lose(id, "the broker has ended by a bug in jupyter_orchestra: please report it")
            self._tell()
        finally:
            with self._lock:
                self._closing = True
            while self._commands:
                self._commands.popleft()()
            with suppress(OSError):
                self._leave()
            self._file.close()
            self._vigil.close()

    def _patience(self) -> float | None:
        """Seconds until something must be looked at without anybody asking; None: never."""
        if self._commands or self._closing:
            return 0.0
        if any(not (mine.token or mine.told) for mine in self._mine.values()):
            return WAITING
        return HOLDING if self._mine or self._owed else None

    def _claim(self, claim: Claim) -> int | Busy:
        self._owed.discard(claim.id)
        try:
            row, busy = self._file.write(partial(self._try_claim, claim))
        except OSError as error:
            mine = self._mine.get(claim.id)
            if mine is not None and not mine.token:
                del self._mine[claim.id]
                self._owed.add(claim.id)
            raise ResourceError(str(error)) from error
        self._stale = True
        self._mine[claim.id] = _Mine(row.claim, row.token if row.state == "held" else 0, row.expires)
        return busy or row.token

    def _try_claim(self, claim: Claim, ledger: Ledger) -> tuple[Row, Busy | None]:
        """What is in the file afterwards, and who is in the way."""
        rows, now = self._taken_over(claim, ledger), self._clock()
        before = next((row for row in rows if row.party == self._party and row.claim.id == claim.id), None)
        if before is not None and before.state == "held":
            row = msgspec.structs.replace(before, claim=claim, expires=now + self._ttl)
            ways = in_way(msgspec.structs.replace(row, claim=grown(claim, before.claim)), rows, now)
        elif before is not None and before.state == "fencing":
            return before, Busy(tuple(want.key for want in claim.wants), before.who)
        else:
            row = Row(self._party, claim, before.seq if before else ledger.next("seq"), changed=now)
            ways = in_way(row, rows, now)
        if ways:
            if row.state == "held":
                row = before or row
            busy = Busy(tuple(dict.fromkeys(key for key, _ in ways)), ways[0][1].who)
        elif row.state != "held" and now < ledger.settled():
            busy = Busy(tuple(want.key for want in claim.wants), "others, who write down again what they hold")
        else:
            busy = None
            if row.state != "held":
                token, expires = ledger.next("token"), now + self._ttl
                row = msgspec.structs.replace(row, state="held", token=token, expires=expires)
        ledger.put(row)
        return row, busy

    def _taken_over(self, claim: Claim, ledger: Ledger) -> list[Row]:
        """All claims of the machine; what a process that is gone has held under this very id is this one's now."""
        rows = ledger.rows()
        for index, row in enumerate(rows):
            ours = claim.steward and (row.claim.id, row.claim.steward) == (claim.id, claim.steward)
            if ours and row.state == "held" and row.party != self._party and not identity.read(row.party).alive:
                ledger.drop(row.party, claim.id)
                rows[index] = msgspec.structs.replace(row, party=self._party)
                ledger.put(rows[index])
        return rows

    def _release(self, id: str) -> None:
        self._mine.pop(id, None)
        self._owed.add(id)
        self._stale = True
        with suppress(OSError):  # then it stays owed
            self._pay()

    def _pay(self) -> None:
        if self._owed:
            self._file.write(self._drop_owed)
            self._owed.clear()

    def _drop_owed(self, ledger: Ledger) -> None:
        for id in self._owed:
            ledger.drop(self._party, id)

    def _renew(self, ids: tuple[str, ...]) -> None:
        held = {id: mine for id in ids if (mine := self._mine.get(id)) is not None and mine.token}
        if not held:
            return
        until = self._clock() + self._ttl
        try:
            kept = self._file.write(
                lambda ledger: {id for id, m in held.items() if ledger.renew(self._party, id, m.token, until)}
            )
        except OSError as error:
            self._give_up(str(error))
            return
        for id, mine in held.items():
            if id in kept:
                mine.expires = until
            else:
                self._lose(id, "it was not renewed in time, so that others may have it now")

    def _valid(self, id: str, token: int) -> bool:
        mine = self._mine.get(id)
        if mine is None or mine.token != token or not token:
            return False
        self._renew((id,))
        return id in self._mine and mine.expires > self._clock()

    def _standings(self) -> tuple[Standing, ...]:
        try:
            rows = self._file.read(Ledger.rows)
        except OSError as error:
            raise ResourceError(str(error)) from error
        return tuple(
            Standing(
                row.claim.id, row.claim.wants, row.state, row.changed, row.who,
                identity.read(row.party).pid, row.party == self._party,
            )
            for row in sorted(rows, key=lambda row: (not row.holds, row.order))
        )  # fmt: skip

    def _tick(self) -> None:
        """What is to be done without anybody asking."""
        if not (self._mine or self._owed) or self._closing:
            return
        try:
            self._pay()
            now, changed = self._clock(), self._file.changed()
            waits = any(not mine.token for mine in self._mine.values())
            due = waits and abs(now - self._again) >= REVIEW
            if changed or due or (waits and self._stale):
                self._look(now, everyone=due)
        except OSError as error:
            self._give_up(str(error))

    def _look(self, now: float, everyone: bool) -> None:
        """See what has become of what is mine, and get on with what waits."""
        self._stale = False
        if everyone:
            self._again = now
        rows = self._file.read(Ledger.rows)
        self._compare(rows)
        if all(mine.token for mine in self._mine.values()):
            self._vigil.follow(())
            return
        alive = _Alive()
        rows, stands = looked_after(rows, self._ttl, alive)
        found = review(rows, now, self._is_mine, stands, everyone)
        if found:
            found = self._file.write(partial(self._get_on, now, alive, everyone))
            for row in filter(self._is_mine, found.open):
                self._open(row.claim.id)
            self._end([row for row in found.fence if everyone or row.state == "held"])
        self._vigil.follow(identity.read(row.party) for row in found.in_way if alive(row.party))

    def _get_on(self, now: float, alive: Callable[[str], bool], everyone: bool, ledger: Ledger) -> Review:
        rows, stands = looked_after(ledger.rows(), self._ttl, alive)
        found = review(rows, now, self._is_mine, stands, everyone)
        for row in found.free:
            ledger.drop(row.party, row.claim.id)
        for row in found.fence:
            if row.state == "held":
                ledger.put(msgspec.structs.replace(row, state="fencing", changed=now))
        if now < ledger.settled():
            found.open.clear()
        for row in found.open:
            ledger.put(msgspec.structs.replace(row, state="opened", changed=now))
        return found

    def _end(self, fencing: list[Row]) -> None:
        """End the processes behind expired leases, and free those of which nothing lives."""
        for row in fencing:
            left = [end_tree(mark, patience=KILLING) for mark in row.claim.marks]  # each, whatever another came to
            if not any(left):
                self._file.write(partial(self._free, row))
                self._stale = True

    def _free(self, row: Row, ledger: Ledger) -> None:
        if any(r.party == row.party and r.token == row.token and r.state == "fencing" for r in ledger.rows()):
            ledger.drop(row.party, row.claim.id)

    def _compare(self, rows: list[Row]) -> None:
        """Notice what others have done with what is mine."""
        states = {row.claim.id: row for row in rows if row.party == self._party}
        for id, mine in list(self._mine.items()):
            row = states.get(id)
            if mine.token:
                if row is None or row.token != mine.token:
                    self._lose(id, "it was not renewed in time, so that others may have it now")
                elif row.state == "fencing":
                    self._lose(id, "it was not renewed in time, so that its processes are ended")
            elif not mine.told and (row is None or row.state == "opened"):
                self._open(id)

    def _restore(self, ledger: Ledger) -> None:
        """Write what is mine into a file that does not have it."""
        rows, now = ledger.rows(), self._clock()
        known = {row.claim.id for row in rows if row.party == self._party}
        for id, mine in sorted(self._mine.items(), key=lambda item: item[1].claim.since):
            row = Row(self._party, mine.claim, changed=now)
            if id in known:
                continue
            if mine.token:
                row = msgspec.structs.replace(row, state="held", token=mine.token, expires=mine.expires)
                others = [other for other in rows if other.holds]
                if mine.expires <= now or in_way(row, others, now):
                    why = "the leases of this machine were deleted, and another has written itself in before"
                    self._lose(id, why if mine.expires > now else "it was not renewed in time")
                    continue
            ledger.put(msgspec.structs.replace(row, seq=ledger.next("seq")))
            rows.append(row)

    def _give_up(self, why: str) -> None:
        """The file can't be used: who waits may ask for the reason, and what can't be renewed in time is lost."""
        now = self._clock()
        for id, mine in list(self._mine.items()):
            if not mine.token and not mine.told:
                self._open(id)
            elif mine.token and mine.expires <= now:
                self._lose(id, why)
                self._owed.add(id)

    def _open(self, id: str) -> None:
        self._mine[id].told = True
        self._news.append(partial(self._opened, id))

    def _lose(self, id: str, why: str) -> None:
        if self._mine.pop(id, None) is not None:
            self._news.append(partial(self._lost, id, why))

    def _tell(self) -> None:
        """Outside of every transaction, since the owner may ask for the next thing at once."""
        news, self._news = self._news, []
        for item in news:
            try:
                item()
            except Exception:
                log.exception("the broker's owner failed")

    def _leave(self) -> None:
        self._owed |= {id for id, mine in self._mine.items() if not (mine.token and self._keep)}
        self._mine.clear()
        self._pay()

    def _is_mine(self, row: Row) -> bool:
        return row.party == self._party and row.claim.id in self._mine


class _Alive:
    """Whether the process of a party lives, asked once."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def __call__(self, party: str) -> bool:
        if party not in self._known:
            try:
                self._known[party] = identity.read(party).alive
            except ValueError:
                self._known[party] = False
        return self._known[party]


def _settle(future: Future[T], act: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(act())
    except Exception as error:
        if not isinstance(error, ResourceError):
            log.exception("the broker failed")
        future.set_exception(error)
