"""System calls on names: opening, making, removing, renaming, linking; attributes; working directory and root; mounts."""

from webvm.fs.tmpfs import Tmpfs
from webvm.fs.vfs import Directory, Inode, PathFile, now
from webvm.kernel.jobctl import open_tty
from webvm.kernel.open import open_path
from webvm.kernel.path import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    Dentry,
    FileDentry,
    Place,
    check,
    check_create,
    check_delete,
    check_writable,
    permitted,
    resolve,
    walk,
)
from webvm.kernel.syscall import Fd, Flags, Int, Mode, OpenMode, Path, Ptr, Size, Struct, UInt, constants, storing, syscall
from webvm.linux.errno import (
    E2BIG,
    EACCES,
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    EXDEV,
    Errno,
)
from webvm.linux.fcntl import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    O_CLOEXEC,
    O_CREAT,
    O_NOCTTY,
    O_TRUNC,
    O_WRONLY,
    OPEN_HOW,
    PATH_MAX,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RESOLVE_NO_SYMLINKS,
)
from webvm.linux.stat import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISGID,
    S_ISUID,
    STATX,
    STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS,
    STATX_MNT_ID,
    TIMESPEC,
    TIMEVAL,
    UTIME_NOW,
    UTIME_OMIT,
    major,
    minor,
    pack_stat,
)
from webvm.linux.statfs import ST_RDONLY, ST_RELATIME, ST_VALID, STATFS

NO_ID = 0xFFFFFFFF  # -1: leave the owner, or the group, as it is
SECOND = 1_000_000_000


async def at(task, dirfd: int, path: int, flags: int = 0, follow: bool = True) -> Dentry:
    """The place a *at call names; AT_EMPTY_PATH with an empty path: that of the descriptor."""
    name = await task.mem.cstring(path) if path or not flags & AT_EMPTY_PATH else b""
    if not name and flags & AT_EMPTY_PATH:
        return task.fs.cwd if dirfd == AT_FDCWD else of_file(task.files.get(dirfd))
    return await resolve(task, name, dirfd, follow)


def of_file(file) -> Dentry:
    """The place an open file was opened by; one of its own for files that have no name."""
    return FileDentry(file) if file.dentry is None else file.dentry


async def parent_of(task, dirfd: int, path: int) -> Place:
    """Where a name is to be made or removed."""
    return await walk(task, await task.mem.cstring(path), dirfd, follow=False, parent=True)


# -- opening --------------------------------------------------------------------------------------------------------------


async def _open(task, dirfd, path, flags, mode):
    file = await open_path(task, await task.mem.cstring(path), flags, mode, dirfd)
    if file.tty is not None and not flags & O_NOCTTY:
        open_tty(task, file.tty)
    return task.files.install(file, bool(flags & O_CLOEXEC))


@syscall(2, "open")
async def open_(task, path: Path, flags: Flags("O_", "fcntl", 3), mode: OpenMode):
    return await _open(task, AT_FDCWD, path, flags, mode)


@syscall(257)
async def openat(task, dirfd: Fd, path: Path, flags: Flags("O_", "fcntl", 3), mode: OpenMode):
    return await _open(task, dirfd, path, flags, mode)


