"""statfs.h and magic.h: struct statfs of x86-64, the magic numbers of file systems, ST_* mount flags."""

import struct

# fmt: off
EXT4_SUPER_MAGIC      = 0xEF53
TMPFS_MAGIC           = 0x01021994
PROC_SUPER_MAGIC      = 0x9FA0
SYSFS_MAGIC           = 0x62656572
DEVPTS_SUPER_MAGIC    = 0x1CD1
OVERLAYFS_SUPER_MAGIC = 0x794C7630
PIPEFS_MAGIC          = 0x50495045
SOCKFS_MAGIC          = 0x534F434B
V9FS_MAGIC            = 0x01021997
ANON_INODE_FS_MAGIC   = 0x09041934

ST_RDONLY, ST_NOSUID, ST_NODEV, ST_NOEXEC, ST_VALID, ST_RELATIME = 1, 2, 4, 8, 0x20, 0x1000
# fmt: on

# f_type f_bsize f_blocks f_bfree f_bavail f_files f_ffree f_fsid[2] f_namelen f_frsize f_flags f_spare[4]
STATFS = struct.Struct("<qqqqqqqiiqqq32x")
