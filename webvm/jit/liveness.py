"""What is known at each point of a region: which registers and flags are needed, which must be stored, which accesses of
memory are covered by one check.

Works on the graph and the effects of its instructions; emits nothing.
"""
from ..x86 import flags
from ..x86.meaning import ARITHMETIC, RSP
from . import layout as at
from .cfg import Block, Graph
from .frame import ANCHORS

EVERYTHING = (1 << 48) - 1
OTHERS = EVERYTHING & ~(1 << RSP)          # the stack pointer is on its own, see region
_COMPARISON, _EXPLICIT = (flags.COMPARE, 64), (flags.EXPLICIT, 64)
FLAGS = 1 << 48            # in a mask of what to store, beside registers: the arithmetic flags
REACH = 4096 - 64          # bytes that one check of two pages may cover
NEAR = 256                 # of these, for accesses that are perhaps not executed after it


def analyse(graph: Graph, dead_flags: bool = True, cover: bool = True, comparisons: bool = True,
            calls_flags: bool = True, beyond: bool = True, anchors: bool = True) -> None:
    """Fills in the fields of blocks and ops, and of the graph: `touched` and `written`, masks of registers, and whether
    anything sets flags that somebody needs. Switches: `dead_flags`, leave out flags nobody reads; `cover`, one check for
    several accesses off one register (`beyond`: in several blocks; `anchors`: those of the stack off one address);
    `comparisons`, of numbers: these are kept, not the flags; `calls_flags`, look where control leaves for whether the flags
    are read there."""
    blocks = [graph.blocks[start] for start in graph.order]
    summaries = [block.summary for block in blocks]
    for block in blocks:
        block.writes = block.summary.writes
    loops = bool(graph.loops)
    _registers(graph, blocks, [summary.need for summary in summaries], loops)
    lasts = _flags(graph, blocks, summaries, loops, dead_flags, comparisons, calls_flags)
    _kinds(graph, blocks, lasts, loops)
    graph.written = graph.touched = 0
    for block, summary in zip(blocks, summaries):
        graph.written |= block.writes
        graph.touched |= block.writes | summary.reads | block.live_in
    graph.touched |= 1 << RSP
    for block in blocks:
        _saved(block, graph.written)
    if cover:
        _checks(graph, blocks, beyond, anchors)


def _flags(graph, blocks, summaries, loops, dead_flags, comparisons, calls_flags) -> list[tuple | None]:
    """The answer: (kind, bits) of the lazy flags that each block leaves, MIXED, or None where it sets none."""
    successors = graph.successors
    out = [graph.flags_out(start) if calls_flags else ARITHMETIC if graph.leaves(start) else 0 for start in graph.order]
    needs = [(summary.flags_need, ~summary.flags_set) for summary in summaries]
    flags_in = [need for need, _ in needs]
    changed = True
    while changed:
        changed = False
        for k in range(len(blocks) - 1, -1, -1):
            live = out[k]
            if not blocks[k].reloads:
                for t in successors[k]:
                    live |= flags_in[t]
                out[k] = live
            need, kept = needs[k]
            live = need | live & kept
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
        block.dirty_out, block.live_in, block.valid_in = dirty_out[k] & OTHERS, live_in[k] & OTHERS, valid_in[k]


def _saved(block, written):
    saved, flags = block.valid_in & written & OTHERS, FLAGS if block.flags_in else 0
    block.saved = saved | flags
    for op in block.ops:
        insn = op.insn
        op.saved = saved | flags
        saved |= insn.writes & OTHERS
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
    __slots__ = ("block", "low", "high", "uses", "access", "anchored")

    def __init__(self, block: int, low: int, high: int):
        """block: with the instructions of that block, and those that only follow it, all of it is accessed."""
        self.block, self.low, self.high, self.uses, self.access = block, low, high, [], 0
        self.anchored: list = []                          # (op, how far from there): near the check, off RSP as it moves

    def takes(self, block: int, where: int, low: int, high: int, access: int) -> bool:
        """Whether its check may be for this access too. What is in another block is perhaps not executed after the check, and
        hardly make a difference to that: it is near. But who can access a stack can access all of it."""
        reach = max(self.high, high) - min(self.low, low)
        if reach > REACH:
            return False
        if block == self.block or where == RSP:
            return True
        return reach <= max(NEAR, self.high - self.low) and not access & ~(self.access | at.READ)


