"""What is known at each point of a region: which registers and flags are needed, which must be stored, which accesses of
memory are covered by one check.

Works on the graph and the effects of its instructions; emits nothing.
"""
from ..x86 import flags
from ..x86.meaning import ARITHMETIC
from . import layout as at
from .cfg import Block, Graph, Op

REACH = 4096 - 64          # bytes that one check of two pages may cover


def analyse(graph: Graph, dead_flags: bool = True, cover: bool = True) -> None:
    """Fills in the fields of blocks and ops. Switches: `dead_flags`, leave out flags nobody reads; `cover`, one check for
    several accesses off one register."""
    _flags(graph, dead_flags)
    _registers(graph)
    _kinds(graph)
    for block in graph.blocks.values():
        _checks(block, cover)


def _flags(graph, dead_flags):
    blocks = graph.blocks
    for block in blocks.values():
        block.flags_in = 0
    changed = True
    while changed:
        changed = False
        for start in reversed(graph.order):
            block = blocks[start]
            live = ARITHMETIC if graph.leaves(start) else 0
            if not block.reloads:
                for t in graph.edges(start):
                    live |= blocks[t].flags_in
            for op in reversed(block.ops):
                e = op.effects
                if e.repeats:                               # REPE and REPNE read what they have just set
                    live |= e.flags_read
                op.flags_live = live if dead_flags else ARITHMETIC
                live = live & ~op.flags_written | e.flags_read
            if live != block.flags_in:
                block.flags_in = live
                changed = True


def _registers(graph):
    blocks, order = graph.blocks, graph.order
    for block in blocks.values():
        block.dirty_in = block.live_in = 0
        block.dirty_out = 0
    changed = True
    while changed:                                          # registers that may differ from the state in memory
        changed = False
        for start in order:
            block = blocks[start]
            dirty = 0
            for p in graph.preds[start]:
                if not blocks[p].reloads:
                    dirty |= blocks[p].dirty_out
            out = dirty
            for op in block.ops:
                out |= op.writes
            if (dirty, out) != (block.dirty_in, block.dirty_out):
                block.dirty_in, block.dirty_out = dirty, out
                changed = True
    changed = True
    while changed:                                          # those whose local must hold the value
        changed = False
        for start in reversed(order):
            block = blocks[start]
            live = 0
            if not block.reloads:
                for t in graph.edges(start):
                    live |= blocks[t].live_in
            live |= block.dirty_out
            for op in reversed(block.ops):
                live = live & ~op.writes | op.reads
            live |= block.dirty_in
            if live != block.live_in:
                block.live_in = live
                changed = True
    everything = (1 << 32) - 1
    for block in blocks.values():
        block.valid_in = everything
    changed = True
    while changed:                                          # those whose local does hold it, whatever way control came
        changed = False
        for start in order:
            valid = blocks[start].live_in if start == graph.entry else everything
            for p in graph.preds[start]:
                valid &= blocks[start].live_in if blocks[p].reloads else valid_out(blocks[p])
            if valid != blocks[start].valid_in:
                blocks[start].valid_in = valid
                changed = True
    touched = 0
    for block in blocks.values():
        for op in block.ops:
            touched |= op.writes
    for block in blocks.values():
        valid = block.valid_in
        for op in block.ops:
            op.saved = valid & touched
            valid |= op.writes


def valid_out(block: Block) -> int:
    """Registers whose local holds the value at the end of a block."""
    valid = block.valid_in
    for op in block.ops:
        valid |= op.writes
    return valid


CLEAN, MIXED = "clean", "mixed"


