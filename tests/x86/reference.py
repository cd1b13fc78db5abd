"""Capstone as the judge of the decoder: one comparison, used by the tests and by the sweep.

`disagreement` says what differs, or None. What capstone 5.0.7 spells differently, does not know or gets wrong is
listed here, each with its reason; nothing else is forgiven.
"""

import capstone
from capstone.x86_const import (X86_GRP_3DNOW, X86_GRP_FMA4, X86_GRP_SSE4A, X86_GRP_TBM, X86_GRP_XOP, X86_OP_IMM,
                                X86_OP_MEM, X86_OP_REG)

from webvm.x86.decode import Undefined, decode
from webvm.x86.insn import Imm, Reg, Rel
from webvm.x86.opcodes import SIZE_Y, VEX

ADDRESS = 0x7F00_4000_0000

# ---- Capstone's spelling

ALIASES = {
    "movabs": "mov",        # 64-bit immediates and full addresses are MOV in the manual
    "wait": "fwait",
    "fcompi": "fcomip", "fucompi": "fucomip", "fsetpm": "fsetpm287_nop",
    "int1": "int1", "icebp": "int1",
    "jecxz": "jrcxz",       # one opcode: the address size chooses the register
    "lcall": "callf", "ljmp": "jmpf",
}

# Comparisons whose predicate capstone writes into the mnemonic.
_MORE = ("eq_uq", "nge", "ngt", "false", "neq_oq", "ge", "gt", "true", "eq_os", "lt_oq", "le_oq", "unord_s", "neq_us", "nlt_uq",
         "nle_uq", "ord_s", "eq_us", "nge_uq", "ngt_uq", "false_os", "neq_os", "ge_oq", "gt_oq", "true_us")
_PREDICATES = ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")
_COMPARISONS = {f"cmp{predicate}{kind}": (f"cmp{kind}", number)
                for number, predicate in enumerate(_PREDICATES) for kind in ("ps", "pd", "ss", "sd")}

_COMPARISONS |= {f"vcmp{predicate}{kind}": (f"vcmp{kind}", number)
                 for number, predicate in enumerate(_PREDICATES + _MORE) for kind in ("ps", "pd", "ss", "sd")}

# Instructions whose operands are not compared: capstone adds fixed registers (SVM, MONITOR), or there are none
# in our rows because no processor in sale executes them (MPX).
_NAME_ONLY = frozenset("""vmrun vmload vmsave skinit invlpga monitorx mwaitx bndldx bndstx bndmov bndcl bndcu
                          bndcn bndmk""".split())

# Fixed operands that capstone leaves out.
_IMPLIED_XMM0 = frozenset(("pblendvb", "blendvps", "blendvpd", "sha256rnds2"))

# ---- What capstone does not know, or gets wrong

# Valid by the manuals (SDM, AMD's for RDPRU), unknown to capstone. The x87 names are aliases in both processors.
_UNKNOWN = frozenset("""serialize xsusldtrk xresldtrk uiret testui clui stui senduipi rdpru enqcmd enqcmds
                        fcom fcomp fxch fstp prefetch lfence mfence sfence vex evex""".split())

# Left out of our tables on purpose: what processors have given up, and VIA's.
_LEFT_OUT = frozenset((X86_GRP_3DNOW, X86_GRP_SSE4A, X86_GRP_XOP, X86_GRP_FMA4, X86_GRP_TBM))
_LEFT_OUT_NAMES = ("xcrypt", "xstore", "xsha", "montmul", "femms")

_NULL_SEGMENTS = frozenset(b"\x26\x2e\x36\x3e")
_CLASSES = frozenset(b"\x66\xf2\xf3")
_REX = frozenset(range(0x40, 0x50))
_PREFIXES = _NULL_SEGMENTS | _CLASSES | _REX | frozenset(b"\x64\x65\x67\xf0")


