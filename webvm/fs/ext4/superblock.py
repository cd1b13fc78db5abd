"""The superblock: what an image says about itself, checked before anything believes it."""

from struct import Struct

from .checksum import crc32c
from .errors import BadImage
from .layout import *


def _struct_of(fields) -> Struct:
    """One Struct for scattered fields: the gaps between them become padding."""
    formats, position = [], 0
    for offset, code, _ in fields:
        formats.append(f"{offset - position}x{code}")
        position = offset + Struct("<" + code).size
    return Struct("<" + "".join(formats) + f"{SUPERBLOCK_SIZE - position}x")


_SUPERBLOCK = _struct_of(SUPERBLOCK_FIELDS)

# fmt: off
INCOMPAT_SUPPORTED = (
    INCOMPAT_FILETYPE | INCOMPAT_RECOVER | INCOMPAT_META_BG | INCOMPAT_EXTENTS | INCOMPAT_64BIT | INCOMPAT_MMP
    | INCOMPAT_FLEX_BG | INCOMPAT_EA_INODE | INCOMPAT_CSUM_SEED | INCOMPAT_LARGEDIR | INCOMPAT_INLINE_DATA
    | INCOMPAT_ENCRYPT)

INCOMPAT_REFUSED = {
    # bit                  what the sentence says
    INCOMPAT_COMPRESSION: "compression (compressed files)",
    INCOMPAT_JOURNAL_DEV: "journal_dev (this is an external journal, not a file system)",
    INCOMPAT_DIRDATA:     "dirdata (Lustre directory entries)",
    INCOMPAT_CASEFOLD:    "casefold (case-insensitive directories)",
}

FOREIGN_MAGIC = (
    # offset  bytes                  what it is
    (0x200,   b"EFI PART",           "a partitioned disk (GPT); give the partition with the file system"),
    (0,       b"\x1f\x8b",           "compressed with gzip; decompress it first"),
    (0,       b"\xfd7zXZ\0",         "compressed with xz; decompress it first"),
    (0,       b"\x28\xb5\x2f\xfd",   "compressed with zstd; decompress it first"),
    (0,       b"BZh",                "compressed with bzip2; decompress it first"),
    (0,       b"PK\x03\x04",         "a zip archive"),
    (0,       b"QFI\xfb",            "a qcow2 disk; convert it to raw"),
    (0,       b"hsqs",               "a squashfs file system"),
    (0,       b"XFSB",               "an XFS file system"),
    (0,       b"<",                  "text (HTML or XML?)"),
    (0x101,   b"ustar",              "a tar archive"),
    (0x8001,  b"CD001",              "an ISO 9660 file system"),
    (0x10040, b"_BHRfS_M",           "a btrfs file system"),
    (0x1FE,   b"\x55\xaa",           "a partitioned disk (MBR); give the partition with the file system"),
)
# fmt: on
FOREIGN_HEAD = 0x10048


def foreign(head: bytes) -> str:
    """What an image that is not ext4 looks like."""
    for offset, magic, what in FOREIGN_MAGIC:
        if head.startswith(magic, offset):
            return f"it looks like {what}"
    return "its bytes are all zero" if not any(head) else "no magic number 0xEF53 at byte 1080"


