"""Replaying the journal of an image that was not unmounted cleanly (Documentation/filesystems/ext4/journal.rst, fs/jbd2).

Nothing is written: the committed blocks lie over the device like a glass. jbd2 is big-endian.
"""

from struct import Struct, unpack_from
from typing import NamedTuple

from .checksum import crc32c
from .errors import BadImage

JBD2_MAGIC_NUMBER = 0xC03B3998
DESCRIPTOR_BLOCK, COMMIT_BLOCK, SUPERBLOCK_V2, REVOKE_BLOCK = 1, 2, 4, 5

HEADER = Struct(">III")                 # h_magic, h_blocktype, h_sequence
SUPERBLOCK = Struct(">12xIIIIIIIII16s") # s_blocksize, s_maxlen, s_first, s_sequence, s_start, s_errno, features, s_uuid
TAG = Struct(">IHH")                    # t_blocknr, t_checksum, t_flags
TAG3 = Struct(">IIII")                  # t_blocknr, t_flags, t_blocknr_high, t_checksum
SUPERBLOCK_CHECKSUM = 0xFC
COMMIT_CHECKSUM = 16

INCOMPAT_REVOKE, INCOMPAT_64BIT, INCOMPAT_ASYNC_COMMIT = 0x1, 0x2, 0x4
INCOMPAT_CSUM_V2, INCOMPAT_CSUM_V3, INCOMPAT_FAST_COMMIT = 0x8, 0x10, 0x20
INCOMPAT_SUPPORTED = INCOMPAT_REVOKE | INCOMPAT_64BIT | INCOMPAT_ASYNC_COMMIT | INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3

FLAG_ESCAPE, FLAG_SAME_UUID, FLAG_LAST_TAG = 1, 2, 8


class Logged(NamedTuple):
    """A block of the file system as a transaction left it."""

    number: int
    at: int                             # block of the journal
    escaped: bool                       # its first word was the journal's magic number, which stands there as 0
    checksum: int


