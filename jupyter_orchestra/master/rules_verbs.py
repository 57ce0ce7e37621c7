"""Reads the plain verbs out of what the person says: pause, resume, cancel, retry, steer, approve, decline, status.

A sentence counts only if it begins with the verb (polite words aside), and a name only if it means one task.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from .rules_commands import is_request, without_polite
from .rules_digest import describe, enumerated, quoted, roster
from .rules_moment import Moment
from .rules_parse import NAME

VERBS = {
    **dict.fromkeys(("pause", "suspend"), "pause"),
    **dict.fromkeys(("resume", "unpause", "continue"), "resume"),
    **dict.fromkeys(("cancel", "stop", "abort", "kill"), "cancel"),
    **dict.fromkeys(("retry", "rerun"), "retry"),
    **dict.fromkeys(("approve",), "approve"),
    **dict.fromkeys(("decline", "reject"), "decline"),
}
_ANY_VERB = "|".join(VERBS)
_VERB = re.compile(rf"({_ANY_VERB})\b[:\s]*", re.IGNORECASE)
_NEXT_VERB = re.compile(rf"\s*(?:,|\band\b|\bthen\b|&)(?:\s*(?:and|then|also|please)\b)*\s*(?=(?:{_ANY_VERB})\s)", re.I)
TIED = re.compile(rf"(?:,|\band\b|\bthen\b|\balso\b)\s*(?:please\s+)?(?:{_ANY_VERB})\s", re.IGNORECASE)
_STEER = re.compile(
    rf"(?:steer|tell)\s+(?:the\s+)?(?:task\s+)?({NAME})(?:\s*:\s*|\s*,\s*|\s+(?:to|that)\s+|\s+)(.+)", re.I | re.DOTALL
)
_NOT_A_TASK_WORDS = "me us him her them you the a an everyone everybody somebody"
_NOT_A_TASK = frozenset(_NOT_A_TASK_WORDS.split())
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n+")
_THANKS = re.compile(r"\W*(?:(?:thanks?|thank you|thx|ok|okay|please|hi|hello|hey)\W*)*\Z", re.IGNORECASE)
_ALL = re.compile(
    r"everything(?: in the background)?|(?:the |my )?background (?:work|tasks?|jobs?)"
    r"|(?:all|every)(?: (?:of|the|my|them|these|background|unfinished|open|tasks?|work|jobs?|workers?))*"
)
_ALL_OF_STATE = re.compile(r"(?:all|every)(?: of)?(?: the)? (waiting|queued|running|paused)(?: ones?| work)?")
_ONE, _TWO = frozenset({"it", "this", "that", "this one", "that one"}), frozenset({"both", "them", "these two"})
_LEADING = re.compile(r"(?:(?:the|my|task|tasks|job|jobs|worker)\s+)+")
_TRAILING = re.compile(r"\b(?:please|now|for me|for now|at once|immediately|again|too|as well|tasks?|jobs?)\Z")
_WHY = re.compile(r"\s*(?:\b(?:because|since|as)\b|[:,])\s*", re.IGNORECASE)
_STATUS = re.compile(
    r"(?:what(?:['\u2019]s| is| are|s)? (?:(?:still|currently|now|the|my|you) )*(?:running|going on|happening|open|"
    r"left|unfinished|status|waiting|queued|paused|in progress|tasks|doing|working on|state)(?: now| right now| there)?"
    r"|(?:show |list |give )?(?:me )?(?:(?:all|the|my) )*(?:status|tasks)|what runs|which tasks (?:are )?(?:still )?"
    r"(?:run|running|open|unfinished)|how (?:is|are) (?:it|things|everything|the tasks)(?: going)?"
    r"|is anything (?:still )?running)[\s.!?]*\Z",
    re.IGNORECASE,
)
_STATUS_OF = re.compile(
    rf"(?:is|how(?:['\u2019]s| is)|what about|status of|has|how far is)\s+(?:the\s+)?(?:task\s+)?({NAME})\b"
    r"(?:\s+(?:still |already )?(?:done|running|ready|finished|going|doing|ended|paused|waiting|task|job|yet))*"
    r"[\s.!?]*\Z",
    re.IGNORECASE,
)
_TIER = re.compile(r"use (?:the |a )?(fast|standard|strong)(?:er|est)?\b", re.IGNORECASE)


class Unclear(Exception):
    """Words that mean no task, or more than one; says so to the person."""


class Orders(msgspec.Struct):
    """What was understood: calls (tool, arguments) and answers, and the sentences that were not."""

    calls: list[tuple[str, dict[str, Any]]]
    lines: list[str]
    rest: list[str]


def steers(text: str) -> bool:
    """Whether the whole text is a message for a task."""
    match = _STEER.match(without_polite(text))
    return match is not None and match[1].lower() not in _NOT_A_TASK


def read_orders(text: str, moment: Moment) -> Orders:
    """The orders and questions in a text."""
    found = Orders([], [], [])
    end = 0
    for match in [*_SENTENCES.finditer(text), None]:
        sentence = text[end : match.start() if match else len(text)]
        if steers(sentence):  # all that follows is part of the message
            _read_steer(text[end:], moment, found)
            break
        if sentence.strip() and not _read_sentence(sentence, moment, found):
            found.rest.append(sentence.strip())
        end = match.end() if match else end
    found.rest = [sentence for sentence in found.rest if not _THANKS.match(sentence)]
    return found


def _read_sentence(sentence: str, moment: Moment, found: Orders) -> bool:
    asked = without_polite(" ".join(sentence.replace("`", "").split()))
    if _STATUS.match(asked):
        found.lines.append(roster(moment))
        return True
    if (match := _STATUS_OF.match(asked)) and (line := _status_of(match[1], moment)):
        found.lines.append(line)
        return True
    if match := _TIER.match(asked):
        found.lines.append(_tier(match[1].lower()))
        return True
    if not is_request(sentence) or not _VERB.match(asked):
        return False
    clauses = _clauses(asked)
    before = (len(found.calls), len(found.lines))
    for n, clause in enumerate(clauses):
        if steers(clause):
            _read_steer(" and ".join(clauses[n:]), moment, found)
            break
        match = _VERB.match(clause)
        if match is None or not _act(VERBS[match[1].lower()], clause[match.end() :], moment, found):
            del found.calls[before[0] :], found.lines[before[1] :]
            return False
    return True


def _clauses(asked: str) -> list[str]:
    """A sentence cut where the next verb begins; a message for a task is not cut."""
    steer = re.search(r"(?:,|\band\b|\bthen\b)\s+(?=(?:steer|tell)\s)", asked, re.IGNORECASE)
    head, tail = (asked[: steer.start()], [asked[steer.end() :]]) if steer else (asked, [])
    return [*_NEXT_VERB.split(head.strip()), *tail]


def _act(verb: str, about: str, moment: Moment, found: Orders) -> bool:
    """Understand one clause; False when it is about no task."""
    try:
        return _understand(verb, about, moment, found)
    except Unclear as why:
        found.lines.append(f"{verb}: {why}")
        return True


def _understand(verb: str, about: str, moment: Moment, found: Orders) -> bool:
    if verb == "retry":
        found.lines.append(_retry(_plainly(about), moment))
    elif verb in ("approve", "decline"):
        names, why = _whom(about, moment)
        found.calls += [(verb, {"task": name, "why": why}) for name in names]
    else:
        phrase = _plainly(about)
        if _ALL.fullmatch(phrase):
            found.calls.append((verb, {"tasks": [], "all": True}))
        elif len(phrase.split()) > 3 and "," not in phrase and " and " not in phrase:
            return False
        else:
            found.calls.append((verb, {"tasks": _targets(phrase, moment), "all": False}))
    return True


def _plainly(about: str) -> str:
    """The words that name tasks, without those around them; "all" and its kin in lower case."""
    kept, before = _without_article(about), ""
    while kept != before:
        kept, before = _TRAILING.sub("", kept.rstrip(" ,.!?;")), kept
    return kept.lower() if _ALL.fullmatch(kept.lower()) else kept


def _without_article(part: str) -> str:
    match = _LEADING.match(part.strip())
    return part.strip()[match.end() :] if match else part.strip()


def _targets(phrase: str, moment: Moment) -> list[str]:
    names = moment.unfinished
    if match := _ALL_OF_STATE.fullmatch(phrase.lower()):
        found = [name for name, state in names.items() if state == match[1].lower()]
        if not found or moment.more:
            raise Unclear(f"say which. {roster(moment)}")
        return found
    for words, count in ((_ONE, 1), (_TWO, 2)):
        if phrase.lower() in words:
            if len(names) + moment.more != count:
                raise Unclear(f"say which. {roster(moment)}")
            return list(names)
    if not phrase:
        raise Unclear(f"say which. {roster(moment)}")
    return list(dict.fromkeys(_target(part, moment) for part in re.split(r"\s*(?:,|&|\band\b)\s*", phrase) if part))


def _target(part: str, moment: Moment) -> str:
    phrase = _without_article(part.strip(" \"'"))
    names = moment.unfinished
    if name := match_name(phrase, names):
        return name
    if ended := match_name(phrase, moment.ended, exact=True):
        raise Unclear(f"it has ended. {describe(moment.ended[ended])}")
    if moment.more and re.fullmatch(NAME, phrase):
        return phrase  # not all names were told: whether there is such a task is said by who carries it out
    raise Unclear(f"no unfinished task is called {quoted(phrase)}. {roster(moment)}")


def match_name(phrase: str, names: Iterable[str], exact: bool = False) -> str:
    """The task that a phrase means, by its name, its beginning or a part of it; empty for none. Raises Unclear."""
    names = list(names)
    ways = [phrase.strip().lower().replace(" ", sign) for sign in "-_"]
    tests = (lambda name: name in (phrase, phrase.strip()), lambda name: name.lower() in ways)
    looser = (lambda name: name.lower().startswith(tuple(ways)), lambda name: any(way in name.lower() for way in ways))
    for test in tests if exact or len(phrase.strip()) < 2 else (*tests, *looser):
        found = [name for name in names if test(name)]
        if len(found) > 1:
            raise Unclear(f"{quoted(phrase)} may mean {enumerated(found)}: say which.")
        if found:
            return found[0]
    return ""


def _whom(about: str, moment: Moment) -> tuple[list[str], str]:
    """The tasks whose question is answered, named in full, and the reason."""
    names = moment.unfinished
    phrase = _plainly(about)
    listed = [match_name(_without_article(part), names, exact=True) for part in re.split(r",|&|\band\b", phrase)]
    if all(listed):
        return listed, ""
    word = _WHY.split(phrase.partition(" ")[0])[0]
    if name := match_name(word, names, exact=True):
        return [name], _WHY.sub("", phrase[len(word) :].strip(), count=1).strip()
    if moment.more and re.fullmatch(NAME, phrase):
        return [phrase], ""
    raise Unclear(f"name the task in full. {roster(moment)}")


def _retry(phrase: str, moment: Moment) -> str:
    failed = [name for name, result in moment.ended.items() if result.get("state") != "done"]
    if _ALL.fullmatch(phrase) or phrase.lower() in _ONE | _TWO or not phrase:
        names = failed if len(failed) == 1 or _ALL.fullmatch(phrase) or phrase.lower() in _TWO else []
    else:
        known: Collection[str] = {**moment.ended, **moment.unfinished}
        parts = [_without_article(part) for part in re.split(r"\s*(?:,|&|\band\b)\s*", phrase) if part]
        names = [match_name(part, known) or part for part in parts]
    if not names or not all(re.fullmatch(rf"{NAME}(?:@\d+)?", name) for name in names):
        raise Unclear(f"say which of the tasks that failed{': ' + enumerated(failed) if failed else ''}.")
    return f"Only you can retry a task; run this in a cell:\n```\n%orchestra retry {' '.join(names)}\n```"


def _read_steer(text: str, moment: Moment, found: Orders) -> None:
    match = _STEER.match(without_polite(text))
    assert match is not None
    try:
        found.calls.append(("steer", {"task": _target(match[1], moment), "text": match[2].strip()}))
    except Unclear as why:
        found.lines.append(f"steer: {why}")


def _status_of(word: str, moment: Moment) -> str:
    try:
        if name := match_name(word, moment.unfinished):
            return f"{name} is {moment.unfinished[name]}."
        ended = match_name(word, moment.ended)
    except Unclear as why:
        return str(why)
    return describe(moment.ended[ended]) if ended else ""


def _tier(tier: str) -> str:
    return (
        "No model is connected, so there is no tier to choose. Once one is, a message or an agent takes it so:\n"
        f"```\n%%chat -t {tier}\n%%dispatch NAME -w agent -t {tier}\n```"
    )
