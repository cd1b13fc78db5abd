"""execve: a new program in a new address space.

Knows file formats (ELF, scripts), the layout of an image and of the first stack.  Everything that can fail happens before
the old program is touched: `prepare` builds the new address space, `commit` switches to it.
"""

import os
from dataclasses import dataclass

from webvm.kernel import elf
from webvm.kernel.cpu import PAGE, RSP, R, W
from webvm.kernel.fenv import may_look
from webvm.kernel.mm import IMAGE_BASE, STACK_SIZE, STACK_TOP, AddressSpace, up
from webvm.kernel.path import MAY_EXEC, check, resolve
from webvm.linux import auxvec as at
from webvm.linux.elf import ET_DYN, PF_R, PF_W, PF_X
from webvm.linux.errno import E2BIG, EACCES, EAGAIN, EIO, ELIBBAD, ELOOP, ENOEXEC, ENOMEM, Errno
from webvm.linux.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_RDONLY
from webvm.linux.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from webvm.linux.prctl import TASK_COMM_LEN
from webvm.linux.resource import RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK
from webvm.linux.stat import S_ISGID, S_ISUID
from webvm.linux.time import USER_HZ

MAX_ARG_STRLEN = 32 * PAGE
MAX_ARG_STRINGS = 0x7FFFFFFF
BINPRM_BUF_SIZE = 256
SCRIPT_DEPTH = 5
BRK_ROOM = 32 << 20             # left free after an image before the stack begins
PLATFORM = b"x86_64"


@dataclass(frozen=True)
class Processor:
    """What programs are told of the processor other than by CPUID."""
    hwcap: int = 0x078BFBFF         # CPUID.1:EDX
    hwcap2: int = 0
    xsave: bool = False             # signal frames have AVX's state, then
    flags: bytes = b"fpu tsc cx8 cmov clflush mmx fxsr sse sse2 syscall nx lm"      # of /proc/cpuinfo


class Program:
    """What `prepare` made: an address space and where it starts."""

    def __init__(self, mem, entry, stack, name, cred):
        self.mem, self.entry, self.stack, self.name, self.cred = mem, entry, stack, name, cred


async def open_program(task, path, dirfd=AT_FDCWD, flags=0):
    """The open file of a program; EACCES unless it is a regular file that may be executed."""
    if not path and flags & AT_EMPTY_PATH:
        dentry = task.files.get(dirfd).dentry
        if dentry is None:
            raise Errno(EACCES)
    else:
        dentry = await resolve(task, path, dirfd, not flags & AT_SYMLINK_NOFOLLOW)
    if dentry.inode.is_symlink:
        raise Errno(ELOOP)
    if not dentry.inode.is_reg:
        raise Errno(EACCES)
    check(task.cred, dentry.inode, MAY_EXEC)
    file = await dentry.inode.open(O_RDONLY)
    file.dentry = dentry
    return file.retain()


async def prepare(task, file, path, argv, envp):
    """A Program running FILE, an executable opened by `open_program` (its reference is taken over)."""
    execfn, depth = path, 0
    try:
        while line := script_line((head := await file.pread(PAGE, 0))[:BINPRM_BUF_SIZE]):
            if depth == SCRIPT_DEPTH:
                raise Errno(ELOOP)
            depth += 1
            interpreter, argument = line
            argv = [interpreter, *([argument] if argument else []), path, *argv[1:]]
            path = interpreter
            following = await open_program(task, interpreter)
            file.release()
            file = following
        return await _load(task, file, head, argv, envp, execfn, path)
    finally:
        file.release()


def commit(task, program):
    """Make PROGRAM what TASK runs; the caller has ended the other threads and puts the old address space away."""
    mem = program.mem
    if task.mem.loaded is task:
        task.mem.loaded = None
    task.mem = mem
    task.context = None
    mem.loaded = task
    task.name = program.name[:TASK_COMM_LEN - 1]
    task.cred = program.cred
    mem.space.rip = program.entry
    mem.space.set(RSP, program.stack)


# -- scripts --------------------------------------------------------------------------------------------------------------

