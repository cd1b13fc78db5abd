"""The record decoder: a Wasm function, generated from the opcode maps, that turns guest bytes into records.

`Tables` flattens `x86.opcodes` into arrays that become data segments; `emit` writes the function that reads them. What
the function decides beyond reading tables (prefixes, ModRM, immediates) follows the manual's section 2.
"""
import struct
from dataclasses import replace

from ..x86 import integer, opcodes, oracle, system, x87_common    # noqa: F401  register their meanings
from ..x86.meaning import MEANINGS
from . import layout as at
from .cases import common
from .assembler import Function, X, c32, c64, invoke
from .handler import (R_A32, R_BASE, R_COUNT, R_D, R_DISP, R_HANDLER, R_IMM, R_INDEX, R_LENGTH, R_NEXT, R_RIP, R_S, R_SCALE,
                      R_SEGMENT, R_TARGET, R_T, R_U, RECORD, UNLINKED, Shape)

MAPS = 8                       # one byte, 0F, 0F38, 0F3A, and with VEX 0F, 0F38, 0F3A; EVEX encodings are #UD here
BLOCK_LIMIT = 64               # instructions in a block
TERMINATORS = {"jmp", "jmp_indirect", "jcc", "call", "call_indirect", "ret", "loop", "loope", "loopne", "jrcxz", "syscall"}

# ---- a row of the row table, ROW bytes
ROW       = 16
F_MODRM, F_MOD3, F_LOCK, F_END, F_REP, F_D64, F_F64, F_POP = (1 << k for k in range(8))
O_FLAGS   = 0      # u8
O_IMM     = 1      # u8   IMM_*
O_D       = 2      # u8   register file << 4 | source, of operand 0
O_S       = 3      # u8   of operand 1
O_DFIXED  = 4      # u8   register number for SOURCE_FIXED
O_SFIXED  = 5      # u8
O_HANDLER = 6      # u16  first of nine handler indices in the handler table: operand size 2 4 8 x form; with VEX.L, that of 2
O_REXB    = 8      # u16  the row that holds under REX.B, 0 for none
O_T       = 10     # u8   of operand 2, as in O_D
O_VEX     = 11     # u8   V_*: what must not be
O_W       = 12     # u16  the row that holds under VEX.W, 0 for none
O_U       = 14     # u8   of operand 3, as in O_D
V_L, V_VVVV, V_NO_L, V_W, V_NO_W = 1, 2, 4, 8, 16          # VEX.L is set; vvvv names a register; L is not set; W is; W is not
JCC = 16           # O_DFIXED of a Jcc is JCC + its condition
FUSED = ("cmp", "test")            # are joined with a Jcc that follows
SOURCE_NONE, SOURCE_REG, SOURCE_RM, SOURCE_OPCODE, SOURCE_FIXED, SOURCE_VVVV, SOURCE_IMM = range(7)
FILE_GPR, FILE_GPR8, FILE_VECTOR, FILE_MMX, FILE_STACK = range(5)
IMMEDIATES = {None: 0, "b": 1, "w": 2, "d": 3, "z": 4, "v": 5, "o": 6, "wb": 7}
IMM_B, IMM_W, IMM_D, IMM_Z, IMM_V, IMM_O, IMM_WB, IMM_BS, IMM_ONE, IMM_JB, IMM_JD, IMM_IMPLIED = range(1, 13)
IMPLIED = {"xlat", "maskmovq", "vmaskmovq"}     # have a memory operand that is not among their operands, and no immediate

# ---- prefix classes of a byte
P_NONE, P_66, P_67, P_F3, P_F2, P_LOCK, P_FS, P_GS, P_IGNORED, P_REX = range(10)

SIZES = (16, 32, 64)


def operand_bits(size: int, osize: int) -> int:
    """An operand's width in bits from its size in the table (bytes or SIZE_*) and the operand size in bits; 16 is VEX.L."""
    long = osize == 16
    match size:
        case opcodes.SIZE_V: return osize
        case opcodes.SIZE_Y: return max(osize, 32)
        case opcodes.SIZE_Z: return min(osize, 32)
        case opcodes.SIZE_P: return osize + 16
        case opcodes.SIZE_X: return 128 << long
        case opcodes.SIZE_H: return 64 << long
        case opcodes.SIZE_K: return 32 << long
        case opcodes.SIZE_E: return 16 << long
        case opcodes.SIZE_U: return 256 if long else 64
        case opcodes.SIZE_YY: return max(osize, 32) * 2
    return size * 8