class Superblock:
    """The fields under their own names, the 64-bit ones put together, and the geometry that follows from them.

    >>> Superblock(image[1024:2048], len(image))    # raises BadImage
    """

    def __init__(self, raw: bytes, device_size: int):
        for (_, _, name), value in zip(SUPERBLOCK_FIELDS, _SUPERBLOCK.unpack(raw), strict=True):
            setattr(self, name, value)
        self.compat = self.s_feature_compat
        self.incompat = self.s_feature_incompat
        self.ro_compat = self.s_feature_ro_compat
        self._check_features()
        self._check_checksum(raw)
        self._set_geometry()
        self._check_geometry(device_size)

    def _check_features(self) -> None:
        if self.s_rev_level > 1:
            raise BadImage(f"ext4 revision {self.s_rev_level} is not known")
        if self.s_rev_level == 0:       # EXT4_GOOD_OLD_REV: the fields behind s_rev_level are not there
            self.s_inode_size, self.s_first_ino = EXT4_GOOD_OLD_INODE_SIZE, EXT4_GOOD_OLD_FIRST_INO
            self.compat = self.incompat = self.ro_compat = 0
        for bit, what in INCOMPAT_REFUSED.items():
            if self.incompat & bit:
                raise BadImage(f"the ext4 feature {what} is not supported")
        unknown = self.incompat & ~INCOMPAT_SUPPORTED
        if unknown:
            raise BadImage(f"the ext4 image has incompatible features that are not known (bits {unknown:#x})")

    def _check_checksum(self, raw: bytes) -> None:
        self.metadata_csum = bool(self.ro_compat & RO_COMPAT_METADATA_CSUM)
        self.gdt_csum = bool(self.ro_compat & RO_COMPAT_GDT_CSUM) and not self.metadata_csum
        self.checksum_seed = 0
        if self.metadata_csum:
            if self.s_checksum_type != EXT4_CRC32C_CHKSUM:
                raise BadImage(f"ext4 metadata checksum type {self.s_checksum_type} is not known")
            if crc32c(0xFFFFFFFF, raw[:0x3FC]) != self.s_checksum:
                raise BadImage("the ext4 superblock's checksum is wrong: the image is damaged")
        if self.incompat & INCOMPAT_CSUM_SEED:
            self.checksum_seed = self.s_checksum_seed
        elif self.metadata_csum or self.incompat & INCOMPAT_EA_INODE:
            self.checksum_seed = crc32c(0xFFFFFFFF, self.s_uuid)

    def _set_geometry(self) -> None:
        if self.s_log_block_size > 6:
            raise BadImage(f"the ext4 superblock is damaged: block size 2^{10 + self.s_log_block_size}")
        self.block_size = 1024 << self.s_log_block_size
        self.cluster_bits = 0           # log2 of blocks in a cluster
        if self.ro_compat & RO_COMPAT_BIGALLOC:
            self.cluster_bits = self.s_log_cluster_size - self.s_log_block_size
        wide = self.incompat & INCOMPAT_64BIT
        high = 0xFFFFFFFF if wide else 0
        self.blocks_count = self.s_blocks_count_lo | (self.s_blocks_count_hi & high) << 32
        self.r_blocks_count = self.s_r_blocks_count_lo | (self.s_r_blocks_count_hi & high) << 32
        self.free_blocks_count = self.s_free_blocks_count_lo | (self.s_free_blocks_count_hi & high) << 32
        self.desc_size = self.s_desc_size if wide else EXT4_MIN_DESC_SIZE
        self.wtime = self.s_wtime | self.s_wtime_hi << 32
        self.volume_name = self.s_volume_name.split(b"\0", 1)[0]

    def _check_geometry(self, device_size: int) -> None:
        block_size = self.block_size

        def damaged(what: str) -> BadImage:
            return BadImage(f"the ext4 superblock is damaged: {what}")

        if not 0 <= self.cluster_bits <= 16:
            raise damaged(f"cluster size 2^{10 + self.s_log_cluster_size}")
        if not EXT4_GOOD_OLD_INODE_SIZE <= self.s_inode_size <= block_size or self.s_inode_size & self.s_inode_size - 1:
            raise damaged(f"inode size {self.s_inode_size}")
        smallest = EXT4_MIN_DESC_SIZE_64BIT if self.incompat & INCOMPAT_64BIT else EXT4_MIN_DESC_SIZE
        if not smallest <= self.desc_size <= min(block_size, 1024) or self.desc_size & self.desc_size - 1:
            raise damaged(f"group descriptor size {self.desc_size}")
        if not 0 < self.s_blocks_per_group <= 8 * block_size << self.cluster_bits:
            raise damaged(f"{self.s_blocks_per_group} blocks in a group")
        if not 0 < self.s_inodes_per_group <= 8 * block_size:
            raise damaged(f"{self.s_inodes_per_group} inodes in a group")
        if self.s_first_data_block > (block_size == 1024) or self.s_first_data_block >= self.blocks_count:
            raise damaged(f"first data block {self.s_first_data_block}")
        self.groups_count = -(-(self.blocks_count - self.s_first_data_block) // self.s_blocks_per_group)
        if self.s_inodes_count != self.groups_count * self.s_inodes_per_group:
            raise damaged(f"{self.s_inodes_count} inodes in {self.groups_count} groups of {self.s_inodes_per_group}")
        if self.s_first_ino < EXT4_GOOD_OLD_FIRST_INO:
            raise damaged(f"first inode {self.s_first_ino}")
        self.total_size = self.blocks_count * block_size
        if self.total_size > device_size:
            raise BadImage(
                f"the image is truncated: its ext4 file system has {self.total_size} bytes, the image {device_size}")

    # Where things are

    def group_first_block(self, group: int) -> int:
        return self.s_first_data_block + group * self.s_blocks_per_group

    def group_has_super(self, group: int) -> bool:
        """Whether a copy of the superblock starts this group (ext4_bg_has_super)."""
        if group == 0:
            return True
        if self.compat & COMPAT_SPARSE_SUPER2:
            return group in (self.s_backup_bgs_0, self.s_backup_bgs_1)
        if group == 1 or not self.ro_compat & RO_COMPAT_SPARSE_SUPER:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def group_desc_location(self, group: int) -> tuple[int, int]:
        """The block with a group's descriptor, and the byte in it."""
        per_block = self.block_size // self.desc_size
        index, slot = divmod(group, per_block)
        if not self.incompat & INCOMPAT_META_BG or index < self.s_first_meta_bg:
            block = SUPERBLOCK_OFFSET // self.block_size + 1 + index
        else:
            first = index * per_block
            block = self.group_first_block(first) + self.group_has_super(first)
            # The boot block of a 1 KiB file system that starts at block 0 (bigalloc) pushes the table on by one.
            block += index == 0 and self.block_size == 1024 and self.s_first_data_block == 0
        return block, slot * self.desc_size

    def overhead(self) -> int:
        """Blocks that can never hold a file, journal not counted (ext4_calculate_overhead), for an image that does not say."""
        per_block = self.block_size // self.desc_size
        desc_blocks = -(-self.groups_count // per_block)
        meta_bg = self.incompat & INCOMPAT_META_BG
        inode_blocks = -(-self.s_inodes_per_group * self.s_inode_size // self.block_size)
        old_desc_blocks = min(desc_blocks, self.s_first_meta_bg) if meta_bg else desc_blocks + self.s_reserved_gdt_blocks
        total = self.s_first_data_block + self.groups_count * (2 + inode_blocks)
        for group in range(self.groups_count):
            if self.group_has_super(group):
                total += 1 + old_desc_blocks
            if meta_bg and group // per_block >= self.s_first_meta_bg and group % per_block in (0, 1, per_block - 1):
                total += 1
        return total


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1