def script_line(head):
    """(interpreter, argument or b"") of the first bytes of a script, as fs/binfmt_script.c reads them; None: no script."""
    if head[:2] != b"#!":
        return None
    line, newline, _ = head[2:].partition(b"\n")
    if not newline:
        stripped = line.lstrip(b" \t")
        if len(head) == BINPRM_BUF_SIZE and not (b" " in stripped or b"\t" in stripped or b"\0" in stripped):
            raise Errno(ENOEXEC)        # the name of the interpreter may be cut off
    line = line.partition(b"\0")[0].strip(b" \t")
    name = line.replace(b"\t", b" ").partition(b" ")[0]
    if not name:
        raise Errno(ENOEXEC)
    return name, line[len(name):].strip(b" \t")


# -- the image ------------------------------------------------------------------------------------------------------------

async def _part(file, head, offset, size):
    """Part of FILE, which begins with HEAD: mostly that has it, and nothing need be read."""
    data = head[offset:offset + size]
    return data if len(data) == size else await file.pread(size, offset)


async def _read_elf(file, head):
    return elf.parse(head, await _part(file, head, *elf.header_extent(head)))


async def _load(task, file, head, argv, envp, execfn, path):
    program = await _read_elf(file, head)
    interpreter_file = interpreter = None
    extent = elf.interpreter_extent(program)
    if extent:
        name = await _part(file, head, *extent)
        if len(name) < extent[1] or name[-1]:
            raise Errno(ENOEXEC)
        interpreter_file = await open_program(task, name.rstrip(b"\0"))
    try:
        if interpreter_file is not None:
            try:
                interpreter = await _read_elf(interpreter_file, await interpreter_file.pread(PAGE, 0))
            except Errno as error:
                raise Errno(ELIBBAD if error.number == ENOEXEC else error.number) from None
        return await _build(task, file, program, interpreter_file, interpreter, argv, envp, execfn, path)
    finally:
        if interpreter_file is not None:
            interpreter_file.release()


async def _build(task, file, program, interpreter_file, interpreter, argv, envp, execfn, path):
    try:
        mem = AddressSpace(task.kernel.new_space(), task.kernel.make_room)
    except MemoryError:
        raise Errno(EAGAIN) from None
    try:
        base = IMAGE_BASE - program.low if program.e_type == ET_DYN else 0
        top = max(STACK_TOP, program.high + base + BRK_ROOM + STACK_SIZE + (16 << 20) - 1 & -(16 << 20))
        await _map_image(task, mem, file, program, base)
        mem.start_brk = mem.brk = up(program.high + base)
        mem.mmap_base = top
        entry, interpreter_base = program.e_entry + base, 0
        if interpreter is not None:
            interpreter_base = mem.free_range(interpreter.high - interpreter.low) - interpreter.low
            if interpreter.e_type != ET_DYN:
                interpreter_base = 0
            await _map_image(task, mem, interpreter_file, interpreter, interpreter_base)
            entry = interpreter.e_entry + interpreter_base
        limit = task.group.limit(RLIMIT_STACK)
        size = STACK_SIZE if limit >= STACK_SIZE else max(up(limit), 32 * PAGE)
        mem.map(top - size, size, R | W, name=b"[stack]")
        mem.as_limit, mem.data_limit = task.group.limit(RLIMIT_AS), task.group.limit(RLIMIT_DATA)
        if mem.total() > mem.as_limit:
            raise Errno(ENOMEM)
        cred, secure = _new_cred(task, file)
        auxv = {
            at.AT_HWCAP: task.kernel.processor.hwcap, at.AT_PAGESZ: PAGE, at.AT_CLKTCK: USER_HZ,
            at.AT_PHDR: program.headers_address + base if program.headers_address else 0,
            at.AT_PHENT: elf.PHDR.size, at.AT_PHNUM: len(program.segments),
            at.AT_BASE: interpreter_base + interpreter.low if interpreter else 0, at.AT_FLAGS: 0,
            at.AT_ENTRY: program.e_entry + base,
            at.AT_UID: cred.uid, at.AT_EUID: cred.euid, at.AT_GID: cred.gid, at.AT_EGID: cred.egid,
            at.AT_SECURE: int(secure), at.AT_HWCAP2: task.kernel.processor.hwcap2,
        }  # fmt: skip
        stack = await _build_stack(mem, top, size, argv, envp, execfn, auxv)
        if await may_look(file, program):
            mem.heed_exceptions()
        mem.exe = file.retain()
        return Program(mem, entry, stack, path.rpartition(b"/")[2], cred)
    except BaseException:
        mem.drop()
        raise


