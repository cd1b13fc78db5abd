"""stat.h: file types and modes, struct stat and struct statx of x86-64, device numbers."""

import struct
from functools import lru_cache

# fmt: off
S_IFMT   = 0o170000
S_IFSOCK = 0o140000
S_IFLNK  = 0o120000
S_IFREG  = 0o100000
S_IFBLK  = 0o060000
S_IFDIR  = 0o040000
S_IFCHR  = 0o020000
S_IFIFO  = 0o010000
S_ISUID  = 0o4000
S_ISGID  = 0o2000
S_ISVTX  = 0o1000

UTIME_NOW, UTIME_OMIT = 0x3FFFFFFF, 0x3FFFFFFE

STATX_BASIC_STATS = 0x7FF
STATX_BTIME       = 0x800
STATX_MNT_ID      = 0x1000
STATX_ATTR_MOUNT_ROOT = 0x2000
# fmt: on

# struct stat: st_dev st_ino st_nlink st_mode st_uid st_gid pad st_rdev st_size st_blksize st_blocks, three timespecs, pad
STAT = struct.Struct("<QQQIIIxxxxQqqqqQqQqQ24x")

# struct statx: mask blksize attributes nlink uid gid mode ino size blocks attributes_mask,
# atime btime ctime mtime (each: s64 seconds, u32 nanoseconds, pad), rdev, dev (each: u32 major, u32 minor), mnt_id
STATX = struct.Struct("<IIQIIIHxxQQQQ" + "qIxxxx" * 4 + "IIIIQ104x")

TIMESPEC = struct.Struct("<qq")
TIMEVAL = struct.Struct("<qq")


def makedev(major: int, minor: int) -> int:
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32


def major(dev: int) -> int:
    return dev >> 8 & 0xFFF | dev >> 32 & ~0xFFF


def minor(dev: int) -> int:
    return dev & 0xFF | dev >> 12 & 0xFFFFFF00


def pack_stat(dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, atime, mtime, ctime) -> bytes:
    """struct stat, 144 bytes; times in nanoseconds."""
    return STAT.pack(
        dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, *_seconds(atime), *_seconds(mtime), *_seconds(ctime)
    )


@lru_cache(maxsize=256)  # the three are often the same, and asked for again
def _seconds(time: int) -> tuple[int, int]:
    return divmod(time, 1_000_000_000)