@syscall(85)
async def creat(task, path: Path, mode: Mode):
    return await _open(task, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall(437, note="of the resolve flags only RESOLVE_NO_SYMLINKS on the last component")
async def openat2(task, dirfd: Fd, path: Path, how: Ptr, size: Size):
    if size < OPEN_HOW.size:
        raise Errno(EINVAL)
    if size > OPEN_HOW.size and any(await task.mem.read(how + OPEN_HOW.size, min(size, 4096) - OPEN_HOW.size)):
        raise Errno(E2BIG)
    flags, mode, how_resolve = OPEN_HOW.unpack(await task.mem.read(how, OPEN_HOW.size))
    if mode & ~0o7777 or mode and not flags & O_CREAT or flags >> 32 or how_resolve & ~0x3F:
        raise Errno(EINVAL)
    if how_resolve & RESOLVE_NO_SYMLINKS:
        if (await resolve(task, await task.mem.cstring(path), dirfd, follow=False)).inode.is_symlink:
            raise Errno(ELOOP)
    return await _open(task, dirfd, path, flags, mode)


# -- attributes -----------------------------------------------------------------------------------------------------------


def _stat_text(data):
    mode, size = int.from_bytes(data[24:28], "little"), int.from_bytes(data[48:56], "little")
    rdev = int.from_bytes(data[40:48], "little")
    kind = KINDS.get(mode & S_IFMT)
    what = f"st_rdev=makedev({major(rdev):#x}, {minor(rdev):#x})" if kind in ("S_IFCHR", "S_IFBLK") else f"st_size={size}"
    shown = f"{kind}|{mode & 0o7777:#05o}" if kind else f"{mode:#o}"
    return f"{{st_mode={shown.replace('0o', '0')}, {what}, ...}}"


KINDS = {value: name for name, value in constants("S_IF", "stat") if name != "S_IFMT"}
Stat = Struct(144, _stat_text, out=True)
Access = Flags(("F_OK", "R_OK", "W_OK", "X_OK"), "fcntl")
AccessFlags = Flags(("AT_EACCESS", "AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH"), "fcntl")


async def _stat(task, inode: Inode, address):
    await task.mem.write(address, pack_stat(*inode.stat()))
    return 0


@syscall(4)
async def stat(task, path: Path, statbuf: Stat):
    return await _stat(task, (await resolve(task, await task.mem.cstring(path))).inode, statbuf)


@syscall(5)
def fstat(task, fd: Fd, statbuf: Stat):
    return storing(task, statbuf, pack_stat(*task.files.get(fd).inode.stat()))


@syscall(6)
async def lstat(task, path: Path, statbuf: Stat):
    return await _stat(task, (await resolve(task, await task.mem.cstring(path), follow=False)).inode, statbuf)


@syscall(262)
async def newfstatat(task, dirfd: Fd, path: Path, statbuf: Stat, flags: Flags("AT_", "fcntl")):
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH):
        raise Errno(EINVAL)
    dentry = await at(task, dirfd, path, flags, not flags & AT_SYMLINK_NOFOLLOW)
    return await _stat(task, dentry.inode, statbuf)


@syscall(332)
async def statx(task, dirfd: Fd, path: Path, flags: Flags("AT_", "fcntl"), mask: Flags("STATX_", "stat"), buf: Ptr):
    if flags & ~0x7900 or flags & 0x6000 == 0x6000 or mask >> 31:
        raise Errno(EINVAL)
    dentry = await at(task, dirfd, path, flags, not flags & AT_SYMLINK_NOFOLLOW)
    s = dentry.inode.stat()
    times = [part for time in (s.atime, 0, s.ctime, s.mtime) for part in divmod(time, SECOND)]
    attributes = STATX_ATTR_MOUNT_ROOT if dentry.mount else 0
    await task.mem.write(buf, STATX.pack(
        STATX_BASIC_STATS | STATX_MNT_ID, s.blksize, attributes, s.nlink, s.uid, s.gid, s.mode, s.ino, s.size, s.blocks,
        STATX_ATTR_MOUNT_ROOT, *times, major(s.rdev), minor(s.rdev), major(s.dev), minor(s.dev), mount_id(dentry),
    ))  # fmt: skip
    return 0


def mount_id(dentry: Dentry) -> int:
    """The number of the mount a place belongs to."""
    while dentry.mount is None and dentry.parent is not dentry:
        dentry = dentry.parent
    return dentry.mount.id if dentry.mount else 0


