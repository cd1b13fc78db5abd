"""A read-only ext2, ext3 and ext4, written from the kernel's Documentation/filesystems/ext4 and fs/ext4.

Lazy: mounting reads the superblock and the root inode; everything else is read when somebody asks for it. All metadata
is checked, by checksum where the image has them, and nothing an image can contain makes a reader loop or fail otherwise
than by `BadImage` (at mount) or `Corrupt` (an Errno, EUCLEAN).

An image that was not unmounted cleanly is read as its journal leaves it, replayed in memory. Encrypted files and
directories are there but answer ENOKEY, verity is not verified, and images with casefold, compression, dirdata or a
journal elsewhere to replay are refused.
"""

from .errors import BadImage, Corrupt
from .filesystem import Ext4

__all__ = ["BadImage", "Corrupt", "Ext4"]