def _kinds(graph):
    """kind_in: the (kind, bits) of the lazy flags where it is the same whatever way control came; CLEAN: they are in memory."""
    blocks = graph.blocks

    def out(block):
        if block.reloads:
            return CLEAN
        kind = block.kind_in
        for op in block.ops:
            touched = op.effects.flags_touched
            if touched and op.flags_live & touched:
                kind = op.effects.flags_kind or MIXED
        return kind
    for block in blocks.values():
        block.kind_in = None
    blocks[graph.entry].kind_in = CLEAN
    changed = True
    while changed:
        changed = False
        for start in graph.order:
            block = blocks[start]
            kinds = {out(blocks[p]) for p in graph.preds[start]} - {None}
            if start == graph.entry:
                kinds.add(CLEAN)
            kind = kinds.pop() if len(kinds) == 1 else MIXED if kinds else None
            if kind != block.kind_in:
                block.kind_in = kind
                changed = True


# ---- checks of memory accesses


class Cover:
    """Accesses off one register, at known distances from what it held at some point: low to high, less than two pages."""
    __slots__ = ("version", "low", "high", "uses", "access")

    def __init__(self, version, low, high):
        self.version, self.low, self.high, self.uses, self.access = version, low, high, [], 0


def accesses(op: Op):
    """(key, where, offset, access, bytes) of each access: `where` is a register number, or None where the address is of
    another form. Keys: ("m", k) for operand k, ("i", n) for the n-th that the meaning makes itself."""
    e = op.effects
    for k, (access, bits) in e.memory.items():
        plain = op.shape.kinds[k] == "m" and op.base < at.ZERO
        yield ("m", k), op.base >> 3 if plain else None, op.disp, access, bits // 8
    for n, (address, access, bits) in enumerate(e.implicit):
        where, offset = _actual(op, address) if address else (None, 0)
        yield ("i", n), where, offset, access, bits // 8


def _actual(op: Op, value):
    """A value of `effects` with register operands replaced by the registers they are here."""
    where, offset = value
    if where < 0:
        where = op.operands[-1 - where]
        if where & 7 or where >= at.ZERO:
            return None, 0
        where >>= 3
    return where, offset


def _checks(block: Block, cover: bool):
    version, moved = [0] * 16, [0] * 16        # of each register: what it held at first, and how far it is from that
    newest: dict[int, Cover] = {}
    covers = []
    fresh = 1
    for op in block.ops:
        op.checks = {}
        if cover and not op.effects.repeats:
            for key, where, offset, access, size in accesses(op):
                if where is None:
                    continue
                low = moved[where] + offset
                high = low + size
                it = newest.get(where)
                if it is None or it.version != version[where] or max(it.high, high) - min(it.low, low) > REACH:
                    it = newest[where] = Cover(version[where], low, high)
                    covers.append(it)
                it.low, it.high, it.access = min(it.low, low), max(it.high, high), it.access | access
                it.uses.append((op, key, where, moved[where]))
        moves = _moves(op)
        for n in range(16):
            if op.writes >> n & 1:
                source, distance = moves.get(n, (None, 0))
                if source == n:
                    moved[n] += distance
                else:
                    version[n], moved[n] = fresh, 0
                    fresh += 1
    for it in covers:                          # the first use makes the check for all
        if len(it.uses) > 1:
            op, key, where, at_that_time = it.uses[0]
            op.checks[key] = where, it.low - at_that_time, it.high - at_that_time, it.access
            for op, key, *_ in it.uses[1:]:
                op.checks[key] = None


def _moves(op: Op) -> dict[int, tuple[int, int]]:
    """Registers that are set to a register plus a constant: number -> (number, constant)."""
    found = {}
    for where, value in op.effects.moves.items():
        target, source = _actual(op, (where, 0)), _actual(op, value)
        if target[0] is not None and source[0] is not None:
            found[target[0]] = source
    shape = op.shape
    if shape.kinds == ("r", "i") and shape.size == 64 and shape.meaning in ("add", "sub") and not op.operands[0] & 7:
        n = op.operands[0] >> 3
        imm = op.imm - (1 << 64) if op.imm >> 63 else op.imm
        found[n] = n, imm if shape.meaning == "add" else -imm
    return found
