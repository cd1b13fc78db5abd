"""Reads the imports of every module of webvm and holds them against the table of layers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "webvm"
EVERYTHING = "everything"

# A part of webvm (a package or a module), and the parts it may import besides itself.
LAYERS = {
    "x86":      "",                 # what instructions are; nothing of Wasm or Linux
    "wasm":     "",                 # what a Wasm module is; nothing of x86
    "jit":      "x86 wasm",
    "engine":   "",
    "linux":    "",                 # numbers and layouts of the ABI; no behaviour
    "block":    "",
    "fs":       "linux block",
    "kernel":   "linux fs",         # and so neither the JIT nor the engine
    "disk":     "",
    "site":     "block rehearsal practice x86",       # x86: the names of processors
    "rehearsal": "block machine",   # runs the machine, to see which parts of a disk that takes
    "practice": "block machine",    # runs the machine, to have its programs translated
    "browser":  "machine",          # a machine in a page
    "headless": EVERYTHING,         # a machine on a terminal
    "profile":  "linux kernel",     # who takes the time: samples, and the names of functions
    "machine":  EVERYTHING,
    "cli":      EVERYTHING,
}  # fmt: skip
BROWSER_MODULES = {"js", "pyodide", "pyodide_js", "_pyodide"}
BROWSER_ONLY = ("browser/", "engine/browser.py")


def imports(source: str, module: tuple[str, ...], is_package: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and dotted name of everything imported, wherever in the module. `from a import b` gives a.b: b may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level + is_package] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            for alias in node.names:
                yield node.lineno, (*base, alias.name)


def violations(package: Path, layers: dict[str, str]) -> list[str]:
    found = []
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        module = (package.name, *inside.with_suffix("").parts)
        is_package = module[-1] == "__init__"
        module = module[:-1] if is_package else module
        if len(module) == 1:
            part, allowed = "(the package itself)", set()
        elif module[1] in layers:
            part = module[1]
            allowed = {part, *layers[part].split()}
        else:
            found.append(f"{package.name}/{inside}: {module[1]} has no row in the table of layers")
            continue
        for line, name in imports(file.read_text(), module, is_package):
            where = f"{package.name}/{inside}:{line}"
            if name[0] in BROWSER_MODULES and not inside.as_posix().startswith(BROWSER_ONLY):
                found.append(f"{where}: imports {name[0]}, which only {' and '.join(BROWSER_ONLY)} may")
            if name[0] == package.name and len(name) > 1 and EVERYTHING not in allowed and name[1] not in allowed:
                if (package / name[1]).exists() or (package / f"{name[1]}.py").exists():
                    found.append(f"{where}: {part} imports {name[1]}; it may import {layers.get(part) or 'nothing'}")
    return found


def test_every_import_keeps_to_its_layer():
    found = violations(PACKAGE, LAYERS)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(("file", "source", "complaint"), [
    ("kernel/a.py",  "import webvm.jit.build",               "webvm/kernel/a.py:1: kernel imports jit"),
    ("kernel/a.py",  "def f():\n    from webvm import jit",  "webvm/kernel/a.py:2: kernel imports jit"),
    ("kernel/a.py",  "from ..jit import build",              "webvm/kernel/a.py:1: kernel imports jit"),
    ("kernel/__init__.py", "from ..jit import build",        "webvm/kernel/__init__.py:1: kernel imports jit"),
    ("kernel/a.py",  "from .jit import build",               None),
    ("kernel/a.py",  "from webvm import linux, fs",          None),
    ("kernel/a.py",  "from pyodide.ffi import to_js",        "webvm/kernel/a.py:1: imports pyodide, which only"),
    ("kernel/a.py",  "import js",                            "webvm/kernel/a.py:1: imports js, which only"),
    ("browser/a.py", "import js, json",                      None),
    ("machine.py",   "from webvm import jit, kernel",        None),
    ("other/a.py",   "",                                     "webvm/other/a.py: other has no row"),
    ("__init__.py",  "from .jit import build",               "webvm/__init__.py:1: (the package itself) imports jit"),
])  # fmt: skip
def test_the_reading_of_imports_finds_what_breaks_the_table(tmp_path, file, source, complaint):
    package = tmp_path / "webvm"
    for part in "jit", "linux", "fs", "kernel":
        (package / part).mkdir(parents=True)
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text(source)
    found = violations(package, LAYERS)
    assert (found == []) if complaint is None else (len(found) == 1 and found[0].startswith(complaint))
