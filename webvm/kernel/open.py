"""Opening a place in the file system: what open(2) checks and does, for system calls, exec and the machine's own use."""

from webvm.fs.pipe import open_fifo
from webvm.fs.vfs import ANON_INODE, Directory, File, PathFile
from webvm.kernel.path import (
    AT_FDCWD,
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    Dentry,
    FileDentry,
    Place,
    check,
    check_create,
    check_writable,
    walk,
)
from webvm.linux.errno import (
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENOENT,
    ENOTDIR,
    ENXIO,
    EPERM,
    Errno,
)
from webvm.linux.fcntl import (
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_PATH,
    O_RDONLY,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
)
from webvm.linux.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID

ONLY_FOR_OPEN = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC  # F_GETFL does not show these
WITH_O_PATH = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
_TMPFILE = O_TMPFILE & ~O_DIRECTORY
_ACCESS = {O_RDONLY: MAY_READ, O_WRONLY: MAY_WRITE}


async def open_path(task, path: bytes, flags: int, mode: int = 0, dirfd: int = AT_FDCWD) -> File:
    """open(2) and openat(2), without the descriptor."""
    if flags & O_PATH:
        flags &= WITH_O_PATH
    if flags & _TMPFILE:
        return await _open_tmpfile(task, path, flags, mode, dirfd)
    create = flags & O_CREAT
    if create and flags & O_DIRECTORY:
        raise Errno(EINVAL)
    follow = not flags & O_NOFOLLOW and not (create and (flags & O_EXCL or path[-1:] == b"/"))
    place = await walk(task, path, dirfd, follow, parent=bool(create))
    if create and place.slash and not place.special:
        raise Errno(EISDIR)
    if place.dentry is None:
        if not create:
            raise Errno(ENOENT)
        return await _open_created(task, place, flags, mode)
    if create and flags & O_EXCL:
        raise Errno(EEXIST)
    if create and place.dentry.inode.is_dir:
        raise Errno(EISDIR)
    return await open_dentry(task, place.dentry, flags)


async def _open_created(task, place: Place, flags: int, mode: int) -> File:
    check_create(task, place)
    cred = task.cred
    mode &= 0o7777 & ~task.fs.umask
    try:
        inode = await place.parent.inode.create(place.name, mode, cred.fsuid, cred.fsgid)
    except Errno as error:  # somebody made it during our lookup
        if error.number != EEXIST or flags & O_EXCL:
            raise
        dentry = await place.parent.child(place.name)
        if dentry is None:
            raise
        return await open_dentry(task, dentry, flags)
    return await _open(task, place.parent.add(place.name, inode), flags)


async def _open_tmpfile(task, path, flags, mode, dirfd) -> File:
    if not flags & O_DIRECTORY or flags & O_ACCMODE == O_RDONLY:
        raise Errno(EINVAL)
    place = await walk(task, path, dirfd, not flags & O_NOFOLLOW)
    if place.dentry is None:
        raise Errno(ENOENT)
    directory = place.dentry
    if not directory.inode.is_dir:
        raise Errno(ENOTDIR)
    check_writable(task, directory)
    check(task.cred, directory.inode, MAY_WRITE | MAY_EXEC)
    inode = await directory.inode.tmpfile(mode & 0o7777 & ~task.fs.umask, task.cred.fsuid, task.cred.fsgid)
    dentry = Dentry(inode, directory, b"#%d (deleted)" % inode.ino)
    return await _open(task, dentry, flags & ~O_DIRECTORY & ~_TMPFILE)


async def open_dentry(task, dentry: Dentry, flags: int) -> File:
    """Open what is there already, with open(2)'s checks."""
    inode = dentry.inode
    kind = inode.mode & S_IFMT
    if flags & O_DIRECTORY and kind != S_IFDIR:
        raise Errno(ENOTDIR)
    if flags & O_PATH:
        file = PathFile(inode, flags & ~O_CLOEXEC)
        file.dentry = dentry
        return file
    if inode is ANON_INODE and isinstance(dentry, FileDentry):
        return dentry.file
    want = _ACCESS.get(flags & O_ACCMODE, MAY_READ | MAY_WRITE) | (MAY_WRITE if flags & O_TRUNC else 0)
    if kind == S_IFLNK:
        raise Errno(ELOOP)
    if kind == S_IFDIR and want & MAY_WRITE:
        raise Errno(EISDIR)
    check(task.cred, inode, want)
    if want & MAY_WRITE and kind == S_IFREG:
        check_writable(task, dentry)
    if flags & O_NOATIME and task.cred.fsuid not in (0, inode.uid):
        raise Errno(EPERM)
    file = await _open(task, dentry, flags)
    if flags & O_TRUNC and kind == S_IFREG:
        await inode.truncate(0)
        await drop_privileges(task, inode)
    return file


async def _open(task, dentry: Dentry, flags: int) -> File:
    inode = dentry.inode
    kept = flags & ~ONLY_FOR_OPEN | O_LARGEFILE
    match inode.mode & S_IFMT:
        case kind if kind == S_IFCHR or kind == S_IFBLK:
            file = await task.kernel.devices.open(inode, flags | O_LARGEFILE, task.group.tty, task.cred.fsuid)
            file.flags &= ~ONLY_FOR_OPEN
        case kind if kind == S_IFIFO:
            file = await open_fifo(inode, kept)
        case kind if kind == S_IFSOCK:
            raise Errno(ENXIO)
        case _:
            file = await inode.open(kept)
    if isinstance(file, Directory):
        file.parent_ino = dentry.parent.inode.ino
    if file.dentry is None:
        file.dentry = dentry
    return file


async def drop_privileges(task, inode):
    """file_remove_privs: who changes a program without being root takes its set-ID bits away."""
    mode = inode.mode
    if task.cred.fsuid and inode.is_reg:
        if mode & S_ISUID:
            mode &= ~S_ISUID
        if mode & (S_ISGID | 0o010) == S_ISGID | 0o010:
            mode &= ~S_ISGID
        if mode != inode.mode:
            await inode.setattr(mode=mode & 0o7777)
