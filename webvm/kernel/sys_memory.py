"""System calls of memory: mmap and its family, brk.  Knows PROT_* and MAP_*; what mapping means is mm.py."""

from webvm.kernel.cpu import PAGE, R, W
from webvm.kernel.fenv import library_may_look
from webvm.kernel.mm import LOWEST, up
from webvm.kernel.syscall import Enum, Fd, Flags, Int, Ptr, Size, syscall
from webvm.linux.errno import (
    EACCES, EEXIST, EINVAL, ENODEV, ENOMEM, EPERM, ESRCH, Errno,
)  # fmt: skip
from webvm.linux.mman import (
    MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE,
    MADV_KEEPONFORK, MADV_MERGEABLE, MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
    MADV_RANDOM, MADV_SEQUENTIAL, MADV_UNMERGEABLE, MADV_WILLNEED, MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE,
    MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_TYPE, MREMAP_DONTUNMAP, MREMAP_FIXED,
    MREMAP_MAYMOVE, MS_ASYNC, MS_INVALIDATE, MS_SYNC, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_WRITE,
)  # fmt: skip

Prot = Flags("PROT_", "mman")
MapFlags = Flags("MAP_", "mman", MAP_TYPE)

NO_OPS = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_FREE, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
          MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT}


@syscall(9, returns=Ptr)
async def mmap(task, addr: Ptr, length: Size, prot: Prot, flags: MapFlags, fd: Fd, offset: Size):
    mem, kind = task.mem, flags & MAP_TYPE
    if offset % PAGE or not length:
        raise Errno(EINVAL)
    if kind not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
        raise Errno(EINVAL)
    size = up(length)
    if size > mem.space.limit:
        raise Errno(ENOMEM)
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        if addr % PAGE:
            raise Errno(EINVAL)
        if addr < LOWEST:
            raise Errno(EPERM)
        if addr + size > mem.space.limit:
            raise Errno(ENOMEM)
        if flags & MAP_FIXED_NOREPLACE and mem.overlapping(addr, addr + size):
            raise Errno(EEXIST)
        start = addr
    else:
        start = mem.free_range(size, addr & -PAGE)
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC
    shared = kind != MAP_PRIVATE
    if flags & MAP_ANONYMOUS:
        mem.map(start, size, prot, shared)
    else:
        file = task.files.get(fd)
        if not file.readable or shared and prot & PROT_WRITE and not file.writable:
            raise Errno(EACCES)
        await _map_file(task, file, start, size, prot, shared, offset)
    if flags & MAP_POPULATE:
        await _populate(mem, start, size)
    return start


async def _map_file(task, file, start, size, prot, shared, offset):
    mapped = getattr(file, "mmap", None)        # a device that maps something else (/dev/zero: anonymous memory)
    if mapped is not None:
        if not mapped():
            raise Errno(ENODEV)
        task.mem.map(start, size, prot, shared)
        return
    if file.inode is None or not file.inode.is_reg:
        raise Errno(EACCES if file.inode is not None and file.inode.is_dir else ENODEV)
    pages = task.kernel.pages.of(file.inode)
    # A shared mapping of a file not open for writing can never change it: it is a private one that cannot be written.
    write_back = shared and file.writable
    task.mem.map(start, size, prot, write_back, pages, offset // PAGE, file, may_write=not shared or file.writable)
    if prot & PROT_EXEC and not task.mem.heedful:
        if pages.looks is None:
            pages.looks = await library_may_look(file)
        if pages.looks:
            task.mem.heed_exceptions()


async def _populate(mem, start, size):
    vma = mem.find(start)
    access = W if vma.prot & W and not vma.shared else R
    if vma.prot & access:
        for address in range(start, start + size, PAGE):
            try:
                await mem.touch(address, 1, access)
            except Errno:
                return


@syscall(11)
def munmap(task, addr: Ptr, length: Size):
    if addr % PAGE or not length or addr + length > task.mem.space.limit:
        raise Errno(EINVAL)
    task.mem.unmap(addr, up(length))
    return 0


@syscall(10)
def mprotect(task, addr: Ptr, length: Size, prot: Prot):
    if addr % PAGE or prot & PROT_GROWSUP:
        raise Errno(EINVAL)
    if not length:
        return 0
    if addr + length > task.mem.space.limit:
        raise Errno(ENOMEM)
    task.mem.protect(addr, up(length), prot & ~PROT_GROWSDOWN & 7)
    return 0


@syscall(329, note="no protection keys")
def pkey_mprotect(task, addr: Ptr, length: Size, prot: Prot, pkey: Int):
    if pkey != -1:
        raise Errno(EINVAL)
    return mprotect(task, addr, length, prot)


@syscall(12, returns=Ptr)
def brk(task, brk: Ptr):
    return task.mem.set_brk(brk)


@syscall(25, returns=Ptr, note="no MREMAP_DONTUNMAP")
def mremap(task, old_address: Ptr, old_size: Size, new_size: Size, flags: Flags("MREMAP_", "mman"), new_address: Ptr):
    mem = task.mem
    if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) or flags & MREMAP_DONTUNMAP or old_address % PAGE:
        raise Errno(EINVAL)
    old_size, new_size = up(old_size), up(new_size)
    if not new_size or flags & MREMAP_FIXED and not flags & MREMAP_MAYMOVE:
        raise Errno(EINVAL)
    fixed = None
    if flags & MREMAP_FIXED:
        fixed = new_address
        overlap = fixed < old_address + old_size and old_address < fixed + new_size
        if fixed % PAGE or overlap or fixed < LOWEST or fixed + new_size > mem.space.limit:
            raise Errno(EINVAL)
    if not old_size:
        vma = mem.find(old_address)
        if vma is None or not vma.shared:
            raise Errno(EINVAL)
    return mem.remap(old_address, old_size, new_size, bool(flags & MREMAP_MAYMOVE), fixed)


