"""A decoded instruction and its operands. Knows how they read in Intel syntax; must not know bytes or meanings."""

_BY_SIZE = {
    1: ("al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", *(f"r{n}b" for n in range(8, 16))),
    2: ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di", *(f"r{n}w" for n in range(8, 16))),
    4: ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", *(f"r{n}d" for n in range(8, 16))),
    8: ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16))),
}
_HIGH = ("ah", "ch", "dh", "bh")
_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
_POINTERS = {1: "byte ptr ", 2: "word ptr ", 4: "dword ptr ", 8: "qword ptr ", 10: "tbyte ptr ",
             16: "xmmword ptr ", 32: "ymmword ptr "}


class Reg:
    """A register: kind g general, x xmm or ymm, m mmx, f x87 (number is i of ST(i)), s segment, c control, d debug.

    `size` is the bytes of it that the instruction reads or writes (4 for a scalar single in xmm). `high`: ah, ch,
    dh or bh, whose number is that of ax, cx, dx or bx.
    """

    __slots__ = ("kind", "number", "size", "high")

    def __init__(self, kind, number, size, high=False):
        self.kind, self.number, self.size, self.high = kind, number, size, high

    def __eq__(self, other):
        return isinstance(other, Reg) and (self.kind, self.number, self.size, self.high) == (
            other.kind, other.number, other.size, other.high)

    def __hash__(self):
        return hash((self.kind, self.number, self.size, self.high))

    def __str__(self):
        if self.kind == "g":
            return _HIGH[self.number] if self.high else _BY_SIZE[self.size][self.number]
        if self.kind == "s":
            return _SEGMENTS[self.number]
        if self.kind == "x":
            return f"{'ymm' if self.size == 32 else 'xmm'}{self.number}"
        return {"m": "mm{}", "f": "st({})", "c": "cr{}", "d": "dr{}"}[self.kind].format(self.number)

    __repr__ = __str__


class Imm:
    """An immediate: `value` as an unsigned number of `size` bytes, sign-extended first where the manual says so."""

    __slots__ = ("value", "size")

    def __init__(self, value, size):
        self.value, self.size = value, size

    def __eq__(self, other):
        return isinstance(other, Imm) and (self.value, self.size) == (other.value, other.size)

    def __hash__(self):
        return hash((self.value, self.size))

    def __str__(self):
        return hex(self.value)

    __repr__ = __str__


class Mem:
    """Memory: `size` bytes at segment + base + index * scale + disp, taken modulo 2**64, or 2**32 (before the segment
    is added) when the instruction's asize is 4.

    base, index: general register numbers or None. disp: signed. segment: None, "fs" or "gs". RIP-relative operands
    have no base; their disp is the address itself, unsigned, and `rip` is True. size is 0 where only the address
    counts or the area has no fixed size (LEA, XSAVE). vsib: 0, or `index` is
    a vector register of so many bytes.
    """

    __slots__ = ("base", "index", "scale", "disp", "segment", "size", "asize", "rip", "vsib")

    def __init__(self, base, index, scale, disp, segment, size, asize=8, rip=False, vsib=0):
        self.base, self.index, self.scale, self.disp = base, index, scale, disp
        self.segment, self.size, self.asize, self.rip = segment, size, asize, rip
        self.vsib = vsib

    def _key(self):
        return self.base, self.index, self.scale, self.disp, self.segment, self.size, self.asize, self.rip, self.vsib

    def __eq__(self, other):
        return isinstance(other, Mem) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __str__(self):
        names = _BY_SIZE[self.asize]
        terms = [] if self.base is None else [names[self.base]]
        if self.index is not None:
            index = str(Reg("x", self.index, self.vsib)) if self.vsib else names[self.index]
            terms.append(index + (f"*{self.scale}" if self.scale > 1 else ""))
        text = " + ".join(terms)
        if self.disp or not text:
            text += f" {'-' if self.disp < 0 else '+'} {abs(self.disp):#x}" if text else f"{self.disp:#x}"
        segment = f"{self.segment}:" if self.segment else ""
        return f"{_POINTERS.get(self.size, '')}{segment}[{text}]"

    __repr__ = __str__


class Rel:
    """A branch target: the absolute address, unsigned."""

    __slots__ = ("target",)

    def __init__(self, target):
        self.target = target

    def __eq__(self, other):
        return isinstance(other, Rel) and self.target == other.target

    def __hash__(self):
        return hash(self.target)

    def __str__(self):
        return hex(self.target)

    __repr__ = __str__


class Insn:
    """An instruction.

    address, length   in bytes
    row               its row of the opcode maps
    mnemonic          the name for this operand size;  meaning: the name of the function that says what it does
    operands          tuple of Reg, Imm, Mem, Rel in the manual's order, destination first
    size              operand size in bytes: of the first operand that is no immediate, else as the prefixes say
    asize             address size, 8 or 4
    lock              a LOCK prefix is there (and allowed)
    rep               None, "rep" (F3) or "repne" (F2); only for string instructions, others ignore these prefixes
    segment           None, "fs" or "gs"
    cc                condition 0..15, or None
    modrm             the ModRM byte, or None
    """

    __slots__ = ("address", "length", "row", "mnemonic", "meaning", "operands", "size", "asize", "lock", "rep",
                 "segment", "cc", "modrm")

    def __init__(self, address, length, row, mnemonic, operands, size, asize, lock, rep, segment, modrm=None):
        self.address, self.length, self.row, self.mnemonic = address, length, row, mnemonic
        self.meaning, self.cc, self.operands, self.size = row.meaning, row.cc, operands, size
        self.asize, self.lock, self.rep, self.segment, self.modrm = asize, lock, rep, segment, modrm

    def __str__(self):
        prefix = ("lock " if self.lock else "") + (f"{self.rep} " if self.rep else "")
        return f"{prefix}{self.mnemonic} {', '.join(map(str, self.operands))}".rstrip()

    def __repr__(self):
        return f"<{self.address:#x}: {self}>"
