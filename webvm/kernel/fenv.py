"""Whether a program may look at the exceptions that its arithmetic has raised.

Hardly any does, and not to note them makes loops over numbers faster; so the processor is told when one may. Knows ELF, the names
of libm's functions (fenv.h), and the one instruction that they look with, STMXCSR; knows nothing of what the processor makes of it.
"""

import re

from webvm.kernel.elf import interpreter_extent
from webvm.linux.elf import DT_STRSZ, DT_STRTAB, DYN, PF_X, PT_DYNAMIC

MOST_NAMES = 1 << 20                # bytes of names that are looked through
MOST_CODE = 4 << 20                 # bytes of code, or of a file
LOOKS = re.compile(rb"fe(?:testexcept|getexceptflag|getenv|holdexcept|updateenv)\0")
STMXCSR = re.compile(rb"\x0f\xae[\x18-\x1f\x58-\x5f\x98-\x9f]|\xc5[\xf8\x78]\xae[\x18-\x1f\x58-\x5f\x98-\x9f]")     # with any operand in memory


async def may_look(file, elf) -> bool:
    """By what the program imports, or by its own code where that is at hand: what lies on a disk is not fetched for this. By symbols
    where it is linked statically: such programs have STMXCSR in functions of libgcc, that look at the rounding."""
    if interpreter_extent(elf) is None:
        return _found(LOOKS, file, 0, file.inode.size)
    return bool(LOOKS.search(await _names(file, elf))) or any(
        _found(STMXCSR, file, s.p_offset, s.p_filesz) for s in elf.loads if s.p_flags & PF_X)


def _found(pattern, file, offset, size) -> bool:
    """Whether it is in that part of the file, if that is at hand."""
    part = file.inode.read_now(offset, size) if size <= MOST_CODE else None
    return part is not None and pattern.search(part) is not None


async def _names(file, elf) -> bytes:
    """The names for the dynamic linker; none where they are not where they should be."""
    for s in elf.segments:
        if s.p_type == PT_DYNAMIC:
            data = await file.pread(min(s.p_filesz, MOST_NAMES), s.p_offset)
            tags = dict(DYN.iter_unpack(data[:len(data) // 16 * 16]))
            start, size = tags.get(DT_STRTAB, 0), min(tags.get(DT_STRSZ, 0), MOST_NAMES)
            for load in elf.loads:
                if load.p_vaddr <= start < load.p_vaddr + load.p_filesz:
                    return await file.pread(size, start - load.p_vaddr + load.p_offset)
    return b""
