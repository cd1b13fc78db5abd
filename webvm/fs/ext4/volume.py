"""A mounted image as its other readers see it: superblock, metadata blocks, raw inodes. Caches metadata, checks all of it.

File data does not pass through here: the device below keeps the blocks it fetched.
"""

import logging
from struct import unpack_from

from .checksum import crc16, crc32c
from .errors import BadImage, Corrupt
from .layout import *
from .superblock import FOREIGN_HEAD, Superblock, foreign

log = logging.getLogger("webvm.fs.ext4")

METADATA_CACHE = 2 << 20            # bytes of raw metadata blocks kept
NODE_CACHE = 256                    # parsed extent nodes, indirect blocks and directory index blocks kept
LEAF_CACHE = 256                    # parsed directory blocks kept


class Lru(dict):
    """The `limit` things used last; `get` counts as a use."""

    def __init__(self, limit: int):
        self.limit = limit

    def get(self, key):
        value = self.pop(key, None)
        if value is not None:
            self[key] = value
        return value

    def put(self, key, value):
        self[key] = value
        if len(self) > self.limit:
            del self[next(iter(self))]
        return value


class Volume:
    def __init__(self, device, superblock: Superblock):
        self.device = device
        self.superblock = superblock
        self.block_size = superblock.block_size
        self.blocks_count = superblock.blocks_count
        self.metadata_csum = superblock.metadata_csum
        self._blocks = Lru(max(16, METADATA_CACHE // self.block_size))
        self._inode_tables: dict[int, int] = {}
        self.nodes = Lru(NODE_CACHE)
        self.leaves = Lru(LEAF_CACHE)

    @classmethod
    async def open(cls, device) -> "Volume":
        if device.size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
            raise BadImage(f"not an ext4 image: {device.size} bytes cannot hold a superblock")
        raw = await device.read(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)
        if unpack_from("<H", raw, 0x38)[0] != EXT4_SUPER_MAGIC:
            raise BadImage(f"not an ext4 image: {foreign(await device.read(0, min(device.size, FOREIGN_HEAD)))}")
        return cls(device, Superblock(raw, device.size))

    def corrupt(self, text: str) -> Corrupt:
        """The exception to raise; says it in the log as well, because the guest only sees a number."""
        log.error("ext4: %s", text)
        return Corrupt(text)

    def check_range(self, first: int, count: int, what: str) -> None:
        if not self.superblock.s_first_data_block < first <= first + count <= self.blocks_count:
            raise self.corrupt(f"{what}: blocks {first} to {first + count - 1} are outside the file system")

    async def block(self, number: int) -> bytes:
        """A metadata block whose number has been checked."""
        data = self._blocks.get(number)
        if data is None:
            data = self._blocks.put(number, await self.device.read(number * self.block_size, self.block_size))
        return data

    async def _inode_table(self, group: int) -> int:
        """The first block of a group's inode table."""
        table = self._inode_tables.get(group)
        if table is None:
            sb = self.superblock
            block, offset = sb.group_desc_location(group)
            self.check_range(block, 1, f"descriptor of group {group}")
            descriptor = (await self.block(block))[offset:offset + sb.desc_size]
            self._check_group_desc(group, descriptor)
            table, = unpack_from("<I", descriptor, GROUP_DESC_INODE_TABLE_LO)
            if sb.incompat & INCOMPAT_64BIT:
                table |= unpack_from("<I", descriptor, GROUP_DESC_INODE_TABLE_HI)[0] << 32
            self.check_range(
                table, -(-sb.s_inodes_per_group * sb.s_inode_size // self.block_size), f"inode table of group {group}")
            self._inode_tables[group] = table
        return table

    def _check_group_desc(self, group: int, descriptor: bytes) -> None:
        sb = self.superblock
        stored, = unpack_from("<H", descriptor, GROUP_DESC_CHECKSUM)
        head, tail = descriptor[:GROUP_DESC_CHECKSUM], descriptor[GROUP_DESC_CHECKSUM + 2:]
        number = group.to_bytes(4, "little")
        if sb.metadata_csum:
            computed = crc32c(sb.checksum_seed, number + head + b"\0\0" + tail) & 0xFFFF
        elif sb.gdt_csum:
            computed = crc16(0xFFFF, sb.s_uuid + number + head + (tail if sb.incompat & INCOMPAT_64BIT else b""))
        else:
            return
        if computed != stored:
            raise self.corrupt(f"group {group}: the descriptor's checksum is {stored:#x}, should be {computed:#x}")

    async def raw_inode(self, ino: int) -> tuple[bytes, int]:
        """The bytes of an inode, s_inode_size of them, and the seed of the checksums of what belongs to it."""
        sb = self.superblock
        group, index = divmod(ino - 1, sb.s_inodes_per_group)
        if not 0 <= group < sb.groups_count:
            raise self.corrupt(f"inode {ino} is outside the file system")
        block, offset = divmod(index * sb.s_inode_size, self.block_size)
        data = await self.block(await self._inode_table(group) + block)
        raw = data[offset:offset + sb.s_inode_size]
        seed = 0
        if self.metadata_csum:
            seed = crc32c(sb.checksum_seed, ino.to_bytes(4, "little") + raw[0x64:0x68])
            self._check_inode(ino, raw, seed)
        return raw, seed

    def _check_inode(self, ino: int, raw: bytes, seed: int) -> None:
        stored, = unpack_from("<H", raw, INODE_CHECKSUM_LO)
        bare = raw[:INODE_CHECKSUM_LO] + b"\0\0" + raw[INODE_CHECKSUM_LO + 2:]
        mask = 0xFFFF
        if len(raw) > EXT4_GOOD_OLD_INODE_SIZE and unpack_from("<H", raw, INODE_EXTRA_ISIZE)[0] >= 4:
            stored |= unpack_from("<H", raw, INODE_CHECKSUM_HI)[0] << 16
            bare = bare[:INODE_CHECKSUM_HI] + b"\0\0" + bare[INODE_CHECKSUM_HI + 2:]
            mask = 0xFFFFFFFF
        computed = crc32c(seed, bare) & mask
        if computed != stored:
            raise self.corrupt(f"inode {ino}: the checksum is {stored:#x}, should be {computed:#x}")
