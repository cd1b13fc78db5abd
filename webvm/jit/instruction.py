"""How one instruction of a region is emitted, from its meaning: where its operands live, its memory accesses and their checks, flags.

Guest registers live in locals (frame.py). A memory access that its check refuses, and whatever must trap, leaves with STOP = RETRY
before the instruction has changed anything. What is emitted once is kept as a template. Knows nothing of control flow between
instructions, which is region.py's.
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from ..wasm import encoding as w
from ..x86 import flags
from ..x86.meaning import AF, ARITHMETIC, CF, MEANINGS, OF, Bool, Float, Int, Vec
from ..x86.primitives import PRIM
from ..x86.sse_floats import CALLED, SIGNATURES, fused_plainly, plainly, result
from ..x86.x87_common import FUNCTIONS
from ..x86.x87_state import execute
from . import layout as at
from . import sse
from .cfg import NEAR, SWITCH, Op
from .deferred import FIRST_KEPT, TYPES, Deferred
from .emit import SHORT, Emitter
from .frame import (
    ANCHOR, DOUBLE, EXIT_RIP, FLAG_A, FLAG_B, FLAG_KIND, FLAG_X, FLAG_Y, LEFT, LOCAL, MORE, NEXT, OWED, PARAMETERS, SCALARS, SINGLE,
    TEMPORARY, UPPER, UPPERS, VECTOR, VECTORS, ZERO32, both_forms, lows, vector_in
)
from .handler import CELLS, LOAD, LOAD_VECTOR, MASKED, STORE, WIDE, sse_operand
from .liveness import CLEAN, MIXED
from .nans import EXCHANGED, Mending
from .options import Options
from .template import (
    AFTER, ANY, DISP, FROM_ANCHOR, FUNCTION, GIVEN, GIVEN_8, GIVEN_NARROW, GROUP, HIGH, HOLE, LENGTH, LOW, OFFSET,
    OFFSET_UPPER, RUN, SET_ANCHOR, START, USE_ANCHOR, VALUE, General, Template, Templates, hole_of
)
from .values import AS_FLOAT, AS_INT, EXTRACT, ONES, Const, Load, Low, Masked, Pattern, Signed, Whole, Wide

_TO32 = w.OP["i32.wrap_i64"] + w.OP["i64.extend_i32_u"]
_FLAGS_SET = 1 << 16            # in the local that holds the kind: the flags in locals are newer than those in memory
NONE, LOOSE, DEFERRED, EASY, HARD = "", "loose", "deferred", "easy", "hard"      # how a region does operations on numbers, see region.Region
MENDED = {LOOSE: "loose, mended", DEFERRED: "deferred, mended"}        # where it chooses of two NaNs itself


@dataclass(frozen=True)
class Imports:
    """Function indices of what regions call in the interpreter; `type`, that of regions."""
    type: int
    enter: int          # (rip, depth, rsp) -> next rip, rsp
    resume: int         # (answer, depth, rip after the call, rsp) -> that rip, or 0
    syscall_out: int    # (next rip) -> next rip
    escape_out: int     # (rip) -> next rip
    flags: int          # () -> the arithmetic flags, from the state in memory
    divide: int         # (high, low, divisor) -> quotient
    x87: int            # (which, a, b) -> 0, or 1 where the oracle is to do it
    routines: dict[str, int] = field(default_factory=dict)     # by name, see x86.meaning.ROUTINES
    float_ops: dict[str, int] = field(default_factory=dict)    # by name, see sse.py
    unfit: int = 0      # (rip) -> 0: leaves for the interpreter, where MXCSR is not as the region wants it

    def names(self) -> dict[str, int]:
        """All of them by name."""
        return {name: index for name, index in vars(self).items() if name not in ("routines", "float_ops")} | self.routines | self.float_ops


class Instructions(Emitter, Deferred, Mending):
    """A machine for MEANINGS that emits the instructions of one function."""
    first_local = len(PARAMETERS.split())

    def __init__(self, imports: Imports, options: Options, templates: Templates | None, floats: str, touched: int):
        """touched: the registers that the function has to do with, a mask."""
        super().__init__()
        self.imports, self.options, self.floats, self.mends = imports, options, floats.split(",")[0], floats in MENDED.values()
        self.templates = (Templates() if templates is None else templates) if options.templates else None
        self.locals, self.vectors = SCALARS, bool(touched >> 16)
        if touched >> 32:
            self.locals = SCALARS + VECTORS + UPPERS
        self.exit_rip, self.next, self.flag_kind, self.flag_a, self.flag_b = EXIT_RIP, NEXT, FLAG_KIND, FLAG_A, FLAG_B
        self.local = {n: local for n, local in enumerate(LOCAL) if touched >> n & 1}     # register number (xmm n: 16 + n) -> local
        self.more: dict[str, list[int]] = {}              # temporary locals beyond TEMPORARY
        self.used: dict[str, int] = {}
        self.masks: dict[tuple[int, int], int] = {}       # (registers to store at a fault, forms of vector registers) -> label
        self.recording = False                            # exits are marked, not emitted
        self.roles, self.recorded = False, b""            # its registers are marked, too; what was recorded last
        self.depends = ANY                                # what of the instruction's constant what was recorded depends on
        self.ordinary = True                              # what is being emitted would be the same in any region
        self.home, self.checks_made = 0, 0                # the region's entry, and how many checks there are so far, see layout.lately_place
        self.depth = 0                                    # blocks and ifs around what is being emitted
        self.owed = 0                                     # fuel that was used, but not yet taken off what is LEFT
        self.op: Op | None = None
        self.kind = CLEAN                                 # (kind, bits) of the flags in locals, CLEAN or MIXED
        self.narrow = 0                                   # registers known to hold 32 bits
        self.low = 0                                      # forms of vector registers, see lanes
        self.trusting = False                             # it is seen to elsewhere that an indirect jump or a RET leads to code
        self.inside = 0                                   # conditions we are under
        self.numbers = 0                                  # what of vector registers is known to be normal or zero, see _NUMBERS
        self.number: dict[bytes, str] = {}                # such values of the instruction, and their shapes
        self.copied: dict[bytes, bytes] = {}              # locals of the instruction that hold what a vector register holds
        self.implicit = 0
        self.begin_groups()
        self.begin_links()

    # ---- locals and constants
    def let(self, type, raw):
        k = self.used.get(type, 0)
        self.used[type] = k + 1
        pool = TEMPORARY[type]
        if type[0] != "i":
            self.vectors = True
        if k >= len(pool) and type == "v128" and self.insn.uppers:       # which no other region has
            k, pool = k - len(pool), MORE
        self.out.append(raw + (put := w.put(pool[k] if k < len(pool) else self._more(type, k - len(pool)))))
        local = b"\x20" + put[1:]
        if raw in _NUMBERS:
            self.copied[local] = raw
        if self.numbers and raw in _NUMBERS:
            for shape, bit in _NUMBERS[raw].items():
                if self.numbers & bit:
                    self.number[local] = shape
        return local

    def _more(self, type: str, k: int) -> int:
        self.ordinary = False
        pool = self.more.setdefault(type, [])
        if k == len(pool):
            pool.append(self.declare(type))
        return pool[k]

    def declare(self, type: str) -> int:
        """A local that not every region has."""
        self.vectors = True
        if self.locals is SCALARS:
            self.locals = SCALARS + VECTORS
        self.locals.append(type)
        return self.first_local + len(self.locals) - 1

    def group_hole(self, number: int) -> bytes: return hole_of(GROUP + number)

    def const(self, type, n):
        return Const(super().const(type, n), n & ((1 << (32 if type == "i32" else 64 if type == "i64" else 128)) - 1))

    def keep(self, type_, raw):
        kind = raw.__class__
        if kind is Const:
            return raw
        if kind is Low:
            return raw if raw.low.__class__ is Load else Low(self.keep(f"f{raw.bits}", raw.low), raw.bits, self.keep("v128", raw.upper))
        if kind is Load:
            return self.let(type_, raw)
        if kind is Wide and self._length(raw) > SHORT:
            return _wide(self.let(type_, raw))
        if kind is Pattern and self._length(raw) > SHORT:
            number = self.let(f"f{raw.bits}", raw.float)
            return Pattern(number + AS_INT[raw.bits] + (w.OP["i64.extend_i32_u"] if type_ == "i64" and raw.bits == 32 else b""), number, raw.bits)
        return raw if self._length(raw) <= SHORT else self.let(type_, raw)

    def _length(self, raw: bytes) -> int:
        """Of code, as it is with the instruction's constant."""
        n = len(raw)
        if not self.recording or n <= 2:
            return n
        if self.roles:
            n -= General.longer(raw)
        if HOLE not in raw:
            return n
        for bits, hole in _GIVEN_HOLES.items():
            if found := raw.count(hole):
                self.depends = max(self.depends, LENGTH)
                n += found * (len(w.i64(self.insn.imm & (1 << bits) - 1)) - len(hole))
        if found := raw.count(_NARROW_HOLE):
            self.depends = max(self.depends, LENGTH)
            n += found * (len(w.i32(self.insn.imm)) - len(_NARROW_HOLE))
        return n

    def _given(self, bits: int) -> Const:
        """The instruction's constant."""
        value = self.insn.imm & (1 << bits) - 1
        if not self.recording or not self.insn.form.constant:
            return self.const("i64", value)
        if self.insn.special:
            self._look()
            return self.const("i64", value)
        return Const(_GIVEN_HOLES[bits], value, bits, self._look)

    def _look(self): self.depends = VALUE

    def _lower(self, raw: Const) -> Const:
        """Half of it."""
        if raw.bits in (32, 64):
            return Const(_NARROW_HOLE, raw.number & 0xFFFFFFFF, 32, self._look)
        return self.const("i32", raw.value & 0xFFFFFFFF)

    def prim(self, op, *raws):
        if self.options.halves:
            if op in _SHIFTS and raws[1].__class__ is Masked and raws[1].mask & _SHIFTS[op] == _SHIFTS[op] and (op[1] == "3" or raws[1].mask > 31):
                raws = raws[0], raws[1].bare                # as the shift does it
            if op in _HALVES:
                half = self._half(op, *raws)
                if half is not None:
                    return half
        if raws[0].__class__ is Signed and op == f"i64.extend{raws[0].bits}_s":
            return bytes(raws[0])
        if op in _PATTERNS and raws[0].__class__ is not Const:
            return self._pattern(op, raws[0])
        if op == "v128.xor":
            if raws[0] == raws[1]:
                return self.const("v128", 0)
            if raws[1].__class__ is Const and raws[0].__class__ is not Const and raws[1].value in (0, ONES):
                return raws[0] + w.OP["v128.not"] if raws[1].value else raws[0]
        if type(raws[-1]) is Const:
            if op == "select":
                return raws[0] if raws[2].value else raws[1]
            if op == "i8x16.swizzle":
                return self._swizzled(raws[0], raws[1].value.to_bytes(16, "little"))
            if op in _FOLDED and all(type(r) is Const for r in raws):
                value = PRIM[op](*(r.value for r in raws))
                return self.const(_FOLDED[op], value)
        code = b"".join(raws) + w.OP[op]
        if op in _OF_INTEGERS:
            self.number[code] = op[:3]
        return code

    def _swizzled(self, raw, indices):
        """Bytes of a vector, zeros beyond; what shifts it as bytes is written so that engines see that."""
        zero, up, down = self.const("v128", 0), indices[15] + 1, indices[0]
        if up < 16 and all(i == (up - 16 + k) & 255 for k, i in enumerate(indices)):
            return self.shuffle(zero, raw, range(up, up + 16))
        if down < 16 and all(i == down + k for k, i in enumerate(indices)):
            return self.shuffle(raw, zero, range(down, down + 16))
        return self.shuffle(raw, zero, [min(i, 16) for i in indices])

    def _half(self, op, *raws):
        """An operation of 64 bits of which one of 32 bits gives the lower half, or all; None where there is no such thing."""
        if op == "i64.and" and raws[0].__class__ in (Masked, bytes) and raws[1].__class__ is Const and not raws[1].value & raws[1].value + 1:
            masked = raws[0].__class__ is Masked
            return self._masked(raws[0].bare if masked else raws[0], raws[1].value & (raws[0].mask if masked else -1))
        if op in _SHIFTS and raws[1].__class__ is Masked:
            return self._half_shift(op, *raws)
        narrow = [raw.narrow if raw.__class__ in (Wide, Whole) else self._lower(raw) if raw.__class__ is Const else None
                  for raw in raws]
        known = raws[-1].__class__ is Const
        if None in narrow or known and (raws[0].__class__ is Const or op[4:7] in ("shl", "shr") and raws[-1].value > 31):
            return None
        code = b"".join(narrow) + w.OP["i32" + op[3:]] if op != "i64.extend32_s" else narrow[0]
        wide = all(raw.__class__ is Wide or raw.__class__ is Const and raw.is_short for raw in raws)
        if op in _COMPARED_HALVES:
            return code if wide else None
        match op:
            case "i64.extend32_s":
                return Whole(code + w.OP["i64.extend_i32_s"], code)
            case "i64.and" | "i64.or" | "i64.xor":
                return Wide(code + w.OP["i64.extend_i32_u"], code) if wide else None
            case "i64.shr_u":
                return Wide(code + w.OP["i64.extend_i32_u"], code) if wide and known else None
            case "i64.shr_s":
                return Whole(b"".join(raws) + w.OP[op], code) if raws[0].__class__ is Whole and known else None
            case "i64.shl":
                return Whole(b"".join(raws) + w.OP[op], code) if wide and known else None
        return Whole(b"".join(raws) + w.OP[op], code) if wide else None

    def _half_shift(self, op, raw, count):
        """By a number of which 32 bits decide; None where there is no such thing."""
        if count.mask != 31 or raw.__class__ not in (Wide, Whole) or op == "i64.shr_u" and raw.__class__ is Whole or op == "i64.rotl":
            return None
        code = raw.narrow + count.bare + w.OP["i32.wrap_i64"] + w.OP["i32" + op[3:]]
        if op == "i64.shr_u":
            return Wide(code + w.OP["i64.extend_i32_u"], code)
        if op == "i64.shr_s" and raw.__class__ is Wide:
            return None
        return Whole(raw + count + w.OP[op], code)

    def _masked(self, bare, mask: int): return Masked(bare + w.i64(mask) + w.OP["i64.and"], bare, mask)

    def _pattern(self, op, raw):
        """Between numbers and integers, without going there and back."""
        if op == "i32.wrap_i64":
            if raw.__class__ in (Wide, Whole):
                return raw.narrow
            if raw.__class__ is Masked and raw.mask < 1 << 16:
                bare = raw.bare + w.OP["i32.wrap_i64"]
                return Masked(bare + w.i32(raw.mask) + w.OP["i32.and"], bare, raw.mask)
        code, bits = raw + w.OP[op], raw.bits if raw.__class__ is Pattern else None
        match op:
            case "i64.reinterpret_f64": return Pattern(code, raw, 64)
            case "i32.reinterpret_f32": return Pattern(code, raw, 32)
            case "f64.reinterpret_i64": return raw.float if bits == 64 else code
            case "f32.reinterpret_i32": return raw.float if bits == 32 else code
        if bits == 32:                                                          # i64.extend_i32_u, i32.wrap_i64
            return Pattern(code, raw.float, 32)
        return Wide(code, raw) if op == "i64.extend_i32_u" else code

    def lane(self, op, index, *raws):
        vector = raw = raws[0]
        kind, width = op[0], int(op[1:3]) if op[2] != "x" else 8
        if "extract" in op:
            if raw.__class__ is Low:
                if index * width >= raw.bits:
                    raw = raw.upper
                elif index == 0 and width <= raw.bits and width >= 32:
                    if width == raw.bits:
                        return raw.low if kind == "f" else Pattern(raw.low + AS_INT[width], raw.low, width)
                    if kind == "i":
                        return raw.low + AS_INT[64] + w.OP["i32.wrap_i64"]
            code = raw + w.lane(op, index)
            return Pattern(code, raw + w.lane(f"f{op[1:]}", index), width) if kind == "i" and width >= 32 else code
        value = raws[1]
        if value.__class__ is Pattern and value.bits == width:         # not by way of a general register
            value, kind, op = value.float, "f", "f" + op[1:]
        if index == 0 and width >= 32 and not self.op.whole:
            number = value if kind == "f" else value + AS_FLOAT[width]
            return Low(number, width, vector.upper if vector.__class__ is Low and vector.bits <= width else vector)
        if vector.__class__ is Low and index * width >= vector.bits:
            return Low(vector.low, vector.bits, vector.upper + value + w.lane(op, index))
        return vector + value + w.lane(op, index)

    def wrap(self, raw, bits):
        if bits == 64:
            return raw
        if type(raw) is Const:
            return self.const("i64", raw.value & (1 << bits) - 1)
        if bits == 32 and raw.__class__ in (Wide, Whole):
            return raw if raw.__class__ is Wide else Wide(raw.narrow + w.OP["i64.extend_i32_u"], raw.narrow)
        return raw + _TO32 if bits == 32 else self._masked(raw, (1 << bits) - 1)

    def known(self, n): return n if isinstance(n, int) else n.raw.value if type(n.raw) is Const else None

    def _exit(self, mask: int | None = None) -> bytes:
        """A branch to where the registers are stored and RETRY (or FUEL) is answered for the current instruction."""
        if self.recording:
            return hole_of(self.depth - self.outside)
        mask = self.op.saved if mask is None else mask
        label = self.masks.setdefault((mask, self.low & both_forms(mask)), len(self.masks))
        rip = w.get(self.next) if self.rip == SWITCH else w.i32(self.rip)
        return self._note_owed() + rip + w.put(self.exit_rip) + w.br(self.depth + 1 + label)

    def _note_owed(self) -> bytes:
        """For where all who leave pay."""
        return w.i32(self.owed) + w.put(OWED) if self.owed else b""

    def _if(self, condition: bytes, body) -> None:
        self.depth += 1
        inner = self.nested(body)
        self.depth -= 1
        self.out.append(w.if_(condition, inner))

    def _exit_if(self, condition: bytes, mask: int | None = None):
        self._if(condition + w.UNLIKELY, lambda: self.out.append(self._exit(mask)))

    # ---- an instruction
    def settle(self):
        """Ends groups of operations."""
        self.mend()
        super().settle()

    def instruction(self, op: Op):
        self.op, self.rip = op, op.rip
        if self.templates is None and self.floats != DEFERRED and not self.mends:
            self._emit(op)
        else:
            self._emit_template(op, op.insn)
        if op.insn.pointer:
            self.out.append(ZERO32 + w.i64(op.rip) + w.access("i64.store", at.FIP))

    def _emit_template(self, op: Op, insn):
        alike, floats, both = insn.alike, self.floats, insn.both
        templates = {} if self.templates is None else self.templates
        known = templates.get(alike)
        if known is None:
            known = templates[alike] = {}
        # all that the code depends on, but for what there are holes for: as a number, and what is no number
        key = self.narrow & insn.short | op.near << 16 | self.trusting << 18 | (op.anchor is not None) << 19
        if insn.flags:
            if insn.compares:
                key |= (op.flags_live != 0) << 20
            else:
                key = key | op.flags_live << 20, self.kind, self.kind is MIXED and self.graph.compares       # see _store_mixed_flags
        if insn.absolute:
            key = key, op.disp
        if both:
            key = key, self.low & both, op.whole
            if floats in _WATCHED:
                numbers = (both & 0xFFFF) * _EVERY
                key = key, self.numbers & numbers
            if self.mends:
                self.joins = self.takes_a_link(insn)
                key = key, self.joins
        if floats == DEFERRED and insn.special:
            key = key, self.started
        if op.checks:
            key = key, _sort(op.checks, op.direct)
        template = known.get(key)
        if template.__class__ is not Template:
            template = self._template(op, known, key, template)
        if self.waiting and self.must_settle(template):
            self.settle()
            self._emit_template(op, insn)
            return
        if self.links and self.must_mend(insn, template):
            self.mend()
            self._emit_template(op, insn)
            return
        out = self.out
        out.append(template.first)
        for hole, piece in template.rest:
            if hole < DISP:
                low = self.low and self.low & both_forms(op.saved)
                label = self.masks.get((op.saved, low))
                if label is None:
                    label = self.masks[op.saved, low] = len(self.masks)
                out += self._note_owed(), w.i32(op.rip), _TO_EXIT, w.uleb(label + self.depth + 1 + hole), piece
            elif hole >= RUN:
                if hole < FUNCTION:
                    out += self._run_place(hole), piece
                elif hole < GROUP:
                    out += w.uleb(self.imports.float_ops[_FLOAT_OPS[hole - FUNCTION]]), piece
                else:
                    number = hole - GROUP
                    if number >= FIRST_KEPT:
                        number += self.taken.get(TYPES[number], 0)
                    out += w.uleb(self.extra_local(number)), piece
            elif hole == OFFSET:
                out += w.uleb(at.BIAS + op.disp), piece
            elif hole == DISP:
                out += w.i64(op.disp), piece
            elif hole == FROM_ANCHOR:
                out += w.uleb(at.BIAS + op.anchor[1]), piece
            elif hole == USE_ANCHOR:
                out += w.uleb(ANCHOR + op.anchor[0]), piece
            elif hole == AFTER:
                out += w.i64(op.after), piece
            elif hole >= GIVEN_8:
                out += w.i32(insn.imm) if hole == GIVEN_NARROW else w.i64(insn.imm & _GIVEN_MASKS[hole]), piece
            elif hole == OFFSET_UPPER:
                out += w.uleb(at.BIAS + op.disp + 16), piece
            else:
                cover = next(filter(None, op.checks.values()))
                out += w.uleb(ANCHOR + cover[4]) if hole == SET_ANCHOR else w.i64(cover[1] if hole == LOW else cover[2] - 1), piece
        if template.kind is not None:
            self.kind = template.kind
        self.narrow = self.narrow & ~insn.writes | template.narrow
        if both:
            self.low = self.low & ~both | template.low
            if floats in _WATCHED:
                self.numbers = self.numbers & ~numbers | template.numbers
        if template.noted:
            self.join_group(template)
        if template.link:
            self.join_link(insn)
        self.ends = template.ends
        if template.vectors:
            self.vectors = True

    def _template(self, op: Op, known: dict, key, depends: int | None) -> Template:
        """The template where there is none for the key alone. depends: what of the instruction's constant those there are depend on."""
        if depends is not None:
            template = known.get((key, _part_of(op.insn, depends)))
            if template is not None:
                return template
        template = self._by_roles(op) or self._record(op)
        if self.ordinary and self.templates is not None:
            if self.depends != ANY:
                known[key] = depends = max(depends or ANY, self.depends)
            self.templates.add(known, key if self.depends == ANY else (key, _part_of(op.insn, depends)), template)
        return template

    def _by_roles(self, op: Op) -> Template | None:
        """The template, made of what was emitted for other registers; None where that can't be."""
        insn = op.insn
        renamed = insn.alike.renamed() if self.templates is not None else None
        if renamed is None:
            return None
        what, registers, fixed = renamed
        narrow, bits, number = self.narrow & insn.short, 0, {}
        for k, n in enumerate(registers):
            bits |= (narrow >> n & 1) << k
            number[n] = ~k
        flags = insn.compares and op.flags_live != 0
        if insn.flags and not insn.compares:
            flags = op.flags_live, self.kind, self.kind is MIXED and self.graph.compares
        key = (what, bits, narrow & fixed, op.disp if insn.absolute else op.near, self.trusting, op.anchor is not None, flags,
               _sort(op.checks, op.direct, number) if op.checks else None)
        found, known = None, self.templates.general
        general = depends = known.get(key)
        if general.__class__ is int:
            found = key, _part_of(insn, depends)
            general = known.get(found)
        if general is None:
            local, self.local, self.roles = self.local, General.locals(self.local, registers), True
            template = self._record(op)
            self.local, self.roles = local, False
            if not self.ordinary:
                return None
            roles = sum((template.narrow >> n & 1) << k for k, n in enumerate(registers))
            general = General(self.recorded, template.ends, (roles, template.narrow & fixed), template.kind, template.vectors, self.looks, self.depends)
            if self.depends != ANY:
                known[key] = depends = max(depends or ANY, self.depends)
                known[key, _part_of(insn, depends)] = general
            else:
                known[key] = general
        self.ordinary, self.depends = True, general.depends
        return general.template(registers, self.local)

    def _record(self, op: Op) -> Template:
        """Emits an instruction apart, its exits marked."""
        before = self.kind, self.narrow, self.vectors, self.low, self.numbers, self.started
        self.noted, self.kept, self.looks, self.link = [], {}, False, False
        self.recording, self.ordinary, self.outside, self.vectors, self.ends = True, True, self.depth, False, None
        self.depends = ANY
        if op.insn.compares:
            self.kind = None                               # it has nothing to do with those before
        self.recorded = code = self.nested(lambda: self._emit(op))
        both = op.insn.both
        self.ordinary &= self.ends is None or HOLE not in self.ends
        template = Template(code, self.kind if op.insn.flags else None, self.narrow & op.insn.writes, self.ends, self.vectors,
                            self.low & both, self.numbers & (both & 0xFFFF) * _EVERY, self.noted, self.kept, self.started, self.looks,
                            self.link)
        self.recording = False
        self.kind, self.narrow, self.vectors, self.low, self.numbers, self.started = before
        return template

    def _emit(self, op: Op):
        insn = self.insn = op.insn
        shape = insn.shape
        self.size, self.bits, self.cc, self.rep = shape.size, shape.bits, shape.cc, shape.rep
        self.kinds = insn.form.kinds
        self.asize, self.segment = 64, None
        self.used = {}
        self.implicit = 0
        self.number, self.copied = {}, {}
        self.addresses, self.offsets = {}, {}
        if insn.effects.repeats:
            self.out.append(b"\x03\x40")
            self.depth += 1
        for k, (access, bits) in insn.effects.memory.items():
            within = bits // 8 - 1 if bits in WIDE and shape.aligned else 0
            if self.options.direct and not insn.absolute and (("m", k) in op.checks or self._is_simple(k)):
                self.addresses[k] = self._checked(k, bits, access, within)
                continue
            self.addresses[k] = self._check(self._effective_address(k, True), bits, access, ("m", k), within)
        execute(self, MEANINGS[shape.meaning])
        if insn.effects.repeats:
            self._repeat()

    def _repeat(self):
        def once_more():
            self.out.append(w.get(LEFT) + w.i32(1) + w.OP["i32.sub"] + w.tee(LEFT) + ZERO32 + w.OP["i32.ge_s"] + w.br_if(1))
            self.out.append(self._exit())
        self._if(self.ends, once_more)
        self.depth -= 1
        self.out.append(w.END)

    def again(self, condition): self.ends = condition.raw

    # ---- registers
    def _general(self, n: int, bits: int, high: bool = False) -> bytes:
        raw = w.get(self.local[n])
        if bits == 32 and self.options.halves:
            if not self.narrow >> n & 1:
                raw = Wide(raw + _TO32, raw + w.OP["i32.wrap_i64"])
            return _wide(self.let("i64", raw)) if self.insn.writes >> n & 1 else raw if raw.__class__ is Wide else _wide(raw)
        if high:
            raw += w.i64(8) + w.OP["i64.shr_u"]
        if bits < 64 and not (bits == 32 and self.narrow >> n & 1):
            raw = self.wrap(raw, bits)
        return self.let("i64", raw) if self.insn.writes >> n & 1 else raw

    def _set_general(self, n: int, value: Int, high: bool = False):
        local, bits, raw = self.local[n], value.bits, value.raw
        if bits >= 32:
            self.out.append(raw + w.put(local))
            if bits == 32 and not self.inside:
                self.narrow |= 1 << n
            elif bits == 64:
                self.narrow &= ~(1 << n)
            return
        shift = 8 if high else 0
        mask = (1 << bits) - 1 << shift
        if high:
            raw += w.i64(8) + w.OP["i64.shl"]
        self.out.append(w.get(local) + w.i64(~mask) + w.OP["i64.and"] + raw + w.OP["i64.or"] + w.put(local))

    def _vector(self, n: int) -> bytes:
        self.vectors = True
        raw = vector_in(n, self.low)
        if not self.insn.writes >> 16 + n & 1:
            return raw
        if raw.__class__ is not Low:
            return self.let("v128", raw)
        upper = self.let("v128", raw.upper) if 256 in self.bits else raw.upper         # what is written after this half may need it
        return Low(self.let(f"f{raw.bits}", raw.low), raw.bits, upper)

    def _set_vector(self, n: int, raw: bytes):
        self.vectors = True
        vector, low = w.get(VECTOR + n), self.low >> n & 0x10001
        if self.floats in (EASY, DEFERRED):
            self.numbers = self.numbers & ~(_EVERY << n) | (0 if self.inside else self._of_numbers(raw) << n)
        if raw.__class__ is Low and not self.op.whole and not self.inside:
            upper = raw.upper if raw.upper != vector else b""
            self.out.append(upper + raw.low + w.put((DOUBLE if raw.bits == 64 else SINGLE) + n) + (w.put(VECTOR + n) if upper else b""))
            self.low = self.low & ~(0x10001 << n) | (1 if raw.bits == 64 else 0x10000) << n
        else:
            self.out.append(raw + w.put(VECTOR + n))
            if self.inside:                                 # the form stays: control may not come here
                self.out.append(lows(low << n))
            else:
                self.low &= ~(0x10001 << n)

    def _upper(self, n: int) -> bytes:
        raw = w.get(UPPER + n)
        return self.let("v128", raw) if self.insn.writes >> 32 + n & 1 else raw

    def reg(self, number, bits): return Int(self, self._general(number, bits), bits)
    def set_reg(self, number, value): self._set_general(number, value)
    def xmm(self, number): return Vec(self, self._vector(number))
    def set_xmm(self, number, value): self._set_vector(number, value.raw)

    def _where(self, k):
        """The state offset of register operand k."""
        kind = self.insn.shape.kinds[k]
        if len(kind) > 1:
            n = int(kind[1:])
            return 8 * n if kind[0] == "g" else at.VECTOR + 32 * n
        return self.insn.operands[k]

    # ---- operands
    def read(self, k, bits):
        kind = self.kinds[k]
        if kind == "i":
            return self._given(bits)
        if kind == "m" and self.options.halves:
            if bits < 32 and self.insn.shape.meaning == "movsx" or bits < self.bits[0] and self.insn.shape.meaning == "movsxd":
                return Signed(self.let("i64", self.addresses[k] + self._access(f"i64.load{bits}_s", k)), bits)
            raw = self.let("i64", self.addresses[k] + self._access(LOAD[bits], k))
            return _wide(raw) if bits == 32 else raw
        if kind == "m":
            return self.let("i64", self.addresses[k] + self._access(LOAD[bits], k))
        where = self._where(k)
        if kind == "r":
            return self._general(where >> 3, bits, where & 7)
        if kind == "x":
            return Vec(self, self._vector(where - at.VECTOR >> 5)).int(0, bits).raw
        return self.let("i64", ZERO32 + w.access(LOAD[bits], where))

    def write(self, k, value):
        kind = self.kinds[k]
        if kind == "m":
            if value.raw.__class__ is Pattern and value.raw.bits == value.bits:
                self.out.append(self.addresses[k] + value.raw.float + self._access(f"f{value.bits}.store", k))
            else:
                self.out.append(self.addresses[k] + value.raw + self._access(STORE[value.bits], k))
            return
        where = self._where(k)
        if kind == "r":
            self._set_general(where >> 3, value, where & 7)
        else:
            assert kind == "q", "vector registers are written whole"
            self.out.append(ZERO32 + value.raw + w.access(STORE[64 if value.bits == 32 else value.bits], where)
                            + ZERO32 + w.i64(0xFFFF) + w.access("i64.store16", where + 8))

    def read_vec(self, k):
        kind = self.kinds[k]
        if kind == "m":
            bits, address = self.bits[k], self.addresses[k]
            if bits in (32, 64):
                return Low(Load(address + self._access(f"f{bits}.load", k)), bits, self.const("v128", 0),
                           address + self._access(LOAD_VECTOR[bits], k))
            return self.let("v128", address + self._access(LOAD_VECTOR[bits], k))
        where = self._where(k)
        if kind == "x":
            return self._vector(where - at.VECTOR >> 5)
        return self.let("v128", ZERO32 + w.access(LOAD_VECTOR[64], where))

    def write_vec(self, k, value):
        kind = self.kinds[k]
        if kind == "x":
            self._set_vector(self._where(k) - at.VECTOR >> 5, value.raw)
        elif self.bits[k] < 128:
            self.write(k, value.int(0, self.bits[k]))
        elif kind == "m":
            self.out.append(self.addresses[k] + value.raw + self._access("v128.store", k))
        else:
            self.out.append(ZERO32 + value.raw + w.access("v128.store", self._where(k)))

    def read_upper(self, k):
        if self.kinds[k] == "m":
            return self.let("v128", self.addresses[k] + self._access("v128.load", k, True))
        return self._upper(self._where(k) - at.VECTOR >> 5)

    def write_upper(self, k, value):
        if self.kinds[k] == "m":
            self.out.append(self.addresses[k] + value.raw + self._access("v128.store", k, True))
        else:
            self.out.append(value.raw + w.put(UPPER + (self._where(k) - at.VECTOR >> 5)))

    def upper(self, number): return Vec(self, self._upper(number))
    def set_upper(self, number, value): self.out.append(value.raw + w.put(UPPER + number))

    def _number(self, n: int, hole: int) -> bytes: return hole_of(hole) if self.recording else w.i64(n)

    def _bound(self, n: int, hole: int) -> bytes:
        """Of a range. A template has room for one; what a loop's head checks is in none."""
        if not self.recording:
            return w.i64(n)
        if sum(map(bool, self.op.checks.values())) == 1:
            return self._number(n, hole)
        self.ordinary = False
        return w.i64(n)

    # ---- memory
    def _is_simple(self, k: int) -> bool:
        """Whether the address of memory operand k is what registers come to, and a displacement."""
        op = self.insn
        return self.options.own_direct and (op.shape.kinds[k] == "m" or not op.a32 and op.segment == at.ZERO // 8)

    def _checked(self, k: int, bits: int, access: int, within: int) -> bytes:
        """The address of an access off registers, as i32: computed in 32 bits, without the displacement where that may be part of the
        access itself. It is checked here, unless another check is for it, too. within: as in _check."""
        op, key = self.insn, ("m", k)
        own = key not in self.op.checks
        cover = self.op.checks.get(key)
        if own:
            self._check_simple(self._effective_address(k, True), bits // 8, access)
        elif cover:
            self._check_cover(*cover)
        raw = w.get(self.local[op.base >> 3]) + w.OP["i32.wrap_i64"] if op.base < at.ZERO else b""
        if op.shape.kinds[k] != "m" and op.index < at.ZERO:
            index = w.get(self.local[op.index >> 3]) + w.OP["i32.wrap_i64"]
            if op.scale:
                index += w.i32(op.scale) + w.OP["i32.shl"]
            raw = raw + index + w.OP["i32.add"] if raw else index
        moved = raw + self._number(self.op.disp, DISP) + w.OP["i32.wrap_i64"] + w.OP["i32.add"] if self.op.disp else raw
        if within and cover is not False:
            self._exit_if(moved + w.i32(within) + w.OP["i32.and"])
        direct = self.op.near == NEAR if own else key in self.op.direct
        if not direct or bits not in LOAD | LOAD_VECTOR:
            return self.let("i32", moved)
        if self.recording:
            self.offsets[k] = hole_of(OFFSET), hole_of(OFFSET_UPPER)
        else:
            self.offsets[k] = w.uleb(at.BIAS + self.op.disp), w.uleb(at.BIAS + self.op.disp + 16)
        return raw if self._length(raw) <= 4 and not op.writes >> (op.base >> 3) & 1 else self.let("i32", raw)

    def _access(self, name: str, k: int, upper: bool = False) -> bytes:
        """A load or store of memory operand k, or of its upper half, to follow addresses[k]."""
        offsets = self.offsets.get(k)
        return w.access(name, at.BIAS + 16 * upper) if offsets is None else w.access(name)[:-1] + offsets[upper]

    def _effective_address(self, k, segment, plus=None):
        op = self.insn
        raw = b""
        if op.base < at.ZERO:
            raw = w.get(self.local[op.base >> 3])
        if op.shape.kinds[k] != "m":
            if op.index < at.ZERO:
                index = w.get(self.local[op.index >> 3])
                if op.scale:
                    index += w.i64(op.scale) + w.OP["i64.shl"]
                raw = raw + index + w.OP["i64.add"] if raw else index
        if plus is not None:
            raw = raw + plus.raw + w.OP["i64.add"] if raw else plus.raw
        if not raw:
            raw = self.const("i64", self.op.disp)
        elif self.op.disp:
            raw += self._number(self.op.disp, DISP) + w.OP["i64.add"]
        if op.shape.kinds[k] != "m":
            if op.a32:
                raw = self.wrap(raw, 32)
            if segment and op.segment != at.ZERO // 8:
                raw += ZERO32 + w.access("i64.load", op.segment * 8) + w.OP["i64.add"]
        return raw

    def address(self, k, segment=True, plus=None):
        raw = self._effective_address(k, segment, plus)
        return Int(self, raw if type(raw) is Const else self.let("i64", raw), 64)

    def _check(self, address: bytes, bits: int, access: int, key, within: int = 0) -> bytes:
        """Leaves for the interpreter unless `access` to bits/8 bytes at the i64 `address` is permitted; the address as i32.
        within: bits of the address that must be zero, too."""
        checks = self.op.checks
        if key in checks:
            cover = checks[key]
            if cover:
                self._check_cover(*cover)
            if self.op.anchor and key[0] == "i":
                return self._in_hole(b"\x20", USE_ANCHOR, ANCHOR + self.op.anchor[0])
            low = self.let("i32", address + w.OP["i32.wrap_i64"])
            if within and cover is not False:
                self._exit_if(low + w.i32(within) + w.OP["i32.and"])
            return low
        if type(address) is Const:
            if address.value & within:
                self._exit_if(w.i32(1))
            return self._check_constant(address.value, bits // 8, access)
        address = self.let("i64", address) if self._length(address) > 2 else address
        low = self.let("i32", address + w.OP["i32.wrap_i64"])
        if within:
            self._exit_if(low + w.i32(within) + w.OP["i32.and"])
        self._exit_if_denied(address, bits // 8, access, lambda address: self._is_denied(address, low, bits // 8, access))
        return low

    def _is_denied(self, address: bytes, low: bytes, size: int, access: int) -> bytes:
        denied = self._without(low + w.i32(12) + w.OP["i32.shr_u"] + w.access("i32.load8_u", at.PERMISSIONS), access)
        denied += address + w.i64(32) + w.OP["i64.shr_u"] + w.OP["i32.wrap_i64"] + w.OP["i32.or"]
        if size > 1:
            denied += low + w.i32(4095) + w.OP["i32.and"] + w.i32(4096 - size) + w.OP["i32.gt_u"] + w.OP["i32.or"]
        return denied

    def _check_simple(self, address: bytes, size: int, access: int) -> None:
        """Like _check, where the address is no constant, and wanted no more."""
        def denied(address: bytes) -> bytes:
            low = self.let("i32", address + w.OP["i32.wrap_i64"])
            return self._is_denied(address, low, size, access)
        self._exit_if_denied(address, size, access, denied, kept=False)

    def _exit_if_denied(self, address: bytes, size: int, access: int, denied: Callable[[bytes], bytes], mask: int | None = None, kept: bool = True):
        """For `size` bytes at the i64 `address`, of no more than two pages. `denied`, of the address, is the whole test; few narrow ones get
        to it. kept: the address is at hand; else the code computes it, which is then not done twice."""
        wide = size > at.NARROW
        kept |= self._length(address) <= 2
        if not self.options.runs or wide and (size > at.WIDE or not self.options.wide_runs):
            address = address if kept else self.let("i64", address)
            self._exit_if(denied(address), mask)
            return
        writable = bool(access & at.WRITE)
        table, runs = (at.WRITABLE, at.RUNS_WRITABLE) if writable else (at.READABLE, at.RUNS)
        start, length, again = (hole_of(hole) if self.recording else self._run_place(hole) for hole in _RUN_HOLES[writable, wide])

        begin, long = (ZERO32 + w.access("i64.load")[:-1] + part for part in (start, length))
        far = address + begin + w.OP["i64.sub"]
        if not kept:
            far = self.let("i64", far)

        def other():                                        # a run it is, be it the right one or not
            used = dict(self.used)
            where = address if kept else self.let("i64", far + ZERO32 + w.access("i64.load")[:-1] + again + w.OP["i64.add"])
            number = where + w.OP["i32.wrap_i64"] + w.i32(12) + w.OP["i32.shr_u"] + w.access("i32.load8_u", table)
            run = number + w.i32(4) + w.OP["i32.shl"]
            if wide:
                run, less = self.let("i32", run), w.i64(at.WIDE - at.NARROW)
                room = self.let("i64", run + w.access("i64.load", runs + 8))
                room = room + less + w.OP["i64.sub"] + w.i64(0) + room + less + w.OP["i64.gt_u"] + w.SELECT
                self.out.append(ZERO32 + room + w.access("i64.store")[:-1] + length)
                self.out.append(ZERO32 + run + w.access("i64.load", runs) + w.access("i64.store")[:-1] + again)
            else:
                self.out.append(ZERO32 + run + w.access("v128.load", runs) + w.access("v128.store")[:-1] + again)
            self._exit_if(denied(where), mask)
            self.used = used
        self._if(far + long + w.OP["i64.ge_u"] + w.UNLIKELY, other)

    def _run_place(self, hole: int) -> bytes:
        """The offset of a part of a check's run. The first is of the next check."""
        kind, part = divmod(hole - RUN, 3)
        if part == START:
            self.checks_made += 1
        return _run(at.lately_place(self.home, self.checks_made, kind > 1), kind & 1)[part]

    @staticmethod
    def _without(permission: bytes, access: int) -> bytes:
        """Zero where the permission has all of `access`."""
        return permission + w.i32(access) + w.OP["i32.and"] + w.i32(access) + w.OP["i32.xor"]

    def _check_constant(self, address, size, access, mask=None):
        first, last = address >> 12, address + size - 1 >> 12
        if last >= 1 << 20:
            self._exit_if(w.i32(1), mask)
        else:
            permission = ZERO32 + w.access("i32.load8_u", at.PERMISSIONS + first)
            if last != first:
                permission += ZERO32 + w.access("i32.load8_u", at.PERMISSIONS + last) + w.OP["i32.and"]
            denied = self._without(permission, access)
            if self.options.runs and last == first:
                number = ZERO32 + w.access("i32.load8_u", (at.WRITABLE if access & at.WRITE else at.READABLE) + first)
                self._if(number + w.OP["i32.eqz"] + w.UNLIKELY, lambda: self._exit_if(denied, mask))
            else:
                self._exit_if(denied, mask)
        return self.const("i32", address)

    def _check_range(self, base, low, high, access, mask=None):
        """All bytes from base + low up to base + high, which is less than two pages; the addresses of the first and the last."""
        first = self.let("i64", base + self._bound(low, LOW) + w.OP["i64.add"] if low else base)
        last = self.let("i64", base + self._bound(high - 1, HIGH) + w.OP["i64.add"])
        self._exit_if_denied(first, high - low, access, lambda first: self._is_range_denied(first, last, access), mask)
        return first, last

    def _is_range_denied(self, first: bytes, last: bytes, access: int) -> bytes:
        page = [x + w.OP["i32.wrap_i64"] + w.i32(12) + w.OP["i32.shr_u"] + w.access("i32.load8_u", at.PERMISSIONS) for x in (first, last)]
        denied = self._without(page[0] + page[1] + w.OP["i32.and"], access)
        return denied + first + last + w.OP["i64.or"] + w.i64(32) + w.OP["i64.shr_u"] + w.OP["i32.wrap_i64"] + w.OP["i32.or"]

    def _check_cover(self, register, low, high, access, anchor):
        base = w.get(self.local[register])
        first = base + self._bound(low, LOW) + w.OP["i64.add"] if low else base
        last = base + self._bound(high - 1, HIGH) + w.OP["i64.add"]
        if anchor is not None:
            first = self.let("i64", first)
        self._exit_if_denied(first, high - low, access, lambda first: self._is_range_denied(first, self.let("i64", last), access),
                             kept=anchor is not None)
        if anchor is not None:
            self.out.append(first + w.OP["i32.wrap_i64"] + self._in_hole(b"\x21", SET_ANCHOR, ANCHOR + anchor))

    def _in_hole(self, code: bytes, hole: int, number: int) -> bytes:
        """Code with a number after it that differs from place to place."""
        if hole == SET_ANCHOR and sum(map(bool, self.op.checks.values())) > 1:
            self.ordinary = False
            return code + w.uleb(number)
        return code + (hole_of(hole) if self.recording else w.uleb(number))

    def _at(self, name: str) -> bytes:
        """A load or store that the meaning makes itself, to follow what `_implicit` answers."""
        if self.op.anchor is None:
            return w.access(name, at.BIAS)
        return self._in_hole(w.access(name)[:-1], FROM_ANCHOR, at.BIAS + self.op.anchor[1])

    def _implicit(self, address: Int, bits: int, access: int) -> bytes:
        self.implicit += 1
        return self._check(address.raw, bits, access, ("i", self.implicit - 1))

    def load(self, address, bits):
        low = self._implicit(address, bits, at.READ)
        return Int(self, self.let("i64", low + self._at(LOAD[bits])), bits)

    def store(self, address, value):
        low = self._implicit(address, value.bits, at.WRITE)
        self.out.append(low + value.raw + self._at(STORE[value.bits]))

    def load_vec(self, address):
        low = self._implicit(address, 128, at.READ)
        return Vec(self, self.let("v128", low + self._at("v128.load")))

    def store_vec(self, address, value):
        low = self._implicit(address, 128, at.WRITE)
        self.out.append(low + value.raw + self._at("v128.store"))

    def writable(self, address, bits): self._implicit(address, bits, at.WRITE)

    # ---- control registers
    def base(self, segment):
        return Int(self, self.let("i64", ZERO32 + w.access("i64.load", {"fs": at.FS_BASE, "gs": at.GS_BASE}[segment])), 64)

    def set_base(self, segment, value):
        self.out.append(ZERO32 + value.raw + w.access("i64.store", {"fs": at.FS_BASE, "gs": at.GS_BASE}[segment]))

    def cell(self, name):
        where, bits = CELLS[name]
        self.looks |= name == "mxcsr"
        return Int(self, self.let("i64", ZERO32 + w.access(LOAD[bits], where)), bits)

    def set_cell(self, name, value):
        where, bits = CELLS[name]
        self.out.append(ZERO32 + value.raw + w.access(STORE[bits], where))

    def stack_number(self, k): return self.int(self.insn.operands[k], 16)

    def part(self, k, offset, bits):
        return Int(self, self.let("i64", self.addresses[k] + w.access(LOAD[bits], at.BIAS + offset)), bits)

    def set_part(self, k, offset, value):
        self.out.append(self.addresses[k] + value.raw + w.access(STORE[value.bits], at.BIAS + offset))

    def call_shared(self, name, a, b):
        return self.let("i32", w.i32(FUNCTIONS.index(name)) + a.raw + b.raw + w.call(self.imports.x87))

    def float_op(self, op, *values):
        if self.floats != HARD and op not in CALLED:
            if self.floats == LOOSE:
                return self._loose_float_op(op, *values)
            return (self._deferred_float_op if self.floats == DEFERRED and not self.inside else self._easy_float_op)(op, *values)
        type = SIGNATURES[op][1]
        if self.floats == LOOSE and "from" not in op:
            values = self._read_once(op.split(".")[0], values)
        raw = self._float_call(op, values)
        if self.floats == LOOSE:                          # it is one of CALLED; all is masked
            plain = fused_plainly(self, op, *values) if "from" not in op else None
            if plain is None:
                return result(self, op, self.let(type, raw))
            answer = self.let(type, plain.raw)
            return result(self, op, self._with_first_nan(op, [v.raw for v in values], answer) if self.mends else answer)
        answer = self.let(type, raw) if type else self.out.append(raw)
        self._exit_if_it_traps()
        return result(self, op, answer) if type else None

    def _loose_float_op(self, op, *values):
        """What Wasm has."""
        exchanged = self._may_exchange(op, values)
        linked = self.mends and self.begin_link(op, exchanged)
        if not exchanged and not linked:
            return plainly(self, op, *values)
        values = self._read_once(op.split(".")[0], values[:1]) + list(values[1:])
        answer = self.let(SIGNATURES[op][1], plainly(self, op, *values).raw)
        if linked:
            self.keep_link(values[0].raw, answer)
            return result(self, op, answer)
        return result(self, op, self._with_first_nan(op, [values[0].raw], answer))

    def _may_exchange(self, op, values) -> bool:
        """Whether the other of two NaNs may come, as the engine may exchange operands of Wasm's instruction, which must not be."""
        if not self.mends or op.split(".")[1] not in EXCHANGED:
            return False
        x, y = (self.copied.get(v.raw, v.raw) for v in values)
        return x != y

    def _float_call(self, op, values) -> bytes:
        raw = b"".join(w.i32(v) if isinstance(v, int) else sse_operand(v) for v in values)
        if self.recording:                                # functions have other numbers in other modules
            return raw + b"\x10" + hole_of(FUNCTION + _FLOAT_OPS.index(op))
        return raw + w.call(self.imports.float_ops[op])

    def _exit_if_it_traps(self):
        traps = ZERO32 + w.access("i32.load", at.SSE_TRAPS)
        self._if(traps + w.UNLIKELY, lambda: self.out.append(ZERO32 + ZERO32 + w.access("i32.store", at.SSE_TRAPS) + self._exit()))

    def _easy_float_op(self, op, *values):
        """Where HARD is 0: what Wasm has, if all numbers are normal or zero. Others the interpreter has."""
        type, (shape, what) = SIGNATURES[op][1], op.split(".")
        of = what.removeprefix("from_") if what.startswith("from_") else shape
        values = self._read_once(of, values)
        operands = [v.raw for v in values if isinstance(v, Float | Vec)]
        known = frozenset(k for k, raw in enumerate(operands) if self._is_number(raw, of))
        answer = operands[0] if what == "operand" else self.let(type, plainly(self, op, *values).raw) if type else None
        tests = sse.unusual(op, [v if isinstance(v, int) else v.raw for v in values], answer, known=known)
        if tests:
            first, *more = tests
            self._if(first + w.UNLIKELY, lambda: self._exit_if(more[0]) if more else self.out.append(self._exit()))
        if not self.inside:
            for raw in operands if what in ("signal", "operand") else [answer]:
                self.number[raw] = shape
                self.numbers |= _NUMBERS.get(raw, {}).get(shape, 0)
        return result(self, op, answer) if type else None

    def _read_once(self, of: str, values) -> list:
        """Operands, numbers of that shape, where each may be pushed several times."""
        if of[0] != "f":
            return list(values)
        return [v._like(self.let(of if "x" not in of else "v128", v.raw)) if isinstance(v, Float | Vec) and len(v.raw) > 3
                and v.raw.__class__ is not Const else v for v in values]

    def _deferred_float_op(self, op, *values):
        """What Wasm has, and what is to be known for the exceptions it may raise, see deferred.py."""
        type, (shape, what) = SIGNATURES[op][1], op.split(".")
        if what == "operand":
            return values[0]
        of = what.removeprefix("from_") if what.startswith("from_") else shape
        values = self._read_once(of, values)
        operands = [v.raw for v in values if isinstance(v, Float | Vec) and v.raw.__class__ is not Const]
        types = ["" if isinstance(v, int) or v.raw.__class__ is Const else "i32" if isinstance(v, Int) and v.bits == 32 else parameter
                 for v, parameter in zip(values, SIGNATURES[op][0].split())]
        self.note(op, [w.i32(v) if isinstance(v, int) else bytes(sse_operand(v)) for v in values], types)
        answer = self.let(type, plainly(self, op, *values).raw) if type else None
        if self._may_exchange(op, values):
            self._with_first_nan(op, [values[0].raw], answer)
        self.watch(op, operands, answer, self._is_number)
        for raw in operands if what == "mul" else [answer] if what == "div" else ():
            self.number[raw] = shape                      # zero or not small, or the group will be looked at
            self.numbers |= _NUMBERS.get(raw, {}).get(shape, 0)
        return result(self, op, answer) if type else None

    def _is_number(self, raw: bytes, shape: str) -> bool:
        """Whether it is known to be normal or zero."""
        return self.number.get(raw) == shape or bool(self.numbers & _NUMBERS.get(raw, {}).get(shape, 0))

    def _of_numbers(self, raw: bytes) -> int:
        """What of a vector register that is set to this is known to be normal or zero, as of register 0."""
        found = 0
        if raw.__class__ is Const and raw.value == 0:
            return _EVERY
        for part in (raw.low,) if raw.__class__ is Low else (raw,):
            for shape, bits in _SHAPES.items():
                if self._is_number(part, shape):
                    found |= bits
        return found

    def both_halves(self):
        """What one half raises must not be in MXCSR where the other traps: such the interpreter has."""
        if self.floats == HARD:
            self._exit_if(((self.cell("mxcsr") & MASKED) != MASKED).raw)

    # ---- control
    def leave_pointer(self): pass                       # after what may come from a template
    def next_ip(self): return Int(self, Const(self._number(self.op.after, AFTER), self.op.after), 64)

    def goto(self, address): self.ends = address.raw

    def target(self, address):
        """The interpreter has those that are no address that code can have."""
        if not self.trusting:
            self._exit_if(self._is_strange(address.raw))

    @staticmethod
    def _is_strange(target: bytes) -> bytes:
        return target + w.i64(1) + w.OP["i64.sub"] + w.i64(0xFFFFFFFF) + w.OP["i64.ge_u"]              # 0 too is none

    def branch(self, condition=None): self.ends = condition.raw if condition is not None else None
    def system_call(self): pass

    def when(self, condition, body):
        raw = condition.raw
        if type(raw) is Const:
            if raw.value:
                body()
            return
        self.inside += 1
        self._if(raw, body)
        self.inside -= 1

    def choose(self, condition, yes, no):
        raw = condition.raw
        if type(raw) is Const:
            return yes() if raw.value else no()
        self.depth += 1
        self.inside += 1
        answer = super().choose(condition, yes, no)
        self.inside -= 1
        self.depth -= 1
        return answer

    def call(self, routine, *values):
        if routine.inline:
            return super().call(routine, *values)
        self.ordinary = False                              # modules import what they call
        raw = b"".join(v.raw for v in values) + w.call(self.imports.routines[routine.name])
        return self.value(routine.result, self.let(routine.result, raw))

    def trap_if(self, condition, vector): self._exit_unless_known(condition)
    def slow_if(self, condition): self._exit_unless_known(condition)

    def _exit_unless_known(self, condition):
        if type(condition.raw) is not Const or condition.raw.value:
            self._exit_if(condition.raw)

    def divide_wide(self, high, low, divisor, signed):
        if not signed:
            self.trap_if(~high.lt_u(divisor), "DE")
            call = high.raw + low.raw + divisor.raw + w.call(self.imports.divide)
            q = Int(self, self.let("i64", call), 64)
            return q, low - q * divisor
        self.slow_if((high != low.sar(63)) | (divisor == -1))
        return low.div_s(divisor), low.rem_s(divisor)

    # ---- flags
    def _set_lazy(self, kind, a: bytes, b: bytes, bits: int):
        if not self.op.flags_live & self.insn.effects.flags_touched:
            return
        code = kind | 64 - bits << 8 | _FLAGS_SET
        self.out.append(a + b + w.put(self.flag_b) + w.put(self.flag_a) + w.i32(code) + w.put(self.flag_kind))
        self.kind = MIXED if self.inside else (kind, bits)

    def flags_sub(self, x, y): self._set_lazy(flags.SUB, x.raw, y.raw, x.bits)
    def flags_add(self, x, y): self._set_lazy(flags.ADD, x.raw, y.raw, x.bits)
    def flags_logic(self, r): self._set_lazy(flags.SUB, r.raw, w.i64(0), r.bits)

    def _count_flags(self, kind, r):
        live = self.op.flags_live
        if live & self.insn.effects.flags_touched:
            self._set_lazy(kind, r.raw, self.cf.int(64).raw if live & 1 << CF else w.i64(0), r.bits)

    def flags_inc(self, r): self._count_flags(flags.INC, r)
    def flags_dec(self, r): self._count_flags(flags.DEC, r)

    def flags_result(self, r, cf, of, af=None):
        live = self.op.flags_live
        if live & ARITHMETIC:
            b = flags.pack(self, cf, of, af).raw if live & (1 << CF | 1 << OF | 1 << AF) else w.i64(0)
            self._set_lazy(flags.RESULT, r.raw, b, r.bits)

    def flags_set(self, **bits):
        live, named = self.op.flags_live, self.insn.effects.flags_touched
        if not live & named:
            return
        if live & ~named:
            super().flags_set(**bits)
            return
        packed = self.int(0, 32)
        for name, bit in bits.items():
            packed = packed | (bit.int(32) << _NUMBER[name])
        self.set_arithmetic_flags(packed)

    def set_arithmetic_flags(self, packed): self._set_lazy(flags.EXPLICIT, w.i64(0), packed.raw, 64)

    def _lazy(self) -> tuple[int, Int, Int]:
        kind, bits = self.kind
        a, b, both = w.get(self.flag_a), w.get(self.flag_b), kind in (flags.SUB, flags.ADD)
        if bits == 32 and self.options.halves:
            a, b = _wide(a), _wide(b) if both else b
        return kind, Int(self, a, bits), Int(self, b, bits if both else 64)

    def flags_compare(self, x, y):
        if not self.options.comparisons:
            super().flags_compare(x, y)
        elif self.op.flags_live & self.insn.effects.flags_touched:
            self.vectors = True
            code = flags.COMPARE | _FLAGS_SET
            self.out.append(x.to(64).raw + y.to(64).raw + w.put(FLAG_Y) + w.put(FLAG_X) + w.i32(code) + w.put(self.flag_kind))
            self.kind = flags.COMPARE, 64

    def arithmetic_flags(self):
        self._to_memory()
        return Int(self, self.let("i64", w.call(self.imports.flags) + w.OP["i64.extend_i32_u"]), 32)

    def _to_memory(self):
        """The flags are in memory too, and stay in locals as they are."""
        if self.kind is MIXED:
            self.out.append(self._store_mixed_flags())
        elif self.kind is not CLEAN:
            self.out.append(self._store_known_flags())

    def condition(self, cc):
        if isinstance(self.kind, tuple):
            if self.kind[0] == flags.COMPARE:
                x, y = Float(self, w.get(FLAG_X), 64), Float(self, w.get(FLAG_Y), 64)
                return Bool(self, self.let("i32", flags.condition_after_comparison(self, cc, x, y).raw))
            kind, a, b = self._lazy()
            return Bool(self, self.let("i32", flags.condition_after(self, kind, cc, a, b).raw))
        return flags.condition_of(self, cc, self.arithmetic_flags())

    def _store_known_flags(self) -> bytes: return _known_flags(*self.kind)
    def _store_mixed_flags(self) -> bytes: return _mixed_flags(self.graph.compares)

    def flags_rest(self): return Int(self, self.let("i64", ZERO32 + w.access("i64.load32_u", at.EFLAGS_REST)), 32)
    def set_flags_rest(self, value): self.out.append(ZERO32 + value.raw + w.access("i64.store32", at.EFLAGS_REST))


def _wide(raw: bytes) -> Wide: return Wide(raw, raw + w.OP["i32.wrap_i64"])


# (whether it is for writing, whether for more than NARROW bytes) -> the parts
_RUN_HOLES = {(writable, wide): range(RUN + 3 * (writable + 2 * wide), RUN + 3 * (writable + 2 * wide) + 3)
              for writable in (False, True) for wide in (False, True)}


@lru_cache(None)
def _run(place: int, writable: int) -> tuple[bytes, bytes, bytes]:
    """The parts, see Instructions._run_place; place: as of layout.lately_place."""
    place += at.LATELY_WRITABLE if writable else at.LATELY
    return w.uleb(place), w.uleb(place + 8), w.uleb(place)


def _part_of(insn, depends: int):
    """What code depends on, of an instruction's constant."""
    if depends == VALUE:
        return insn.imm
    if insn.lengths is None:
        insn.lengths = (len(w.i32(insn.imm)), *(len(w.i64(insn.imm & mask)) for mask in _GIVEN_MASKS.values()))
    return insn.lengths


def _sort(checks: dict, direct, number={}) -> tuple:
    """What the code of checks depends on, but for the numbers in it. number: of registers, instead of themselves."""
    return tuple((key, key in direct, cover and (number.get(cover[0], cover[0]), cover[1] != 0, cover[3], cover[4] is not None, cover[2] - cover[1] > at.NARROW))
                 for key, cover in checks.items())


def _relation(x: int, op: str, y: int, flags: int) -> bytes:
    """Those flags where it holds, else 0."""
    return w.i32(flags) + ZERO32 + w.get(x) + w.get(y) + w.OP[op] + w.SELECT


# The flags after a comparison of the numbers in FLAG_X and FLAG_Y, packed: i64.
_COMPARED = (_relation(FLAG_X, "f64.lt", FLAG_Y, flags.LESS) + _relation(FLAG_X, "f64.eq", FLAG_Y, flags.EQUAL) + w.OP["i32.or"]
             + w.i32(flags.UNORDERED) + ZERO32 + w.get(FLAG_X) + w.get(FLAG_X) + w.OP["f64.ne"] + w.get(FLAG_Y) + w.get(FLAG_Y) + w.OP["f64.ne"]
             + w.OP["i32.or"] + w.SELECT + w.OP["i32.or"] + w.OP["i64.extend_i32_u"])
# For the bytes that push (a part of) a vector register, what is known of it by that: its bit in `numbers` for each shape. Of register n:
# bit n, its lowest double is normal or zero; bit 16 + n, its lowest single; bits 32 + n, 48 + n, all doubles, all singles.
_SHAPES = {"f64": 1, "f32": 1 << 16, "f64x2": 1 << 32 | 1, "f32x4": 1 << 48 | 1 << 16}
_EVERY = 1 | 1 << 16 | 1 << 32 | 1 << 48
_NUMBERS = {raw: bits for n in range(16) for raw, bits in (
    (w.get(DOUBLE + n), {"f64": 1 << n}), (w.get(VECTOR + n) + EXTRACT[64], {"f64": 1 << n}),
    (w.get(SINGLE + n), {"f32": 1 << 16 + n}), (w.get(VECTOR + n) + EXTRACT[32], {"f32": 1 << 16 + n}),
    (w.get(VECTOR + n), {"f64x2": 1 << 32 + n, "f32x4": 1 << 48 + n}))}
_OF_INTEGERS = {f"f{n}.convert_i{m}_s" for n in (32, 64) for m in (32, 64)}
_FLOAT_OPS = list(SIGNATURES)
_WATCHED = {DEFERRED, EASY}                                # with these, it matters what is known of numbers
_TO_EXIT = w.put(EXIT_RIP) + b"\x0c"
_GIVEN_HOLES = {bits: hole_of(hole) for bits, hole in GIVEN.items()}
_GIVEN_MASKS = {hole: (1 << bits) - 1 for bits, hole in GIVEN.items()}
_NARROW_HOLE = hole_of(GIVEN_NARROW)


@lru_cache(None)
def _known_flags(kind: int, bits: int) -> bytes:
    """Stores the flags in locals, of which it is known what they are."""
    if kind == flags.COMPARE:
        return (ZERO32 + _COMPARED + w.access("i64.store", at.FLAG_B)
                + ZERO32 + w.i32(flags.EXPLICIT) + w.access("i32.store", at.FLAG_KIND))
    up = w.i64(64 - bits) + w.OP["i64.shl"] if bits < 64 else b""
    return (ZERO32 + w.get(FLAG_A) + up + w.access("i64.store", at.FLAG_A)
            + ZERO32 + w.get(FLAG_B) + (up if kind in (flags.SUB, flags.ADD) else b"") + w.access("i64.store", at.FLAG_B)
            + ZERO32 + w.i32(kind | 64 - bits << 8) + w.access("i32.store", at.FLAG_KIND))


@lru_cache(None)
def _mixed_flags(compares: bool) -> bytes:
    """Stores those in locals if they are newer than those in memory; `compares`: they may be of a comparison of numbers."""
    kind = w.get(FLAG_KIND)
    shift = kind + w.i32(8) + w.OP["i32.shr_u"] + w.i32(63) + w.OP["i32.and"] + w.OP["i64.extend_i32_u"]
    shifted = kind + w.i32(255) + w.OP["i32.and"] + w.i32(flags.ADD) + w.OP["i32.le_u"]
    store = (ZERO32 + w.get(FLAG_A) + shift + w.OP["i64.shl"] + w.access("i64.store", at.FLAG_A)
             + ZERO32 + w.get(FLAG_B) + shift + w.OP["i64.shl"] + w.get(FLAG_B) + shifted + w.SELECT + w.access("i64.store", at.FLAG_B)
             + ZERO32 + kind + w.i32(0xFFFF) + w.OP["i32.and"] + w.access("i32.store", at.FLAG_KIND))
    if compares:                                            # as flags packed, then
        explicit = _COMPARED + w.put(FLAG_B) + w.i32(flags.EXPLICIT | _FLAGS_SET) + w.put(FLAG_KIND)
        store = w.if_(kind + w.i32(255) + w.OP["i32.and"] + w.i32(flags.COMPARE) + w.OP["i32.eq"], explicit) + store
    return w.if_(kind, store)


_PATTERNS = {"f64.reinterpret_i64", "i64.reinterpret_f64", "f32.reinterpret_i32", "i32.reinterpret_f32", "i64.extend_i32_u", "i32.wrap_i64"}
# What is computed here where all operands are known, and its type.
_TESTS = {"eqz", "eq", "ne", "lt_u", "gt_u", "le_u", "ge_u", "lt_s", "gt_s", "le_s", "ge_s", "wrap_i64"}
_FOLDED = {op: "v128" if "x" in op[:4] or op[0] == "v" else "i32" if op[1] == "3" or op[4:] in _TESTS else "i64" for op in PRIM
           if op[0] in "iv" and not op.endswith(("bitmask", "all_true", "any_true"))}
_COMPARED_HALVES = {f"i64.{op}" for op in ("eq", "ne", "lt_u", "gt_u", "eqz")}
_SHIFTS = {f"i{bits}.{op}": bits - 1 for bits in (32, 64) for op in ("shl", "shr_u", "shr_s", "rotl", "rotr")}      # they look at so much of the count
_HALVES = {f"i64.{op}" for op in ("add", "sub", "mul", "and", "or", "xor", "shl", "shr_u", "shr_s", "extend32_s")} | _COMPARED_HALVES
_NUMBER = {"cf": CF, "pf": 2, "af": AF, "zf": 6, "sf": 7, "of": OF}
