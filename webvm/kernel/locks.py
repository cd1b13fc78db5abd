"""Advisory locks of one machine: record locks (fcntl), those of open file descriptions (F_OFD_*), flock(2).

An owner is whatever the lock belongs to: a FileTable for record locks (they go when any descriptor of the file is closed),
a File for the other two. Record and OFD locks see each other; flock is a world of its own.
"""

from typing import NamedTuple
from weakref import WeakKeyDictionary

from webvm.fs.wait import WaitQueue
from webvm.linux.errno import EAGAIN, EDEADLK, Errno
from webvm.linux.fcntl import F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_UN

TO_END = 1 << 63


class Lock(NamedTuple):
    """Bytes start to end (excluded) of a file."""

    type: int
    start: int
    end: int
    owner: object
    pid: int


class _Locks:
    """Those of one inode."""

    def __init__(self):
        self.records: list[Lock] = []
        self.flocks: dict[object, int] = {}  # File -> LOCK_SH | LOCK_EX
        self.changed = WaitQueue()


class LockTable:
    def __init__(self):
        self._inodes = WeakKeyDictionary()
        self._waiting = {}  # owner -> owner it waits for, to find deadlocks

    def _of(self, inode) -> _Locks:
        locks = self._inodes.get(inode)
        if locks is None:
            locks = self._inodes[inode] = _Locks()
        return locks

    # Record locks

    def conflict(self, inode, wanted: Lock) -> Lock | None:
        """The first lock that forbids this one (F_GETLK)."""
        for lock in self._of(inode).records:
            if (
                lock.owner is not wanted.owner
                and lock.start < wanted.end
                and wanted.start < lock.end
                and F_WRLCK in (lock.type, wanted.type)
            ):
                return lock
        return None

    async def set(self, inode, wanted: Lock, wait: bool):
        """F_SETLK, F_SETLKW: EAGAIN, EDEADLK. F_UNLCK removes."""
        locks = self._of(inode)
        if wanted.type != F_UNLCK:
            while (other := self.conflict(inode, wanted)) is not None:
                if not wait:
                    raise Errno(EAGAIN)
                if self._would_deadlock(wanted.owner, other.owner):
                    raise Errno(EDEADLK)
                self._waiting[wanted.owner] = other.owner
                try:
                    await locks.changed.wait()
                finally:
                    del self._waiting[wanted.owner]
        self._replace(locks, wanted)

    def _would_deadlock(self, owner, blocker) -> bool:
        while blocker is not None:
            if blocker is owner:
                return True
            blocker = self._waiting.get(blocker)
        return False

    def _replace(self, locks: _Locks, new: Lock):
        """The owner's locks in the range of `new` become `new`; neighbours of the same type are joined to it."""
        kept, start, end = [], new.start, new.end
        for lock in locks.records:
            if lock.owner is not new.owner or lock.end < start or end < lock.start:
                kept.append(lock)
            elif lock.type == new.type:
                start, end = min(start, lock.start), max(end, lock.end)
            else:
                if lock.start < start:
                    kept.append(Lock(lock.type, lock.start, min(lock.end, start), lock.owner, lock.pid))
                if lock.end > end:
                    kept.append(Lock(lock.type, max(lock.start, end), lock.end, lock.owner, lock.pid))
        if new.type in (F_RDLCK, F_WRLCK):
            kept.append(Lock(new.type, start, end, new.owner, new.pid))
        locks.records = sorted(kept, key=lambda lock: lock.start)
        locks.changed.wake()

    # flock

    async def flock(self, file, operation: int):
        locks, want = self._of(file.inode), operation & ~LOCK_NB
        if want == LOCK_UN:
            if locks.flocks.pop(file, None) is not None:
                locks.changed.wake()
            return
        if locks.flocks.pop(file, None) is not None:  # a conversion gives the old lock up first
            locks.changed.wake()
        while any(LOCK_EX in (held, want) for other, held in locks.flocks.items() if other is not file):
            if operation & LOCK_NB:
                raise Errno(EAGAIN)
            await locks.changed.wait()
        locks.flocks[file] = want

    # Closing

    def closed(self, table, file):
        """A descriptor of `table` for `file` is being closed; `file` itself too, if this was the last."""
        locks = self._inodes.get(file.inode)
        if locks is None:
            return
        gone = (table, file) if file.refs == 1 else (table,)
        before = len(locks.records) + len(locks.flocks)
        locks.records = [lock for lock in locks.records if not any(lock.owner is owner for owner in gone)]
        if file.refs == 1:
            locks.flocks.pop(file, None)
        if len(locks.records) + len(locks.flocks) != before:
            locks.changed.wake()
