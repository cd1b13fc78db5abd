"""The generated interpreters on disk: made once for a version of their sources, and kept beside the package.

    python -m webvm.jit.build       makes webvm/_generated/interpreter-CPU.wasm unless they are up to date

There is one for each processor of `x86.processor.CPUS`. Beside it lies what each handler was generated for, since finding that
out takes longer than many a program runs.
"""
import hashlib
import json
from dataclasses import astuple
from functools import cache
from pathlib import Path
from sys import intern

from ..x86.processor import CPUS
from . import interpreter as generator
from .decoder import Tables
from .handler import Shape

PACKAGE = Path(__file__).parent.parent
GENERATED = PACKAGE / "_generated"
STAMP = "interpreter.hash"
SOURCES = ("x86", "wasm", "jit")


@cache
def source_hash() -> str:
    """Of everything that the interpreter is generated from, and regions with it."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def remember() -> None:
    """Have in memory what is read of files otherwise, but for the interpreters themselves."""
    source_hash()
    for cpu in CPUS:
        generated_shapes(cpu)


def _path(cpu: str, kind: str) -> Path: return GENERATED / f"interpreter-{cpu}.{kind}"
def _named(features: frozenset[str]) -> str | None: return next((cpu for cpu, has in CPUS.items() if has == features), None)


def interpreter(features: frozenset[str] = generator.BASELINE) -> bytes:
    """The interpreter module: the file made when the package was built, or where there is none, generated now."""
    cpu = _named(features)
    if cpu is not None and _up_to_date():
        return _path(cpu, "wasm").read_bytes()
    return generator.build(features)


class Shapes(dict):
    """Handler index -> what the handler was generated for (of one that executes a Jcc too: the instruction before that)."""

    def __init__(self, lines: list[str]):
        self._lines = lines

    def __missing__(self, handler: int) -> Shape:
        meaning, size, kinds, bits, cc, rep, _ = json.loads(self._lines[handler - Tables.RESERVED])
        shape = self[handler] = Shape(meaning, size, tuple(kinds), tuple(bits), cc, rep)
        return shape


def shapes(features: frozenset[str], fuse: bool = True) -> Shapes:
    """Those of the interpreter that has these features."""
    cpu = _named(features) if fuse else None
    return Shapes(generated_shapes(cpu) if cpu is not None else _lines(features, fuse))


@cache
def generated_shapes(cpu: str) -> list[str]:
    """A line for each handler of an interpreter that the package has. Most are in all of them."""
    return [intern(line) for line in (_path(cpu, "shapes").read_text().splitlines() if _up_to_date() else _lines(CPUS[cpu], True))]


def _lines(features: frozenset[str], fuse: bool) -> list[str]:
    return [json.dumps(astuple(shape)) for shape in Tables(features, fuse).shapes]


def _up_to_date() -> bool:
    return (all(path.exists() for path in (GENERATED / STAMP, *(_path(cpu, kind) for cpu in CPUS for kind in ("wasm", "shapes"))))
            and (GENERATED / STAMP).read_text() == source_hash())


def main() -> None:
    if _up_to_date():
        print("interpreters: up to date")
        return
    GENERATED.mkdir(exist_ok=True)
    for old in GENERATED.glob("interpreter*"):
        old.unlink()
    for cpu, features in CPUS.items():
        wasm = generator.build(features)
        _path(cpu, "wasm").write_bytes(wasm)
        _path(cpu, "shapes").write_text("\n".join(_lines(features, True)) + "\n")
        print(f"interpreter for {cpu}: {len(wasm)} bytes")
    (GENERATED / STAMP).write_text(source_hash())


if __name__ == "__main__":
    main()
