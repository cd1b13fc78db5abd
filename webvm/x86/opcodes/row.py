"""One row of an opcode map: the notation it is written in, and what it says as plain data.

Knows the letters of the Intel manual's opcode maps (volume 2, appendix A.2). Must not know what an
instruction does, nor how bytes are read: decoders (the Python one and the generated ones) read rows.

A line of a table has columns separated by two spaces or more:

    opcode          mnemonic      operands        attributes
    01              add           Ev, Gv          lock
    80 /0           add           Eb, Ib          lock
    F3 0F B8        popcnt        Gv, Ev          popcnt

Opcode. An optional prefix class, the opcode bytes, an optional ModRM constraint.
    NP          no 66, F3 or F2 (the manual's NP)
    NFx         no F3 or F2; 66 is the operand size (the manual's NFx)
    66 F3 F2    this mandatory prefix; F3 and F2 win over 66, the last of F3 and F2 wins
    (none)      any; a row with a class wins over a row without one
    VEX. EVEX.  VEX.66.0F38 is the class and the map of a VEX encoding, VEX.0F is any class
    58+r        eight opcodes, the low three bits are a register (operand letter Z)
    10-17       that range of opcodes
    70+cc       sixteen opcodes, a row each: the low four bits are a condition, whose name ends the mnemonic
    /2  /0-5    ModRM.reg is this digit, or one of these
    /r          there is a ModRM byte (needed only where no operand says so)
    D0          ModRM is this byte
    C0+i        ModRM is one of eight bytes: mod = 3, reg fixed, rm free

Mnemonic. Two names a/b: b with a 64-bit operand size, a otherwise. Three names a/b/c: 16, 32, 64 bits; the operand size counts as 16 with VEX.L.

Operands: place, then size. `-` is none. An operand `Rd/Mb` makes two rows, one for each mod.
    E general register or memory by ModRM.rm    M memory only    R register only
    G general register by ModRM.reg             Z general register by the opcode's low bits
    V xmm by ModRM.reg    W xmm or memory       U xmm by ModRM.rm only     H xmm by VEX.vvvv
    P mmx by ModRM.reg    Q mmx or memory       N mmx by ModRM.rm only     B general, by VEX.vvvv
    S segment, C control, D debug register by ModRM.reg
    X memory at rSI       Y memory at rDI       O memory at a full address in the instruction
    I immediate           J branch target       L xmm by the immediate's high four bits
    ST0 STi, and registers by name: AL CL AX DX ES FS GS XMM0, rAX (size v), eAX (size z); 1 is the number
  sizes: b 1, w 2, d 4, q 8, t 10, dq 16, qq 32, o 64 bytes; ss 4, sd 8, ps pd 16
    x 16, or 32 with VEX.L    h half of that    k a quarter    e an eighth    u 8, or 32 with VEX.L
    v 2, 4 or 8 by 66 and REX.W    z as v, at most 4    y 4, or 8 with REX.W    yy twice y    p 2 + v
    (none) the address only, or an area of no fixed size
    a number is that many bytes; Ibs is a byte sign-extended to the operand size, Iz is so extended from 4 to 8

Attributes.
    d64      the operand size is 8 by default, 2 with 66, never 4
    f64      the operand size is 8 whatever the prefixes
    lock     LOCK is allowed when operand 0 is memory (anything else with LOCK is #UD)
    rep      F3 and F2 repeat it            repz     F3 repeats while ZF, F2 while not ZF
    unaligned  a 16-byte memory operand need not be aligned (others: #GP), as everywhere with VEX but where the row says
    aligned    it must be a multiple of its size
    cpl0     privileged: #GP in user mode   iopl     #GP in user mode with IOPL 0
    mod3     ModRM.mod is ignored, rm is a register (moves of control registers)
    lz       VEX.L must be 0, l1: 1          v1111  VEX.vvvv must be 1111, that is, name nothing
    w0       VEX.W must be 0, w1: 1; with a w0 row of the same opcode, the w1 row holds instead of it when VEX.W is set
    vsib     the index register of the memory operand is a vector: of dwords vsibd, of qwords vsibq; it, and operands 0 and 2, must differ
    y        the instruction's operand size is that of y, whatever its operands
    rexb     the row holds when REX.B is set, instead of any other row of its opcode
    =name    the meaning's name where it is not the (first) mnemonic
    other    the CPUID feature it needs; none for the x86-64 baseline (cmov cx8 fpu fxsr mmx sse sse2 syscall)

What is in no row is #UD. Rows of absent features are not in the view: there F3 0F BC is BSF, not TZCNT.
"""

import re

CONDITIONS = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")

# The prefix classes, numbered as VEX.pp numbers them.
NP, P66, PF3, PF2 = range(4)
CLASSES = {
    None:  (NP, P66, PF3, PF2),
    "NP":  (NP,),
    "NFx": (NP, P66),
    "66":  (P66,),
    "F3":  (PF3,),
    "F2":  (PF2,),
}