# how a place in the opcode maps is fetched: register file, source
_PLACES = {"E": (FILE_GPR, SOURCE_RM), "R": (FILE_GPR, SOURCE_RM), "G": (FILE_GPR, SOURCE_REG), "Z": (FILE_GPR, SOURCE_OPCODE),
           "V": (FILE_VECTOR, SOURCE_REG), "W": (FILE_VECTOR, SOURCE_RM), "U": (FILE_VECTOR, SOURCE_RM),
           "P": (FILE_MMX, SOURCE_REG), "Q": (FILE_MMX, SOURCE_RM), "N": (FILE_MMX, SOURCE_RM),
           "F": (FILE_STACK, SOURCE_RM), "B": (FILE_GPR, SOURCE_VVVV), "H": (FILE_VECTOR, SOURCE_VVVV), "L": (FILE_VECTOR, SOURCE_IMM)}
_FILE_KIND = {FILE_GPR: "r", FILE_GPR8: "r", FILE_VECTOR: "x", FILE_MMX: "q", FILE_STACK: "f"}
_FIXED = {"=g": FILE_GPR, "=x": FILE_VECTOR, "=f": FILE_STACK}
_MEMORY = frozenset("EWQM")        # places that are memory when ModRM says so


class Tables:
    """The opcode maps flattened, and the shapes that handlers are needed for.

    shapes[i] has handler index i + RESERVED. The handlers before those: the escape, which leaves the instruction to the
    oracle, and the records that are no instructions.
    """
    ESCAPE, STALE, GOTO, COUNT, ENTER, RESERVED = range(6)

    def __init__(self, features: frozenset[str], fuse: bool = True):
        self.shapes: list[Shape] = []
        self._index: dict[Shape, int] = {}
        self._row_of: dict[int, int] = {}
        self.rows = bytearray(ROW)                      # row 0 is #UD
        self.rows[O_FLAGS] = F_END
        self.handlers: list[int] = [self.ESCAPE] * 9
        self._handler_base: dict[tuple, int] = {tuple(self.handlers): 0}
        self.modrm: list[tuple[int, ...]] = []
        cells = []
        tables: dict[tuple, int] = {}
        view = opcodes.view(features)
        self.vex = any(entry is not None for entry in view[opcodes.VEX << 10:MAPS << 10])
        for entry in view[:MAPS << 10] if self.vex else view[:opcodes.VEX << 10]:
            if isinstance(entry, tuple):
                row_numbers = tuple(self.row(r) for r in entry)
                if row_numbers not in tables:
                    tables[row_numbers] = len(self.modrm)
                    self.modrm.append(row_numbers)
                cells.append(0x8000 | tables[row_numbers])
            else:
                cells.append(self.row(entry))
        self.cells = struct.pack(f"<{len(cells)}H", *cells)
        # fusions[handler] is the first of 16 handlers, by condition, that join it with a Jcc; 0 where there are none
        self.fusions = [0] * (len(self.shapes) + self.RESERVED)
        for shape in [s for s in self.shapes if s.meaning in FUSED] if fuse else []:
            self.fusions[self._index[shape]] = min(self.handler(replace(shape, then=cc)) for cc in range(16))
        self._common_first()

    def _common_first(self):
        """Numbers the handlers anew: those in groups with a common one (see cases.common) come first."""
        first, others = [], []
        grouped = set()
        for base in filter(None, self.fusions):
            group = range(base, base + 16)
            grouped.update(group)
            (first if any(common(self.shapes[k - self.RESERVED]) for k in group) else others).extend(group)
        alone = [k for k in range(self.RESERVED, self.RESERVED + len(self.shapes)) if k not in grouped]
        single = [k for k in alone if common(self.shapes[k - self.RESERVED])]
        order = [*single, *first, *(k for k in alone if k not in set(single)), *others]
        number = dict(enumerate(range(self.RESERVED))) | {old: new for new, old in enumerate(order, self.RESERVED)}
        self.common = self.RESERVED + len(single) + len(first)          # handlers, from the first on, with all that are common among them
        self.shapes = [self.shapes[k - self.RESERVED] for k in order]
        self._index = {shape: k for k, shape in enumerate(self.shapes, self.RESERVED)}
        self.handlers = [number[k] for k in self.handlers]
        fusions = [0] * (len(self.shapes) + self.RESERVED)
        for k, base in enumerate(self.fusions):
            if base:
                fusions[number[k]] = number[base]
        self.fusions = fusions

    def handler(self, shape: Shape | None) -> int:
        if shape is None or shape.meaning not in MEANINGS:
            return self.ESCAPE
        if shape not in self._index:
            self._index[shape] = len(self.shapes) + self.RESERVED
            self.shapes.append(shape)
        return self._index[shape]

    def row(self, row) -> int:
        """The number of a row in the row table."""
        if row is None:
            return 0
        if row.index in self._row_of:
            return self._row_of[row.index]
        number = self._row_of[row.index] = len(self.rows) // ROW
        self.rows += bytes(ROW)
        known = not (row.cpl0 or row.iopl)
        indices = tuple(self.handler(shape_of(row, osize, form) if known else None) for osize in SIZES for form in range(3))
        if indices not in self._handler_base:
            self._handler_base[indices] = len(self.handlers)
            self.handlers += indices
        flags = ((F_MODRM * row.has_modrm) | (F_MOD3 * row.mod3) | (F_LOCK * row.lock) | (F_REP * (row.rep or row.repz))
                 | (F_END * (row.meaning in TERMINATORS)) | (F_D64 * row.d64) | (F_F64 * row.f64) | (F_POP * (row.meaning == "pop")))
        d, dfixed = self._source(row, 0)
        s, sfixed = self._source(row, 1)
        if row.meaning == "jcc":
            dfixed = JCC + row.cc
        rexb = self.row(row.with_rexb) if row.with_rexb else 0
        with_w = self.row(row.with_w) if row.with_w else 0
        vex = V_L * row.lz | V_NO_L * row.l1 | V_VVVV * row.v1111 | V_W * row.w0 | V_NO_W * row.w1
        struct.pack_into("<BBBBBBHHBBHB", self.rows, number * ROW, flags, _immediate(row), d, s, dfixed, sfixed, self._handler_base[indices],
                         rexb, self._source(row, 2)[0] if row.map >= opcodes.VEX else SOURCE_NONE, vex, with_w, self._source(row, 3)[0])
        return number

    @staticmethod
    def _source(row, k):
        if k >= len(row.operands):
            return SOURCE_NONE, 0
        o = row.operands[k]
        if o.place in _PLACES:
            file, source = _PLACES[o.place]
            if o.size == 1 and file == FILE_GPR:
                file = FILE_GPR8
            return file << 4 | source, 0
        if o.place in _FIXED:
            return _FIXED[o.place] << 4 | SOURCE_FIXED, o.number
        return SOURCE_NONE, 0

    def segments(self):
        """(address, bytes) of every table, and a dict of their addresses."""
        prefix = bytearray(256)
        prefix[0x66], prefix[0x67], prefix[0xF3], prefix[0xF2], prefix[0xF0] = P_66, P_67, P_F3, P_F2, P_LOCK
        prefix[0x64], prefix[0x65] = P_FS, P_GS
        for b in (0x26, 0x2E, 0x36, 0x3E):
            prefix[b] = P_IGNORED
        for b in range(0x40, 0x50):
            prefix[b] = P_REX
        parts = {"prefix": bytes(prefix), "cells": self.cells, "rows": bytes(self.rows),
                 "modrm": b"".join(struct.pack("<256H", *t) for t in self.modrm),
                 "fusions": struct.pack(f"<{len(self.fusions)}H", *self.fusions),
                 "handlers": struct.pack(f"<{len(self.handlers)}H", *self.handlers)}
        where, address, data = {}, at.DECODE, []
        for name, content in parts.items():
            where[name] = address
            data.append((address, content))
            address += len(content) + 15 & ~15
        assert address <= at.PERMISSIONS, "the decode tables outgrew their place"
        return data, where