@syscall(28, note="advice that changes what programs see: DONTNEED, POPULATE; DONTFORK and WIPEONFORK are EINVAL")
async def madvise(task, addr: Ptr, length: Size, advice: Enum("MADV_", "mman")):
    mem, size = task.mem, up(length)
    if addr % PAGE or addr + size > mem.space.limit:
        raise Errno(EINVAL)
    covered = sum(min(v.end, addr + size) - max(v.start, addr) for v in mem.overlapping(addr, addr + size))
    if advice == MADV_DONTNEED:
        mem.forget(addr, size)
    elif advice in (MADV_POPULATE_READ, MADV_POPULATE_WRITE):
        await mem.touch(addr, size, R if advice == MADV_POPULATE_READ else W)
    elif advice not in NO_OPS or advice == MADV_DONTFORK:
        raise Errno(EINVAL)
    if covered < size:
        raise Errno(ENOMEM)
    return 0


@syscall(26)
def msync(task, addr: Ptr, length: Size, flags: Flags("MS_", "mman")):
    if addr % PAGE or flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) or flags & MS_ASYNC and flags & MS_SYNC:
        raise Errno(EINVAL)
    end = addr + up(length)
    if sum(min(v.end, end) - max(v.start, addr) for v in task.mem.overlapping(addr, end)) < up(length):
        raise Errno(ENOMEM)
    task.mem.sync_shared()
    return 0


@syscall(27)
async def mincore(task, addr: Ptr, length: Size, vec: Ptr):
    if addr % PAGE:
        raise Errno(EINVAL)
    size = up(length)
    if addr + size > task.mem.space.limit or sum(
            min(v.end, addr + size) - max(v.start, addr) for v in task.mem.overlapping(addr, addr + size)) < size:
        raise Errno(ENOMEM)
    perms = task.mem.space.perms(addr // PAGE, size // PAGE)
    await task.mem.write(vec, bytes(1 if p else 0 for p in perms))
    return 0


def _locked(task, addr, length):
    if addr + length > task.mem.space.limit:
        raise Errno(ENOMEM)
    return 0


@syscall(149, note="memory is never paged out")
def mlock(task, addr: Ptr, length: Size):
    return _locked(task, addr, length)


@syscall(150)
def munlock(task, addr: Ptr, length: Size):
    return _locked(task, addr, length)


@syscall(325)
def mlock2(task, addr: Ptr, length: Size, flags: Int):
    return _locked(task, addr, length)


@syscall(151)
def mlockall(task, flags: Flags("MCL_", "mman")):
    if not 0 < flags < 8:
        raise Errno(EINVAL)
    return 0


@syscall(152)
def munlockall(task):
    return 0


@syscall(310, note="the caller's own user's processes")
async def process_vm_readv(task, pid: Int, local: Ptr, liovcnt: Size, remote: Ptr, riovcnt: Size, flags: Size):
    other = await _other(task, pid)
    data = b"".join([await other.read(a, n) for a, n in await _vectors(task, remote, riovcnt)])
    done = 0
    for address, length in await _vectors(task, local, liovcnt):
        part = data[done:done + length]
        await task.mem.write(address, part)
        done += len(part)
    return done


@syscall(311, note="the caller's own user's processes")
async def process_vm_writev(task, pid: Int, local: Ptr, liovcnt: Size, remote: Ptr, riovcnt: Size, flags: Size):
    other = await _other(task, pid)
    data = b"".join([await task.mem.read(a, n) for a, n in await _vectors(task, local, liovcnt)])
    done = 0
    for address, length in await _vectors(task, remote, riovcnt):
        part = data[done:done + length]
        await other.write(address, part)
        done += len(part)
    return done


async def _other(task, pid):
    target = task.kernel.tasks.get(pid)
    if target is None:
        raise Errno(ESRCH)
    if task.cred.euid not in (0, target.cred.uid):
        raise Errno(EPERM)
    target.mem.sync_shared()
    return target.mem


async def _vectors(task, address, count):
    if count > 1024:
        raise Errno(EINVAL)
    data = await task.mem.read(address, 16 * count)
    return [(int.from_bytes(data[i:i + 8], "little"), int.from_bytes(data[i + 8:i + 16], "little"))
            for i in range(0, len(data), 16)]
