"""Finds picks that depend on the order of a set, as far as that can be seen without running anything.

A set's order follows from hashes, and those of strings and bytes differ from run to run; a decision that iterates
one cannot be replayed. Known to be sets are: set displays and comprehensions, calls of set() and frozenset(), names
bound to those or annotated as sets in the same function, and attributes that the project annotates as sets only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from tests.architecture.sources import Source

_ORDERLESS = {"sorted", "set", "frozenset", "any", "all", "sum", "len", "bool"}
"""What may be done with the elements of a set in any order."""

_PICKS = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "next", "dict", "deque"}
_KINDS = {"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _is_set_annotation(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr in _KINDS
    return isinstance(node, ast.Name) and node.id in _KINDS


def set_attributes(sources: Iterable[Source]) -> frozenset[str]:
    """Names of attributes that are sets wherever they are annotated."""
    sets: set[str] = set()
    others: set[str] = set()
    for source in sources:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.AnnAssign):
                continue
            name = node.target.attr if isinstance(node.target, ast.Attribute) else getattr(node.target, "id", "")
            (sets if _is_set_annotation(node.annotation) else others).add(name)
    return frozenset(sets - others)


class _Picks(ast.NodeVisitor):
    def __init__(self, attributes: frozenset[str]) -> None:
        self.attributes = attributes
        self.names: set[str] = set()
        self.found: list[tuple[int, str]] = []
        self._allowed: set[ast.AST] = set()

    def is_set(self, node: ast.AST) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Call(func=ast.Name(id="set" | "frozenset")):
                return True
            case ast.Call(func=ast.Attribute(attr="union" | "intersection" | "difference" | "copy", value=value)):
                return self.is_set(value)
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
                return self.is_set(left) or self.is_set(right)
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(attr=name):
                return name in self.attributes
        return False

    def report(self, node: ast.expr, what: str) -> None:
        self.found.append((node.lineno, f"{what} over the set {ast.unparse(node)!r}"))

    def visit_For(self, node: ast.For) -> None:
        if self.is_set(node.iter):
            self.report(node.iter, "for")
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        if self.is_set(node.value):
            self.report(node.value, "unpacking")
        self.generic_visit(node)

    def visit_comprehension_of(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        if node not in self._allowed:
            for generator in node.generators:
                if self.is_set(generator.iter):
                    self.report(generator.iter, "comprehension")
        self.generic_visit(node)

    visit_ListComp = visit_GeneratorExp = visit_DictComp = visit_comprehension_of

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Name(id=name) if name in _ORDERLESS:
                self._allowed.update(node.args)
            case ast.Name(id=name) if name in _PICKS or (name in ("min", "max") and node.keywords):
                for argument in node.args:
                    if self.is_set(argument):
                        self.report(argument, name)
            case ast.Attribute(attr="pop", value=value) if not node.args and self.is_set(value):
                self.report(value, "pop")
            case ast.Attribute(attr="join" | "extend" | "fromkeys" | "update" | "sample" | "choice" as name):
                for argument in node.args:
                    if self.is_set(argument) and not (name == "update" and self.is_set(node.func.value)):
                        self.report(argument, name)
        self.generic_visit(node)


def _set_names(function: ast.AST, picks: _Picks) -> set[str]:
    """Names that a function (or module) binds to sets."""
    names: set[str] = set()
    if isinstance(function, Function):
        given = function.args
        for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs):
            if _is_set_annotation(argument.annotation):
                names.add(argument.arg)
    for node in ast.walk(function):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if _is_set_annotation(annotation):
                names.add(name)
            case ast.Assign(targets=targets, value=value) if picks.is_set(value):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def picks_from_sets(source: Source, attributes: frozenset[str]) -> Iterator[str]:
    """Where `source` depends on the order of a set: `file:line what`."""
    functions = [node for node in ast.walk(source.tree) if isinstance(node, Function)]
    inner = {child for function in functions for child in ast.walk(function) if child is not function}
    seen: set[tuple[int, str]] = set()
    for scope in (source.tree, *(function for function in functions if function not in inner)):
        picks = _Picks(attributes)
        if scope is not source.tree:
            picks.names = _set_names(scope, picks)
        picks.visit(scope)
        seen.update(picks.found)
    for line, what in sorted(seen):
        yield f"{source.where}:{line} {what}"
