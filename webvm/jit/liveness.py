"""What is known at each point of a region: which registers and flags are needed, which must be stored, which accesses of
memory are covered by one check.

Works on the graph and the effects of its instructions; emits nothing.
"""
from ..x86 import flags
from ..x86.meaning import ARITHMETIC
from .cfg import Block, Graph

EVERYTHING = (1 << 32) - 1
_COMPARISON, _EXPLICIT = (flags.COMPARE, 64), (flags.EXPLICIT, 64)
FLAGS = 1 << 32            # in a mask of what to store, beside registers: the arithmetic flags
REACH = 4096 - 64          # bytes that one check of two pages may cover


def analyse(graph: Graph, dead_flags: bool = True, cover: bool = True, comparisons: bool = True,
            calls_flags: bool = True) -> None:
    """Fills in the fields of blocks and ops, and of the graph: `touched` and `written`, masks of registers, and whether
    anything sets flags that somebody needs. Switches: `dead_flags`, leave out flags nobody reads; `cover`, one check for
    several accesses off one register; `comparisons`, of numbers: these are kept, not the flags;
    `calls_flags`, look where control leaves for whether the flags are read there."""
    blocks = [graph.blocks[start] for start in graph.order]
    needs = [_summary(block) for block in blocks]
    loops = bool(graph.loops)
    _registers(graph, blocks, [need for need, *_ in needs], loops)
    lasts = _flags(graph, blocks, needs, loops, dead_flags, comparisons, calls_flags)
    _kinds(graph, blocks, lasts, loops)
    graph.written = graph.touched = 0
    for block, (_, reads, _, _) in zip(blocks, needs):
        graph.written |= block.writes
        graph.touched |= block.writes | reads | block.live_in
    for block in blocks:
        _saved(block, graph.written)
    if cover:
        for ops in _straight(graph, blocks):
            _checks(ops)


def _summary(block) -> tuple[int, int, int, int]:
    """(registers it needs, that it reads, flags it needs, flags it overwrites); sets block.writes."""
    need = reads = writes = flags_needed = killed = 0
    for op in block.ops:
        insn = op.insn
        reads |= insn.reads
        need |= insn.reads & ~writes
        writes |= insn.writes
        if insn.flags:
            flags_needed |= insn.effects.flags_read & ~killed
            killed |= insn.flags_written
    block.writes = writes
    return need, reads, flags_needed, killed


def _flags(graph, blocks, needs, loops, dead_flags, comparisons, calls_flags) -> list[tuple | None]:
    """The answer: (kind, bits) of the lazy flags that each block leaves, MIXED, or None where it sets none."""
    successors = graph.successors
    out = [graph.flags_out(start) if calls_flags else ARITHMETIC if graph.leaves(start) else 0 for start in graph.order]
    flags_in = [need for _, _, need, _ in needs]
    changed = True
    while changed:
        changed = False
        for k in range(len(blocks) - 1, -1, -1):
            live = out[k]
            if not blocks[k].reloads:
                for t in successors[k]:
                    live |= flags_in[t]
                out[k] = live
            _, _, need, killed = needs[k]
            live = need | live & ~killed
            if live != flags_in[k]:
                flags_in[k] = live
                changed = loops
    for block, live in zip(blocks, flags_in):
        block.flags_in = live if dead_flags else ARITHMETIC
    graph.sets_flags = graph.compares = False
    lasts = []
    for block, live in zip(blocks, out):
        last = None
        for op in reversed(block.ops):
            insn = op.insn
            if not insn.flags:
                continue
            e = insn.effects
            if e.repeats:                                   # REPE and REPNE read what they have just set
                live |= e.flags_read
            op.flags_live = live if dead_flags else ARITHMETIC
            if op.flags_live & e.flags_touched:
                graph.sets_flags = True
                compares = e.flags_kind == _COMPARISON
                graph.compares |= compares and comparisons
                if last is None:
                    last = _EXPLICIT if compares and not comparisons else e.flags_kind or MIXED
            live = live & ~insn.flags_written | e.flags_read
        lasts.append(last)
    return lasts


