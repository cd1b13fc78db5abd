"""Regions that a site brings with it, so that a first visit has them: entries of a code cache, in packs, under one index.

The files are as those of a cache (see webvm.jit.cache), sealed under the version, and each is compressed. Knows how they are
put together; who fetches a file, and from where, is for others to know. Nothing here is trusted: what was damaged on the
way, or made by another emitter, fails its seal.

    the index     CRC of the rest | LENGTHS | table | the cache's index, compressed      table: [[pack, [[entry, its bytes there], ...]], ...]
    a pack        its entries, compressed, one after another
"""
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from hashlib import blake2b

from .cache import LENGTHS

INDEX = "index"
CRC = struct.Struct("<I")
PACK = 384 << 10                # bytes in a pack, about: what is wanted together comes in one request
WHOLE = 12 << 20                # bytes shipped at most
HELD = 8 << 20                  # bytes of packs that are held for entries not asked for yet


class Memory:
    """A store that nothing survives, for entries on their way into packs."""

    at_once = True

    def __init__(self): self.files: dict[str, bytes] = {}

    async def read(self, names): return {name: self.files[name] for name in names if name in self.files}
    async def write(self, files): self.files.update(files)
    async def used(self, names): pass
    async def listing(self): return [(0.0, len(data), name) for name, data in self.files.items()]

    async def remove(self, names):
        for name in names:
            self.files.pop(name, None)


def ship(store: Memory, limit: int = WHOLE) -> dict[str, bytes]:
    """The files to be shipped of what was kept in the store, by name, INDEX among them. Of entries that are too much, the last
    are left out."""
    entries = {name: zlib.compress(data, 9) for name, data in store.files.items() if not name.endswith("-" + INDEX)}
    index = next((zlib.compress(data, 9) for name, data in store.files.items() if name.endswith("-" + INDEX)), b"")
    packs: list[list[str]] = [[]]
    room = left = 0
    for name, data in entries.items():
        left += len(data)
        if left > limit:
            break
        room += len(data)
        if room > PACK and packs[-1]:
            packs.append([])
            room = len(data)
        packs[-1].append(name)
    files, table = {}, []
    for names in filter(None, packs):
        pack = b"".join(entries[name] for name in names)
        title = blake2b(pack, digest_size=8).hexdigest()
        files[title] = pack
        table.append([title, [[name, len(entries[name])] for name in names]])
    text = json.dumps(table).encode()
    whole = LENGTHS.pack(len(text), len(index)) + text + index
    files[INDEX] = CRC.pack(zlib.crc32(whole)) + whole
    return files


class Shipped:
    """The source for a CodeCache, see webvm.jit.cache.Source."""

    at_once = False

    def __init__(self, fetch: Callable[[str], Awaitable[bytes]]):
        """fetch: the content of a file by its name; raises OSError."""
        self.bytes = 0                                  # fetched
        self._fetch = fetch
        self._place: dict[str, tuple[str, int, int]] = {}       # entry -> pack, where it lies in it
        self._packs: dict[str, bytes] = {}              # those held

    async def read(self, names: list[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            if name.endswith("-" + INDEX):
                data = await self._open()
            elif name in self._place:
                pack, first, end = self._place[name]
                data = (await self._pack(pack))[first:end]
            else:
                continue
            try:
                found[name] = zlib.decompress(data)
            except zlib.error:
                pass                                    # damaged: as good as not there
        return found

    async def _open(self) -> bytes:
        whole = await self._get(INDEX)
        data = whole[CRC.size:]
        try:
            if CRC.unpack_from(whole) != (zlib.crc32(data),):
                raise ValueError("its sum is wrong")
            text, length = LENGTHS.unpack_from(data)
            for pack, entries in json.loads(data[LENGTHS.size:LENGTHS.size + text]):
                first = 0
                for name, size in entries:
                    if not (isinstance(pack, str) and isinstance(name, str) and type(size) is int and size >= 0):
                        raise ValueError("its table is of other things")
                    self._place[name] = pack, first, first + size
                    first += size
        except (ValueError, TypeError, struct.error) as error:
            raise OSError(f"the index of shipped code is damaged: {error}") from None
        return data[LENGTHS.size + text:LENGTHS.size + text + length]

    async def _pack(self, name: str) -> bytes:
        if (pack := self._packs.get(name)) is None:
            pack = self._packs[name] = await self._get(name)
            while sum(map(len, self._packs.values())) > HELD:
                del self._packs[next(iter(self._packs))]        # the oldest; it is fetched again if need be
        return pack

    async def _get(self, name: str) -> bytes:
        data = await self._fetch(name)
        self.bytes += len(data)
        return data
