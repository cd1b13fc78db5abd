"""The ext4 on-disk format: structures, flags and numbers under the names of the kernel's fs/ext4/ext4.h.

Knows byte layouts only. Everything on disk is little-endian. What the fields mean, and which values
are believable, is the business of the modules that read them.
"""

from struct import Struct
from typing import NamedTuple

EXT4_SUPER_MAGIC = 0xEF53
SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 1024
EXT4_ROOT_INO = 2
EXT4_GOOD_OLD_INODE_SIZE = 128
EXT4_GOOD_OLD_FIRST_INO = 11
EXT4_MIN_DESC_SIZE = 32
EXT4_MIN_DESC_SIZE_64BIT = 64
EXT4_CRC32C_CHKSUM = 1

# s_state
EXT4_ERROR_FS = 2

# s_flags
EXT2_FLAGS_SIGNED_HASH = 1
EXT2_FLAGS_UNSIGNED_HASH = 2

# s_feature_compat
COMPAT_DIR_INDEX = 0x20
COMPAT_SPARSE_SUPER2 = 0x200

# s_feature_ro_compat: nothing here can stop a reader, it only tells where some bits are
RO_COMPAT_SPARSE_SUPER = 0x1
RO_COMPAT_HUGE_FILE = 0x8
RO_COMPAT_GDT_CSUM = 0x10
RO_COMPAT_BIGALLOC = 0x200
RO_COMPAT_METADATA_CSUM = 0x400

# s_feature_incompat
INCOMPAT_COMPRESSION = 0x1
INCOMPAT_FILETYPE = 0x2
INCOMPAT_RECOVER = 0x4
INCOMPAT_JOURNAL_DEV = 0x8
INCOMPAT_META_BG = 0x10
INCOMPAT_EXTENTS = 0x40
INCOMPAT_64BIT = 0x80
INCOMPAT_MMP = 0x100
INCOMPAT_FLEX_BG = 0x200
INCOMPAT_EA_INODE = 0x400
INCOMPAT_DIRDATA = 0x1000
INCOMPAT_CSUM_SEED = 0x2000
INCOMPAT_LARGEDIR = 0x4000
INCOMPAT_INLINE_DATA = 0x8000
INCOMPAT_ENCRYPT = 0x10000
INCOMPAT_CASEFOLD = 0x20000

# i_flags
EXT4_ENCRYPT_FL = 0x800
EXT4_INDEX_FL = 0x1000
EXT4_HUGE_FILE_FL = 0x40000
EXT4_EXTENTS_FL = 0x80000
EXT4_EA_INODE_FL = 0x200000
EXT4_INLINE_DATA_FL = 0x10000000

# struct ext4_super_block. Fields that nothing reads are padding.
SUPERBLOCK_FIELDS = (
    # offset  format  field
    (0x000, "I",   "s_inodes_count"),
    (0x004, "I",   "s_blocks_count_lo"),
    (0x008, "I",   "s_r_blocks_count_lo"),
    (0x00C, "I",   "s_free_blocks_count_lo"),
    (0x010, "I",   "s_free_inodes_count"),
    (0x014, "I",   "s_first_data_block"),
    (0x018, "I",   "s_log_block_size"),
    (0x01C, "I",   "s_log_cluster_size"),
    (0x020, "I",   "s_blocks_per_group"),
    (0x028, "I",   "s_inodes_per_group"),
    (0x030, "I",   "s_wtime"),
    (0x038, "H",   "s_magic"),
    (0x03A, "H",   "s_state"),
    (0x04C, "I",   "s_rev_level"),
    (0x054, "I",   "s_first_ino"),
    (0x058, "H",   "s_inode_size"),
    (0x05C, "I",   "s_feature_compat"),
    (0x060, "I",   "s_feature_incompat"),
    (0x064, "I",   "s_feature_ro_compat"),
    (0x068, "16s", "s_uuid"),
    (0x078, "16s", "s_volume_name"),
    (0x0CE, "H",   "s_reserved_gdt_blocks"),
    (0x0E0, "I",   "s_journal_inum"),
    (0x0EC, "16s", "s_hash_seed"),
    (0x0FE, "H",   "s_desc_size"),
    (0x104, "I",   "s_first_meta_bg"),
    (0x150, "I",   "s_blocks_count_hi"),
    (0x154, "I",   "s_r_blocks_count_hi"),
    (0x158, "I",   "s_free_blocks_count_hi"),
    (0x160, "I",   "s_flags"),
    (0x175, "B",   "s_checksum_type"),
    (0x248, "I",   "s_overhead_clusters"),
    (0x24C, "I",   "s_backup_bgs_0"),
    (0x250, "I",   "s_backup_bgs_1"),
    (0x270, "I",   "s_checksum_seed"),
    (0x274, "B",   "s_wtime_hi"),
    (0x3FC, "I",   "s_checksum"),
)

