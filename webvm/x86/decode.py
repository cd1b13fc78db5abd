"""Bytes to instructions, in 64-bit mode. Every choice is a row's (opcodes); only prefixes and address forms are here.

Knows prefixes, ModRM, SIB, displacements and immediates. Must not know what any instruction does.
"""

from .insn import Imm, Insn, Mem, Reg, Rel
from .opcodes import EVEX, PF2, PF3, SIZE_E, SIZE_H, SIZE_K, SIZE_P, SIZE_U, SIZE_V, SIZE_X, SIZE_YY, SIZE_Z, VEX, view

MAX_LENGTH = 15
_M64 = (1 << 64) - 1
_MASKS = {size: (1 << 8 * size) - 1 for size in (1, 2, 4, 8)}


class Undefined(Exception):
    """The processor raises #UD for these bytes."""

    def __init__(self, code, address):
        super().__init__(code, address)
        self.bytes, self.address = code, address

    def __str__(self):
        return f"undefined instruction {self.bytes.hex(' ')} at {self.address:#x}"


class TooLong(Undefined):
    """More than 15 bytes: the processor raises #GP."""


class Truncated(Exception):
    """The bytes end inside the instruction; more than `needs` bytes are needed."""

    def __init__(self, needs, address):
        super().__init__(needs, address)
        self.needs, self.address = needs, address


# Prefix bytes. REX is 40 to 4F; 26, 2E, 36 and 3E have no effect in 64-bit mode.
_IGNORED, _OPSIZE, _ADSIZE, _LOCK, _REP, _REPNE, _FS, _GS, _REX, _VEX = range(1, 11)
_PREFIX = bytearray(256)
for _byte, _what in ((0x26, _IGNORED), (0x2E, _IGNORED), (0x36, _IGNORED), (0x3E, _IGNORED), (0x66, _OPSIZE),
                     (0x67, _ADSIZE), (0xF0, _LOCK), (0xF3, _REP), (0xF2, _REPNE), (0x64, _FS), (0x65, _GS),
                     (0xC4, _VEX), (0xC5, _VEX), (0x62, _VEX), *((rex, _REX) for rex in range(0x40, 0x50))):
    _PREFIX[_byte] = _what

_SEGMENT = {_FS: "fs", _GS: "gs"}
_REP_CLASS = {_REP: PF3, _REPNE: PF2}
_REP_NAME = {0: None, _REP: "rep", _REPNE: "repne"}


def _registers(kind, sizes, count=16):
    return {size: tuple(Reg(kind, n, size) for n in range(count)) for size in sizes}


_GENERAL = _registers("g", (1, 2, 4, 8))
_LEGACY8 = _GENERAL[1][:4] + tuple(Reg("g", n, 1, True) for n in range(4))     # al..bl, ah..bh: without REX
_XMM = _registers("x", (1, 2, 4, 8, 16, 32))
_MMX = _registers("m", (4, 8), 8)
_X87 = _registers("f", (10,), 8)[10]
_SEGMENT_REGISTERS = _registers("s", (2,), 6)[2]
_SYSTEM = {"C": _registers("c", (8,))[8], "D": _registers("d", (8,))[8]}
_ONE = Imm(1, 1)
_NAMED = {"=g": _GENERAL, "=x": _XMM, "=s": {2: _SEGMENT_REGISTERS}, "=f": {10: _X87}}


def decode(code, address, offset=0, features=None):
    """The instruction whose bytes begin at code[offset] (bytes-like) and which lies at `address`.

    `features` is a frozenset of CPUID feature names (opcodes.FEATURES) that the processor has; None is all.
    Raises Undefined (#UD), TooLong (#GP), or Truncated when the bytes run out.
    """
    try:
        return _decode(code, address, offset, view(features))
    except IndexError:
        if len(code) - offset >= MAX_LENGTH:
            raise TooLong(bytes(code[offset:offset + MAX_LENGTH]), address) from None
        raise Truncated(len(code) - offset, address) from None


