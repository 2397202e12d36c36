"""House rules that no linter knows: sizes, names, what may be called where; each is also seen to catch a culprit."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.sets import Function, picks_from_sets, set_attributes
from tests.architecture.sources import ROOT, Source, parsed, python_sources, text_files

FILE_LINES = 500
FUNCTION_LINES = 60
CLASS_LINES = 300
PUBLIC_METHODS = 20

BANNED_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
"""Names that promise nothing: whatever did not fit elsewhere ends up there."""

MARKERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")

MACHINE_PATHS = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm)/|/tmp/" + r"brief|\.\./" + r"shared\b")

DETERMINISTIC = ("edgecache/core", "edgecache/wire", "edgecache/model", "edgecache/sim")

WALL_TIME = {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "CLOCK_REALTIME"}

WALL_CLOCKS = ("edgecache/adapters/system/clock.py", "edgecache/store/disk.py")
"""The port's adapter, and a default that the wiring replaces by the port."""

OWN_PROCESSES = ("edgecache/cli", "edgecache/bench", "edgecache/demo", "edgecache/fleet")
"""Not part of an agent."""

OWNERS = {
    "aiocoap": ("edgecache/adapters/coap", "edgecache/bench"),
    "zeroconf": ("edgecache/adapters/mdns",),
    "paho": ("edgecache/adapters/mqtt", "edgecache/demo"),
    "cryptography": ("edgecache/adapters/pki",),
    "sqlite3": ("edgecache/store",),
    "yaml": ("edgecache/config",),
    "amqtt": ("edgecache/demo",),
}
"""Each library has one place where it is imported; everything else sees our own types."""

DISTRIBUTIONS = {"pyyaml": "yaml", "paho-mqtt": "paho", "import-linter": "importlinter"}


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imported(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def too_big(source: Source) -> Iterator[str]:
    """Files and functions everywhere, classes of the product: a suite of tests may be as long as what it tests."""
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield f"{source.where}: {lines} lines (at most {FILE_LINES})"
    for node in ast.walk(source.tree):
        if not isinstance(node, Function | ast.ClassDef):
            continue
        if isinstance(node, ast.ClassDef) and not source.under("edgecache"):
            continue
        assert node.end_lineno is not None
        size = node.end_lineno - node.lineno + 1
        limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
        if size > limit:
            yield f"{source.where}:{node.lineno} {node.name}: {size} lines (at most {limit})"
        if isinstance(node, ast.ClassDef):
            public = [one for one in node.body if isinstance(one, Function) and not one.name.startswith("_")]
            if len(public) > PUBLIC_METHODS:
                what = f"{len(public)} public methods (at most {PUBLIC_METHODS})"
                yield f"{source.where}:{node.lineno} {node.name}: {what}"


def badly_named(source: Source) -> Iterator[str]:
    for part in source.where.removesuffix(".py").split("/"):
        if part in BANNED_NAMES:
            yield f"{source.where}: {part!r} promises nothing"


def hash_or_identity(source: Source) -> Iterator[str]:
    if not source.under(*DETERMINISTIC):
        return
    own_hash = {node for one in functions(source.tree) if one.name == "__hash__" for node in ast.walk(one)}
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id="hash" | "id" as name)) if node not in own_hash:
                yield f"{source.where}:{node.lineno} {name}() differs from run to run"


def asks_the_wall_clock(source: Source) -> Iterator[str]:
    """Past the port: people and radio set that clock, in the middle of whatever is done."""
    if not source.under("edgecache") or source.under(*OWN_PROCESSES) or source.where in WALL_CLOCKS:
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr=name) if name in WALL_TIME:
                yield f"{source.where}:{node.lineno} asks the wall clock: time.{name}"
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr="now" | "utcnow" | "today" as name):
                yield f"{source.where}:{node.lineno} asks the wall clock: {name}()"
            case ast.ImportFrom(module="time", names=names) if WALL_TIME & {alias.name for alias in names}:
                yield f"{source.where}:{node.lineno} imports a wall clock"


def finds_programs_itself(source: Source) -> Iterator[str]:
    """A test that looks for a program in its own way is skipped in CI too, where what is missing should fail."""
    if not source.under("tests") or source.under("tests/compare") or source.where == "tests/lab/tools.py":
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="shutil"), attr="which"):
                yield f"{source.where}:{node.lineno} looks for a program; tests/lab/tools.py has require_tool"


def impatient_or_patched(source: Source) -> Iterator[str]:
    """Sleeps and patches, in the product's tests that run without the world."""
    if not source.under("tests") or source.under("tests/integration", "tests/system", "tests/lab", "tests/compare"):
        return
    for line, module in imported(source):
        if module in ("unittest.mock", "mock", "pytest_mock"):
            yield f"{source.where}:{line} imports {module}"
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="sleep"), args=[ast.Constant(value=0)]):
                continue
            case ast.Call(func=ast.Attribute(attr="sleep")) | ast.Call(func=ast.Name(id="sleep")):
                yield f"{source.where}:{node.lineno} sleeps"
            case ast.Call(func=ast.Attribute(attr="setattr" | "setitem", value=ast.Name(id="monkeypatch"))):
                yield f"{source.where}:{node.lineno} patches"


