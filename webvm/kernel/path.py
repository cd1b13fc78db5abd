"""From a path to a place: the walk, the dentry tree that remembers it, mount points, permissions.

A `Dentry` is a name in a directory, and the tree of them is the cache: a child once found stays, and so does the fact that
there is none (`None`), because all changes of a cacheable file system pass through the functions here. File systems that
change by themselves (proc, hostfs) are asked each time. A mount's root dentry takes the place of the dentry it covers
in the parent's children, so the walk knows nothing of mounts.

Needs of a task: `task.fs` (an FsContext), `task.cred` (fsuid, fsgid, groups), `task.files`.
"""

from dataclasses import dataclass

from webvm.fs.vfs import Filesystem, Inode
from webvm.linux.errno import (
    EACCES,
    EBUSY,
    EINVAL,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    EPERM,
    EROFS,
    Errno,
)
from webvm.linux.fcntl import AT_FDCWD, NAME_MAX, PATH_MAX
from webvm.linux.stat import S_IFDIR, S_IFLNK, S_IFMT, S_ISVTX

MAXSYMLINKS = 40
MAY_EXEC, MAY_WRITE, MAY_READ = 1, 2, 4


class Dentry:
    """A name in a directory. `children`: name -> Dentry, or None for a name known to be absent."""

    __slots__ = ("inode", "parent", "name", "children", "mount")

    def __init__(self, inode: Inode, parent: "Dentry | None", name: bytes, mount: "Mount | None" = None):
        self.inode = inode
        self.parent = self if parent is None else parent
        self.name = name
        self.children = {}
        self.mount = mount  # set on the root of a mounted file system

    def __repr__(self):
        return f"<Dentry {self.path()!r}>"

    @property
    def attached(self) -> bool:
        """False once the name was removed while somebody held the dentry."""
        parent = self.parent
        return parent is self or parent.children.get(self.name, self) is self or not parent.inode.fs.cacheable

    def path(self, root: "Dentry | None" = None) -> bytes:
        """The absolute path as seen from `root`; a place outside it begins with "(unreachable)", as Linux shows it."""
        parts = []
        at = self
        while at is not root and at.parent is not at:
            parts.append(at.name)
            at = at.parent
        prefix = b"(unreachable)" if root is not None and at is not root else b""
        return prefix + b"/" + b"/".join(reversed(parts))

    def within(self, other: "Dentry") -> bool:
        """Is this `other`, or below it?"""
        at = self
        while at.inode is not other.inode:  # a directory has one place, though perhaps several dentries (hostfs)
            if at.parent is at:
                return False
            at = at.parent
        return True

    async def child(self, name: bytes) -> "Dentry | None":
        """The dentry of that name, None when there is none."""
        children = self.children
        if name in children:
            return children[name]
        if len(name) > NAME_MAX:
            raise Errno(ENAMETOOLONG)
        try:
            inode = await self.inode.lookup(name)
        except Errno as error:
            if error.number != ENOENT:
                raise
            inode = None
        found = inode and Dentry(inode, self, name)
        if self.inode.fs.cacheable:  # somebody may have been faster during the lookup
            return children.setdefault(name, found)
        return found

    def add(self, name: bytes, inode: Inode) -> "Dentry":
        """The name was created."""
        dentry = Dentry(inode, self, name)
        if self.inode.fs.cacheable:
            self.children[name] = dentry
        return dentry

    def remove(self, name: bytes):
        """The name is gone."""
        if self.inode.fs.cacheable:
            self.children[name] = None

    def move(self, child: "Dentry", newdir: "Dentry", newname: bytes, exchanged: "Dentry | None" = None):
        """`child` of this directory was renamed; `exchanged` took its old name."""
        oldname = child.name
        child.parent, child.name = newdir, newname
        if exchanged is not None:
            exchanged.parent, exchanged.name = self, oldname
        if self.inode.fs.cacheable:
            self.children[oldname] = exchanged
            newdir.children[newname] = child


class FileDentry(Dentry):
    """Stands for an open file that has no name; opening it (through /proc/PID/fd) gives the same open file."""

    __slots__ = ("file",)

    def __init__(self, file):
        super().__init__(file.inode, None, file.name())
        self.file = file


@dataclass
class Mount:
    fs: Filesystem
    root: Dentry
    covered: Dentry | None  # None: the root of everything
    read_only: bool = False
    id: int = 0


class Mounts:
    """The mount tree: one namespace for all tasks."""

    def __init__(self, fs: Filesystem):
        self._next_id = 1
        self.list: list[Mount] = []
        self.root = self._new(fs, None, fs.read_only).root

    def _new(self, fs, covered, read_only) -> Mount:
        root = Dentry(fs.root, covered and covered.parent, covered.name if covered else b"")
        root.mount = Mount(fs, root, covered, read_only, self._next_id)
        self._next_id += 1
        self.list.append(root.mount)
        return root.mount

    def mount(self, fs: Filesystem, at: Dentry, read_only: bool = False) -> Mount:
        """Cover the directory (or file) `at` by the root of `fs`."""
        if at.parent is at:
            raise Errno(EBUSY)
        if at.inode.is_dir != fs.root.is_dir:
            raise Errno(ENOTDIR)
        mount = self._new(fs, at, read_only or fs.read_only)
        at.parent.children[at.name] = mount.root
        return mount

    def umount(self, at: Dentry):
        mount = at.mount
        if mount is None or mount.covered is None:
            raise Errno(EINVAL)
        if any(other is not mount and other.root.within(at) for other in self.list):
            raise Errno(EBUSY)
        at.parent.children[at.name] = mount.covered
        self.list.remove(mount)

    def of(self, dentry: Dentry) -> Mount | None:
        """The mount a dentry belongs to; None for what is in no tree, as pipes are."""
        while dentry.mount is None:
            if dentry.parent is dentry:
                return None
            dentry = dentry.parent
        return dentry.mount


