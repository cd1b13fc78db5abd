"""The control flow graph of a region: the blocks that can be reached from a hot entry, as the interpreter decoded them.

Reads the interpreter's records, so that a region holds what has been executed, and nothing is decoded a second time; of
a branch, only the ways that were gone since its record was last unlinked.
Knows records and effects; knows nothing of how code is emitted.
"""
import struct
from collections import deque
from dataclasses import replace
from collections.abc import Mapping

from ..x86.flags import ADD, COMPARE, SUB
from ..x86.meaning import ARITHMETIC, RSP
from . import layout as at
from .decoder import Tables
from .effects import Effects, effects
from .handler import R_DISP, R_IMM, R_TARGET, RECORD, UNLINKED, Shape
from .inline import address_of, inline

# A record in pieces, see handler.R_*: handler, rip, what says which registers, what is linked, displacement, immediate.
PIECES = struct.Struct("<4sI12sIq8s")
MIDDLE = struct.Struct("<HHHHBBBB")
LINKS = struct.Struct("<II")
ALL_WAYS = True, True
ALL_GENERAL = 0xFFFF
ZEROING = frozenset({"xor", "sub", "pxor", "xorps", "xorpd"})          # where both operands are one register
ZEROING_VEX = frozenset({"vpxor", "vxorps", "vxorpd"})                  # where both sources are
MOST_LOOKED = 4                               # blocks that flags_at looks at
MOST_OPS = 600                                # instructions in a region
MOST_ARMS = 300                               # ways of all jumps by tables, if they lead to their arms themselves
MOST_INSTRUCTIONS = 30_000                    # different ones that a Decoder remembers
MOST_BLOCKS = 10_000                          # that it remembers
JUMPS = {"jmp": "jump", "jmp_indirect": "jump_indirect", "jcc": "branch", "loop": "branch", "loope": "branch",
         "loopne": "branch", "jrcxz": "branch", "call": "call", "call_indirect": "call_indirect", "ret": "ret", "syscall": "syscall"}
_INSIDE = frozenset({"jump", "branch", "choice"})                      # ends with all ways in `edges`
RELOADING = frozenset({"call", "call_indirect", "call_next", "syscall", "out"})     # ends after which the registers are in memory


class Form:
    """What all instructions of a shape have in common."""
    __slots__ = ("shape", "effects", "kinds", "end", "linked", "more", "address", "shift", "constant", "counts")

    def __init__(self, shape: Shape):
        self.shape = shape
        self.effects: Effects = effects(shape)
        self.kinds = tuple(k.lower()[0] if k[0] != "g" else "r" for k in shape.kinds)       # as meanings know them
        self.end = JUMPS.get(shape.meaning)
        if self.end in ("jump", "call") and shape.kinds != ("j",):
            self.end += "_indirect"
        self.linked = shape.kinds == ("j",)                 # records remember where they lead, and say the target
        self.more = shape.more                              # the record has fields T and U
        self.address = "m" in self.kinds                    # has one, to be accessed or not
        self.constant = "i" in self.kinds and not self.more     # an operand that may be any number
        self.counts = shape.kinds == ("r", "i") and shape.size == 64 and shape.meaning in ("add", "sub")    # it moves a register by that
        e = self.effects
        self.shift = (63 if shape.size == 64 else 31) if e.flags_touched != e.flags_written and shape.kinds[-1:] == ("i",) else 0


def _mask(where: int) -> int:
    """The register at a state offset."""
    if where < at.ZERO:
        return 1 << (where >> 3)
    return 1 << 16 + (where - at.VECTOR >> 5) if at.VECTOR <= where < at.X87 else 0


