"""The table of file descriptors: what CLONE_FILES shares. Knows nothing of what a file is beyond retain and release."""

from heapq import heappop, heappush

from webvm.fs.vfs import File
from webvm.linux.errno import EBADF, EINVAL, EMFILE, Errno


class FileTable:
    """`limit` is RLIMIT_NOFILE: descriptors are below it. `on_close(table, file)` hears of every descriptor that goes
    (record locks end with the first one)."""

    def __init__(self, limit: int = 1024, on_close=None):
        self.limit = limit
        self.on_close = on_close
        self.refs = 1
        self._files: dict[int, File] = {}
        self._cloexec: set[int] = set()
        self._free: list[int] = []  # a heap of descriptors below _next that may be free
        self._next = 0  # all descriptors from here on are free

    # Looking up

    def get(self, fd: int) -> File:
        """EBADF."""
        file = self._files.get(fd)
        if file is None:
            raise Errno(EBADF)
        return file

    def __iter__(self):
        return iter(sorted(self._files))

    def __contains__(self, fd):
        return fd in self._files

    def __len__(self):
        return len(self._files)

    def cloexec(self, fd: int) -> bool:
        self.get(fd)
        return fd in self._cloexec

    def set_cloexec(self, fd: int, cloexec: bool):
        self.get(fd)
        (self._cloexec.add if cloexec else self._cloexec.discard)(fd)

    # Adding

    def install(self, file: File, cloexec: bool = False, minimum: int = 0) -> int:
        """The lowest free descriptor from `minimum` on; EMFILE."""
        fd = self._lowest(minimum)
        if fd >= self.limit:
            if not file.refs:
                file.retain().release()
            raise Errno(EMFILE)
        self.set(fd, file, cloexec)
        return fd

    def _lowest(self, minimum) -> int:
        if not minimum:
            free, files = self._free, self._files
            while free and (free[0] in files or free[0] >= self._next):
                heappop(free)
            return free[0] if free else self._next
        fd = minimum
        while fd in self._files:
            fd += 1
        return fd

    def set(self, fd: int, file: File, cloexec: bool = False):
        """Make `fd` this file, closing what it was (dup2); EBADF when out of range."""
        if not 0 <= fd < self.limit:
            raise Errno(EBADF)
        file.retain()
        if fd in self._files:
            self.close(fd)
        while self._next <= fd:
            if self._next < fd:
                heappush(self._free, self._next)
            self._next += 1
        self._files[fd] = file
        if cloexec:
            self._cloexec.add(fd)

    def dup(self, fd: int, cloexec: bool = False, minimum: int = 0) -> int:
        if not 0 <= minimum < self.limit:
            raise Errno(EINVAL)
        return self.install(self.get(fd), cloexec, minimum)

    # Removing

    def close(self, fd: int):
        file = self._files.pop(fd, None)
        if file is None:
            raise Errno(EBADF)
        self._cloexec.discard(fd)
        heappush(self._free, fd)
        if self.on_close is not None:
            self.on_close(self, file)
        file.release()

    def close_on_exec(self):
        for fd in sorted(self._cloexec):
            self.close(fd)

    def close_all(self):
        for fd in sorted(self._files):
            self.close(fd)

    # Sharing

    def share(self) -> "FileTable":
        """CLONE_FILES: one more task uses this table."""
        self.refs += 1
        return self

    def release(self):
        """A task is gone; the last one closes everything."""
        self.refs -= 1
        if self.refs == 0:
            self.close_all()

    def copy(self) -> "FileTable":
        """fork: the same open files under the same numbers."""
        table = FileTable(self.limit, self.on_close)
        table._files = {fd: file.retain() for fd, file in self._files.items()}
        table._cloexec = set(self._cloexec)
        table._free, table._next = list(self._free), self._next
        return table
