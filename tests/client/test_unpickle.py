"""What a pickle that a model's code may have made can do where it is loaded: make plain data, and nothing else."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import operator
import os
import pickle
import uuid
import zoneinfo
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy
import pytest

from jupyter_orchestra.unpickle import NotPlainError, loads_untrusted
from jupyter_orchestra.values import NotCopied, ShellResult

PLAIN = [
    None, True, 1, 2**80, 1.5, 1j, "text", b"bytes", bytearray(b"x"), ..., range(3), slice(1, 2),
    [1, (2, {3}), frozenset({4}), {"five": [6]}],
    collections.OrderedDict(a=1), collections.Counter("abca"), collections.deque([1, 2], 3),
    collections.defaultdict(list, a=[1]),
    datetime.date(2024, 1, 2), datetime.timedelta(1, 2, 3), datetime.time(1, 2),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), datetime.datetime(2024, 1, 2, tzinfo=zoneinfo.ZoneInfo("UTC")),
    decimal.Decimal("1.20"), fractions.Fraction(1, 3), uuid.UUID(int=5),
    Path("a/b"), PurePosixPath("/a"), PureWindowsPath("c:/a"),
]  # fmt: skip

ARRAYS = [
    numpy.arange(6.0).reshape(2, 3), numpy.arange(6).reshape(2, 3)[:, ::2], numpy.zeros((2, 2), order="F"),
    numpy.arange(3).astype(">f8"), numpy.array(["a", "bc"]), numpy.array(["2024-01-02"], "M8[D]"),
    numpy.array([(1, "x")], [("n", "i4"), ("s", "U3")]), numpy.array([{"a": 1}, [2]], dtype=object), numpy.array(5),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_plain_data_is_loaded(value: object, dumps: Any) -> None:
    loaded = loads_untrusted(dumps(value, protocol=5))
    assert (type(loaded), loaded) == (type(value), value)


@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_arrays_are_loaded(array: Any) -> None:
    loaded = loads_untrusted(cloudpickle.dumps({"kept": array})).pop("kept")
    assert (loaded.dtype, loaded.shape, loaded.tolist()) == (array.dtype, array.shape, array.tolist())


@pytest.mark.parametrize("scalar", [numpy.float64(1.5), numpy.bool_(True), numpy.datetime64("2024"), numpy.dtype("f4")])
def test_numbers_of_numpy_are_loaded(scalar: object) -> None:
    loaded = loads_untrusted(cloudpickle.dumps(scalar))
    assert (type(loaded), loaded) == (type(scalar), scalar)


def test_what_workers_make_is_loaded() -> None:
    shell = loads_untrusted(cloudpickle.dumps(ShellResult(3, "out", "err")))
    assert (shell, shell.stdout, shell.stderr) == (3, "out", "err")
    assert isinstance(shell, ShellResult)
    assert loads_untrusted(cloudpickle.dumps(NotCopied("generator", "none can be"))).why == "none can be"


class Trap:
    """Calls something as it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


class Mine:
    """A class of the task's."""


Mine.__module__ = "__main__"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (partial(print), "functools.partial"),
        (print, "builtins.print"),
        (operator.itemgetter(1), "operator.itemgetter"),
        (type(None), "builtins.type"),
        (Mine(), "a function or class"),
        (lambda: 1, "a function or class"),
        (numpy.random.default_rng(1), r"numpy\.random"),
        (Trap(eval, "1"), "builtins.eval"),
        (Trap(__import__, "os"), "builtins.__import__"),
        (Trap(getattr, 1, "real"), "an attribute of something"),
        (Trap(getattr, zoneinfo.ZoneInfo, "__init__"), "an attribute of something"),
        ([1, {"deep": Trap(os.system, "true")}], r"posix\.system"),
    ],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_anything_else_is_named_and_not_loaded(value: object, named: str) -> None:
    with pytest.raises(NotPlainError, match=named):
        loads_untrusted(cloudpickle.dumps(value))


