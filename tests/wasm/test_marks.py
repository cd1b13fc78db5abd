"""Marks in code are found where they were put, whatever constants stand around them."""

from itertools import product

import pytest
import wasmtime

from webvm.jit.template import HOLE, hole_of, pieces
from webvm.wasm import encoding as w
from webvm.wasm.module import Module

# Numbers made of pieces of marks, and those whose encoding has the longest runs of 0xFF.
PIECES = [mark[k:k + n] for mark in (w.HINT, HOLE) for n in (8, 16) for k in range(18 - n)]
WORDS = [int.from_bytes(piece, "little") for piece in PIECES if len(piece) == 8] + [(1 << 63) - 1, (1 << 62) - 1, 1 << 63]
VECTORS = [int.from_bytes(piece, "little") for piece in PIECES if len(piece) == 16]
VECTORS += [int.from_bytes(b"\xff" * k + bytes([first]) + b"\xff" * (15 - k), "little") for k in range(16) for first in (w.HINT[0], HOLE[0], 0x0C)]


def constants(n: int) -> list[bytes]:
    """Code that pushes such numbers."""
    return [w.i64(n & (1 << 64) - 1), w.v128(n)] + ([] if n >> 64 else [w.i64(-n), w.i32(n)])


SEVERAL = [code for n in VECTORS + WORDS for code in constants(n)]


@pytest.mark.parametrize("mark", [w.HINT, HOLE])
def test_a_mark_is_found_among_all_constants(mark):
    alone = [code for code in SEVERAL if mark in code]
    assert not alone
    for before, after in product(SEVERAL, SEVERAL):
        assert (before + after).count(mark) == 0
        assert (before + mark + b"\0" + after).split(mark) == [before, b"\0" + after]


def test_holes_of_a_template_are_found():
    for before, after in zip(SEVERAL, reversed(SEVERAL)):
        assert pieces(before + hole_of(3) + after + hole_of(176) + before) == (before, ((3, after), (176, before)))


def test_hints_leave_a_module_as_it_is():
    """All of these constants in one function, before and behind each hint: it is valid, and as without hints."""
    bodies = []
    for hint in w.LIKELY, w.UNLIKELY, b"":
        body = b"".join(code + w.DROP + w.i32(-1) + hint + b"\x04\x40" + code + w.DROP + w.END for code in SEVERAL)
        module = Module()
        module.define(module.declare("f", ""), [], body)
        bodies.append(module.functions[0][1])
        wasm = module.encode()
        wasmtime.Module.validate(wasmtime.Engine(), wasm)
        hints = module.hints.get(0, b"")
        assert hints.startswith(w.uleb(0) + w.uleb(len(SEVERAL))) if hint else not hints
    assert bodies[0] == bodies[1] == bodies[2]
    assert w.without_hints(w.UNLIKELY.join(SEVERAL)) == b"".join(SEVERAL)
