"""Checks of memory accesses that are made for many rounds of a loop at once, where it is entered.

In an innermost loop without calls, an address off registers that a round leaves as they are, or moves by a constant, is known
for all rounds from what the registers hold at the loop's head. So the head checks a *strip* of rounds: as many as stay in
the pages that the first of them touches. What the head refuses the interpreter executes, from the head on: only accesses
that each round makes are asked for, so a refusal is a fault to come, or the end of what can be accessed is near.

Works on the graph and the effects of its instructions; emits nothing.
"""
from . import layout as at
from .cfg import SWITCH, Block, Graph
from .liveness import REACH, may_be_direct

MOST_GROUPS = 8            # in one loop
NEAR = 256                 # bytes from what is certainly accessed in a round to what is accessed unless the loop ends

ALWAYS, EVERY, PERHAPS = 2, 1, 0     # when a block is executed: in each round; in each but perhaps the last; neither

Key = tuple[int | None, int | None, int]       # base, index: register numbers; scale


class Group:
    """Accesses to base + (index << scale) + low up to high, by what the registers hold at the loop's head; less than two pages.
    stride: how far they move in each round. sixteenth: plus this it is always a multiple of 16, or None."""
    __slots__ = ("base", "index", "scale", "low", "high", "access", "stride", "sixteenth")

    def __init__(self, key: Key, low: int, high: int, access: int, stride: int):
        self.base, self.index, self.scale = key
        self.low, self.high, self.access, self.stride, self.sixteenth = low, high, access, stride, None

    def takes(self, low: int, high: int, access: int, wanted: int) -> bool:
        """Whether such an access may be added. One that is not made in each round must not make a difference, and one that may
        be left out in the last must hardly."""
        reach = max(self.high, high) - min(self.low, low)
        if wanted == ALWAYS:
            return reach <= REACH
        if access & ~(self.access | at.READ):
            return False
        return reach <= min(REACH, self.high - self.low + (NEAR if wanted == EVERY else 0))

    def align(self, low: int, wanted: int) -> bool:
        """Whether the head can see to it that an access there is aligned."""
        if wanted == ALWAYS and self.sixteenth is None and self.stride % 16 == 0 and (self.base is not None or self.index is not None):
            self.sixteenth = low
        return self.sixteenth is not None and (low - self.sixteenth) % 16 == 0

    def add(self, low: int, high: int, access: int):
        self.low, self.high, self.access = min(self.low, low), max(self.high, high), self.access | access


def hoist(graph: Graph) -> None:
    """Sets `strip` of heads of loops to the groups that are checked there, and marks their accesses as checked. `graph.inner` is
    set to the head of each block in such a loop."""
    graph.inner = {}
    blocks = [graph.blocks[start] for start in graph.order] if graph.loops else []
    for start in graph.loops:
        if start != SWITCH:
            loop = _Loop(graph, blocks, graph.number[start])
            if loop.body and (groups := loop.groups()):
                graph.blocks[start].strip = groups
                graph.inner.update((graph.order[k], start) for k in loop.body)


class _Loop:
    """An innermost loop without calls. Blocks are known by their numbers.

    body   all of it, in reverse post-order, so the head comes first; empty where there is a loop or a call in it
    ends   blocks from which control goes back to the head
    """

    def __init__(self, graph: Graph, blocks: list[Block], head: int):
        self.graph, self.blocks, self.head = graph, blocks, head
        self.ends = [p for p in graph.predecessors[head] if p >= head]
        self.body = self._body()

    def _body(self) -> list[int]:
        graph = self.graph
        found, work = {self.head}, list(self.ends)
        while work:
            k = work.pop()
            if k not in found:
                if graph.order[k] in graph.loops:
                    return []
                found.add(k)
                work += graph.predecessors[k]
        return [] if any(self.blocks[k].reloads for k in found) else sorted(found)

    def _certain(self) -> tuple[set, set]:
        """(blocks that are executed whenever the head is, those that are executed in each round that is followed by another)."""
        graph, inside = self.graph, set(self.body)
        every, start = set(), graph.order[self.ends[0]]
        while True:
            if all(graph.dominates(start, graph.order[end]) for end in self.ends):
                every.add(graph.number[start])
            if graph.number[start] == self.head:
                break
            start = graph.idom[start]
        always = set()
        for k in self.body:
            if k in every:
                always.add(k)
            if graph.leaves(graph.order[k]) or any(t not in inside for t in graph.successors[k]):
                break
        return always, every

    def groups(self) -> list[Group]:
        uses, latch = self._uses()
        if not uses:
            return []
        always, every = self._certain()
        groups: dict[Key, list[Group]] = {}
        chosen, count = [], 0
        for wanted in ALWAYS, EVERY, PERHAPS:
            for op, key, place, low, access, length, k in uses:
                if wanted != (ALWAYS if k in always else EVERY if k in every else PERHAPS):
                    continue
                stride = _stride(place, latch)
                if stride is None:
                    continue
                high, group = low + length, None
                for group in groups.get(place, ()):
                    if group.takes(low, high, access, wanted):
                        break
                else:
                    if wanted != ALWAYS or count == MOST_GROUPS:
                        continue
                    group = Group(place, low, high, access, stride)
                    groups.setdefault(place, []).append(group)
                    count += 1
                group.add(low, high, access)
                sixteenth = length == 16 and op.insn.shape.aligned and key[0] == "m"
                chosen.append((op, key, False if sixteenth and group.align(low, wanted) else None, group, low))
        for op, key, done, group, low in chosen:
            op.checks = op.checks | {key: done}
            if key[0] == "m" and may_be_direct(op.disp, group.low <= low - op.disp):
                op.direct = op.direct | {key}
        return [group for some in groups.values() for group in some]

    def _uses(self) -> tuple[list, list]:
        """(the accesses whose address is known from what registers hold at the head: (op, key, place, distance, access, bytes, block);
        how far each register has come at the end of a round, None where that is not known)."""
        uses, out, predecessors = [], {}, self.graph.predecessors
        for k in self.body:
            moved = [0] * 16 if k == self.head else _meet([out[p] for p in predecessors[k]])
            for op in self.blocks[k].ops:
                insn = op.insn
                for key, place, offset, times, access, length in insn.places():
                    base, index, scale = place
                    offset += times * op.disp
                    if base is index is None and not 0 <= offset < 1 << 32:
                        continue
                    far = 0 if base is None else moved[base]
                    further = 0 if index is None else moved[index]
                    if far is not None and further is not None:
                        uses.append((op, key, place, offset + far + (further << scale), access, length, k))
                for n, more, distance in insn.changes:
                    moved[n] = moved[n] + distance if more and moved[n] is not None else None
            out[k] = moved
        return uses, _meet([out[p] for p in self.ends])


def _stride(place: Key, latch: list) -> int | None:
    """How far the address moves in a round; None where that is not known."""
    base, index, scale = place
    far = 0 if base is None else latch[base]
    further = 0 if index is None else latch[index]
    total = None if far is None or further is None else far + (further << scale)
    return total if total is not None and abs(total) < 4096 else None


def _meet(some: list[list]) -> list:
    return [all[0] if all.count(all[0]) == len(all) else None for all in zip(*some)]
