"""Writes the token tree of a markdown text as markdown again: words, code, formulas and safe links, nothing that acts.

It knows neither caps nor cells. Between blocks stands a blank line, which keeps JupyterLab's search for formulas from
reaching from one into the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from .escapes import address, code_span, longest_run, pieces, short_runs, squeezed, without_formulas, words
from .formulas import safe_formula

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

_LANGUAGES_WORDS = """
bash c console cpp cs csharp css csv diff dockerfile fortran go graphql haskell html http ini ipython ipython3
java javascript js json jsx julia kotlin latex log lua makefile markdown md matlab nginx pycon perl php
plaintext powershell proto py python python3 r rst ruby rust scala sh shell sql swift tex text toml ts tsx txt
typescript xml yaml yml zsh
"""
LANGUAGES = frozenset(_LANGUAGES_WORDS.split())
FORMULAS = 500  # of one text
TARGET = 100  # characters shown of a link's target that is no link any more
_MARKS = {"em_open": "*", "em_close": "*", "strong_open": "**", "strong_close": "**", "s_open": "~~", "s_close": "~~"}
_ALIGNED = {"text-align:left": ":---", "text-align:right": "---:", "text-align:center": ":---:"}


def formula_rule(state: StateInline, silent: bool) -> bool:
    """An inline rule of markdown-it: ``$…$`` and ``$$…$$`` with a formula that may be typeset are one token."""
    start = state.pos
    if state.src[start] != "$":
        return False
    mark = "$$" if state.src.startswith("$$", start) else "$"
    begin = start + len(mark)
    end = state.src.find("$", begin, state.posMax)
    source = state.src[begin:end]
    if end < 0 or not source or not state.src.startswith(mark, end) or source.endswith("\\"):
        return False
    after = state.src[end + len(mark) : end + len(mark) + 1]
    if mark == "$" and (source[0].isspace() or source[-1].isspace() or after.isdigit() or after == "$"):
        return False
    formulas = state.env.setdefault("formulas", 0)
    safe = safe_formula(source) if formulas < FORMULAS else None
    if safe is None:
        return False
    if not silent:
        state.env["formulas"] += 1
        token = state.push("formula", "", 0)
        token.content, token.markup = safe, mark
    state.pos = end + len(mark)
    return True


def emit(root: SyntaxTreeNode, emphasis: bool) -> str:
    """The text of a parsed document; without `emphasis`, words stand as they are."""
    lines = _Blocks(emphasis).lines(root.children, quoted=False, nested=False)
    return "\n".join([*lines, ""]) if lines else ""


class _Blocks:
    def __init__(self, emphasis: bool) -> None:
        self._emphasis = emphasis

    def lines(self, nodes: Iterable[SyntaxTreeNode], *, quoted: bool, nested: bool, tight: bool = False) -> list[str]:
        """Blocks, one below the other."""
        lines: list[str] = []
        for node in nodes:
            block = self._block(node, quoted, nested)
            if block and lines and not tight:
                lines.append("")
            lines += block
        return lines

    def _block(self, node: SyntaxTreeNode, quoted: bool, nested: bool) -> list[str]:
        match node.type:
            case "paragraph":
                return self._inline(node)
            case "heading":
                title = " ".join(self._inline(node, one_line=True))
                return [f"{node.markup if node.markup[0] == '#' else '#' * int(node.tag[1])} {title}".rstrip()]
            case "fence" | "code_block":
                return _fence(node, quoted, nested)
            case "blockquote":
                inner = self.lines(node.children, quoted=True, nested=True)
                return [f"> {line}" if line else ">" for line in inner]
            case "bullet_list" | "ordered_list":
                return self._list(node, quoted)
            case "table":
                return self._table(node)
            case "hr":
                return ["***"]
        return []

    def _list(self, node: SyntaxTreeNode, quoted: bool) -> list[str]:
        tight = _is_tight(node)
        number = int(node.attrGet("start") or 0) if node.attrGet("start") is not None else 1
        lines: list[str] = []
        for index, item in enumerate(node.children):
            mark = "- " if node.type == "bullet_list" else f"{(number + index) % 10**9}. "
            inner = self.lines(item.children, quoted=quoted, nested=True, tight=tight)
            first, *rest = inner or [""]
            if lines and not tight:
                lines.append("")
            lines.append(mark + first if first else mark.rstrip())
            lines += [" " * len(mark) + line if line else "" for line in rest]
        return lines

    def _table(self, node: SyntaxTreeNode) -> list[str]:
        rows = [row for part in node.children for row in part.children]
        if not rows:
            return []
        lines = [self._row(row) for row in rows]
        styles = [str(cell.attrGet("style") or "") for cell in rows[0].children]
        lines.insert(1, "| " + " | ".join(_ALIGNED.get(style, "---") for style in styles) + " |")
        return lines

    def _row(self, row: SyntaxTreeNode) -> str:
        return "| " + " | ".join("".join(self._inline(cell, one_line=True, table=True)) for cell in row.children) + " |"

    def _inline(self, node: SyntaxTreeNode, one_line: bool = False, table: bool = False) -> list[str]:
        tokens = [token for child in node.children for token in child.to_tokens()]
        line = _Inline(self._emphasis, one_line, table)
        for token in tokens:
            line.take(token.children or ())
        return line.lines()


class _Inline:
    """The running text of one block. Collects words and finished pieces, then writes them."""

    def __init__(self, emphasis: bool, one_line: bool, table: bool) -> None:
        self._emphasis, self._one_line, self._table = emphasis, one_line, table
        self._parts: list[tuple[str, str]] = []  # (kind: words, mark, piece, break; text)
        self._links: list[tuple[str | None, str, int]] = []  # (target, href, where its text begins)

    def take(self, tokens: Sequence[Token]) -> None:
        """Collect tokens."""
        skip = False  # the text of an autolink is its address
        for token in tokens:
            kind = token.type
            if skip and kind != "link_close":
                continue
            if kind == "link_open":
                skip = self._open(token)
            elif kind == "link_close":
                skip = False if skip else self._close()
            else:
                self._take_one(token)

    def _take_one(self, token: Token) -> None:
        kind = token.type
        if kind in _MARKS:
            if self._emphasis:
                self._mark(_MARKS[kind], kind.endswith("_open"))
        elif kind == "softbreak" or kind == "hardbreak":
            self._break(kind == "hardbreak")
        elif kind == "code_inline":
            self._code(token.content)
        elif kind == "formula":
            content = token.content
            if self._table:
                content = content.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
            self._piece(f"{token.markup}{content}{token.markup}")
        elif kind == "image":
            alt = "".join(child.content for child in token.children or ())
            self._words(f"[image: {alt.strip()}]" if alt.strip() else "[image]")
        else:
            self._words(token.content)

    def _words(self, text: str) -> None:
        if text:
            self._parts.append(("words", text))

    def _piece(self, text: str) -> None:
        """Code or a formula; two of them side by side would be read as one, or by JupyterLab as neither."""
        if self._parts and self._parts[-1][0] == "piece":
            self._words(" ")
        self._parts.append(("piece", text))

    def _code(self, content: str) -> None:
        if not content.strip():
            return
        if self._table and "\\|" in content:
            self._words(content)
            return
        span = code_span(content)
        self._piece(span.replace("|", r"\|") if self._table else span)

    def _break(self, hard: bool) -> None:
        if self._one_line:
            self._words(" ")
        else:
            self._parts.append(("break", "\\" if hard else ""))

    def _mark(self, mark: str, opens: bool) -> None:
        last = self._parts[-1] if self._parts else ("", "")
        if not opens and last == ("open", mark):  # nothing between the two
            self._parts.pop()
            return
        if not opens and last[0] == "words" and last[1].endswith(" "):
            self._parts[-1] = ("words", last[1].rstrip())
            self._parts += [("close", mark), ("words", " ")]
            return
        self._parts.append(("open" if opens else "close", mark))

    def _open(self, token: Token) -> bool:
        href = str(token.attrGet("href") or "")
        target = address(href)
        if target is not None and token.markup == "autolink" and target.startswith("http"):
            self._parts.append(("piece", f"<{target}>"))
            return True
        self._links.append((target, href, len(self._parts)))
        if target is not None:
            self._parts.append(("bracket", "["))
        return False

    def _close(self) -> bool:
        target, href, begin = self._links.pop()
        inside = self._parts[begin:]
        if target is None:
            shown = "".join(text for kind, text in inside if kind == "words")
            if href and href not in shown:
                self._words(f" ({href[:TARGET]})")
        elif not any(kind in ("words", "piece") and text.strip() for kind, text in inside):
            del self._parts[begin:]
            if target.startswith("http"):
                self._parts.append(("piece", f"<{target}>"))
        else:
            self._parts.append(("link", f"](<{target}>)"))
        return False

    def lines(self) -> list[str]:
        """The text, line by line; empty when nothing is left of it."""
        lines, line = [], ""
        in_link = False
        parts = self._merged()
        for (kind, text), (following, _) in zip(parts, [*parts[1:], ("break", "")], strict=False):
            if kind == "break":
                lines.append(line.strip() + (text if line.strip() else ""))
                line = ""
            elif kind == "words":
                line += self._written(text, not line.strip(), in_link, following)
            else:
                in_link = kind == "bracket" or (in_link and kind != "link")
                line += text
        lines.append(line.strip())
        return _without_empty(lines)

    def _merged(self) -> list[tuple[str, str]]:
        """The parts, with words that stand side by side in one."""
        merged: list[tuple[str, str]] = []
        for is_words, group in groupby(self._parts, lambda part: part[0] == "words"):
            if is_words:
                merged.append(("words", squeezed("".join(text for _, text in group))))
            else:
                merged += group
        return merged

    def _written(self, text: str, starts: bool, in_link: bool, following: str) -> str:
        text = text.lstrip() if starts else text
        written: list[str] = []
        for is_address, part in pieces(text, bare=not in_link):
            begins = starts and not self._table and not written
            plain = words(part, starts_line=begins, in_title=self._one_line, in_link=in_link)
            written.append(f"<{part}>" if is_address else plain)
        if following == "bracket" and written[-1].endswith("!"):
            written[-1] = written[-1][:-1] + r"\!"
        return "".join(written)


def _without_empty(lines: list[str]) -> list[str]:
    """Lines with something on them; the last one does not end with a break."""
    kept = [line for line in lines if line and line != "\\"]
    if kept and kept[-1].endswith("\\"):
        kept[-1] = kept[-1][:-1].rstrip()
    return kept


def _fence(node: SyntaxTreeNode, quoted: bool, nested: bool) -> list[str]:
    content = short_runs(node.content)
    looks_like_formula = "$" in content or "\\" in content or "@@" in content
    if quoted and looks_like_formula:
        content = without_formulas(content)
    info = (node.info.split() or [""])[0].lower() if node.type == "fence" else ""
    language = info if info in LANGUAGES else ""
    if "mermaid" in info:
        language = "text"  # JupyterLab would draw it
    if nested and looks_like_formula:
        language = ""  # JupyterLab puts back what it took for a formula only where nothing is coloured
    ticks = "`" * max(3, longest_run(content) + 1)
    return [ticks + language, *content.removesuffix("\n").split("\n"), ticks] if content else [ticks + language, ticks]


def _is_tight(node: SyntaxTreeNode) -> bool:
    """Whether a list can be written without blank lines: words and such lists alone, as it came."""
    for item in node.children:
        if not item.children:  # its mark would underline what stands above
            return False
        for index, child in enumerate(item.children):
            if child.type == "paragraph" and child.hidden and index == 0:
                continue
            if child.type == "bullet_list" and _is_tight(child):
                continue
            if child.type == "ordered_list" and child.attrGet("start") is None and _is_tight(child):
                continue
            return False
    return True
