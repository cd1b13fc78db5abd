"""The ext4 file system, read-only, over a block device."""

import logging
from weakref import WeakValueDictionary

from webvm.fs.vfs import Filesystem, StatFs
from webvm.linux.errno import Errno

from .errors import BadImage, Corrupt
from .inode import Ext4Inode
from .journal import ReplayedDevice, replayed
from .layout import *
from .volume import Lru, Volume

log = logging.getLogger("webvm.fs.ext4")

INODE_CACHE = 1024                  # inodes kept though nobody uses them


class Ext4(Filesystem):
    """`uuid` and `write_time` (seconds since the epoch) identify a state of an image. `total_size` is what the file
    system says it has; the device has at least that. `warnings` are sentences for whoever mounted it.

    >>> fs = await Ext4.mount(device)       # raises BadImage
    """

    type = b"ext4"
    source = b"/dev/root"
    options = b"ro,relatime"
    read_only = True

    def __init__(self, volume: Volume):
        super().__init__()
        sb = volume.superblock
        self.volume = volume
        self.uuid: bytes = sb.s_uuid
        self.write_time: int = sb.wtime
        self.volume_name: bytes = sb.volume_name
        self.block_size: int = sb.block_size
        self.total_size: int = sb.total_size
        self.warnings: list[str] = []
        self._inodes = WeakValueDictionary()
        self._recent = Lru(INODE_CACHE)

    @classmethod
    async def mount(cls, device) -> "Ext4":
        """Reads the superblock and the root inode; the journal when the image was not unmounted cleanly."""
        fs = cls(await Volume.open(device))
        if fs.volume.superblock.incompat & INCOMPAT_RECOVER:
            fs = cls(await Volume.open(await fs._replayed(device)))
            fs.warnings.append("the ext4 image was not unmounted cleanly; its journal is replayed in memory")
        fs._warn()
        try:
            fs.root = await fs.inode(EXT4_ROOT_INO)
        except Corrupt as reason:
            raise BadImage(f"the ext4 image has no usable root directory: {reason}") from None
        if not fs.root.is_dir:
            raise BadImage("the ext4 image has no usable root directory: inode 2 is something else")
        return fs

    async def _replayed(self, device) -> ReplayedDevice:
        sb = self.volume.superblock
        if not sb.s_journal_inum:
            raise BadImage("the ext4 image was not unmounted cleanly and its journal is elsewhere; run e2fsck on it")
        try:
            raw, seed = await self.volume.raw_inode(sb.s_journal_inum)
            return await replayed(device, sb.block_size, Ext4Inode(self, sb.s_journal_inum, raw, seed))
        except Errno as reason:
            raise BadImage(f"the ext4 image was not unmounted cleanly and its journal is not readable: {reason}") from None

    def _warn(self) -> None:
        sb = self.volume.superblock
        if sb.s_state & EXT4_ERROR_FS:
            self.warnings.append("the ext4 image is marked as having errors; run e2fsck on it")
        for text in self.warnings:
            log.warning("%s", text)

    async def inode(self, ino: int) -> Ext4Inode:
        """The inode of a number, the same object as long as somebody uses it."""
        inode = self._recent.get(ino) or self._inodes.get(ino)
        if inode is None:
            sb = self.volume.superblock
            if ino < sb.s_first_ino and ino != EXT4_ROOT_INO:
                raise self.volume.corrupt(f"inode {ino} is reserved, yet a directory names it")
            raw, seed = await self.volume.raw_inode(ino)
            fresh = Ext4Inode(self, ino, raw, seed)
            if not fresh.nlink:
                raise self.volume.corrupt(f"inode {ino} is deleted, yet a directory names it")
            if fresh.flags & EXT4_EA_INODE_FL:
                raise self.volume.corrupt(f"inode {ino} holds an extended attribute, yet a directory names it")
            inode = self._inodes.setdefault(ino, fresh)     # another task may have been quicker
            self._recent.put(ino, inode)
        return inode

    async def statfs(self) -> StatFs:
        sb = self.volume.superblock
        overhead = sb.s_overhead_clusters << sb.cluster_bits or sb.overhead()
        reserved = sb.r_blocks_count
        if sb.incompat & INCOMPAT_EXTENTS:      # ext4_calculate_resv_clusters
            reserved += min((sb.blocks_count >> sb.cluster_bits) // 50, 4096) << sb.cluster_bits
        return StatFs(
            type=EXT4_SUPER_MAGIC, bsize=sb.block_size, blocks=max(sb.blocks_count - overhead, 0),
            bfree=sb.free_blocks_count, bavail=max(sb.free_blocks_count - reserved, 0),
            files=sb.s_inodes_count, ffree=sb.s_free_inodes_count, namelen=255)
