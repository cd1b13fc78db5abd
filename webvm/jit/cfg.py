"""The control flow graph of a region: the blocks that can be reached from a hot entry, as the interpreter decoded them.

Reads the interpreter's records, so that a region holds what has been executed, and nothing is decoded a second time; of
a branch, only the ways that were gone since its record was last unlinked.
Knows records and effects; knows nothing of how code is emitted.
"""
import struct
from collections import deque
from dataclasses import replace
from collections.abc import Mapping

from . import layout as at
from .decoder import Tables
from .effects import Effects, effects
from .handler import UNLINKED, Shape

FIELDS = struct.Struct("<IIHHHHBBBBIqq")      # a record, see handler.R_*
MOST_OPS = 600                                # instructions in a region
JUMPS = {"jmp": "jump", "jmp_indirect": "jump_indirect", "jcc": "branch", "loop": "branch", "loope": "branch",
         "loopne": "branch", "jrcxz": "branch", "call": "call", "call_indirect": "call_indirect", "ret": "ret", "syscall": "syscall"}


class Form:
    """What all instructions of a shape have in common."""
    __slots__ = ("shape", "effects", "kinds", "end", "_by_operands", "_memory", "_shift")

    def __init__(self, shape: Shape):
        self.shape = shape
        self.effects: Effects = effects(shape)
        self.kinds = tuple(k.lower()[0] if k[0] != "g" else "r" for k in shape.kinds)       # as meanings know them
        self.end = JUMPS.get(shape.meaning)
        if self.end in ("jump", "call") and shape.kinds != ("j",):
            self.end += "_indirect"
        self._memory = "m" in self.kinds
        e = self.effects
        self._shift = (63 if shape.size == 64 else 31) if e.flags_touched != e.flags_written and shape.kinds[-1:] == ("i",) else 0
        self._by_operands: dict[tuple, tuple[int, int]] = {}

    def registers(self, operands: tuple) -> tuple[int, int]:
        """(read, written) masks of an instruction with these state offsets of operands 0, 1, base and index."""
        found = self._by_operands.get(operands)
        if found is None:
            e = self.effects
            reads, writes = e.reads, e.writes
            for k in e.operand_reads | e.operand_partial:
                reads |= _mask(operands[k])
            for k in e.operand_writes:
                writes |= _mask(operands[k])
            if self._memory:
                reads |= _mask(operands[2]) | _mask(operands[3])
            found = self._by_operands[operands] = reads, writes
        return found

    def flags_written(self, imm: int) -> int:
        """A shift by a constant writes the flags unless that is zero."""
        return self.effects.flags_touched if imm & self._shift else self.effects.flags_written


def _mask(where: int) -> int:
    """The register at a state offset."""
    if where < at.ZERO:
        return 1 << (where >> 3)
    return 1 << 16 + (where - at.VECTOR >> 5) if at.VECTOR <= where < at.X87 else 0


class Op:
    """A decoded instruction, as its record has it. reads and writes are masks of registers, as in `effects`."""
    __slots__ = ("rip", "length", "form", "effects", "operands", "base", "index", "scale", "a32", "segment", "disp", "imm",
                 "reads", "writes", "flags_written", "flags_live", "checks", "saved")

    def __init__(self, record: tuple, form: Form):
        (_, self.rip, d, s, base, index, self.scale, self.a32, self.segment, self.length, _, self.disp, self.imm) = record
        self.form, self.effects, self.operands, self.base, self.index = form, form.effects, (d, s), base, index
        self.reads, self.writes = form.registers((d, s, base, index))
        self.flags_written = form.flags_written(self.imm)
        self.flags_live = -1
        self.checks: dict = _NO_CHECKS                      # memory access -> None (checked before), or the range to check here
        self.saved = 0                                      # registers to store should the instruction fault

    @property
    def shape(self) -> Shape: return self.form.shape

    @property
    def after(self) -> int: return self.rip + self.length


_NO_CHECKS: dict = {}


class Block:
    """Straight-line code. `ways`: of a branch, whether it was (taken, not taken) since its record was linked. `end` says
    how it ends:

      jump (target)   branch (target, next)   call (target, next)   call_indirect, syscall, out (next)   jump_indirect   ret
      retry (rip)     the interpreter executes what comes now
      switch (targets)   only that of a graph, see there
    """
    __slots__ = ("start", "ops", "end", "target", "next", "ways", "writes", "flags_in", "dirty_in", "dirty_out", "live_in", "valid_in",
                 "kind_in")

    def __init__(self, start, ops, end, target=None, next=None, ways=(True, True)):
        self.start, self.ops, self.end, self.target, self.next, self.ways = start, ops, end, target, next, ways

    @property
    def edges(self) -> list[int]:
        """Where control goes inside one activation: (for a call, where it returns to)."""
        match self.end:
            case "jump": return [self.target]
            case "branch": return [self.target, self.next]
            case "call" | "call_indirect" | "syscall" | "out": return [self.next]
            case "switch": return self.target
        return []

    @property
    def ways_gone(self) -> list[int]:
        """The edges worth following."""
        return [t for t, gone in zip(self.edges, self.ways) if gone]

    @property
    def reloads(self) -> bool:
        """Whether its successor finds the registers in memory."""
        return self.end in ("call", "call_indirect", "syscall", "out")

    @property
    def last(self) -> int:
        """Its last byte."""
        if self.end == "out":
            return self.next - 1
        return self.ops[-1].after - 1 if self.ops else self.start