def _decode(code, address, offset, table):
    """As `decode`, but raises IndexError where the bytes run out."""
    at = offset
    opsize = lock = has_rex = False
    asize, rex, rep, segment = 8, 0, 0, None

    # Prefixes, in any order and number: the last of a group counts, and REX only right before the opcode.
    while what := _PREFIX[code[at]]:
        if what == _REX:
            rex, has_rex = code[at], True
        elif what == _VEX:
            break
        else:
            rex, has_rex = 0, False
            if what == _OPSIZE:
                opsize = True
            elif what == _REP or what == _REPNE:
                rep = what
            elif what == _ADSIZE:
                asize = 4
            elif what == _LOCK:
                lock = True
            elif what != _IGNORED:
                segment = _SEGMENT[what]
        at += 1
        if at - offset == MAX_LENGTH:
            raise TooLong(bytes(code[offset:at]), address)

    # The opcode, and with the prefixes (and perhaps ModRM) its row.
    vex_l = vvvv = 0
    if what:
        if opsize or rep or lock or has_rex:
            raise Undefined(bytes(code[offset:at + 1]), address)
        map, opcode, prefix, rex, vex_l, vvvv, at = _vex(code, at)
    else:
        map, opcode, prefix = 0, code[at], rep and _REP_CLASS[rep] or opsize
        at += 1
        if opcode == 0x0F:
            map, opcode = 1, code[at]
            at += 1
            if opcode == 0x38 or opcode == 0x3A:
                map, opcode = opcode - 0x38 >> 1 | 2, code[at]
                at += 1
    row = table[map << 10 | opcode << 2 | prefix]
    if row.__class__ is tuple:
        row = row[code[at]]
    if row is not None and rex & 8 and row.with_w is not None:
        row = row.with_w
    if row is None or what and (row.lz if vex_l else row.l1) or vvvv and row.v1111 or (row.w0 if rex & 8 else row.w1):
        raise Undefined(bytes(code[offset:at + 1]), address)
    if rex & 1 and row.with_rexb is not None:
        row = row.with_rexb

    osize = 2 if vex_l else 8 if rex & 8 or row.f64 else 2 if opsize else 8 if row.d64 else 4

    # ModRM, SIB and displacement.
    memory = rip = False
    vsib = 0
    address_operand = modrm = None
    if row.has_modrm:
        modrm = code[at]
        at += 1
        reg, rm = modrm >> 3 & 7 | (rex & 4) << 1, modrm & 7 | (rex & 1) << 3
        memory = modrm < 0xC0 and not row.mod3
        if memory:
            first = at
            base, index, scale, disp, rip, at = _address(code, at, modrm, rex)
            if row.vsibd or row.vsibq:
                if modrm & 7 != 4:
                    raise Undefined(bytes(code[offset:at]), address)
                vsib = 16 if row.vsibd and row.operands[1].size == 8 else 16 << vex_l
                index, scale = code[first] >> 3 & 7 | (rex & 2) << 2, 1 << (code[first] >> 6)
    if lock and not (memory and row.lock):
        raise Undefined(bytes(code[offset:at]), address)

    operands = []
    for operand in row.operands:
        place, size = operand.place, operand.size
        if size < 0:
            size = _size(size, osize, rex, vex_l)
        if place in "EWQMRUN":
            if memory:
                value = address_operand = Mem(base, index, scale, disp, segment, size, asize, rip, vsib)
            elif place in "ER":
                value = _LEGACY8[rm] if size == 1 and not has_rex else _GENERAL[size][rm]
            elif place in "WU":
                value = _XMM[size][rm]
            else:
                value = _MMX[size][rm & 7]
        elif place == "G":
            value = _LEGACY8[reg] if size == 1 and not has_rex else _GENERAL[size][reg]
        elif place == "V":
            value = _XMM[size][reg]
        elif place in "IJO":
            n = _immediate_size(operand.imm, osize, asize)
            if at + n > len(code):
                raise IndexError
            number = int.from_bytes(code[at:at + n], "little")
            at += n
            if place == "O":
                value = Mem(None, None, 1, number, segment, size, asize)
            else:
                if place == "J" or n < size:
                    sign = 1 << 8 * n - 1
                    number = (number ^ sign) - sign
                value = Imm(number & _MASKS[size], size) if place == "I" else Rel(address + at - offset + number & _M64)
        elif place == "Z":
            number = opcode & 7 | (rex & 1) << 3
            value = _LEGACY8[number] if size == 1 and not has_rex else _GENERAL[size][number]
        elif place[0] == "=":
            value = _NAMED[place][size][operand.number]
        elif place == "P":
            value = _MMX[size][reg & 7]
        elif place == "X":
            value = Mem(6, None, 1, 0, segment, size, asize)
        elif place == "Y":
            value = Mem(7, None, 1, 0, None, size, asize)
        elif place == "F":
            value = _X87[rm & 7]
        elif place == "1":
            value = _ONE
        elif place == "S":
            value = _SEGMENT_REGISTERS[reg & 7]
        elif place == "H":
            value = _XMM[size][vvvv]
        elif place == "L":
            value = _XMM[size][code[at] >> 4]
            at += 1
        elif place == "B":
            value = _GENERAL[size][vvvv]
        else:
            value = _SYSTEM[place][reg]
        operands.append(value)

    if vsib and len({operands[0].number, address_operand.index, operands[2].number}) < 3:
        raise Undefined(bytes(code[offset:at]), address)
    length = at - offset
    if length > MAX_LENGTH:
        raise TooLong(bytes(code[offset:offset + MAX_LENGTH]), address)
    if rip and address_operand is not None:
        address_operand.disp = address + length + disp & (_M64 if asize == 8 else 0xFFFFFFFF)
    size = _size(row.size, osize, rex, vex_l)
    rep_name = _REP_NAME[rep] if row.rep or row.repz else None
    return Insn(address, length, row, row.mnemonics[osize >> 2], tuple(operands), size, asize, lock, rep_name, segment, modrm)


