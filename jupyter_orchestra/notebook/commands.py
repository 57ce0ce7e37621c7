"""What ``%orchestra`` can do: a table of commands, each giving the text or bundle to show; it prints nothing itself."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from difflib import get_close_matches

from ..client.client import Client, states_of
from ..core import events as e
from ..core.model import Capability
from ..errors import NotAvailableError, UsageError
from .publisher import Bundle

LATER = {
    "tools": "tools of MCP servers come later",
    "workspaces": "workspaces come later",
    "diff": "workspaces come later",
    "merge": "workspaces come later",
    "discard": "workspaces come later",
    "cluster": "cluster workers come later",
}
WORDLESS = ("leases", "status", "doctor", "clean", "config", "stop", "agents")


class Commands:
    """The sub-commands of ``%orchestra``.

    Parameters
    ----------
    client
        Through whom they speak.
    doctor, config, clean, about, model, agents
        What the composition root provides: the doctor's report, the settings' lines, cleaning (gives the bytes
        freed), lines about the journal, choosing models, and which agents there are.
    """

    def __init__(
        self,
        client: Client,
        *,
        doctor: Callable[[], str],
        config: Callable[[], list[str]],
        clean: Callable[[], int],
        about: Callable[[], list[str]],
        model: Callable[[list[str]], str],
        agents: Callable[[], str],
    ) -> None:
        self._client, self._doctor, self._config, self._clean, self._about = client, doctor, config, clean, about
        self._model, self._agents = model, agents
        self._table: dict[str, tuple[str, Callable[[list[str]], str | Bundle]]] = {
            "status": ("how many tasks are in which state, and where the journal is", self._status),
            "doctor": ("what this machine can do, and how to get what is missing", lambda words: self._doctor()),
            "leases": ("who holds what, who waits for it, and who is ahead", self._leases),
            "explain": ("explain NAME: why a task is where it is, and what an agent may do", self._explain),
            "log": ("log [NAME]: the last changes of state", self._log),
            "timeline": (
                "timeline [--all | NAME...]: when which task waited, queued and ran, and the critical path; "
                "without names those since the last ten minutes of rest",
                self._timeline,
            ),
            "retry": (
                "retry [NAME...]: run failed, cancelled or lost tasks again; without a name let the master go on",
                self._retry,
            ),
            "stop": ("end the master's running turn; the tasks run on", self._stop),
            "model": (
                "model [fast|standard|strong|url=VALUE...] [rules|auto]: who answers; choose the models of the tiers, "
                "the endpoint, or the rules planner (auto: a model if there is one)",
                lambda words: self._model(words),
            ),
            "agents": ("which agents there are", lambda words: self._agents()),
            "forget": ("forget NAME...: drop ended tasks and their results", self._forget),
            "revoke": (
                f"revoke NAME [{' '.join(Capability)}]: take back what a task may do; without a capability all that "
                "you approved for single actions",
                self._revoke,
            ),
            "clean": ("drop all ended tasks that have been shown, and give their space back", self._clean_up),
            "config": (
                "the settings; %config Orchestra.NAME = VALUE changes one",
                lambda words: "\n".join(self._config()),
            ),
        }

    def run(self, line: str) -> str | Bundle:
        """The text or the bundle that a command answers with. Raises UsageError for an unknown one."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"%orchestra: {error}: close the quotes") from None
        if not words or words[0] in ("-h", "--help", "help"):
            return self._help()
        command, rest = words[0], words[1:]
        if command in LATER:
            raise NotAvailableError(f"%orchestra {command} is not available yet in this version: {LATER[command]}")
        if command not in self._table:
            near = get_close_matches(command, self._table, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self._table)}"
            raise UsageError(f"%orchestra knows no {command!r}; {hint}")
        description, act = self._table[command]
        if rest and rest[0] in ("-h", "--help"):
            return f"%orchestra {command}: {description}"
        if rest and command in WORDLESS:
            raise UsageError(f"%orchestra {command} takes no more words, not {rest[0]!r}")
        return act(rest)

    def _help(self) -> str:
        width = max(map(len, self._table))
        return "\n".join(f"%orchestra {name.ljust(width)}  {text}" for name, (text, _) in self._table.items())

    def _status(self, words: list[str]) -> str:
        board = self._client.board
        counts = states_of(board.all())
        line = " · ".join(f"{number} {state}" for state, number in counts.items()) or "no tasks yet"
        asking = [view.name for view in board.all() if view.needs_you]
        lines = [line, *([f"needs you: {', '.join(asking)}"] if asking else []), *self._about()]
        return "\n".join(lines)

    def _explain(self, words: list[str]) -> str:
        return "\n".join(self._client.explain(name) for name in _some(words, "explain"))

    def _leases(self, words: list[str]) -> str:
        return repr(self._client.controller)

    def _log(self, words: list[str]) -> str:
        board = self._client.board
        views = [self._client.find(name).view for name in words] if words else board.all()
        steps = sorted(((step, view.name) for view in views for step in view.story), key=lambda pair: pair[0].at)
        lines = [
            f"{time.strftime('%H:%M:%S', time.localtime(step.at))}  {name}  {step.state}  {step.reason}".rstrip()
            for step, name in steps[-40:]
        ]
        return "\n".join(lines) or "nothing has happened yet"

    def _timeline(self, words: list[str]) -> str | Bundle:
        from . import timeline, timeline_svg, timeline_text

        names = [word for word in words if word != "--all"]
        if flag := next((name for name in names if name.startswith("-")), ""):
            raise UsageError(f"%orchestra timeline: unknown flag {flag}; there is --all")
        if names and len(names) < len(words):
            raise UsageError("%orchestra timeline takes names or --all, not both")
        views, now = self._client.board.all(), self._client.runtime.now()
        if names:
            views = timeline.with_those_before([self._client.find(name).uid for name in names], views)
        elif not words:
            views = timeline.recent(views, now)
        drawn = timeline.timeline(views, now)
        text = timeline_text.write(drawn)
        return timeline_svg.bundle(drawn, text) if drawn.rows else text

    def _stop(self, words: list[str]) -> str:
        self._client.ask(e.StopTurnAsked(self._client.runtime.now(), self._client.runtime.new_request()))
        return "stopping the master's turn; the tasks run on"

    def _retry(self, words: list[str]) -> str:
        if not words:
            self._client.ask(e.RetryTurnAsked(self._client.runtime.now(), self._client.runtime.new_request()))
            return "the master goes on"
        handles = self._client.control(e.RetryAsked, _some(words, "retry"))
        return "\n".join(f"{handle.name} is {handle.state} again" for handle in handles)

    def _forget(self, words: list[str]) -> str:
        names = _some(words, "forget")
        answer = self._client.ask(
            e.ForgetAsked(self._client.runtime.now(), self._client.runtime.new_request(), targets=tuple(names))
        )
        self._client.forget_values(answer.uids)
        return f"forgot {', '.join(answer.names)}"

    def _revoke(self, words: list[str]) -> str:
        name, *wanted = _some(words, "revoke")
        if unknown := [word for word in wanted if word not in list(Capability)]:
            raise UsageError(f"%orchestra revoke knows no {unknown[0]!r}; there are: {', '.join(Capability)}")
        capabilities = tuple(Capability(word) for word in wanted)
        (handle,) = self._client.control(e.RevokeAsked, [name], capabilities=capabilities)
        return f"taken back from {handle.name}: {', '.join(capabilities) or 'what you approved for single actions'}"

    def _clean_up(self, words: list[str]) -> str:
        answer = self._client.ask(
            e.ForgetAsked(self._client.runtime.now(), self._client.runtime.new_request(), ended=True)
        )
        self._client.forget_values(answer.uids)
        freed = self._clean()
        return f"forgot {len(answer.uids)} ended tasks, gave {freed / 1e6:.1f} MB back"


def _some(words: list[str], command: str) -> list[str]:
    if not words:
        raise UsageError(f"%orchestra {command} which task? %tasks lists them")
    return words