class ReplayedDevice:
    """A device with some of its blocks replaced."""

    def __init__(self, device, block_size: int, blocks: dict[int, bytes]):
        self.device = device
        self.size = device.size
        self.block_size = block_size
        self.blocks = blocks

    async def read(self, offset: int, length: int) -> bytes:
        size = self.block_size
        touched = range(offset // size, -(-(offset + length) // size))
        data = await self.device.read(offset, length)
        if self.blocks.keys().isdisjoint(touched):
            return data
        data = bytearray(data)
        for number in touched:
            block = self.blocks.get(number)
            if block is not None:
                start = number * size - offset
                skip = max(0, -start)
                piece = block[skip:length - start]
                data[start + skip:start + skip + len(piece)] = piece
        return bytes(data)


class Journal:
    """`read(at)`: a block of the journal. Made by `open`."""

    def __init__(self, read, block_size: int, raw: bytes, length: int):
        magic, kind, _ = HEADER.unpack_from(raw)
        (self.blocksize, self.maxlen, self.first, self.sequence, self.start, _, _, self.incompat, _,
         uuid) = SUPERBLOCK.unpack_from(raw)
        if magic != JBD2_MAGIC_NUMBER or kind != SUPERBLOCK_V2:
            raise _damaged("it has no superblock")
        if self.incompat & ~INCOMPAT_SUPPORTED:
            raise BadImage(
                f"the ext4 image was not unmounted cleanly and its journal has features {self.incompat & ~INCOMPAT_SUPPORTED:#x}; "
                "run e2fsck on it")
        self.read = read
        self.tags3 = bool(self.incompat & INCOMPAT_CSUM_V3)
        self.checksums = bool(self.incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3))
        self.seed = crc32c(0xFFFFFFFF, uuid)
        if self.checksums:
            stored, = unpack_from(">I", raw, SUPERBLOCK_CHECKSUM)
            if crc32c(0xFFFFFFFF, raw[:SUPERBLOCK_CHECKSUM] + bytes(4) + raw[SUPERBLOCK_CHECKSUM + 4:1024]) != stored:
                raise _damaged("its superblock's checksum is wrong")
        if self.blocksize != block_size or not 0 < self.first < self.maxlen <= length or self.start >= self.maxlen:
            raise _damaged(f"its superblock says {self.maxlen} blocks of {self.blocksize}")

    async def replay(self) -> dict[int, bytes]:
        """The blocks that committed transactions wrote, as the last of them left each."""
        if self.start == 0:
            return {}
        logged: list[tuple[int, list[Logged]]] = []         # of committed transactions, by order in the transaction
        revoked: dict[int, int] = {}                        # block: which transaction said last that it is not to be replayed
        position, order, budget = self.start, 0, self.maxlen
        tags, revokes = [], []
        while budget > 0:
            block = await self.read(position)
            magic, kind, sequence = HEADER.unpack_from(block)
            if magic != JBD2_MAGIC_NUMBER or sequence != self.sequence + order & 0xFFFFFFFF:
                break
            position, budget = self._after(position), budget - 1
            if kind == DESCRIPTOR_BLOCK and self._tail_is_right(block):
                for tag in self._tags(block):
                    tags.append(tag._replace(at=position))
                    position, budget = self._after(position), budget - 1
            elif kind == REVOKE_BLOCK and self._tail_is_right(block):
                revokes += self._revoked(block)
            elif kind == COMMIT_BLOCK and self._commit_is_right(block):
                logged.append((order, tags))
                revoked.update(dict.fromkeys(revokes, order))
                order, tags, revokes = order + 1, [], []
            else:
                break
        found = {}
        for order, tags in logged:
            for tag in tags:
                if revoked.get(tag.number, -1) < order:
                    found[tag.number] = await self._content(tag, order)
                # A block revoked by a later transaction is left as the device has it: it may hold a file's data by now.
                else:
                    found.pop(tag.number, None)
        return found

    def _after(self, position: int) -> int:
        return position + 1 if position + 1 < self.maxlen else self.first

    def _tags(self, block: bytes):
        position, end = HEADER.size, len(block) - 4 * self.checksums
        wide = self.incompat & INCOMPAT_64BIT
        # The size of a tag without CSUM_V3 is a known slip: with CSUM_V2 it counts its checksum twice.
        size = TAG3.size if self.tags3 else (12 if wide else 8) + 2 * self.checksums
        while position + size <= end:
            if self.tags3:
                number, flags, high, checksum = TAG3.unpack_from(block, position)
            else:
                number, checksum, flags = TAG.unpack_from(block, position)
                high = unpack_from(">I", block, position + 8)[0] if wide else 0
            yield Logged(number | (high << 32 if wide else 0), 0, bool(flags & FLAG_ESCAPE), checksum)
            if flags & FLAG_LAST_TAG:
                return
            position += size + (0 if flags & FLAG_SAME_UUID else 16)

    def _revoked(self, block: bytes) -> tuple[int, ...]:
        used, = unpack_from(">I", block, HEADER.size)
        start = HEADER.size + 4
        code, size = ("Q", 8) if self.incompat & INCOMPAT_64BIT else ("I", 4)
        if not start <= used <= len(block):
            raise _damaged(f"a revoke block of {used} bytes")
        return unpack_from(f">{(used - start) // size}{code}", block, start)

    def _tail_is_right(self, block: bytes) -> bool:
        return not self.checksums or crc32c(self.seed, block[:-4] + bytes(4)) == unpack_from(">I", block, len(block) - 4)[0]

    def _commit_is_right(self, block: bytes) -> bool:
        bare = block[:COMMIT_CHECKSUM] + bytes(4) + block[COMMIT_CHECKSUM + 4:]
        return not self.checksums or crc32c(self.seed, bare) == unpack_from(">I", block, COMMIT_CHECKSUM)[0]

    async def _content(self, tag: Logged, order: int) -> bytes:
        data = await self.read(tag.at)
        if self.checksums:
            sequence = (self.sequence + order & 0xFFFFFFFF).to_bytes(4, "big")
            if crc32c(crc32c(self.seed, sequence), data) & (0xFFFFFFFF if self.tags3 else 0xFFFF) != tag.checksum:
                raise _damaged(f"the copy of block {tag.number} has a wrong checksum")
        return JBD2_MAGIC_NUMBER.to_bytes(4, "big") + data[4:] if tag.escaped else data


def _damaged(what: str) -> BadImage:
    return BadImage(f"the ext4 image was not unmounted cleanly and its journal is damaged ({what}); run e2fsck on it")


async def replayed(device, block_size: int, inode) -> ReplayedDevice:
    """The device as its journal, which is in `inode`, leaves it. Raises BadImage."""
    async def read(at: int) -> bytes:
        return await inode.read(at * block_size, block_size)

    length = inode.size // block_size
    if not length:
        raise _damaged("it is empty")
    blocks = await Journal(read, block_size, await read(0), length).replay()
    return ReplayedDevice(device, block_size, blocks)