async def _access(task, dirfd, path, mode, flags):
    if mode & ~7 or flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise Errno(EINVAL)
    saved = task.cred
    if not flags & AT_EACCESS and (saved.fsuid, saved.fsgid) != (saved.uid, saved.gid):
        task.cred = saved.copy(fsuid=saved.uid, fsgid=saved.gid)
    try:
        dentry = await at(task, dirfd, path, flags, not flags & AT_SYMLINK_NOFOLLOW)
        check(task.cred, dentry.inode, mode)
    finally:
        task.cred = saved
    if mode & MAY_WRITE and dentry.inode.mode & S_IFMT in (S_IFREG, S_IFDIR):
        check_writable(task, dentry)
    return 0


@syscall(21)
async def access(task, path: Path, mode: Access):
    return await _access(task, AT_FDCWD, path, mode, 0)


@syscall(269)
async def faccessat(task, dirfd: Fd, path: Path, mode: Access):
    return await _access(task, dirfd, path, mode, 0)


@syscall(439)
async def faccessat2(task, dirfd: Fd, path: Path, mode: Access, flags: AccessFlags):
    return await _access(task, dirfd, path, mode, flags)


def _owner_only(task, dentry: Dentry):
    check_writable(task, dentry)
    if task.cred.fsuid not in (0, dentry.inode.uid):
        raise Errno(EPERM)


async def _chmod(task, dentry: Dentry, mode):
    if dentry.inode.is_symlink:
        raise Errno(EOPNOTSUPP)
    _owner_only(task, dentry)
    if mode & S_ISGID and task.cred.fsuid and not task.cred.in_group(dentry.inode.gid):
        mode &= ~S_ISGID
    await dentry.inode.setattr(mode=mode & 0o7777)
    return 0


@syscall(90)
async def chmod(task, path: Path, mode: Mode):
    return await _chmod(task, await at(task, AT_FDCWD, path), mode)


@syscall(91)
async def fchmod(task, fd: Fd, mode: Mode):
    return await _chmod(task, _not_path(task, fd), mode)


def _not_path(task, fd) -> Dentry:
    file = task.files.get(fd)
    if isinstance(file, PathFile):
        raise Errno(EBADF)
    return of_file(file)


@syscall(268)
async def fchmodat(task, dirfd: Fd, path: Path, mode: Mode):
    return await _chmod(task, await at(task, dirfd, path), mode)


@syscall(452)
async def fchmodat2(task, dirfd: Fd, path: Path, mode: Mode, flags: Flags("AT_", "fcntl")):
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise Errno(EINVAL)
    return await _chmod(task, await at(task, dirfd, path, flags, not flags & AT_SYMLINK_NOFOLLOW), mode)


async def _chown(task, dentry: Dentry, uid, gid):
    check_writable(task, dentry)
    inode, cred = dentry.inode, task.cred
    uid = None if uid == NO_ID else uid
    gid = None if gid == NO_ID else gid
    if cred.fsuid:
        if uid is not None and (uid != inode.uid or cred.fsuid != inode.uid):
            raise Errno(EPERM)
        if gid is not None and (cred.fsuid != inode.uid or gid != inode.gid and not cred.in_group(gid)):
            raise Errno(EPERM)
    mode = None
    if not inode.is_dir and inode.mode & (S_ISUID | S_ISGID):
        mode = inode.mode & 0o7777 & ~S_ISUID
        if mode & 0o010:
            mode &= ~S_ISGID
    await inode.setattr(mode=mode, uid=uid, gid=gid)
    return 0


@syscall(92)
async def chown(task, path: Path, uid: UInt, gid: UInt):
    return await _chown(task, await at(task, AT_FDCWD, path), uid, gid)


@syscall(93)
async def fchown(task, fd: Fd, uid: UInt, gid: UInt):
    return await _chown(task, _not_path(task, fd), uid, gid)


@syscall(94)
async def lchown(task, path: Path, uid: UInt, gid: UInt):
    return await _chown(task, await at(task, AT_FDCWD, path, follow=False), uid, gid)