# The maps. VEX and EVEX numbers are a base plus the number in their own map field.
ONE_BYTE, TWO_BYTE, MAP_0F38, MAP_0F3A = range(4)
VEX, EVEX, MAPS = 4, 8, 16
MAP_OF = {"0F": 1, "0F38": 2, "0F3A": 3, "MAP5": 5, "MAP6": 6}

# Sizes in bytes; the ones below depend on prefixes.
SIZE_V, SIZE_Y, SIZE_Z, SIZE_P, SIZE_X, SIZE_YY, SIZE_H, SIZE_K, SIZE_E, SIZE_U = range(-1, -11, -1)
SIZES = {
    "":  0, "b": 1, "w": 2, "d": 4, "q": 8, "t": 10, "dq": 16, "qq": 32, "o": 64,
    "ss": 4, "sd": 8, "ps": 16, "pd": 16,
    "v": SIZE_V, "y": SIZE_Y, "z": SIZE_Z, "p": SIZE_P, "x": SIZE_X, "yy": SIZE_YY,
    "h": SIZE_H, "k": SIZE_K, "e": SIZE_E, "u": SIZE_U,
}

# Registers an operand names: place is "=" and the kind of register, number its number.
NAMED = {
    "AL":  ("=g", 1, 0),      "CL":  ("=g", 1, 1),  "AX": ("=g", 2, 0),  "DX": ("=g", 2, 2),
    "rAX": ("=g", SIZE_V, 0), "eAX": ("=g", SIZE_Z, 0),
    "ES":  ("=s", 2, 0),      "FS":  ("=s", 2, 4),  "GS": ("=s", 2, 5),
    "XMM0": ("=x", 16, 0),    "ST0": ("=f", 10, 0),
    "STi": ("F", 10, None),   "1":   ("1", 1, 1),
}

BY_REG = frozenset("GVPSCD")                # places that ModRM.reg fills
BY_RM = frozenset("EMRWUQNF")               # places that ModRM.rm fills
REGISTER_ONLY = frozenset("RUNF")
IMMEDIATE = {"Ib": "b", "Ibs": "b", "Iw": "w", "Iz": "z", "Iv": "v", "Jb": "b", "Jz": "z"}
FLAGS = frozenset(("d64", "f64", "lock", "rep", "repz", "unaligned", "cpl0", "iopl", "mod3", "lz", "l1",
                   "w0", "w1", "vsibd", "vsibq", "aligned", "v1111", "y"))


_COLUMNS = re.compile("  +").split


class Operand:
    """One operand of a row: the notation, and what it says.

    place    the letter; "=g", "=x", "=s", "=f" for the register `number` of that kind; "F" for ST(i); "1" for 1
    size     in bytes, or SIZE_*
    imm      kind of the bytes it adds to the instruction (Row.imm), or ""
    """

    __slots__ = ("notation", "place", "size", "number", "imm")

    def __init__(self, notation):
        self.notation = notation
        if notation in NAMED:
            self.place, self.size, self.number = NAMED[notation]
            self.imm = ""
        else:
            size = {"Iz": "v", "Ibs": "v"}.get(notation, notation[1:])
            self.place, self.number = notation[0], None
            self.size = SIZES[size] if size in SIZES else int(size)
            self.imm = {"O": "o", "L": "b"}.get(self.place) or IMMEDIATE.get(notation, "")

    def __repr__(self):
        return self.notation


class Row:
    """One instruction form, as plain data.

    index       place in ROWS
    map         ONE_BYTE, TWO_BYTE, MAP_0F38, MAP_0F3A, or VEX/EVEX + the number of the map
    opcodes     range of the opcodes it holds for;  `opcode` is the first
    prefix      None, "NP", "NFx", "66", "F3", "F2";  `classes` the same as class numbers
    reg         ModRM.reg it holds for, or None
    mod         "mem", "reg" or None for both;  rm: ModRM.rm it holds for, or None
    mnemonics   names by operand size 2, 4, 8 (mostly one and the same);  `mnemonic` is the first
    meaning     name of the function that says what it does
    operands    tuple of Operand;  `notation` the same as text
    cc          condition 0..15 or None
    size        the instruction's operand size in bytes or SIZE_*: that of the first operand which is neither an
                immediate, a branch target nor a segment register by name, SIZE_V when there is none
    has_modrm   a ModRM byte follows the opcode
    imm         bytes after ModRM, SIB and displacement: None, b 1, w 2, z 2 or 4 by operand size (4 with f64),
                v 2, 4 or 8 by operand size, o 8 or 4 by address size, wb 3 (ENTER)
    d64 f64 lock rep repz unaligned cpl0 iopl mod3 lz l1 w0 w1 vsibd vsibq aligned v1111 y   attributes, bool
    with_rexb   the row that holds instead when REX.B is set, or None;  with_w: likewise, when VEX.W is
    feature     CPUID feature, "" for the baseline
    """

    __slots__ = ("index", "map", "opcode", "opcodes", "prefix", "classes", "reg", "mod", "rm", "mnemonics", "mnemonic",
                 "meaning", "operands", "notation", "cc", "size", "has_modrm", "imm", "with_rexb", "with_w", "feature",
                 *sorted(FLAGS))

    def __repr__(self):
        where = "".join((f"{self.prefix} " if self.prefix else "", MAP_TEXT[self.map], f"{self.opcode:02X}",
                         f"-{self.opcodes[-1]:02X}" if len(self.opcodes) > 1 else "",
                         "" if self.reg is None else f" /{self.reg}", f" {self.mod}" if self.mod else "",
                         "" if self.rm is None else f" rm={self.rm}"))
        return f"<{where}: {self.mnemonic} {', '.join(self.notation)}>"