def test_a_name_can_not_write_to_the_terminal() -> None:
    with pytest.raises(NotPlainError, match=r"^os\.\?\[31msystem$"):
        loads_untrusted(b"cos\n\x1b[31msystem\n.")


@pytest.mark.parametrize("made", [[1], [ShellResult(1)]])  # one goes to the quick loader, the other to the slow one
def test_a_trap_does_nothing(tmp_path: Path, made: list[object]) -> None:
    sprung = tmp_path / "sprung"
    data = cloudpickle.dumps([*made, Trap(os.system, f"touch {sprung}")])
    with pytest.raises(NotPlainError):
        loads_untrusted(data)
    assert not sprung.exists()
    pickle.loads(data)
    assert sprung.exists()


def build(module: str, name: str, **attributes: object) -> bytes:
    """A pickle that sets attributes of something that it names."""
    state = pickle.dumps((None, attributes), protocol=2)[2:-1]
    return f"c{module}\n{name}\n".encode() + state + pickle.BUILD + pickle.STOP


def test_no_class_and_no_function_is_changed() -> None:
    with pytest.raises(NotPlainError, match="a change of a class"):
        loads_untrusted(build("jupyter_orchestra.values", "ShellResult", stdout="changed"))
    assert not hasattr(ShellResult, "stdout")
    with pytest.raises(TypeError):
        loads_untrusted(build("numpy", "ndarray", tag="changed"))
    with pytest.raises(TypeError):
        loads_untrusted(build("numpy._core.numeric", "_frombuffer", tag="changed"))
    assert not hasattr(numpy._core.numeric._frombuffer, "tag")  # type: ignore[attr-defined]


def test_a_broken_pickle_is_an_error() -> None:
    with pytest.raises(Exception, match="truncated"):
        loads_untrusted(pickle.dumps([1, 2, 3])[:-3])


def test_frames_are_loaded() -> None:
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2024-01-01", periods=3, freq="D")
    frame = pandas.DataFrame({"n": [1, 2, 3], "f": [1.0, 2.0, None], "s": ["x", "y", None], "day": days})
    frames = [
        frame, frame.set_index("day"), frame.set_index(["n", "s"]), frame.groupby("n").agg({"f": ["mean", "sum"]}),
        frame.describe(), frame.astype({"s": "category", "n": "Int64"}), frame.assign(o=[{1: 2}, [3], None]),
        frame.assign(day=days.tz_localize("Europe/Paris")), pandas.DataFrame(numpy.zeros((2, 2))),
    ]  # fmt: skip
    for made in frames:
        pandas.testing.assert_frame_equal(loads_untrusted(cloudpickle.dumps(made)), made)
    for series in (frame["n"], frame["s"], frame["s"].astype("string"), pandas.cut(frame["n"], 2), frame["f"] > 1):
        pandas.testing.assert_series_equal(loads_untrusted(cloudpickle.dumps(series)), series)
    for index in (days, frame.index, pandas.Index(["a", "b"]), pandas.period_range("2024-01", periods=2, freq="M")):
        pandas.testing.assert_index_equal(loads_untrusted(cloudpickle.dumps(index)), index)
    for scalar in (days[0], days[0].tz_localize("UTC"), days[1] - days[0], pandas.Interval(1, 2)):
        assert loads_untrusted(cloudpickle.dumps(scalar)) == scalar
    assert [*map(id, loads_untrusted(cloudpickle.dumps([pandas.NA, pandas.NaT])))] == [id(pandas.NA), id(pandas.NaT)]


def test_an_array_of_arrow_is_checked() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    array = pyarrow.array(["a", None, "long"])
    assert loads_untrusted(cloudpickle.dumps(array)) == array
    make, (parts,) = array.__reduce__()
    text, length, nulls, offset, _, *rest = parts
    far = pyarrow.py_buffer(numpy.array([0, 1, 10**9, 2 * 10**9], "i4").tobytes())
    outside = (text, length, nulls, offset, [None, far, pyarrow.py_buffer(b"a")], *rest)
    with pytest.raises(pyarrow.ArrowInvalid):
        loads_untrusted(cloudpickle.dumps(Trap(make, outside)))
