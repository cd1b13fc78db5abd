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
from typing import Protocol

from . import build
from . import layout as at
from .early import expect
from .region import Options
from .regions import Compiled

LIMIT = 64 << 20                # bytes in a store, versions of other emitters and compiled modules included
FEWER = 0.75                    # of them are left when the oldest go
CHECKED = 16                    # bytes of a region's beginning that the index knows at most; a power of two
SEAL = 16
LENGTHS = struct.Struct("<II")  # of an entry's head and of its code; or of an index's names and of its regions


class Store(Protocol):
    """Files by name. Any method may raise OSError."""

    at_once: bool               # whether no method ever waits, so that it can be used where nobody can

    async def read(self, name: str) -> bytes | None: ...
    async def write(self, name: str, data: bytes) -> None: ...
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


class CodeCache:
    """What a store has for one version, as the regions of one machine are looked up in it and added to it."""

    def __init__(self, store: Store, version: bytes, limit: int = LIMIT):
        self.added = asyncio.Event()                    # there is something to flush
        self.loaded = self.kept = 0                     # entries taken from the store, and put there
        self.on_open: Callable[[bytes], None] = lambda expected: None
        self._store, self._key, self._limit = store, version, limit
        self._prefix = version[:4].hex() + "-"
        self._index = Index()
        self._new: list[tuple[list[Compiled], bytes]] = []      # regions and Wasm, to be written
        self._fetched: dict[str, bytes | None] = {}     # entries asked for and not given out; None: on its way
        self._given: set[str] = set()                   # entries that need not be looked at again
        self._used: set[str] = set()                    # since the store was last told
        self._tasks: set[asyncio.Task] = set()
        self._broken = False

    # ---- what is there

    def open(self) -> None:
        """Read the index: now, or where the store makes us wait, beside what goes on."""
        self._begin(self._open())

    async def _open(self) -> None:
        try:
            data = await self._store.read(self._prefix + "index")
        except OSError:
            self._broken = True
            return
        if (index := self._unseal("index", data)) is not None:
            self._index = Index.decode(index)
            self.on_open(self._index.expected)

    def lookup(self, rip: int, read: Callable[[int, int], bytes]) -> Iterator[tuple[list[Compiled], bytes]]:
        """The entries that may have a region for the code at rip, as regions and Wasm; each is given out once.

        `read(address, length)`: the guest's bytes. What is not here yet is fetched for the next time, see `coming`.
        """
        for name in self._candidates(rip, read):
            if name not in self._fetched:
                self._fetched[name] = None
                self._begin(self._fetch(name))
            if self._fetched[name] is not None:
                self._given.add(name)
                entry = self._unseal(name, self._fetched.pop(name))
                if entry is not None:
                    self._used.add(name)
                    self.loaded += 1
                    yield unpack(entry)

    def coming(self, rip: int, read: Callable[[int, int], bytes]) -> bool:
        """Whether an entry for the code at rip is on its way."""
        return any(name in self._fetched for name in self._candidates(rip, read))

    def _candidates(self, rip: int, read) -> list[str]:
        return [name for name, check in self._index.find(rip)
                if name not in self._given and check == _checksum(read(rip, check % CHECKED + 1))]

    async def _fetch(self, name: str) -> None:
        try:
            data = await self._store.read(name)
        except OSError:
            data = None
        self._fetched[name] = data or b""

    def _begin(self, work: Coroutine) -> None:
        if self._store.at_once:
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
        rows = {}
        for regions, wasm in new:
            entry = pack(regions, wasm)
            name = self._prefix + blake2b(entry, digest_size=16).hexdigest()
            await self._store.write(name, self._seal(name, entry))
            self._given.add(name)
            rows[name] = _rows(regions)
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
        known = self._index.rows() | rows
        rows = {}
        for name in names:
            if name in known:
                rows[name] = known[name]
            elif name.startswith(self._prefix) and name != self._prefix + "index":
                entry = self._unseal(name, await self._store.read(name))
                if entry is None:
                    await self._store.remove([name])
                else:
                    rows[name] = _rows(unpack(entry)[0])
        self._index = Index.of(rows)
        await self._store.write(self._prefix + "index", self._seal("index", self._index.encode()))

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
