"""Reads quoted and fenced commands, and the words that join them, out of what the person says; dispatches nothing.

"run `a` and `b`, then `c`": c comes after both. "`b` after `a`", "first `a`, then `b`", "one after the other: `a`,
`b`". Commands are taken only where the words around them ask for that: a verb such as *run* comes first, or nothing
but joining words is there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import msgspec

from .rules_parse import LANGUAGES, NAME, Found, Misread, name_of, worker_of
from .tools import DispatchTask, Worker

MOST = 100  # commands in one message
MARK = " \ufffc "  # stands for a command in the words around them

_QUOTE = re.compile(
    r"^[ \t]*(?P<fence>`{3,20}|~{3,20})[ \t]*(?P<language>[A-Za-z0-9+_-]*)[^`\n]*\n"
    r"(?P<code>.*?)(?:^[ \t]*(?P=fence)[ \t]*$|\Z)"
    r"|`(?P<ticks>[^`\n]+)`"
    r'|"(?P<quotes>[^"\n]+)"'
    r"|“(?P<curly>[^“”\n]+)”",
    re.MULTILINE | re.DOTALL,
)
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
_POLITE = re.compile(
    r"(?:(?:please|now|ok|okay|hey|hi|and|then|also|just|so|first|can you|could you|would you|will you|can we|"
    r"let's|lets|i want you to|you can|you may)\b[,\s]*)*",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\b(?:can|could|would|will) (?:you|we)\b", re.IGNORECASE)
_RUN = re.compile(r"(?:run|execute|start|dispatch|launch|do|try)\b", re.IGNORECASE)
_AGAINST = re.compile(
    r"\b(?:not|never|don['\u2019]?t|without|cannot|can['\u2019]?t|won['\u2019]?t|avoid|instead|unless|if)\b", re.I
)
_FORBIDS = re.compile(r"(?:^|[.!?\n])\s*(?:please\s+)?(?:don['\u2019]?t|do not|never)\b", re.IGNORECASE)
_SEQUENCE = re.compile(
    r"\b(?:one after (?:the other|another)|one by one|sequentially|"
    r"in (?:this |that |the )?(?:given )?(?:order|sequence))\b",
    re.IGNORECASE,
)
_THEN = re.compile(r"\b(?:then|afterwards?|after (?:that|this|it)|followed by|next|finally)\b|->|→", re.IGNORECASE)
_ENDS_WITH_AFTER = re.compile(r"\bafter\s*\Z", re.IGNORECASE)
_BEFORE_ALL = re.compile(r"\b(?:after|once|when)\s*\Z", re.IGNORECASE)
_CALLED = re.compile(rf"\b(?:as|called|named)\s+({NAME})\b")
_AFTER_TASK = re.compile(r"\bafter\s+(?:the\s+)?(?:task\s+)?([A-Za-z0-9_-]{1,40})\b", re.IGNORECASE)
_NO_TASK_WORDS = "that this it which each one another other the them both all those these"
_JOINING_WORDS = """
a after afterwards all also and another as at both by called command commands concurrently execute finally first
followed following in it last meanwhile named next now of ok okay once one order other parallel please run same
sequence sequentially side simultaneously start tasks that the them then these this those time together two when with
"""
_NO_TASK, _JOINING = frozenset(_NO_TASK_WORDS.split()), frozenset(_JOINING_WORDS.split())


class _Command(msgspec.Struct, frozen=True):
    code: str
    language: str | None  # of its fence; None for one that is quoted


def read_commands(text: str, known: Collection[str], taken: Collection[str]) -> Found:
    """The tasks that quoted commands are; none where they are only spoken of. Raises Misread.

    `known` are the names of tasks that "after NAME" may mean, `taken` those that no new task may get (lower case).
    """
    commands, joints = _cut(text)
    around = MARK.join(joints)
    if not commands or not _asks_to_run(around):
        return Found((), text)
    if len(commands) > MOST:
        raise Misread(f"those are {len(commands):,} commands, at most {MOST} are read: send fewer")
    stages = _stages(joints, len(commands))
    names: dict[int, str] = {}
    for n, command in enumerate(commands):
        called = _CALLED.match(joints[n + 1].lstrip(" ,"))
        used = {*taken, *(name.lower() for name in names.values())}
        names[n] = called[1] if called else name_of(command.code, used)
    before = _after_tasks(joints, known)
    tasks: dict[int, DispatchTask] = {}
    for stage in stages:
        for n in stage:
            worker = _worker(commands[n])
            tasks[n] = DispatchTask(name=names[n], worker=worker, brief=commands[n].code, after=before)
        before = [names[n] for n in stage]
    return Found(tuple(tasks[n] for n in sorted(tasks)), around)


def without_polite(text: str) -> str:
    """What is asked for, without the words that only make it polite."""
    match = _POLITE.match(text.strip())
    return text.strip()[match.end() :] if match else text.strip()


def is_request(text: str) -> bool:
    """Whether a sentence asks for something to be done; "could you …?" does, another question does not."""
    return not text.rstrip().endswith("?") or _ASKS.search(text) is not None


def forbids(around: str) -> bool:
    """Whether the words around a task list say that it is not to be run, or only ask about it."""
    return _FORBIDS.search(around) is not None or any(not is_request(line) for line in around.splitlines())


def in_sequence(around: str) -> bool:
    """Whether the words around tasks say "one after the other"."""
    return _SEQUENCE.search(around) is not None


def _cut(text: str) -> tuple[list[_Command], list[str]]:
    """The commands, and the words before, between and after them."""
    commands: list[_Command] = []
    joints: list[str] = []
    end = 0
    for match in _QUOTE.finditer(text):
        fenced = match["fence"] is not None
        code = match["code"] if fenced else match["ticks"] or match["quotes"] or match["curly"]
        if code.strip():
            joints.append(text[end : match.start()])
            end = match.end()
            commands.append(_Command(code.strip("\n") if fenced else code.strip(), match["language"]))
    return commands, [*joints, text[end:]]


def _asks_to_run(around: str) -> bool:
    """Whether the sentence with the first command asks for it, and no word speaks against it."""
    said = next(sentence for sentence in SENTENCE_END.split(around) if MARK.strip() in sentence)
    if _AGAINST.search(around) or not is_request(said):
        return False
    asked = without_polite(said)
    return bool(_RUN.match(asked)) or all(
        word in _JOINING for word in re.findall(r"[^\W_]+", _CALLED.sub(" ", said).lower())
    )


def _stages(joints: list[str], count: int) -> list[list[int]]:
    """Which commands run side by side, and in which order these groups come."""
    if in_sequence(" ".join(joints)):
        return [[n] for n in range(count)]
    stages = [[0]]
    at = 0
    for n in range(1, count):
        joint = joints[n]
        if _ENDS_WITH_AFTER.search(joint):
            stages.insert(at, [n])
        elif _THEN.search(joint) or (n == 1 and _BEFORE_ALL.search(joints[0])):
            at += 1
            stages.insert(at, [n])
        else:
            stages[at].append(n)
    return stages


def _after_tasks(joints: Iterable[str], known: Collection[str]) -> list[str]:
    """The tasks that "after NAME" means."""
    by_lower = {name.lower(): name for name in known}
    found: dict[str, None] = {}
    for joint in joints:
        for match in _AFTER_TASK.finditer(_SEQUENCE.sub(" ", joint)):
            word = match[1].lower()
            if word in by_lower:
                found[by_lower[word]] = None
            elif word not in _NO_TASK:
                raise Misread(f"no task is called {match[1]!r}: `%tasks` lists them")
    return list(found)


def _worker(command: _Command) -> Worker:
    if command.language is None:
        return worker_of(command.code) or "shell"
    worker = LANGUAGES.get(command.language.lower())
    if worker is None:
        raise Misread(f"no worker runs {command.language!r}: mark the block as python or bash")
    return worker
