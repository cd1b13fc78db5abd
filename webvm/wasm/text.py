"""Function bodies as people read them: WebAssembly's text format, an instruction a line, blocks indented.

Knows the instructions of webvm.wasm.encoding and no others. Alignments are left out, they are only hints; so is what a
module has around its functions.
"""
from collections.abc import Mapping
from itertools import count

from . import encoding as w

_TYPES = {code: name for name, code in w.TYPES.items()}
_BLOCKS = {0x02: "block", 0x03: "loop", 0x04: "if"}
_INDEXED = {0x20: "local.get", 0x21: "local.set", 0x22: "local.tee", 0x10: "call", 0x12: "return_call"}
_INDIRECT = {0x11: "call_indirect", 0x13: "return_call_indirect"}
_BRANCHES = {0x0C: "br", 0x0D: "br_if"}
_BARE = {0x00: "unreachable", 0x0F: "return", 0x1A: "drop"}


class UnknownInstruction(Exception):
    """webvm does not emit this."""


def lines(code: bytes, names: Mapping[int, str] = {}, functions: Mapping[int, str] = {}) -> list[str]:
    """The instructions of a body, without its locals; the last `end` may be missing. names: of locals, functions: of
    functions, by index; those that have none are numbers. Labels are numbered as they come; the function's own has no name."""
    reader = _Reader(code)
    out, labels, numbers = [], [""], count(1)
    name = {0x20: names, 0x21: names, 0x22: names, 0x10: functions, 0x12: functions}


    def say(text): out.append("  " * (len(labels) - 1) + text)
    def label(depth): return f"${labels[-1 - depth]}" if depth < len(labels) - 1 else str(depth)

    while reader.left:
        op = reader.byte()
        if op in _BLOCKS:
            result = _TYPES.get(bytes([reader.byte()]))
            number = str(next(numbers))
            say(f"{_BLOCKS[op]} ${number}" + (f" (result {result})" if result else ""))
            labels.append(number)
        elif op == 0x05:
            out.append("  " * (len(labels) - 2) + "else")
        elif op == 0x0B:
            labels.pop()
            if labels:
                say("end")
        elif op in _BRANCHES:
            say(f"{_BRANCHES[op]} {label(reader.uleb())}")
        elif op == 0x0E:
            say("br_table " + " ".join(label(reader.uleb()) for _ in range(reader.uleb() + 1)))
        elif op in _INDEXED:
            index = reader.uleb()
            say(f"{_INDEXED[op]} " + (f"${name[op][index]}" if index in name[op] else str(index)))
        elif op in _INDIRECT:
            type, table = reader.uleb(), reader.uleb()
            say(f"{_INDIRECT[op]} {table} (type {type})")
        elif op == 0x41:
            say(f"i32.const {reader.sleb()}")
        elif op == 0x42:
            say(f"i64.const {_short(reader.sleb())}")
        elif op in _BARE:
            say(_BARE[op])
        elif op in _MEMORY:
            say(_MEMORY[op] + reader.offset())
        else:
            say(_numeric(op, reader))
    return out


def _numeric(op: int, reader: "_Reader") -> str:
    key = (op, reader.uleb()) if op in (0xFC, 0xFD) else op
    if key in _MEMORY:
        return _MEMORY[key] + reader.offset()
    if key in _LANES:
        return f"{_LANES[key]} {reader.byte()}"
    if key == (0xFD, 12):
        return f"v128.const i64x2 {reader.number(8):#x} {reader.number(8):#x}"
    if key == (0xFD, 13):
        return "i8x16.shuffle " + " ".join(str(reader.byte()) for _ in range(16))
    if key not in _PLAIN:
        raise UnknownInstruction(f"{op:#x}")
    name, immediates = _PLAIN[key]
    for _ in range(immediates):
        reader.byte()                       # the index of memory 0
    return name


def _short(n: int) -> str:
    return str(n) if abs(n) < 1 << 16 else hex(n)


class _Reader:
    """Takes a body apart from its beginning."""

    def __init__(self, code: bytes):
        self.code, self.at = code, 0

    @property
    def left(self) -> int: return len(self.code) - self.at

    def byte(self) -> int:
        self.at += 1
        return self.code[self.at - 1]

    def number(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.code[self.at - size:self.at], "little")

    def uleb(self) -> int:
        value = shift = 0
        while (byte := self.byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def sleb(self) -> int:
        start = self.at
        value = self.uleb()
        bits = 7 * (self.at - start)
        return value - (value >> bits - 1 << bits)

    def offset(self) -> str:
        self.uleb()                         # the alignment
        offset = self.uleb()
        return f" offset={offset:#x}" if offset else ""


def _key(code: bytes):
    """Of an instruction, what tells it from others, and the bytes that come after that."""
    reader = _Reader(code)
    first = reader.byte()
    key = (first, reader.uleb()) if first in (0xFC, 0xFD) else first
    return key, reader.left


_PLAIN = {key: (name, immediates) for name, code in w.OP.items() for key, immediates in [_key(code)]}
_MEMORY = {code: name for name, (code, _) in w.MEMORY.items()} | {(0xFD, code): name for name, (code, _) in w.SIMD_MEMORY.items()}
_LANES = {(0xFD, code): name for name, code in w.LANES.items()}