def _address(code, at, modrm, rex):
    """(base, index, scale, disp, RIP-relative, end) of the memory operand whose ModRM byte ends at `at`."""
    mod, base, index, scale, rip = modrm >> 6, modrm & 7, None, 1, False
    if base == 4:
        sib = code[at]
        at += 1
        base, index = sib & 7, sib >> 3 & 7 | (rex & 2) << 2
        if index == 4:
            index = None
        else:
            scale = 1 << (sib >> 6)
        if base == 5 and mod == 0:
            base, mod = None, 2
        else:
            base |= (rex & 1) << 3
    elif base == 5 and mod == 0:
        base, mod, rip = None, 2, True
    else:
        base |= (rex & 1) << 3

    if mod == 0:
        disp = 0
    elif mod == 1:
        disp = (code[at] ^ 0x80) - 0x80
        at += 1
    else:
        disp = ((code[at] | code[at + 1] << 8 | code[at + 2] << 16 | code[at + 3] << 24) ^ 0x80000000) - 0x80000000
        at += 4
    return base, index, scale, disp, rip, at


def _vex(code, at):
    """(map, opcode, prefix class, REX bits, vector length, vvvv, end) of the VEX or EVEX prefix at `at` and its opcode.

    Raises no Undefined: numbers that name no map give one that is empty.
    """
    kind, first = code[at], code[at + 1]
    if kind == 0xC5:
        return VEX | 1, code[at + 2], first & 3, 0x40 | (~first & 0x80) >> 5, first >> 2 & 1, ~first >> 3 & 15, at + 3
    second = code[at + 2]
    rex = 0x40 | ~first >> 5 & 7 | second >> 4 & 8
    vvvv, prefix = ~second >> 3 & 15, second & 3
    if kind == 0xC4:
        map = VEX | first & 3 if 1 <= first & 31 <= 3 else EVEX
        return map, code[at + 3], prefix, rex, second >> 2 & 1, vvvv, at + 4
    map = EVEX | first & 7 if not first & 8 and second & 4 else EVEX
    return map, code[at + 4], prefix, rex, code[at + 3] >> 5 & 3, vvvv, at + 5


_BY_L = {SIZE_H: 8, SIZE_K: 4, SIZE_E: 2}


def _size(size, osize, rex, vex_l):
    """Bytes of an operand's size, given the operand size, REX.W and VEX.L."""
    if size >= 0:
        return size
    if size == SIZE_V:
        return osize
    if size == SIZE_Z:
        return min(osize, 4)
    if size == SIZE_X:
        return 16 << vex_l
    if size == SIZE_P:
        return 2 + osize
    if size in _BY_L:
        return _BY_L[size] << vex_l
    if size == SIZE_U:
        return 8 << 2 * vex_l
    return (8 if rex & 8 else 4) * (2 if size == SIZE_YY else 1)


def _immediate_size(imm, osize, asize):
    """Bytes of an immediate of this kind (Row.imm)."""
    if imm == "z":
        return 2 if osize == 2 else 4
    return {"b": 1, "w": 2, "v": osize, "o": asize}[imm]
