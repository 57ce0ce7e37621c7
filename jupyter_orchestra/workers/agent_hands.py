"""Carries an agent's calls out within what its role may do; knows neither model nor conversation."""

from __future__ import annotations

import asyncio
import hashlib
import json
import mimetypes
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from ..core.lines import UNSANDBOXED
from ..core.model import Artifact, Ask, Capability
from ..core.needs import Need, spell_all
from ..core.plain import plain
from ..core.ports import Job, Launcher
from ..core.report import ReportReader
from ..core.rights import ACTS, NO_CONSENT, Consent
from ..errors import RefusedError, ResourceError
from ..models.calls import Arguments
from ..models.keys import hide_keys
from ..models.values import Call, ToolSpec
from ..processes.threads import in_thread
from .agent_files import Told, Tree, text_of
from .agent_inputs import describe_inputs
from .agent_prompt import RESULT_TAKEN
from .agent_python import scripts_of
from .agent_run import Runs
from .agent_tools import (
    SCRATCH,
    FinalResult,
    ListFiles,
    ReadCell,
    ReadFile,
    ReadInputs,
    Role,
    RunCommand,
    RunPython,
    Search,
    WriteFile,
    line_of,
    read_call,
    spec_of,
)
from .agent_voice import Voice
from .agent_workspace import Copy
from .confining import Box, box_for, network_of

OUTPUT: Final = 16_000  # characters of a call's answer
ARTIFACTS: Final = 200 << 20  # bytes of all artifacts
NAMED: Final = 60  # characters of an action in its one line
NOT_GRANTED: Final = "not done: it is not granted to you to {}. Do without it, or say so in your result"

CellReader = Callable[[str], Awaitable[str]]
P = ParamSpec("P")
T = TypeVar("T")


class Given(Arguments, frozen=True):
    """A result as the agent gave it."""

    headline: str
    summary: str
    findings: tuple[str, ...]
    data: Any
    artifacts: tuple[Artifact, ...]