class Instruction:
    """What a decoded instruction is, wherever it stands: all in its record but its displacement and addresses of code. One
    object for equal ones.

    operands, base, index   state offsets
    reads, writes           masks of registers, as in `effects`
    short                   general registers of which it may matter whether they are known to hold 32 bits
    flags                   whether it has to do with the arithmetic flags; compares: it sets them all from two operands
    uppers                  whether it has to do with upper halves of vector registers
    special                 whether it calls a function of the interpreter
    alike                   the first that differs in no more than its length and its constant
    lengths                 of its constant, as it may be pushed: kept here by who finds out
    both                    vectors.both, or 0; pointer: effects.pointer
    zeroes                  whether it sets a register to zero, whatever that holds
    absolute                whether its memory operand is at the displacement alone
    accesses                (key, register, offset, times the displacement more, access, bytes) of each memory access off one
                            general register: ("m", k) for operand k, ("i", n) for the n-th that the meaning makes itself
    changes                 (register, whether it is a constant more than before, that constant) of general registers written
    """
    __slots__ = ("form", "effects", "shape", "operands", "base", "index", "scale", "a32", "segment", "length", "imm",
                 "reads", "writes", "short", "flags", "flags_written", "compares", "absolute", "accesses", "changes", "_places", "vectors",
                 "zeroes", "uppers", "special", "alike", "both", "pointer", "_facts", "lengths", "_renamed")

    def __init__(self, form: Form, fields: tuple, imm: int, alike: "Instruction | None" = None):
        d, s, self.base, self.index, self.scale, self.a32, self.segment, self.length = fields
        self._places = self.lengths = None
        if alike is not None:
            self.alike, self.imm = alike, imm if form.constant else alike.imm
            (self.form, self.shape, self.effects, self.operands, self.reads, self.writes, self.short, self.flags, self.flags_written,
             self.compares, self.absolute, self.accesses, self.changes, self.special, self.uppers, self.zeroes, self.vectors, self.both,
             self.pointer) = alike.facts()
            if form.constant and form.counts:
                self.changes = self._changes()
            return
        self.alike, self._facts, self._renamed = self, None, None
        more = (imm >> 32 & 0xFFFF, imm >> 48 & 0xFFFF) if form.more else (at.ZERO, at.ZERO)        # see handler.R_T
        imm = imm & 0xFF if form.more else imm
        self.form, self.shape, self.effects, self.operands, self.imm = form, form.shape, form.effects, (d, s, *more), imm
        e = form.effects
        reads, writes = e.reads, e.writes
        for k in e.operand_reads | e.operand_partial:
            reads |= _mask(self.operands[k])
        for k in e.operand_writes:
            writes |= _mask(self.operands[k])
        for k in e.operand_upper_reads:
            reads |= _mask(self.operands[k]) << 16
        for k in e.operand_upper_writes:
            writes |= _mask(self.operands[k]) << 16
        if form.address:
            reads |= _mask(self.base) | _mask(self.index)
        self.zeroes = form.shape.meaning in ZEROING and form.shape.size >= 32 and form.kinds in (("r", "r"), ("x", "x")) and d == s
        self.zeroes |= form.shape.meaning in ZEROING_VEX and form.kinds == ("x", "x", "x") and s == more[0]
        if self.zeroes:
            reads = 0
        self.reads, self.writes = reads, writes
        self.short = e.short | e.partial
        for k in e.operand_short | e.operand_partial:
            self.short |= _mask(self.operands[k]) & 0xFFFF
        self.flags = bool(e.flags_touched | e.flags_read)
        # a shift by a constant writes the flags unless that is zero
        self.flags_written = e.flags_touched if imm & form.shift else e.flags_written
        self.compares = self.flags_written == ARITHMETIC and not e.flags_read and e.flags_kind is not None and e.flags_kind[0] in (SUB, ADD, COMPARE)
        self.absolute = form.address and self.base >= at.ZERO and self.index >= at.ZERO
        self.accesses = () if e.repeats else tuple(self._accesses())
        self.changes = self._changes()
        self.special = bool(e.routines or e.float_ops)
        self.uppers = bool((self.reads | self.writes) >> 32)
        self.vectors = Vectors(self) if self.reads | self.writes > ALL_GENERAL else None
        self.both = self.vectors.both if self.vectors else 0
        self.pointer = e.pointer

    def facts(self) -> tuple:
        """What those have in common that are alike."""
        if self._facts is None:
            self._facts = (self.form, self.shape, self.effects, self.operands, self.reads, self.writes, self.short, self.flags,
                           self.flags_written, self.compares, self.absolute, self.accesses, self.changes, self.special, self.uppers,
                           self.zeroes, self.vectors, self.both, self.pointer)
        return self._facts

    def renamed(self) -> tuple | None:
        """What the instruction is but for which general registers its operands are, which all can be, if others have not to do with
        it; and these. None where that does not say it all."""
        if self._renamed is None:
            self._renamed = self._rename() or False
        return self._renamed or None

    def _rename(self):
        kinds, e = self.shape.kinds, self.effects
        if self.special or self.vectors or e.repeats or not {"r", "m", "i", "j"}.issuperset(self.form.kinds):
            return None
        fixed = (e.reads | e.writes | e.short | e.partial) & ALL_GENERAL | 1 << RSP
        for kind in kinds:
            if kind[0] == "g":
                fixed |= 1 << int(kind[1:])
        registers = []

        def role(where):
            if where >= at.ZERO or fixed >> (where >> 3) & 1:
                return where
            if where >> 3 not in registers:
                registers.append(where >> 3)
            return ~(registers.index(where >> 3) << 3 | where & 7)
        roles = [role(where) if kind == "r" else 0 for kind, where in zip(kinds, self.operands)]
        if self.form.address:
            roles += role(self.base), role(self.index), self.scale, self.a32, self.segment
        return (self.form, *roles, None if self.form.constant or self.form.linked else self.imm, self.flags_written), tuple(registers), fixed

    def _changes(self) -> tuple:
        written = self.writes & ALL_GENERAL
        if not written:
            return ()
        moves, found = self._moves(), []
        while written:
            n = (written & -written).bit_length() - 1
            written &= written - 1
            source, distance = moves.get(n, (None, 0))
            found.append((n, source == n, distance))
        return tuple(found)

    def places(self) -> tuple:
        """As `accesses`, with (base, index, scale) for the register: numbers, or None where there is none; also of addresses off
        two registers, and constant ones."""
        if self._places is None:
            self._places = () if self.effects.repeats else tuple(self._find_places())
        return self._places

    def _find_places(self):
        known = set()
        for key, where, offset, times, access, size in self.accesses:
            known.add(key)
            yield key, (where, None, 0), offset, times, access, size
        for k, (access, bits) in self.effects.memory.items():
            if ("m", k) not in known and not self.a32 and self.segment == at.ZERO // 8:
                base = self.base >> 3 if self.base < at.ZERO else None
                index = self.index >> 3 if self.index < at.ZERO and self.shape.kinds[k] != "m" else None
                yield ("m", k), (base, index, self.scale if index is not None else 0), 0, 1, access, bits // 8

    def _accesses(self):
        for k, (access, bits) in self.effects.memory.items():
            if self.shape.kinds[k] == "m" and self.base < at.ZERO:
                yield ("m", k), self.base >> 3, 0, 1, access, bits // 8
        for n, (address, access, bits) in enumerate(self.effects.implicit):
            where, offset = self._actual(address) if address else (None, 0)
            if where is not None:
                yield ("i", n), where, offset, 0, access, bits // 8

    def _actual(self, value):
        """A value of `effects` with register operands replaced by the registers they are here."""
        where, offset = value
        if where < 0:
            where = self.operands[-1 - where]
            if where & 7 or where >= at.ZERO:
                return None, 0
            where >>= 3
        return where, offset

    def _moves(self) -> dict[int, tuple[int, int]]:
        """Registers that are set to a register plus a constant: number -> (number, constant)."""
        found = {}
        for where, value in self.effects.moves.items():             # the last write counts: POP RSP
            target = self.operands[-1 - where] if where < 0 else where << 3
            source = self._actual(value) if value is not None and not target & 7 else (None, 0)
            if source[0] is not None:
                found[target >> 3] = source
            else:
                found.pop(target >> 3, None)
        shape = self.shape
        if self.form.counts and not self.operands[0] & 7:
            n = self.operands[0] >> 3
            imm = self.imm - (1 << 64) if self.imm >> 63 else self.imm
            found[n] = n, imm if shape.meaning == "add" else -imm
        return found