@syscall(260)
async def fchownat(task, dirfd: Fd, path: Path, uid: UInt, gid: UInt, flags: Flags("AT_", "fcntl")):
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise Errno(EINVAL)
    return await _chown(task, await at(task, dirfd, path, flags, not flags & AT_SYMLINK_NOFOLLOW), uid, gid)


async def _utimes(task, dentry: Dentry, times):
    """`times`: (atime, mtime) in nanoseconds, each None to omit; or None: both now."""
    check_writable(task, dentry)
    inode, cred = dentry.inode, task.cred
    if times is None:
        if cred.fsuid not in (0, inode.uid) and not permitted(cred, inode, MAY_WRITE):
            raise Errno(EACCES)
        time = now()
        times = time, time
    elif times != (None, None) and cred.fsuid not in (0, inode.uid):
        raise Errno(EPERM)
    if times != (None, None):
        await inode.setattr(atime=times[0], mtime=times[1])
    return 0


@syscall(280)
async def utimensat(task, dirfd: Fd, path: Path, times: Ptr, flags: Flags("AT_", "fcntl")):
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise Errno(EINVAL)
    pair = None
    if times:
        data = await task.mem.read(times, 32)
        specs = [TIMESPEC.unpack_from(data, i) for i in (0, 16)]
        if any(nsec not in (UTIME_NOW, UTIME_OMIT) and not 0 <= nsec < SECOND for _, nsec in specs):
            raise Errno(EINVAL)
        if not all(nsec == UTIME_NOW for _, nsec in specs):
            special = {UTIME_NOW: now(), UTIME_OMIT: None}
            pair = tuple(special[nsec] if nsec in special else sec * SECOND + nsec for sec, nsec in specs)
    if not path:
        if dirfd == AT_FDCWD:
            raise Errno(EFAULT)
        return await _utimes(task, _not_path(task, dirfd), pair)
    return await _utimes(task, await at(task, dirfd, path, flags, not flags & AT_SYMLINK_NOFOLLOW), pair)


async def _timevals(task, address):
    if not address:
        return None
    data = await task.mem.read(address, 32)
    pairs = [TIMEVAL.unpack_from(data, i) for i in (0, 16)]
    if any(not 0 <= usec < 1_000_000 for _, usec in pairs):
        raise Errno(EINVAL)
    return tuple(sec * SECOND + usec * 1000 for sec, usec in pairs)


@syscall(235)
async def utimes(task, path: Path, times: Ptr):
    return await _utimes(task, await at(task, AT_FDCWD, path), await _timevals(task, times))


@syscall(261)
async def futimesat(task, dirfd: Fd, path: Path, times: Ptr):
    pair = await _timevals(task, times)
    return await _utimes(task, await at(task, dirfd, path) if path else _not_path(task, dirfd), pair)


@syscall(132)
async def utime(task, path: Path, times: Ptr):
    pair = None
    if times:
        pair = tuple(sec * SECOND for sec in TIMEVAL.unpack(await task.mem.read(times, 16)))
    return await _utimes(task, await at(task, AT_FDCWD, path), pair)


@syscall(95)
def umask(task, mask: Mode):
    old, task.fs.umask = task.fs.umask, mask & 0o777
    return old


# -- making and removing names --------------------------------------------------------------------------------------------


def _vacant(task, place: Place, directory=False):
    """A new name can be made there."""
    if place.dentry is not None:
        raise Errno(EEXIST)
    if place.slash and not directory:
        raise Errno(ENOENT)
    check_create(task, place)


async def _mkdir(task, dirfd, path, mode):
    place = await parent_of(task, dirfd, path)
    _vacant(task, place, directory=True)
    mode = mode & 0o1777 & ~task.fs.umask
    inode = await place.parent.inode.mkdir(place.name, mode, task.cred.fsuid, task.cred.fsgid)
    place.parent.add(place.name, inode)
    return 0


