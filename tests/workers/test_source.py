"""Which names a body takes, and what is wrong with it."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_orchestra.workers.source import check, free_names

HINT = "plain words? use %%chat, or -w agent"


def split(words: str) -> frozenset[str]:
    return frozenset(words.split())


# code, needed, maybe
NAMES = [
    ("class A:\n  import math as a\n  del a\n  a = a", "", "a"),
    # plain statements
    ("x", "x", ""),
    ("x = 1", "", ""),
    ("x = 1\nx", "", ""),
    ("x = x + 1", "x", ""),
    ("x += 1", "x", ""),
    ("x = 1\nx += y", "y", ""),
    ("x.a = 1", "x", ""),
    ("x[i] = v", "x i v", ""),
    ("x[i] += v", "x i v", ""),
    ("x, (y, *z) = w\nx, y, z", "w", ""),
    ("del x", "x", ""),
    ("del x\nx", "x", ""),
    ("x = 1\ndel x\nx", "", ""),
    ("del x[i]", "x i", ""),
    ("x: int = y", "y int", ""),
    ("x: T", "T", ""),
    ("x: T\nx", "T x", ""),
    ("from __future__ import annotations\nx: T = 1", "", "T"),
    ("a < (b := c) < d\nb", "a c d", ""),
    ("a < b < (c := d)\nc", "a b d", "c"),
    ("a and (b := c)\nb", "a c", "b"),
    ("f'{x!r:>{w}} {y=}'", "x w y", ""),
    ("print(x)", "print x", ""),
    ("assert x, y", "x y", ""),
    ("raise E(x) from y", "E x y", ""),
    ("await f(x)", "f x", ""),
    ("global x\nx = 1\nx", "", ""),
    # imports
    ("import a.b, c as d\na, d, c", "c", ""),
    ("from a import b as c\nc, b", "b", ""),
    ("x\nfrom a import *\ny", "x", "y"),
    ("from a import *\ndef f(): return y", "", "y"),
    # branches
    ("if c: x = 1\nx", "c", "x"),
    ("if c: x = 1\nelse: x = 2\nx", "c", ""),
    ("if c: x = 1\nelse: raise E\nx", "c E", ""),
    ("x if (x := y) else z", "y z", ""),
    ("while c:\n  x\n  x = 1", "c x", ""),
    ("while c: x = 1\nx", "c", "x"),
    ("while True:\n  x = f()\n  if x: break\nx", "f", ""),
    ("while True:\n  if c: break\n  x = 1\nx", "c", "x"),
    ("for i in r: y = i\ni, y", "r", "i y"),
    ("for i in r: pass\nelse: y = 1\ny", "r", ""),
    ("for i in r:\n  break\nelse: y = 1\ny", "r", "y"),
    ("for x[i] in r: pass", "x i r", ""),
    ("async for i in r: i", "r", ""),
    ("with open(p) as f: d = f.read()\nd", "open p", ""),
    ("with suppress(E): d = f()\nd", "suppress E f", "d"),
    ("with contextlib.suppress(E): d = f()\nd", "contextlib E f", "d"),
    ("async with a as b, b.c as d: d", "a", ""),
    ("try: x = f()\nexcept E: pass\nx", "f E", "x"),
    ("try: x = f()\nexcept E: x = None\nx", "f E", ""),
    ("try: x = f()\nexcept E: raise\nx", "f E", ""),
    ("try: x = f()\nfinally: x", "f", "x"),
    ("try: pass\nfinally: x = 1\nx", "", ""),
    ("try: f()\nexcept E as e: e\ne", "f E", "e"),
    ("try: import a\nexcept ImportError: a = None\na", "ImportError", ""),
    ("try: f()\nexcept* E as e: e", "f E", ""),
    ("match x:\n  case 1: y = 1\n  case _: y = 2\ny", "x", ""),
    ("match x:\n  case 1: y = 1\ny", "x", "y"),
    ("match x:\n  case P(a, b=c) if a > d: c\n  case {'k': v, **r}: v, r\n  case [q, *t] | (q, t): q, t", "x P d", ""),
    ("match x:\n  case m.A: 1\n  case str() as s: s\ns", "x m str", "s"),
    # functions
    ("def f(a, *b, c=d, **e): return a, b, c, e, g\nf", "d g", ""),
    ("def f(x: T = y) -> R: return x", "T y R", ""),
    ("from __future__ import annotations\ndef f(x: T) -> R: return x", "", "T R"),
    ("@deco(x)\ndef f(): pass", "deco x", ""),
    ("def f(): return f()", "", ""),
    ("@deco\ndef f(): return f()", "deco", "f"),
    ("def f(): return g()\ndef g(): return 1", "", "g"),
    ("x = 1\ndef f(): return x", "", ""),
    ("def f(): return x\nx = 1", "", "x"),
    ("def f():\n  x = 1\n  def g():\n    nonlocal x\n    x += y\n  return g", "y", ""),
    ("def f():\n  global n\n  n += 1", "n", ""),
    ("def f():\n  global n\n  n = 1\n  return n", "", ""),
    ("def f():\n  global n\n  n = 1\nf()\nn", "", "n"),
    ("def f():\n  global n\n  n = 1\ndef g(): return n", "", "n"),
    ("def f():\n  print(x)\n  x = 1", "print", ""),
    ("def f():\n  def g(): return h\n  h = 1\n  return g", "", ""),
    ("def f():\n  x: T = y", "y", ""),
    ("lambda a, b=c: a + b + d", "c d", ""),
    ("async def f(): return await g(x)", "g x", ""),
    ("def f(): yield x", "x", ""),
    ("def f():\n  import os\n  return os", "", ""),
    # comprehensions
    ("[x for x in y if x > z]", "y z", ""),
    ("x = [x for x in x]", "x", ""),
    ("{k: v for k, v in d.items()}, {s for s in t}, (u for u in w)", "d t w", ""),
    ("[a for b in c for a in b]", "c", ""),
    ("[a for b in a for a in b]", "a", ""),
    ("[(y := x) for x in z]\ny", "z", "y"),
    ("def f():\n  [(y := x) for x in z]\n  return y", "z", ""),
    ("[lambda: i + j for i in k]", "j k", ""),
    # classes
    ("class A(B, metaclass=M): x = y", "B M y", ""),
    ("class A: x = x", "x", ""),
    ("class A:\n  x = 1\n  y = x", "", ""),
    ("class A:\n  x = 1\n  def f(self): return x", "x", ""),
    ("class A:\n  x = 1\n  y = [x for _ in range(2)]", "range x", ""),
    ("class A:\n  if c: x = 1\n  y = x", "c", "x"),
    ("class A:\n  def f(self): return super().f(), __class__", "super", ""),
    ("class A:\n  def f(self): return __secret", "_A__secret", ""),
    ("def f():\n  x = 1\n  class A: y = x\n  return A", "", ""),
    ("class A: __qualname__; __module__", "", ""),
    # IPython's syntax
    ("!echo {x} $y '$z' $$w", "get_ipython x y", ""),
    ("!awk '{print $1}' {f}", "get_ipython f", ""),
    ("files = !ls {folder}\nfiles", "get_ipython folder", ""),
    ("obj.attr?", "get_ipython", "obj"),
    ("??obj", "get_ipython", "obj"),
    ("%timeit -n 10 -r3 f(x)", "get_ipython f x", ""),
    ("%time y = f(x)\ny", "get_ipython f x", ""),
    ("r = %timeit -o f(x)\nr", "get_ipython f x", ""),
    ("%cd {folder}", "get_ipython folder", ""),
    ("%matplotlib inline\nplt.plot(x)", "get_ipython plt x", ""),
    ("%%time\ny = x\ny", "get_ipython x", ""),
    ("%%timeit s = t\ns + u", "get_ipython t u", ""),
    ("%%capture out\nprint(x)", "get_ipython print x", ""),
    ("%%time\n!ls {x}", "get_ipython x", ""),
    ("%%bash\necho $HOME {x}", "get_ipython", "HOME x"),
    ("if c:\n    %time f(x)", "c get_ipython f x", ""),
    ("results['a'] + x", "results x", ""),
    ("  x = 1\n  x + y", "y", ""),
    (">>> x + y", "x y", ""),
]


@pytest.mark.parametrize(("code", "needed", "maybe"), NAMES, ids=[code for code, _, _ in NAMES])
def test_names(code: str, needed: str, maybe: str) -> None:
    found = free_names(code)
    assert (found.needed, found.maybe) == (split(needed), split(maybe))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs type parameters")
@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("type P[T] = list[T, U]", "list U"),
        ("def f[T: B](x: T) -> T: return g(T, x)", "B g"),
        ("class A[T](L[T]): x: T", "L"),
    ],
)
def test_names_with_type_parameters(code: str, needed: str) -> None:
    assert free_names(code).needed == split(needed)


# Whatever a body does, it does the same with only the names that were found.

NAME = st.sampled_from(["a", "b", "c"])


@st.composite
def expressions(draw: st.DrawFn) -> str:
    first, second = draw(NAME), draw(NAME)
    forms = [
        first,
        "1",
        f"f'{{{first}}}'",
        f"call({first})",
        f"(lambda: {first})",
        f"(lambda {first}={second}: {first})",
        f"[{first} for {second} in range(2)]",
        f"[({first} := {second}) for _ in range(n)]",
        f"(n and ({first} := {second}))",
        f"({first} if n else {second})",
        f"({first} := 7)",
    ]
    return draw(st.sampled_from(forms))


def indented(body: str) -> str:
    return "\n".join(f"  {line}" for line in body.splitlines())


def compound(bodies: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def build(draw: st.DrawFn) -> str:
        name, other, value = draw(NAME), draw(NAME), draw(expressions())
        one, two = indented(draw(bodies)), indented(draw(bodies))
        forms = [
            f"if n:\n{one}\nelse:\n{two}",
            f"if {value}:\n{one}",
            f"for {name} in range(n):\n{one}\nelse:\n{two}",
            f"while True:\n{one}\n  if n: break\n{two}\n  break",
            f"for {name} in range(2):\n{one}\n  if {other}: continue\n{two}",
            f"try:\n{one}\nexcept NameError as {name}:\n{two}",
            f"try:\n{one}\nexcept Exception:\n{two}\nelse:\n  log({value})\nfinally:\n  log({name})",
            f"with suppress(Exception):\n{one}",
            f"def {name}():\n{one}\n  return {value}",
            f"def {name}({other}={value}):\n  global {'ab'.replace(other, '')[0]}\n{one}",
            f"@call_it\ndef {name}():\n{one}",
            f"class {name}:\n{one}\n  def method(self): return {value}",
            f"match {value}:\n  case int() as {name}:\n{indented(one)}\n  case _:\n{indented(two)}",
        ]
        return draw(st.sampled_from(forms))

    return build()


@st.composite
def simple(draw: st.DrawFn) -> str:
    name, other, value = draw(NAME), draw(NAME), draw(expressions())
    forms = [
        f"{name} = {value}",
        f"{name} += 1",
        f"{name}: {other} = {value}",
        f"del {name}",
        f"log({value})",
        f"log(call({name}))",
        f"import math as {name}",
        f"if n == {draw(st.integers(0, 2))}: raise ValueError",
        f"class {name}: {other} = {value}; {name} = {other}",
    ]
    return draw(st.sampled_from(forms))


def lines(statement: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(statement, min_size=1, max_size=4).map("\n".join)


PROGRAMS = lines(st.recursive(simple(), lambda inner: simple() | compound(lines(inner)), max_leaves=8))


def outcome(code: Any, names: set[str] | frozenset[str], n: int) -> list[str]:
    trace: list[str] = []
    depth = 0

    def log(value: object) -> None:
        trace.append(re.sub(r" at 0x\w+|<locals>\.", "", str(value)))

    def call(value: Any) -> object:
        nonlocal depth
        depth += 1
        if depth > 20:
            raise RuntimeError("deep")
        return value() if callable(value) else value

    notebook = {"a": 10, "b": 20, "c": lambda: 30, "n": n}
    tools = {"log": log, "call": call, "call_it": call, "suppress": suppress}
    namespace = {name: value for name, value in notebook.items() if name in names} | tools
    try:
        exec(code, namespace)
    except Exception as error:
        trace.append(type(error).__name__)
    return trace


@settings(max_examples=500, deadline=None)
@given(PROGRAMS, st.integers(0, 2))
def test_a_body_runs_alike_with_only_what_was_found(program: str, n: int) -> None:
    try:
        code = compile(program, "<program>", "exec")
    except SyntaxError:
        return  # such as a walrus that rebinds the comprehension's own variable
    found = free_names(program)
    assert not found.needed & found.maybe
    assert outcome(code, found.needed | found.maybe, n) == outcome(code, {"a", "b", "c", "n"}, n)


# What is wrong.


@pytest.mark.parametrize(
    "code",
    [
        "x = 1",
        "!ls",
        "x = !ls",
        "%time f(x)",
        "x?",
        "await f()",
        "async for i in r: pass",
        "%%bash\nfor f in *; do echo $f; done",
        "%%time\nawait f()",
        "  x = 1\n  y = 2",
        "'docstring'",
        "'\\d'",  # a SyntaxWarning where it runs
    ],
)
def test_what_compiles_passes(code: str) -> None:
    assert check(code) == ""


@pytest.mark.parametrize(
    ("code", "line", "text"),
    [
        ("make me a plot of sales", 1, "make me a plot of sales"),
        ("x = 1\n\ny = = 2", 3, "y = = 2"),
        ("\n\nx = = 2", 3, "x = = 2"),
        ("!ls\nx = = 2", 2, "x = = 2"),
        ("return 3", 1, "return 3"),
        ("%%time\n\nx = = 2", 3, "x = = 2"),
        ("x = (1,\n", 1, "x = (1,"),
        ("'''never closed", 1, "'''never closed"),
    ],
)
def test_an_error_is_one_line_with_its_place_and_the_way_out(code: str, line: int, text: str) -> None:
    said = check(code)
    assert said.startswith(f"line {line}: ")
    assert text in said
    assert said.endswith(HINT)
    assert "\n" not in said


@pytest.mark.parametrize("code", ["", "  \n", "# only a comment", "x = '\0'", "(" * 500, "-" * 100_000 + "1"])
def test_what_can_not_run_is_an_error(code: str) -> None:
    said = check(code)
    assert said.endswith(HINT)
    assert len(said) < 300
