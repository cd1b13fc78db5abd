"""The control flow graph of a region: the blocks that can be reached from a hot entry, as the interpreter decoded them.

Reads the interpreter's records, so that a region holds what has been executed, and nothing is decoded a second time; of
a branch, only the ways that were gone since its record was last unlinked.
Knows records and effects; knows nothing of how code is emitted.
"""
import struct
from collections import deque
from collections.abc import Mapping

from . import layout as at
from .decoder import Tables
from .effects import Effects, effects
from .handler import UNLINKED, Shape

FIELDS = struct.Struct("<IIHHHHBBBBIqq")      # a record, see handler.R_*
MOST_OPS = 600                                # instructions in a region
JUMPS = {"jmp": "jump", "jmp_indirect": "jump_indirect", "jcc": "branch", "loop": "branch", "loope": "branch",
         "loopne": "branch", "jrcxz": "branch", "call": "call", "call_indirect": "call_indirect", "ret": "ret", "syscall": "syscall"}


class Op:
    """A decoded instruction, as its record has it. reads and writes are masks of registers, as in `effects`."""
    __slots__ = ("rip", "length", "shape", "effects", "operands", "base", "index", "scale", "a32", "segment", "disp", "imm",
                 "reads", "writes", "flags_written", "flags_live", "checks", "saved")

    def __init__(self, record: tuple, shape: Shape):
        (_, self.rip, d, s, self.base, self.index, self.scale, self.a32, self.segment, self.length, _, self.disp, self.imm) = record
        self.shape, self.operands = shape, (d, s)
        self.effects: Effects = effects(shape)
        e = self.effects
        self.reads, self.writes, self.flags_written = e.reads, e.writes, e.flags_written
        for k in e.operand_reads:
            self.reads |= self._mask(k)
        for k in e.operand_writes:
            self.writes |= self._mask(k)
        for k in e.operand_partial:
            self.reads |= self._mask(k)
        if any(kind in "mM" for kind in shape.kinds):
            self.reads |= (1 << (self.base >> 3) if self.base < at.ZERO else 0) | (1 << (self.index >> 3) if self.index < at.ZERO else 0)
        if e.flags_touched != e.flags_written and shape.kinds[-1:] == ("i",) and self.imm & (63 if shape.size == 64 else 31):
            self.flags_written = e.flags_touched            # a shift by a constant
        self.flags_live = -1
        self.checks: dict = {}                              # memory access -> None (checked before), or the range to check here
        self.saved = 0                                      # registers to store should the instruction fault

    def _mask(self, k: int) -> int:
        where = self.operands[k]
        if where < at.ZERO:
            return 1 << (where >> 3)
        return 1 << 16 + (where - at.VECTOR >> 5) if at.VECTOR <= where < at.X87 else 0

    @property
    def after(self) -> int: return self.rip + self.length


class Block:
    """Straight-line code. `ways`: of a branch, whether it was (taken, not taken) since its record was linked. `end` says
    how it ends:

      jump (target)   branch (target, next)   call (target, next)   call_indirect, syscall, out (next)   jump_indirect   ret
      retry (rip)     the interpreter executes what comes now
      switch (targets)   only that of a graph, see there
    """
    __slots__ = ("start", "ops", "end", "target", "next", "ways", "flags_in", "dirty_in", "dirty_out", "live_in", "valid_in", "kind_in")

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
        self.shapes = shapes

    def block(self, start: int, records: bytes) -> Block | None:
        """The block whose records (those after the one that counts) begin here; None where they are not valid."""
        ops = []
        for record in FIELDS.iter_unpack(records):
            handler, rip = record[0], record[1]
            if handler < Tables.RESERVED:
                if handler == Tables.GOTO:
                    return Block(start, ops, "jump", target=rip)
                if handler == Tables.ESCAPE:
                    return Block(start, ops, "out", target=rip, next=rip + record[9])
                return None
            op = Op(record, self.shapes[handler])
            if op.effects.strange:
                return Block(start, ops, "retry", target=rip)
            ops.append(op)
            end = JUMPS.get(op.shape.meaning)
            if end:
                if end == "jump" and op.shape.kinds != ("j",):
                    end = "jump_indirect"
                if end == "call" and op.shape.kinds != ("j",):
                    end = "call_indirect"
                return Block(start, ops, end, op.imm, op.after, (record[10] != UNLINKED, record[11] & 0xFFFFFFFF != UNLINKED))
        return None


SWITCH = 0                                    # where the block is kept that leads on by the value of the next rip


class Graph:
    """The blocks of a region in reverse post-order, and what dominates what. Always reducible.

    entries  where the region may be entered
    entry    the first block: the only entry, or SWITCH: a block without instructions that leads to the rip that is asked for.
             Indirect jumps lead to it, and edges into the middle of a loop are led over it, so that every loop has one head.
    blocks   start -> Block
    order    starts in reverse post-order; number is the inverse
    idom     start -> immediate dominator
    loops    heads of loops
    merges   blocks that need a label of their own
    detours  edges (from, to) that are led over SWITCH
    """

    def __init__(self, entries: list[int], fetch, most_ops: int = MOST_OPS, structured: bool = True):
        """fetch: start -> Block or None where there is none. `structured`: else all edges are led over SWITCH."""
        self.blocks = self._collect(entries, fetch, most_ops)
        self.entries = [rip for rip in entries if rip in self.blocks]
        self.detours: set[tuple[int, int]] = set()
        arms = set(self.entries)
        if not structured:
            self.detours = {(s, t) for s, block in self.blocks.items() for t in block.edges if t in self.blocks}
            arms = set(self.blocks)
        if self.entries:
            self._analyse(arms)
            while strange := [(s, t) for s, t in self._back if not self.dominates(t, s)]:
                self.detours.update(strange)
                arms |= {t for _, t in strange}
                self._analyse(arms)

    def _analyse(self, arms):
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
        block = self.blocks[start]
        if block.end == "jump_indirect":
            return [SWITCH] if SWITCH in self.blocks else []
        return [SWITCH if (start, t) in self.detours else t for t in block.edges if t in self.blocks]

    def leaves(self, start) -> bool:
        """Whether control may go out of the region at the end of a block, with the registers in locals."""
        block = self.blocks[start]
        return block.end not in ("jump", "branch") or any(t not in self.blocks for t in block.edges)

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
