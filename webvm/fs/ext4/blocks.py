"""Which blocks of the device hold which blocks of a file: extent trees and the older indirect block maps.

A *piece* is (block, count): `count` file blocks in a row that are device blocks `block`, block + 1, ...,
or read as zeros when `block` is NOWHERE: a hole, or an unwritten extent.
"""

from bisect import bisect_right
from struct import unpack, unpack_from
from typing import NamedTuple

from .checksum import crc32c
from .layout import (
    EXT4_EXT_MAGIC, EXT4_MAX_EXTENT_DEPTH, EXT_INIT_MAX_LEN, EXTENT, EXTENT_HEADER, EXTENT_IDX)

NOWHERE = 0                         # block 0 holds the boot block or the superblock, never a file's data
END = 1 << 32                       # logical block numbers have 32 bits
BEYOND = [(NOWHERE, 1 << 64)]       # the pieces of what no map reaches, whatever i_size says
NDIR_BLOCKS = 12


class BlockMap:
    """What both kinds offer. A subclass answers `pieces`."""

    def __init__(self, volume, ino: int):
        self.volume = volume
        self.ino = ino

    async def pieces(self, first: int, end: int) -> list[tuple[int, int]]:
        """Pieces in a row from file block `first`; at least one, perhaps past `end`, perhaps not all up to there."""
        raise NotImplementedError

    async def runs(self, first: int, end: int) -> list[tuple[int, int]]:
        """The pieces of file blocks first to end - 1 exactly, neighbours merged."""
        runs = []
        last_block = last_count = 0
        while first < end:
            for block, count in await self.pieces(first, end):
                count = min(count, end - first)
                first += count
                if last_count and block == (last_block and last_block + last_count):
                    last_count += count
                    continue
                if last_count:
                    runs.append((last_block, last_count))
                last_block, last_count = block, count
                if first >= end:
                    break
        runs.append((last_block, last_count))
        return runs


class ExtentNode(NamedTuple):
    depth: int
    starts: list[int]               # the first file block of each entry
    targets: list[int]              # depth > 0: the block of the child; depth 0: the device block, or NOWHERE
    counts: list[int]               # depth 0 only


