import html
import json
import re
import shutil
import subprocess
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import hostile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_orchestra.clean import untrusted as clean
from jupyter_orchestra.clean.untrusted import LIMIT, clean_html, clean_markdown
from jupyter_orchestra.core.plain import plain

CASES = dict(hostile.cases())
PACKAGES = Path(__file__).parents[2] / "labextension" / "node_modules"
WORDS = "p h1 h2 h3 h4 h5 h6 em strong del s code pre blockquote ul ol li hr br table thead tbody tr th td a"
TAGS = frozenset(WORDS.split())
LINK = re.compile(r"(https?://[A-Za-z0-9]|mailto:[A-Za-z0-9])[^\s\"'<>`\\]*\Z")
ATTRIBUTES = {
    ("a", "href"): LINK,
    ("code", "class"): re.compile(r"language-[a-z0-9]+\Z"),
    ("td", "style"): re.compile(r"text-align:(left|right|center)\Z"),
    ("td", "align"): re.compile(r"(left|right|center)\Z"),
    ("ol", "start"): re.compile(r"\d{1,9}\Z"),
}
ATTRIBUTES |= {("th", name): pattern for (tag, name), pattern in list(ATTRIBUTES.items()) if tag == "td"}
ATTRIBUTES |= {(f"h{n}", "id"): re.compile(r"[^\"'<>]*\Z") for n in range(1, 7)}  # JupyterLab takes it away
MATHJAX = re.compile(  # in its order: what it takes for a character, formulas, what else begins one
    r"\\[\\$]|\$\$((?:\\.|[^$\\])*)\$\$|\$((?:\\.|[^$\\])*)\$|(\\[(\[]|\\begin\s*\{|\\(?:eq)?ref\s*\{)", re.DOTALL
)


