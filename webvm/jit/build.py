"""The generated interpreter on disk: made once for a version of its sources, and kept beside the package.

    python -m webvm.jit.build       makes webvm/_generated/interpreter.wasm unless it is up to date

Beside it lies what each handler was generated for, since finding that out takes longer than many a program runs.
"""
import hashlib
import json
from dataclasses import astuple
from functools import cache
from pathlib import Path

from . import interpreter as generator
from .decoder import Tables
from .handler import Shape

PACKAGE = Path(__file__).parent.parent
GENERATED = PACKAGE / "_generated"
WASM, SHAPES, STAMP = (GENERATED / f"interpreter.{kind}" for kind in ("wasm", "shapes", "hash"))
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
    """Have in memory what is read of files otherwise, but for the interpreter itself."""
    source_hash()
    generated_shapes()


def interpreter(features: frozenset[str] = generator.BASELINE) -> bytes:
    """The interpreter module: the file made when the package was built, or where there is none, generated now."""
    if features == generator.BASELINE and _up_to_date():
        return WASM.read_bytes()
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
    return Shapes(generated_shapes() if features == generator.BASELINE and fuse else _lines(features, fuse))


@cache
def generated_shapes() -> list[str]:
    """A line for each handler of the interpreter that the package has."""
    return SHAPES.read_text().splitlines() if _up_to_date() else _lines(generator.BASELINE, True)


def _lines(features: frozenset[str], fuse: bool) -> list[str]:
    return [json.dumps(astuple(shape)) for shape in Tables(features, fuse).shapes]


def _up_to_date() -> bool:
    return all(path.exists() for path in (WASM, SHAPES, STAMP)) and STAMP.read_text() == source_hash()


def main() -> None:
    if _up_to_date():
        print("interpreter: up to date")
        return
    GENERATED.mkdir(exist_ok=True)
    STAMP.unlink(missing_ok=True)
    wasm = generator.build()
    WASM.write_bytes(wasm)
    SHAPES.write_text("\n".join(_lines(generator.BASELINE, True)) + "\n")
    STAMP.write_text(source_hash())
    print(f"interpreter: {len(wasm)} bytes")


if __name__ == "__main__":
    main()