def wrong_imports(source: Source) -> Iterator[str]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(declared["dependencies"])
    for extra in declared["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[<>=!~\[ ;]", one)[0] for one in wanted}
    known = {DISTRIBUTIONS.get(name, name.replace("-", "_")) for name in names} | {"edgecache", "tests"}
    for line, module in imported(source):
        top = module.split(".")[0]
        if top not in known and top not in sys.stdlib_module_names:
            yield f"{source.where}:{line} imports {top}, which pyproject.toml does not declare"
        owners = OWNERS.get(top)
        if owners and source.under("edgecache") and not source.where.startswith(owners):
            yield f"{source.where}:{line} imports {top}, which only {' and '.join(owners)} may"


Rule = Callable[[Source], Iterator[str]]

RULES: list[Rule] = [
    too_big, badly_named, hash_or_identity, asks_the_wall_clock, finds_programs_itself, impatient_or_patched,
    wrong_imports,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(rule: Rule) -> None:
    broken = [line for source in python_sources() for line in rule(source)]
    assert not broken, "\n".join(["", *broken])


@pytest.mark.parametrize(
    ("rule", "where", "text"),
    [
        (too_big, "edgecache/core/x.py", "def f():\n" + "    pass\n" * FUNCTION_LINES),
        (too_big, "edgecache/core/x.py", "class A:\n" + "    x = 1\n" * CLASS_LINES),
        (too_big, "edgecache/core/x.py", "#\n" * (FILE_LINES + 1)),
        (too_big, "edgecache/core/x.py", "class A:\n" + "".join(f"    def f{i}(self): ...\n" for i in range(21))),
        (badly_named, "edgecache/core/utils.py", ""),
        (badly_named, "edgecache/misc/x.py", ""),
        (hash_or_identity, "edgecache/core/x.py", "key = hash(peer)"),
        (hash_or_identity, "edgecache/sim/x.py", "key = id(peer)"),
        (asks_the_wall_clock, "edgecache/daemon/x.py", "def f(now=time.time): ..."),
        (asks_the_wall_clock, "edgecache/store/x.py", "from time import time"),
        (asks_the_wall_clock, "edgecache/adapters/x.py", "datetime.now(UTC)"),
        (finds_programs_itself, "tests/system/test_x.py", "shutil.which('ss')"),
        (impatient_or_patched, "tests/unit/test_x.py", "import time\ntime.sleep(1)"),
        (impatient_or_patched, "tests/unit/test_x.py", "from unittest.mock import patch"),
        (impatient_or_patched, "tests/unit/test_x.py", "monkeypatch.setattr(a, 'b', 1)"),
        (wrong_imports, "edgecache/store/x.py", "import requests"),
        (wrong_imports, "edgecache/app/x.py", "from aiocoap import Message"),
    ],
)
def test_rule_catches(rule: Rule, where: str, text: str) -> None:
    assert list(rule(parsed(text, where)))


def test_no_pick_depends_on_the_order_of_a_set() -> None:
    attributes = set_attributes(python_sources())
    inside = [source for source in python_sources() if source.under(*DETERMINISTIC)]
    broken = [line for source in inside for line in picks_from_sets(source, attributes)]
    assert not broken, "\n".join(["", *broken])


@pytest.mark.parametrize(
    "text",
    [
        "def f(a):\n for x in set(a): g(x)",
        "def f(a):\n b = {1, 2}\n return [x for x in b]",
        "def f(a: set[int]):\n return next(iter(a))",
        "def f(a: frozenset[int]):\n return max(a, key=len)",
        "def f(a: set[int], b: set[int]):\n return list(a - b)",
        "def f(a):\n return a.limits.features.pop()",
        "def f(a: set[int]):\n return (*a,)",
    ],
)
def test_a_pick_from_a_set_is_caught(text: str) -> None:
    assert list(picks_from_sets(parsed(text), frozenset({"features"})))


@pytest.mark.parametrize(
    "text",
    [
        "def f(a: set[int]):\n return sorted(x for x in a)",
        "def f(a: set[int]):\n return any(x > 1 for x in a)",
        "def f(a: list[int]):\n return [x for x in a if x in {1, 2}]",
        "def f(a: set[int], b: set[int]):\n a.update(b)",
    ],
)
def test_what_no_order_can_change_is_allowed(text: str) -> None:
    assert not list(picks_from_sets(parsed(text), frozenset()))


def test_texts_have_no_leftovers_and_no_paths_of_one_machine() -> None:
    broken = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MARKERS.search(line):
                broken.append(f"{path.relative_to(ROOT)}:{number} unfinished: {line.strip()}")
            if MACHINE_PATHS.search(line):
                broken.append(f"{path.relative_to(ROOT)}:{number} a path of one machine: {line.strip()}")
    assert not broken, "\n".join(["", *broken])


def test_leftovers_and_machine_paths_are_recognised() -> None:
    assert MARKERS.search("# " + "TO" + "DO: later")
    assert MACHINE_PATHS.search("open('/" + "work/main')")
    assert not MACHINE_PATHS.search("http://example.org/" + "work/")
