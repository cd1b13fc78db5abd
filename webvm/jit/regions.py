"""What is hot becomes regions: which entries, in which modules, linked to which address spaces.

A batch of regions is one module, compiled once for the machine and linked to each space that has the same bytes at the same
addresses. Knows spaces by the few methods of webvm.engine.space that it calls; knows nothing of Linux.
"""
import gc
import logging
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import chain
from time import perf_counter

from ..wasm.module import Module
from ..x86.meaning import ROUTINES
from ..x86.sse_floats import CALLED, SIGNATURES
from . import build
from . import layout as at
from . import tables
from .cfg import MOST_OPS, SWITCH, Decoder, Graph
from .decoder import BLOCK_LIMIT, Tables
from .early import Early
from .frame import PARAMETERS, RESULTS
from .handler import R_COUNT, R_HANDLER, R_SLOT, R_TARGET, RECORD, UNLINKED
from .inline import address_of
from .instruction import DEFERRED, EASY, HARD, LOOSE, MENDED, NONE, Imports
from .options import Options
from .region import Region, has_floats
from .template import Templates

log = logging.getLogger("webvm.jit")

WARM = 15_000                   # arrivals after which an entry is watched: its branches forget which way they went
REHOT = 1000                    # and those after which it is hot: ways not gone meanwhile are left out of its region
AGAIN = 15_000                  # arrivals after which an entry in the middle of a region gets one of its own, though it is in that
EXIT = 8                        # arrivals that one by way of a region's end counts for, until an entry is watched
NEAR = 1 << 16                  # entries no farther apart than this may be those of one region with indirect jumps
ASKED, ASKED_ROUNDS = 80, 2000  # times that the engine is asked whether it exchanges operands, and rounds of each
MOST_WATCHED = 120              # blocks behind an entry that is watched
MOST_ENTRIES = 100              # of such a region
MOST_OPS_SHARED = 2500          # instructions in it
SHARE = 3                       # translation pauses for so many times the time it took
BURST = 2.0                     # seconds that it may take before it pauses, if there was no need of it for a while
MOST_MODULES = 600              # that are kept at a time
MOST_BYTES = 24 << 20           # and of their Wasm together
BATCH = 24                      # regions in a module at most
MOST_BYTES_AT_ONCE = 8192       # of code that are compared
MOST_TURNS_WAITED = 12          # reports after which fewer entries than Translator.least are translated
SLICE = 0.008                   # seconds of translation at a time
MOST_FAILURES = 20              # entries that could not be translated; after that translation is given up


_UNLINKED = struct.pack("<II", UNLINKED, UNLINKED)      # both ways out of a branch, see handler.R_TARGET and R_NEXT


@dataclass
class Compiled:
    """A region: where it may be entered, and the code it was made from."""
    entries: list[int]
    ranges: list[tuple[int, bytes]]
    calls: set[int]                                     # entries of other regions in the batch that it calls directly
    instructions: int
    floats: str = NONE                                  # see Region

    def begins(self, space, rip: int) -> bool:
        """Whether the space has the code it was made from where it is entered at rip."""
        return all(space.read(first, len(code)) == code for first, code in self.ranges if first <= rip < first + len(code))


@dataclass(eq=False)
class Batch:
    """The regions of a module, whose exports are their entries, in order."""
    regions: list[Compiled]
    module: object                                      # what the engine compiled
    place: dict[int, int] = field(default_factory=dict)                 # entry -> number of the export
    region: dict[int, Compiled] = field(default_factory=dict)           # entry -> region
    used: int = 0                                       # when a region of it was last installed
    _needs: dict[int, tuple[list, set]] = field(default_factory=dict)

    def __post_init__(self):
        for region in self.regions:
            for rip in region.entries:
                self.place[rip] = len(self.place)
                self.region[rip] = region

    def _group(self, region) -> list[Compiled]:
        """The region and those it may call without asking."""
        found, work = [region], [region]
        while work:
            for rip in work.pop().calls:
                called = self.region[rip]
                if called not in found:
                    found.append(called)
                    work.append(called)
        return found

    def needs(self, rip: int) -> tuple[list[tuple[int, bytes]], set[str]]:
        """The code that the region there and those it may call without asking were made from, and their ways with numbers."""
        if rip not in self._needs:
            group, code, end = self._group(self.region[rip]), [], 0
            pieces = {piece for region in group for piece in _pieces(region.ranges)}
            for first, some in sorted(pieces, key=lambda piece: (piece[0], -len(piece[1]))):
                if first + len(some) > end:                 # else another has all of it
                    code.append((first, some))
                    end = first + len(some)
            self._needs[rip] = code, {region.floats for region in group}
        return self._needs[rip]