def _checks(graph: Graph, blocks: list[Block], beyond: bool, anchors: bool) -> None:
    """Of each access whether a check that was made before is for it too. beyond: the check may be in any block that control came by;
    no call is between."""
    covers: list[Cover] = []
    out: list[dict[int, tuple[Cover, int]]] = []      # of registers, at the end of each block: a cover, how far it has moved since
    straight: list[int] = []                          # of each block, the first of those that only follow each other
    for k, block in enumerate(blocks):
        first, before = k, graph.predecessors[k]
        if len(before) == 1 and before[0] < k and blocks[before[0]].end == "jump" and len(graph.successors[before[0]]) == 1:
            first = straight[before[0]]
        straight.append(first)
        newest = _known_before(graph, blocks, out, k) if first < k or beyond and k else {}
        for op in block.ops:
            insn = op.insn
            for key, where, offset, times, access, size in insn.accesses:
                if key in op.checks:                        # of a loop's head
                    continue
                it, moved = newest.get(where) or (None, 0)
                low = moved + offset + times * op.disp
                high = low + size
                if it is None or not it.takes(first, where, low, high, access):
                    low, high, moved = low - moved, high - moved, 0
                    it = Cover(first, low, high)
                    newest[where] = it, 0
                    covers.append(it)
                it.low, it.high, it.access = min(it.low, low), max(it.high, high), it.access | access
                it.uses.append((op, key, where, moved))
                if where == RSP and key[0] == "i" and first == it.block:
                    it.anchored.append((op, low))
            for n, more, distance in insn.changes:
                if n in newest:
                    if more:
                        it, moved = newest[n]
                        newest[n] = it, moved + distance
                    else:
                        del newest[n]
        out.append(newest)
    anchor: dict[Cover, int] = {}
    if anchors:
        worth = sorted((it for it in covers if len(it.anchored) > 1), key=lambda it: -len(it.anchored))
        anchor = {it: k for k, it in enumerate(worth[:ANCHORS])}
        for it, k in anchor.items():
            for op, low in it.anchored:
                if len(op.insn.effects.implicit) == 1:
                    op.anchor = k, low - it.low
    for it in covers:                          # the first use makes the check for all
        if len(it.uses) > 1:
            op, key, where, at_that_time = it.uses[0]
            _check_of(op)[key] = where, it.low - at_that_time, it.high - at_that_time, it.access, anchor.get(it)
            for op, key, *_ in it.uses[1:]:
                _check_of(op)[key] = None
            for op, key, _, moved in it.uses:
                if key[0] == "m" and may_be_direct(op.disp, it.low <= moved):
                    op.direct = op.direct | {key}


def _known_before(graph, blocks, out, k: int) -> dict:
    before = [p for p in graph.predecessors[k] if p < k]
    if not before or any(blocks[p].reloads for p in before):
        return {}
    known = dict(out[before[0]])
    for p in before[1:]:
        known = {n: it for n, it in known.items() if out[p].get(n) == it}
    if known and len(before) < len(graph.predecessors[k]):
        body = set().union(*(graph.body(k, p) for p in graph.predecessors[k] if p >= k))
        if any(blocks[b].reloads for b in body):
            return {}
        writes = 0
        for b in body:
            writes |= blocks[b].writes
        known = {n: it for n, it in known.items() if not writes >> n & 1}
    return known


def may_be_direct(disp: int, known: bool) -> bool:
    """Whether an access may leave its displacement to the load or store: what its registers come to is an address of 32 bits then,
    as none below LEAST can be accessed, and none within BIAS of 2**32. known: that itself is so near to something accessible."""
    return disp and (-at.BIAS < disp <= at.LEAST or disp > 0 and known)


def _check_of(op) -> dict:
    if not op.checks:
        op.checks = {}
    return op.checks
