"""Directories: linear blocks of entries, inline directories, and the hash index laid over big ones (htree).

The index blocks look like empty blocks to whoever reads linearly, so listing never needs the index.
"""

import logging
from bisect import bisect_right
from struct import unpack_from
from typing import NamedTuple

from webvm.fs.vfs import Dirent
from webvm.linux.dirent import DT_BLK, DT_CHR, DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_SOCK, DT_UNKNOWN

from .blocks import NOWHERE
from .checksum import crc32c
from .dirhash import dirhash
from .layout import *

log = logging.getLogger("webvm.fs.ext4")

#          EXT4_FT_UNKNOWN, REG_FILE, DIR, CHRDEV, BLKDEV, FIFO, SOCK, SYMLINK
FILE_TYPES = DT_UNKNOWN, DT_REG, DT_DIR, DT_CHR, DT_BLK, DT_FIFO, DT_SOCK, DT_LNK
READ_AHEAD = 65536                  # bytes of a directory fetched at once when it is read linearly
INLINE_FIRST = 4                    # an inline directory starts with the number of its parent

Names = dict[bytes, tuple[int, int]]        # name: inode, DT_*; in the order of the directory


class _BadIndex(Exception):
    """The index cannot be used; the entries can still be read linearly."""


class IndexNode(NamedTuple):
    hashes: tuple[int, ...]         # the first hash of each block; the first one is 0
    blocks: tuple[int, ...]


