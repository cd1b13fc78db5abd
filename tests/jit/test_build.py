"""What is generated when the package is built."""
from dataclasses import replace

import pytest

from webvm.jit import build
from webvm.jit.decoder import Tables
from webvm.jit.interpreter import BASELINE


@pytest.mark.parametrize("features, fuse", [(BASELINE, True), (frozenset(), True), (BASELINE, False)])
def test_shapes_are_those_of_the_tables(features, fuse):
    shapes, tables = build.shapes(features, fuse), Tables(features, fuse)
    for k, shape in enumerate(tables.shapes):
        assert shapes[k + Tables.RESERVED] == replace(shape, then=None)


@pytest.fixture
def generated(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "GENERATED", tmp_path)
    for name, kind in (("WASM", "wasm"), ("SHAPES", "shapes"), ("STAMP", "hash")):
        monkeypatch.setattr(build, name, tmp_path / f"interpreter.{kind}")
    monkeypatch.setattr(build.generator, "build", lambda features=BASELINE: b"made anew")
    build.generated_shapes.cache_clear()
    yield tmp_path
    build.generated_shapes.cache_clear()


def test_generated_files_are_used_as_long_as_the_sources_are_the_same(generated, monkeypatch):
    build.main()
    build.WASM.write_bytes(b"as built")
    build.SHAPES.write_text("as built\n")
    assert (build.interpreter(), build.generated_shapes()) == (b"as built", ["as built"])
    build.generated_shapes.cache_clear()
    monkeypatch.setattr(build, "source_hash", lambda: "other sources")
    assert build.interpreter() == b"made anew" and len(build.generated_shapes()) > 1000
    build.main()
    assert build.WASM.read_bytes() == b"made anew" and build._up_to_date()


@pytest.mark.parametrize("missing", ["wasm", "shapes", "hash"])
def test_what_is_missing_is_made(generated, missing):
    build.main()
    (generated / f"interpreter.{missing}").unlink()
    assert build.interpreter() == b"made anew" and len(build.generated_shapes()) > 1000
    build.main()
    assert build._up_to_date()
