"""All tasks, and what changes of them, as messages of which each fits into a frame; it sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ..board import Board
from ..core.cards import card_of
from ..core.views import TaskView
from ..core.wire import Card
from . import words

PORTION = words.LIMIT // 2  # bytes of cards in one message
CLIP = 20_000  # characters of each text on a card that would not fit


class Listing:
    """What one program knows of the tasks that it may see. One thread at a time.

    Parameters
    ----------
    board
        Where tasks are announced.
    task
        The uid of the only one that the program may see; empty: all.
    """

    def __init__(self, board: Board, task: str = "") -> None:
        self._board, self._task = board, task
        self._known: dict[str, int] | None = None  # uid -> version that was told
        self._blocked = ""

    def frames(self, request: str, now: float) -> list[bytes]:
        """What is new since the last call; the first one gives all."""
        views = {view.uid: view for view in self._board.all() if self._task in ("", view.uid)}
        first, known = self._known is None, self._known or {}
        new = [view for view in views.values() if known.get(view.uid) != view.version]
        gone = tuple(known.keys() - views.keys())
        blocked = self._board.blocked
        if not (first or new or gone or blocked != self._blocked):
            return []
        self._known, self._blocked = {view.uid: view.version for view in views.values()}, blocked
        parts = list(_portions(map(_fitting, new)))
        return [
            words.frame(
                words.Cards(
                    request=request, now=now, blocked=blocked, cards=tuple(part), gone=gone if last else (), last=last
                )
            )
            for part, last in zip(parts, [*[False] * (len(parts) - 1), True], strict=True)
        ]


def _portions(cards: Iterable[Card]) -> Iterable[Sequence[Card]]:
    part: list[Card] = []
    size = 0
    for card in cards:
        more = len(msgspec.json.encode(card))
        if part and size + more > PORTION:
            yield part
            part, size = [], 0
        part.append(card)
        size += more
    yield part


def _fitting(view: TaskView) -> Card:
    """Its card; texts that are too long for a message are cut."""
    card = card_of(view)
    if len(msgspec.json.encode(card)) <= PORTION:
        return card
    question = card.question
    if question is not None:
        question = msgspec.structs.replace(question, action=_cut(question.action), detail=_cut(question.detail))
    return msgspec.structs.replace(
        card, line=_cut(card.line), reason=_cut(card.reason), needs_you=_cut(card.needs_you),
        after=card.after[:1_000], question=question,
    )  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= CLIP else f"{text[:CLIP]} … and {len(text) - CLIP:,} more characters"
