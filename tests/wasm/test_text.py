"""The text of function bodies, judged by wasmtime's own assembler: it must give the bytes that the text was made of."""

import re

import pytest
import wasmtime

from webvm.jit import build
from webvm.jit.interpreter import BASELINE
from webvm.wasm import encoding as w
from webvm.wasm.module import Module
from webvm.wasm.text import UnknownInstruction, _Reader, lines

LOCALS = ["i32", "i64", "v128"]


def sections(wasm: bytes) -> dict[int, bytes]:
    reader, found = _Reader(wasm), {}
    reader.at = 8
    while reader.left:
        number, size = reader.byte(), reader.uleb()
        found[number] = wasm[reader.at:reader.at + size]
        reader.at += size
    return found


def bodies(wasm: bytes) -> list[bytes]:
    """The instructions of each function, without its locals."""
    reader, found = _Reader(sections(wasm)[10]), []
    for _ in range(reader.uleb()):
        end = reader.uleb() + reader.at
        for _ in range(reader.uleb()):
            reader.uleb(), reader.byte()
        found.append(reader.code[reader.at:end])
        reader.at = end
    return found


def assembled(text: str) -> bytes:
    """What wasmtime makes of a body's text. It does not look at types, so anything will do around it."""
    text = re.sub(r"((?:load|store)\S*(?: offset=\S+)?)$", r"\1 align=1", text, flags=re.M)     # as webvm does
    wat = ('(module (import "env" "divide" (func $divide (param i64) (result i64))) (memory 1) (table 1 funcref)'
           f"(type $t (func (result i32))) (func (type $t) {' '.join(f'(local {t})' for t in LOCALS)}\n{text}))")
    return bodies(wasmtime.wat2wasm(wat))[0]


def comes_back(code: bytes, **names):
    text = "\n".join(lines(code, **names))
    assert assembled(text) == code + w.END, text


@pytest.mark.parametrize("op", sorted(w.OP))
def test_every_plain_instruction(op):
    comes_back(w.OP[op])
    assert lines(w.OP[op]) == [op]


@pytest.mark.parametrize("op", sorted(w.MEMORY | w.SIMD_MEMORY))
@pytest.mark.parametrize("offset", [0, 1, 0x3000000])
def test_every_load_and_store(op, offset):
    comes_back(w.access(op, offset))


@pytest.mark.parametrize("op", sorted(w.LANES))
def test_every_lane_instruction(op):
    comes_back(w.lane(op, 1))


@pytest.mark.parametrize("code", [
    w.i32(0), w.i32(-1), w.i32(63), w.i32(64), w.i32(1 << 31), w.i64(-1), w.i64(1 << 63), w.i64(-(1 << 16)), w.i64(0x12345678),
    w.v128(0), w.v128(0xFFEEDDCC_BBAA9988_77665544_33221100), w.shuffle(range(0, 32, 2)),
    w.get(0), w.put(1), w.tee(2), w.call(0), w.UNREACHABLE, w.RETURN, w.DROP, w.SELECT, b"\x12\x00",
    w.call_indirect(1), w.return_call_indirect(1), w.br(0), w.br_if(0),
    w.block(w.loop(w.br_if(0) + w.br(1)) + w.br(0)), w.block(w.i32(1), w.I32), w.if_(w.i32(1), w.br(0), w.br(1)),
    b"\x02\x40" * 3 + w.i32(1) + b"\x0e" + w.vec([w.uleb(0), w.uleb(2)]) + w.uleb(1) + w.END * 3,
], ids=lambda code: code.hex()[:24])
def test_control_and_constants(code):
    comes_back(code)


def test_names_and_indentation():
    code = w.block(w.loop(w.get(0) + w.put(1) + w.call(0) + w.br_if(0) + w.br(2))) + w.if_(w.get(2), w.RETURN, w.call(7))
    assert lines(code, {0: "depth", 1: "rax"}, {0: "enter"}) == """\
block $1
  loop $2
    local.get $depth
    local.set $rax
    call $enter
    br_if $2
    br 2
  end
end
local.get 2
if $3
  return
else
  call 7
end""".splitlines()


def test_every_function_of_the_interpreter_has_a_text():
    found = bodies(build.interpreter(BASELINE))
    assert len(found) > 2000
    for code in found:
        assert lines(code)


def test_what_webvm_does_not_emit_is_named():
    with pytest.raises(UnknownInstruction, match="0x23"):
        lines(b"\x23\x00")


def test_a_module_of_ours_read_section_by_section():
    module = Module()
    index = module.declare("f", "", "i32", export=True)
    module.define(index, LOCALS, w.i32(42))
    assert [lines(code) for code in bodies(module.encode())] == [["i32.const 42"]]
