"""/sys, as little of it as programs read: the processors there are, and the directories one expects."""

from webvm.fs.tmpfs import Tmpfs
from webvm.fs.vfs import StatFs
from webvm.linux.statfs import SYSFS_MAGIC

# fmt: off
FILES = (
    # path                                                       content
    (b"devices/system/cpu/online",                               b"0\n"),
    (b"devices/system/cpu/possible",                             b"0\n"),
    (b"devices/system/cpu/present",                              b"0\n"),
    (b"devices/system/cpu/offline",                              b"\n"),
    (b"devices/system/cpu/kernel_max",                           b"63\n"),
    (b"devices/system/cpu/cpu0/topology/core_id",                b"0\n"),
    (b"devices/system/cpu/cpu0/topology/physical_package_id",    b"0\n"),
    (b"devices/system/cpu/cpu0/topology/core_cpus",              b"1\n"),
    (b"devices/system/cpu/cpu0/topology/core_siblings",          b"1\n"),
    (b"devices/system/cpu/cpu0/topology/thread_siblings",        b"1\n"),
    (b"devices/system/cpu/cpu0/topology/thread_siblings_list",   b"0\n"),
    (b"devices/system/node/online",                              b"0\n"),
    (b"devices/system/node/possible",                            b"0\n"),
    (b"devices/system/node/node0/cpulist",                       b"0\n"),
    (b"devices/system/node/node0/cpumap",                        b"1\n"),
    (b"devices/virtual/tty/tty0/active",                         b"tty1\n"),
    (b"kernel/mm/transparent_hugepage/enabled",                  b"always madvise [never]\n"),
)
DIRECTORIES = (b"block", b"bus", b"class", b"dev", b"firmware", b"fs", b"fs/cgroup", b"kernel/security", b"module", b"power")
# fmt: on


class SysFs(Tmpfs):
    """A tmpfs filled at the start; nobody can change it."""

    type = b"sysfs"
    source = b"sysfs"
    options = b"nosuid,nodev,noexec,relatime"

    def __init__(self):
        super().__init__(1 << 20, 0o755)
        for path in DIRECTORIES:
            self._directory(path)
        for path, content in FILES:
            parent, _, name = path.rpartition(b"/")
            inode = self.new_file(0o444, 0, 0)
            inode.pages[0] = content
            inode.size = len(content)
            self.charge(1)
            self._directory(parent)._add(name, inode)
        self.read_only = True

    def _directory(self, path):
        at = self.root
        for name in path.split(b"/"):
            if name not in at.entries:
                at._add(name, self.new_dir(0o755, 0, 0))
            at = at.entries[name]
        return at

    async def statfs(self):
        return StatFs(SYSFS_MAGIC, 4096)