def _immediate(row) -> int:
    notation = row.notation
    if row.meaning in IMPLIED:
        return IMM_IMPLIED
    if "Jb" in notation:
        return IMM_JB
    if "Jz" in notation:
        return IMM_JD
    if "Ibs" in notation:
        return IMM_BS
    if "1" in notation:
        return IMM_ONE
    return IMMEDIATES[row.imm]


def shape_of(row, osize: int, form: int) -> Shape | None:
    """The shape of a row's instruction with an operand size in bits; None where the oracle alone can run it.

    form: for instructions with ModRM, 0 register, 1 memory base+disp, 2 memory in general; for strings 0 alone, 1 REP,
    2 REPNE.
    """
    if row.f64 or (row.d64 and osize == 32):
        osize = 64
    if row.map >= opcodes.VEX and osize == 16 and (row.lz or any(o.size == opcodes.SIZE_Y for o in row.operands)):
        return None                                         # whose W is not told
    if row.vsibd or row.vsibq:
        return None
    kinds, bits = [], []
    memory_operand = form > 0 and not (row.rep or row.repz)
    for k, o in enumerate(row.operands):
        place = o.place
        if place in _MEMORY and (place == "M" or memory_operand):
            if not memory_operand:
                return None
            kind = "mM"[form - 1]
        elif place == "O":
            kind = "M"
        elif place in _PLACES:
            kind = _FILE_KIND[_PLACES[place][0]]
            if k > 1 and (row.map < opcodes.VEX or kind not in "rx"):
                return None
        elif place == "=g":
            kind = "r" if k < 2 else f"g{o.number}"
        elif place == "=f":
            kind = "f"
        elif place == "=x":
            kind = "x" if k < 2 else f"x{o.number}"
        elif place in "I1":
            kind = "i"
        elif place == "J":
            kind = "j"
        elif place in "XY":
            kind = "s"
        else:
            return None
        kinds.append(kind)
        bits.append(operand_bits(o.size, osize))
    strings = row.rep or row.repz
    if strings:
        size = next(b for k, b in zip(kinds, bits) if k == "s")
        return Shape(row.meaning, size, (), (), None, (None, "rep", "repne")[form])
    size = operand_bits(row.size, osize)
    if row.mod == "reg" and form or row.mod == "mem" and not form:
        return None
    if not row.has_modrm and form:
        return None if "O" not in {o.place for o in row.operands} else shape_of(row, osize, 0)
    return Shape(row.meaning, size, tuple(kinds), tuple(bits), row.cc)


