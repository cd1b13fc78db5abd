"""What is hot becomes regions: which entries, in which modules, linked to which address spaces.

A batch of regions is one module, compiled once for the machine and linked to each space that has the same bytes at the same
addresses. Knows spaces by the few methods of webvm.engine.space that it calls; knows nothing of Linux.
"""
import struct
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter

from ..wasm.module import Module
from . import layout as at
from .cfg import MOST_BLOCKS, Decoder, Graph
from .decoder import BLOCK_LIMIT, Tables
from .handler import R_TARGET, RECORD, UNLINKED
from .region import Imports, Options, Region

WARM = 1500                     # arrivals after which an entry is watched: its branches forget which way they went
REHOT = 300                     # and those after which it is hot: ways not gone meanwhile are left out of its region
SHARE = 3                       # translation pauses for so many times the time it took
BATCH = 24                      # regions in a module at most
SLICE = 0.008                   # seconds of translation at a time


_UNLINKED = struct.pack("<II", UNLINKED, UNLINKED)      # both ways out of a branch, see handler.R_TARGET and R_NEXT


@dataclass
class Compiled:
    """A region: entry, and the code it was made from."""
    rip: int
    ranges: list[tuple[int, bytes]]
    calls: set[int]                                     # entries of regions in the same batch that it calls directly
    instructions: int

    def holds(self, space) -> bool:
        """Whether the space has the code it was made from."""
        return all(space.read(first, len(code)) == code for first, code in self.ranges)


@dataclass
class Batch:
    regions: list[Compiled]
    module: object                                      # what the engine compiled
    by_rip: dict[int, int] = field(default_factory=dict)


class Counters:
    """What translation has done so far."""

    def __init__(self):
        self.regions = self.instructions = self.bytes = 0
        self.translate_seconds = self.compile_seconds = 0.0
        self.installed = 0