class Vectors:
    """What an instruction does with the lower halves of vector registers; masks of their numbers.

    used      all it reads; of these double, single: their lowest 64 or 32 bits, whole: (also) others
    written   with `bits` lowest bits new beside what was there, or 0: whole; copied: set to what that register is
    """
    __slots__ = ("used", "double", "single", "whole", "written", "bits", "copied", "both")

    def __init__(self, insn: Instruction):
        self.used, self.written, uses = insn.reads >> 16 & 0xFFFF, insn.writes >> 16 & 0xFFFF, {}
        for k, use in insn.effects.vector_uses.items() if not insn.zeroes else ():
            where = _mask(insn.operands[k]) >> 16 if len(insn.shape.kinds[k]) == 1 else 0
            uses[where] = uses.get(where, 0) | use
        self.double = self.single = self.whole = 0
        for where, use in uses.items():
            if use == 64:
                self.double |= where
            elif use == 32:
                self.single |= where
            else:
                self.whole |= where
        kind, value = insn.effects.vector_result or ("", 0)
        self.bits = value if kind == "low" else 0
        self.copied = _mask(insn.operands[value]) >> 16 if kind == "x" else 0
        self.both = self.used | self.written
        self.both |= self.both << 16


NONE, NEAR, FAR = range(3)