class Directory:
    def __init__(self, volume, ino: int, size: int, flags: int, seed: int, blocks, inline: bytes | None):
        """`blocks`: its BlockMap, or None and `inline`: its content."""
        sb = volume.superblock
        self.volume = volume
        self.ino = ino
        self.seed = seed
        self.blocks = blocks
        self.inline = inline
        self.blocks_count = size // volume.block_size
        self.indexed = bool(flags & EXT4_INDEX_FL and sb.compat & COMPAT_DIR_INDEX)
        self.searchable = self.indexed and self.blocks_count > 1 and inline is None
        if size > sb.total_size:
            raise self._corrupt(f"the directory's size is {size}")
        if inline is None and size % volume.block_size:
            raise self._corrupt(f"the directory's size is {size}, which is not a number of blocks")

    def _corrupt(self, text: str):
        return self.volume.corrupt(f"inode {self.ino}: {text}")

    async def entries(self) -> list[Dirent]:
        """All but `.` and `..`."""
        return [
            Dirent(name, ino, type_)
            for first, end in self._spans()
            for table in await self._tables(first, end)
            for name, (ino, type_) in table.items()
            if name != b"." and name != b".."]

    async def find(self, name: bytes) -> int | None:
        """The inode number of a name."""
        if self.searchable:
            try:
                return await self._find_by_hash(name)
            except _BadIndex as reason:
                self.searchable = False
                log.warning("ext4: inode %d: %s; searching the whole directory", self.ino, reason)
        for first, end in self._spans():
            for table in await self._tables(first, end):
                if name in table:
                    return table[name][0]
        return None

    # Blocks of entries

    def _spans(self) -> list[tuple[int, int]]:
        """The blocks of the directory in pieces worth fetching at once."""
        if self.inline is not None:
            return [(0, 1)]
        step = max(1, READ_AHEAD // self.volume.block_size)
        return [(first, min(first + step, self.blocks_count)) for first in range(0, self.blocks_count, step)]

    async def _tables(self, first: int, end: int) -> list[Names]:
        """The parsed blocks first to end - 1; holes are left out."""
        if self.inline is not None:
            return [self._parse(self.inline[:60], INLINE_FIRST), self._parse(self.inline[60:], 0)]
        leaves, size = self.volume.leaves, self.volume.block_size
        found = [leaves.get((self.ino, at)) for at in range(first, end)]
        if None not in found:
            return found
        found, at = [], first
        for block, count in await self.blocks.runs(first, end):
            if block == NOWHERE:
                log.warning("ext4: inode %d: the directory has a hole at block %d", self.ino, at)
            else:
                data = await self.volume.device.read(block * size, count * size)
                for index in range(count):
                    table = self._leaf(data[index * size:index * size + size], at + index)
                    found.append(leaves.put((self.ino, at + index), table))
            at += count
        return found

    def _leaf(self, data: bytes, at: int) -> Names:
        if self.volume.metadata_csum:
            rec_len, = unpack_from("<H", data, 4)
            if self.indexed and (at == 0 or self._rec_len(rec_len) == len(data)):
                self._check_index(data, at)
            else:
                self._check_leaf(data, at)
        return self._parse(data, 0)

    def _rec_len(self, value: int) -> int:
        """ext4_rec_len_from_disk: 65536 does not fit the field, a smaller block's lengths do."""
        if self.volume.block_size < 65536:
            return value
        return 65536 if value in (0, 65535) else value & 65532 | (value & 3) << 16

    def _parse(self, data: bytes, position: int) -> Names:
        end = len(data)
        most = self.volume.superblock.s_inodes_count
        types = FILE_TYPES if self.volume.superblock.incompat & INCOMPAT_FILETYPE else (DT_UNKNOWN,)
        wide = end == 65536
        unpack = DIR_ENTRY.unpack_from
        table = {}
        while position < end:
            if end - position < 12:
                raise self._corrupt("a directory entry is too close to the end of its block")
            ino, rec_len, name_len, file_type = unpack(data, position)
            if wide:
                rec_len = self._rec_len(rec_len)
            if rec_len < name_len + 8 or rec_len < 12 or rec_len & 3 or position + rec_len > end:
                raise self._corrupt(f"a directory entry has length {rec_len} and a name of {name_len}")
            if ino:
                name = data[position + 8:position + 8 + name_len]
                if ino > most or not name or b"/" in name or b"\0" in name:
                    raise self._corrupt(f"the directory entry {name!r} for inode {ino} cannot be")
                table.setdefault(name, (ino, types[file_type] if file_type < len(types) else DT_UNKNOWN))
            position += rec_len
        return table

    def _check_leaf(self, data: bytes, at: int) -> None:
        ino, rec_len, name_len, file_type, stored = DIR_ENTRY_TAIL.unpack_from(data, len(data) - 12)
        if ino or rec_len != 12 or name_len or file_type != EXT4_FT_DIR_CSUM:
            raise self._corrupt(f"directory block {at} has no checksum")
        computed = crc32c(self.seed, data[:-12])
        if computed != stored:
            raise self._corrupt(f"directory block {at} has checksum {stored:#x}, should be {computed:#x}")

    # The index

    async def _block(self, at: int) -> bytes:
        if at >= self.blocks_count:
            raise _BadIndex(f"the directory's index names block {at} of {self.blocks_count}")
        (block, _), = await self.blocks.runs(at, at + 1)
        if block == NOWHERE:
            raise _BadIndex(f"the directory's index names block {at}, which is a hole")
        return await self.volume.block(block)

    def _check_index(self, data: bytes, at: int) -> None:
        """The checksum of a dx_root or dx_node: of what is used, then of an empty dx_tail."""
        offset = DX_NODE_OFFSET if at else DX_ROOT_INFO_OFFSET + data[DX_ROOT_INFO_OFFSET + 5]
        limit, count = DX_COUNTLIMIT.unpack_from(data, min(offset, len(data) - 4))
        used, tail = offset + count * DX_ENTRY_SIZE, offset + limit * DX_ENTRY_SIZE
        if count > limit or tail + 8 > len(data):
            raise self._corrupt(f"index block {at} has {count} entries of {limit}")
        stored, = unpack_from("<I", data, tail + 4)
        computed = crc32c(self.seed, data[:used] + data[tail:tail + 4] + bytes(4))
        if computed != stored:
            raise self._corrupt(f"index block {at} has checksum {stored:#x}, should be {computed:#x}")

    def _parse_index(self, data: bytes, offset: int) -> IndexNode:
        limit, count = DX_COUNTLIMIT.unpack_from(data, offset)
        if not 1 <= count <= limit or offset + limit * DX_ENTRY_SIZE > len(data):
            raise _BadIndex(f"an index block has {count} entries of {limit}")
        values = unpack_from(f"<{2 * count}I", data, offset)
        return IndexNode((0, *values[2::2]), tuple(block & 0x0FFFFFFF for block in values[1::2]))

    async def _root(self) -> tuple[int, int, IndexNode]:
        """The hash version, how many levels of index nodes follow, and the root's entries."""
        key = "dx", self.ino, 0
        root = self.volume.nodes.get(key)
        if root is None:
            data = await self._block(0)
            if self.volume.metadata_csum:
                self._check_index(data, 0)
            sb = self.volume.superblock
            _, version, info_length, levels, unused_flags = DX_ROOT_INFO.unpack_from(data, DX_ROOT_INFO_OFFSET)
            if unused_flags & 1 or info_length != 8:
                raise _BadIndex("the directory's index has unknown flags")
            if levels >= (3 if sb.incompat & INCOMPAT_LARGEDIR else 2):
                raise _BadIndex(f"the directory's index has {levels} levels")
            if version <= DX_HASH_TEA and sb.s_flags & EXT2_FLAGS_UNSIGNED_HASH:
                version += DX_HASH_LEGACY_UNSIGNED
            root = version, levels, self._parse_index(data, DX_ROOT_INFO_OFFSET + info_length)
            self.volume.nodes.put(key, root)
        return root

    async def _node(self, at: int) -> IndexNode:
        key = "dx", self.ino, at
        node = self.volume.nodes.get(key)
        if node is None:
            if at == 0:
                raise _BadIndex("the directory's index leads back to its root")
            data = await self._block(at)
            if self.volume.metadata_csum:
                self._check_index(data, at)
            node = self.volume.nodes.put(key, self._parse_index(data, DX_NODE_OFFSET))
        return node

    async def _names(self, at: int) -> Names:
        table = self.volume.leaves.get((self.ino, at))
        if table is None:
            data = await self._block(at)
            table = self.volume.leaves.put((self.ino, at), self._leaf(data, at))
        return table

    async def _find_by_hash(self, name: bytes) -> int | None:
        version, levels, node = await self._root()
        hash_ = dirhash(name, version, self.volume.superblock.s_hash_seed)
        if hash_ is None:
            raise _BadIndex(f"the directory's index has hash version {version}")
        path = []                   # [node, position] from the root down
        for level in range(levels + 1):
            if level:
                node = await self._node(node.blocks[at])
            at = bisect_right(node.hashes, hash_) - 1
            path.append([node, at])
        for _ in range(self.blocks_count):
            node, at = path[-1]
            table = await self._names(node.blocks[at])
            if name in table:
                return table[name][0]
            # Names of one hash may go on in the next block, whose first hash then has its lowest bit set.
            while path and path[-1][1] + 1 == len(path[-1][0].blocks):
                path.pop()
            if not path:
                return None
            path[-1][1] += 1
            node, at = path[-1]
            if node.hashes[at] & ~1 != hash_:
                return None
            while len(path) <= levels:
                path.append([await self._node(path[-1][0].blocks[path[-1][1]]), 0])
        raise self._corrupt("the directory's index leads in a circle")