def _registers(graph, blocks, needs, loops):
    successors, predecessors, n = graph.successors, graph.predecessors, len(blocks)
    dirty_in, live_in, valid_in = [0] * n, [0] * n, [EVERYTHING] * n
    dirty_out, writes = [block.writes for block in blocks], [block.writes for block in blocks]
    reloads = [block.reloads for block in blocks]
    changed = True
    while changed:                                          # registers that may differ from the state in memory
        changed = False
        for k in range(n):
            dirty = 0
            for p in predecessors[k]:
                if not reloads[p]:
                    dirty |= dirty_out[p]
            if dirty != dirty_in[k]:
                dirty_in[k], dirty_out[k] = dirty, dirty | writes[k]
                changed = loops
    changed = True
    while changed:                                          # those whose local must hold the value
        changed = False
        for k in range(n - 1, -1, -1):
            live = dirty_out[k]
            if not reloads[k]:
                for t in successors[k]:
                    live |= live_in[t]
            live = live & ~writes[k] | needs[k] | dirty_in[k]
            if live != live_in[k]:
                live_in[k] = live
                changed = loops
    changed = True
    while changed:                                          # those whose local does hold it, whatever way control came
        changed = False
        for k in range(n):
            valid = EVERYTHING if k else live_in[0]
            for p in predecessors[k]:
                valid &= live_in[k] if reloads[p] else valid_in[p] | writes[p]
            if valid != valid_in[k]:
                valid_in[k] = valid
                changed = loops
    for k, block in enumerate(blocks):
        block.dirty_out, block.live_in, block.valid_in = dirty_out[k], live_in[k], valid_in[k]


def _saved(block, written):
    saved, flags = block.valid_in & written, FLAGS if block.flags_in else 0
    block.saved = saved | flags
    for op in block.ops:
        insn = op.insn
        op.saved = saved | flags
        saved |= insn.writes
        if insn.flags:
            flags = FLAGS if op.flags_live else 0


CLEAN, MIXED = "clean", "mixed"


def _kinds(graph, blocks, lasts, loops):
    """kind_in: the (kind, bits) of the lazy flags where it is the same whatever way control came; CLEAN: they are in memory."""
    kinds = [CLEAN] + [None] * (len(blocks) - 1)
    changed = True
    while changed:
        changed = False
        for k in range(len(blocks)):
            kind = None if k else CLEAN
            for p in graph.predecessors[k]:
                other = CLEAN if blocks[p].reloads else lasts[p] or kinds[p]
                if other is not None and other != kind:
                    kind = other if kind is None else MIXED
            if kind != kinds[k]:
                kinds[k] = kind
                changed = loops
    for block, kind in zip(blocks, kinds):
        block.kind_in = kind


# ---- checks of memory accesses


class Cover:
    """Accesses off one register, at known distances from what it held at some point: low to high, less than two pages."""
    __slots__ = ("version", "low", "high", "uses", "access")

    def __init__(self, version, low, high):
        self.version, self.low, self.high, self.uses, self.access = version, low, high, [], 0


def _straight(graph: Graph, blocks: list[Block]) -> list[list]:
    """The instructions of blocks, of those together that only follow each other."""
    found = []
    joined = set()
    for k, block in enumerate(blocks):
        if k in joined:
            continue
        ops = block.ops
        while blocks[k].end == "jump" and len(graph.successors[k]) == 1:
            t, = graph.successors[k]
            if t <= k or len(graph.predecessors[t]) > 1 or blocks[t].end == "switch":
                break
            joined.add(t)
            ops, k = ops + blocks[t].ops, t
        found.append(ops)
    return found


def _checks(ops: list):
    version, moved = [0] * 16, [0] * 16        # of each register: what it held at first, and how far it is from that
    newest: dict[int, Cover] = {}
    covers = []
    fresh = 1
    for op in ops:
        insn = op.insn
        for key, where, offset, times, access, size in insn.accesses:
            if key in op.checks:                            # of a loop's head
                continue
            low = moved[where] + offset + times * op.disp
            high = low + size
            it = newest.get(where)
            if it is None or it.version != version[where] or max(it.high, high) - min(it.low, low) > REACH:
                it = newest[where] = Cover(version[where], low, high)
                covers.append(it)
            else:
                it.low, it.high = min(it.low, low), max(it.high, high)
            it.access |= access
            it.uses.append((op, key, where, moved[where]))
        for n, more, distance in insn.changes:
            if more:
                moved[n] += distance
            else:
                version[n], moved[n] = fresh, 0
                fresh += 1
    for it in covers:                          # the first use makes the check for all
        if len(it.uses) > 1:
            op, key, where, at_that_time = it.uses[0]
            _check_of(op)[key] = where, it.low - at_that_time, it.high - at_that_time, it.access
            for op, key, *_ in it.uses[1:]:
                _check_of(op)[key] = None


def _check_of(op) -> dict:
    if not op.checks:
        op.checks = {}
    return op.checks