class Op:
    """An instruction at its place, and what `liveness` finds out there. Graphs share those that the Decoder remembers: what is found
    out is for the region that is being made, and not there until Graph.forget.

    near    how its displacement is: NONE, whether an access may have it as an offset where nothing else is known (NEAR), or not (FAR)
    checks  memory access -> None (checked before; False: alignment too), or the range to check here
    direct  those beyond where their base register points, which is known to be an address
    anchor  of its one access off RSP that the meaning makes itself: the number of the anchor that it goes off, and how far it is from there
    saved   registers to store should the instruction fault
    whole   a vector register it writes is to be kept whole, see lanes
    """
    __slots__ = ("rip", "insn", "disp", "near", "flags_live", "checks", "direct", "anchor", "saved", "whole")

    def __init__(self, rip: int, insn: Instruction, disp: int):
        self.rip, self.insn, self.disp = rip, insn, disp
        self.near = (NEAR if -at.BIAS < disp <= at.LEAST else FAR) if disp else NONE
        self.flags_live = -1

    @property
    def length(self) -> int: return self.insn.length

    @property
    def after(self) -> int: return self.rip + self.insn.length


_NO_CHECKS: dict = {}
_NONE: frozenset = frozenset()


class Summary:
    """What instructions that follow each other have to do with, all together.

    need, reads, writes      masks of registers: those read before they are written, read at all, written
    flags_need, flags_set    likewise of flags; flags_set: in any case
    special                  whether there is one that calls a function of the interpreter
    inside                   where they begin, but for the first
    """
    __slots__ = ("need", "reads", "writes", "flags_need", "flags_set", "special", "inside")

    def __init__(self, ops: list[Op]):
        need = reads = writes = flags_need = flags_set = 0
        self.special = False
        for op in ops:
            insn = op.insn
            reads |= insn.reads
            need |= insn.reads & ~writes
            writes |= insn.writes
            if insn.flags:
                flags_need |= insn.effects.flags_read & ~flags_set
                flags_set |= insn.flags_written
            if insn.special:
                self.special = True
        self.need, self.reads, self.writes, self.flags_need, self.flags_set = need, reads, writes, flags_need, flags_set
        self.inside = [op.rip for op in ops[1:]]


LATER = object()                               # in the place of a Summary that is made once it is needed, by Block.anew


class Block:
    """Straight-line code. `ways`: of a branch, whether it was (taken, not taken) since its record was linked. `end` says
    how it ends:

      jump (target)   branch (target, next)   call (target, next)   call_indirect, syscall, out (next)   jump_indirect   ret
      return (next)   a ret that leads there as a rule, see inline
      choice (target, next)   an indirect call or jump, which leads to `target` as a rule; else to the block `next`, which has no
                              instructions and the end call_next (next): the call that is left to be made
      retry (rip)     the interpreter executes what comes now
      table (targets)   a jump_indirect, by the number of a place in its `table`; elsewhere as if it were none
      switch (targets)   only that of a graph, see there
    """
    __slots__ = ("start", "ops", "end", "target", "next", "ways", "edges", "reloads", "writes", "dirty_out", "live_in", "valid_in",
                 "saved", "flags_in", "kind_in", "strip", "low_in", "table", "summary")

    def __init__(self, start, ops, end, target=None, next=None, ways=ALL_WAYS, summary=None):
        self.start, self.ops, self.end, self.target, self.next, self.ways = start, ops, end, target, next, ways
        self.summary: Summary = Summary(ops) if summary is None else summary
        self.low_in = 0                                     # forms of vector registers, see lanes
        self.table = None                                   # of a jump_indirect: a tables.Table, if one is known
        self.strip: list = []                               # of the head of a loop: what is checked there, see hoist
        # where control goes inside one activation (for a call, where it returns to)
        self.edges: list[int] = ([target] if end == "jump" else [target, next] if end == "branch" else target if end in ("switch", "table")
                                 else [next] if end in RELOADING or end == "return" else [])
        self.reloads = end in RELOADING                     # whether its successor finds the registers in memory

    @property
    def rip(self) -> int:
        """Where its code is; `start` is a name, see Graph."""
        return self.start & 0xFFFFFFFF

    def cut(self, others) -> "Block":
        """As much of it as there is before another of those begins."""
        if not others.isdisjoint(self.summary.inside):
            for k, op in enumerate(self.ops):
                if k and op.rip in others:
                    return Block(self.start, self.ops[:k], "jump", target=op.rip)
        return self

    def copied(self, number: int, after: int) -> "Block":
        """It, as part of a copy of a function that is called before the block `after`."""
        end, target, next = self.end, self.target, self.next
        if end in ("jump", "branch"):
            target |= number
        if end == "branch" or end in RELOADING:
            next |= number
        if end == "ret":
            end, next = "return", after
        if end == "jump_indirect":                          # the function there returns for this one
            end, next = "call_indirect", after
        return Block(self.start | number, self._ops_anew(), end, target, next, self.ways, self.summary)

    def _ops_anew(self) -> list[Op]: return [Op(op.rip, op.insn, op.disp) for op in self.ops]

    def anew(self, ways: tuple[bool, bool] | None = None) -> "Block":
        """It, for another graph; with those ways."""
        if self.summary is LATER:
            self.summary = Summary(self.ops)
        return Block(self.start, self.ops, self.end, self.target, self.next, self.ways if ways is None else ways, self.summary)

    def becomes_jump(self, target: int) -> None:
        """Of a call: its return address is pushed, and nothing else is done."""
        self.end, self.target, self.edges, self.reloads = "jump", target, [target], False

    @property
    def ways_gone(self) -> list[int]: return self.leads(self.ways)

    def leads(self, ways) -> list[int]:
        """The edges worth following: all but those of a branch that was never gone that way."""
        return [t for t, gone in zip(self.edges, ways) if gone] if self.end == "branch" else self.edges

    @property
    def last(self) -> int:
        """Its last byte."""
        if self.end == "out":
            return self.next - 1
        return self.ops[-1].after - 1 if self.ops else self.rip

    def becomes_choice(self, target: int, other: int) -> "Block":
        """Of an indirect call: the function is copied, `target` is that. The answer: the block `other`, for when it leads elsewhere."""
        call = Block(other, [], "call_next", next=self.next)
        self.end, self.target, self.next, self.edges, self.reloads = "choice", target, other, [target, other], False
        self.ways = True, False
        return call

    def leads_to(self, targets: list[int]) -> None: self.end, self.target, self.edges = "table", targets, targets
    def leads_over_switch(self) -> None: self.end, self.target, self.edges = "jump_indirect", None, []

    def copy(self, name: int) -> "Block":
        made = Block(name, self._ops_anew(), self.end, self.target, self.next, self.ways, self.summary)
        made.table = self.table
        return made


