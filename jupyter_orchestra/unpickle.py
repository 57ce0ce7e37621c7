"""Owns how a pickle is loaded that comes from where code ran which a model wrote; knows no task and no journal.

A pickle names what is called to make its value. Here these are the makers of plain data alone. That keeps code out;
it does not keep out a value that is too large or malformed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, ClassVar, Final

_ALLOWED: Final = {
    "builtins": "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list range set slice"
    " str tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "pathlib": "PosixPath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "PosixPath PurePosixPath PureWindowsPath WindowsPath",
    "pytz": "_UTC _p",
    "uuid": "SafeUUID UUID",
    "zoneinfo": "ZoneInfo",
    "jupyter_orchestra.values": "NotCopied ShellResult",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    # since pandas 3
    "pandas": "BooleanDtype Categorical CategoricalDtype CategoricalIndex DataFrame DatetimeIndex DatetimeTZDtype"
    " Float32Dtype Float64Dtype Index Int8Dtype Int16Dtype Int32Dtype Int64Dtype Interval IntervalDtype IntervalIndex"
    " MultiIndex NA Period PeriodDtype PeriodIndex RangeIndex Series SparseDtype StringDtype TimedeltaIndex UInt8Dtype"
    " UInt16Dtype UInt32Dtype UInt64Dtype",
    "pandas.arrays": "ArrowStringArray BooleanArray DatetimeArray FloatingArray IntegerArray IntervalArray PeriodArray"
    " SparseArray StringArray TimedeltaArray",
    # before
    "pandas._libs.interval": "Interval",
    "pandas._libs.missing": "NA",
    "pandas._libs.tslibs.period": "Period",
    "pandas.core.arrays.boolean": "BooleanArray BooleanDtype",
    "pandas.core.arrays.categorical": "Categorical",
    "pandas.core.arrays.datetimes": "DatetimeArray",
    "pandas.core.arrays.floating": "Float32Dtype Float64Dtype FloatingArray",
    "pandas.core.arrays.integer": "Int8Dtype Int16Dtype Int32Dtype Int64Dtype IntegerArray UInt8Dtype UInt16Dtype"
    " UInt32Dtype UInt64Dtype",
    "pandas.core.arrays.interval": "IntervalArray",
    "pandas.core.arrays.period": "PeriodArray",
    "pandas.core.arrays.sparse.array": "SparseArray",
    "pandas.core.arrays.string_": "StringArray StringDtype",
    "pandas.core.arrays.string_arrow": "ArrowStringArray",
    "pandas.core.arrays.timedeltas": "TimedeltaArray",
    "pandas.core.dtypes.dtypes": "CategoricalDtype DatetimeTZDtype IntervalDtype PeriodDtype SparseDtype",
    "pandas.core.frame": "DataFrame",
    "pandas.core.indexes.category": "CategoricalIndex",
    "pandas.core.indexes.multi": "MultiIndex",
    "pandas.core.indexes.period": "PeriodIndex",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.series": "Series",
    # in both
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas._libs.internals": "_unpickle_block",
    "pandas._libs.sparse": "IntIndex",
    "pandas._libs.tslibs.nattype": "__nat_unpickle _nat_unpickle",
    "pandas._libs.tslibs.offsets": "BusinessDay BusinessMonthBegin BusinessMonthEnd Day Hour Micro Milli Minute"
    " MonthBegin MonthEnd Nano QuarterBegin QuarterEnd Second Week YearBegin YearEnd",
    "pandas._libs.tslibs.timedeltas": "_timedelta_unpickle",
    "pandas._libs.tslibs.timestamps": "_unpickle_timestamp",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.datetimes": "DatetimeIndex _new_DatetimeIndex",
    "pandas.core.indexes.interval": "IntervalIndex _new_IntervalIndex",
    "pandas.core.indexes.timedeltas": "TimedeltaIndex _new_TimedeltaIndex",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pyarrow.lib": "py_buffer type_for_alias",
}
_NAMES: Final = frozenset((module, name) for module, names in _ALLOWED.items() for name in names.split())

_HEAP_TYPE: Final = 1 << 9  # flags of a type: its attributes may be set ...
_IMMUTABLE_TYPE: Final = 1 << 8  # ... unless this one says otherwise


class NotPlainError(ValueError):
    """A pickle makes more than plain data; the message names what, to stand after "it holds"."""


def loads_untrusted(data: bytes) -> Any:
    """The value of a pickle that a model's code may have made. No code that it brings or names is run.

    Raises
    ------
    NotPlainError
        When it holds something other than plain data.
    Exception
        Whatever a broken pickle causes.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except _Changeable:
        return _SlowUnpickler(io.BytesIO(data)).load()


class _Changeable(Exception):
    """A class whose attributes this pickle could set while it is loaded."""


class _Unpickler(pickle.Unpickler):
    """The quick one: in C, for classes that nobody can change."""

    def find_class(self, module: str, name: str) -> Any:
        found = _find(module, name)
        if isinstance(found, type) and found.__flags__ & _HEAP_TYPE and not found.__flags__ & _IMMUTABLE_TYPE:
            raise _Changeable
        return found


class _SlowUnpickler(pickle._Unpickler):
    """The one in Python, which sets attributes of values alone and never of a class."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        return _find(module, name)

    def load_build(self) -> None:
        if isinstance(self.stack[-2], type):  # type: ignore[attr-defined]
            raise NotPlainError("a change of a class")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = load_build


def _find(module: str, name: str) -> Any:
    """What makes plain data, by its name. A function comes wrapped, so that nobody can change the function itself."""
    if (module, name) in _STAND_INS:
        return partial(_STAND_INS[module, name])
    if (module, name) not in _NAMES:
        what = "a function or class" if module.startswith("cloudpickle") else f"{_readable(module)}.{_readable(name)}"
        raise NotPlainError(what)
    found = getattr(import_module(module), name)
    return partial(found) if callable(found) and not isinstance(found, type) else found


def _readable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:80])


def _attribute(owner: object, name: str) -> Any:
    """In the place of getattr, by which a time zone is made."""
    from zoneinfo import ZoneInfo

    if owner is not ZoneInfo or name != "_unpickle":
        raise NotPlainError("an attribute of something")
    return ZoneInfo._unpickle  # type: ignore[attr-defined]


def _arrow_array(data: tuple[Any, ...]) -> Any:
    """In the place of what makes an array of pyarrow and believes every number in it."""
    from pyarrow.lib import _restore_array  # type: ignore[import-untyped]

    array = _restore_array(data)
    array.validate(full=True)
    return array


_STAND_INS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("builtins", "getattr"): _attribute,
    ("pyarrow.lib", "_restore_array"): _arrow_array,
}