class _Code:
    """What is known of the code of one space."""

    def __init__(self):
        self.watched: dict[int, int] = {}               # entry -> reports since it is watched
        self.busy: set[int] = set()                     # entries of regions that are being compiled
        self.entries: set[int] = set()                  # where regions were installed
        self.jumping: set[int] = set()                  # those alone in a region with indirect jumps, though there are others near
        self.called: set[int] = set()                   # where calls lead
        self.not_jumped_to: set[int] = set()            # there, and where they return to
        self.inside: dict[int, int] = {}                # blocks in the middle of regions -> an entry of the latest of these
        self.put_off: set[int] = set()                  # those of which a report was ignored for that
        self.links: dict[int, list[int]] = {}           # id of a batch -> its slots
        self.failed: set[int] = set()                   # entries that can't be translated
        self.turns_waited = 0                           # of those that are hot, but too few
        self.floats = ""                                # the way with numbers that regions have here: LOOSE, then DEFERRED, then EASY


class Counters:
    """What translation has done so far."""

    def __init__(self):
        self.regions = self.instructions = 0
        self.translate_seconds = 0.0                    # what the engine takes for the modules is in its own counters
        self.installed = self.evicted = 0


class Translator:
    """Makes regions of what spaces report hot."""

    def __init__(self, features: frozenset[str], options: Options = Options(), fuse: bool = True):
        """features, fuse: as the interpreter was made with."""
        self._made_with = features, fuse
        self.options = options
        self.counters = Counters()
        self.broken = False                             # translation failed too often, and is given up
        self._failures = 0
        self.strict = False                             # let it fail loudly, as tests want
        self.beside = True                              # modules are compiled while the guest goes on
        self.share = SHARE                              # 0: translation never pauses
        self.least = 1                                  # entries that are translated at a time, unless some have waited long
        self.trace = None                               # hears of each region made, see trace.tracer
        self.most_modules, self.most_bytes = MOST_MODULES, MOST_BYTES
        self._known: dict[int, list[Batch]] = {}        # entry -> batches that have a region there
        self._batches: list[Batch] = []                 # all of them
        self._code: dict = defaultdict(_Code)           # of each space
        self._looked_at = 0                             # how many they were when there were not too many
        self._compiling: list = []                      # (space, batch)
        self._early = Early(WARM)
        self.cache = None                               # a cache.CodeCache: regions of earlier runs
        self._engine = None                             # of the space that has last reported something
        self._pause_until = 0.0
        self.exchanges = False                          # the engine was seen to exchange operands of sums or products
        self.asked = 0                                  # how often it was looked for that
        self._templates: dict[tuple[Options, str], Templates] = defaultdict(Templates)

    @cached_property
    def decoder(self) -> Decoder: return Decoder(build.shapes(*self._made_with))     # not every machine needs it

    def created(self, space) -> None:
        """To be told of each space before it is used."""
        self._ask_for_exchanges(space)                  # programs that follow may never report anything once they are translated
        self._early.created(space)
        self._set_exits(space)

    def _set_exits(self, space) -> None:
        """What regions leave for becomes hot sooner, unless more is hot than there is time for."""
        code = self._code.get(space)
        busy = code is not None and any(code.watched.values())
        space.poke(at.MORE_ARRIVALS, struct.pack("<I", EXIT - 1 if self.options.exits and not busy else 0))

    def hot(self, space) -> None:
        """Make regions of the entries that the space reports hot, as far as the time for it goes: the hottest first."""
        if self.broken:
            space.hot()
            return
        collects = gc.isenabled()
        gc.disable()                    # nearly all of what is made meanwhile goes by itself
        try:
            self._hot(space)
            self._set_exits(space)
        except Exception:               # a bug of ours must not take the machine down: it goes on interpreting
            log.exception("code could not be translated; no more will be")
            self.broken = not self.strict
            if self.strict:
                raise
        finally:
            if collects:
                gc.enable()

    def _hot(self, space) -> None:
        code, self._engine = self._code[space], space.engine
        self._install_compiled()
        self._evict()
        self._ask_for_exchanges(space)
        self._watch_floats(space, code)
        watched = code.watched
        for rip in dict.fromkeys(space.hot()):
            if rip in code.busy or rip in code.failed:
                continue
            if self._install_known(space, rip):
                watched.pop(rip, None)
            elif rip in watched:
                watched[rip] += 1
            elif not self._early.put_off(space, rip, rip in self._known, self._is_coming(space, rip)):
                self._watch(space, rip)
                watched[rip] = 0
        start = now = perf_counter()
        if start < self._pause_until:
            return
        hot = sorted((rip for rip, reports in watched.items() if reports), key=watched.get)
        if len(hot) < self.least and code.turns_waited < MOST_TURNS_WAITED:
            code.turns_waited += bool(hot)
            return
        code.turns_waited = 0
        while hot and now - start < SLICE:
            batch = [hot.pop() for _ in range(min(BATCH, len(hot)))]
            put_off = self._try_to_translate(space, sorted(batch, key=lambda rip: (rip not in code.called, watched[rip])))
            for rip in batch:
                watched.pop(rip, None)
            watched.update(dict.fromkeys(put_off, 0))
            now = perf_counter()
        self._pause(start, now)

    def _pause(self, start: float, end: float) -> None:
        """Translation took that long. Time in which it might have gone on and did not, a while of it, counts as pauses."""
        saved = BURST * self.share if self.options.bursts else 0
        self._pause_until = max(self._pause_until, start - saved) + (1 + self.share) * (end - start)

    def _ask_for_exchanges(self, space) -> None:
        """Optimising compilers get to work after a while, and may exchange operands then."""
        if self.options.nans and self.asked < ASKED:
            self.asked += 1
            if space.exchanges(ASKED_ROUNDS):
                self.exchanges, self.asked = True, ASKED

    def _watch_floats(self, space, code) -> None:
        """Where the program has loaded MXCSR, regions that are loose with it go; those that count on its rounding and masks, where
        they found others."""
        watched, = struct.unpack("<I", space.peek(at.WATCHED, 4))
        floats = LOOSE if self.options.loose_floats and not watched else DEFERRED if self.options.deferred and not watched & at.UNPLAIN else EASY
        if space.peek(at.SSE_FOREIGN, 4) != bytes(4):
            floats = EASY
        if self.exchanges and self.options.nans:
            floats = MENDED.get(floats, floats)
        floats = max(floats, code.floats, key=("", LOOSE, MENDED[LOOSE], DEFERRED, MENDED[DEFERRED], EASY).index)
        if floats != code.floats:
            code.floats = floats
            for batch in self._batches:
                if id(batch) in code.links:
                    for rip, region in batch.region.items():
                        if region.floats not in (floats, NONE):
                            self._take_out_of(space, code, batch, rip)

    def released(self, space) -> None:
        self._code.pop(space, None)
        self._early.released(space)

    def _watch(self, space, rip) -> None:
        """Let the branches that can be reached from an entry forget which way they went."""
        work, seen = [rip], set()
        while work and len(seen) < MOST_WATCHED:
            start = work.pop()
            if start in seen:
                continue
            seen.add(start)
            record = space.find(start)
            block, ways = self._decoded(space, start, record)
            if block is not None:
                work += block.leads(ways)
                if block.end == "branch":
                    space.poke(record + RECORD * len(block.ops) + R_TARGET, _UNLINKED)

    def _block(self, space, start):
        """The block that begins there."""
        block, ways = self._decoded(space, start, space.find(start))
        return None if block is None else block.anew(ways)

    def _decoded(self, space, start, record):
        """The block that begins there, which is not to be changed, and its ways; None where there is none. record: what the space has found
        there."""
        if not record:
            return None, None
        known = self.decoder.known(start)
        ways = None if known is None else known.ways(space.peek(record + RECORD, known.size))
        if ways is None:
            records = space.peek(record + RECORD, (BLOCK_LIMIT + 1) * RECORD)
            known = self.decoder.decode(start, records)
            if known is None:
                return None, None
            ways = known.ways(records)
        block = known.block
        if block.end in ("call", "call_indirect"):
            code = self._code[space]
            code.not_jumped_to.add(block.next)
            if block.end == "call":
                code.not_jumped_to.add(block.target)
                code.called.add(block.target)
        return block, ways

    # ---- regions that exist

    def _install_known(self, space, rip) -> bool:
        for batch in chain(reversed(self._known.get(rip, ())), self._kept(space, rip)):
            if self._fits(space, batch, rip) and self._install(space, batch, rip):
                return True
        return False

    def _fits(self, space, batch, rip) -> bool:
        """Whether the region at rip, and those it may call without asking, may be right for the space. Of the code, only its
        beginning is looked at."""
        return batch.region[rip].begins(space, rip) and batch.needs(rip)[1] <= {self._code[space].floats or EASY, NONE}

    def _kept(self, space, rip):
        """The batches of earlier runs that may do."""
        for regions, wasm in self.cache.lookup(rip, space.read) if self.cache else ():
            batch = Batch(regions, space.engine.compile_regions(wasm, wait=not self.beside))
            if batch.module.ready:
                self._know(batch)
                yield batch
            else:
                self._code[space].busy.update(batch.place)
                self._compiling.append((space, batch))

    def _arrived(self, regions, wasm) -> None:
        """A batch of earlier runs is here, that a space has asked for: it will do so again."""
        if not self.broken and self._engine is not None:
            self._compiling.append((None, Batch(regions, self._engine.compile_beside(wasm))))

    def _is_coming(self, space, rip) -> bool:
        return self.cache is not None and (any(rip in batch.place for _, batch in self._compiling) or self.cache.coming(rip, space.read))

    def _know(self, batch) -> None:
        for rip in batch.place:
            self._known.setdefault(rip, []).append(batch)
        self._early.expect(batch.place)
        self._batches.append(batch)
        batch.used = self.counters.installed

    def _evict(self) -> None:
        """Drop while there is too much: first what no space has, then what was installed longest ago. No region is on the stack now."""
        if self._looked_at == len(self._batches) < self.most_modules:
            return
        size = sum(batch.module.n_bytes for batch in self._batches)
        while len(self._batches) > self.most_modules or size > self.most_bytes and len(self._batches) > 1:
            linked = set().union(*(code.links for code in self._code.values()))
            oldest = min(self._batches, key=lambda batch: (id(batch) in linked, batch.used))
            self._batches.remove(oldest)
            size -= oldest.module.n_bytes
            for rip in oldest.place:
                self._known[rip].remove(oldest)
                if not self._known[rip]:
                    del self._known[rip]
            for space, code in self._code.items():
                if id(oldest) in code.links:
                    for rip in oldest.place:
                        self._take_out_of(space, code, oldest, rip)
                    space.poke(at.LINKS, bytes(at.BLOCKS - at.LINKS))
                    space.unlink(code.links.pop(id(oldest)))
            self.counters.evicted += 1
        self._looked_at = len(self._batches)

    def keep_in(self, cache) -> None:
        """Take regions from a cache.CodeCache, and give it those made from now on."""
        self.cache = cache
        cache.on_open = self._early.expect_all
        cache.on_arrival = self._arrived
        cache.open()

    def _install(self, space, batch, rip) -> bool:
        code = self._code[space]
        slots = code.links.get(id(batch))
        if slots is None:
            slots = code.links[id(batch)] = space.link(batch.module, len(batch.place))
        if not space.install_ranges(rip, slots[batch.place[rip]], batch.needs(rip)[0]):
            self._take_out_of(space, code, batch, rip)      # there may be some of it
            return False
        code.entries.add(rip)
        self.counters.installed += 1
        batch.used = self.counters.installed
        return True

    def _take_out_of(self, space, code, batch, rip) -> None:
        """If it is the batch's region that is installed at rip."""
        record = space.find(rip)
        if record and self._slot_at(space, record) == struct.pack("<I", code.links[id(batch)][batch.place[rip]]):
            self._take_out(space, rip)
            code.entries.discard(rip)

    @staticmethod
    def _count_anew(space, rip, arrivals: int) -> None:
        """Let the block there be reported after so many."""
        record = space.find(rip)
        if record and space.peek(record + R_HANDLER, 4) == struct.pack("<I", Tables.COUNT):
            space.poke(record + R_COUNT, struct.pack("<I", arrivals))

    @staticmethod
    def _slot_at(space, record) -> bytes:
        """Of the region there, as the interpreter keeps it."""
        return space.peek(record + R_SLOT, 4)

    @staticmethod
    def _take_out(space, rip) -> None:
        """Of a region that is not watched as a whole."""
        record = space.find(rip)
        if record and space.peek(record + R_HANDLER, 4) == struct.pack("<I", Tables.ENTER):
            space.poke(record + R_HANDLER, struct.pack("<I", Tables.COUNT))
            space.poke(record + R_COUNT, struct.pack("<I", REHOT))
            space.poke(at.LINKS + at.link_place(rip), bytes(8))

    # ---- new ones

    def _try_to_translate(self, space, entries) -> list[int]:
        """As _translate, patiently. An entry for which that fails, by a bug of ours, is left to the interpreter."""
        try:
            return self._translate(space, entries, patient=True)
        except Exception:
            self._failures += 1
            if self.strict or self._failures > MOST_FAILURES:
                raise
            if len(entries) == 1:
                log.exception("the code at %x could not be translated", *entries)
                self._code[space].failed.update(entries)
                return []
        return [rip for entry in entries for rip in self._try_to_translate(space, [entry])]

    def _translate(self, space, entries, patient=False) -> list[int]:
        """Makes regions at those entries; at which not, if it is patient: what lies in the middle of a region may be reached by
        that from now on. If not, it will be reported again, and get one of its own, a large one. So an outer loop, or the function
        around it, comes before a loop."""
        start = perf_counter()
        graphs, put_off = self._graphs(space, entries, patient)
        if not graphs:
            return put_off
        self._watch_floats(space, self._code[space])
        floats = self._code[space].floats
        wasm, regions = self.module(graphs, lambda first, last: space.read(first, last + 1 - first), floats)
        counters = self.counters
        counters.regions += len(regions)
        counters.instructions += sum(region.instructions for region in regions)
        counters.translate_seconds += perf_counter() - start
        batch = Batch(regions, space.engine.compile_regions(wasm, wait=False))
        self._code[space].busy.update(batch.place)
        self._compiling.append((space, batch))
        if self.cache:
            self.cache.add(regions, wasm)
        self._install_compiled()
        return put_off

    def _install_compiled(self) -> None:
        waiting = []
        for space, batch in self._compiling:
            if not batch.module.ready:
                waiting.append((space, batch))
                continue
            self._know(batch)
            code = self._code.get(space)
            if code is not None:
                code.busy.difference_update(batch.place)
                for rip in batch.place:
                    if self._fits(space, batch, rip):
                        self._install(space, batch, rip)
        self._compiling = waiting

    def _graphs(self, space, entries, patient=False) -> tuple[list[Graph], list[int]]:
        code, at_entry, put_off = self._code[space], {}, []         # the latest graph of each entry

        @cache
        def fetch(start): return self._block(space, start)
        targets = partial(self._targets, space) if self.options.switches and self.options.tables else None
        held = partial(_pointer_at, space) if self.options.pointers else None
        for rip in entries:
            if rip in at_entry:
                continue
            if patient and rip in code.inside and rip not in code.called:
                region = code.inside[rip]
                coming = self.options.patience and (region in code.busy or region in at_entry)
                if coming or rip not in code.put_off:
                    put_off.append(rip)
                    if not coming:
                        code.put_off.add(rip)
                        if self.options.patience:
                            self._count_anew(space, rip, AGAIN)
                    continue
            large = self.options.patience and rip in code.put_off
            graph = self._graph([rip], fetch, MOST_OPS_SHARED if large else MOST_OPS, targets, held)
            if not graph.entries or graph.blocks[rip].end == "retry" and not graph.blocks[rip].ops:
                continue
            if self.options.switches and any(_has_choice(block, graph.whole, rip) for block in graph.blocks.values()):
                graph = self._shared(code, rip, fetch, targets, held) or graph
            at_entry.update(dict.fromkeys(graph.entries, graph))
            code.inside.update(dict.fromkeys((start for start in graph.order if start == address_of(start)), graph.entries[0]))
        graphs = {id(graph): graph for graph in at_entry.values()}.values()
        return [graph for graph in graphs if all(at_entry[rip] is graph for rip in graph.entries)], put_off

    def _targets(self, space, block, blocks) -> list[int]:
        """Where an indirect jump has led, of what its table has; the most frequent first."""
        left = {}                                       # arrivals until it is hot
        def held(register): return int.from_bytes(space.peek(register, 8), "little")
        table = block.table = tables.find(block, blocks, partial(_read_there, space), held) if _has_choice(block) else None
        for rip in dict.fromkeys(table.places) if table else ():
            record = space.find(rip)
            if record:
                count, = struct.unpack("<I", space.peek(record + R_COUNT, 4))
                left[rip] = count
        return sorted(left, key=left.get)[:MOST_ENTRIES]

    def _graph(self, entries, fetch, most_ops, targets, held) -> Graph:
        options = self.options
        return Graph(entries, fetch, most_ops, options.structured, targets, options.nests, options.inline, held, options.arms)

    def _shared(self, code, rip, fetch, targets, held) -> Graph | None:
        """One region for all the entries near rip that indirect jumps may lead to, if it is time to make it anew."""
        watched = (other for other, reports in code.watched.items() if reports and other not in code.entries)
        near = [other for other in chain(code.entries, watched) if abs(other - rip) < NEAR and other not in code.not_jumped_to]
        fresh = [other for other in near if other not in code.entries or other in code.jumping]
        if len(near) < 2 or len(fresh) * 3 < len(near):
            code.jumping.add(rip)
            return None
        code.jumping.difference_update(near)
        return self._graph(sorted({rip, *near})[:MOST_ENTRIES], fetch, MOST_OPS_SHARED, targets, held)

    def module(self, graphs, read, floats: str = LOOSE) -> tuple[bytes, list[Compiled]]:
        """The module of the regions of some graphs. `read(first, last)`: the guest's bytes. `floats`: see Region."""
        m = Module()
        m.import_memory("env", "memory", at.BIAS // 65536 + 16, 65536)
        every = [op.insn.effects for graph in graphs for block in graph.blocks.values() if block.summary.special for op in block.ops]
        routines = dict.fromkeys(name for effects in every for name in effects.routines)
        float_ops = dict.fromkeys(name for effects in every for name in effects.float_ops if not floats.startswith(LOOSE) or name in CALLED)
        m.import_table("env", "table")
        imports = Imports(type=m.type(PARAMETERS, RESULTS),
                          enter=m.import_function("env", "enter", PARAMETERS, RESULTS),
                          resume=m.import_function("env", "resume", "i32 i32 i32 i64", "i32"),
                          syscall_out=m.import_function("env", "syscall_out", "i32", "i32"),
                          escape_out=m.import_function("env", "escape_out", "i32", "i32"),
                          flags=m.import_function("env", "flags", "", "i32"),
                          divide=m.import_function("env", "divide", "i64 i64 i64", "i64"),
                          x87=m.import_function("env", "x87", "i32 i64 i64", "i32"),
                          routines={name: m.import_function("env", name, " ".join(ROUTINES[name].parameters), ROUTINES[name].result)
                                    for name in routines},
                          float_ops={name: m.import_function("env", name, *SIGNATURES[name]) for name in float_ops},
                          unfit=m.import_function("env", "unfit", "i32", "i32"))
        functions, exported = {}, 0
        for graph in graphs:
            index = m.declare(f"region {graph.entries[0]:x}", PARAMETERS, RESULTS)
            for rip in graph.entries:
                functions[rip] = index
                m.export(str(exported), index)
                exported += 1
        regions, templates = [], self._templates[self.options, floats]
        for graph in graphs:
            some = has_floats(graph)
            hard = m.declare(f"region {graph.entries[0]:x}, hard", PARAMETERS, RESULTS) if some and floats == EASY else 0
            region = Region(graph, imports, functions, self.options, templates, floats, hard)
            body = region.code()
            if self.trace is not None:
                self.trace(region, body, read)
            m.define(functions[graph.entries[0]], region.locals, body)
            if hard:
                other = Region(graph, imports, functions, self.options, self._templates[self.options, HARD], HARD)
                body = other.code()
                m.define(hard, other.locals, body)
            ranges = [(first, read(first, last)) for first, last in _ranges(graph)]
            size = sum(len(block.ops) for block in graph.blocks.values())
            regions.append(Compiled(graph.entries, ranges, region.called - set(graph.entries), size,
                                    floats if some else NONE))
        return m.encode(), regions


def _pieces(ranges: list[tuple[int, bytes]]):
    """Ranges of code, none of them long."""
    for first, code in ranges:
        for k in range(0, len(code), MOST_BYTES_AT_ONCE):
            yield first + k, code[k:k + MOST_BYTES_AT_ONCE]


def _read_there(space, address: int, n: int) -> bytes:
    """As much of that memory as there is."""
    first, last = address >> 12, address + n - 1 >> 12
    for k, permission in enumerate(space.peek(at.PERMISSIONS + first, last - first + 1)):
        if not permission & at.READ:
            n = max((first + k << 12) - address, 0)
            break
    return space.read(address, n) if n else b""


def _pointer_at(space, address: int) -> int | None:
    there = _read_there(space, address, 8) if 0 < address < (1 << 32) - 8 else b""
    return int.from_bytes(there, "little") if len(there) == 8 else None


def _has_choice(block, whole: bool = False, entry: int = 0) -> bool:
    """Whether a block ends with a jump to one of several places, as a switch does: off a register, or a table. In a region that is `whole`
    those that lead to their arms themselves don't count, unless the region begins at an arm: there may be others such."""
    if block.end == "table" and whole and entry not in block.table.places:
        return False
    return block.end in ("jump_indirect", "table") and (block.ops[-1].insn.index < at.ZERO or block.ops[-1].insn.shape.kinds == ("r",))


def _ranges(graph) -> list[tuple[int, int]]:
    """The bytes (first, last) of the code that a region was made from, those close together as one."""
    merged: list[list[int]] = []
    for first, last in sorted((block.rip, block.last) for block in chain(graph.blocks.values(), graph.looked.values()) if block.start != SWITCH):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return [(first, last) for first, last in merged]
