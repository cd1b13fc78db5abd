"""Regions kept between runs: entries in a store, found by address, used where the guest has the very bytes they are made from.

An entry is a batch of regions with its Wasm. It is sealed under the version of what emitted it, so whatever is damaged,
foreign or out of date counts as not there. The index tells, without a look at the entries, which of them has a region at
an address, and what its first bytes are; it is made from the entries, and made anew when it is missing.

Knows files by name only: the store may be a folder (webvm.jit.folder) or the browser's. A store that fails is gone without.
"""
import asyncio
import json
import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import astuple
from hashlib import blake2b
from time import monotonic
from typing import Protocol

from . import build
from . import layout as at
from .early import expect
from .options import Options
from .regions import Compiled

LIMIT = 64 << 20                # bytes in a store, versions of other emitters and compiled modules included
FEWER = 0.75                    # of them are left when the oldest go
CHECKED = 16                    # bytes of a region's beginning that the index knows at most; a power of two
SEAL = 16
WAIT = 2.0                      # seconds in which an entry should come; after that its regions are made anew
LENGTHS = struct.Struct("<II")  # of an entry's head and of its code; or of an index's names and of its regions


class Source(Protocol):
    """Files by name, to be read. Any method may raise OSError."""

    at_once: bool               # whether no method ever waits, so that it can be used where nobody can

    async def read(self, names: list[str]) -> dict[str, bytes]:
        """Those of them that there are."""


class Store(Source, Protocol):
    async def write(self, files: dict[str, bytes]) -> None: ...
    async def remove(self, names: list[str]) -> None: ...

    async def used(self, names: list[str]) -> None:
        """Count them as used now."""

    async def listing(self) -> list[tuple[float, int, str]]:
        """When each was last used, its size and its name."""


def version(features: Iterable[str], options: Options, *more) -> bytes:
    """Of everything that an entry depends on but guest code."""
    return blake2b(repr((build.source_hash(), sorted(features), astuple(options), sys.byteorder, more)).encode(), digest_size=32).digest()


def pack(regions: list[Compiled], wasm: bytes) -> bytes:
    head = json.dumps([[region.entries, region.instructions, sorted(region.calls), [[first, len(code)] for first, code in region.ranges],
                        region.floats]
                       for region in regions]).encode()
    code = b"".join(code for region in regions for _, code in region.ranges)
    return b"".join([LENGTHS.pack(len(head), len(code)), head, code, wasm])


def unpack(entry: bytes) -> tuple[list[Compiled], bytes]:
    """What `pack` was given."""
    head, code = LENGTHS.unpack_from(entry)
    where = LENGTHS.size + head
    regions = []
    for entries, instructions, calls, lengths, floats in json.loads(entry[LENGTHS.size:where]):
        ranges = []
        for first, length in lengths:
            ranges.append((first, entry[where:where + length]))
            where += length
        regions.append(Compiled(entries, ranges, set(calls), instructions, floats))
    return regions, entry[LENGTHS.size + head + code:]


def _check(region: Compiled, entry: int) -> int:
    """The CRC of the first bytes at an entry, with how many they are in its lowest bits."""
    for first, code in region.ranges:
        if first <= entry < first + len(code):
            return _checksum(code[entry - first:entry - first + CHECKED])
    raise AssertionError("a region has the code at its entries")


def _checksum(code: bytes) -> int: return zlib.crc32(code) & -CHECKED | len(code) - 1