class Decoder:
    """From records to Ops and Blocks."""

    def __init__(self, shapes: Mapping[int, Shape]):
        """shapes: what each handler of the interpreter was generated for, see build.shapes."""
        self._shapes = shapes
        self._form_of: dict[int, Form] = {}                 # handler -> its form
        self._forms: dict[Shape, Form] = {}
        self._instructions: dict[bytes, Instruction] = {}
        self._alike: dict[bytes, Instruction] = {}          # the first of those alike, by what they have in common
        self._blocks: dict[int, Decoded] = {}               # start -> what was decoded there last

    def _form(self, handler: int) -> Form:
        shape = replace(self._shapes[handler], then=None)
        if shape not in self._forms:
            self._forms[shape] = Form(shape)
        self._form_of[handler] = form = self._forms[shape]
        return form

    def known(self, start: int) -> "Decoded | None": return self._blocks.get(start)

    def decode(self, start: int, records: bytes) -> "Decoded | None":
        """The block whose records (those after the one that counts) begin here; None where they are not valid."""
        found = self._decode(start, records)
        if found is not None:
            if len(self._blocks) > MOST_BLOCKS:
                self._blocks.clear()
            self._blocks[start] = found
        return found

    def _decode(self, start: int, records: bytes) -> "Decoded | None":
        ops, known = [], self._instructions
        for head, rip, middle, target, disp, imm in PIECES.iter_unpack(records):
            insn = known.get(head + middle + imm) or known.get(head + middle)
            if insn is None:
                handler = int.from_bytes(head, "little")
                if handler < Tables.RESERVED:
                    if handler == Tables.GOTO:
                        return Decoded(Block(start, ops, "jump", target=rip, summary=LATER), records)
                    if handler == Tables.ESCAPE:
                        return Decoded(Block(start, ops, "out", target=rip, next=rip + middle[-1]), records)
                    return None
                form = self._form_of.get(handler) or self._form(handler)
                if form.effects.strange:
                    return Decoded(Block(start, ops, "retry", target=rip), records)
                if len(known) > MOST_INSTRUCTIONS:
                    known.clear()
                    self._alike.clear()
                insn = self._instruction(form, head, middle, imm)
                known[head + middle if form.linked else head + middle + imm] = insn
            ops.append(Op(rip, insn, disp))
            if insn.form.end:
                block = Block(start, ops, insn.form.end, int.from_bytes(imm, "little", signed=True), rip + insn.length, summary=LATER)
                return Decoded(block, records)
        return None


    def _instruction(self, form: Form, head: bytes, middle: bytes, imm: bytes) -> Instruction:
        number = 0 if form.linked else int.from_bytes(imm, "little", signed=True)
        # all that MIDDLE has but the length, and of a constant whether a shift by that sets flags
        key = head + middle[:-1] + (b"" if form.linked else bytes([number & form.shift != 0]) if form.constant else imm)
        insn = Instruction(form, MIDDLE.unpack(middle), number, self._alike.get(key))
        if insn.alike is insn:
            self._alike[key] = insn
        return insn


