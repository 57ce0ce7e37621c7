"""Owns which names a body of Python takes from the namespace around it; knows neither the notebook nor its values.

It walks the syntax tree in the order in which it runs and keeps two sets: names that the body has *surely* settled by
now (bound or deleted on every path, so that what the namespace held no longer matters) and those settled on *some*
path. A function's body runs later: what it reads is held against what was settled when it was defined.

Longer than the other modules on purpose: one visitor with a short method for each kind of node, which belong together.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Key = tuple[int, str]  # (number of the module's or class's scope, name)
Parse = Callable[[str], ast.Module]

MODULE = 0
_LAZY_ANNOTATIONS = sys.version_info >= (3, 14)
# Context managers that swallow exceptions leave what their body binds in doubt; others let the exception end the body.
_SWALLOWS = frozenset({"suppress", "raises", "assertRaises", "ExitStack", "AsyncExitStack"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SHELL = frozenset({"system", "getoutput", "run_line_magic", "run_cell_magic"})
_PYTHON_MAGICS = frozenset({"time", "timeit", "prun", "memit", "lprun", "mprun"})
_HELP_MAGICS = frozenset({"pinfo", "pinfo2", "psearch"})
_VALUE_OPTIONS = frozenset("nrpvlsTDfm")  # options of those magics that are followed by a value


@dataclass
class _Flow:
    """What is settled at one point of the body."""

    sure: set[Key] = field(default_factory=set)
    some: set[Key] = field(default_factory=set)
    star: bool = False  # a star import may have bound anything
    dead: bool = False  # no path comes here

    def copy(self) -> _Flow:
        return _Flow(set(self.sure), set(self.some), self.star, self.dead)


@dataclass
class _Scope:
    kind: str  # module, class, function
    number: int
    parent: _Scope | None = None
    bound: frozenset[str] = frozenset()
    globals: frozenset[str] = frozenset()
    nonlocals: frozenset[str] = frozenset()
    owner: str = ""  # name of the class around it, for names with two leading underscores
    comprehension: bool = False

    def local(self, name: str) -> bool:
        return name in self.bound and name not in self.globals and name not in self.nonlocals

    def find(self, name: str) -> _Scope | None:
        """The scope of the module or class that holds `name`; None where a function does."""
        here: _Scope = self
        if here.kind == "class" and here.local(name):
            return here
        while here.parent is not None:
            if name in here.globals:
                break
            if here.kind == "function" and here.local(name):
                return None
            here = here.parent
        while here.parent is not None:
            here = here.parent
        return here


class _Binder:
    """Collects what a function or class binds, without going into the scopes inside it."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()

    def add(self, node: ast.AST, comprehension: bool = False) -> None:
        """Add what `node` binds; in a comprehension only `:=` binds outwards."""
        inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.Name):
            if not comprehension and not isinstance(node.ctx, ast.Load):
                self.bound.add(node.id)
        elif isinstance(node, ast.NamedExpr):
            self.bound.add(node.target.id)
            inner = [node.value]
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            self.bound.add(node.name)
            inner = _outside(node)
        elif isinstance(node, ast.Lambda):
            inner = _defaults(node.args)
        elif isinstance(node, _COMPREHENSIONS):
            comprehension = True
        elif isinstance(node, ast.Global):
            self.globals.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            self.nonlocals.update(node.names)
        else:
            self.bound.update(_named(node))
        for child in inner:
            self.add(child, comprehension)


def _named(node: ast.AST) -> Iterator[str]:
    """The names that a node binds by a plain string."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        if node.name is not None:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest is not None:
        yield node.rest


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return found + [one for one in (arguments.vararg, arguments.kwarg) if one is not None]


def _outside(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    """The expressions of a definition that run in the scope around it (annotations aside)."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
    return [*node.decorator_list, *_defaults(node.args)]


def _type_parameters(node: ast.AST) -> Sequence[ast.AST]:
    return getattr(node, "type_params", ())


