"""A root file system before it is an image: paths, metadata, and where each file's bytes wait on the host.

Comes from tarballs and host folders that may be hostile. Nothing of what a tarball says reaches the host's file system
before it has become a Tree: contents wait in a file of our own, symbolic links are resolved inside the tree, owners,
modes and devices are numbers in a Node. Paths are bytes without a leading slash; the root is b"".
"""

import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .errors import DiskError

MAX_SYMLINKS = 40
XATTR_HEADER = "SCHILY.xattr."       # how tar's pax headers name an extended attribute


@dataclass(frozen=True)
class Content:
    """A stretch of a host file."""

    file: Path
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        with self.file.open("rb") as file:
            file.seek(self.offset)
            left = self.size
            while left and (chunk := file.read(min(left, 1 << 20))):
                left -= len(chunk)
                yield chunk


@dataclass(eq=False)
class Node:
    """One inode. Two paths that share a Node are hard links of each other."""

    mode: int                                   # S_IFMT and permissions
    uid: int = 0
    gid: int = 0
    mtime: int = 0                              # seconds
    content: Content | None = None              # a regular file's bytes
    target: bytes = b""                         # of a symbolic link
    rdev: tuple[int, int] = (0, 0)              # major, minor
    xattrs: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def size(self) -> int:
        return self.content.size if self.content else len(self.target)