class Hands:
    """The tools of one attempt.

    Parameters
    ----------
    environment
        What programs get of the notebook's environment.
    read_cell
        Reads a cell of the notebook by its id; raises LookupError with words for the model.
    landlock_suffices
        Whether what runs confined by Landlock needs no word of the person.
    """

    def __init__(
        self,
        job: Job,
        role: Role,
        launcher: Launcher,
        environment: Mapping[str, str],
        voice: Voice,
        read_cell: CellReader | None = None,
        landlock_suffices: bool = False,
    ) -> None:
        self._job, self._role, self._voice = job, role, voice
        self._inputs, self._read_cell = "", read_cell
        self._project = Path(os.path.realpath(job.spec.place.cwd or os.getcwd()))
        self._own = job.folder / ("workspace" if role.works else "scratch")
        self._runs = Runs(job, launcher, {**environment, "ORCHESTRA_WORKSPACE": os.fspath(self._own)}, voice)
        self._landlock_suffices = landlock_suffices
        self._box: Box | None = None
        self._tree: Tree | None = None
        self._scratch: Tree | None = None
        self._names: tuple[str, ...] = ()
        self.result: Given | None = None

    async def begin(self) -> str:
        """Get ready; gives what the agent begins with besides its brief."""
        self._inputs = hide_keys(await waited(describe_inputs, self._job), os.environ)
        if self._role.works:
            await self._have_box()
        absent = {"read_cell": self._read_cell is None, "read_inputs": not self._inputs}
        self._names = tuple(name for name in self._role.tools if not absent.get(name))
        return self._inputs

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the model is told of."""
        return tuple(map(spec_of, self._names))

    async def carry_out(self, call: Call) -> str:
        """Do what a call asks for; the answer, cleaned and clipped.

        Raises
        ------
        TooLarge
            When the project can't be copied.
        OSError
            When there is no room.
        """
        self._voice.call(line_of(call))
        try:
            arguments = read_call(call, self._names)
            said = await self._do(arguments)
        except Told as told:
            said = str(told)
        return clipped(plain(hide_keys(self._without_paths(said), os.environ)))

    async def end(self) -> None:
        """End what runs, and remove what is the agent's alone."""
        try:
            await self._runs.end()
        finally:
            self._tree = self._scratch = None
            await in_thread(None, shutil.rmtree, self._own, ignore_errors=True)

    def _without_paths(self, text: str) -> str:
        """`text` with our folders as they look from the workspace: where they really are is not for the model."""
        for folder, name in ((self._own, "."), (self._job.folder, "..")):
            text = text.replace(os.fspath(folder), name).replace(os.path.realpath(folder), name)
        return text

    async def _do(self, arguments: Arguments) -> str:
        if not isinstance(arguments, FinalResult):
            self._must(Capability.READ)  # who may not even read does nothing
        match arguments:
            case ListFiles(path=path, depth=depth):
                tree, path = await self._at(path)
                return "\n".join(await waited(tree.entries, path, depth)) or "empty"
            case ReadFile(path=path, start=start, lines=count):
                tree, inside = await self._at(path)
                return await waited(_lines, tree, inside, start, count)
            case Search(pattern=pattern, path=path, glob=glob, ignore_case=ignore_case):
                tree, path = await self._at(path)
                return await self._runs.search(tree, pattern, path, glob, ignore_case)
            case ReadCell(cell=cell):
                return await self._cell(cell)
            case ReadInputs():
                return self._inputs
            case WriteFile(path=path, text=text):
                return await self._write(path, text)
            case RunCommand(command=command, seconds=seconds, network=network):
                box, consent = await self._box_for("run with network" if network else "run", command, network)
                await self._at(".")
                return await self._command(command, seconds, box, network, consent)
            case RunPython(code=code, seconds=seconds):
                box, consent = await self._box_for("run Python", code)
                await self._at(".")
                return await self._python(code, seconds, box, consent)
            case FinalResult():
                self.result = await self._given(arguments)
                return RESULT_TAKEN
        raise Told("there is no such tool")

    async def _command(self, command: str, seconds: float, box: Box, network: bool, consent: Consent) -> str:
        """Run a command with the leases that it needs: tests take the test runner, a server takes a port."""

        async def run(environment: Mapping[str, str]) -> str:
            self._must(Capability.RUN, consent)  # now, whatever it has waited for
            has_network = network and network_of(self._job, consent)
            if network and not has_network:
                raise Told(NOT_GRANTED.format(ACTS[Capability.NETWORK]))
            return await self._runs.command(command, seconds, box, has_network, environment)

        return await self._with_leases(await self._needs_of(command), run)

    async def _python(self, code: str, seconds: float, box: Box, consent: Consent) -> str:
        """Run Python, with the test runner when it runs tests. What it serves may go on after the call: no port."""

        async def run(environment: Mapping[str, str]) -> str:
            self._must(Capability.RUN, consent)
            return await self._runs.python(code, seconds, box, self._import_path())

        needs = await self._needs_of(await waited(scripts_of, code))
        return await self._with_leases(tuple(filter(_is_test_runner, needs)), run)

    async def _needs_of(self, scripts: str) -> tuple[Need, ...]:
        """What scripts for the shell must hold while they run. Raises Told."""
        try:
            return await self._job.lender.needs_of(scripts) if self._job.lender is not None else ()
        except ResourceError as error:
            raise Told(f"not run: {error}") from None

    async def _with_leases(self, needs: tuple[Need, ...], run: Callable[[Mapping[str, str]], Awaitable[str]]) -> str:
        """Run something once it is its turn; what it put out, and what came of the tests that were in it."""
        lender = self._job.lender
        if lender is None or not needs:
            return await run({})
        self._voice.progress(None, f"waits for {spell_all(needs)}")
        try:
            async with lender.lease(*needs) as held:
                said = await run(held.environment)
        except (RefusedError, ResourceError) as error:
            raise Told(f"not run: {error}") from None
        if not any(map(_is_test_runner, needs)):
            return said
        reader = ReportReader("")
        reader.feed(plain(said).splitlines())
        return f"{said}\n[tests: {reader.line}]" if reader.line else said

    # files

    async def _at(self, path: str) -> tuple[Tree, str]:
        """Where a path lies, and the path from there."""
        if not self._role.works and (path == SCRATCH or path.startswith(f"{SCRATCH}/")):
            return await self._have_scratch(), path.removeprefix(SCRATCH).lstrip("/") or "."
        if self._tree is None:
            self._tree = await (self._copied() if self._role.works else waited(Tree, self._project, "the project"))
        return self._tree, path

    async def _have_scratch(self) -> Tree:
        if self._scratch is None:
            await waited(_renewed, self._own)
            self._scratch = await waited(Tree, self._own, SCRATCH)
        return self._scratch

    async def _copied(self) -> Tree:
        """The workspace, made now."""
        self._voice.progress(None, "copying the project into its workspace")
        await waited(shutil.rmtree, self._own, ignore_errors=True)
        copy = Copy(self._project, self._own, apart=self._job.folder.parent)
        await stoppable(copy.make, copy.stop)
        return await waited(Tree, self._own, "your workspace")

    async def _write(self, path: str, text: str) -> str:
        tree, inside = await self._at(path)
        if not self._role.works and tree is not self._scratch:
            raise Told(f"an explorer writes below {SCRATCH}/ only, not {path}")
        data = text.encode("utf-8", "replace")
        if tree is not self._scratch:
            consent = NO_CONSENT
            if not self._is_granted(Capability.WRITE):
                what = f"{_short(path)} ({len(data):,} bytes)"
                consent = await self._ask((Capability.WRITE,), "write", what, f"{path}\n\n{text}")
            self._must(Capability.WRITE, consent)
        await waited(tree.write, inside, data)
        return f"written: {path} ({len(data):,} bytes)"

    async def _cell(self, cell: str) -> str:
        if self._read_cell is None:
            raise Told("there is no notebook to read from")
        try:
            return await self._read_cell(cell)
        except LookupError as error:
            raise Told(str(error.args[0]) if error.args else f"there is no cell {cell!r}") from None

    # what the person is asked

    async def _box_for(self, kind: str, code: str, network: bool = False) -> tuple[Box, Consent]:
        """What a piece of code is to run in, once it may run, and to what the person said yes. Raises Told."""
        if not self._role.works:
            raise Told(f"an agent of role {self._role.name} runs nothing")
        if plain(code) != code:
            raise Told("not run: it has characters that a person can't see; write them as escapes")
        if not code.strip():
            raise Told("not run: it is empty")
        box = await self._have_box()
        lines = code.strip().splitlines()
        more = f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else ""
        if box.sandbox.kind == "none":
            kind = f"{UNSANDBOXED}: {kind}"
            self._voice.progress(None, f"{kind}: {lines[0]}")
        wanted = (Capability.RUN, Capability.NETWORK) if network else (Capability.RUN,)
        consent = NO_CONSENT
        if not box.trusted or not self._is_granted(*wanted):
            limits = f"{box.sandbox.limits}{'; the network is granted' if network else ''}"
            detail = f"{code}\n\n(in its workspace: {self._own})\n({limits})"
            consent = await self._ask(wanted, kind, f"{_short(lines[0])}{more}", detail)
        return box, consent

    async def _have_box(self) -> Box:
        if self._box is None:
            self._box = await box_for(self._job, self._own, self._project, self._landlock_suffices)
        return self._box

    async def _ask(self, wanted: tuple[Capability, ...], kind: str, what: str, detail: str) -> Consent:
        """Ask the person to grant that for one action; what they then have consented to. Raises Told."""
        for capability in wanted:
            if not self._job.grants.may(capability):
                raise Told(NOT_GRANTED.format(ACTS[capability]))
        uid, line = self._job.spec.uid, " ".join(plain(f"{kind}: {what}").split())
        action = f"{uid}\0{kind}\0{detail}".encode("utf-8", "replace")
        digest, id = hashlib.blake2b(action, digest_size=16).hexdigest(), secrets.token_hex(8)
        ask = Ask(f"{uid}-{self._job.attempt}-{id}", line, detail, digest, capabilities=wanted)
        verdict = await self._voice.ask(ask)
        if not verdict.approved:
            why = f": {plain(verdict.why)}" if verdict.why else ""
            raise Told(f"the person declined{why}. It was not done: do without it, or say so in your result")
        return Consent(digest, ask.id)

    def _is_granted(self, *capabilities: Capability) -> bool:
        """Whether that is granted for each action, so that nobody need be asked."""
        return all(map(self._job.grants.allows, capabilities))

    def _must(self, capability: Capability, consent: Consent = NO_CONSENT) -> None:
        """Go on only while that is granted; what the person was asked for, while their yes counts. Raises Told."""
        grants = self._job.grants
        if not (grants.agrees(capability, consent) if consent.digest else grants.allows(capability)):
            raise Told(NOT_GRANTED.format(ACTS[capability]))

    # the rest

    def _import_path(self) -> list[str]:
        """Where the notebook imports from, the project's own folders exchanged for those of the workspace."""
        path = []
        for folder in self._job.spec.place.path:
            inside = os.path.relpath(os.path.realpath(folder), self._project) if folder else ".."
            is_own = folder and inside.split(os.sep, 1)[0] != ".." and os.path.isdir(self._own / inside)
            path.append(os.path.normpath(self._own / inside) if is_own else folder)
        return path

    async def _given(self, found: FinalResult) -> Given:
        """Check a result, and keep its artifacts. Raises Told."""
        data = None
        if found.data:
            try:
                data = json.loads(found.data)
            except (ValueError, RecursionError) as error:
                raise Told(f"`data` is no JSON ({error}): send final_result again, findings in words instead") from None
        artifacts: list[Artifact] = []
        room = ARTIFACTS
        for number, path in enumerate(found.artifacts):
            self._must(Capability.READ)
            tree, inside = await self._at(path)
            copy = self._job.folder / f"artifact-{number}"
            await waited(copy.unlink, missing_ok=True)
            room -= await waited(tree.copy, inside, copy, room)
            blob = await waited(self._job.store.adopt, copy)
            name = plain(path).removeprefix(f"{SCRATCH}/").removeprefix("./")
            artifacts.append(Artifact(name, blob, mimetypes.guess_type(name)[0] or "application/octet-stream"))
        headline = " ".join(plain(found.headline).split())[:200]
        findings = tuple(plain(finding) for finding in found.findings)
        return Given(
            headline=headline or "(no headline)", summary=plain(found.summary).strip(), findings=findings, data=data,
            artifacts=tuple(artifacts),
        )  # fmt: skip