class Walk:
    """One walk over one body. ``needed`` and ``maybe`` are the answer."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._needed: set[str] = set()
        self._soft: set[str] = set()
        self._later: set[tuple[str, int]] = set()  # (name, number of the outermost function that reads it)
        self._binders: dict[str, set[int]] = {}  # name: outermost functions that bind it; MODULE: the body itself
        self._star = False
        self._flow = _Flow()
        self._scope = _Scope("module", MODULE)
        self._numbers = 0
        self._function = MODULE  # outermost function of where we are
        self._breaks: list[list[_Flow]] = []
        self._only_soft = False
        self._future = False

    def body(self, tree: ast.Module) -> None:
        """Walk the whole body."""
        self._future = any(
            isinstance(node, ast.ImportFrom)
            and node.module == "__future__"
            and any(alias.name == "annotations" for alias in node.names)
            for node in tree.body
        )
        self._all(tree.body)

    @property
    def needed(self) -> frozenset[str]:
        return frozenset(self._needed | {name for name, reader in self._later if not self._elsewhere(name, reader)})

    @property
    def maybe(self) -> frozenset[str]:
        later = {name for name, reader in self._later if self._elsewhere(name, reader)}
        return frozenset(self._soft | later) - self.needed

    def _elsewhere(self, name: str, reader: int) -> bool:
        """True when something besides the function that reads `name` may bind it."""
        return self._star or bool(self._binders.get(name, set()) - {reader})

    # What a name does.

    def _read(self, name: str) -> None:
        scope = self._scope.find(name)
        if scope is None or name == "__class__":
            return
        doubtful = self._only_soft
        if scope.kind == "class":
            if (scope.number, name) in self._flow.sure:
                return
            doubtful = doubtful or (scope.number, name) in self._flow.some
        name = self._mangled(name)
        key = (MODULE, name)
        if key in self._flow.sure:
            return
        if doubtful or self._flow.star or key in self._flow.some:
            self._soft.add(name)
        elif self._function:
            self._later.add((name, self._function))
        else:
            self._needed.add(name)

    def _bind(self, name: str) -> None:
        here = self._scope
        while here.comprehension and here.parent is not None and not here.local(name):
            here = here.parent
        scope = here.find(name)
        if scope is None:
            return
        if scope.kind == "module":
            name = self._mangled(name)
            self._binders.setdefault(name, set()).add(self._function)
        key = (scope.number, name)
        self._flow.sure.add(key)
        self._flow.some.add(key)

    def _mangled(self, name: str) -> str:
        owner = self._scope.owner.lstrip("_")
        return f"_{owner}{name}" if owner and name.startswith("__") and not name.endswith("__") else name

    # Paths.

    def _join(self, *ends: _Flow) -> None:
        """Go on from where any of `ends` came to."""
        alive = [end for end in ends if not end.dead] or list(ends)
        self._flow = _Flow(
            set.intersection(*(end.sure for end in alive)),
            set.union(*(end.some for end in ends)),
            any(end.star for end in ends),
            all(end.dead for end in ends),
        )

    @contextmanager
    def _perhaps(self) -> Iterator[None]:
        """What runs in here may not run, or only in part."""
        before = self._flow.copy()
        yield
        self._flow.dead = False
        self._join(before, self._flow)

    @contextmanager
    def _inside(self, scope: _Scope) -> Iterator[None]:
        outer, self._scope = self._scope, scope
        try:
            yield
        finally:
            self._scope = outer

    @contextmanager
    def _deferred(self) -> Iterator[None]:
        """What runs in here runs later, when a function is called."""
        flow, function, breaks = self._flow, self._function, self._breaks
        self._flow, self._breaks = flow.copy(), []
        self._flow.dead = False
        self._function = function or self._number()
        try:
            yield
        finally:
            flow.some |= {key for key in self._flow.some if key[0] == MODULE}
            self._flow, self._function, self._breaks = flow, function, breaks

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _new(self, kind: str, nodes: Iterable[ast.AST], bound: Iterable[str] = (), owner: str = "") -> _Scope:
        binder = _Binder()
        for node in nodes:
            binder.add(node)
        names = frozenset(binder.bound.union(bound))
        outside, inner = frozenset(binder.globals), frozenset(binder.nonlocals)
        return _Scope(kind, self._number(), self._scope, names, outside, inner, owner or self._scope.owner)

    # Statements and expressions.

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self._visit(node)

    def _visit(self, node: ast.AST) -> None:
        visit = getattr(self, f"_visit_{type(node).__name__}", None)
        if visit is None:
            self._all(ast.iter_child_nodes(node))
        else:
            visit(node)

    def _visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Store):
            self._read(node.id)
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id)  # a deleted name is settled as well: what the namespace held is gone
        if isinstance(node.ctx, ast.Del) and self._scope.kind == "class":  # but a class then sees what is around it
            self._flow.sure.discard((self._scope.number, node.id))

    def _visit_Assign(self, node: ast.Assign) -> None:
        self._visit(node.value)
        self._all(node.targets)

    def _visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
        self._visit(node.value)
        self._visit(node.target)

    def _visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._visit(node.value)
            self._visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self._visit(node.target)
        if self._scope.kind != "function":
            self._annotation(node.annotation)

    def _visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._visit(node.value)
        self._bind(node.target.id)

    def _visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for name in _named(node):
            if name == "*":
                self._flow.star = self._star = True
            else:
                self._bind(name)

    _visit_ImportFrom = _visit_Import

    def _visit_Raise(self, node: ast.AST) -> None:
        self._all(ast.iter_child_nodes(node))
        self._flow.dead = True

    _visit_Return = _visit_Raise
    _visit_Continue = _visit_Raise

    def _visit_Break(self, node: ast.Break) -> None:
        if self._breaks:
            self._breaks[-1].append(self._flow.copy())
        self._flow.dead = True

    def _visit_Assert(self, node: ast.Assert) -> None:
        self._visit(node.test)
        if node.msg is not None:
            with self._perhaps():
                self._visit(node.msg)

    def _visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._visit(node.values[0])
        with self._perhaps():
            self._all(node.values[1:])

    def _visit_Compare(self, node: ast.Compare) -> None:
        self._visit(node.left)
        self._visit(node.comparators[0])
        with self._perhaps():
            self._all(node.comparators[1:])

    def _visit_If(self, node: ast.If) -> None:
        self._branch(node.test, node.body, node.orelse)

    def _visit_IfExp(self, node: ast.IfExp) -> None:
        self._branch(node.test, [node.body], [node.orelse])

    def _branch(self, test: ast.expr, body: Sequence[ast.AST], orelse: Sequence[ast.AST]) -> None:
        self._visit(test)
        other = self._flow.copy()
        self._all(body)
        end, self._flow = self._flow, other
        self._all(orelse)
        self._join(end, self._flow)

    def _visit_While(self, node: ast.While) -> None:
        self._visit(node.test)
        forever = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self._loop(None, node.body, node.orelse, forever)

    def _visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._visit(node.iter)
        self._loop(node.target, node.body, node.orelse)

    _visit_AsyncFor = _visit_For

    def _loop(
        self, target: ast.expr | None, body: list[ast.stmt], orelse: list[ast.stmt], forever: bool = False
    ) -> None:
        """The first round decides what is read: later ones have more settled."""
        exit_ = self._flow.copy()
        self._breaks.append([])
        if target is not None:
            self._visit(target)
        self._all(body)
        exit_.some |= self._flow.some
        exit_.star |= self._flow.star
        exit_.dead |= forever
        breaks = self._breaks.pop()
        self._flow = exit_
        self._all(orelse)
        self._join(self._flow, *breaks)

    def _visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        swallows = False
        for item in node.items:
            self._visit(item.context_expr)
            if item.optional_vars is not None:
                self._visit(item.optional_vars)
            call = item.context_expr.func if isinstance(item.context_expr, ast.Call) else item.context_expr
            swallows |= getattr(call, "attr", getattr(call, "id", "")) in _SWALLOWS
        if swallows:
            with self._perhaps():
                self._all(node.body)
        else:
            self._all(node.body)

    _visit_AsyncWith = _visit_With

    def _visit_Try(self, node: ast.Try) -> None:
        before = self._flow.copy()
        self._all(node.body)
        caught = before.copy()  # the body may have come to any point
        caught.some |= self._flow.some
        caught.star |= self._flow.star
        self._all(node.orelse)
        ends = [self._flow]
        for handler in node.handlers:
            self._flow = caught.copy()
            self._visit(handler)
            ends.append(self._flow)
            caught.some |= self._flow.some
        self._join(*ends)
        if node.finalbody:
            self._finally(before, node.finalbody)

    _visit_TryStar = _visit_Try

    def _finally(self, before: _Flow, body: list[ast.stmt]) -> None:
        end = self._flow
        self._flow = before.copy()
        self._flow.some |= end.some
        self._flow.star |= end.star
        self._all(body)
        self._flow.sure |= end.sure
        self._flow.dead |= end.dead

    def _visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self._visit(node.type)
        if node.name is not None:
            self._bind(node.name)
        self._all(node.body)

    def _visit_Match(self, node: ast.Match) -> None:
        self._visit(node.subject)
        rest, ends = self._flow, []
        for case in node.cases:
            self._flow = rest.copy()
            self._visit(case.pattern)
            if case.guard is not None:
                self._visit(case.guard)
            rest.some |= self._flow.some
            self._all(case.body)
            ends.append(self._flow)
            rest.dead |= case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None
        self._join(*ends, rest)

    def _pattern(self, node: ast.AST) -> None:
        self._all(ast.iter_child_nodes(node))
        for name in _named(node):
            self._bind(name)

    _visit_MatchAs = _visit_MatchStar = _visit_MatchMapping = _pattern

    # Scopes.

    def _visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all(_outside(node))
        if not node.decorator_list:
            self._bind(node.name)  # before its body: whoever calls it by its name finds it bound
        with self._generic(node):
            for parameter in _parameters(node.args):
                if parameter.annotation is not None:
                    self._annotation(parameter.annotation)
            if node.returns is not None:
                self._annotation(node.returns)
            names = [parameter.arg for parameter in _parameters(node.args)]
            with self._deferred(), self._inside(self._new("function", node.body, names)):
                self._all(node.body)
        if node.decorator_list:
            self._bind(node.name)

    _visit_AsyncFunctionDef = _visit_FunctionDef

    def _visit_Lambda(self, node: ast.Lambda) -> None:
        self._all(_defaults(node.args))
        names = [parameter.arg for parameter in _parameters(node.args)]
        with self._deferred(), self._inside(self._new("function", [node.body], names)):
            self._visit(node.body)

    def _visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(node.decorator_list)
        with self._generic(node):
            self._all(_outside(node)[len(node.decorator_list) :])
            scope = self._new("class", node.body, ("__module__", "__qualname__"), node.name)
            with self._inside(scope):
                self._bind("__module__")
                self._bind("__qualname__")
                self._all(node.body)
        self._bind(node.name)

    @contextmanager
    def _generic(self, node: ast.AST) -> Iterator[None]:
        """The scope of a definition's type parameters, where it has some."""
        parameters = _type_parameters(node)
        if not parameters:
            yield
            return
        with self._inside(self._new("function", (), [str(getattr(one, "name", "")) for one in parameters])):
            with self._deferred():
                self._all(parameters)
            yield

    def _visit_TypeAlias(self, node: ast.AST) -> None:
        name: ast.AST = getattr(node, "name")  # noqa: B009  (no ast.TypeAlias before Python 3.12)
        self._visit(name)
        with self._generic(node), self._deferred():
            self._visit(getattr(node, "value"))  # noqa: B009

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        first = node.generators[0]
        self._visit(first.iter)
        targets = _Binder()
        for generator in node.generators:
            targets.add(generator.target)
        scope = _Scope(
            "function",
            self._number(),
            self._scope,
            frozenset(targets.bound),
            owner=self._scope.owner,
            comprehension=True,
        )
        with self._inside(scope), self._perhaps():
            for generator in node.generators:
                if generator is not first:
                    self._visit(generator.iter)
                self._visit(generator.target)
                self._all(generator.ifs)
            self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    _visit_ListComp = _visit_SetComp = _visit_DictComp = _visit_GeneratorExp = _comprehension

    def _annotation(self, node: ast.expr) -> None:
        if self._future:
            with self._softly():
                self._visit(node)
        elif _LAZY_ANNOTATIONS:
            with self._deferred():
                self._visit(node)
        else:
            self._visit(node)

    @contextmanager
    def _softly(self) -> Iterator[None]:
        """What is read in here is good to have, not more."""
        before, self._only_soft = self._only_soft, True
        try:
            yield
        finally:
            self._only_soft = before

    # IPython's syntax, which its transformer has turned into calls of the shell.

    def _visit_Call(self, node: ast.Call) -> None:
        self._all(ast.iter_child_nodes(node))
        function = node.func
        if not (isinstance(function, ast.Attribute) and function.attr in _SHELL and _is_shell(function.value)):
            return
        texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if function.attr in ("system", "getoutput"):
            self._expanded("".join(texts))
        elif function.attr == "run_line_magic" and len(texts) == 2:
            self._line_magic(texts[0], texts[1])
        elif function.attr == "run_cell_magic" and len(texts) == 3:
            self._cell_magic(*texts)

    def _line_magic(self, name: str, line: str) -> None:
        if name in _PYTHON_MAGICS:
            self._python(_without_options(line), own=name == "timeit")
        elif name in _HELP_MAGICS:
            target = line.partition(".")[0].partition("[")[0].strip()
            if target.isidentifier():
                with self._softly():
                    self._read(target)
        else:
            self._expanded(line)

    def _cell_magic(self, name: str, line: str, body: str) -> None:
        if name == "capture":
            self._python(body)
            words = [word for word in line.split() if not word.startswith("-")]
            if words and words[0].isidentifier():
                self._bind(words[0])
        elif name in _PYTHON_MAGICS:
            self._python(f"{_without_options(line)}\n{body}", own=name == "timeit")
        else:
            self._expanded(line)
            with self._softly():
                self._expanded(body)

    def _python(self, text: str, own: bool = False) -> None:
        """Python inside a magic; `own`: it runs in a function of its own."""
        try:
            tree = self._parse(text)
        except (SyntaxError, ValueError):
            return
        if own:
            with self._inside(self._new("function", tree.body)), self._perhaps():
                self._all(tree.body)
        else:
            self._all(tree.body)

    def _expanded(self, text: str) -> None:
        """Read what IPython puts in for ``{expression}`` and ``$name``."""
        if "{" not in text and "$" not in text:
            return
        from IPython.utils.text import DollarFormatter

        try:
            fields = [(field_name, spec) for _, field_name, spec, _ in DollarFormatter().parse(text) if field_name]
        except ValueError:
            return  # so IPython leaves the text as it is
        for name, spec in fields:
            for source in (f"{name}:{spec}", name) if spec else (name,):
                try:
                    expression = ast.parse(source.strip(), mode="eval")
                except (SyntaxError, ValueError):
                    continue
                self._visit(expression)
                break


def _is_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def _without_options(line: str) -> str:
    """The line after the options of a magic such as ``%timeit -n 10 -r3 f(x)``."""
    rest = line.strip()
    while len(rest) > 1 and rest[0] == "-" and rest[1].isalpha():
        word, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        if len(word) == 2 and word[1] in _VALUE_OPTIONS:
            rest = rest.partition(" ")[2].lstrip()
    return rest