INDEX_LIMIT = 0x7FFF0          # entries of the block index in use, from which on it is full


def emit(module, index: int, tables: Tables, where: dict[str, int], fault_import: int, flush: int, spread: int) -> None:
    """Defines function `index`: (rip i32) -> the first record of the block decoded there, or 0 (STOP and RIP set).

    The first record counts arrivals; those of the instructions follow it, and where the block was cut short a GOTO.
    """
    f = Function(module, "decode", "i32", "i32", index=index)
    rip, = f.params
    L = f.local

    def guest8(a): return a.load("i32.load8_u", at.BIAS)
    def permission(a): return (a >> 12).load("i32.load8_u", at.PERMISSIONS)

    with f.if_((c32(0).load("i32.load", at.ARENA_NEXT) > at.BIAS - (BLOCK_LIMIT + 3) * RECORD)
               | (c32(0).load("i32.load", at.BLOCK_COUNT) >= INDEX_LIMIT) | c32(0).load("i32.load", at.ARENA_NEXT).is_zero()):
        f.call(flush)
    with f.if_((c32(0).load("i32.load", at.BLOCK_COUNT) << 4) > c32(0).load("i32.load", at.HASH_MASK)):
        f.call(spread)                                      # half full, at the latest

    first = L(value=c32(0).load("i32.load", at.ARENA_NEXT))
    rec, ip, page, count = L(value=first + RECORD), L(value=rip), L(value=-1), L(value=0)
    p, b, kind, modrm, cls, row, mod = L(), L(), L(), L(), L(), L(), L()
    rex, rep, osz, a32, lock, seg = L(), L(), L(), L(), L(), L()
    vvvv, vex = L(), L()
    map_, opcode, form, sizes, rm, reg, base, idx, scale, length, code, n = (L() for _ in range(12))
    disp, imm = L("i64"), L("i64")
    flags = L()

    def need_page(address: X, out: int):
        """Leaves the block `out` unless the page of `address` may be executed; asks for the first instruction's."""
        with f.loop() as ask:
            with f.if_((permission(address) & at.EXECUTE).is_zero()):
                f.br(out, count)
                f.br(ask, invoke(fault_import, address, c32(0), c32(at.EXECUTE)))
                f.ret(0)
        f.store("i32.store8", address >> 12,
                ((permission(address) | at.CODE) & (0xFF ^ at.WRITE)), at.PERMISSIONS)

    f.store("i64.store", 0, rip.wide(), at.RIP)              # where we stand, should the page be refused
    f.store("i32.store", 0, at.LEFT, at.STOP)
    f.store("i32.store", first, Tables.COUNT, R_HANDLER)
    f.store("i32.store", first, rip, R_RIP)
    f.store("i32.store8", first, 0, R_LENGTH)
    hashed = L(value=at.expected_bit(rip))
    expected = ((hashed >> 3).load("i32.load8_u", at.EXPECTED) >> (hashed & 7)) & 1
    f.store("i32.store", first, expected.pick(at.EARLY, c32(0).load("i32.load", at.WARM)), R_COUNT)
    with f.block() as out:
        with f.loop() as instruction:
            with f.if_(page != (ip >> 12)):
                need_page(ip, out)
                f.set(page, ip >> 12)
            f.set(p, ip)
            for v in (rex, rep, osz, a32, lock):
                f.set(v, 0)
            f.set(seg, at.ZERO // 8)
            # -- prefixes; REX counts only right before the opcode
            with f.block() as opcode_found:
                with f.loop() as prefix:
                    f.set(b, guest8(p))
                    f.set(p, p + 1)
                    f.set(kind, b.load("i32.load8_u", where["prefix"]))
                    f.br(opcode_found, kind.is_zero())
                    with f.if_(kind == P_REX):
                        f.set(rex, b)
                    with f.else_():
                        f.set(rex, 0)
                        f.set(osz, (kind == P_66).pick(1, osz))
                        f.set(a32, (kind == P_67).pick(32, a32))
                        f.set(rep, (kind == P_F3).pick(opcodes.PF3, (kind == P_F2).pick(opcodes.PF2, rep)))
                        f.set(lock, (kind == P_LOCK).pick(1, lock))
                        f.set(seg, (kind == P_FS).pick(at.FS_BASE // 8, (kind == P_GS).pick(at.GS_BASE // 8, seg)))
                    f.br(prefix, (p - ip) < 15)
            # -- opcode and its map
            f.set(map_, 0)
            f.set(vvvv, 0)
            f.set(vex, 0)
            f.set(cls, rep.pick(rep, osz))
            if tables.vex:
                _vex(f, b, p, guest8, rex, osz, rep, lock, map_, cls, vvvv, vex)
            with f.if_((b == 0x0F) & map_.is_zero()):
                f.set(b, guest8(p))
                f.set(p, p + 1)
                f.set(map_, opcodes.TWO_BYTE)
                with f.if_((b == 0x38) | (b == 0x3A)):
                    f.set(map_, (b == 0x38).pick(opcodes.MAP_0F38, opcodes.MAP_0F3A))
                    f.set(b, guest8(p))
                    f.set(p, p + 1)
            f.set(opcode, b)
            f.set(row, ((((map_ << 10) | (b << 2)) | cls) << 1).load("i32.load16_u", where["cells"]))
            f.set(modrm, guest8(p))
            with f.if_(row >= 0x8000):
                f.set(row, ((((row & 0x7FFF) << 8) | modrm) << 1).load("i32.load16_u", where["modrm"]))
            f.set(row, row * ROW + where["rows"])
            with f.if_((rex & 1) & (row.load("i32.load16_u", O_REXB) != 0)):
                f.set(row, row.load("i32.load16_u", O_REXB) * ROW + where["rows"])
            if tables.vex:
                with f.if_(((rex & 8) != 0) & (row.load("i32.load16_u", O_W) != 0)):
                    f.set(row, row.load("i32.load16_u", O_W) * ROW + where["rows"])
                # VEX.L, W or vvvv that must not be: #UD, which is row 0
                f.set(row, (vex & row.load("i32.load8_u", O_VEX)).pick(where["rows"], row))
            f.set(flags, row.load("i32.load8_u", O_FLAGS))
            f.set(sizes, ((rex & 8) | (flags & F_F64)).pick(2, osz.pick(0, (flags & F_D64).pick(2, 1))))
            if tables.vex:
                f.set(sizes, (vex & V_L).pick(0, sizes))
            f.set(form, 0)
            f.set(disp, c64(0))
            f.set(base, at.ZERO)
            f.set(idx, at.ZERO)
            f.set(scale, 0)
            f.set(mod, 3)
            # -- ModRM, SIB, displacement
            with f.if_(flags & F_MODRM):
                f.set(p, p + 1)
                f.set(mod, (flags & F_MOD3).pick(3, modrm >> 6))
                f.set(rm, modrm & 7)
                with f.if_(mod != 3):
                    f.set(form, (a32 | (seg ^ at.ZERO // 8)).pick(2, 1))
                    with f.if_(rm == 4):
                        f.set(b, guest8(p))
                        f.set(p, p + 1)
                        f.set(n, ((b >> 3) & 7) | ((rex & 2) << 2))
                        with f.if_(n != 4):
                            f.set(idx, n << 3)
                            f.set(scale, b >> 6)
                            f.set(form, 2)
                        with f.if_(((b & 7) == 5) & mod.is_zero()):
                            f.set(disp, p.load("i64.load32_s", at.BIAS))
                            f.set(p, p + 4)
                        with f.else_():
                            f.set(base, ((b & 7) | ((rex & 1) << 3)) << 3)
                    with f.else_():
                        with f.if_((rm == 5) & mod.is_zero()):      # relative to the next instruction, added below
                            f.set(disp, p.load("i64.load32_s", at.BIAS))
                            f.set(p, p + 4)
                            f.set(mod, 4)
                        with f.else_():
                            f.set(base, (rm | ((rex & 1) << 3)) << 3)
                    with f.if_(mod == 1):
                        f.set(disp, p.load("i64.load8_s", at.BIAS))
                        f.set(p, p + 1)
                    with f.if_(mod == 2):
                        f.set(disp, p.load("i64.load32_s", at.BIAS))
                        f.set(p, p + 4)
            # -- immediate
            f.set(imm, c64(0))
            f.set(kind, row.load("i32.load8_u", O_IMM))
            with f.if_(kind == IMM_Z):
                f.set(kind, sizes.pick(IMM_D, IMM_W))
            with f.if_(kind == IMM_V):
                f.set(kind, (sizes == 2).pick(IMM_O, sizes.pick(IMM_D, IMM_W)))
            for which, op, size in ((IMM_B, "i64.load8_u", 1), (IMM_W, "i64.load16_u", 2), (IMM_D, "i64.load32_s", 4),
                                    (IMM_BS, "i64.load8_s", 1), (IMM_JB, "i64.load8_s", 1), (IMM_JD, "i64.load32_s", 4),
                                    (IMM_O, "i64.load", 8), (IMM_WB, "i64.load32_u", 3)):
                with f.if_(kind == which):
                    f.set(imm, p.load(op, at.BIAS))
                    f.set(p, p + size)
            with f.if_(kind == IMM_ONE):
                f.set(imm, c64(1))
            with f.if_((kind == IMM_BS) | (kind == IMM_D)):
                # cut to the operand size: 16, 32, 64
                f.set(imm, sizes.pick((sizes == 1).pick(imm & 0xFFFFFFFF, imm), imm & 0xFFFF))
            with f.if_(row.load("i32.load8_u", O_IMM) == IMM_O):     # a full address in the instruction
                f.set(p, p - (a32 >> 3))
                f.set(disp, a32.pick(imm & 0xFFFFFFFF, imm))
            f.set(length, p - ip)
            with f.if_((kind == IMM_JB) | (kind == IMM_JD)):
                f.set(imm, imm + p.wide())
                f.set(disp, c64(UNLINKED))
            with f.if_(mod == 4):
                f.set(disp, disp + p.wide())
            with f.if_(((flags & F_POP) != 0) & ((mod < 3) & (base == at.GPR + 4 * 8))):
                f.set(disp, disp + sizes.pick(c64(8), c64(2)))       # POP counts RSP up before it forms the address
            # -- the bytes must be executable to the last
            with f.if_(((p - 1) >> 12) != page):
                f.set(n, permission(p - 1) & at.EXECUTE)
                need_page(p - 1, out)
                f.br(instruction, n.is_zero())                   # what was read there before means nothing
            # -- strings: the form is the repeat prefix
            f.set(code, row)
            with f.if_(flags & F_REP):
                f.set(form, (rep == opcodes.PF3).pick(1, (rep == opcodes.PF2).pick(2, 0)))
            f.set(code, (((row.load("i32.load16_u", O_HANDLER) + sizes * 3) + form) << 1)
                  .load("i32.load16_u", where["handlers"]))
            # 67 or a segment on anything but a general memory operand, LOCK out of place, more than 15 bytes: rare
            # enough to be left to the oracle, which decides.
            f.set(n, ((a32 | (seg ^ at.ZERO // 8)) != 0) & (((flags & F_REP) != 0) | (row.load("i32.load8_u", O_IMM) >= IMM_JB)))
            f.set(n, n | (lock & (((flags & F_LOCK).is_zero()) | (mod == 3))) | (length > 15))
            f.set(code, n.pick(Tables.ESCAPE, code))
            # -- registers
            for place, fixed, field in ((O_D, O_DFIXED, R_D), (O_S, O_SFIXED, R_S)):
                f.set(kind, row.load("i32.load8_u", place))
                f.set(n, row.load("i32.load8_u", fixed))
                f.set(reg, kind & 15)
                f.set(n, (reg == SOURCE_REG).pick(((modrm >> 3) & 7) | ((rex & 4) << 1), n))
                f.set(n, (reg == SOURCE_RM).pick((modrm & 7) | ((rex & 1) << 3), n))
                f.set(n, (reg == SOURCE_OPCODE).pick((opcode & 7) | ((rex & 1) << 3), n))
                f.set(n, (reg == SOURCE_VVVV).pick(vvvv, n))
                with f.block():
                    f.store("i32.store16", rec, (n << 3), field)
                    with f.if_((kind >> 4) == FILE_GPR8):
                        with f.if_(rex.is_zero() & ((n >= 4) & (n < 8))):        # ah ch dh bh
                            f.store("i32.store16", rec, ((n - 4) << 3) + 1, field)
                    with f.if_((kind >> 4) == FILE_VECTOR):
                        f.store("i32.store16", rec, (n << 5) + at.VECTOR, field)
                    with f.if_((kind >> 4) == FILE_MMX):
                        f.store("i32.store16", rec, ((n & 7) << 4) + at.X87, field)
                    with f.if_((kind >> 4) == FILE_STACK):
                        f.store("i32.store16", rec, n & 7, field)
            with f.if_((row.load("i32.load8_u", O_DFIXED) >= JCC) & (count != 0)):
                f.set(b, rec - RECORD)
                f.set(n, b.load("i32.load", R_HANDLER))
                with f.if_(n < len(tables.fusions)):
                    f.set(n, (n << 1).load("i32.load16_u", where["fusions"]))
                    with f.if_(n):
                        f.store("i32.store", b, n + (row.load("i32.load8_u", O_DFIXED) - JCC), R_HANDLER)
            f.store("i32.store", rec, code, R_HANDLER)
            f.store("i32.store", rec, ip, R_RIP)
            f.store("i32.store16", rec, base, R_BASE)
            f.store("i32.store16", rec, idx, R_INDEX)
            f.store("i32.store8", rec, scale, R_SCALE)
            f.store("i32.store8", rec, a32, R_A32)
            f.store("i32.store8", rec, seg, R_SEGMENT)
            f.store("i32.store8", rec, length, R_LENGTH)
            f.store("i32.store", rec, UNLINKED, R_TARGET)
            f.store("i64.store", rec, disp, R_DISP)
            f.store("i64.store", rec, imm, R_IMM)
            if tables.vex:
                for place, field in ((O_T, R_T), (O_U, R_U)):
                    f.set(kind, row.load("i32.load8_u", place))
                    with f.if_(kind):
                        f.set(reg, kind & 15)
                        f.set(n, vvvv)
                        f.set(n, (reg == SOURCE_REG).pick(((modrm >> 3) & 7) | ((rex & 4) << 1), n))
                        f.set(n, (reg == SOURCE_RM).pick((modrm & 7) | ((rex & 1) << 3), n))
                        f.set(n, (reg == SOURCE_IMM).pick(((imm >> 4) & 15).low(), n))
                        f.store("i32.store16", rec, ((kind >> 4) == FILE_VECTOR).pick((n << 5) + at.VECTOR, n << 3), field)
            f.set(rec, rec + RECORD)
            f.set(ip, p)
            f.set(count, count + 1)
            with f.if_((flags & F_END).is_zero()):
                f.br(instruction, count < BLOCK_LIMIT)
                f.br(out)
        # a block that ends with a control transfer needs no continuation
        f.store("i32.store", 0, rec, at.ARENA_NEXT)
        _index_block(f, first, rec, rip, ip)
        f.ret(first)
    # cut short: continue at ip
    f.store("i32.store", rec, Tables.GOTO, R_HANDLER)
    f.store("i32.store", rec, ip, R_RIP)
    f.store("i32.store8", rec, 0, R_LENGTH)
    f.store("i32.store", rec, UNLINKED, R_NEXT)
    f.set(rec, rec + RECORD)
    f.store("i32.store", 0, rec, at.ARENA_NEXT)
    _index_block(f, first, rec, rip, ip)
    f.ret(first)
    f.done()


def _vex(f, b, p, guest8, rex, osz, rep, lock, map_, cls, vvvv, vex):
    """A VEX prefix, which begins with byte `b`: what it says, and its opcode in `b`. `vex` gets the V_* that hold of it. After 66, F2, F3, LOCK or REX it is none, and so C4 and C5 an opcode that does not exist."""
    with f.if_(((b & 0xFE) == 0xC4) & (osz | rep | lock | rex).is_zero()):
        second, last = f.local(value=guest8(p)), f.local()
        with f.if_(b == 0xC5):
            f.set(map_, opcodes.VEX | opcodes.TWO_BYTE)
            f.set(last, second)
            f.set(rex, ((second ^ 0x80) & 0x80) >> 5)
        with f.else_():
            f.set(p, p + 1)
            f.set(last, guest8(p))
            f.set(map_, second & 31)
            f.set(map_, ((map_ - 1) < 3).pick(map_ | opcodes.VEX, opcodes.VEX))         # the one at VEX is empty
            f.set(rex, ((second ^ 0xE0) >> 5) | ((last & 0x80) >> 4))
        f.set(rex, rex | 0x40)
        f.set(cls, last & 3)
        f.set(vvvv, ((last ^ 0x78) >> 3) & 15)
        f.set(vex, ((last >> 2) & 1).pick(V_L, V_NO_L) | (vvvv != 0).pick(V_VVVV, 0) | (rex & 8).pick(V_W, V_NO_W))
        f.set(b, guest8(p + 1))
        f.set(p, p + 2)


def _index_block(f, first, rec, rip, ip):
    """Enters a block into the block index and the hash table."""
    index_code(f, rip, ip - 1, first, X("i32", (rec - first).raw))
    hash_block(f, rip, first)


def hash_block(f, rip: X, record: X) -> None:
    """Adds a block, which is not there, to the hash table."""
    slot = f.local(value=hash_slot(rip))
    with f.loop() as probe:
        with f.if_((slot.load("i32.load", at.HASH + 4) != 0) | ((slot.load("i32.load", at.HASH) != 0)
                                                              & (slot.load("i32.load", at.HASH) != rip))):
            f.set(slot, next_slot(slot))
            f.br(probe)
    f.store("i32.store", slot, rip, at.HASH)
    f.store("i32.store", slot, record, at.HASH + 4)


def index_code(f, first: X, last: X, record: X, size: X | int) -> None:
    """Adds to the block index: `size` bytes of records from `record` on depend on the guest bytes first .. last."""
    entry = f.local(value=c32(0).load("i32.load", at.BLOCK_COUNT))
    f.store("i32.store", 0, entry + 1, at.BLOCK_COUNT)
    f.set(entry, (entry << 4) + at.BLOCKS)
    f.store("i32.store", entry, first, 0)
    f.store("i32.store", entry, last, 4)
    f.store("i32.store", entry, record, 8)
    f.store("i32.store", entry, size, 12)


def hash_mask() -> X: return c32(0).load("i32.load", at.HASH_MASK)


def hash_slot(rip: X) -> X:
    """The byte offset in HASH where the search for rip begins."""
    return ((rip * 0x9E3779B1) >> 9) & hash_mask()


def next_slot(slot: X) -> X: return (slot + 8) & hash_mask()
