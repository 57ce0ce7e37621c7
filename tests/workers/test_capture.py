"""What a body uses of the notebook arrives in another process as it was at dispatch, or is refused by name.

Longer than other modules: a list of kinds of values, each as short as it can be.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_orchestra.core.model import Blob, Capture
from jupyter_orchestra.workers import capture as module
from jupyter_orchestra.workers.capture import CaptureError, drop, shared_memory, take
from jupyter_orchestra.workers.restore import GONE, RestoreError, offsets, restore

numpy = pytest.importorskip("numpy")

THERE = """
import json, sys
from pathlib import Path
from jupyter_orchestra.workers.restore import restore
order = json.loads(Path(sys.argv[1]).read_text())
namespace = {"__name__": "__main__"}
captured = restore(Path(order["stream"]).read_bytes(), order["buffers"], tuple(order["sizes"]), namespace)
namespace.update(captured)
exec(compile(order["code"], "<body>", "exec"), namespace)
print(json.dumps(namespace.get("out")))
"""


class Memory:
    """Keeps blobs inline."""

    def put(self, data: bytes) -> Blob:
        return Blob(len(data), data)

    def adopt(self, path: Path) -> Blob:
        raise NotImplementedError

    def get(self, blob: Blob) -> bytes:
        assert blob.data is not None
        return blob.data

    def file(self, blob: Blob) -> Path | None:
        return None


class Notebook:
    """A namespace whose functions are ``__main__``'s, and the way of a body out of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.captures: list[Capture] = []

    def cell(self, code: str) -> None:
        exec(compile(textwrap.dedent(code), "<cell>", "exec"), self.namespace)

    def take(self, code: str, **options: Any) -> Capture | None:
        known = {"share": None, "no_share": False, "store": Memory(), "folder": self.folder / "captures"}
        taken = take(textwrap.dedent(code), self.namespace, **(known | options))
        if taken is not None:
            self.captures.append(taken)
        return taken

    def taken(self, code: str, **options: Any) -> Capture:
        taken = self.take(code, **options)
        assert taken is not None
        return taken

    def here(self, taken: Capture, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
        assert taken.stream.data is not None
        return restore(taken.stream.data, taken.buffers, taken.sizes, {} if namespace is None else namespace)

    def there(self, code: str, **options: Any) -> Any:
        """What the body leaves in `out` in another process."""
        taken = self.taken(code, **options)
        assert taken.stream.data is not None
        (self.folder / "stream").write_bytes(taken.stream.data)
        order = {"stream": str(self.folder / "stream"), "buffers": taken.buffers, "sizes": taken.sizes}
        (self.folder / "order").write_text(json.dumps(order | {"code": textwrap.dedent(code)}))
        root = Path(module.__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", THERE, str(self.folder / "order")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refusal(self, code: str, **options: Any) -> str:
        with pytest.raises(CaptureError) as caught:
            self.take(code, **options)
        message = str(caught.value)
        assert "\n" not in message
        return message


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    made = Notebook(tmp_path)
    yield made
    for taken in made.captures:
        drop(taken)
    beside = shared_memory(tmp_path / "captures")
    if beside.exists():
        assert list(beside.iterdir()) == []
        beside.rmdir()
    if (tmp_path / "captures").exists():
        assert list((tmp_path / "captures").iterdir()) == []


# Which names.


def test_what_a_body_uses_is_captured_and_no_more(notebook: Notebook) -> None:
    notebook.namespace.update(a=1, b=2, unused=3)
    assert set(notebook.taken("c = a\nprint(b + c)").names) == {"a", "b"}


def test_a_body_that_uses_nothing_captures_nothing(notebook: Notebook) -> None:
    notebook.namespace.update(a=1)
    assert notebook.take("a = 2\nprint(a)") is None
    assert notebook.take("import os\nos.getcwd()") is None


def test_no_share_captures_nothing(notebook: Notebook) -> None:
    notebook.namespace.update(a=1)
    assert notebook.take("a", no_share=True) is None


def test_share_captures_exactly_what_it_names(notebook: Notebook) -> None:
    notebook.namespace.update(a=1, b=2, c=3)
    assert set(notebook.taken("a + b", share=["a", "c"]).names) == {"a", "c"}
    assert notebook.take("a", share=[]) is None


def test_share_of_an_unknown_name_is_an_error_that_names_it(notebook: Notebook) -> None:
    notebook.namespace.update(a=1)
    assert "'nope'" in notebook.refusal("a", share=["a", "nope"])


def test_reserved_names_come_from_elsewhere(notebook: Notebook) -> None:
    notebook.namespace.update(results=1, a=2)
    assert notebook.taken("results, a", reserved={"results"}).names == ("a",)


def test_ipythons_own_names_stay(notebook: Notebook) -> None:
    own = dict.fromkeys(
        ["In", "Out", "_", "__", "_1", "_i", "_i3", "_ih", "_oh", "get_ipython", "exit", "quit"], io.StringIO
    )
    notebook.namespace.update(own, a=1)
    assert notebook.take("; ".join(own)) is None
    assert notebook.taken("!echo {a} {In}").names == ("a",)


def test_functions_find_ipythons_own_names_in_the_task(notebook: Notebook) -> None:
    notebook.namespace.update(get_ipython=threading.Lock(), results=threading.Lock())
    notebook.cell("def f(): return get_ipython, results")
    namespace: dict[str, Any] = {"get_ipython": 1, "results": 2}
    found = notebook.here(notebook.taken("f()", reserved={"results"}), namespace)
    assert found["f"]() == (1, 2)


def test_a_shadowed_builtin_is_captured(notebook: Notebook) -> None:
    notebook.namespace.update(len=5)
    assert notebook.taken("len").names == ("len",)


# Round trips.

ROUND_TRIPS = {
    "scalars": ("a, b, c = 1, 2.5, 'x'", "out = [a, b, c]", [1, 2.5, "x"]),
    "modules": ("import math\nimport os.path as p", "out = [math.floor(2.5), p.join('a', 'b')]", [2, "a/b"]),
    "function": ("def f(x, *, y=2): return x * y", "out = f(4)", 8),
    "functions that call each other": (
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)",
        "out = [even(10), odd(10)]",
        [True, False],
    ),
    "nested functions": (
        "def outer(a):\n  def inner(b): return a + b + k\n  return inner\nk = 100",
        "out = outer(1)(2)",
        103,
    ),
    "closure": (
        "def counter():\n  n = 0\n  def step():\n    nonlocal n\n    n += 1\n    return n\n  return step\n"
        "c = counter()\nc()",
        "out = [c(), c()]",
        [2, 3],
    ),
    "lambdas": ("k = 3\nfs = [lambda x, i=i: x * i + k for i in range(3)]", "out = [f(10) for f in fs]", [3, 13, 23]),
    "decorator": (
        "import functools\ndef twice(f):\n  @functools.wraps(f)\n  def g(*a): return f(*a) * 2\n  return g\n"
        "@twice\ndef h(x): return x",
        "out = [h(4), h.__name__]",
        [8, "h"],
    ),
    "class": (
        "class A:\n  count = 2\n  def f(self): return helper(self.count)\n"
        "  @classmethod\n  def make(cls): return cls()\n"
        "class B(A):\n  count = 3\n  def f(self): return super().f() + 1\ndef helper(x): return x * 10",
        "out = [A().f(), B.make().f(), issubclass(B, A)]",
        [20, 31, True],
    ),
    "instance": ("class P:\n  def __init__(self): self.x = 5\np = P()", "out = [p.x, type(p) is P]", [5, True]),
    "dataclass": (
        "from dataclasses import dataclass, field\n"
        "@dataclass(frozen=True)\nclass D:\n  x: int\n  y: list = field(default_factory=list)\n"
        "d = D(1)",
        "out = [d == D(1), repr(d), D(2).y]",
        [True, "D(x=1, y=[])", []],
    ),
    "enum": (
        "from enum import Enum\nclass E(Enum):\n  A = 1\n  B = 2\ne = E.B",
        "out = [e is E.B, E(1).name]",
        [True, "A"],
    ),
    "shared references": (
        "a = [1]\nb = {'a': a}\ndef f(): return a",
        "a.append(2)\nout = [b['a'], f()]",
        [[1, 2], [1, 2]],
    ),
    "cycle": ("a = []\na.append(a)", "out = a[0] is a", True),
    "a global that the body binds again": ("k = 1\ndef f(): return k", "k = 5\nout = f()", 5),
    "a function that the body binds again": (
        "def g(): return 1\ndef f(): return g()",
        "def g(): return 2\nout = f()",
        2,
    ),
    "a global that a captured function sets": (
        "n = 0\ndef bump():\n  global n\n  n += 1",
        "bump()\nbump()\nout = n",
        2,
    ),
    "a method sees the body's globals": ("k = 1\nclass A:\n  def f(self): return k\na = A()", "k = 7\nout = a.f()", 7),
    "partial": ("from functools import partial\ndef f(a, b): return a - b\ng = partial(f, 10)", "out = g(3)", 7),
    "generator function": ("def g():\n  yield from range(k)\nk = 3", "out = list(g())", [0, 1, 2]),
    "exception": (
        "class Oops(Exception): pass\ndef f(): raise Oops('no')",
        "try: f()\nexcept Oops as e: out = str(e)",
        "no",
    ),
    "arrays": (
        "import numpy as np\na = np.arange(300_000.).reshape(500, 600)\n"
        "b = a[::2, ::3]\nf = np.asfortranarray(a)\nt = a.T\n"
        "s = np.arange(10)\nd = np.arange(200_000).astype('datetime64[s]')[::2]\no = np.array([None, 'x'], object)",
        "out = [float(a[-1, -1]), b.shape, bool((f == a).all()), t.shape, int(s.sum()), str(d[3]), list(o),"
        " float(b[1, 2]), [x.flags.writeable for x in (a, b, f, t, s, d)]]",
        [299_999.0, [250, 200], True, [600, 500], 45, "1970-01-01T00:00:06", [None, "x"], 1206.0, [True] * 6],
    ),
    "writable arrays": (
        "import numpy as np\na = np.zeros(400_000)\nb = [a, a]",
        "a += 1\nout = [a.sum(), b[1][0]]",
        [400_000.0, 1.0],
    ),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trip(notebook: Notebook, name: str) -> None:
    cell, body, out = ROUND_TRIPS[name]
    notebook.cell(cell)
    assert notebook.there(body) == out


def test_a_function_gets_the_tasks_namespace_as_its_globals(notebook: Notebook) -> None:
    notebook.cell("k = 1\ndef f(): return k")
    namespace: dict[str, Any] = {}
    found = notebook.here(notebook.taken("f()"), namespace)
    assert found["f"].__globals__ is namespace
    assert namespace["k"] == 1
    assert "f" not in namespace  # that is the caller's


# A true snapshot.


def test_what_changes_after_dispatch_is_not_seen(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na = np.zeros(400_000)\nb = a[::2]\nc = [1]\ndef f(): return c")
    taken = notebook.taken("a, b, f()")
    notebook.cell("a[:] = 7\nc.append(2)")
    found = notebook.here(taken)
    assert (found["a"].sum(), found["b"].sum(), found["f"]()) == (0, 0, [1])


def test_what_a_task_writes_reaches_no_one_else(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na = np.zeros(400_000)")
    taken = notebook.taken("a")
    assert taken.buffers is not None
    one, two = notebook.here(taken), notebook.here(taken)
    one["a"][:] = 9
    assert (two["a"].sum(), notebook.here(taken)["a"].sum(), notebook.namespace["a"].sum()) == (0, 0, 0)


def test_restored_arrays_outlive_their_file(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na = np.arange(400_000.)")
    taken = notebook.taken("a")
    found = notebook.here(taken)
    drop(taken)
    drop(taken)  # a second time is nothing
    assert (found["a"] == notebook.namespace["a"]).all()
    with pytest.raises(RestoreError, match=GONE):
        notebook.here(taken)


def test_a_file_that_was_cut_is_gone(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na = np.arange(400_000.)")
    taken = notebook.taken("a")
    assert taken.buffers is not None
    os.truncate(taken.buffers, 4096)
    with pytest.raises(RestoreError, match=GONE):
        notebook.here(taken)


def test_what_can_not_be_made_there_is_one_clear_line(notebook: Notebook) -> None:
    notebook.cell(
        "def fail(): raise ValueError('not\\nhere')\nclass A:\n  def __reduce__(self): return fail, ()\na = A()"
    )
    with pytest.raises(RestoreError, match=r"can't be made here \(ValueError: not here\)"):
        notebook.here(notebook.taken("a"))


# The file.


def test_buffers_up_to_a_megabyte_together_stay_in_the_stream(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na, b = np.ones(60_000), np.ones(60_000)")
    assert notebook.taken("a, b").buffers is None


def test_each_buffer_begins_on_a_page(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na, b, s = np.ones(100_001), np.ones((333, 1001)), np.ones(3)")
    taken = notebook.taken("a, b, s")
    assert sorted(taken.sizes) == [100_001 * 8, 333 * 1001 * 8]
    assert [offset % 4096 for offset in offsets(taken.sizes)] == [0, 0]


def test_the_file_and_its_folder_are_private(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na = np.ones(400_000)")
    buffers = notebook.taken("a").buffers
    assert buffers is not None
    assert stat.S_IMODE(os.stat(buffers).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(Path(buffers).parent).st_mode) == 0o700


def test_without_room_in_shared_memory_the_disk_takes_it(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_room", lambda folder: 1 << 20)
    notebook.cell("import numpy as np\na = np.arange(400_000.)")
    taken = notebook.taken("a")
    assert taken.buffers is not None
    assert Path(taken.buffers).parent == notebook.folder / "captures"
    assert (notebook.here(taken)["a"] == notebook.namespace["a"]).all()


def test_a_folder_that_others_can_enter_is_not_used(notebook: Notebook) -> None:
    beside = shared_memory(notebook.folder / "captures")
    beside.mkdir()
    beside.chmod(0o755)
    notebook.cell("import numpy as np\na = np.ones(400_000)")
    buffers = notebook.taken("a").buffers
    assert buffers is not None
    assert Path(buffers).parent == notebook.folder / "captures"


def test_no_room_anywhere_is_an_error_that_says_so(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    notebook.cell("import numpy as np\na = np.ones(400_000)")
    monkeypatch.setattr(os, "pwrite", full)
    assert "no room to copy 0.00 GB of variables" in notebook.refusal("a")


def test_many_buffers_share_a_mapping(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\nm = [np.full(8192, i) for i in range(1100)]")
    found = notebook.here(notebook.taken("m"))["m"]
    assert [int(one[-1]) for one in found] == list(range(1100))
    found[3][:] = 0
    assert int(found[4][0]) == 4


def test_a_mapped_array_goes_as_an_array(notebook: Notebook) -> None:
    numpy.arange(400_000.0).tofile(notebook.folder / "data")
    notebook.namespace["m"] = numpy.memmap(notebook.folder / "data", mode="r")
    taken = notebook.taken("m")
    assert taken.sizes == (3_200_000,)
    assert (notebook.here(taken)["m"] == notebook.namespace["m"]).all()


@pytest.mark.parametrize("step", [1, 2], ids=["contiguous", "strided"])
def test_200_megabytes(notebook: Notebook, step: int, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.namespace["a"] = numpy.ones((step * 5_000, 5_000))[::step]
    begun = time.perf_counter()
    taken = notebook.taken("a")
    copied = time.perf_counter()
    found = notebook.here(taken)["a"]
    mapped = time.perf_counter()
    assert found.sum() == 25_000_000
    with capsys.disabled():
        print(f"\n200 MB: {0.2 / (copied - begun):.2f} GB/s out, mapped in {(mapped - copied) * 1e3:.2f} ms", end=" ")


def test_big_buffers_are_not_held_twice(notebook: Notebook) -> None:
    import tracemalloc

    notebook.namespace["a"] = numpy.ones((4_000, 5_000))[:, ::2]
    tracemalloc.start()
    try:
        notebook.taken("a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000  # half of the array


# What can't be copied.


def test_a_refusal_names_it_and_says_what_to_do(notebook: Notebook) -> None:
    notebook.namespace["conn"] = conn = sqlite3.connect(":memory:")
    assert notebook.refusal("conn.execute('x')") == (
        "cannot copy 'conn' (sqlite3.Connection: cannot pickle 'sqlite3.Connection' object): "
        "leave it out of the code, or dispatch with --no-share"
    )
    conn.close()


HIDDEN = {
    "in a function's globals": ("def fit(): return x", "fit()", "'x', used by fit()"),
    "behind two functions": (
        "def fit(): return x\ndef outer(): return fit()",
        "outer()",
        "'x', used by fit() in outer()",
    ),
    "in a closure": ("def make(x):\n  return lambda: x\nf = make(x)", "f()", "'x', used by f()"),
    "in a dictionary": ("d = {'k': [1, x]}", "d", "'d['k'][1]'"),
    "in an attribute": ("class A: pass\na = A()\na.x = x", "a", "'a.x'"),
    "in a method": ("class A:\n  def f(self): return x", "A()", "'x', used by"),
    "in a default": ("def f(y=x): pass", "f()", "'default 1 of f'"),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_refusal_says_where_it_hides(notebook: Notebook, where: str) -> None:
    cell, body, path = HIDDEN[where]
    notebook.namespace["x"] = threading.Lock()
    notebook.cell(cell)
    message = notebook.refusal(body)
    assert path in message
    assert "_thread.lock" in message


def test_all_culprits_are_named(notebook: Notebook) -> None:
    notebook.namespace.update(a=threading.Lock(), b=1, c=io.FileIO(os.open(os.devnull, os.O_RDONLY)))
    message = notebook.refusal("a, b, c")
    assert "'a' (" in message
    assert "'c' (_io.FileIO: an open file)" in message
    assert "'b'" not in message
    notebook.namespace["c"].close()


def uncopyable() -> Iterator[tuple[str, Any]]:
    with open(os.devnull) as text, open(os.devnull, "rb") as raw, tempfile.NamedTemporaryFile() as temporary:
        yield "a text file", text
        yield "a binary file", raw
        yield "a temporary file", temporary
    yield "stdout", sys.stdout
    yield "a generator", (i for i in [1])
    yield "a thread", threading.Thread()
    yield "a lock", threading.Lock()
    yield "an event", threading.Event()
    with socket.socket() as one:
        yield "a socket", one
    with subprocess.Popen(["true"]) as process:
        yield "a process", process
    yield "an asyncio lock", asyncio.Lock()
    loop = asyncio.new_event_loop()
    yield "a loop", loop
    yield "a future", loop.create_future()
    loop.close()
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    yield "a deep list", deep
    yield "a broken reduce", Broken(ValueError("first\nsecond"))
    yield "a reduce without memory", Broken(MemoryError())
    yield "a reduce that recurses", Broken(RecursionError())
    yield "a broken getattr", Nasty()


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


class Nasty:
    def __getattribute__(self, name: str) -> Any:
        raise OSError("leave me alone")


def test_what_makes_no_sense_elsewhere_is_refused(notebook: Notebook) -> None:
    for kind, value in uncopyable():
        notebook.namespace.clear()
        notebook.namespace["x"] = value
        message = notebook.refusal("x")
        assert message.startswith("cannot copy 'x"), kind
        assert message.endswith("leave it out of the code, or dispatch with --no-share"), kind


def test_the_shell_is_refused(notebook: Notebook) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    notebook.namespace["ip"] = InteractiveShell.__new__(InteractiveShell)
    assert "the notebook's shell" in notebook.refusal("ip.user_ns")


def test_copies_of_what_lives_in_memory_go(notebook: Notebook) -> None:
    notebook.namespace.update(b=io.BytesIO(b"x"), s=io.StringIO("y"), i=iter([1, 2]))
    found = notebook.here(notebook.taken("b, s, i"))
    assert (found["b"].read(), found["s"].read(), list(found["i"])) == (b"x", "y", [1, 2])


def test_what_the_body_may_bind_by_itself_is_skipped_silently(notebook: Notebook) -> None:
    notebook.namespace.update(conn=threading.Lock(), a=1)
    assert notebook.taken("if a: conn = 1\nconn").names == ("a",)
    assert notebook.take("for _ in []: conn = 1\nconn") is None


def test_a_refusal_leaves_no_file(notebook: Notebook) -> None:
    notebook.namespace.update(a=numpy.ones(400_000), b=threading.Lock())
    notebook.refusal("a, b")


def test_an_unpicklable_global_that_the_body_binds_anew_still_counts(notebook: Notebook) -> None:
    notebook.namespace["k"] = threading.Lock()
    notebook.cell("def f(): return k")
    assert "'k', used by f()" in notebook.refusal("k = 1\nf()")


# Speed.


def test_a_few_scalars(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.namespace.update(a=1, b="x", c=2.0)
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        notebook.taken("total = a + c\nprint(b, total)")
        times.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\nthree scalars: {sorted(times)[25] * 1e3:.3f} ms", end=" ")