class Decoded:
    """A block and the records that it was made from: `first`, all but what the last has beyond its registers, which is `last`
    without what is linked, from the place `rest` on. `size`: bytes that these are."""
    __slots__ = ("size", "block", "first", "last", "rest", "links")

    def __init__(self, block: Block, records: bytes):
        ended = bool(block.ops) and block.ops[-1].insn.form.end is not None         # else there is a record that is no instruction
        self.size = size = RECORD * (len(block.ops) + (not ended))
        self.block, self.first = block, records[:size - RECORD + R_TARGET]
        self.rest = size if not ended else size - RECORD + (R_IMM if block.ops[-1].insn.form.linked else R_DISP)
        self.last = records[self.rest:size]
        self.links = size - RECORD + R_TARGET if ended else 0

    def ways(self, records: bytes) -> tuple[bool, bool] | None:
        """Of a block with these records: see Block. None where they are others."""
        if not records.startswith(self.first) or not records.startswith(self.last, self.rest):
            return None
        if not self.links:
            return ALL_WAYS
        taken, after = LINKS.unpack_from(records, self.links)
        return taken != UNLINKED, after != UNLINKED


SWITCH = 0                                    # where the block is kept that leads on by the value of the next rip
COPY, OUTER = 1 << 32, 2 << 32                # in the names of blocks that Graph adds