class Decoder:
    """From records to Ops and Blocks."""

    def __init__(self, shapes: Mapping[int, Shape]):
        """shapes: what each handler of the interpreter was generated for, see build.shapes."""
        self._shapes = shapes
        self._forms: dict[int, Form] = {}

    def _form(self, handler: int) -> Form:
        form = self._forms[handler] = Form(replace(self._shapes[handler], then=None))
        return form

    def block(self, start: int, records: bytes) -> Block | None:
        """The block whose records (those after the one that counts) begin here; None where they are not valid."""
        ops, forms = [], self._forms
        for record in FIELDS.iter_unpack(records):
            handler = record[0]
            if handler < Tables.RESERVED:
                rip = record[1]
                if handler == Tables.GOTO:
                    return Block(start, ops, "jump", target=rip)
                if handler == Tables.ESCAPE:
                    return Block(start, ops, "out", target=rip, next=rip + record[9])
                return None
            form = forms.get(handler) or self._form(handler)
            if form.effects.strange:
                return Block(start, ops, "retry", target=record[1])
            op = Op(record, form)
            ops.append(op)
            if form.end:
                return Block(start, ops, form.end, op.imm, op.after, (record[10] != UNLINKED, record[11] & 0xFFFFFFFF != UNLINKED))
        return None


SWITCH = 0                                    # where the block is kept that leads on by the value of the next rip


class Graph:
    """The blocks of a region in reverse post-order, and what dominates what. Always reducible.

    entries  where the region may be entered
    entry    the first block: the only entry, or SWITCH: a block without instructions that leads to the rip that is asked for.
             Indirect jumps lead to it, and edges into the middle of a loop are led over it, so that every loop has one head.
             Where there is one entry, such edges leave the region instead: seen from where they lead to, the loop has one head.
    blocks   start -> Block
    order    starts in reverse post-order; number is the inverse
    idom     start -> immediate dominator
    loops    heads of loops
    merges   blocks that need a label of their own
    detours  edges (from, to) that are led over SWITCH
    cuts     edges that leave the region although they lead to a block of it
    """

    def __init__(self, entries: list[int], fetch, most_ops: int = MOST_OPS, structured: bool = True):
        """fetch: start -> Block or None where there is none. `structured`: else all edges are led over SWITCH."""
        self.blocks = self._collect(entries, fetch, most_ops)
        self.entries = [rip for rip in entries if rip in self.blocks]
        self.detours: set[tuple[int, int]] = set()
        self.cuts: set[tuple[int, int]] = set()
        arms = set(self.entries)
        if not structured:
            self.detours = {(s, t) for s, block in self.blocks.items() for t in block.edges if t in self.blocks}
            arms = set(self.blocks)
        if self.entries:
            self._analyse(arms)
            while strange := [(s, t) for s, t in self._back if not self.dominates(t, s)]:
                if self.entry == SWITCH:
                    self.detours.update(strange)
                    arms |= {t for _, t in strange}
                else:
                    self.cuts.update(strange)
                self._analyse(arms)

    def _analyse(self, arms):
        self._edges: dict[int, list[int]] = {}
        if len(self.entries) > 1 or self.detours:
            self.blocks[SWITCH] = Block(SWITCH, [], "switch", target=sorted(arms))
            self.entry = SWITCH
        else:
            self.entry = self.entries[0]
        self._order()
        self._dominate()

    @staticmethod
    def _collect(entries, fetch, most_ops):
        found: dict[int, Block] = {}
        size, work = 0, deque(entries)
        while work and size < most_ops:
            start = work.popleft()
            if start in found:
                continue
            block = fetch(start)
            if block is None:
                continue
            found[start] = block
            size += len(block.ops)
            work.extend(block.ways_gone)
        for block in list(found.values()):                  # where one runs into another, it ends
            for k, op in enumerate(block.ops):
                if k and op.rip in found:
                    found[block.start] = Block(block.start, block.ops[:k], "jump", target=op.rip)
                    break
        return found

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
            self._edges[start] = found
        return found

    def leaves(self, start) -> bool:
        """Whether control may go out of the region at the end of a block, with the registers in locals."""
        block = self.blocks[start]
        return block.end not in ("jump", "branch") or any(t not in self.blocks or (start, t) in self.cuts for t in block.edges)

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
        self.order = order[::-1]
        self.number = {start: k for k, start in enumerate(self.order)}
        self.blocks = {start: self.blocks[start] for start in self.order}       # cutting may have left some unreachable
        self.preds = {start: [] for start in self.order}
        for start in self.order:
            for t in self.edges(start):
                self.preds[t].append(start)

    def _dominate(self):
        number, idom = self.number, {self.entry: self.entry}
        changed = True
        while changed:
            changed = False
            for start in self.order[1:]:
                new = None
                for p in self.preds[start]:
                    if p in idom:
                        if new is None:
                            new = p
                        else:
                            a, b = p, new
                            while a != b:
                                while number[a] > number[b]:
                                    a = idom[a]
                                while number[b] > number[a]:
                                    b = idom[b]
                            new = a
                if idom.get(start) != new:
                    idom[start] = new
                    changed = True
        self.idom = idom
        self.children = {start: [] for start in self.order}
        for start in self.order[1:]:
            self.children[idom[start]].append(start)
        self._back = [(s, t) for s in self.order for t in self.edges(s) if number[t] <= number[s]]
        self.loops = {t for _, t in self._back}
        self.merges = {t for t in self.order if sum(number[p] < number[t] for p in self.preds[t]) > 1}
        if SWITCH in self.blocks:
            self.merges.update(self.blocks[SWITCH].edges)

    def dominates(self, a, b) -> bool:
        while self.number[b] > self.number[a]:
            b = self.idom[b]
        return a == b
