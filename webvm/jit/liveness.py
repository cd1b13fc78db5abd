"""What is known at each point of a region: which registers and flags are needed, which must be stored, which accesses of
memory are covered by one check.

Works on the graph and the effects of its instructions; emits nothing.
"""
from ..x86 import flags
from ..x86.meaning import ARITHMETIC
from . import layout as at
from .cfg import Block, Graph, Op

EVERYTHING = (1 << 32) - 1
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
    through = {}                                            # of each block: flags it needs, flags it lets through
    for start, block in blocks.items():
        need, passes = 0, ARITHMETIC
        for op in reversed(block.ops):
            need = need & ~op.flags_written | op.effects.flags_read
            passes &= ~op.flags_written
        through[start] = need, passes, ARITHMETIC if graph.leaves(start) else 0
        block.flags_in = need

    def live_out(start):
        live = through[start][2]
        if not blocks[start].reloads:
            for t in graph.edges(start):
                live |= blocks[t].flags_in
        return live
    changed = True
    while changed:
        changed = False
        for start in reversed(graph.order):
            need, passes, _ = through[start]
            live = need | live_out(start) & passes
            if live != blocks[start].flags_in:
                blocks[start].flags_in = live
                changed = True
    for start, block in blocks.items():
        live = live_out(start)
        for op in reversed(block.ops):
            e = op.effects
            if e.repeats:                                   # REPE and REPNE read what they have just set
                live |= e.flags_read
            op.flags_live = live if dead_flags else ARITHMETIC
            live = live & ~op.flags_written | e.flags_read


def _registers(graph):
    blocks, order, preds = graph.blocks, graph.order, graph.preds
    needs, touched = {}, 0
    for start, block in blocks.items():
        writes = need = 0
        for op in block.ops:
            need |= op.reads & ~writes
            writes |= op.writes
        block.writes, needs[start] = writes, need
        block.dirty_in, block.dirty_out, block.live_in, block.valid_in = 0, writes, 0, EVERYTHING
        touched |= writes
    changed = True
    while changed:                                          # registers that may differ from the state in memory
        changed = False
        for start in order:
            dirty = 0
            for p in preds[start]:
                if not blocks[p].reloads:
                    dirty |= blocks[p].dirty_out
            block = blocks[start]
            if dirty != block.dirty_in:
                block.dirty_in, block.dirty_out = dirty, dirty | block.writes
                changed = True
    changed = True
    while changed:                                          # those whose local must hold the value
        changed = False
        for start in reversed(order):
            block = blocks[start]
            live = block.dirty_out
            if not block.reloads:
                for t in graph.edges(start):
                    live |= blocks[t].live_in
            live = live & ~block.writes | needs[start] | block.dirty_in
            if live != block.live_in:
                block.live_in = live
                changed = True
    changed = True
    while changed:                                          # those whose local does hold it, whatever way control came
        changed = False
        for start in order:
            block = blocks[start]
            valid = block.live_in if start == graph.entry else EVERYTHING
            for p in preds[start]:
                valid &= block.live_in if blocks[p].reloads else blocks[p].valid_in | blocks[p].writes
            if valid != block.valid_in:
                block.valid_in = valid
                changed = True
    for block in blocks.values():
        saved = block.valid_in & touched
        for op in block.ops:
            op.saved = saved
            saved |= op.writes


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
        if cover and (op.effects.memory or op.effects.implicit) and not op.effects.repeats:
            op.checks = {}
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
        if not cover or not op.writes & 0xFFFF:
            continue
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