class FsContext:
    """What CLONE_FS shares: root, working directory, umask."""

    __slots__ = ("root", "cwd", "umask")

    def __init__(self, root: Dentry, cwd: Dentry | None = None, umask: int = 0o022):
        self.root = root
        self.cwd = cwd or root
        self.umask = umask

    def copy(self) -> "FsContext":
        return FsContext(self.root, self.cwd, self.umask)


@dataclass(slots=True)
class Place:
    """Where a walk ended: a name in a directory. `dentry` is None when nothing has that name.

    `name` is b"." , b".." or b"/" when the path ended so: then `dentry` is the directory itself.
    """

    parent: Dentry
    name: bytes
    dentry: Dentry | None
    slash: bool  # the path ended in a slash: it can only be a directory

    @property
    def special(self) -> bool:
        return self.name in (b".", b"..", b"/")


# -- permissions ----------------------------------------------------------------------------------------------------------


def permitted(cred, inode: Inode, want: int) -> bool:
    """The mode bits against fsuid and groups; root may all but execute a file without any x."""
    mode = inode.mode
    if cred.fsuid == 0:
        return not want & MAY_EXEC or mode & 0o111 != 0 or mode & S_IFMT == S_IFDIR
    if inode.uid == cred.fsuid:
        mode >>= 6
    elif inode.gid == cred.fsgid or inode.gid in cred.groups:
        mode >>= 3
    return mode & want == want


def check(cred, inode: Inode, want: int):
    if not permitted(cred, inode, want):
        raise Errno(EACCES)


def check_writable(task, dentry: Dentry):
    """EROFS when the file system or its mount is read-only."""
    mount = task.kernel.mounts.of(dentry)
    if dentry.inode.fs.read_only or mount is not None and mount.read_only:
        raise Errno(EROFS)


def check_create(task, place: Place):
    """May a name be made there?"""
    check_writable(task, place.parent)
    check(task.cred, place.parent.inode, MAY_WRITE | MAY_EXEC)


def check_delete(task, place: Place):
    """May the name be taken away? A sticky directory lets only owners do it."""
    check_writable(task, place.parent)
    cred, directory = task.cred, place.parent.inode
    check(cred, directory, MAY_WRITE | MAY_EXEC)
    if directory.mode & S_ISVTX and cred.fsuid not in (0, directory.uid, place.dentry.inode.uid):
        raise Errno(EPERM)
    if place.dentry.mount is not None:
        raise Errno(EBUSY)


# -- the walk -------------------------------------------------------------------------------------------------------------


def start_of(task, path: bytes, dirfd: int) -> Dentry:
    """The directory a path starts from."""
    if path[:1] == b"/":
        return task.fs.root
    if dirfd == AT_FDCWD:
        return task.fs.cwd
    dentry = task.files.get(dirfd).dentry
    if dentry is None or path and not dentry.inode.is_dir:
        raise Errno(ENOTDIR)
    return dentry


async def walk(task, path: bytes, dirfd: int = AT_FDCWD, follow: bool = True, parent: bool = False) -> Place:
    """Where the path leads; the last component may be absent. `follow`: the last component, too, if it is a link; also
    if a slash is after it, unless `parent` asks for the name itself, to make or remove it: then the caller looks at `slash`.

    ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG.
    """
    if not path:
        raise Errno(ENOENT)
    if len(path) >= PATH_MAX:
        raise Errno(ENAMETOOLONG)
    at = start_of(task, path, dirfd)
    cred, root = task.cred, task.fs.root
    slash = path[-1] == 47
    todo = [name for name in path.split(b"/") if name]
    todo.reverse()
    name, directory, links = b"/", at, 0
    follow_last = follow or slash and not parent
    while todo:
        name = todo.pop()
        inode = at.inode
        if inode.mode & S_IFMT != S_IFDIR:
            raise Errno(ENOTDIR)
        if cred.fsuid and not permitted(cred, inode, MAY_EXEC):
            raise Errno(EACCES)
        directory = at
        if name == b".":
            continue
        if name == b"..":
            if at is not root:
                at = at.parent
            continue
        children = at.children
        dentry = children[name] if name in children else await at.child(name)
        if dentry is None:
            if todo:
                raise Errno(ENOENT)
            return Place(directory, name, None, slash)
        if dentry.inode.mode & S_IFMT == S_IFLNK and (todo or follow_last):
            links += 1
            if links > MAXSYMLINKS:
                raise Errno(ELOOP)
            at_magic = dentry.inode.follow()
            if at_magic is not None:
                at = at_magic
                continue
            target = await dentry.inode.readlink()
            if not target:
                raise Errno(ENOENT)
            if len(target) >= PATH_MAX:
                raise Errno(ENAMETOOLONG)
            if not todo and target[-1] == 47:
                slash = follow_last = True
            if target[0] == 47:
                at, name = root, b"/"
                directory = at
            todo.extend(reversed([part for part in target.split(b"/") if part]))
            continue
        at = dentry
    if slash and not parent and at.inode.mode & S_IFMT != S_IFDIR:
        raise Errno(ENOTDIR)
    return Place(directory, name, at, slash)


async def resolve(task, path: bytes, dirfd: int = AT_FDCWD, follow: bool = True) -> Dentry:
    """The dentry the path leads to; ENOENT when there is none."""
    place = await walk(task, path, dirfd, follow)
    if place.dentry is None:
        raise Errno(ENOENT)
    return place.dentry
