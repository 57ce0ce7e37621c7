"""What a project's file names starts only once the person approved it; who asks them, and how, is not known here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import ResourceError

# Asks whether to do something ("start the server web"), with its detail (the command); remembers the answer by itself.
Approved = Callable[[str, str], Awaitable[bool]]


async def ensure_approved(approved: Approved | None, action: str, detail: str) -> None:
    """Go on only when the person approved. Raises ResourceError when they declined, or nobody can ask them."""
    if approved is None:
        raise ResourceError(f"nobody could be asked whether to {action}, so it was not done: {detail}")
    if not await approved(action, detail):
        raise ResourceError(f"you declined to {action}: {detail}")