class Tree:
    """Paths to nodes. `spool` is a host file, new, that keeps the contents for as long as the tree is used."""

    def __init__(self, spool: Path):
        self.nodes: dict[bytes, Node] = {b"": Node(stat.S_IFDIR | 0o755)}
        self._spool = spool
        spool.touch()

    # building

    def spool(self, source) -> Content:
        """Keeps what is read from a binary file."""
        with self._spool.open("ab") as out:
            offset = out.tell()
            shutil.copyfileobj(source, out, 1 << 20)
            return Content(self._spool, offset, out.tell() - offset)

    def write(self, path: bytes, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Node:
        """Puts a regular file there, in place of what was."""
        return self.put(path, Node(stat.S_IFREG | mode, uid, gid, content=self.spool(io.BytesIO(data))))

    def put(self, path: bytes, node: Node) -> Node:
        """Puts `node` at `path` as extracting it would: over what was there, except that directories merge."""
        path = self.resolve(path)
        old = self.nodes.get(path)
        if old and old.is_directory:
            if not node.is_directory:
                raise DiskError(f"{show(path)} is first a directory, then something else")
            old.mode, old.uid, old.gid, old.mtime, old.xattrs = node.mode, node.uid, node.gid, node.mtime, node.xattrs
            return old
        self.nodes[path] = node
        return node

    def remove(self, path: bytes) -> None:
        """Removes it, with what is below it, if it is there."""
        for other in [other for other in self.nodes if other == path or other.startswith(path + b"/")]:
            del self.nodes[other]

    def resolve(self, path: bytes) -> bytes:
        """`path` cleaned, symbolic links of its directories followed inside the tree, missing directories made.

        Raises DiskError for `..`, which no honest tarball holds.
        """
        parts = components(path)
        if b".." in parts:
            raise DiskError(f"{show(path)} leads out of the tree")
        where, links = b"", 0
        while len(parts) > 1:
            name = parts.pop(0)
            if name == b"..":
                where = where.rpartition(b"/")[0]
                continue
            step = join(where, name)
            node = self.nodes.get(step)
            if node is None:
                node = self.nodes[step] = Node(stat.S_IFDIR | 0o755)
            if stat.S_ISLNK(node.mode):
                links += 1
                if links > MAX_SYMLINKS:
                    raise DiskError(f"{show(path)} goes through too many symbolic links")
                if node.target.startswith(b"/"):
                    where = b""
                parts = components(node.target) + parts
            elif node.is_directory:
                where = step
            else:
                raise DiskError(f"{show(step)} is not a directory, but {show(path)} is below it")
        return join(where, parts[0]) if parts else where

    def add_tar(self, file: Path) -> None:
        """Everything in a tarball, compressed or not, in its order."""
        try:
            with tarfile.open(file, "r:*", encoding="utf-8", errors="surrogateescape") as tar:
                for member in tar:
                    self._add_member(tar, member)
        except (tarfile.TarError, EOFError) as error:
            raise DiskError(f"{file}: not a tarball that can be read: {error}") from error

    def _add_member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = encode(member.name)
        if member.islnk():
            target = self.nodes.get(self.resolve(encode(member.linkname)))
            if target is None or target.is_directory:
                raise DiskError(f"{show(path)} is a hard link to {show(encode(member.linkname))}, which is not there")
            self.put(path, target)
            return
        kind, content, xattrs = tar_kind(member), None, {}
        if kind is None:
            raise DiskError(f"{show(path)}: unknown kind of tar member {member.type!r}")
        if kind == stat.S_IFREG:
            content = self.spool(tar.extractfile(member))
        for name, value in member.pax_headers.items():
            if name.startswith(XATTR_HEADER):
                xattrs[encode(name.removeprefix(XATTR_HEADER))] = encode(value)
        rdev = (member.devmajor, member.devminor) if kind in (stat.S_IFCHR, stat.S_IFBLK) else (0, 0)
        self.put(path, Node(
            kind | member.mode & 0o7777, member.uid, member.gid, int(member.mtime),
            content, encode(member.linkname) if kind == stat.S_IFLNK else b"", rdev, xattrs,
        ))

    def add_folder(self, folder: Path, path: bytes, uid: int = 0, gid: int = 0) -> None:
        """A host folder (or file) as `path`, its owner `uid`:`gid`. Sockets and devices of the host stay there."""
        found = os.lstat(folder)
        node = Node(stat.S_IFMT(found.st_mode) | stat.S_IMODE(found.st_mode), uid, gid, int(found.st_mtime))
        if stat.S_ISLNK(found.st_mode):
            node.target = os.fsencode(os.readlink(folder))
        elif stat.S_ISREG(found.st_mode):
            node.content = Content(folder, 0, found.st_size)
        elif not stat.S_ISDIR(found.st_mode):
            return
        self.put(path, node)
        if stat.S_ISDIR(found.st_mode):
            for child in sorted(folder.iterdir()):
                self.add_folder(child, join(path, os.fsencode(child.name)), uid, gid)

    # using

    def read(self, path: bytes) -> bytes:
        """A regular file's bytes; none when there is no such file."""
        node = self.nodes.get(path)
        return b"".join(node.content.chunks()) if node and node.content else b""

    def items(self) -> Iterator[tuple[bytes, Node]]:
        """Every path and its node, a directory before what it holds."""
        return iter(sorted(self.nodes.items(), key=lambda item: item[0].split(b"/")))

    def digest(self) -> bytes:
        """A hash of all that makes the tree: equal trees have equal ones."""
        whole = hashlib.sha256()
        first: dict[Node, bytes] = {}
        for path, node in self.items():
            if first.setdefault(node, path) != path:
                whole.update(repr((path, first[node])).encode())
                continue
            whole.update(repr((
                path, node.mode, node.uid, node.gid, node.mtime, node.target, node.rdev, sorted(node.xattrs.items()),
            )).encode())
            if node.content:
                content = hashlib.sha256()
                for chunk in node.content.chunks():
                    content.update(chunk)
                whole.update(content.digest())
        return whole.digest()

    def unpack(self, folder: Path, metadata: bool) -> None:
        """Writes the tree below a host folder that is not there yet.

        Without `metadata`: names, contents and links only, all of it ours to read. With it: permissions and times too,
        and as root owners, devices and extended attributes.
        """
        root = os.fsencode(folder)
        placed: dict[Node, bytes] = {}
        for path, node in self.items():
            where = root + b"/" + path
            if node in placed:
                os.link(placed[node], where, follow_symlinks=False)
                continue
            if node.is_directory:
                os.mkdir(where)
            elif stat.S_ISLNK(node.mode):
                os.symlink(node.target, where)
            elif stat.S_ISREG(node.mode):
                with open(where, "wb") as out:
                    out.writelines(node.content.chunks())
            elif metadata and os.geteuid() == 0:
                os.mknod(where, node.mode, os.makedev(*node.rdev))
            else:
                continue
            placed[node] = where
        if metadata:
            for node, where in reversed(placed.items()):         # children first: a parent may be closed to writing
                self._apply(node, where)

    def _apply(self, node: Node, where: bytes) -> None:
        if os.geteuid() == 0:
            os.lchown(where, node.uid, node.gid)
            for name, value in node.xattrs.items():
                os.setxattr(where, name, value, follow_symlinks=False)
        if not stat.S_ISLNK(node.mode):
            os.chmod(where, stat.S_IMODE(node.mode))
        os.utime(where, (node.mtime, node.mtime), follow_symlinks=False)


def components(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def encode(text: str) -> bytes:
    """Text of a tar header as the bytes it was."""
    return text.encode("utf-8", "surrogateescape")


def show(path: bytes) -> str:
    return "/" + path.decode("utf-8", "backslashreplace")


def tar_kind(member: tarfile.TarInfo) -> int | None:
    """S_IFMT of a member that is not a hard link."""
    if member.isreg():
        return stat.S_IFREG
    return {
        tarfile.DIRTYPE: stat.S_IFDIR,
        tarfile.SYMTYPE: stat.S_IFLNK,
        tarfile.CHRTYPE: stat.S_IFCHR,
        tarfile.BLKTYPE: stat.S_IFBLK,
        tarfile.FIFOTYPE: stat.S_IFIFO,
    }.get(member.type)
