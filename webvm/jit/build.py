"""The generated interpreter on disk: made once for a version of its sources, and kept beside the package.

    python -m webvm.jit.build       makes webvm/_generated/interpreter.wasm unless it is up to date
"""
import hashlib
from functools import cache
from pathlib import Path

from . import interpreter as generator

PACKAGE = Path(__file__).parent.parent
GENERATED = PACKAGE / "_generated"
SOURCES = ("x86", "wasm", "jit")


@cache                          # in a page there are no sources: a snapshot of memory has the answer, see webvm.browser.snapshot
def source_hash() -> str:
    """Of everything that the interpreter is generated from, and regions with it."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def interpreter(features: frozenset[str] = generator.BASELINE) -> bytes:
    """The interpreter module: the file made when the package was built, or where there is none, generated now."""
    path = GENERATED / "interpreter.wasm"
    if features == generator.BASELINE and path.exists() and (GENERATED / "interpreter.hash").read_text() == source_hash():
        return path.read_bytes()
    return generator.build(features)


def main() -> None:
    wanted = source_hash()
    stamp = GENERATED / "interpreter.hash"
    if stamp.exists() and stamp.read_text() == wanted and (GENERATED / "interpreter.wasm").exists():
        print("interpreter: up to date")
        return
    GENERATED.mkdir(exist_ok=True)
    wasm = generator.build()
    (GENERATED / "interpreter.wasm").write_bytes(wasm)
    stamp.write_text(wanted)
    print(f"interpreter: {len(wasm)} bytes")


if __name__ == "__main__":
    main()
