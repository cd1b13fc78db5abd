"""Address spaces: what is mapped where, page faults, and access to guest memory from system calls.

Knows VMAs and pages over the memory of a Space; knows no tasks and no system calls.

Invariants (cpu.py's Space keeps the permission bytes, there is no second list of pages here):
- A page that is not PRESENT is zero.  So populating anonymous memory is `protect` alone, and whatever takes a page away
  fills it with zeroes.
- A page has an access bit only once the page after it, if mapped, is PRESENT too: engines test the first byte's page of an
  access only.
- A page of a shared mapping is not writable until it is written; then it is in `dirty`, and `sync_shared` gives it back to
  the pages behind the mapping whenever another address space may look.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import partial

from webvm.kernel.cpu import PAGE, PRESENT, R, W, X
from webvm.kernel.pagecache import CHUNK_PAGES, SharedPages
from webvm.linux.errno import EACCES, EFAULT, ENOMEM, Errno
from webvm.linux.siginfo import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SI_KERNEL
from webvm.linux.signal import SIGBUS, SIGSEGV

LOWEST = 0x10000                # vm.mmap_min_addr
IMAGE_BASE = 0x400000
STACK_TOP = 0x8000000
STACK_SIZE = 8 << 20
UNLIMITED = (1 << 64) - 1
FAULT_AROUND = 16               # pages
MOST_AHEAD = 24                 # chunks of a file
FAULTS_PER_LOOK = 128           # page faults between two looks at how much memory the machine has left
ACCESS = R | W | X

_NO_ACCESS = bytes([0, PRESENT])
_PRESENT_RUN = re.compile(rb"[\x20-\x27]+")


class GuestFault(Exception):
    """A memory access the guest may not make: the signal, its si_code, and the address."""

    def __init__(self, signo, code, address):
        super().__init__(signo, code, address)
        self.signo, self.code, self.address = signo, code, address


class NotCanonical(GuestFault):
    """The address can be none: #GP, or #SS by way of the stack segment. The signal carries no address."""

    def __init__(self, address):
        super().__init__(SIGSEGV, SI_KERNEL, 0)
        self.accessed = address


NEGATIVE = (1 << 17) - 1        # bits 63 to 47 of addresses in the upper half


@dataclass(slots=True)
class Vma:
    """[start, end) mapped with `prot` (R, W, X).  `pages` is what is mapped from page `pgoff` on; None: anonymous private."""

    start: int
    end: int
    prot: int
    shared: bool = False
    pages: object = None
    pgoff: int = 0
    file: object = None         # the open file it was mapped from: keeps it open, names it in /proc/PID/maps
    name: bytes = b""
    may_write: bool = True
    ahead: bool = False         # what others used of the file was populated with the first fault

    def page_index(self, page):
        return page - (self.start >> 12) + self.pgoff

    def part(self, start, end):
        """A VMA like this one, for [start, end) within it."""
        return Vma(start, end, self.prot, self.shared, self.pages, self.page_index(start >> 12) if self.pages else 0,
                   self.file, self.name, self.may_write)

    def continued_by(self, other):
        return (self.end == other.start and self.prot == other.prot and self.shared == other.shared
                and self.pages is other.pages and self.file is other.file and self.name == other.name
                and self.may_write == other.may_write
                and (self.pages is None or self.page_index(self.end >> 12) == other.pgoff))