class Graph:
    """The blocks of a region in reverse post-order, and what dominates what. Always reducible.

    entries  where the region may be entered
    arms     where its indirect jumps may lead, beside those: those of the `targets` that are there
    whole    whether all that is known to follow is part of it
    entry    the first block: the only entry, or SWITCH: a block without instructions that leads to the rip that is asked for.
             Indirect jumps lead to it, and edges into the middle of a loop are led over it, so that every loop has one head.
             Where loops have one head without, jumps by tables lead to their arms themselves.
             Where there is one entry, such edges leave the region instead: seen from where they lead to, the loop has one head.
    blocks   start -> Block; a block that was added has a name in the place of its start
    order    starts in reverse post-order; number is the inverse
    idom     start -> immediate dominator
    loops    heads of loops
    merges   blocks that need a label of their own
    detours  edges (from, to) that are led over SWITCH
    cuts     edges that leave the region although they lead to a block of it
    instead  (from, to) -> the added block that this edge leads to

    Small functions that it calls are copied into it, see inline.

    Loops are nested as the program means them, where that takes no more than another block. A loop within others that the region is
    entered at has a head of its own, apart from that of the others (OUTER + start: a block without instructions); where it is
    entered at its end, as gcc jumps into the middle of loops, the instructions up to there are copied (COPY + start).
    """

    def __init__(self, entries: list[int], fetch, most_ops: int = MOST_OPS, structured: bool = True, targets=None, nests: bool = True,
                 copies: bool = True, held=None, straight: bool = True):
        """fetch: start -> Block, which is not changed, or None where there is none. `structured`: else all edges are led over SWITCH.
        targets: (block, other blocks) -> starts; of a block that ends with an indirect jump, where that may lead; sets its `table`.
        `straight`: jumps by tables lead to their arms where they can.
        `copies`: small functions called are part of it; `held`: as inline's."""
        self.blocks, arms, self.whole = self._collect(entries, fetch, most_ops, targets)
        if copies and structured:
            inline(self.blocks, fetch, most_ops, held)
        self.looked: dict[int, Block] = {}                  # what flags_at has looked at: the code depends on it
        self._fetch, self._flags_at = fetch, {}
        self.entries = [rip for rip in entries if rip in self.blocks]
        self.arms = {rip for rip in arms if rip in self.blocks}.difference(self.entries)
        self.detours: set[tuple[int, int]] = set()
        self.cuts: set[tuple[int, int]] = set()
        self.instead: dict[tuple[int, int], int] = {}
        self.start: int | None = None
        arms = self.arms.union(self.entries)
        if not structured:
            self.detours = {(s, t) for s, block in self.blocks.items() for t in block.edges if t in self.blocks}
            arms = set(self.blocks)
        self.switched = bool(self.arms)                     # indirect jumps lead over SWITCH
        if self.entries:
            if not (straight and structured and self.arms and self._lead_to_arms()):
                self._analyse(arms)
            else:
                arms = set(self.entries)
            if nests and structured and self._back:
                self._enter_loops(arms)
            while strange := [(s, t) for s, t in self._back if not self.dominates(t, s)]:
                if self.entry == SWITCH:                    # which does not lead into copies
                    self.detours.update((s, t) for s, t in strange if t == address_of(t))
                    arms |= {t for _, t in strange if t == address_of(t)}
                    self.cuts.update((s, t) for s, t in strange if t != address_of(t))
                else:
                    self.cuts.update(strange)
                self._analyse(arms)
            if nests and structured:
                self._part_heads(arms)

    def _lead_to_arms(self) -> bool:
        """Lets jumps by tables lead to their arms, and analyses; if then a loop has several heads, all is as it was, not analysed."""
        ways = {start: [t for t in dict.fromkeys(block.table.places) if t in self.blocks] for start, block in self.blocks.items() if block.table}
        if sum(map(len, ways.values())) > MOST_ARMS:
            return False
        for start, targets in ways.items():
            self.blocks[start].leads_to(targets)
        blocks, self.switched = dict(self.blocks), False
        self._analyse(set(self.entries))
        if all(self.dominates(t, s) for s, t in self._back):
            return True
        self.blocks, self.switched = blocks, True
        for start in ways:
            blocks[start].leads_over_switch()
        return False

    def _analyse(self, arms):
        self._edges: dict[int, list[int]] = {}
        if len(self.entries) > 1 or self.detours or self.switched:
            self.blocks[SWITCH] = Block(SWITCH, [], "switch", target=sorted(arms))
            self.entry = SWITCH
        else:
            self.entry = self.entries[0] if self.start is None else self.start
        self._order()
        self._dominate()

    @staticmethod
    def _collect(entries, fetch, most_ops, targets):
        found: dict[int, Block] = {}
        arms: list[int] = []
        size, work = 0, deque(entries)
        while work and size < most_ops:
            start = work.popleft()
            if start in found:
                continue
            block = fetch(start)
            if block is None:
                continue
            block = found[start] = block.anew()
            size += len(block.ops)
            work.extend(block.ways_gone)
            if targets and block.end == "jump_indirect":
                some = targets(block, found.values())
                arms += some
                work.extend(some)
        for start, block in found.items():                  # where one runs into another, it ends
            found[start] = block.cut(found.keys())
        return found, arms, not work

    def edges(self, start) -> list[int]:
        """Where control goes from a block inside the region."""
        found = self._edges.get(start)
        if found is None:
            block = self.blocks[start]
            if block.end == "jump_indirect":
                found = [SWITCH] if SWITCH in self.blocks else []
            else:
                found = [SWITCH if (start, t) in self.detours else t for t in block.edges
                         if t in self.blocks and (start, t) not in self.cuts]
                if block.end == "table" and SWITCH in self.blocks:
                    found.append(SWITCH)
            if self.instead:
                found = [self.instead.get((start, t), t) for t in found]
            self._edges[start] = found
        return found

    def body(self, head: int, latch: int) -> set[int]:
        """The blocks (numbers) from which control comes to `latch`, which leads to `head`, but not by way of that."""
        found, work = {head, latch}, [latch]
        while work:
            k = work.pop()
            if k != head:
                more = [p for p in self.predecessors[k] if p not in found]
                found.update(more)
                work += more
        return found

    def _innermost(self, start: int) -> set[int]:
        """Of loops that have this head in common, the one within the others, without calls: its blocks (numbers), or none. Programs
        keep what is within beyond the beginning of what is around it."""
        head = self.number[start]
        bodies = [(min(blocks), body) for p in self.predecessors[head] if p >= head and self.dominates(start, self.order[p])
                  for body in [self.body(head, p)] for blocks in [[self.blocks[self.order[k]].rip for k in body]]]
        if not bodies:
            return set()
        last = max(first for first, _ in bodies)
        found = set().union(*(body for first, body in bodies if first == last))
        return set() if any(self.blocks[self.order[k]].reloads for k in found) or min(found) < head else found

    def _enter_loops(self, arms):
        """Where the region is entered at the end of a loop, it goes on to its head by a copy of that end."""
        for rip in self.entries:
            edges = self.edges(rip)
            if len(edges) != 1 or edges[0] in (rip, SWITCH) or self.blocks[rip].reloads or self.order[0] not in (rip, SWITCH):
                continue
            others = [[p for p in self.predecessors[self.number[start]] if p != but] for start, but in
                      ((rip, self.number.get(SWITCH)), (edges[0], self.number[rip]))]
            if not all(others):
                continue
            name = COPY + rip
            self.blocks[name] = self.blocks[rip].copy(name)
            if self.entry == SWITCH:
                self.instead[SWITCH, rip] = name
            else:
                self.start = name
            self._analyse(arms)
            if self.number[rip] not in self._innermost(edges[0]):           # it was no such loop
                del self.blocks[name]
                self.instead.pop((SWITCH, rip), None)
                self.start = None
                self._analyse(arms)

    def _part_heads(self, arms):
        """Gives a loop within others that have the same head a head of its own."""
        for start in sorted(self.loops):
            if start == SWITCH or sum(p >= self.number[start] for p in self.predecessors[self.number[start]]) < 2:
                continue
            inner = self._innermost(start)
            outside = [p for p in self.predecessors[self.number[start]] if p not in inner]
            if not inner or not any(p > self.number[start] for p in outside):
                continue
            name = OUTER + start
            self.instead.update({(self.order[p], start): name for p in outside})
            if self.entry == start:
                self.start = name
            self.blocks[name] = Block(name, [], "jump", target=start)
            self._analyse(arms)

    def forget(self) -> None:
        """What was found out about its instructions, perhaps for another graph."""
        for block in self.blocks.values():
            for op in block.ops:
                op.checks, op.direct, op.anchor, op.saved, op.whole = _NO_CHECKS, _NONE, None, 0, True

    def leaves(self, start) -> bool:
        """Whether control may go out of the region at the end of a block, with the registers in locals."""
        block = self.blocks[start]
        return block.end not in _INSIDE or any(t not in self.blocks or (start, t) in self.cuts for t in block.edges)

    def flags_out(self, start) -> int:
        """The flags that may be read after control has left the region at the end of a block."""
        block = self.blocks[start]
        if block.end == "call":
            return self.flags_at(block.target)
        if block.end not in _INSIDE:
            return ARITHMETIC
        flags = 0
        for t in block.edges:
            if t not in self.blocks or (start, t) in self.cuts:
                flags |= self.flags_at(t)
        return flags

    def flags_at(self, rip) -> int:
        """The flags that may be read from rip on, as far as few blocks tell."""
        rip = address_of(rip)
        if not 0 < rip < 1 << 32:
            return ARITHMETIC
        if rip not in self._flags_at:
            read, live, at_ = 0, ARITHMETIC, rip
            for _ in range(MOST_LOOKED):
                block = self.blocks.get(at_) or self._fetch(at_)
                if block is None:
                    break
                if at_ not in self.blocks:
                    self.looked[at_] = block
                read |= block.summary.flags_need & live
                live &= ~block.summary.flags_set
                if not live or block.end not in ("jump", "call"):
                    break
                at_ = address_of(block.target)
            self._flags_at[rip] = read | live
        return self._flags_at[rip]

    def _order(self):
        order, seen, stack = [], {self.entry}, [(self.entry, iter(self.edges(self.entry)))]
        while stack:
            start, rest = stack[-1]
            for t in rest:
                if t not in seen:
                    seen.add(t)
                    stack.append((t, iter(self.edges(t))))
                    break
            else:
                order.append(start)
                stack.pop()
        self.order = order = order[::-1]
        self.number = number = {start: k for k, start in enumerate(order)}
        self.blocks = {start: self.blocks[start] for start in order}            # cutting may have left some unreachable
        edges = self._edges                                                     # which has all by now
        self.successors = [[number[t] for t in edges[start]] for start in order]
        self.predecessors = [[] for _ in order]
        for k, targets in enumerate(self.successors):
            for t in targets:
                self.predecessors[t].append(k)

    def _dominate(self):
        order, preds = self.order, self.predecessors
        idom = [0] + [-1] * (len(order) - 1)
        back = [(k, t) for k, targets in enumerate(self.successors) for t in targets if t <= k]
        changed = True
        while changed:
            changed = False
            for k in range(1, len(order)):
                new = -1
                for p in preds[k]:
                    if idom[p] >= 0:
                        if new < 0:
                            new = p
                        else:
                            while p != new:
                                while p > new:
                                    p = idom[p]
                                while new > p:
                                    new = idom[new]
                if idom[k] != new:
                    idom[k] = new
                    changed = bool(back)                    # without loops once is enough
        self.idom = {start: order[d] for start, d in zip(order, idom)}
        self.children = {start: [] for start in order}
        for k in range(1, len(order)):
            self.children[order[idom[k]]].append(order[k])
        self._back = [(order[k], order[t]) for k, t in back]
        self.loops = {t for _, t in self._back}
        self.merges = {order[t] for t, found in enumerate(preds) if len(found) > 1 and sum(p < t for p in found) > 1}
        for start in order:
            if self.blocks[start].end in ("switch", "table"):
                self.merges.update(self.edges(start))

    @property
    def preds(self) -> dict[int, list[int]]:
        return {start: [self.order[p] for p in found] for start, found in zip(self.order, self.predecessors)}

    def dominates(self, a, b) -> bool:
        while self.number[b] > self.number[a]:
            b = self.idom[b]
        return a == b
