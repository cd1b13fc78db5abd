"""Every form of every row of the opcode tables, and cases of it: code, registers, memory.

A form is a row, an operand size, register or memory operand, and prefixes that are legal for it (or one that is not: LOCK). What
the tables say is all that is used, so a row added there is tested from then on. Addresses are of every kind; operands are random
or at boundaries, and set up so that most instructions do what they are for: divisions have quotients, bit strings lie in the data.
"""
import random
import struct
from dataclasses import dataclass
from itertools import product

from tests.x86.machines import BOUNDARY, CODE, DATA, DATA_SIZE, MIDDLE, TEXT, of_text, random_state
from webvm.x86 import opcodes
from webvm.x86.decode import Undefined, decode
from webvm.x86.insn import Imm, Insn, Mem, Reg
from webvm.x86.opcodes import BEHIND, NP, P66, PF2, PF3, SIZE_V, SIZE_X, SIZE_Y, SIZE_YY, SIZE_Z, VEX, Row
from webvm.x86.oracle import State
from webvm.x86.primitives import M64

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
_MANDATORY = {None: b"", "NP": b"", "NFx": b"", "66": b"\x66", "F3": b"\xf3", "F2": b"\xf2"}
_MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
_SIZED = {SIZE_V, SIZE_Z, SIZE_Y, SIZE_YY}
LENGTHS = {None: 0, "b": 1, "w": 2, "d": 4, "wb": 3}


@dataclass(frozen=True)
class Form:
    """long: VEX.L; prefixes: of "67", "fs", "gs", "lock", "rep", "repne", and "null" (segment overrides that do nothing)."""
    row: Row
    size: int
    memory: bool
    prefixes: tuple[str, ...]
    long: bool = False

    def __str__(self): return f"{self.row} {8 * self.size} bits{' L' if self.long else ''}{' memory' if self.memory else ''} {' '.join(self.prefixes)}".rstrip()


@dataclass
class Case:
    form: Form
    code: bytes
    insn: Insn | None                            # None: undefined
    state: State
    data: bytes


def rows(features: frozenset[str]) -> list[Row]:
    """The rows that a processor with these features has, those that only measure VEX and EVEX apart."""
    seen = {}
    for entry in opcodes.view(features):
        for row in entry if isinstance(entry, tuple) else (entry,):
            for one in (row, row and row.with_rexb, row and row.with_w):
                if one is not None and one.feature not in ("vex", "evex"):
                    seen[one.index] = one
    return [seen[index] for index in sorted(seen)]


def is_x87(row: Row) -> bool: return row.map == 0 and 0xD8 <= row.opcode <= 0xDF


def reachable(row: Row, size: int, memory: bool, features) -> bool:
    """Whether there is a ModRM byte of that kind for which no more particular row holds."""
    modrms = range(0xC0) if memory else range(0xC0, 0x100)
    prefix = P66 if size == 2 and P66 in row.classes else row.classes[0]
    return row in BEHIND or any(opcodes.lookup(row.map, row.opcode, prefix, modrm, features) is row for modrm in modrms)


def forms_of(row: Row, features: frozenset[str]) -> list[Form]:
    """All of a row."""
    places = {o.place for o in row.operands}
    sized = not {o.size for o in row.operands}.isdisjoint(_SIZED) or not row.operands or not places.isdisjoint("XY")
    sizes = [4, 8]
    if row.map >= VEX:
        sizes = [8] if row.w1 else [4] if row.w0 or not sized else [4, 8]
    elif row.classes in ((NP, P66, PF3, PF2), (NP, P66)) or sized and row.classes in ((PF3,), (PF2,)):
        sizes = [2, 4, 8]
    if row.f64 and 2 in sizes:
        sizes.remove(2)                          # Intel ignores 66 there, AMD does not: see README
    found = []
    for size, memory in product(sizes, (False, True)):
        if memory and (not row.has_modrm or row.mod == "reg" or row.mod3) or not memory and row.mod == "mem":
            continue
        if row.has_modrm and not reachable(row, size, memory, features):
            continue
        addressed = memory or not places.isdisjoint("XYO") or row.meaning in ("xlat", "maskmovq", "vmaskmovq")
        some = [(), *([("67",), ("fs",), ("gs",), ("67", "fs")] if addressed else [("null",)])]
        if row.meaning in ("loop", "loope", "loopne", "jrcxz"):
            some.append(("67",))
        if row.map < VEX:
            some.append(("lock",))
        if row.rep or row.repz:
            some = [(*p, *rep) for p in some if p != ("lock",) for rep in ((), ("rep",), ("repne",))]
        if row.map >= VEX and row.feature[:3] != "bmi":      # all the same with VEX: of the prefixes that do something, two
            some = [(), ("67", "fs")] if addressed else [()]
        for long in (False, True) if row.map >= VEX and not row.lz else (False,):
            if long or not row.l1:
                found += [Form(row, size, memory, prefixes, long) for prefixes in some]
    return found


