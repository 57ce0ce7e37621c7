"""Owns what happens to tqdm in a spawned kernel: its bars drive the progress and stay text; never imports it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..progress import Sink


class _Patched(Loader):
    """A loader that changes its module right after it was executed."""

    def __init__(self, loader: Loader, change: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._change = change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class TqdmHook(MetaPathFinder):
    """Waits on sys.meta_path for tqdm to be imported."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._changes = {"tqdm.std": self._change_std, "tqdm.notebook": _change_notebook}

    def install(self) -> None:
        """Begin to wait."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._changes:
            return None
        change = self._changes.pop(name)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patched(spec.loader, change)
        return spec

    def _change_std(self, module: ModuleType) -> None:
        bar: Any = module.tqdm
        bar.monitor_interval = 0  # its thread would outlive the task
        display, sink = bar.display, self._sink

        def display_and_report(self: Any, msg: Any = None, pos: Any = None) -> Any:
            if self.pos:  # an inner bar: without a terminal's cursor each of its redraws would be one more line
                self.leave = False
                return True
            if self.total:
                sink(min(max(self.n / self.total, 0.0), 1.0), str(self.desc or "").rstrip(": "))
            return display(self, msg, pos)

        bar.display = display_and_report
        bar.moveto = lambda self, n: None


def _change_notebook(module: ModuleType) -> None:
    std = sys.modules["tqdm.std"]

    class tqdm_notebook(std.tqdm):  # type: ignore[name-defined,misc]
        """A text bar that takes what the notebook's bar takes: widgets of a background kernel reach no page."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("display", None)
            kwargs["gui"] = False
            super().__init__(*args, **kwargs)

    def tnrange(*args: Any, **kwargs: Any) -> Any:
        return tqdm_notebook(range(*args), **kwargs)

    for name, thing in {
        "tqdm_notebook": tqdm_notebook,
        "tqdm": tqdm_notebook,
        "tnrange": tnrange,
        "trange": tnrange,
        "IProgress": object,  # without one, tqdm.auto warns
    }.items():
        setattr(module, name, thing)