@syscall(83)
async def mkdir(task, path: Path, mode: Mode):
    return await _mkdir(task, AT_FDCWD, path, mode)


@syscall(258)
async def mkdirat(task, dirfd: Fd, path: Path, mode: Mode):
    return await _mkdir(task, dirfd, path, mode)


async def _mknod(task, dirfd, path, mode, dev):
    kind = mode & S_IFMT or S_IFREG
    if kind == S_IFDIR:
        raise Errno(EPERM)
    if kind not in (S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK):
        raise Errno(EINVAL)
    place = await parent_of(task, dirfd, path)
    _vacant(task, place)
    if kind in (S_IFCHR, S_IFBLK) and task.cred.fsuid:
        raise Errno(EPERM)
    mode = kind | mode & 0o7777 & ~task.fs.umask
    dev = dev if kind in (S_IFCHR, S_IFBLK) else 0
    inode = await place.parent.inode.mknod(place.name, mode, dev, task.cred.fsuid, task.cred.fsgid)
    place.parent.add(place.name, inode)
    return 0


@syscall(133)
async def mknod(task, path: Path, mode: Mode, dev: UInt):
    return await _mknod(task, AT_FDCWD, path, mode, dev)


@syscall(259)
async def mknodat(task, dirfd: Fd, path: Path, mode: Mode, dev: UInt):
    return await _mknod(task, dirfd, path, mode, dev)


async def _symlink(task, target, dirfd, path):
    text = await task.mem.cstring(target)
    if not text:
        raise Errno(ENOENT)
    if len(text) >= PATH_MAX:
        raise Errno(ENAMETOOLONG)
    place = await parent_of(task, dirfd, path)
    _vacant(task, place)
    inode = await place.parent.inode.symlink(place.name, text, task.cred.fsuid, task.cred.fsgid)
    place.parent.add(place.name, inode)
    return 0


@syscall(88)
async def symlink(task, target: Path, path: Path):
    return await _symlink(task, target, AT_FDCWD, path)


@syscall(266)
async def symlinkat(task, target: Path, dirfd: Fd, path: Path):
    return await _symlink(task, target, dirfd, path)


async def _link(task, olddirfd, oldpath, newdirfd, newpath, flags):
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise Errno(EINVAL)
    old = await at(task, olddirfd, oldpath, flags, bool(flags & AT_SYMLINK_FOLLOW))
    place = await parent_of(task, newdirfd, newpath)
    if place.dentry is None and old.inode.fs is not place.parent.inode.fs:
        raise Errno(EXDEV)
    _vacant(task, place)
    if old.inode.is_dir:
        raise Errno(EPERM)
    _may_link(task.cred, old.inode)
    await place.parent.inode.link(place.name, old.inode)
    place.parent.add(place.name, old.inode)
    return 0


def _may_link(cred, inode: Inode):
    """protected_hardlinks: one's own files, or ordinary ones one may read and write."""
    ordinary = inode.is_reg and not inode.mode & S_ISUID and inode.mode & (S_ISGID | 0o010) != S_ISGID | 0o010
    if cred.fsuid not in (0, inode.uid) and not (ordinary and permitted(cred, inode, MAY_READ | MAY_WRITE)):
        raise Errno(EPERM)


@syscall(86)
async def link(task, oldpath: Path, newpath: Path):
    return await _link(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)


@syscall(265)
async def linkat(task, olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path, flags: Flags("AT_", "fcntl")):
    return await _link(task, olddirfd, oldpath, newdirfd, newpath, flags)


async def _unlink(task, dirfd, path):
    place = await parent_of(task, dirfd, path)
    if place.special:
        raise Errno(EISDIR)
    if place.dentry is None:
        raise Errno(ENOENT)
    if place.slash:
        raise Errno(EISDIR if place.dentry.inode.is_dir else ENOTDIR)
    check_delete(task, place)
    if place.dentry.inode.is_dir:
        raise Errno(EISDIR)
    await place.parent.inode.unlink(place.name)
    place.parent.remove(place.name)
    return 0