def all_forms(features: frozenset[str]) -> list[Form]: return [form for row in rows(features) for form in forms_of(row, features)]


class _Address:
    """A memory operand's bytes, and the registers that make it: `registers` is what to put where."""

    def __init__(self, form: Form, rng: random.Random, target: int, asize: int, vsib: bool = False):
        self.mod, self.rm, self.sib, self.disp, self.rex, self.registers = 0, 0, b"", b"", 0, {}
        self.rip = False
        kind = rng.choice((2, 5)) if vsib else rng.randrange(7)
        base, index, scale = rng.randrange(16), rng.choice([n for n in range(16) if n != RSP]), rng.randrange(4)
        if base == index:
            index = (index + 8) % 16 if index != 12 else 1
        if kind == 0:                            # disp32 alone, or RIP-relative: the distance is known when all else is
            self.rip, self.rm = True, 5
            self.target = target
            return
        if kind == 1:
            self.rm, self.sib, self.disp = 4, b"\x25", struct.pack("<I", target & 0xFFFFFFFF)
            return
        size = 4 if kind == 2 else rng.choice((0, 1, 4))
        disp = {0: 0, 1: rng.randrange(-128, 128), 4: rng.choice((rng.randrange(-4096, 4096), rng.randrange(-1 << 31, 1 << 31)))}[size]
        wild = rng.getrandbits(64) >> 32 << 32 if asize == 4 else 0
        amount = rng.choice((0, 1, rng.randrange(64), rng.getrandbits(64)))
        if kind == 2:                            # index * scale + disp32
            self.rm, self.sib = 4, bytes([scale << 6 | (index & 7) << 3 | 5])
            self.rex = (index >> 3) << 1
            disp = target - (target >> scale << scale) + (rng.randrange(-4096, 4096) << scale)
            if not vsib:
                self.registers[index] = (target - disp >> scale) & M64 | (wild if scale == 0 else 0)
        elif kind in (3, 4) and base & 7 != 4:   # base + disp
            self.rm, self.rex = base & 7, base >> 3
            if size == 0 and base & 7 == 5:
                size = 1
            self.registers[base] = target - disp & (0xFFFFFFFF if wild else M64) | wild
        else:                                    # base + index * scale + disp; a base of RSP and R12 needs the SIB byte
            if kind in (3, 4):
                self.rm, self.sib, self.rex, index = 4, b"\x24", base >> 3, None
            else:
                self.rm, self.sib = 4, bytes([scale << 6 | (index & 7) << 3 | base & 7])
                self.rex = (index >> 3) << 1 | base >> 3
                if vsib:
                    index = None
                else:
                    self.registers[index] = amount
            if size == 0 and base & 7 == 5:
                size = 1
            at = target - disp - ((amount << scale) if index is not None else 0)
            self.registers[base] = at & (0xFFFFFFFF if wild else M64) | wild
        if kind != 2:
            self.mod = {0: 0, 1: 1, 4: 2}[size]
        if vsib and kind == 2:
            self.disp = struct.pack("<I", target & 0xFFFFFFFF)
            return
        self.disp = {0: b"", 1: struct.pack("<b", disp) if size == 1 else b"", 4: struct.pack("<I", disp & 0xFFFFFFFF)}[size]


def make(form: Form, rng: random.Random, features: frozenset[str]) -> Case:
    """A case of a form."""
    while True:
        case = _make(form, rng, features)
        if case.insn is None or case.insn.row is form.row:        # else a more particular row's
            return case


