"""Futexes: queues of waiters at words of memory.

Knows address spaces and words, and what a dying thread leaves behind; the operations' numbers are sys_futex.py's.
"""

from webvm.fs.wait import Wait
from webvm.linux.futex import (
    FUTEX_BITSET_MATCH_ANY, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, ROBUST_LIST_HEAD, ROBUST_LIST_LIMIT,
)  # fmt: skip


class Waiter(Wait):
    """Somebody in FUTEX_WAIT; woken by those whose bitset meets his."""

    __slots__ = ("key", "bitset", "woken")

    def __init__(self, key, bitset):
        super().__init__()
        self.key, self.bitset, self.woken = key, bitset, False


class Futexes:
    """All waiters of a machine, in order of arrival at each word."""

    def __init__(self):
        self._queues = {}

    @staticmethod
    def key(mem, address):
        """What two tasks must agree on to mean one word: the page behind a shared mapping, else the address space."""
        vma = mem.find(address)
        if vma is not None and vma.shared:
            return vma.pages, vma.page_index(address >> 12), address & 0xFFF
        return mem, address

    def enqueue(self, mem, address, bitset=FUTEX_BITSET_MATCH_ANY):
        waiter = Waiter(self.key(mem, address), bitset)
        self._queues.setdefault(waiter.key, []).append(waiter)
        return waiter

    def dequeue(self, waiter):
        """The waiter gave up, or was woken."""
        queue = self._queues.get(waiter.key)
        if queue and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[waiter.key]

    def wake(self, mem, address, count, bitset=FUTEX_BITSET_MATCH_ANY):
        """Wake up to COUNT waiters at ADDRESS; how many there were."""
        woken = 0
        for waiter in list(self._queues.get(self.key(mem, address), ())):
            if woken >= count:
                break
            if waiter.bitset & bitset:
                self.dequeue(waiter)
                waiter.woken = True
                waiter.wake()
                woken += 1
        return woken

    def requeue(self, mem, address, target, count):
        """Move up to COUNT waiters at ADDRESS to TARGET; how many."""
        to = self.key(mem, target)
        waiters = self._queues.get(self.key(mem, address), [])[:count]
        for waiter in waiters:
            self.dequeue(waiter)
            waiter.key = to
            self._queues.setdefault(to, []).append(waiter)
        return len(waiters)

    def leave(self, task):
        """TASK ends: mark the robust mutexes it holds, and wake one waiter of each (kernel/futex/core.c)."""
        mem, head = task.mem, task.robust_list
        if not head:
            return
        task.robust_list = 0
        data = mem.peek(head, ROBUST_LIST_HEAD.size)
        if data is None:
            return
        entry, offset, pending = ROBUST_LIST_HEAD.unpack(data)
        entries = [pending] if pending else []
        while entry & ~1 != head and len(entries) < ROBUST_LIST_LIMIT:
            entries.append(entry)
            word = mem.peek(entry & ~1, 8)
            if word is None:
                break
            entry = int.from_bytes(word, "little")
        for entry in entries:
            address = (entry & ~1) + offset
            word = mem.peek(address, 4)
            if word is None or int.from_bytes(word, "little") & FUTEX_TID_MASK != task.tid:
                continue
            value = int.from_bytes(word, "little")
            mem.poke(address, (value & FUTEX_WAITERS | FUTEX_OWNER_DIED).to_bytes(4, "little"))
            if value & FUTEX_WAITERS:
                self.wake(mem, address, 1)