MAP_TEXT = {0: "", 1: "0F ", 2: "0F 38 ", 3: "0F 3A "} | {
    base + number: f"{name}.{text} "
    for base, name in ((VEX, "VEX"), (EVEX, "EVEX")) for text, number in MAP_OF.items()}


def parse(table):
    """The rows of a table's text, in order. Blank lines and lines that begin with # are skipped."""
    rows = []
    for line in table.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            rows += _rows(*_COLUMNS(line))
    return rows


def _rows(where, names, operands="-", attributes=""):
    prefix, map, opcodes, forms, has_modrm = _where(where.split())
    condition = where.endswith("+cc")
    notations = [()] if operands == "-" else _alternatives(operands.split(", "))
    words = attributes.split()
    flags = FLAGS.intersection(words)
    meaning = next((word[1:] for word in words if word[0] == "="), None)
    feature = next((word for word in words if word not in FLAGS and word[0] != "=" and word != "rexb"), "")

    for notation in notations:
        for run in [range(opcode, opcode + 1) for opcode in opcodes] if condition else [opcodes]:
            for reg, mod, rm in forms:
                row = Row()
                row.map, row.opcode, row.opcodes = map, run[0], run
                row.prefix, row.classes = prefix, CLASSES[prefix]
                row.cc = run[0] & 15 if condition else None
                row.mnemonics = _by_size(names + CONDITIONS[row.cc] if condition else names)
                row.mnemonic = row.mnemonics[0]
                row.meaning = meaning or row.mnemonic
                row.notation = notation
                row.operands = tuple(_operand(text) for text in notation)
                row.size = SIZE_Y if "y" in flags else next(
                    (operand.size for operand in row.operands if operand.place not in ("I", "J", "=s")), SIZE_V)
                places = {operand.place for operand in row.operands}
                row.has_modrm = has_modrm or not places.isdisjoint(BY_REG | BY_RM)
                row.reg, row.rm = reg, rm
                row.mod = mod or ("mem" if "M" in places else "mod3" not in flags
                                  and not places.isdisjoint(REGISTER_ONLY) and "reg" or None)
                row.imm = "".join(operand.imm for operand in row.operands) or None
                row.feature = feature
                # Until the maps are put together: True marks the row that holds under REX.B.
                row.with_rexb = "rexb" in words or None
                row.with_w = None
                for flag in FLAGS:
                    setattr(row, flag, flag in flags)
                row.unaligned |= map >= VEX and not row.aligned
                yield row


def _where(tokens):
    """The opcode column as (prefix, map, opcodes, [(reg, mod, rm)], there is a ModRM byte)."""
    prefix, base, map = None, 0, ONE_BYTE
    if "." in tokens[0]:
        encoding, *rest, name = tokens.pop(0).split(".")
        base = {"VEX": VEX, "EVEX": EVEX}[encoding]
        prefix, map = rest[0] if rest else None, MAP_OF[name]
    else:
        if tokens[0] in CLASSES:
            prefix = tokens.pop(0)
        if tokens[0] == "0F":
            tokens.pop(0)
            map = TWO_BYTE
            if tokens[0] in ("38", "3A"):
                map = MAP_OF["0F" + tokens.pop(0)]

    opcode, *form = tokens
    first, count = int(opcode[:2], 16), 1
    if opcode.endswith("+r"):
        count = 8
    elif opcode.endswith("+cc"):
        count = 16
    elif "-" in opcode:
        count = int(opcode[3:], 16) - first + 1

    forms = [(None, None, None)]
    if form and form[0] != "/r":
        text = form[0]
        if text[0] == "/":
            forms = [(reg, None, None) for reg in range(int(text[1]), int(text[-1]) + 1)]
        else:
            modrm = int(text[:2], 16)
            forms = [(modrm >> 3 & 7, "reg", None if text.endswith("+i") else modrm & 7)]
    return prefix, base + map, range(first, first + count), forms, bool(form)


def _alternatives(operands):
    """Operand lists of a row, one for each side of an operand like Rd/Mb."""
    left = tuple(text.partition("/")[0] for text in operands)
    right = tuple(text.rpartition("/")[2] for text in operands)
    return [left] if left == right else [left, right]


_operands = {}


def _operand(notation):
    if notation not in _operands:
        _operands[notation] = Operand(notation)
    return _operands[notation]


def _by_size(names):
    names = names.split("/")
    return {1: (names * 3)[:3], 2: names[:1] + names, 3: names}[len(names)]