class Index:
    """Which entries have a region at an address."""

    def __init__(self):
        self.names: list[str] = []                      # of entries
        self.rips, self.checks, self.entries = array("I"), array("I"), array("I")   # in the order of rips; entries: into names
        self.expected = bytearray(at.EXPECTED_BYTES)

    def find(self, rip: int) -> Iterator[tuple[str, int]]:
        """(entry, check) of each region there."""
        k = bisect_left(self.rips, rip)
        while k < len(self.rips) and self.rips[k] == rip:
            yield self.names[self.entries[k]], self.checks[k]
            k += 1

    def rows(self) -> dict[str, list[tuple[int, int]]]:
        """(rip, check) of the regions of each name."""
        rows = {name: [] for name in self.names}
        for rip, check, entry in zip(self.rips, self.checks, self.entries):
            rows[self.names[entry]].append((rip, check))
        return rows

    @classmethod
    def of(cls, rows: dict[str, list[tuple[int, int]]]) -> "Index":
        self = cls()
        self.names = sorted(rows)
        every = sorted((rip, check, k) for k, name in enumerate(self.names) for rip, check in rows[name])
        for column, values in zip((self.rips, self.checks, self.entries), zip(*every)):
            column.extend(values)
        expect(self.expected, self.rips)
        return self

    def encode(self) -> bytes:
        names = json.dumps(self.names).encode()
        columns = [column.tobytes() for column in (self.rips, self.checks, self.entries)]
        return b"".join([LENGTHS.pack(len(names), len(self.rips)), names, *columns, self.expected])

    @classmethod
    def decode(cls, data: bytes) -> "Index":
        self = cls()
        length, regions = LENGTHS.unpack_from(data)
        where = LENGTHS.size + length
        self.names = json.loads(data[LENGTHS.size:where])
        for column in (self.rips, self.checks, self.entries):
            column.frombytes(data[where:where + 4 * regions])
            where += 4 * regions
        self.expected = bytearray(data[where:])
        return self


class _Shelf:
    """A source, and what is known of it."""

    def __init__(self, source: Source):
        self.source, self.index = source, Index()
        self.asked: list[str] = []                      # entries to be read with the next