def _make(form, rng, features) -> Case:
    row, prefixes = form.row, form.prefixes
    strings = row.rep or row.repz
    state = random_state(rng, False, False)
    state.rest = 0
    asize = 4 if "67" in prefixes else 8
    segment = next((p for p in prefixes if p in ("fs", "gs")), None)
    base = rng.randrange(0x100000, MIDDLE - 0x100000)
    state.fs_base, state.gs_base = (base, base ^ 0xFF0) if segment == "fs" else (base ^ 0xFF0, base)
    base = base if segment else 0
    code, address = _encode(form, rng, _target(form, rng) - base, asize, state)

    state.gpr[RSP] = MIDDLE + 8 * rng.randrange(-16, 16) + (rng.random() < .2) * rng.randrange(8)
    state.gpr[RBP] = rng.choice((state.gpr[RBP], MIDDLE + rng.randrange(-64, 64)))
    if address:
        for register, value in address.registers.items():
            state.gpr[register] = value
    if row.vsibd or row.vsibq:                   # indices of elements around the middle, and few elements under the mask
        size = 8 if row.vsibq else 4
        for n in range(16):
            both = [b"".join((rng.randrange(-99, 99) & (1 << 8 * size) - 1).to_bytes(size, "little") for _ in range(16 // size)) for _ in range(2)]
            if n != _vvvv(code):
                state.xmm[n], state.upper[n] = (int.from_bytes(half, "little") for half in both)
    high = rng.getrandbits(64) >> 32 << 32 if asize == 4 else 0
    if strings:
        state.gpr[RSI] = MIDDLE + rng.randrange(-128, 128) - base | high
        state.gpr[RDI] = MIDDLE + rng.randrange(-128, 128) | high
        if rng.random() < .1:                    # it ends in the middle, at one end of the data
            end = rng.choice((DATA, DATA + DATA_SIZE))
            which = rng.choice((RSI, RDI))
            state.gpr[which] = end + rng.randrange(-32, 32) - (base if which == RSI else 0) | high
        state.gpr[RCX] = rng.choice((0, 1, 2, rng.randrange(40))) | high
    elif row.meaning in ("loop", "loope", "loopne", "jrcxz"):
        state.gpr[RCX] = rng.choice((0, 1, 2, rng.getrandbits(64))) | high
    elif row.meaning in ("maskmovq", "vmaskmovq"):
        state.gpr[RDI] = MIDDLE + rng.randrange(-64, 64) - base | high
    elif row.meaning == "xlat":
        state.gpr[RBX] = MIDDLE + rng.randrange(-64, 64) - base | high
    elif row.meaning in ("div", "idiv") and rng.random() < .8:
        sign = -(state.gpr[RAX] >> 8 * form.size - 1 & 1) if row.meaning == "idiv" else 0
        state.gpr[RDX] = rng.choice((sign, sign, rng.randrange(16))) & M64
        if row.operands[0].size == 1:
            state.gpr[RAX] &= ~0xFF00
    data = bytearray(rng.randbytes(DATA_SIZE))
    insn = None
    try:
        insn = decode(code.ljust(16, b"\xcc"), CODE, features=features)
    except Undefined:
        pass
    if insn is not None:
        code = code[:insn.length]
        _bits(insn, state, rng)
        _values(insn, state, data, rng)
    return Case(form, code, insn, state, of_text(rng, state, bytes(data)) if row.meaning in TEXT else bytes(data))


def _target(form, rng) -> int:
    """Where the operand is to lie: mostly around the middle of the data, where one page ends; mostly aligned."""
    at = MIDDLE + rng.randrange(-64, 64)
    if rng.random() < .03:
        at = rng.choice((DATA - rng.randrange(20), DATA + DATA_SIZE - rng.randrange(20)))
    if form.row.meaning in ("xsave", "xrstor"):
        return at & ~63 if rng.random() < .9 else at
    wide = any(o.size in (16, 32, SIZE_X, SIZE_YY) for o in form.row.operands) or form.row.meaning.startswith("fx")
    return at & ~(31 if form.long else 15) if wide and rng.random() < .9 else at


def _encode(form, rng, target, asize, state):
    row, size = form.row, form.size
    vsib = row.vsibd or row.vsibq
    address = _Address(form, rng, target, asize, vsib) if form.memory else None
    rex = 8 if size == 8 else 0
    want = rex or rng.random() < .5              # a REX prefix, which makes spl of ah
    if want:
        rex |= 0x40
    reg = rng.randrange(8) if row.reg is None else row.reg
    rm = rng.randrange(8) if row.rm is None else row.rm
    if want and row.reg is None:
        rex |= rng.choice((0, 4))
    if address:
        rex |= address.rex | (0x40 if address.rex else 0)
        rm = address.rm
    elif want and not row.with_rexb and not (row.rm is not None):
        rex |= rng.choice((0, 1))
    if row in _REXB:
        rex |= 0x41
    if row.map >= VEX:
        vvvv = 15 if row.v1111 else rng.randrange(16)
        code = bytes([{"fs": 0x64, "gs": 0x65, "67": 0x67, "null": 0x3E}[p] for p in form.prefixes])
        w = size == 8 or not (row.w0 or SIZE_Y in {o.size for o in row.operands}) and rng.random() < .2
        if not rex & 3 and not w and row.map & 3 == 1 and rng.random() < .5:
            code += bytes([0xC5, (~rex & 4) << 5 | vvvv << 3 | form.long << 2 | row.classes[0]])
        else:
            code += bytes([0xC4, (~rex & 7) << 5 | row.map & 3, w << 7 | vvvv << 3 | form.long << 2 | row.classes[0]])
    else:
        some = [{"fs": b"\x64", "gs": b"\x65", "67": b"\x67", "lock": b"\xf0", "rep": b"\xf3", "repne": b"\xf2",
                 "null": bytes([rng.choice((0x26, 0x2E, 0x36, 0x3E))])}[p] for p in form.prefixes]
        if size == 2:
            some.append(b"\x66")
        elif size == 8 and row.classes == (NP, P66, PF3, PF2) and not (row.rep or row.repz) and rng.random() < .1:
            some.append(b"\x66")                 # REX.W wins
        rng.shuffle(some)
        mandatory = _MANDATORY[row.prefix]
        if mandatory == b"\x66" and b"\x66" in some:
            mandatory = b""
        code = b"".join(some) + mandatory + (bytes([rex]) if rex else b"") + _MAPS[row.map]
    code += bytes([rng.choice(row.opcodes)])
    immediate = _immediate(row, size, rng, target, asize)
    if row.has_modrm:
        if address is None:
            code += bytes([0xC0 | reg << 3 | rm])
        else:
            disp = address.disp
            if address.rip:
                length = len(code) + 5 + len(immediate)
                disp = struct.pack("<i", _signed32(target - CODE - length))
            code += bytes([address.mod << 6 | reg << 3 | rm]) + address.sib + disp
    return code + immediate, address


def _vvvv(code) -> int:
    """Of an instruction with a VEX prefix of three bytes."""
    return ~code[code.index(0xC4) + 2] >> 3 & 15


_REXB = frozenset(row.with_rexb for row in opcodes.ROWS if row.with_rexb)


def _signed32(n): return (n + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


def _immediate(row, size, rng, target, asize) -> bytes:
    if row.imm == "o":
        return struct.pack("<Q", target)[:8 if asize == 8 else 4]
    osize = 8 if row.f64 or row.d64 and size == 4 else size
    length = {**LENGTHS, "z": 2 if osize == 2 else 4, "v": osize}[row.imm]
    number = rng.choice(BOUNDARY) if rng.random() < .5 else rng.getrandbits(64)
    if row.meaning == "enter":
        number = rng.choice((0, 8, 0x7F, rng.randrange(0x400))) | rng.choice((0, 0, 1, 2, 5, 31, 33, rng.randrange(256))) << 16
    return (number & (1 << 8 * length) - 1).to_bytes(length, "little")


def _bits(insn, state, rng):
    """BT and its kin with a register index: mostly a bit in the data."""
    if insn.meaning in ("bt", "bts", "btr", "btc") and isinstance(insn.operands[0], Mem) and isinstance(insn.operands[1], Reg):
        memory, index = insn.operands
        if index.number not in (memory.base, memory.index) and rng.random() < .9:
            state.gpr[index.number] = rng.randrange(-8000, 8000) & M64


def _values(insn, state, data, rng):
    """Operands in memory that are more than random bytes: integers at their boundaries, equal ones for comparisons."""
    for o in insn.operands:
        if isinstance(o, Mem) and o.size in (1, 2, 4, 8) and rng.random() < .4:
            at = effective(insn, o, state) - DATA
            if 0 <= at <= DATA_SIZE - 8:
                value = rng.choice((*BOUNDARY, state.gpr[RAX], state.gpr[rng.randrange(16)]))
                data[at:at + o.size] = (value & (1 << 8 * o.size) - 1).to_bytes(o.size, "little")
    if insn.meaning == "xrstor" and rng.random() < .9:
        at = effective(insn, insn.operands[0], state) - DATA
        if 0 <= at <= DATA_SIZE - 576:
            data[at + 24:at + 28] = (0x1F80 | rng.getrandbits(6)).to_bytes(4, "little")
            data[at + 512:at + 576] = rng.randrange(8).to_bytes(64, "little")
    if insn.meaning == "cmpxchg8b" and rng.random() < .5:
        at = effective(insn, insn.operands[0], state) - DATA
        half = insn.size // 2
        if 0 <= at <= DATA_SIZE - 2 * half:
            for k, register in enumerate((RAX, RDX)):
                data[at + k * half:at + (k + 1) * half] = (state.gpr[register] & (1 << 8 * half) - 1).to_bytes(half, "little")


def effective(insn: Insn, o: Mem, state: State) -> int:
    """The linear address of a memory operand."""
    g = state.gpr
    at = o.disp + (g[o.base] if o.base is not None else 0) + (g[o.index] * o.scale if o.index is not None else 0)
    at &= 0xFFFFFFFF if o.asize == 4 else M64
    return at + {None: 0, "fs": state.fs_base, "gs": state.gs_base}[o.segment] & M64


def shift_count(insn: Insn, state: State) -> int:
    """Of a shift or rotate, as masked."""
    o = insn.operands[-1]
    value = o.value if isinstance(o, Imm) else state.gpr[RCX]
    return value & (63 if insn.size == 8 else 31)