class Translator:
    """Makes regions of what spaces report hot."""

    def __init__(self, features: frozenset[str], options: Options = Options(), fuse: bool = True):
        """features, fuse: as the interpreter was made with."""
        self._made_with = features, fuse
        self.options = options
        self.counters = Counters()
        self.trace = None                               # hears of each region made, see trace.tracer
        self._known: dict[int, list[Batch]] = {}        # entry -> batches that have a region there
        self._links: dict = {}                          # space -> {id(batch): slots}
        self._watched: dict = {}                        # space -> {entry: reports since it is watched}
        self._pause_until = 0.0

    @cached_property
    def decoder(self) -> Decoder: return Decoder(Tables(*self._made_with))      # takes a while, and not every machine needs it

    def hot(self, space) -> None:
        """Make regions of the entries that the space reports hot, as far as the time for it goes: the hottest first."""
        watched = self._watched.setdefault(space, {})
        for rip in dict.fromkeys(space.hot()):
            if rip in watched:
                watched[rip] += 1
            elif not self._install_known(space, rip):
                self._watch(space, rip)
                watched[rip] = 0
        start = now = perf_counter()
        if start < self._pause_until:
            return
        hot = sorted((rip for rip, reports in watched.items() if reports), key=watched.get)
        while hot and now - start < SLICE:
            batch = [hot.pop() for _ in range(min(BATCH, len(hot)))]
            self._translate(space, batch)
            for rip in batch:
                del watched[rip]
            now = perf_counter()
        self._pause_until = now + SHARE * (now - start)

    def released(self, space) -> None:
        self._links.pop(space, None)
        self._watched.pop(space, None)

    def _watch(self, space, rip) -> None:
        """Let the branches that can be reached from an entry forget which way they went."""
        work, seen = [rip], set()
        while work and len(seen) < MOST_BLOCKS:
            start = work.pop()
            if start in seen:
                continue
            seen.add(start)
            block = self._block(space, start)
            if block is not None:
                work += block.ways_gone
                if block.end == "branch":
                    space.poke(space.find(start) + RECORD * len(block.ops) + R_TARGET, _UNLINKED)

    def _block(self, space, start):
        record = space.find(start)
        return self.decoder.block(start, space.peek(record + RECORD, (BLOCK_LIMIT + 1) * RECORD)) if record else None

    # ---- regions that exist

    def _install_known(self, space, rip) -> bool:
        for batch in self._known.get(rip, ()):
            region = batch.regions[batch.by_rip[rip]]
            if self._group_holds(space, batch, region):
                return self._install(space, batch, region)
        return False

    def _group(self, batch, region) -> list[Compiled]:
        """The region and those it may call without asking."""
        found, work = {region.rip}, [region]
        while work:
            for rip in work.pop().calls:
                if rip not in found:
                    found.add(rip)
                    work.append(batch.regions[batch.by_rip[rip]])
        return [batch.regions[batch.by_rip[rip]] for rip in found]

    def _group_holds(self, space, batch, region) -> bool:
        return all(r.holds(space) for r in self._group(batch, region))

    def _install(self, space, batch, region) -> bool:
        links = self._links.setdefault(space, {})
        slots = links.get(id(batch))
        if slots is None:
            slots = links[id(batch)] = space.link(batch.module, len(batch.regions))
        slot = slots[batch.by_rip[region.rip]]
        done = False
        for member in self._group(batch, region):
            for first, code in member.ranges:
                if not space.install(region.rip, slot, first, first + len(code) - 1):
                    return done
                done = True
        self.counters.installed += 1
        return True

    # ---- new ones

    def _translate(self, space, entries) -> None:
        start = perf_counter()

        graphs = []
        for rip in entries:
            graph = Graph(rip, lambda start: self._block(space, start))
            if any(block.ops for block in graph.blocks.values()) and graph.blocks[rip].end != "retry":
                graphs.append(graph)
        if not graphs:
            return
        wasm, regions = self.module(graphs, lambda first, last: space.read(first, last + 1 - first))
        translated = perf_counter()
        module = space._engine.compile_regions(wasm)
        batch = Batch(regions, module, {region.rip: k for k, region in enumerate(regions)})
        for region in regions:
            self._known.setdefault(region.rip, []).append(batch)
            self._install(space, batch, region)
        counters = self.counters
        counters.regions += len(regions)
        counters.instructions += sum(region.instructions for region in regions)
        counters.bytes += len(wasm)
        counters.translate_seconds += translated - start
        counters.compile_seconds += perf_counter() - translated

    def module(self, graphs, read) -> tuple[bytes, list[Compiled]]:
        """The module of the regions of some graphs. `read(first, last)`: the guest's bytes."""
        m = Module()
        m.import_memory("env", "memory", at.BIAS // 65536 + 16, 65536)
        imports = Imports(enter=m.import_function("env", "enter", "i32 i32", "i32"),
                          syscall_out=m.import_function("env", "syscall_out", "i32", "i32"),
                          escape_out=m.import_function("env", "escape_out", "i32", "i32"),
                          flags=m.import_function("env", "flags", "", "i32"),
                          divide=m.import_function("env", "divide", "i64 i64 i64", "i64"))
        functions = {graph.entry: m.declare(str(k), "i32", "i32", export=True) for k, graph in enumerate(graphs)}
        regions = []
        for graph in graphs:
            region = Region(graph, imports, functions, self.options)
            body = region.code()
            if self.trace is not None:
                self.trace(region, body, read)
            m.define(functions[graph.entry], region.locals, body)
            ranges = [(first, read(first, last)) for first, last in _ranges(graph)]
            size = sum(len(block.ops) for block in graph.blocks.values())
            regions.append(Compiled(graph.entry, ranges, region.called - {graph.entry}, size))
        return m.encode(), regions


def _ranges(graph) -> list[tuple[int, int]]:
    """The bytes (first, last) of the code of a region, those close together as one."""
    merged: list[list[int]] = []
    for first, last in sorted((block.start, block.last) for block in graph.blocks.values()):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return [(first, last) for first, last in merged]
