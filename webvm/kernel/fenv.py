"""Whether a program, or a library that it loads, may look at the exceptions that its arithmetic has raised.

Hardly any does, and not to note them makes loops over numbers faster; so the processor is told when one may. Knows ELF, the names
of libm's functions (fenv.h), and the instructions that show MXCSR: STMXCSR, FXSAVE, XSAVE; knows nothing of what the processor
makes of it. What lies on a disk is not fetched for this, but for the names that the dynamic linker reads anyway.
"""

import re

from webvm.kernel.elf import header_extent, interpreter_extent, parse
from webvm.linux.elf import DT_STRSZ, DT_STRTAB, DT_SYMTAB, DYN, PF_X, PT_DYNAMIC, SYM
from webvm.linux.errno import Errno

HEAD = 4096                         # bytes of a file that mostly have its headers
MOST_NAMES = 1 << 20                # bytes of names that are looked through
MOST_CODE = 4 << 20                 # bytes of code, or of a file
MOST_FILE = 1 << 62                 # bytes; what a damaged file says lies beyond that is not read
LOOKS = re.compile(rb"fe(?:testexcept|getexceptflag|getenv|holdexcept|updateenv)\0")
# With any operand in memory; FXSAVE and XSAVE with their variants.
STMXCSR = re.compile(rb"(?:\x0f|\xc5[\xf8\x78])\xae([\x18-\x1f\x58-\x5f\x98-\x9f])")
SHOWS = re.compile(STMXCSR.pattern + rb"|\x0f\xae[\x00-\x07\x20-\x27\x30-\x37\x40-\x47\x60-\x67\x70-\x77\x80-\x87\xa0-\xa7\xb0-\xb7]"
                   rb"|\x0f\xc7[\x20-\x27\x60-\x67\xa0-\xa7]")
LDMXCSR = re.compile(rb"(?:\x0f|\xc5[\xf8\x78])\xae[\x10-\x17\x50-\x57\x90-\x97]")
ROUNDING = b"\0\x60\0\0"            # MXCSR's rounding control, as the operand of an AND
AT_ONCE, SOON = 24, 48              # bytes of code


async def may_look(file, elf) -> bool:
    """Of a program: by what it imports, or by its own code where that is at hand. Statically linked: by the symbols that it has, or
    where its code at once reads what STMXCSR has stored."""
    if interpreter_extent(elf) is None:
        return _in_part(LOOKS.search, file, 0, file.inode.size) or _in_code(_reads_at_once, file, elf)
    return bool(LOOKS.search((await _tables(file, elf))[0])) or _in_code(SHOWS.search, file, elf)


async def library_may_look(file) -> bool:
    """Of a file that is mapped as code: the same. What defines the functions that look, as libm does, itself does not look; nor, as far
    as is known, does what is no library, or damaged, or cannot be read."""
    try:
        head = await file.pread(HEAD, 0)
        offset, size = header_extent(head)
        elf = parse(head, head[offset:offset + size] if offset + size <= len(head) else await _read(file, size, offset))
        names, symbols = await _tables(file, elf)
    except Errno:
        return False
    found = {match.start() for match in LOOKS.finditer(names)}
    if found:
        places = {name: place for name, _, _, place, _, _ in SYM.iter_unpack(symbols) if name in found}
        if any(places.values()):
            return False
        if places or not symbols:
            return True
    return _in_code(SHOWS.search, file, elf)


async def _read(file, size: int, offset: int) -> bytes:
    return await file.pread(size, offset) if offset < MOST_FILE else b""


def _in_code(search, file, elf) -> bool:
    return any(_in_part(search, file, s.p_offset, s.p_filesz) for s in elf.loads if s.p_flags & PF_X)


def _in_part(search, file, offset, size) -> bool:
    """Whether it is found in that part of the file, if that is at hand."""
    part = file.inode.read_now(offset, size) if size <= MOST_CODE and offset < MOST_FILE else None
    return part is not None and bool(search(part))


def _reads_at_once(code) -> bool:
    """Whether there is a STMXCSR for other ends than those of functions that libgcc and libm bring along: these look at the rounding,
    often much later, or load MXCSR again."""
    for match in STMXCSR.finditer(code):
        at, modrm = match.start(1), code[match.start(1)]
        if modrm & 7 in (4, 5) and 0x40 <= modrm < 0xC0:     # on the stack; the operand without its register, which comes again
            size = (2 if modrm & 7 == 4 else 1) + (1 if modrm < 0x80 else 4)
            slots = [bytes([modrm & 0xC7 | register << 3]) + code[at + 1:at + size] for register in range(8)]
            after = bytes(code[at + size:at + size + SOON])
            if not any(slot in after[:AT_ONCE] for slot in slots) or ROUNDING in after or LDMXCSR.search(after):
                continue
        return True
    return False


async def _tables(file, elf) -> tuple[bytes, bytes]:
    """The names for the dynamic linker, and as much of its symbols as lies before them, where linkers put them; nothing where they
    are not where they should be."""
    for s in elf.segments:
        if s.p_type == PT_DYNAMIC:
            data = await _read(file, min(s.p_filesz, MOST_NAMES), s.p_offset)
            tags = dict(DYN.iter_unpack(data[:len(data) // 16 * 16]))
            start, size = tags.get(DT_STRTAB, 0), min(tags.get(DT_STRSZ, 0), MOST_NAMES)
            symbols = tags.get(DT_SYMTAB, 0)
            for load in elf.loads:
                if load.p_vaddr <= start < load.p_vaddr + load.p_filesz:
                    moved = load.p_offset - load.p_vaddr
                    names, table = await _read(file, size, start + moved), b""
                    if load.p_vaddr <= symbols < start <= symbols + MOST_NAMES and LOOKS.search(names):
                        table = await _read(file, (start - symbols) // SYM.size * SYM.size, symbols + moved)
                    return names, table[:len(table) // SYM.size * SYM.size]
    return b"", b""
