"""ELF files as execve sees them: the header and the program headers, checked.  Knows bytes; maps nothing.

Whatever is wrong with a file is Errno(ENOEXEC), as fs/binfmt_elf.c answers (ELIBBAD for a broken interpreter is the
caller's to say).
"""

from typing import NamedTuple

from webvm.linux.elf import (
    EHDR, EI_CLASS, EI_DATA, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, PHDR, PT_INTERP, PT_LOAD,
)  # fmt: skip
from webvm.linux.errno import EINVAL, ENOEXEC, Errno

PAGE = 4096
MAX_HEADERS = 65536 // PHDR.size


class Segment(NamedTuple):
    """A program header."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int


class Elf(NamedTuple):
    e_type: int
    e_entry: int
    e_phoff: int
    segments: tuple             # all program headers

    @property
    def loads(self):
        return [s for s in self.segments if s.p_type == PT_LOAD]

    @property
    def low(self):
        """First page of the image, before relocation."""
        return self.loads[0].p_vaddr & -PAGE

    @property
    def high(self):
        """First page after the image."""
        return max(s.p_vaddr + s.p_memsz for s in self.loads) + PAGE - 1 & -PAGE

    @property
    def headers_address(self):
        """Where the program headers are in memory, before relocation; 0 when no segment holds them (AT_PHDR)."""
        for s in self.loads:
            if s.p_offset <= self.e_phoff < s.p_offset + s.p_filesz:
                return self.e_phoff - s.p_offset + s.p_vaddr
        return 0


def header_extent(data):
    """(e_phoff, size) of the program header table named by the file's first bytes."""
    if len(data) < EHDR.size or data[:4] != ELFMAG or data[EI_CLASS] != ELFCLASS64 or data[EI_DATA] != ELFDATA2LSB:
        raise Errno(ENOEXEC)
    _, e_type, e_machine, _, _, e_phoff, _, _, _, e_phentsize, e_phnum, *_ = EHDR.unpack_from(data)
    if e_type not in (ET_EXEC, ET_DYN) or e_machine != EM_X86_64 or e_phentsize != PHDR.size:
        raise Errno(ENOEXEC)
    if not 1 <= e_phnum <= MAX_HEADERS:
        raise Errno(ENOEXEC)
    return e_phoff, e_phnum * PHDR.size


def parse(data, headers):
    """The Elf of a file that begins with DATA and whose program header table is HEADERS."""
    _, size = header_extent(data)
    if len(headers) < size:
        raise Errno(ENOEXEC)
    _, e_type, _, _, e_entry, e_phoff, *_ = EHDR.unpack_from(data)
    elf = Elf(e_type, e_entry, e_phoff, tuple(Segment(*fields) for fields in PHDR.iter_unpack(headers[:size])))
    previous = -1
    if not elf.loads:
        raise Errno(ENOEXEC)
    for s in elf.loads:
        if s.p_filesz > s.p_memsz or s.p_memsz > 1 << 47 or s.p_vaddr > (1 << 47) - s.p_memsz or s.p_vaddr < previous:
            raise Errno(ENOEXEC)
        if (s.p_vaddr - s.p_offset) % PAGE:
            raise Errno(EINVAL)         # as mmap would answer
        previous = s.p_vaddr
    return elf


def interpreter_extent(elf):
    """(offset, size) of the interpreter's name, or None."""
    for s in elf.segments:
        if s.p_type == PT_INTERP:
            if not 2 <= s.p_filesz <= 4096:
                raise Errno(ENOEXEC)
            return s.p_offset, s.p_filesz
    return None
