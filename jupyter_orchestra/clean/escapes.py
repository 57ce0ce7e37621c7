"""How words, code, formulas and addresses are written so that no markdown renderer takes them for anything else.

Two readers are kept in mind besides CommonMark: marked, which links bare addresses, and JupyterLab, which takes
formulas out of the source before it is parsed and lets MathJax look for more of them in the page.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ..core.plain import plain

LIKE_BACKSLASH = "\u29f5"  # stands for a backslash where a true one would begin a formula
LIKE_DOLLAR, LIKE_AT, LIKE_BACKTICK = "\uff04", "\uff20", "\u02cb"
RUN = 20  # backticks in a row that are kept

_ADDRESS = re.compile(
    r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9\-._~/?#=&%+,:!@]*)?\Z"
    r"|mailto:[A-Za-z0-9.!&+/=_-]+@[A-Za-z0-9.-]+(?:\?[A-Za-z0-9\-._/?=&%+,:!]*)?\Z"
)
_AND = re.compile(r"&(?![A-Za-z0-9_.%-]+=)")  # one that HTML might take for the beginning of a character reference
_BARE = re.compile(
    r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:[/?#][^\s<>\"'`|*\[\](){}$\\^]*)?"
)
_STARTS_FORMULA = re.compile(r"\\(?=[()\[\]$]|begin|end|(?:eq)?ref|\Z)")  # at the end a formula may follow
_LOOKS_LIKE_FORMULA = re.compile(r"\\(?=(?:begin|end)\{[a-z]*\*?\}|\\[()\[\]])", re.IGNORECASE)
_LONG_RUN = re.compile(f"`{{{RUN + 1},}}")
_SPACES = re.compile(r"\s+")
_SPECIAL = re.compile(r"[\\`*\[\]|~<@$#]|&(?=[#\w])|_|:(?=//)|(?<=www)\.", re.IGNORECASE)
_AS_ENTITY = {"\\": "&#92;", "`": "&#96;", "<": "&lt;", "&": "&amp;", "@": "&#64;", ":": "&#58;", ".": "&#46;"}
_IN_LINK = {"[": "&#91;", "]": "&#93;"}
_AT_START = re.compile(r"[#>+=:-]")
_NUMBER_AT_START = re.compile(r"(\d+)([.)])")


def address(href: str) -> str | None:
    """A link's target, safe in any markdown; None unless it is a plain http, https or mailto address."""
    href = _AND.sub("%26", quote(href, safe="/?#=&%+,:!@._~-"))
    return href if _ADDRESS.match(href) and "@@" not in href else None


def inert(text: str) -> str:
    """Words without what would begin a formula, dollars aside; one that was escaped for MathJax is a dollar."""
    return _STARTS_FORMULA.sub(LIKE_BACKSLASH, text.replace(r"\$", "$"))


def squeezed(text: str) -> str:
    """The same with single spaces."""
    return inert(_SPACES.sub(" ", text))


def pieces(text: str, bare: bool) -> list[tuple[bool, str]]:
    """Text cut into words and, where `bare`, the addresses in it: (whether it is an address, text)."""
    found: list[tuple[bool, str]] = []
    end = 0
    for match in _BARE.finditer(text) if bare else ():
        words = match.group().rstrip(".,:;!?_~-&")
        if address(words) == words:
            found += [(False, text[end : match.start()]), (True, words)]
            end = match.start() + len(words)
    return [*found, (False, text[end:])]


def words(text: str, *, starts_line: bool, in_title: bool, in_link: bool) -> str:
    """Plain words as markdown; at the end of a title, number signs would belong to it."""

    def escaped(match: re.Match[str]) -> str:
        character = match.group()
        if character == "_":
            before, after = text[: match.start()][-1:], text[match.end() : match.end() + 1]
            inside = before.isascii() and before.isalnum() and after.isascii() and after.isalnum()
            return "_" if inside else r"\_"
        if character == "#":
            return r"\#" if in_title else "#"
        if character == "$":
            return r"\\\$"  # MathJax reads what is left of it, \$, as a dollar
        if in_link and character in _IN_LINK:  # marked takes the backslash away and reads once more
            return _IN_LINK[character]
        return _AS_ENTITY.get(character) or "\\" + character

    done = _SPECIAL.sub(escaped, text)
    if starts_line:
        done = _NUMBER_AT_START.sub(r"\1\\\2", done, count=1) if _NUMBER_AT_START.match(done) else done
        done = "\\" + done if _AT_START.match(done) else done
    return done


def line(text: str, in_title: bool = False) -> str:
    """An untrusted text as words on one line, with the addresses in it as links."""
    written = ""
    for is_address, part in pieces(squeezed(plain(text)).strip(), bare=True):
        said = words(part, starts_line=not written, in_title=in_title, in_link=False)
        written += f"<{part}>" if is_address else said
    return written


def code_span(content: str) -> str:
    """Inline code on one line, between single backticks: marked looks for emphasis inside longer ones."""
    content = _LOOKS_LIKE_FORMULA.sub(LIKE_BACKSLASH, re.sub(r"\s", " ", content))
    content = re.sub(r"@@(?=\d+@@)", LIKE_AT + "@", content).replace("`", LIKE_BACKTICK)
    # A backslash before the end would, for marked's search for emphasis, take the end away.
    pad = " " if content.startswith(" ") or content.endswith((" ", "\\")) else ""
    return f"`{pad}{content}{pad}`"


def without_formulas(code: str) -> str:
    """Code for a place where JupyterLab would look for formulas in it."""
    code = code.replace("$", LIKE_DOLLAR).replace("@@", LIKE_AT * 2)
    return _LOOKS_LIKE_FORMULA.sub(LIKE_BACKSLASH, code)


def short_runs(text: str) -> str:
    """`text` with at most 20 backticks in a row."""
    return _LONG_RUN.sub("`" * RUN + "…", text)


def longest_run(text: str) -> int:
    """The most backticks in a row."""
    return max(map(len, re.findall("`+", text)), default=0)
