"""Copies the notebook's variables into the journal, for tasks that run elsewhere; it decides nothing about when."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..client.request import Request
from ..core.model import Capture
from ..errors import UsageError

if TYPE_CHECKING:
    from ..journal.journal import Journal


class NotebookSnapshots:
    """The :class:`~.context.Snapshots` of a kernel that has a journal; what copies is imported when first needed."""

    def __init__(self, journal: Callable[[], Journal]) -> None:
        self._journal = journal

    def wanted(self, brief: str, namespace: dict[str, Any], later: bool) -> bool:
        """Whether the body uses variables of the notebook; `later`: that the notebook may yet get."""
        import builtins

        from ..workers.capture import belongs_to_ipython
        from ..workers.source import free_names

        found = free_names(brief)
        names = {name for name in found.needed | found.maybe if not belongs_to_ipython(name, namespace)}
        return any(name in namespace or (later and not hasattr(builtins, name)) for name in names)

    def local(self, request: Request, namespace: dict[str, Any]) -> str:
        """A name that the body reads and that means something else where it is dispatched."""
        from types import ModuleType

        from ..workers.source import free_names

        for name in sorted(free_names(request.brief).needed & request.local.keys()):
            value = request.local[name]
            if value is not namespace.get(name, request) and not isinstance(value, ModuleType):
                return name
        return ""

    def take(self, request: Request, namespace: dict[str, Any]) -> Capture | None:
        """Copy them. Raises UsageError naming what can't be copied."""
        from ..workers.capture import CaptureError, take

        journal = self._journal()
        try:
            return take(
                request.brief, namespace, share=request.share, no_share=request.no_share, store=journal,
                folder=journal.folder / "captures", reserved=("results",) if request.after else (),
            )  # fmt: skip
        except CaptureError as error:
            raise UsageError(str(error)) from None

    def drop(self, capture: Capture) -> None:
        """Remove what a snapshot keeps outside the journal."""
        from ..workers.capture import drop

        drop(capture)
