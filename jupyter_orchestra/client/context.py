"""What a client must know of where the person is; it says nothing of how that is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..core.model import Anchor, Capture
from .request import Request


class Context(Protocol):
    """Where the person is: the cell, its namespace and its snapshots."""

    def anchor(self, uid: str, request: Request) -> Anchor | None:
        """The cell that runs now, with the display id of the task's card if it gets one."""

    def cohort(self) -> str:
        """What tasks dispatched by the same run of a cell have in common."""

    def captures(self, request: Request) -> bool:
        """Whether the body needs variables of the notebook."""

    def snapshot(self, request: Request) -> Capture | None:
        """Copy them now. Raises UsageError for what can't be copied."""

    def local(self, request: Request) -> str:
        """A name that the body reads and that is bound in the dispatching function alone; empty when there is none."""

    def must_wait(self) -> bool:
        """Whether cells sent before this one may still run, so that a snapshot has to wait for them."""

    def snapshot_later(self, uid: str, request: Request) -> None:
        """Copy them on the main shell, once the cells sent before this one have run."""

    def drop(self, capture: Capture) -> None:
        """A snapshot is not needed after all."""

    def message_anchor(self, uid: str) -> Anchor:
        """The cell that says something to the master, with the display id of the reply."""

    def pump(self, done: Callable[[], bool], timeout: float) -> bool:
        """Run the kernel's own loop for up to `timeout` s or until `done`; False where that can't be."""