async def _rmdir(task, dirfd, path):
    place = await parent_of(task, dirfd, path)
    if place.special:
        raise Errno({b".": EINVAL, b"..": ENOTEMPTY, b"/": EBUSY}[place.name])
    if place.dentry is None:
        raise Errno(ENOENT)
    check_delete(task, place)
    if not place.dentry.inode.is_dir:
        raise Errno(ENOTDIR)
    await place.parent.inode.rmdir(place.name)
    place.parent.remove(place.name)
    return 0


@syscall(84)
async def rmdir(task, path: Path):
    return await _rmdir(task, AT_FDCWD, path)


@syscall(87)
async def unlink(task, path: Path):
    return await _unlink(task, AT_FDCWD, path)


@syscall(263)
async def unlinkat(task, dirfd: Fd, path: Path, flags: Flags("AT_REMOVEDIR", "fcntl")):
    if flags & ~AT_REMOVEDIR:
        raise Errno(EINVAL)
    return await (_rmdir if flags else _unlink)(task, dirfd, path)


async def _rename(task, olddirfd, oldpath, newdirfd, newpath, flags):
    if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) or flags == RENAME_NOREPLACE | RENAME_EXCHANGE:
        raise Errno(EINVAL)
    old = await parent_of(task, olddirfd, oldpath)
    new = await parent_of(task, newdirfd, newpath)
    if old.parent.inode.fs is not new.parent.inode.fs:
        raise Errno(EXDEV)
    if old.special or new.special:
        raise Errno(EEXIST if flags & RENAME_NOREPLACE and new.special else EBUSY)
    if old.dentry is None:
        raise Errno(ENOENT)
    if flags & RENAME_NOREPLACE and new.dentry is not None:
        raise Errno(EEXIST)
    if flags & RENAME_EXCHANGE and new.dentry is None:
        raise Errno(ENOENT)
    must_be_dir = old.slash, new.slash
    if flags & RENAME_EXCHANGE:
        if new.slash and not new.dentry.inode.is_dir:
            raise Errno(ENOTDIR)
        must_be_dir = (old.slash,)
    if any(must_be_dir) and not old.dentry.inode.is_dir:
        raise Errno(ENOTDIR)
    if new.parent.within(old.dentry):
        raise Errno(EINVAL)
    if new.dentry is not None and old.parent.within(new.dentry):
        raise Errno(EINVAL if flags & RENAME_EXCHANGE else ENOTEMPTY)
    check_writable(task, old.parent)
    if new.dentry is not None and new.dentry.inode is old.dentry.inode:
        return 0  # two names of one file: nothing happens
    check_delete(task, old)
    if new.dentry is None:
        check_create(task, new)
    else:
        check_delete(task, new)
        if not flags & RENAME_EXCHANGE and old.dentry.inode.is_dir != new.dentry.inode.is_dir:
            raise Errno(ENOTDIR if old.dentry.inode.is_dir else EISDIR)
    if old.dentry.inode.is_dir and old.parent is not new.parent:
        check(task.cred, old.dentry.inode, MAY_WRITE)  # its `..` changes
    await old.parent.inode.rename(old.name, new.parent.inode, new.name, flags)
    old.parent.move(old.dentry, new.parent, new.name, new.dentry if flags & RENAME_EXCHANGE else None)
    return 0


@syscall(82)
async def rename(task, oldpath: Path, newpath: Path):
    return await _rename(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0)


@syscall(264)
async def renameat(task, olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path):
    return await _rename(task, olddirfd, oldpath, newdirfd, newpath, 0)


@syscall(316)
async def renameat2(task, olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path, flags: Flags("RENAME_", "fcntl")):
    return await _rename(task, olddirfd, oldpath, newdirfd, newpath, flags)


