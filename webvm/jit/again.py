"""Which regions are worth making anew: those that control often leaves by a way that was not gone when they were made.

A region holds what was executed while its branches were watched. What is executed later is reached through the region's end: all
registers go to memory and back, and what was known there is lost. Regions count where they leave for (layout.EXITS), and now and then the
one that has just counted is reported: if that happens often for its size, it is made again, with the ways that it had, and those to what has regions of its own by now.

Works on graphs and their blocks; knows nothing of spaces, and emits nothing.
"""
from collections.abc import Callable, Container
from dataclasses import dataclass

from .inline import address_of

MOST = 3                        # times that a region is made anew
WORTH = 50                      # instructions of it for each report: what leaving so often takes is about what translating so many does


@dataclass(eq=False)
class One:
    """A region as it was made: where it may be entered, how large it might have been and was, (taken, not taken) of its branches by the
    address of their blocks, and where it leaves for by ways that were not gone."""
    entries: list[int]
    most_ops: int
    size: int
    ways: dict[int, tuple[bool, bool]]
    exits: set[int]
    times: int = 0
    reports: int = 0

    def pays(self, instructions: int) -> bool:
        """Whether it is left so often that it pays to translate so many."""
        return self.reports * WORTH >= instructions

    def fetching(self, fetch: Callable, hot: Container[int]) -> Callable:
        """As `fetch`, but branches go the ways that they went when the region was made, and those to addresses that are `hot`."""
        def anew(start):
            block = fetch(start)
            if block is not None and block.end == "branch":
                before = self.ways.get(start, (False, False))
                block.ways = tuple(gone or once or t in hot for gone, once, t in zip(block.ways, before, block.edges))
            return block
        return anew


class Made:
    """The latest regions made for a space."""

    def __init__(self):
        self._made: dict[int, One] = {}                 # by entry

    def note(self, graph, most_ops: int) -> None:
        """A region is made of the graph."""
        ways, exits = {}, set()
        for start, block in graph.blocks.items():
            if block.end == "branch":
                rip, (taken, after) = block.rip, ways.get(block.rip, (False, False))
                ways[rip] = taken or block.ways[0], after or block.ways[1]
                exits.update(address_of(t) for t, gone in zip(block.edges, block.ways) if not gone and t not in graph.blocks)
            elif block.table:
                exits.update(t for t in block.table.places if t not in graph.blocks)
        times = max((self._made[rip].times for rip in graph.entries if rip in self._made), default=0)
        self._made.update(dict.fromkeys(graph.entries, One(graph.entries, most_ops, size_of(graph), ways, exits, times)))

    def at(self, entry: int) -> One | None: return self._made.get(entry)

    def reported(self, entry: int, hot: Container[int]) -> bool:
        """The region there was: whether that was often enough, and it is worth it."""
        one = self.worth(entry, hot)
        if one is None:
            return False
        one.reports += 1
        return one.pays(one.size)

    def worth(self, entry: int, hot: Container[int]) -> One | None:
        """The region there, if it may be made anew and leaves for something that is hot."""
        one = self._made.get(entry)
        return one if one is not None and one.times < MOST and any(rip in hot for rip in one.exits) else None


def size_of(graph) -> int: return sum(len(block.ops) for block in graph.blocks.values())
