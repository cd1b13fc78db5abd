"""The record decoder in Wasm against the Python decoder, over code of real programs and over random bytes.

Both are driven by the same tables, so what can differ is how prefixes, ModRM and immediates are read, and what a record
says. Operands are read back from records and compared with those of the Python decoder.
"""
import os
import random
import struct
from pathlib import Path

import pytest

from tests.x86 import machines
from tests.x86.sweep import executable_sections
from webvm.engine.native import NativeEngine
from webvm.jit import handler as h
from webvm.jit import image, layout
from webvm.jit.decoder import BLOCK_LIMIT, TERMINATORS, Tables
from webvm.x86.decode import Truncated, Undefined, decode
from webvm.x86.insn import Imm, Reg, Rel
from webvm.x86.meaning import MEANINGS
from webvm.x86.opcodes import SIZE_Y, VEX

CODE, PAGE = 0x400000, 4096
SEED = int(os.environ.get("WEBVM_SEED", 1))
ROOT = Path(__file__).parent.parent.parent / "build" / "standard.root"
PROGRAMS = [ROOT / name for name in ("usr/bin/bash", "usr/bin/ls", "usr/bin/perl", "usr/bin/gawk", "usr/lib64/ld-linux-x86-64.so.2",
                                     "usr/lib/x86_64-linux-gnu/libc.so.6")]
FIELDS = struct.Struct("<IIHHHHBBBBIqQ")


class Decoder:
    """Has the interpreter decode a block; `records(code)` are its records, unpacked."""

    def __init__(self):
        self.tables = Tables(machines.FEATURES)
        self.joined = {first + cc: shape for shape, first in enumerate(self.tables.fusions) if first for cc in range(16)}
        self.space = NativeEngine(image.Image(features=machines.FEATURES)).space()
        self.space.on_fault = lambda address, access: False
        self.space.on_syscall = lambda registers: False
        self.space.protect(CODE // PAGE, 1, 5 | 32)

    def records(self, code: bytes):
        space = self.space
        space.write(CODE, code.ljust(64, b"\xf4"))
        for n in range(16):
            space.set(n, 0)
        space.rip = CODE
        space.run(1)
        count, = struct.unpack("<I", space.peek(layout.BLOCK_COUNT, 4))
        while True:                                      # a branch that was taken has another block decoded
            count -= 1
            first, _, record, length = struct.unpack("<IIII", space.peek(layout.BLOCKS + 16 * count, 16))
            if first == CODE:
                break
        return [FIELDS.unpack_from(space.peek(record + at, h.RECORD)) for at in range(h.RECORD, length, h.RECORD)]


@pytest.fixture(scope="module")
def decoder(): return Decoder()


def register(offset: int, bits: int) -> Reg:
    if offset >= layout.X87:
        return Reg("m", (offset - layout.X87) // 16, bits // 8)
    if offset >= layout.VECTOR:
        return Reg("x", (offset - layout.VECTOR) // 32, bits // 8)
    return Reg("g", offset // 8, bits // 8, bool(offset & 1))


def wrong(decoder: Decoder, fields, insn) -> str:
    """What a record says otherwise than the Python decoder, or ""."""
    handler, rip, d, s, base, index, scale, a32, segment, length, _, disp, imm = fields
    if (rip, length) != (insn.address, insn.length):
        return f"at {rip:#x}, {length} bytes"
    handler = decoder.joined.get(handler, handler)
    if handler == Tables.ESCAPE:
        odd = insn.asize == 4 or insn.segment
        known = insn.meaning in MEANINGS and not (insn.row.cpl0 or insn.row.iopl)
        known &= insn.row.map < VEX or insn.row.lz or SIZE_Y not in {o.size for o in insn.row.operands}       # with VEX.L
        return "left to the oracle" if known and not odd else ""
    shape = decoder.tables.shapes[handler - Tables.RESERVED]
    strings = insn.row.rep or insn.row.repz
    if (shape.meaning, shape.cc, shape.rep) != (insn.meaning, insn.cc, insn.rep if strings else None):
        return f"shape {shape}"
    if strings:
        return "" if shape.size == insn.size * 8 else f"shape {shape}"
    if len(shape.kinds) != len(insn.operands):
        return f"shape {shape}"
    places = d, s
    if shape.more:
        places, imm = (d, s, imm >> 32 & 0xFFFF, imm >> 48), imm & 0xFF
    for k, (kind, bits, operand) in enumerate(zip(shape.kinds, shape.bits, insn.operands)):
        if isinstance(operand, Reg):
            number = kind[1:]
            found = Reg(kind[0], int(number), bits // 8) if number else register(places[k], bits)
            if kind[0] == "g" and number:
                found = Reg("g", int(number), bits // 8)
            if kind == "f":
                found = Reg("f", (d, s)[k], 10)
            agree = found == operand
        elif isinstance(operand, Imm):
            agree = imm & (1 << bits) - 1 == operand.value if bits else imm == operand.value
        elif isinstance(operand, Rel):
            agree = imm == operand.target
        else:
            names = {layout.ZERO: None, **{8 * n: n for n in range(16)}}
            found_base, found_index = names[base], names[index] if kind == "M" else None
            agree = (found_base, found_index) == (operand.base, operand.index)
            agree &= disp & (1 << 64) - 1 == operand.disp & (1 << 64) - 1 or a32 == 32 and (disp - operand.disp) & 0xFFFFFFFF == 0
            agree &= 1 << scale == operand.scale or operand.index is None
            if kind == "M":
                agree &= segment * 8 == {None: layout.ZERO, "fs": layout.FS_BASE, "gs": layout.GS_BASE}[operand.segment]
                agree &= a32 == (32 if operand.asize == 4 else 0)
            agree &= bits == operand.size * 8
        if not agree:
            return f"operand {k}: {operand} / {shape} {fields}"
    return ""


def check(decoder: Decoder, code: bytes) -> list[str]:
    """Disagreements over the block that begins with the code's first instruction."""
    found = []
    at, n = 0, 0
    for fields in decoder.records(code):
        if fields[0] == Tables.GOTO:
            break
        try:
            insn = decode(code.ljust(64, b"\xf4"), CODE + at, at, features=machines.FEATURES)
        except Undefined:
            if fields[0] != Tables.ESCAPE:
                found.append(f"{code[at:at + 15].hex()}: undefined, yet has a handler")
            break
        except Truncated:
            break
        problem = wrong(decoder, fields, insn)
        if problem:
            found.append(f"{code[at:at + insn.length].hex()} {insn}: {problem}")
            break
        at, n = at + insn.length, n + 1
        if at >= len(code) or insn.meaning in TERMINATORS or n == BLOCK_LIMIT:
            break
    return found


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_records_say_what_the_python_decoder_says_of_real_code(decoder, path):
    rng, found, blocks = random.Random(SEED), [], 0
    for data in executable_sections(path):
        for _ in range(600):
            at = rng.randrange(max(1, len(data) - 64))
            found += check(decoder, data[at:at + 48])
            blocks += 1
    assert blocks
    assert not found, f"WEBVM_SEED={SEED}\n" + "\n".join(found[:20])


def test_records_say_what_the_python_decoder_says_of_random_bytes(decoder):
    rng, found = random.Random(SEED), []
    prefixes = bytes.fromhex("66 67 f2 f3 f0 64 65 2e 40 41 44 48 4f 0f 0f 0f")
    for _ in range(6000):
        code = bytes(rng.choice(prefixes) for _ in range(rng.randrange(4))) + rng.randbytes(16)
        found += check(decoder, code)
    assert not found, f"WEBVM_SEED={SEED}\n" + "\n".join(found[:20])
