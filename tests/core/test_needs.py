import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_orchestra.core.needs import BadNeed, Need, conflicts, parse, parse_all, spell

WORDS = ["terminal", "port", "path", "test-runner", "server", "db", "container", "gpu", "mem", "slots", "press"]
LIKE_NEEDS = st.lists(
    st.one_of(st.sampled_from(WORDS), st.text(":=-,/*.rwMGiB0123456789 a", max_size=6), st.text(max_size=3)), max_size=5
).map("".join)


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("terminal", Need("terminal")),
        ("test-runner", Need("test-runner")),
        ("slots:kernel=2", Need("slots:kernel", 2)),
        ("port:3000-3010", Need("port", choice=(3000, 3010))),
        ("port:8080", Need("port", choice=(8080, 8080))),
        ("path:src/**:w", Need("path", mode="w", path=("src",))),
        ("path:src:r", Need("path", mode="r", path=("src",))),
        ("path:src", Need("path", mode="w", path=("src",))),
        ("db:main:w", Need("db:main", mode="w")),
        ("db:main:r", Need("db:main", mode="r")),
        ("container:web", Need("container:web")),
        ("server:web", Need("server:web")),
        ("gpu:2", Need("gpu", 2)),
        ("mem=2GiB", Need("mem", 2 << 30)),
        ("mem=1.5GB", Need("mem", 1_500_000_000)),
        ("press", Need("press")),
        ("press=3", Need("press", 3)),
    ],
)
def test_each_form_of_the_grammar_is_read(text: str, need: Need) -> None:
    assert parse(text) == need


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "port:0", "port:3010-3000", "port:99999", "port:80", "gpu:0", "gpu:-1", "mem=2", "mem=0GiB", "mem",
        "path:", "path:a:x", "db:", "db:a b:w", "press=0", "press=x", "press=-1", "what:ever", "terminal:1", "a b",
        "x" * 5000,        "path:a*/../b:w", "\n", "slots:", "port=3",
    ],
)  # fmt: skip
def test_what_is_no_need_is_refused_in_one_line_that_helps(text: str) -> None:
    with pytest.raises(BadNeed) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 20


@given(st.one_of(LIKE_NEEDS, st.text(max_size=40)))
def test_any_text_is_a_need_or_refused(text: str) -> None:
    try:
        need = parse(text)
    except BadNeed:
        return
    assert parse(spell(need)) == need


@given(st.lists(LIKE_NEEDS, max_size=4).map(",".join))
def test_any_list_is_read_or_refused_and_names_nothing_twice(text: str) -> None:
    try:
        needs = parse_all(text)
    except BadNeed:
        return
    keys = [(need.resource, need.path, need.choice) for need in needs]
    assert len(keys) == len(set(keys))


def test_the_same_thing_read_and_written_is_one_need_to_write() -> None:
    assert parse_all("path:a:r, path:a:w") == (Need("path", mode="w", path=("a",)),)
    with pytest.raises(BadNeed, match="twice"):
        parse_all("press, press=2")


def test_paths_conflict_when_one_lies_in_the_other_and_one_is_written() -> None:
    def path(text: str) -> Need:
        return parse(f"path:{text}")

    assert conflicts(path("src:w"), path("src/a:r"))
    assert conflicts(path("src/a:r"), path("src:w"))
    assert not conflicts(path("src:r"), path("src/a:r"))
    assert not conflicts(path("src/a:w"), path("src/b:w"))
    assert not conflicts(path("src:w"), path("srcs:w"))