async def _map_image(task, mem, file, program, base):
    """Map the PT_LOAD segments of PROGRAM, moved by BASE."""
    pages = task.kernel.pages.of(file.inode)
    if program.e_type != ET_DYN and program.high + base > mem.space.limit:
        raise Errno(ENOMEM)
    for s in program.loads:
        prot = (PROT_READ if s.p_flags & PF_R else 0) | (PROT_WRITE if s.p_flags & PF_W else 0)
        prot |= PROT_EXEC if s.p_flags & PF_X else 0
        start = s.p_vaddr + base
        file_end, end = start + s.p_filesz, start + s.p_memsz
        first = start & -PAGE
        mapped_end = up(file_end) if s.p_filesz else first
        if mapped_end > first:
            if s.p_offset + s.p_filesz > file.inode.size:
                raise Errno(EIO if s.p_offset > file.inode.size else ENOEXEC)
            mem.map(first, mapped_end - first, prot, pages=pages, pgoff=(s.p_offset - s.p_vaddr % PAGE) // PAGE, file=file)
        if up(end) > mapped_end:
            mem.map(mapped_end, up(end) - mapped_end, prot)
        if end > file_end and file_end % PAGE and prot & PROT_WRITE:
            await mem.store(file_end, bytes(mapped_end - file_end))     # ld.so counts on zeroes up to the end of the page


def _new_cred(task, file):
    """(credentials, AT_SECURE) after set-user-ID and set-group-ID bits."""
    cred, inode = task.cred, file.inode
    changes = {}
    if not task.no_new_privs:
        if inode.mode & S_ISUID:
            changes.update(euid=inode.uid)
        if inode.mode & (S_ISGID | 0o010) == S_ISGID | 0o010:
            changes.update(egid=inode.gid)
    euid, egid = changes.get("euid", cred.euid), changes.get("egid", cred.egid)
    new = cred.copy(euid=euid, egid=egid, suid=euid, sgid=egid, fsuid=euid, fsgid=egid)
    return new, euid != cred.uid or egid != cred.gid


async def _build_stack(mem, top, size, argv, envp, execfn, auxv):
    """Write strings, auxv, envp and argv below TOP; returns the stack pointer (System V ABI, figure 3.9)."""
    strings = [s + b"\0" for s in (*argv, *envp)]
    if any(len(s) > MAX_ARG_STRLEN for s in strings):
        raise Errno(E2BIG)
    tail = execfn + b"\0" + bytes(8)
    total = sum(map(len, strings))
    if total + 8 * len(strings) > size // 4:
        raise Errno(E2BIG)
    position = top - len(tail) - total
    start = position
    pointers = []
    for s in strings:
        pointers.append(position)
        position += len(s)
    platform = (start - len(PLATFORM) - 1) & -16
    random = platform - 16
    auxv = auxv | {at.AT_RANDOM: random, at.AT_EXECFN: top - len(tail), at.AT_PLATFORM: platform}
    vector = b"".join(key.to_bytes(8, "little") + value.to_bytes(8, "little") for key, value in (*auxv.items(), (0, 0)))
    args, env = pointers[:len(argv)], pointers[len(argv):]
    words = [len(argv), *args, 0, *env, 0]
    table = b"".join(w.to_bytes(8, "little") for w in words) + vector
    sp = random - len(table) & -16
    below = table.ljust(random - sp, b"\0") + os.urandom(16) + PLATFORM + b"\0"
    await mem.write(sp, below.ljust(start - sp, b"\0") + b"".join(strings) + tail)
    mem.start_stack = sp
    mem.arg_start, mem.arg_end = start, env[0] if env else top - len(tail)
    mem.env_start, mem.env_end = mem.arg_end, top - len(tail)
    mem.auxv = vector
    return sp


async def read_strings(task, address):
    """The strings of a NULL-terminated array of pointers; a NULL array is an empty one, as Linux allows."""
    strings, total = [], 0
    if not address:
        return strings
    while True:
        chunk = await task.mem.read(address, 8 * min(16, (PAGE - address % PAGE) // 8 or 1))
        for i in range(0, len(chunk), 8):
            pointer = int.from_bytes(chunk[i:i + 8], "little")
            if not pointer:
                return strings
            text = await task.mem.cstring(pointer, MAX_ARG_STRLEN)
            if len(text) == MAX_ARG_STRLEN:
                raise Errno(E2BIG)
            total += len(text) + 9
            if total > STACK_SIZE:
                raise Errno(E2BIG)
            strings.append(text)
        address += len(chunk)