class Seen(HTMLParser):
    """What a page would be given: tags, attributes, and the words outside code, where MathJax looks for formulas."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.words = ""
        self._code = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._code += tag in ("code", "pre")
        self.text += " " if tag not in ("em", "strong", "del", "s", "a", "code") else ""
        self.words += "x" if tag == "code" else "\0"

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        self.text += data
        self.words += "" if self._code else data

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


def rendered(markdown: str) -> str:
    parser = clean._parser(html=True)
    parser.add_render_rule(
        "formula", lambda self, tokens, i, *rest: html.escape(tokens[i].markup + tokens[i].content + tokens[i].markup)
    )
    return parser.render(markdown)


def strays(source: str) -> list[str]:
    """What is in a piece of HTML and must not be."""
    seen = Seen(source)
    found = [f"<{tag}>" for tag in seen.tags if tag not in TAGS]
    for tag, name, value in seen.attributes:
        pattern = ATTRIBUTES.get((tag, name))
        if pattern is None or not pattern.match(value):
            found.append(f"<{tag} {name}={value!r}>")
    found += hidden(source)
    return found + formula_strays(seen.words)


def hidden(text: str) -> list[str]:
    """Characters that no one sees."""
    found = (c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    return [f"U+{ord(c):04X}" for c in found]


def formula_strays(words: str) -> list[str]:
    """Formulas that MathJax would find in words, and that were not let through."""
    from jupyter_orchestra.clean.formulas import safe_formula

    found = []
    for match in MATHJAX.finditer(words):
        display, inline, other = match.group(1), match.group(2), match.group(3)
        source = display if display is not None else inline
        if other or (source is not None and safe_formula(source) != " ".join(source.split())):
            found.append(match.group())
    return found


def letters(source: str) -> str:
    """The words of a piece of HTML, without spaces and marks of emphasis, on which renderers differ."""
    return re.sub(r"[\s*~_]+", "", unquote(Seen(source).text).replace("\\\\", "\\"))


def in_jupyterlab(texts: list[str]) -> list[str]:
    """The HTML that JupyterLab makes of markdown, before it sanitises."""
    node = shutil.which("node")
    if node is None or not (PACKAGES / "marked").is_dir():
        pytest.skip("node and the labextension's packages are needed: make setup")
    script = Path(__file__).with_name("render.mjs")
    done = subprocess.run([node, script, PACKAGES], input=json.dumps(texts), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def jupyterlab() -> dict[str, str]:
    return dict(zip(CASES, in_jupyterlab([clean_markdown(text) for text in CASES.values()]), strict=True))


def test_the_corpus_has_what_it_should() -> None:
    assert len(CASES) >= 400


def test_the_look_finds_what_is_there() -> None:
    raw = in_jupyterlab(
        [CASES["html-img-onerror-block"], CASES["address-data-png-image"], CASES["formula-href-inline"]]
    )
    assert [bool(strays(source)) for source in raw] == [True, True, True]


@pytest.mark.parametrize("name", CASES)
def test_nothing_acts_in_what_was_cleaned(name: str) -> None:
    cleaned = clean_markdown(CASES[name])
    assert strays(rendered(cleaned)) == []
    assert hidden(cleaned) == []
    assert clean_markdown(cleaned) == cleaned


@pytest.mark.parametrize("name", CASES)
def test_nothing_acts_in_jupyterlab_before_it_sanitises(name: str, jupyterlab: dict[str, str]) -> None:
    assert strays(jupyterlab[name]) == []


@pytest.mark.parametrize("name", CASES)
def test_jupyterlab_reads_what_was_meant(name: str, jupyterlab: dict[str, str]) -> None:
    assert letters(jupyterlab[name]) == letters(rendered(clean_markdown(CASES[name])))


@pytest.mark.parametrize("name", CASES)
def test_nothing_acts_in_cleaned_html(name: str) -> None:
    seen = Seen(clean_html(CASES[name]))
    assert set(seen.tags) <= clean.TAGS
    for tag, attribute, value in seen.attributes:
        assert attribute in {*clean.ATTRIBUTES.get(tag, ()), "rel"}
        assert LINK.match(value) if attribute == "href" else True
    assert hidden(seen.text) == []
    assert formula_strays(seen.words) == []


ATOMS = [
    *" \n\t`~*_[]()<>!#$\\&;:@|-+=.0aé\"'{}^%/",
    *(
        "\n\n",
        "```",
        "~~~",
        "$$",
        r"\begin{matrix}",
        r"\end{matrix}",
        r"\\(",
        r"\\)",
        "](",
        "![",
        "](javascript:alert(1))",
    ),
    *(
        "<img src=x onerror=1>",
        "https://a.b/",
        "www.",
        "&#",
        "&lt;",
        "\n> ",
        "\n- ",
        "\n1. ",
        "\n    ",
        "\n  ",
        "@@0@@",
    ),
    *(r"\$", "**", "word", "\n# ", "[r]: ", "<http://a.b>", "`$`", "$x$", "$a_1$", "*a*", "mailto:a@b.c", "&#36;"),
    *(
        "&#92;",
        "&#64;",
        "![x](https://e.x/)",
        "`` ` ``",
        "\n---\n",
        "\n===\n",
        "| a | b |\n|---|---|\n",
        r"\`",
        r"`a\`",
    ),
]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.sampled_from(ATOMS), max_size=60).map("".join), min_size=25, max_size=25))
def test_whatever_is_put_together_does_not_act(texts: list[str]) -> None:
    cleaned = list(map(clean_markdown, texts))
    assert list(map(clean_markdown, cleaned)) == cleaned
    for source, text in zip([*map(rendered, cleaned), *in_jupyterlab(cleaned)], cleaned * 2, strict=True):
        assert strays(source) == [], text


@given(st.text())
def test_any_text_is_cleaned_once(text: str) -> None:
    cleaned = clean_markdown(text)
    assert clean_markdown(cleaned) == cleaned
    assert strays(rendered(cleaned)) == []


@given(st.text(alphabet=st.characters()))
def test_plain_text_has_no_hidden_characters(text: str) -> None:
    assert hidden(plain(text)) == []
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("name", hostile.FLOODS)
def test_a_flood_is_shown_as_it_is_and_never_parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = hostile.FLOODS[name]
    with monkeypatch.context() as patch:
        patch.setattr(clean, "_settled", lambda *_: pytest.fail("parsed"))
        cleaned = clean_markdown(text)
    assert cleaned.startswith("```")
    assert cleaned.endswith("```\n")
    assert len(cleaned.encode()) <= LIMIT
    assert clean_markdown(cleaned) == cleaned


def test_what_was_cut_says_so() -> None:
    assert "[cut here: " in clean_markdown("x" * (LIMIT + 1))
    assert "[cut here: " not in clean_markdown("x " * (LIMIT // 2 - 1))


@pytest.mark.parametrize(
    "text", ["<div>" * 100_000, "<b>" * 300 + "</b>" * 300, "<div></x>" * 1000, "<i></i>" * 30_000]
)
def test_deep_html_is_never_parsed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nh3.clean", lambda *_, **__: pytest.fail("parsed"))
    assert set(Seen(clean_html(text)).tags) == {"pre"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("# Title\n\nSome *words*, **more** and `code_x`.", "# Title\n\nSome *words*, **more** and `code_x`.\n"),
        ("- a\n- b\n  1. c\n  2. d", "- a\n- b\n  1. c\n  2. d\n"),
        ("1. a\n\n   ```python\n   x = 1\n   ```", "1. a\n\n   ```python\n   x = 1\n   ```\n"),
        ("| a | b |\n|:-:|--:|\n| 1 | 2 |", "| a | b |\n| :---: | ---: |\n| 1 | 2 |\n"),
        ("see https://ok.example/a_b.", "see <https://ok.example/a_b>.\n"),
        ('[x](https://ok.example/?a=1&b=2 "t")', "[x](<https://ok.example/?a=1&b=2>)\n"),
        ("[x](mailto:a@b.example)", "[x](<mailto:a@b.example>)\n"),
        ("[report](out/report.md)", "report (out/report.md)\n"),
        ("![a plot](plot.png)", "\\[image: a plot\\]\n"),
        ("so $a_1 < b^2$ holds", "so $a_1 \\lt b^2$ holds\n"),
        ("$$\n\\frac{a}{b}\n$$", "$$\\frac{a}{b}$$\n"),
        ("```mermaid\nx\n```", "```text\nx\n```\n"),
        ("```python\n$x = '<b>'\n```", "```python\n$x = '<b>'\n```\n"),
        ("> a\n> b", "> a\n> b\n"),
        ("a\\\nb", "a\\\nb\n"),
        ("~~gone~~", "~~gone~~\n"),
        ("", ""),
        ("\u200b", ""),
    ],
)
def test_what_a_person_writes_comes_out_as_it_was(text: str, wanted: str) -> None:
    assert clean_markdown(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://e.example\x1b\\text\x1b]8;;\x1b\\", "text"),
        ("\x1b]52;c;cm0=\x07pasted", "pasted"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\0b\u202ec\u200bd\U000e0041e\ud83d", "abcde"),
        ("tab\tand é and 漢字 and 🙂", "tab\tand é and 漢字 and 🙂"),
    ],
)
def test_what_can_not_be_seen_goes(text: str, wanted: str) -> None:
    assert plain(text) == wanted


def test_html_keeps_its_formatting_and_its_safe_links() -> None:
    dirty = '<p class=x>a <b>b</b> <a href="https://ok.example/" target=_top>c</a> <a href="/api">d</a><img src=x></p>'
    assert clean_html(dirty) == (
        '<p>a <b>b</b> <a href="https://ok.example/" rel="noopener noreferrer nofollow">c</a> '
        '<a rel="noopener noreferrer nofollow">d</a></p>'
    )
