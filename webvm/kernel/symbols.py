"""Which function of an ELF file a byte of it belongs to: by its symbols, and where it is stripped by what unwinders read.

Knows files by a function that reads them. A file that is no ELF, or damaged, has no functions.
"""

import struct
from bisect import bisect_right

from webvm.kernel.elf import Segment, header_extent, parse
from webvm.linux.elf import (
    EHDR, PT_GNU_EH_FRAME, SHDR, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC, SYM,
)  # fmt: skip
from webvm.linux.errno import EINVAL, ENOEXEC, Errno

MOST = 64 << 20                     # bytes of a table that are read
# .eh_frame_hdr (Linux Standard Base, 10.6.2) as binutils and lld make it: version, three encodings, eh_frame_ptr, fde_count
EH_FRAME_HDR = struct.Struct("<B3siI")
ENCODINGS = bytes([0x1B, 0x03, 0x3B])       # pcrel sdata4, udata4, datarel sdata4
FDE = struct.Struct("<ii")                  # where a function begins, and what describes it, relative to the header


class Symbols:
    """The functions of a file."""

    def __init__(self, loads: list[Segment] = [], functions: list[tuple[int, int, str]] = [], starts: list[int] = []):
        """functions: (address, size, name); starts: where functions begin that may have no name."""
        self._loads = loads
        self._functions = sorted(functions)
        self._addresses = [address for address, _, _ in self._functions]
        self._starts = sorted(starts)

    def find(self, offset: int) -> tuple[str, int]:
        """The function that has the byte at this offset of the file, and how far inside it is. A function without a name is
        called by its address in the file's own terms; where there is none at all, the name is empty."""
        for s in self._loads:
            if s.p_offset <= offset < s.p_offset + s.p_filesz:
                address = offset - s.p_offset + s.p_vaddr
                break
        else:
            return "", offset
        k = bisect_right(self._addresses, address) - 1
        if k >= 0:
            start, size, name = self._functions[k]
            if address < start + size:
                return name, address - start
        k = bisect_right(self._starts, address) - 1
        return (hex(self._starts[k]), address - self._starts[k]) if k >= 0 else ("", address)


async def read_symbols(read) -> Symbols:
    """The functions of the file that `read(offset, n)` reads; raises what it raises."""
    try:
        head = await read(0, EHDR.size)
        e_phoff, size = header_extent(head)
        elf = parse(head, await read(e_phoff, size))
        return Symbols(elf.loads, await _functions(read, head), await _starts(read, elf))
    except Errno as error:
        if error.number not in (ENOEXEC, EINVAL):            # what is wrong with the headers
            raise
    except struct.error:
        pass
    return Symbols()


async def _functions(read, head: bytes) -> list[tuple[int, int, str]]:
    fields = EHDR.unpack_from(head)
    e_shoff, e_shentsize, e_shnum = fields[6], fields[11], fields[12]
    if not e_shoff or e_shentsize != SHDR.size:
        return []
    sections = list(SHDR.iter_unpack(await read(e_shoff, e_shnum * SHDR.size)))
    for wanted in (SHT_SYMTAB, SHT_DYNSYM):
        for _, type, _, _, offset, size, link, *_ in sections:
            if type == wanted and link < len(sections):
                names = await read(sections[link][4], min(sections[link][5], MOST))
                table = await read(offset, min(size, MOST) // SYM.size * SYM.size)
                return [(value, length, names[name:names.find(b"\0", name)].decode("utf-8", "replace"))
                        for name, info, _, index, value, length in SYM.iter_unpack(table)
                        if info & 15 in (STT_FUNC, STT_GNU_IFUNC) and index and length]
    return []


async def _starts(read, elf) -> list[int]:
    for s in elf.segments:
        if s.p_type == PT_GNU_EH_FRAME:
            version, encodings, _, count = EH_FRAME_HDR.unpack_from(await read(s.p_offset, EH_FRAME_HDR.size))
            if version == 1 and encodings == ENCODINGS:
                table = await read(s.p_offset + EH_FRAME_HDR.size, min(count * FDE.size, s.p_filesz, MOST) // FDE.size * FDE.size)
                return [s.p_vaddr + start for start, _ in FDE.iter_unpack(table)]
    return []