class ExtentTree(BlockMap):
    """Extents of any depth. Every node is checked before use: a child is one level less deep than its parent and stays
    inside the parent's range, so no tree can lead in a circle."""

    def __init__(self, volume, ino: int, seed: int, i_block: bytes):
        super().__init__(volume, ino)
        self.seed = seed
        self.root = self._parse(i_block, None, 0, END)

    def _corrupt(self, text: str):
        return self.volume.corrupt(f"inode {self.ino}: {text}")

    def _parse(self, data: bytes, depth: int | None, low: int, high: int) -> ExtentNode:
        magic, entries, most, node_depth, _ = EXTENT_HEADER.unpack_from(data)
        if magic != EXT4_EXT_MAGIC:
            raise self._corrupt(f"no extent node (magic number {magic:#x})")
        if node_depth != depth if depth is not None else node_depth > EXT4_MAX_EXTENT_DEPTH:
            raise self._corrupt(f"an extent node has depth {node_depth}")
        if entries > most or most > len(data) // 12 - 1 or not entries and node_depth:
            raise self._corrupt(f"an extent node has {entries} entries of {most}")
        starts, targets, counts = [], [], []
        check_range = self.volume.check_range
        body = data[12:12 + 12 * entries]
        if node_depth:
            for start, block_lo, block_hi, _ in EXTENT_IDX.iter_unpack(body):
                if not low <= start < high:
                    raise self._corrupt(f"extent index entries are out of order at file block {start}")
                low = start + 1
                block = block_lo | block_hi << 32
                check_range(block, 1, f"extent index of inode {self.ino}")
                starts.append(start)
                targets.append(block)
        else:
            for start, count, block_hi, block_lo in EXTENT.iter_unpack(body):
                block = block_lo | block_hi << 32
                written = count <= EXT_INIT_MAX_LEN
                if not written:
                    count -= EXT_INIT_MAX_LEN
                if not count or not low <= start <= high - count:
                    raise self._corrupt(f"extents overlap or are out of order at file block {start}")
                low = start + count
                check_range(block, count, f"extent of inode {self.ino}")
                starts.append(start)
                targets.append(block if written else NOWHERE)
                counts.append(count)
        return ExtentNode(node_depth, starts, targets, counts)

    async def _child(self, block: int, depth: int, low: int, high: int) -> ExtentNode:
        key = self.ino, block, low
        node = self.volume.nodes.get(key)
        if node is None or node.depth != depth:
            data = await self.volume.block(block)
            if self.volume.metadata_csum:
                self._check(data, block)
            node = self.volume.nodes.put(key, self._parse(data, depth, low, high))
        return node

    def _check(self, data: bytes, block: int) -> None:
        tail = 12 + 12 * unpack_from("<H", data, 4)[0]      # eh_max entries, then struct ext4_extent_tail
        if tail + 4 > len(data):
            raise self._corrupt(f"the extent node in block {block} has no room for its checksum")
        stored, = unpack_from("<I", data, tail)
        computed = crc32c(self.seed, data[:tail])
        if stored != computed:
            raise self._corrupt(f"the extent node in block {block} has checksum {stored:#x}, should be {computed:#x}")

    async def pieces(self, first: int, end: int) -> list[tuple[int, int]]:
        if first >= END:
            return BEYOND
        node, low, high = self.root, 0, END
        while node.depth:
            starts = node.starts
            at = bisect_right(starts, first) - 1
            if at < 0:
                return [(NOWHERE, starts[0] - first)]
            low = starts[at]
            if at + 1 < len(starts):
                high = starts[at + 1]
            node = await self._child(node.targets[at], node.depth - 1, low, high)
        _, starts, targets, counts = node
        at = max(bisect_right(starts, first) - 1, 0)
        found = []
        for start, target, count in zip(starts[at:], targets[at:], counts[at:]):
            if first >= end:
                return found
            if first < start:
                found.append((NOWHERE, start - first))
                first = start
            skip = first - start
            if skip < count:
                found.append((target and target + skip, count - skip))
                first = start + count
        if first < end and first < high:
            found.append((NOWHERE, high - first))
        return found


class IndirectMap(BlockMap):
    """Twelve block numbers, then a block of block numbers, a block of those, and a block of those."""

    def __init__(self, volume, ino: int, i_block: bytes):
        super().__init__(volume, ino)
        self.root = unpack("<15I", i_block)
        self.per_block = volume.block_size // 4

    async def _pointers(self, block: int) -> tuple[int, ...]:
        key = self.ino, block
        pointers = self.volume.nodes.get(key)
        if pointers is None:
            self.volume.check_range(block, 1, f"indirect block of inode {self.ino}")
            pointers = unpack(f"<{self.per_block}I", await self.volume.block(block))
            self.volume.nodes.put(key, pointers)
        return pointers

    async def pieces(self, first: int, end: int) -> list[tuple[int, int]]:
        wanted = end - first
        if first < NDIR_BLOCKS:
            return self._group(self.root[first:NDIR_BLOCKS], wanted)
        rest, span = first - NDIR_BLOCKS, self.per_block
        for root in self.root[NDIR_BLOCKS:]:
            if rest < span:
                break
            rest -= span
            span *= self.per_block
        else:
            return BEYOND
        block = root
        while span > 1:
            if not block:
                return [(NOWHERE, span - rest)]
            pointers = await self._pointers(block)
            span //= self.per_block
            at, rest = divmod(rest, span)
            block = pointers[at]
        return self._group(pointers[at:at + wanted], wanted)

    def _group(self, pointers: tuple[int, ...], wanted: int) -> list[tuple[int, int]]:
        """Neighbouring block numbers put together."""
        found = []
        first, count = pointers[0], 0
        for block in pointers[:wanted]:
            if block == (first and first + count):
                count += 1
                continue
            found.append((first, count))
            first, count = block, 1
        found.append((first, count))
        for block, count in found:
            if block:
                self.volume.check_range(block, count, f"data of inode {self.ino}")
        return found
