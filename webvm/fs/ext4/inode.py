"""Inodes of an ext4 image: the on-disk structure as the VFS sees it."""

from struct import unpack_from

from webvm.fs.vfs import Dirent, Inode
from webvm.linux.errno import ENAMETOOLONG, ENODATA, ENOENT, ENOKEY, ENOTDIR, ENXIO, Errno
from webvm.linux.stat import (
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, makedev)

from . import xattr
from .blocks import NOWHERE, ExtentTree, IndirectMap
from .checksum import crc32c
from .directory import Directory
from .layout import *

KINDS = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}
I_BLOCK_SIZE = 60
NAME_MAX = 255
EXT4_XATTR_SIZE_MAX = 1 << 24


def _time(seconds: int, raw: bytes, extra_isize: int, extra_offset: int) -> int:
    """Nanoseconds since the epoch. The extra word has two more bits of seconds, then the nanoseconds (ext4_decode_extra_time)."""
    if seconds & 0x80000000:
        seconds -= 1 << 32
    if extra_offset + 4 > EXT4_GOOD_OLD_INODE_SIZE + extra_isize:
        return seconds * 1_000_000_000
    extra, = unpack_from("<I", raw, extra_offset)
    return (seconds + ((extra & 3) << 32)) * 1_000_000_000 + (extra >> 2)


def _rdev(i_block: bytes) -> int:
    """Old device numbers are in the first word (major << 8 | minor), new ones in the second (new_decode_dev)."""
    old, new = unpack_from("<II", i_block)
    if old:
        return makedev(old >> 8 & 0xFF, old & 0xFF)
    return makedev(new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xFFF00)