async def _readlink(task, dirfd, path, buf, size):
    if size <= 0:
        raise Errno(EINVAL)
    dentry = await at(task, dirfd, path, AT_EMPTY_PATH if dirfd != AT_FDCWD else 0, follow=False)
    target = (await dentry.inode.readlink())[:size]
    await task.mem.write(buf, target)
    return len(target)


@syscall(89)
async def readlink(task, path: Path, buf: Ptr, bufsiz: Int):
    return await _readlink(task, AT_FDCWD, path, buf, bufsiz)


@syscall(267)
async def readlinkat(task, dirfd: Fd, path: Path, buf: Ptr, bufsiz: Int):
    return await _readlink(task, dirfd, path, buf, bufsiz)


# -- working directory and root -------------------------------------------------------------------------------------------


@syscall(79)
async def getcwd(task, buf: Ptr, size: Size):
    cwd = task.fs.cwd
    if cwd.inode.nlink == 0:
        raise Errno(ENOENT)
    path = cwd.path(task.fs.root) + b"\0"
    if len(path) > size:
        raise Errno(ERANGE)
    await task.mem.write(buf, path)
    return len(path)


def _enter(task, dentry: Dentry) -> Dentry:
    if not dentry.inode.is_dir:
        raise Errno(ENOTDIR)
    check(task.cred, dentry.inode, MAY_EXEC)
    return dentry


@syscall(80)
async def chdir(task, path: Path):
    task.fs.cwd = _enter(task, await at(task, AT_FDCWD, path))
    return 0


@syscall(81)
def fchdir(task, fd: Fd):
    file = task.files.get(fd)
    if not isinstance(file, (Directory, PathFile)):
        raise Errno(ENOTDIR)
    task.fs.cwd = _enter(task, file.dentry)
    return 0


@syscall(161)
async def chroot(task, path: Path):
    dentry = _enter(task, await at(task, AT_FDCWD, path))
    if not task.cred.privileged:
        raise Errno(EPERM)
    task.fs.root = dentry
    return 0


# -- file systems ---------------------------------------------------------------------------------------------------------


async def _statfs(task, dentry: Dentry, address):
    fs = dentry.inode.fs
    s = await fs.statfs()
    flags = ST_VALID | ST_RELATIME | (ST_RDONLY if fs.read_only else 0)
    await task.mem.write(address, STATFS.pack(
        s.type, s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree, fs.dev & 0x7FFFFFFF, 0, s.namelen, s.bsize, flags,
    ))  # fmt: skip
    return 0


@syscall(137)
async def statfs(task, path: Path, buf: Ptr):
    return await _statfs(task, await at(task, AT_FDCWD, path), buf)


@syscall(138)
async def fstatfs(task, fd: Fd, buf: Ptr):
    return await _statfs(task, of_file(task.files.get(fd)), buf)


@syscall(165, note="tmpfs only; no bind mounts, no remounting")
async def mount(task, source: Path, target: Path, filesystemtype: Path, mountflags: Flags("MS_"), data: Ptr):
    if not task.cred.privileged:
        raise Errno(EPERM)
    dentry = await at(task, AT_FDCWD, target)
    kind = await task.mem.cstring(filesystemtype) if filesystemtype else b""
    if mountflags & ~0x20F & ~(1 << 21) & ~(1 << 24):  # all but ro nosuid nodev noexec silent relatime strictatime
        raise Errno(EPERM)
    if kind != b"tmpfs":
        raise Errno(ENODEV)
    task.kernel.mounts.mount(Tmpfs(mode=0o1777), dentry, bool(mountflags & 1))
    return 0


@syscall(166)
async def umount2(task, target: Path, flags: Flags("MNT_")):
    if not task.cred.privileged:
        raise Errno(EPERM)
    task.kernel.mounts.umount(await at(task, AT_FDCWD, target))
    return 0


@syscall(155, note="EPERM")
def pivot_root(task, new_root: Path, put_old: Path):
    raise Errno(EPERM)
