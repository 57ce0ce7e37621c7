"""Cleans what a model or any other untrusted party wrote; pure, in linear time, to be called off the loop.

It does not know where the text is shown: a cleaned one does nothing in JupyterLab's renderer even where nobody
sanitises it.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from ..core.plain import plain
from .escapes import address, inert, longest_run, short_runs

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

LIMIT = 256 << 10  # bytes of a cleaned text; what is longer is cut and shown as it is
NESTING = 100  # containers, brackets or tags within each other
MOST_TAGS = 20_000  # of one piece of HTML
LINES = 10_000  # outside code; a parser takes some 0.1 ms for each block
WORK = 400_000  # lines times depth, or times columns, that a parser is asked to look at
PASSES = 4  # until a text stays as it is

_TAGS_WORDS = """
a abbr b blockquote br caption cite code col colgroup dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i ins kbd li
mark ol p pre q s samp small span strong sub sup table tbody td tfoot th thead tr u ul var wbr
"""
TAGS = frozenset(_TAGS_WORDS.split())
ATTRIBUTES = {"a": {"href"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}, "ol": {"start"}}
SCHEMES = frozenset({"http", "https", "mailto"})
_WITH_CONTENT_WORDS = """
script style template iframe noscript noembed noframes object svg math title textarea
"""
_WITH_CONTENT = frozenset(_WITH_CONTENT_WORDS.split())

_EMPTY_WORDS = """
area base br col embed hr img input link meta param source track wbr
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())

_FENCE = re.compile(r"(`{3,})[^`]*\Z|(~{3,})")
_MARKERS = re.compile(r"(?:[ \t]*(?:>|[-+*](?=[ \t]|\Z)|\d{1,9}[.)](?=[ \t]|\Z)))+")
_MARKER = re.compile(r">|[-+*]|\d+[.)]")
_TAG_OR_TEXT = re.compile(r"<[^>]*>|[^<]+")
_BRACKET = re.compile(r"[\[\]]")
_TAG = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")


def clean_markdown(text: str) -> str:
    """An untrusted markdown text as markdown in which nothing acts and nothing is loaded.

    Images, raw HTML and links to anything but http, https and mailto become plain words; formulas are kept as far as
    they are made of known commands. Cleaning what was cleaned changes nothing.

    Parameters
    ----------
    text
        Of any length. What is over 256 kB, too deep, or made to be slow comes as a code fence, cut with a line that
        says so.
    """
    text = plain(text)
    if _size(text) > LIMIT or _is_flood(text):
        return _as_fence(text)
    for emphasis in (True, False):
        done = _settled(text, emphasis)
        if done is not None:
            return done
    return _as_fence(text)


def _settled(text: str, emphasis: bool) -> str | None:
    """The text written anew until it stays the same; None when it does not, or when any HTML is left in it."""
    from markdown_it.tree import SyntaxTreeNode

    from .emitter import emit

    for number in range(PASSES):
        tokens = _parser(html=number > 0).parse(text)  # what was emitted holds no HTML, whoever reads it
        inline = [child.type for token in tokens for child in token.children or ()]
        if number and any(
            kind in ("html_block", "html_inline", "image") for kind in (*inline, *(t.type for t in tokens))
        ):
            return None
        if any(token.level >= NESTING for token in tokens):
            return None
        written = emit(SyntaxTreeNode(tokens), emphasis)
        if number and written == text:
            return text
        if _size(written) > LIMIT or _is_flood(written):
            return None
        text = written
    return None


@cache
def _parser(html: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt

    from .emitter import formula_rule

    parser = MarkdownIt("commonmark", {"html": html, "maxNesting": NESTING}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "formula", formula_rule)
    return parser


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _is_flood(text: str) -> bool:
    """Whether a text nests deeper than any person writes, or would keep a parser busy: found in one linear look."""
    fence = ""
    deepest = columns = brackets = lines = 0
    indents: list[int] = []  # of the list items that the present line may be in
    for line in text.split("\n"):
        opened = _FENCE.match(line)
        if fence:
            fence = "" if line.startswith(fence) and not line.strip(fence[0] + " ") else fence
            continue
        if opened:
            fence = opened.group(1) or opened.group(2)
            continue
        lines += 1
        brackets, most = _bracket_depth(line, brackets) if line.strip() else (0, 0)
        columns = max(columns, line.count("|"))
        if markers := _MARKERS.match(line):
            indent = len(line) - len(line.lstrip())
            while indents and indents[-1] >= indent:
                indents.pop()
            indents.append(indent)
            deepest = max(deepest, len(indents) + len(_MARKER.findall(markers.group())))
        if max(deepest, most) > NESTING or lines > LINES:
            return True
    return lines * max(deepest, columns) > WORK


def _bracket_depth(line: str, depth: int) -> tuple[int, int]:
    """How many brackets are open after a line that began with `depth` of them, and how many there were at most."""
    most = depth
    for bracket in _BRACKET.findall(line):
        depth = max(0, depth + (1 if bracket == "[" else -1))
        most = max(most, depth)
    return depth, most


def _as_fence(text: str) -> str:
    """A text as it is, in a code fence; cut where it is too long."""
    text = short_runs(text).strip("\n")
    ticks = "`" * max(3, longest_run(text) + 1)
    room = LIMIT - 2 * len(ticks) - 200
    data = text.encode()
    if len(data) > room:
        text = data[:room].decode(errors="ignore")
        text = f"{text}\n[cut here: {len(data) - room:,} more bytes are not shown]"
    return f"{ticks}text\n{text}\n{ticks}\n" if text else ""


def clean_html(html: str) -> str:
    """An untrusted piece of HTML with plain formatting and safe links alone; too deep or too long: as escaped text."""
    import nh3

    html = plain(html)
    if _size(html) > LIMIT or _is_deep(html):
        cut = html.encode()[: LIMIT // 8].decode(errors="ignore")
        more = "\n[cut here: the rest is not shown]" if len(cut) < len(html) else ""
        return f"<pre>{_escaped(cut)}{more}</pre>"
    cleaned = nh3.clean(
        html,
        tags=set(TAGS),
        clean_content_tags=set(_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        url_schemes=set(SCHEMES),
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_attribute,
        strip_comments=True,
        generic_attribute_prefixes=set(),
    )
    return _without_formulas(cleaned)


def _without_formulas(html: str) -> str:
    """Cleaned HTML in which MathJax finds nothing to typeset; it passes over code by itself."""
    parts: list[str] = []
    code = 0
    for part in _TAG_OR_TEXT.findall(html):
        if part[0] == "<":
            code += part.startswith(("<pre", "<code")) - part.startswith(("</pre", "</code"))
        elif not code:
            part = inert(part).replace("$", r"\$")
        parts.append(part)
    return "".join(parts)


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "rel":
        return value
    if name == "href":
        return address(value.strip())
    return value if value.isascii() and value.isdigit() and len(value) < 5 else None


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_deep(html: str) -> bool:
    """Whether tags stand more than 100 deep, or are so many that a parser could be fooled about that for long."""
    open_ones: Counter[str] = Counter()
    depth = 0
    for number, match in enumerate(_TAG.finditer(html)):
        closes, name = match.group(1), match.group(2).lower()
        if name in _EMPTY or (closes and not open_ones[name]):
            continue
        open_ones[name] += -1 if closes else 1
        depth += -1 if closes else 1
        if depth > NESTING or number >= MOST_TAGS:
            return True
    return False