class Ext4Inode(Inode):
    """`crtime` is the time of creation in nanoseconds, None when the image does not keep it; `flags` is i_flags."""

    __slots__ = ("volume", "raw", "flags", "crtime", "_seed", "_tail", "_file_acl", "_blocks", "_inline", "_directory", "_xattrs")

    def __init__(self, fs, ino: int, raw: bytes, seed: int):
        self.volume = volume = fs.volume
        sb = volume.superblock
        self.raw = fields = RawInode(*INODE.unpack_from(raw))
        mode, self.flags = fields.i_mode, fields.i_flags
        kind = mode & S_IFMT
        extra_isize = unpack_from("<H", raw, INODE_EXTRA_ISIZE)[0] if len(raw) > EXT4_GOOD_OLD_INODE_SIZE else 0
        if extra_isize & 3 or EXT4_GOOD_OLD_INODE_SIZE + extra_isize > len(raw):
            raise volume.corrupt(f"inode {ino}: i_extra_isize is {extra_isize}")
        if kind not in KINDS:
            raise volume.corrupt(f"inode {ino}: its mode is {mode:#o}")
        size = fields.i_size_lo
        if kind == S_IFREG or sb.incompat & INCOMPAT_LARGEDIR:
            size |= fields.i_size_high << 32
        if size >> 63:
            raise volume.corrupt(f"inode {ino}: its size is {size}")
        blocks = fields.i_blocks_lo
        if sb.ro_compat & RO_COMPAT_HUGE_FILE:
            blocks |= fields.i_blocks_high << 32
            if self.flags & EXT4_HUGE_FILE_FL:
                blocks *= sb.block_size // 512
        if kind == S_IFREG and self.flags & EXT4_INLINE_DATA_FL:
            blocks += -(-size // 512)       # as ext4_file_getattr, so that nobody takes the file for a hole
        super().__init__(
            fs, ino, mode,
            uid=fields.i_uid | fields.i_uid_high << 16,
            gid=fields.i_gid | fields.i_gid_high << 16,
            nlink=fields.i_links_count,
            size=size,
            rdev=_rdev(fields.i_block) if kind in (S_IFCHR, S_IFBLK) else 0,
            atime=_time(fields.i_atime, raw, extra_isize, INODE_ATIME_EXTRA),
            mtime=_time(fields.i_mtime, raw, extra_isize, INODE_MTIME_EXTRA),
            ctime=_time(fields.i_ctime, raw, extra_isize, INODE_CTIME_EXTRA),
            blocks=blocks)
        self.blksize = sb.block_size
        self.crtime = None
        if EXT4_GOOD_OLD_INODE_SIZE + extra_isize >= INODE_CRTIME + 4:
            crtime, = unpack_from("<I", raw, INODE_CRTIME)
            self.crtime = _time(crtime, raw, extra_isize, INODE_CRTIME_EXTRA)
        self._seed = seed
        self._tail = raw[EXT4_GOOD_OLD_INODE_SIZE + extra_isize:]
        self._file_acl = fields.i_file_acl_lo
        if sb.incompat & INCOMPAT_64BIT:
            self._file_acl |= fields.i_file_acl_high << 32
        self._directory = self._xattrs = None
        self._set_content(kind, fields)

    def _set_content(self, kind: int, fields: RawInode) -> None:
        """Where the bytes are: `_inline` has them all, or `_blocks` knows."""
        self._blocks = self._inline = None
        if kind not in (S_IFREG, S_IFDIR, S_IFLNK):
            return
        if self.flags & EXT4_INLINE_DATA_FL:
            try:
                self._inline = fields.i_block + xattr.inline_tail(self._tail)
            except xattr.Malformed as reason:
                raise self.volume.corrupt(f"inode {self.ino}: {reason}") from None
        elif kind == S_IFLNK and self._is_fast_symlink():
            self._inline = fields.i_block
        elif self.flags & EXT4_EXTENTS_FL:
            self._blocks = ExtentTree(self.volume, self.ino, self._seed, fields.i_block)
        else:
            self._blocks = IndirectMap(self.volume, self.ino, fields.i_block)

    def _is_fast_symlink(self) -> bool:
        """A target in i_block (ext4_inode_is_fast_symlink): it has no block, a block of extended attributes apart."""
        sb = self.volume.superblock
        if sb.incompat & INCOMPAT_EA_INODE:
            return self.size < I_BLOCK_SIZE
        return self.blocks == (sb.block_size << sb.cluster_bits) // 512 * bool(self._file_acl)

    def _need_key(self) -> None:
        if self.flags & EXT4_ENCRYPT_FL:
            raise Errno(ENOKEY)

    # Content

    async def _content(self, offset: int, n: int) -> bytes:
        """Bytes offset to offset + n - 1, which are inside the file."""
        self._need_key()
        if self._inline is not None:
            return self._inline[offset:offset + n].ljust(n, b"\0")
        size = self.blksize
        first, skip = divmod(offset, size)
        pieces = []
        for block, count in await self._blocks.runs(first, -(-(offset + n) // size)):
            length = min(count * size - skip, n)
            if block == NOWHERE:
                pieces.append(bytes(length))
            else:
                pieces.append(await self.volume.device.read(block * size + skip, length))
            n -= length
            skip = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self, offset, n):
        if self.mode & S_IFMT != S_IFREG:
            return await super().read(offset, n)
        n = min(n, self.size - offset)
        return await self._content(offset, n) if n > 0 else b""

    async def seek_data(self, offset, hole):
        if self._inline is not None:
            return self.size if hole else offset
        size = self.blksize
        at, end = offset // size, -(-self.size // size)
        while at < end:
            for block, count in await self._blocks.pieces(at, at + 1):
                if (block == NOWHERE) == hole:
                    return min(max(offset, at * size), self.size)
                at += count
        if hole:
            return self.size
        raise Errno(ENXIO)

    async def readlink(self):
        if not self.is_symlink:
            return await super().readlink()
        if self.size > self.blksize:
            raise self.volume.corrupt(f"inode {self.ino}: a symbolic link of {self.size} bytes")
        return (await self._content(0, self.size)).split(b"\0", 1)[0]

    # Directories

    @property
    def directory(self) -> Directory:
        if not self.is_dir:
            raise Errno(ENOTDIR)
        self._need_key()
        if self._directory is None:
            self._directory = Directory(
                self.volume, self.ino, self.size, self.flags, self._seed, self._blocks,
                None if self._inline is None else self._inline[:self.size])
        return self._directory

    async def lookup(self, name):
        directory = self.directory
        if len(name) > NAME_MAX:
            raise Errno(ENAMETOOLONG)
        ino = await directory.find(name)
        if ino is None:
            raise Errno(ENOENT)
        return await self.fs.inode(ino)

    async def readdir(self) -> list[Dirent]:
        return await self.directory.entries()

    # Extended attributes

    async def _all_xattrs(self) -> dict[bytes, xattr.Xattr]:
        if self._xattrs is None:
            volume = self.volume
            try:
                found = xattr.in_inode(self._tail)
                if self._file_acl:
                    volume.check_range(self._file_acl, 1, f"extended attributes of inode {self.ino}")
                    seed = volume.superblock.checksum_seed if volume.metadata_csum else None
                    found += xattr.in_block(await volume.block(self._file_acl), self._file_acl, seed)
            except xattr.Malformed as reason:
                raise volume.corrupt(f"inode {self.ino}: {reason}") from None
            table = {}
            for entry in found:
                name = xattr.full_name(entry)
                if name is not None:
                    table.setdefault(name, entry)
            self._xattrs = table
        return self._xattrs

    async def listxattr(self):
        return list(await self._all_xattrs())

    async def getxattr(self, name):
        entry = (await self._all_xattrs()).get(name)
        if entry is None:
            raise Errno(ENODATA)
        value = await self._xattr_inode(entry) if entry.value_inum else entry.value
        if name not in xattr.POSIX_ACLS:
            return value
        try:
            return xattr.acl_for_user(value)
        except xattr.Malformed as reason:
            raise self.volume.corrupt(f"inode {self.ino}: {reason}") from None

    async def _xattr_inode(self, entry: xattr.Xattr) -> bytes:
        """A value kept in an inode of its own; its hash is in that inode's i_atime (ext4_xattr_inode_get_hash)."""
        volume = self.volume
        raw, seed = await volume.raw_inode(entry.value_inum)
        inode = Ext4Inode(self.fs, entry.value_inum, raw, seed)
        if not inode.flags & EXT4_EA_INODE_FL or inode.size != entry.value_size or inode.size > EXT4_XATTR_SIZE_MAX:
            raise volume.corrupt(f"inode {entry.value_inum} does not hold an extended attribute of inode {self.ino}")
        value = await inode._content(0, inode.size)
        if crc32c(volume.superblock.checksum_seed, value) != inode.raw.i_atime:
            raise volume.corrupt(f"inode {entry.value_inum}: the extended attribute's hash is wrong")
        return value