class CodeCache:
    """What a store has for one version, as the regions of one machine are looked up in it and added to it; and what a
    source beside it has (`shipped`), to which nothing is added."""

    def __init__(self, store: Store, version: bytes, limit: int = LIMIT, shipped: Source | None = None):
        self.added = asyncio.Event()                    # there is something to flush
        self.loaded = self.kept = 0                     # entries taken from the store, and put there
        self.shipped = 0                                # entries taken from the source beside it
        self.on_open: Callable[[bytes], None] = lambda expected: None
        self.on_arrival: Callable[[list[Compiled], bytes], None] | None = None
        self._store, self._key, self._limit = store, version, limit
        self._prefix = version[:4].hex() + "-"
        self._own = _Shelf(store)
        self._shelves = [self._own] + ([_Shelf(shipped)] if shipped else [])
        self._new: list[tuple[list[Compiled], bytes]] = []      # regions and Wasm, to be written
        self._coming: dict[str, float] = {}             # entries asked for and not here, and until when they are waited for
        self._fetched: dict[str, bytes] = {}            # here, and not given out
        self._given: set[str] = set()                   # entries that need not be looked at again
        self._used: set[str] = set()                    # since the store was last told
        self._tasks: set[asyncio.Task] = set()
        self._broken = False

    # ---- what is there

    def open(self) -> None:
        """Read the index: now, or where a source makes us wait, beside what goes on."""
        for shelf in self._shelves:
            self._begin(shelf, self._open(shelf))

    async def opened(self, seconds: float) -> None:
        """Wait so long for the index at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _open(self, shelf: _Shelf) -> None:
        name = self._prefix + "index"
        try:
            files = await shelf.source.read([name])
        except OSError:
            self._broken = self._broken or shelf is self._own
            return
        if (index := self._unseal("index", files.get(name))) is not None:
            shelf.index = Index.decode(index)
            self.on_open(shelf.index.expected)

    def lookup(self, rip: int, read: Callable[[int, int], bytes]) -> Iterator[tuple[list[Compiled], bytes]]:
        """The entries that may have a region for the code at rip, as regions and Wasm; each is given out once.

        `read(address, length)`: the guest's bytes. What is not here yet is asked for, see `coming` and `on_arrival`.
        """
        for shelf, name in self._candidates(rip, read):
            if name not in self._fetched and name not in self._coming:
                self._coming[name] = monotonic() + WAIT
                shelf.asked.append(name)
                if len(shelf.asked) == 1:
                    self._begin(shelf, self._fetch(shelf))
            if name in self._fetched and (entry := self._take(shelf, name)):
                yield entry

    def coming(self, rip: int, read: Callable[[int, int], bytes]) -> bool:
        """Whether an entry for the code at rip is on its way, and worth waiting for."""
        return bool(self._coming) and any(self._coming.get(name, 0) > monotonic() for _, name in self._candidates(rip, read))

    def _candidates(self, rip: int, read) -> list[tuple[_Shelf, str]]:
        return [(shelf, name) for shelf in self._shelves for name, check in shelf.index.find(rip)
                if name not in self._given and check == _checksum(read(rip, check % CHECKED + 1))]

    async def _fetch(self, shelf: _Shelf) -> None:
        """Read all that has been asked for by the time that this runs."""
        asked, shelf.asked = shelf.asked, []
        try:
            found = await shelf.source.read(asked)
        except OSError:
            found = {}
        for name in asked:
            del self._coming[name]
            self._fetched[name] = found.get(name, b"")
            if self.on_arrival and not shelf.source.at_once and (entry := self._take(shelf, name)):
                self.on_arrival(*entry)

    def _take(self, shelf: _Shelf, name: str) -> tuple[list[Compiled], bytes] | None:
        """An entry that is here, to be given out."""
        self._given.add(name)
        entry = self._unseal(name, self._fetched.pop(name))
        if entry is None:
            return None
        if shelf is self._own:
            self._used.add(name)
            self.loaded += 1
        else:
            self.shipped += 1
        return unpack(entry)

    def _begin(self, shelf: _Shelf, work: Coroutine) -> None:
        if shelf.source.at_once:
            finish(work)
        else:
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # ---- what is added

    def add(self, regions: list[Compiled], wasm: bytes) -> None:
        self._new.append((regions, wasm))
        self.added.set()

    async def flush(self) -> None:
        """Write what was added, tell the store what was used, and see to it that it does not grow for ever."""
        self.added.clear()
        new, self._new = self._new, []
        used, self._used = self._used, set()
        if self._broken or not (new or used):
            return
        try:
            if used:
                await self._store.used(sorted(used))
            if new:
                await self._write(new)
        except OSError:                                 # full, or not ours to write
            self._broken = True

    async def _write(self, new: list[tuple[list[Compiled], bytes]]) -> None:
        rows, files = {}, {}
        for regions, wasm in new:
            entry = pack(regions, wasm)
            name = self._prefix + blake2b(entry, digest_size=16).hexdigest()
            files[name] = self._seal(name, entry)
            rows[name] = _rows(regions)
        await self._store.write(files)
        self._given.update(files)
        listing = sorted(await self._store.listing())
        total = sum(size for _, size, _ in listing)
        if total > self._limit:
            going = []
            while listing and total > FEWER * self._limit:
                _, size, name = listing.pop(0)
                going.append(name)
                total -= size
            await self._store.remove(going)
        await self._write_index(rows, [name for *_, name in listing])
        self.kept += len(rows)

    async def _write_index(self, rows, names: list[str]) -> None:
        """Of the entries that are in the store by now: others may have written there, and removed too."""
        known = self._own.index.rows() | rows
        index = self._prefix + "index"
        others = [name for name in names if name not in known and name.startswith(self._prefix) and name != index]
        rows, damaged = {name: known[name] for name in names if name in known}, []
        for name, data in (await self._store.read(others)).items() if others else ():
            if (entry := self._unseal(name, data)) is None:
                damaged.append(name)
            else:
                rows[name] = _rows(unpack(entry)[0])
        if damaged:
            await self._store.remove(damaged)
        self._own.index = Index.of(rows)
        await self._store.write({index: self._seal("index", self._own.index.encode())})

    # ---- seals

    def _digest(self, name: str, data: bytes) -> bytes:
        return blake2b(data, digest_size=SEAL, key=self._key, person=name.encode()[-16:]).digest()

    def _seal(self, name: str, data: bytes) -> bytes: return self._digest(name, data) + data

    def _unseal(self, name: str, data: bytes | None) -> bytes | None:
        if data is None or len(data) < SEAL or self._digest(name, data[SEAL:]) != data[:SEAL]:
            return None
        return data[SEAL:]


def _rows(regions: list[Compiled]) -> list[tuple[int, int]]:
    return [(entry, _check(region, entry)) for region in regions for entry in region.entries]


def finish(work: Coroutine) -> None:
    """Do what never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("a store that works at once has waited")
