"""Extended attributes: entries behind the fields of an inode and in a block of their own.

Knows the format; fetching blocks and value inodes is the inode's business.
"""

from struct import Struct, pack, unpack_from
from typing import NamedTuple

from .checksum import crc32c
from .layout import (
    EXT4_XATTR_INDEX_SYSTEM, EXT4_XATTR_MAGIC, XATTR_ENTRY, XATTR_HEADER, XATTR_HEADER_CHECKSUM, XATTR_HEADER_SIZE)

# fmt: off
PREFIXES = {
    1: b"user.",
    2: b"system.posix_acl_access",
    3: b"system.posix_acl_default",
    4: b"trusted.",
    6: b"security.",
    8: b"system.richacl",
}
# fmt: on
POSIX_ACLS = PREFIXES[2], PREFIXES[3]
INLINE_DATA = b"data"               # under EXT4_XATTR_INDEX_SYSTEM: what of a small file does not fit i_block

_ACL_ENTRY = Struct("<HHI")         # e_tag, e_perm, e_id as struct posix_acl_xattr_entry has them
ACL_USER, ACL_GROUP = 0x02, 0x08
ACL_UNDEFINED_ID = 0xFFFFFFFF


class Malformed(Exception):
    """The entries cannot be as they are; the text says what is wrong."""


class Xattr(NamedTuple):
    index: int
    name: bytes                     # without the prefix that the index stands for
    value: bytes                    # empty when the value is in an inode
    value_inum: int
    value_size: int


def _entries(data: bytes, first: int, base: int) -> list[Xattr]:
    """The entries from byte `first` on; values are found relative to `base`."""
    found, position = [], first
    while True:
        if position + 4 > len(data):
            raise Malformed("the list of extended attributes has no end")
        if data[position:position + 4] == b"\0\0\0\0":
            return found
        if position + 16 > len(data):
            raise Malformed("an extended attribute is cut off")
        name_len, index, offset, inum, size, _ = XATTR_ENTRY.unpack_from(data, position)
        start = base + offset
        if position + 16 + name_len > len(data) or not inum and size and start + size > len(data):
            raise Malformed("an extended attribute is cut off")
        name = data[position + 16:position + 16 + name_len]
        found.append(Xattr(index, name, b"" if inum else data[start:start + size], inum, size))
        position += 16 + name_len + 3 & ~3


def in_inode(body: bytes) -> list[Xattr]:
    """`body`: the inode's bytes from 128 + i_extra_isize on."""
    if len(body) < 4 or unpack_from("<I", body)[0] != EXT4_XATTR_MAGIC:
        return []
    return _entries(body, 4, 4)


def in_block(data: bytes, number: int, checksum_seed: int | None) -> list[Xattr]:
    """`checksum_seed`: of the file system; None when it has no metadata_csum."""
    magic, _, blocks, _, checksum = XATTR_HEADER.unpack_from(data)
    if magic != EXT4_XATTR_MAGIC or blocks != 1:
        raise Malformed(f"block {number} has no extended attributes (magic number {magic:#x}, {blocks} blocks)")
    if checksum_seed is not None:
        bare = data[:XATTR_HEADER_CHECKSUM] + bytes(4) + data[XATTR_HEADER_CHECKSUM + 4:]
        computed = crc32c(crc32c(checksum_seed, number.to_bytes(8, "little")), bare)
        if computed != checksum:
            raise Malformed(f"extended attribute block {number} has checksum {checksum:#x}, should be {computed:#x}")
    return _entries(data, XATTR_HEADER_SIZE, 0)


def inline_tail(body: bytes) -> bytes:
    """The part of an inline file or directory that does not fit i_block."""
    for xattr in in_inode(body):
        if xattr.index == EXT4_XATTR_INDEX_SYSTEM and xattr.name == INLINE_DATA:
            return xattr.value
    return b""


def full_name(xattr: Xattr) -> bytes | None:
    """As the guest sees it; None for what Linux does not show (inline data, encryption contexts)."""
    prefix = PREFIXES.get(xattr.index)
    return None if prefix is None else prefix + xattr.name


def acl_for_user(disk: bytes) -> bytes:
    """An ACL as getxattr gives it (struct posix_acl_xattr_header), from ext4's shorter form (fs/ext4/acl.h)."""
    if len(disk) < 4 or unpack_from("<I", disk)[0] != 1:
        raise Malformed("an ACL has an unknown version")
    entries, position = [], 4
    while position < len(disk):
        size = 4
        if position + size <= len(disk):
            tag, perm = unpack_from("<HH", disk, position)
            size = 8 if tag in (ACL_USER, ACL_GROUP) else 4
        if position + size > len(disk):
            raise Malformed("an ACL is cut off")
        id_ = unpack_from("<I", disk, position + 4)[0] if size == 8 else ACL_UNDEFINED_ID
        entries.append(_ACL_ENTRY.pack(tag, perm, id_))
        position += size
    return pack("<I", 2) + b"".join(entries)
