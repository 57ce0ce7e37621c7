"""Notes what a page must not do: reach out, open a dialog of the browser, raise errors. It knows no notebook."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Error, Page, Request, WebSocket

# What JupyterLab, Notebook and their parts say also without us.
KNOWN_ERRORS = tuple(
    re.compile(pattern)
    for pattern in (
        r"reading 'schema'",  # Notebook 7 has no settings editor for what JupyterLab brings along
        r"filebrowser:open-path",  # nor that command
        r"Comm not found for comm id",  # another tab's, or closed at both ends at once
        r"Could not restore the debugger state",  # a kernel was restarted
    )
)
OWN_SCHEMES = {"data", "blob", "about", "chrome-error"}


class Traps:
    """Everything that happened in one browser context."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[str] = []  # that would have left this machine; the browser was started without a way out
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self.allowed: list[re.Pattern[str]] = list(KNOWN_ERRORS)
        context.on("page", self._watch)
        context.on("request", self._on_request)

    def allow(self, *patterns: str) -> None:
        """These errors belong to what the test does."""
        self.allowed += [re.compile(pattern) for pattern in patterns]

    @property
    def unknown_errors(self) -> list[str]:
        """The errors that nobody expects."""
        return [error for error in self.errors if not any(pattern.search(error) for pattern in self.allowed)]

    def _watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("dialog", self._on_dialog)
        page.on("websocket", self._on_socket)

    def _on_request(self, request: Request) -> None:
        self._note(request.url)

    def _on_socket(self, connection: WebSocket) -> None:
        self._note(connection.url)

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.hostname != "127.0.0.1" and parts.scheme not in OWN_SCHEMES:
            self.requests.append(url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _on_error(self, error: Error) -> None:
        self.errors.append(f"page: {error.stack or error}")

    def _on_dialog(self, dialog: Dialog) -> None:
        if dialog.type != "beforeunload":
            self.dialogs.append(f"{dialog.type}: {dialog.message}")
        dialog.accept()
