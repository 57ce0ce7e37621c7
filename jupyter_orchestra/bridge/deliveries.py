"""Carries parcels to pages as ``core.offers`` decides: offers, grants with their cells, and the word that all is shown.

Cells are built off the loop, one after the other, so that they reach a page in the order of the grants.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..core import wire
from ..core.offers import Key, Offers, Parcel, SendGrant, SendOffer, Shown, Wish
from .contents import Content
from .pages import LivePage

log = logging.getLogger("jupyter_orchestra")


class Known(Protocol):
    """What is known of what is on its way."""

    def get(self, uid: str, attempt: int) -> Content | None:
        """What is in that parcel, None when it is out of date."""

    def shown(self, uid: str, attempt: int) -> None:
        """It stands in a document, or the person deleted it there."""


class Deliveries:
    """The results and replies on their way to pages. Everything is for the runtime's loop."""

    def __init__(self, known: Known, client: Callable[[str], LivePage | None], now: Callable[[], float]) -> None:
        self._known, self._client, self._now = known, client, now
        self._loop = asyncio.get_running_loop()
        self._offers = Offers()
        self._grants: deque[tuple[SendGrant, LivePage]] = deque()
        self._come: set[Key] = set()  # results that pages have and have not acknowledged
        self._granting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # facts

    def came(self, client: LivePage) -> None:
        """A page said hello."""
        self._obey(self._offers.came(client.page, self._now()))

    def changed(self, client: LivePage) -> None:
        """A page was renamed, or came to the front or left it."""
        self._obey(self._offers.changed(client.page, self._now()))

    def left(self, client: LivePage) -> None:
        """A page has gone."""
        self._obey(self._offers.left(client.id, self._now()))

    def offer(self, parcel: Parcel) -> None:
        """It wants a place in a document."""
        self._obey(self._offers.ready(parcel, self._now()))

    def take_back(self, uid: str) -> bool:
        """It is shown elsewhere; False when a page has it already."""
        if self._offers.held(uid):
            return False
        self.drop(uid)
        return True

    def drop(self, uid: str) -> None:
        """It is superseded or forgotten."""
        self._come = {key for key in self._come if key[0] != uid}
        self._obey(self._offers.withdrawn(uid, self._now()))

    def claimed(self, client: LivePage, claim: wire.Claim) -> None:
        """A page answers an offer."""
        key = claim.uid, claim.attempt
        now = self._now()
        self._obey(self._offers.claimed(client.id, key, claim.standing, claim.anchored, now, claim.round))

    def acked(self, ack: wire.Ack) -> None:
        """A result stands in a saved document."""
        self._obey(self._offers.acked((ack.uid, ack.attempt), self._now()))

    @property
    def pending(self) -> tuple[Parcel, ...]:
        """What is on its way."""
        return self._offers.pending

    def close(self) -> None:
        """Carry no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._granting is not None:
            self._granting.cancel()

    # wishes

    def _obey(self, wishes: list[Wish]) -> None:
        for wish in wishes:
            match wish:
                case Shown(parcel):
                    self._come.discard(parcel.key)
                    self._known.shown(parcel.uid, parcel.attempt)
                case SendOffer(name, parcel, number):
                    if (client := self._client(name)) is not None:
                        client.say(
                            wire.Offer(
                                uid=parcel.uid,
                                attempt=parcel.attempt,
                                cell=parcel.cell,
                                into=parcel.into,
                                round=number,
                                cohort=parcel.cohort,
                            )
                        )
                case SendGrant(name):
                    if (client := self._client(name)) is not None:
                        self._grants.append((wish, client))
        if self._grants and self._granting is None:
            self._granting = self._loop.create_task(self._send_grants(), name="jo-grants")
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due := self._offers.due()) is not None:
            self._timer = self._loop.call_later(max(0.0, due - self._now()), self._ring, due)

    def _ring(self, due: float) -> None:
        self._timer = None
        self._obey(self._offers.passed(max(due, self._now())))

    async def _send_grants(self) -> None:
        try:
            while self._grants:
                grant, client = self._grants.popleft()
                try:
                    await self._send_grant(grant, client)
                except Exception:
                    log.exception("a result could not be sent to its page")
                    self._sent(client, grant.parcel.key)  # it is offered again
        finally:
            self._granting = None

    async def _send_grant(self, grant: SendGrant, client: LivePage) -> None:
        parcel = grant.parcel
        content = self._known.get(parcel.uid, parcel.attempt)
        if content is None:
            self.drop(parcel.uid)
            return
        cells = await self._loop.run_in_executor(None, content.cells, grant.anchored)
        if not client.live or not self._offers.held(parcel.uid):
            return
        known = grant.anchored
        client.say(
            wire.Grant(
                uid=parcel.uid,
                attempt=parcel.attempt,
                cell=parcel.cell,
                cohort=content.cohort,
                last=content.is_last(self._come.__contains__),
                into=parcel.into if known else "",
                filled=parcel.filled and known,
                cells=cells,
            )
        )
        self._come.add(parcel.key)
        self._sent(client, parcel.key)

    def _sent(self, client: LivePage, key: Key) -> None:
        self._obey(self._offers.sent(client.id, key, self._now()))