class AddressSpace:
    """The mm of one process (or of several tasks: threads, a vfork child)."""

    def __init__(self, space, make_room=lambda mem, more: None):
        """`make_room(mem, bytes)` hears that memory grows, now and then; it raises MemoryError when there is none left."""
        self.space = space
        self.read_now, self.write_now = space.try_read, space.try_write     # what `read` and `write` do first
        self.make_room = make_room
        self.users = 1
        self.loaded = None              # the task whose registers are in the space
        self.vmas, self.starts = [], []
        self.shared_files = False       # whether files are, or were, mapped shared here
        self.dirty = {}                 # page number -> (pages, index): shared pages written since the last sync
        self.start_brk = self.brk = 0
        self.mmap_base = STACK_TOP
        self.start_stack = 0
        self.arg_start = self.arg_end = self.env_start = self.env_end = 0
        self.exe = None                 # the open file of the program
        self.auxv = b""
        self.as_limit = self.data_limit = UNLIMITED
        self.faults = 0
        self.heedful = False            # the program may look at exceptions of SSE arithmetic

    def heed_exceptions(self):
        """From now on the processor notes them; for tasks whose registers are elsewhere, from when they are loaded."""
        self.heedful = True
        self.space.heed_exceptions()

    # -- looking up ---------------------------------------------------------------------------------------------------

    def find(self, address):
        """The VMA that holds ADDRESS, or None."""
        i = bisect_right(self.starts, address) - 1
        if i >= 0:
            vma = self.vmas[i]
            if address < vma.end:
                return vma
        return None

    def overlapping(self, start, end):
        """The VMAs that touch [start, end), in order."""
        i = max(bisect_right(self.starts, start) - 1, 0)
        found = []
        for vma in self.vmas[i:]:
            if vma.start >= end:
                break
            if vma.end > start:
                found.append(vma)
        return found

    def total(self):
        """Bytes mapped (VmSize)."""
        return sum(v.end - v.start for v in self.vmas)

    def resident(self):
        """Pages present (VmRSS)."""
        perms = self._all_perms()
        return len(perms) - perms.count(0)

    def free_range(self, length, hint=0):
        """An address where LENGTH bytes are free, HINT if they are there, else the lowest from mmap_base on."""
        if hint and LOWEST <= hint and hint + length <= self.space.limit and not self.overlapping(hint, hint + length):
            return hint
        address = self.mmap_base
        for vma in self.vmas[max(bisect_right(self.starts, address) - 1, 0):]:
            if vma.end <= address:
                continue
            if vma.start >= address + length:
                break
            address = vma.end
        if address + length > self.space.limit:
            raise Errno(ENOMEM)
        return address

    # -- the list of VMAs -----------------------------------------------------------------------------------------------

    def _insert(self, vma):
        i = bisect_right(self.starts, vma.start)
        if i and self.vmas[i - 1].continued_by(vma):
            i -= 1
            self.vmas[i].end = vma.end
            _drop(vma)
        else:
            self.vmas.insert(i, vma)
            self.starts.insert(i, vma.start)
        if i + 1 < len(self.vmas) and self.vmas[i].continued_by(self.vmas[i + 1]):
            self.vmas[i].end = self.vmas[i + 1].end
            _drop(self.vmas[i + 1])
            del self.vmas[i + 1], self.starts[i + 1]

    def _remove(self, vma):
        i = bisect_right(self.starts, vma.start) - 1
        del self.vmas[i], self.starts[i]

    def _cut(self, start, end):
        """Take the VMAs within [start, end) out of the list, splitting those that reach beyond; return them."""
        cut = []
        for vma in self.overlapping(start, end):
            self._remove(vma)
            inside = vma.part(max(vma.start, start), min(vma.end, end))
            parts = [inside]
            if vma.start < start:
                parts.append(vma.part(vma.start, start))
            if end < vma.end:
                parts.append(vma.part(end, vma.end))
            for part in parts:
                if part.file is not None:
                    part.file.retain()
                if part is not inside:
                    self._insert(part)
            cut.append(inside)
            _drop(vma)
        return cut

    # -- mapping --------------------------------------------------------------------------------------------------------

    def map(self, start, length, prot, shared=False, pages=None, pgoff=0, file=None, name=b"", may_write=True):
        """Map [start, start+length), page-aligned; what was there goes.  PAGES None and SHARED: new shared memory."""
        end = start + length
        if start < LOWEST or end > self.space.limit or start & PAGE - 1:
            raise Errno(ENOMEM)
        self.unmap(start, length)
        if self.as_limit < UNLIMITED and self.total() + length > self.as_limit:
            raise Errno(ENOMEM)
        if pages is None and shared:
            pages, pgoff = SharedPages(), 0
        if pages is not None:
            if pages.refresh():
                self._drop_mapped(pages)
            if shared:
                pages.shared.add(self)
                if file is not None:
                    self.shared_files = True
        if file is not None:
            file.retain()
        self._insert(Vma(start, end, expand(prot), shared, pages, pgoff, file, name, may_write))
        self._withhold_before(start >> 12)
        return start

    def unmap(self, start, length):
        """munmap: drop the VMAs and zero what was populated."""
        cut = self._cut(start, start + length)
        if cut:
            self._discard(cut)
            for vma in cut:
                _drop(vma)

    def protect(self, start, length, prot):
        """mprotect over a range that must be mapped throughout."""
        end = start + length
        covered = start
        prot = expand(prot)
        for vma in self.overlapping(start, end):
            if vma.start > covered:
                break
            if prot & W and not vma.may_write:
                raise Errno(EACCES)
            covered = vma.end
        if covered < end:
            raise Errno(ENOMEM)
        for vma in self._cut(start, end):
            vma.prot = prot
            self._insert(vma)
            first, last = vma.start >> 12, vma.end >> 12
            if vma.shared:
                self.sync_shared()
            perms = self.space.perms(first, last - first)
            for run in _PRESENT_RUN.finditer(perms):
                self._grant(vma, first + run.start(), first + run.end())

    def set_brk(self, address):
        """brk: the new end of the heap, or the old one when it cannot be."""
        old, new = up(self.brk), up(address)
        if address < self.start_brk or new - self.start_brk > self.data_limit:
            return self.brk
        if new < old:
            self.unmap(new, old - new)
        elif new > old:
            if self.overlapping(old, new) or new > self.space.limit or self.total() + new - old > self.as_limit:
                return self.brk
            self.map(old, new - old, R | W, name=b"[heap]")
        self.brk = address
        return address

    def remap(self, old, old_length, new_length, may_move, fixed=None):
        """mremap of one VMA's range; returns the new address."""
        vma = self.find(old)
        if vma is None or vma.end < old + old_length:
            raise Errno(EFAULT)
        if fixed is None:
            if new_length <= old_length:
                self.unmap(old + new_length, old_length - new_length)
                return old
            extra = old + old_length, new_length - old_length
            if (vma.end == old + old_length and sum(extra) <= self.space.limit
                    and not self.overlapping(extra[0], sum(extra))):
                self._map_like(vma, extra[0], extra[1], extra[0])
                return old
            if not may_move:
                raise Errno(ENOMEM)
        if new_length < old_length:
            self.unmap(old + new_length, old_length - new_length)
            old_length = new_length
        new = self.free_range(new_length) if fixed is None else fixed
        self.sync_shared()
        self._map_like(vma, new, new_length, old)
        if not vma.shared:
            self._move(old, new, old_length)
        self.unmap(old, old_length)
        return new

    def _map_like(self, vma, start, length, like):
        """Map [start, start+length) with VMA's attributes, showing what VMA shows (or would show) from LIKE on."""
        pgoff = vma.page_index(like >> 12) if vma.pages else 0
        self.map(start, length, vma.prot, vma.shared, vma.pages, pgoff, vma.file, vma.name, vma.may_write)

    def _move(self, old, new, length):
        first, there = old >> 12, new >> 12
        perms = self.space.perms(first, length >> 12)
        for run in _PRESENT_RUN.finditer(perms):
            content = self.space.read(old + run.start() * PAGE, (run.end() - run.start()) * PAGE)
            self.space.write(new + run.start() * PAGE, content)
            self.space.protect(there + run.start(), run.end() - run.start(), PRESENT)

    def forget(self, start, length):
        """MADV_DONTNEED: private pages are as first mapped again, shared ones are read again."""
        self.sync_shared()
        self._discard([v if v.start >= start and v.end <= start + length
                       else v.part(max(v.start, start), min(v.end, start + length))
                       for v in self.overlapping(start, start + length)])

    def _discard(self, vmas):
        """Zero the populated pages of VMAS and take their permissions away."""
        self.sync_shared()
        for vma in vmas:
            first, count = vma.start >> 12, vma.end - vma.start >> 12
            perms = self.space.perms(first, count)
            for run in _PRESENT_RUN.finditer(perms):
                self.space.fill(vma.start + run.start() * PAGE, (run.end() - run.start()) * PAGE)
                self.space.protect(first + run.start(), run.end() - run.start(), 0)
            self._withhold_before(first)

    # -- faults ---------------------------------------------------------------------------------------------------------

    async def fault(self, address, access):
        """Populate the page of ADDRESS (and some around it) so that ACCESS is permitted, or raise GuestFault."""
        while missing := self.fault_now(address, access):
            pages, index = missing
            if index >= pages.page_count:
                raise GuestFault(SIGBUS, BUS_ADRERR, address)
            try:
                await pages.load(index // CHUNK_PAGES)
            except Errno:
                raise GuestFault(SIGBUS, BUS_ADRERR, address) from None

    def fault_now(self, address, access):
        """The same as far as it goes without waiting; returns (pages, index) that must be loaded first, or None."""
        vma = self.find(address)
        if vma is None:
            if address >> 47 not in (0, NEGATIVE):
                raise NotCanonical(address)
            raise GuestFault(SIGSEGV, SEGV_MAPERR, address)
        if access & ~vma.prot:
            raise GuestFault(SIGSEGV, SEGV_ACCERR, address)
        missing = self._populate(vma, address >> 12, access)
        if missing is None:
            self.faults += 1
            if not self.faults % FAULTS_PER_LOOK:
                self.make_room(self, 0)
        return missing

    def _populate(self, vma, page, access):
        """Fill and permit PAGE and what can be had around it.  Returns (pages, index) that must be loaded first, or None."""
        first, last = vma.start >> 12, vma.end >> 12
        if vma.shared:
            low, high = page, page + 1
        else:
            shift = (vma.pgoff - first) % FAULT_AROUND if vma.pages else 0      # a window is a chunk of the file
            low = max(page - (page + shift) % FAULT_AROUND, first)
            high = min(page - (page + shift) % FAULT_AROUND + FAULT_AROUND, last)
        perms = self.space.perms(low, high - low)
        at = page - low
        if not vma.shared and access & ~perms[at] == 0:
            return None                                 # another thread was faster
        if perms.count(0) != len(perms):                # keep to the pages around that have no access yet
            start = at
            while start and not perms[start - 1] & ACCESS:
                start -= 1
            end = at + 1
            while end < len(perms) and not perms[end] & ACCESS:
                end += 1
            low, high, perms = low + start, low + end, perms[start:end]
        if vma.pages is not None:
            filled = self._fill(vma, low, high, page, perms)
            if filled is None:
                return vma.pages, vma.page_index(page)
            high = filled
        if missing := self._grant(vma, low, high):
            if high - 1 == page:
                return missing
        if vma.pages is not None and not vma.shared:
            self._populate_ahead(vma, page)
        if access & W and vma.shared:
            self.dirty[page] = vma.pages, vma.page_index(page)
            self.space.protect(page, 1, vma.prot | PRESENT)
        return None

    def _populate_ahead(self, vma, page):
        """PAGE was populated: the first time, have there also what programs used of the file lately. It costs less than their faults."""
        chunk, lately = vma.page_index(page) // CHUNK_PAGES, vma.pages.lately
        lately.pop(chunk, None)
        if not vma.ahead:
            vma.ahead = True
            first, last = vma.start >> 12, vma.end >> 12
            for other in sorted(lately, reverse=True):          # what comes after a page is there before it, then
                low = first + other * CHUNK_PAGES - vma.pgoff
                high = min(low + CHUNK_PAGES, last)
                low = max(low, first)
                if low < high and not (perms := self.space.perms(low, high - low)).strip(_NO_ACCESS):
                    filled = self._fill(vma, low, high, low, perms)
                    if filled is not None:
                        self._grant(vma, low, filled)
        lately[chunk] = None
        if len(lately) > MOST_AHEAD:
            del lately[next(iter(lately))]

    def _fill(self, vma, low, high, page, perms):
        """Copy file content into the pages of [low, high) that are not present.  Returns where the content ends: low to
        there is valid now; None when PAGE cannot be had without loading."""
        index = vma.page_index(low)
        if vma.shared:
            data = vma.pages.page(index)
            if data is None or index >= vma.pages.page_count:
                return None
            if not perms[0]:
                self.space.write(low * PAGE, data)
            return high
        chunk = vma.pages.chunk(index // CHUNK_PAGES)
        if chunk is None:
            return None
        skip = index % CHUNK_PAGES * PAGE
        high = min(high, low + up(len(chunk) - skip) // PAGE)
        if high <= page:
            return None
        view = memoryview(chunk)
        start = low
        while start < high:
            if perms[start - low]:
                start += 1
                continue
            end = start + 1
            while end < high and not perms[end - low]:
                end += 1
            self.space.write(start * PAGE, view[skip + (start - low) * PAGE:skip + (end - low) * PAGE])
            start = end
        return high

    def _grant(self, vma, low, high):
        """Permit what VMA permits on the valid pages [low, high), except on the last one when its successor cannot be made
        present: then (pages, index) of that successor is returned."""
        prot = vma.prot & ~W if vma.shared else vma.prot
        missing = None if prot == 0 else self._fill_single(high)
        if missing is None:
            self.space.protect(low, high - low, prot | PRESENT)
            return None
        if high - 1 > low:
            self.space.protect(low, high - 1 - low, prot | PRESENT)
        self.space.protect(high - 1, 1, PRESENT)
        return missing

    def _fill_single(self, page):
        """Make PAGE present, if it is mapped, without permitting access.  Returns what must be loaded first, or None."""
        vma = self.find(page << 12)
        if vma is None or self.space.perms(page, 1)[0]:
            return None
        if vma.pages is not None:
            index = vma.page_index(page)
            if index >= vma.pages.page_count:
                return None                             # past the end of the file: SIGBUS should it be touched itself
            data = vma.pages.page(index)
            if data is None:
                return vma.pages, index
            self.space.write(page << 12, data)
        self.space.protect(page, 1, PRESENT)
        return None

    def _withhold_before(self, page):
        """PAGE is not present any more: if it is mapped, the page before it must not be accessed until it is."""
        vma = self.find(page << 12)
        if vma is not None and self.space.perms(page - 1, 1)[0] & ACCESS:
            if vma.pages is None:
                self.space.protect(page, 1, PRESENT)
            else:
                self.space.protect(page - 1, 1, PRESENT)

    # -- shared mappings --------------------------------------------------------------------------------------------------

    def sync_shared(self):
        """Give written shared pages to the pages behind them, and make others that map them read them again."""
        if not self.dirty:
            return
        dirty, self.dirty = self.dirty, {}
        for page, (pages, index) in dirty.items():
            data = self.space.read(page << 12, PAGE)
            current = pages.page(index)
            vma = self.find(page << 12)
            self.space.protect(page, 1, (vma.prot & ~W if vma else 0) | PRESENT)
            if current is None or data != current.ljust(PAGE, b"\0"):
                finish(pages.store(index, data))
                for other in list(pages.shared):
                    other.shared_changed(pages, index, self, page)

    def shared_changed(self, pages, index, writer, written):
        """Page INDEX of PAGES changed: drop our copies of it, except the page the change came from."""
        for vma in self.vmas:
            if vma.shared and vma.pages is pages:
                page = (vma.start >> 12) + index - vma.pgoff
                if vma.start >> 12 <= page < vma.end >> 12 and (self is not writer or page != written):
                    self._drop_page(page)

    def refresh_shared(self):
        """Drop what is out of date of the files mapped shared here (they were written with write(2))."""
        files = {vma.pages for vma in self.vmas if vma.shared and vma.file is not None}
        self.shared_files = bool(files)
        for pages in files:
            if pages.refresh():
                self._drop_mapped(pages)

    def _drop_mapped(self, pages):
        for space in list(pages.shared):
            for vma in space.vmas:
                if vma.shared and vma.pages is pages:
                    space._discard([vma])

    def _drop_page(self, page):
        if self.space.perms(page, 1)[0]:
            self.space.fill(page << 12, PAGE)
            self.space.protect(page, 1, 0)
            self.dirty.pop(page, None)
            self._withhold_before(page)

    # -- life -------------------------------------------------------------------------------------------------------------

    def fork(self, space):
        """A copy in SPACE: private pages copied, shared ones shared."""
        self.make_room(self, self.resident() * PAGE)
        self.sync_shared()
        child = AddressSpace(space, self.make_room)
        for name in ("start_brk", "brk", "mmap_base", "start_stack", "arg_start", "arg_end", "env_start", "env_end", "auxv",
                     "as_limit", "data_limit", "heedful"):
            setattr(child, name, getattr(self, name))
        child.shared_files = self.shared_files
        child.exe = self.exe.retain() if self.exe is not None else None
        child.starts = list(self.starts)
        child.vmas = [vma.part(vma.start, vma.end) for vma in self.vmas]
        for vma in child.vmas:
            if vma.file is not None:
                vma.file.retain()
            if vma.shared:
                vma.pages.shared.add(child)
        perms = bytearray(self._all_perms())
        first = self.starts[0] >> 12 if self.starts else 0
        for vma in self.vmas:
            if vma.shared:
                perms[(vma.start >> 12) - first:(vma.end >> 12) - first] = bytes(vma.end - vma.start >> 12)
        space.adopt(self.space, first, bytes(perms))
        return child

    def drop(self):
        """One user less; the last one gives the memory back."""
        self.users -= 1
        if self.users:
            return
        self.sync_shared()
        for vma in self.vmas:
            _drop(vma)
        self.vmas, self.starts = [], []
        if self.exe is not None:
            self.exe.release()
        self.space.release()
        del self.read_now, self.write_now
        self.space = None

    def _all_perms(self):
        if not self.vmas:
            return b""
        first = self.starts[0] >> 12
        return self.space.perms(first, (self.vmas[-1].end >> 12) - first)

    # -- access from system calls -------------------------------------------------------------------------------------------

    async def read(self, address, length):
        """LENGTH bytes at ADDRESS; EFAULT unless all are readable."""
        if length > 0:
            data = self.space.try_read(address, length)
            if data is not None:
                return data
            await self.touch(address, length, R)
            return self.space.read(address, length)
        return b""

    async def write(self, address, data):
        """Store DATA at ADDRESS; EFAULT unless all of it is writable."""
        if data and not self.space.try_write(address, data):
            await self.touch(address, len(data), W)
            self.space.write(address, data)

    async def cstring(self, address, limit=PAGE):
        """The NUL-terminated bytes at ADDRESS, without the NUL; ENAMETOOLONG is the caller's: at most LIMIT bytes."""
        parts = []
        step = 128
        while limit > 0:
            step = min(step, PAGE - address % PAGE, limit)
            data = await self.read(address, step)
            end = data.find(0)
            if end >= 0:
                return b"".join(parts) + data[:end] if parts else data[:end]
            parts.append(data)
            address += step
            limit -= step
            step = PAGE
        return b"".join(parts)

    async def touch(self, address, length, access):
        """Make [address, address+length) accessible, or EFAULT."""
        if address + length > self.space.limit:
            raise Errno(EFAULT)
        for page in range(address >> 12, (address + length - 1 >> 12) + 1):
            if not self.space.perms(page, 1)[0] & access:
                try:
                    await self.fault(max(page << 12, address), access)
                except GuestFault:
                    raise Errno(EFAULT) from None

    async def store(self, address, data):
        """Store DATA in readable pages whether they are writable or not, as exec may."""
        position = 0
        while position < len(data):
            page = address + position >> 12
            vma = self.find(page << 12)
            if vma is None:
                raise Errno(EFAULT)
            if not self.space.perms(page, 1)[0]:
                try:
                    await self.fault(page << 12, R)
                except GuestFault:
                    raise Errno(EFAULT) from None
            step = min(len(data) - position, PAGE - (address + position) % PAGE)
            self.space.write(address + position, data[position:position + step])
            position += step

    def peek(self, address, length):
        """LENGTH bytes if they are there now, else None: for tracing, never waits or faults."""
        if length <= 0:
            return b""
        if not LOWEST <= address <= address + length <= self.space.limit:
            return None
        first = address >> 12
        perms = self.space.perms(first, (address + length - 1 >> 12) - first + 1)
        return None if 0 in perms else self.space.read(address, length)

    def poke(self, address, data):
        """Store DATA within a page if it is writable now: for what a dying task leaves behind, never waits or faults."""
        if LOWEST <= address < self.space.limit and self.space.perms(address >> 12, 1)[0] & W:
            self.space.write(address, data)


def expand(prot):
    """What x86 permits for PROT_*: writable and executable pages are readable too."""
    return prot | R if prot & (W | X) else prot


def up(address):
    """ADDRESS rounded up to a page."""
    return address + PAGE - 1 & -PAGE


def finish(coroutine, _=None):
    """Run a write-back of a page; should it have to wait (for what surrounds it in the file), it ends later."""
    try:
        coroutine.send(None).add_done_callback(partial(finish, coroutine))
    except StopIteration:
        pass


def _drop(vma):
    if vma.file is not None:
        vma.file.release()