def forgiven(code, insn, other):
    """True when capstone is known to be wrong about these bytes; `insn` and `other` are what each side decodes."""
    prefixes, rest = _split(code)
    if not _NULL_SEGMENTS.isdisjoint(prefixes):
        # They leave an FS or GS before them in force (SDM 2.1.1, and processors): capstone forgets it.
        return disagreement(_without(prefixes, _NULL_SEGMENTS) + rest) is None
    if 0x67 in prefixes and 0x66 not in prefixes and other and other.mnemonic in ("clflushopt", "tpause", "movdir64b"):
        return True                         # capstone takes 67 for a 66
    if other is None and insn.row.map >= VEX and not (insn.row.w0 or insn.row.w1) and code[len(prefixes)] == 0xC4 and code[len(prefixes) + 2] & 0x80:
        # Capstone does not know that W means nothing there, as it does to processors.
        plain = bytearray(code)
        plain[len(prefixes) + 2] &= 0x7F
        return SIZE_Y not in {o.size for o in insn.row.operands} and disagreement(bytes(plain)) is None
    if insn is None:
        return _only_capstone(prefixes, rest, other)
    if other is None:
        return _only_decode(insn)
    return _both(prefixes, insn, other)


def _only_capstone(prefixes, rest, other):
    name = other.mnemonic.split()[-1]
    if not _LEFT_OUT.isdisjoint(other.groups) or name.startswith(_LEFT_OUT_NAMES):
        return True
    if "gather" in name and len({name[1:] for name in (*map(_register_of, other.operands[::2]), _names[other.operands[1].mem.index])}) < 3:
        return True                         # #UD, by the manuals
    # LOCK stands only before what SDM 8.1.2.2 lists; MOV to CS is #UD; so is VEX after 66, F2, F3 or REX.
    if 0xF0 in prefixes or other.opcode[0] == 0x8E and name == "mov":
        return True
    if name[0] == "v" and not _CLASSES.isdisjoint(prefixes):
        return True
    # A 66, F2 or F3 that makes the encoding a reserved one: capstone ignores it.
    plain = ours(_without(prefixes, _CLASSES) + rest)
    return not _CLASSES.isdisjoint(prefixes) and plain is not None and plain.row.prefix is not None


def _only_decode(insn):
    # The reserved NOPs; MOVSXD without REX.W, which is only discouraged; REPNE BSF and BSR, where F2 does nothing;
    # PAUSE with 66, and RDFSBASE and its like, which processors execute.
    return (insn.mnemonic in _UNKNOWN or insn.row.feature in ("mpx", "fsgsbase") or insn.mnemonic == "nop" and insn.row.has_modrm
            or insn.mnemonic == "movsxd" and insn.size < 8 or insn.mnemonic in ("bsf", "bsr", "pause"))


def _register_of(operand): return _names[operand.reg]


def _both(prefixes, insn, other):
    if insn.mnemonic in ("vex", "evex"):
        return insn.length == other.size    # so far the tables only measure these
    # UD0 and UD1 have a ModRM byte (SDM; binutils agrees). F3 90 is PAUSE unless REX.B makes it name r8.
    # CLDEMOTE allows no prefix. In the others the address size is that of a register operand.
    if insn.mnemonic in ("ud0", "ud1", "pause", "clui", "stui", "senduipi", "movdir64b", "umonitor") or (
            other.mnemonic == "cldemote"):
        return True
    if 0x66 in prefixes:
        if insn.mnemonic == "movsxd":
            return True                     # r16, r/m16 in the manual
        # REX.W wins over 66 (SDM 2.2.1.2), also where no 64-bit form is named: not so in capstone.
        if insn.row.map == 0 and insn.row.opcode in _W_LOSES and other.rex & 8 and insn.length == other.size:
            return True
        # 66 on a near branch: Intel ignores it, capstone follows AMD to a 16-bit target.
        return insn.row.f64 and insn.row.imm is not None
    return False


_W_LOSES = frozenset((0x68, 0x6A, 0x6D, 0x6F, 0x9C, 0x9D, 0xE5, 0xE7, 0xED, 0xEF))


def _split(code):
    """Legacy prefixes, and the rest, which begins with REX if there is one in force."""
    at = 0
    while code[at] in _PREFIXES:
        at += 1
    while at and code[at - 1] in _REX:
        at -= 1
    return code[:at], code[at:]


def _without(prefixes, some):
    return bytes(byte for byte in prefixes if byte not in some)


# ---- The comparison

def ours(code):
    """The instruction at the start of `code`, or None when undefined."""
    try:
        return decode(code, ADDRESS)
    except Undefined:
        return None


