"""Where a region counts the instructions that it executes.

A block counts its own, and those of the blocks that likely follow it up to where control may come round again: so most blocks
count nothing. Who goes another way puts that right on the way there. What leaves in the middle of a block has counted too many.

Works on the graph; emits nothing.
"""
from .cfg import SWITCH, Graph

MOST = 100              # instructions counted before they are executed

_ON = "jump", "branch", "choice", "return"          # ends that lead on within the region, by edges of their own


class Counts:
    """of       start of a block -> the instructions that it counts
    before   of it and what likely follows, those that are counted when control comes there
    after    those counted at its end that are not executed then"""

    def __init__(self, graph: Graph, ahead: bool = True):
        """ahead: else each block counts its own."""
        self._graph = graph
        self.of, self.before, self.after = {}, {}, {}
        anew = graph.loops.union([graph.entry], graph.edges(SWITCH) if SWITCH in graph.blocks else ())
        for start in reversed(graph.order):
            self.after[start] = after = self._likely(start) if ahead else 0
            n = len(graph.blocks[start].ops) + after
            counts = not ahead or start in anew or n > MOST
            self.of[start], self.before[start] = (n, 0) if counts else (0, n)

    def _likely(self, start: int) -> int:
        block = self._graph.blocks[start]
        if block.end not in _ON:
            return 0
        ways = [t for t, gone in zip(block.edges, block.ways) if gone]
        return min((self.there(start, t) for t in ways if t in self._graph.blocks), default=0)

    def there(self, start: int, target: int) -> int:
        """How many are counted already where that edge leads."""
        graph = self._graph
        if (start, target) in graph.detours or (start, target) in graph.cuts:
            return 0
        return self.before.get(graph.instead.get((start, target), target), 0)