# struct ext4_inode, the 128 bytes every revision has
INODE = Struct("<HHIIIIIHHIII60sIIIIHHHHHH")


class RawInode(NamedTuple):
    """struct ext4_inode up to byte 128, in disk order."""

    i_mode: int
    i_uid: int
    i_size_lo: int
    i_atime: int
    i_ctime: int
    i_mtime: int
    i_dtime: int
    i_gid: int
    i_links_count: int
    i_blocks_lo: int
    i_flags: int
    i_version: int
    i_block: bytes
    i_generation: int
    i_file_acl_lo: int
    i_size_high: int
    i_obso_faddr: int
    i_blocks_high: int
    i_file_acl_high: int
    i_uid_high: int
    i_gid_high: int
    i_checksum_lo: int
    i_reserved: int


INODE_CHECKSUM_LO = 0x7C
INODE_EXTRA_ISIZE = 0x80
INODE_CHECKSUM_HI = 0x82
INODE_CTIME_EXTRA = 0x84
INODE_MTIME_EXTRA = 0x88
INODE_ATIME_EXTRA = 0x8C
INODE_CRTIME = 0x90
INODE_CRTIME_EXTRA = 0x94

# struct ext4_group_desc
GROUP_DESC_INODE_TABLE_LO = 0x08
GROUP_DESC_CHECKSUM = 0x1E
GROUP_DESC_INODE_TABLE_HI = 0x28

# struct ext4_extent_header: eh_magic, eh_entries, eh_max, eh_depth, eh_generation
EXTENT_HEADER = Struct("<HHHHI")
EXT4_EXT_MAGIC = 0xF30A
EXT4_MAX_EXTENT_DEPTH = 5
EXT_INIT_MAX_LEN = 32768            # ee_len above this: an unwritten extent of ee_len - 32768 blocks
EXTENT = Struct("<IHHI")            # ee_block, ee_len, ee_start_hi, ee_start_lo
EXTENT_IDX = Struct("<IIHH")        # ei_block, ei_leaf_lo, ei_leaf_hi, ei_unused

# struct ext4_dir_entry_2: inode, rec_len, name_len, file_type; the name follows
DIR_ENTRY = Struct("<IHBB")
EXT4_FT_DIR_CSUM = 0xDE
DIR_ENTRY_TAIL = Struct("<IHBBI")   # inode 0, rec_len 12, name_len 0, EXT4_FT_DIR_CSUM, det_checksum

# struct dx_root_info (24 bytes into a dx_root), dx_countlimit (in the place of the first hash), dx_entry
DX_ROOT_INFO_OFFSET = 24
DX_ROOT_INFO = Struct("<IBBBB")     # reserved_zero, hash_version, info_length, indirect_levels, unused_flags
DX_NODE_OFFSET = 8
DX_COUNTLIMIT = Struct("<HH")       # limit, count
DX_ENTRY_SIZE = 8                   # hash, block
DX_HASH_LEGACY, DX_HASH_HALF_MD4, DX_HASH_TEA = 0, 1, 2
DX_HASH_LEGACY_UNSIGNED, DX_HASH_HALF_MD4_UNSIGNED, DX_HASH_TEA_UNSIGNED = 3, 4, 5

# struct ext4_xattr_header / ext4_xattr_ibody_header / ext4_xattr_entry
EXT4_XATTR_MAGIC = 0xEA020000
XATTR_HEADER = Struct("<IIIII")     # h_magic, h_refcount, h_blocks, h_hash, h_checksum
XATTR_HEADER_SIZE = 32
XATTR_HEADER_CHECKSUM = 16
XATTR_ENTRY = Struct("<BBHIII")     # e_name_len, e_name_index, e_value_offs, e_value_inum, e_value_size, e_hash
EXT4_XATTR_INDEX_SYSTEM = 7
