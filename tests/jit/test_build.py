"""What is generated when the package is built."""
from dataclasses import replace

import pytest

from webvm.jit import build
from webvm.jit.decoder import Tables
from webvm.jit.interpreter import BASELINE
from webvm.x86.processor import CPUS, DEFAULT


@pytest.mark.parametrize("features, fuse", [*((has, True) for has in CPUS.values()), (frozenset(), True), (BASELINE, False)])
def test_shapes_are_those_of_the_tables(features, fuse):
    shapes, tables = build.shapes(features, fuse), Tables(features, fuse)
    for k, shape in enumerate(tables.shapes):
        assert shapes[k + Tables.RESERVED] == replace(shape, then=None)


@pytest.fixture
def generated(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "GENERATED", tmp_path)
    monkeypatch.setattr(build.generator, "build", lambda features=BASELINE: b"made anew")
    build.generated_shapes.cache_clear()
    yield tmp_path
    build.generated_shapes.cache_clear()


def test_generated_files_are_used_as_long_as_the_sources_are_the_same(generated, monkeypatch):
    build.main()
    (generated / f"interpreter-{DEFAULT}.wasm").write_bytes(b"as built")
    (generated / f"interpreter-{DEFAULT}.shapes").write_text("as built\n")
    assert (build.interpreter(), build.generated_shapes(DEFAULT)) == (b"as built", ["as built"])
    build.generated_shapes.cache_clear()
    monkeypatch.setattr(build, "source_hash", lambda: "other sources")
    assert build.interpreter() == b"made anew" and len(build.generated_shapes(DEFAULT)) > 1000
    build.main()
    assert (generated / f"interpreter-{DEFAULT}.wasm").read_bytes() == b"made anew" and build._up_to_date()


@pytest.mark.parametrize("missing", [build.STAMP, *(f"interpreter-{cpu}.{kind}" for cpu in CPUS for kind in ("wasm", "shapes"))])
def test_what_is_missing_is_made(generated, missing):
    build.main()
    (generated / missing).unlink()
    assert build.interpreter() == b"made anew" and len(build.generated_shapes(DEFAULT)) > 1000
    build.main()
    assert build._up_to_date()
