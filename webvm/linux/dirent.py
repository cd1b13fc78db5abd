"""dirent.h: directory entry types and struct linux_dirent64, as getdents64 writes it."""

import struct

# fmt: off
DT_UNKNOWN, DT_FIFO, DT_CHR, DT_DIR, DT_BLK, DT_REG, DT_LNK, DT_SOCK, DT_WHT = 0, 1, 2, 4, 6, 8, 10, 12, 14
# fmt: on

DIRENT64 = struct.Struct("<QqHB")  # d_ino d_off d_reclen d_type, then d_name and NUL, padded to 8
DIRENT = struct.Struct("<QqH")  # getdents: d_ino d_off d_reclen, then d_name, NUL, padding; the last byte is d_type


def pack_dirent64(ino: int, offset: int, type: int, name: bytes) -> bytes:
    """One record; `offset` is the position of the next one."""
    length = DIRENT64.size + len(name) + 8 & ~7
    return (DIRENT64.pack(ino, offset, length, type) + name).ljust(length, b"\0")


def pack_dirent(ino: int, offset: int, type: int, name: bytes) -> bytes:
    length = DIRENT.size + len(name) + 9 & ~7
    return (DIRENT.pack(ino, offset, length) + name).ljust(length - 1, b"\0") + bytes([type])