_capstone = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
_capstone.detail = True
_names = [None] + [_capstone.reg_name(number) for number in range(1, 400)]


def theirs(code):
    return next(_capstone.disasm(code, ADDRESS, 1), None)


def disagreement(code):
    """What decode() and capstone see differently in the first instruction of `code`: a sentence, or None."""
    a, b = ours(code), theirs(code)
    if a is b is None:
        return None
    if a is not None and b is not None and a.length == b.size:
        left, right = our_words(a), their_words(b)
        if left == right or left[0] == right[0] in _NAME_ONLY:
            return None
        sentence = f"{left} | {right}"
    else:
        sentence = (f"{f'{a} ({a.length} bytes)' if a else 'undefined'} | "
                    f"{f'{b.mnemonic} {b.op_str} ({b.size} bytes)' if b else 'undefined'}")
    return None if forgiven(code, a, b) else sentence


def our_words(insn):
    words = [insn.mnemonic, *(_our_operand(operand) for operand in insn.operands)]
    if insn.row.mnemonic in _IMPLIED_XMM0:
        words.pop()
    if len(words) == 3 and "st(0)" in words and words[0] != "fxch" and not words[0].startswith("fcmov"):
        # Capstone names the other register only, except for the forms DC, which write it and do not pop.
        return words if insn.row.opcode == 0xDC else [words[0], words[1] if insn.row.opcode == 0xDE else words[2]]
    return words


def _our_operand(operand):
    if isinstance(operand, Reg):
        return str(operand)
    if isinstance(operand, Imm):
        return operand.value
    if isinstance(operand, Rel):
        return operand.target
    names = _GENERAL[operand.asize]
    index = None if operand.index is None else names[operand.index]
    if operand.vsib:
        index = str(Reg("x", operand.index, operand.vsib))
    return (operand.segment, None if operand.base is None else names[operand.base], index, operand.scale, operand.disp & _M64)


_GENERAL = {size: [str(Reg("g", number, size)) for number in range(16)] for size in (4, 8)}
_M64 = (1 << 64) - 1


_LOOPS = frozenset(("loop", "loope", "loopne", "jrcxz", "jecxz", "xbegin"))


def their_words(insn):
    name, operands = insn.mnemonic.split()[-1], insn.operands
    words = [ALIASES.get(name, name), *(_their_operand(insn, operand) for operand in operands)]
    if name in _COMPARISONS:
        words[0], predicate = _COMPARISONS[name]
        words.append(predicate)
    elif name == "nop":
        del words[2:]       # the reserved NOPs: capstone names ModRM.reg of some
    elif name == "fxch" and len(words) == 2:
        words.insert(1, "st(0)")
    elif name == "fstpnce":
        words.pop()
    elif name in ("ret", "retf", "retfq", "enter") and len(words) > 1:
        words[1:] = [number & mask for number, mask in zip(words[1:], (0xFFFF, 0xFF))]      # unsigned in the manual
    elif name == "xabort":
        words[1] &= 0xFF
    elif insn.opcode[0] == 0xFF and name in ("call", "jmp") and insn.modrm >> 3 & 7 in (3, 5):
        words[0] += "f"
    return words


def _their_operand(insn, operand):
    if operand.type == X86_OP_REG:
        return _names[operand.reg]
    if operand.type == X86_OP_IMM:
        # The size of a branch's immediate is not that of its target; some have size 0.
        is_target = insn.group(capstone.CS_GRP_BRANCH_RELATIVE) or insn.mnemonic.split()[-1] in _LOOPS
        return operand.imm & (_M64 if operand.size == 0 or is_target else (1 << 8 * operand.size) - 1)
    assert operand.type == X86_OP_MEM
    mem = operand.mem
    base, disp = _names[mem.base], mem.disp
    if base in ("rip", "eip"):
        base, disp = None, insn.address + insn.size + disp & (0xFFFFFFFF if base == "eip" else _M64)
    index, scale = _names[mem.index], mem.scale
    if index in (None, "riz", "eiz"):     # riz: a SIB byte without an index
        index, scale = None, 1
    segment = _names[mem.segment]
    return segment if segment in ("fs", "gs") else None, base, index, scale, disp & _M64