async def waited(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `act` gives, called in a thread. A cancel waits for it, so that nothing works on behind an end."""
    return await stoppable(partial(act, *args, **kwargs), lambda: None)


async def stoppable(act: Callable[[], T], stop: Callable[[], None]) -> T:
    """The same for what takes long; a cancel calls `stop` first."""
    work = asyncio.ensure_future(in_thread(None, act))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop()
        await asyncio.gather(work, return_exceptions=True)
        raise


def clipped(text: str, most: int = OUTPUT) -> str:
    """The two ends of a long text, and how much is missing between them."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n[… {len(text) - most:,} characters left out …]\n{text[-(most // 2) :]}"


def _lines(tree: Tree, path: str, start: int, count: int) -> str:
    lines = text_of(tree.read(path), path).splitlines()
    part = lines[start - 1 : start - 1 + count]
    if len(part) == len(lines):
        return "\n".join(lines) or "[empty]"
    if not part:
        raise Told(f"{path} has {len(lines):,} lines")
    return "\n".join((*part, f"[lines {start} to {start + len(part) - 1} of {len(lines):,}]"))


def _is_test_runner(need: Need) -> bool:
    return need.resource == "test-runner"


def _renewed(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


def _short(line: str) -> str:
    return line if len(line) <= NAMED else f"{line[:NAMED]}…"
