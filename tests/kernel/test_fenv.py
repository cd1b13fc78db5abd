"""Programs that look at exceptions of numbers find them, also those that a hot loop raised before."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernel.world import World
from webvm.engine.native import NativeEngine
from webvm.jit.image import Image
from webvm.kernel import elf
from webvm.kernel.fenv import MOST_NAMES, may_look
from webvm.linux.elf import DT_STRSZ, DT_STRTAB, DYN, EHDR, ELFMAG, EM_X86_64, ET_EXEC, PF_X, PHDR, PT_DYNAMIC, PT_INTERP, PT_LOAD

COMPILER = shutil.which("gcc")
LOOKING = b"\x0f\xae\x5c\x24\x0c"       # stmxcsr [rsp + 12]


class Stored:
    """A file of a disk, or one that is at hand."""

    def __init__(self, content, at_hand):
        self.content, self.inode, self.size = content, self, len(content)
        self.read_now = (lambda offset, n: content[offset:offset + n]) if at_hand else lambda offset, n: None

    async def pread(self, n, offset):
        return self.content[offset:offset + n]


def program(code=b"", names=b"", dynamic=None, static=False):
    """An ELF file with a segment of code, and what the dynamic linker reads. dynamic: other entries than are right. static: nobody reads them."""
    entries = DYN.pack(DT_STRTAB, 0x400800) + DYN.pack(DT_STRSZ, len(names)) if dynamic is None else dynamic
    headers = [PHDR.pack(PT_LOAD, PF_X, 0, 0x400000, 0, 0x1000, 0x1000, 4096), PHDR.pack(PT_DYNAMIC, 0, 0x400, 0x400400, 0, len(entries), len(entries), 8)]
    if not static:
        headers.append(PHDR.pack(PT_INTERP, 0, 0x300, 0x400300, 0, 16, 16, 1))
    head = EHDR.pack(ELFMAG + b"\2\1\1" + bytes(9), ET_EXEC, EM_X86_64, 1, 0x400000, EHDR.size, 0, 0, EHDR.size, PHDR.size, len(headers), 0, 0, 0)
    file = bytearray(0x1000)
    for where, part in ((0, head + b"".join(headers)), (0x400, entries), (0x800, names), (0xC00, code)):
        file[where:where + len(part)] = part
    return bytes(file)


def looks(content, at_hand=False):
    _, size = elf.header_extent(content)
    return asyncio.run(may_look(Stored(content, at_hand), elf.parse(content, content[EHDR.size:EHDR.size + size])))


@pytest.mark.parametrize("name", ["fetestexcept", "fegetexceptflag", "fegetenv", "feholdexcept", "feupdateenv"])
def test_who_imports_what_looks_may_look(name):
    assert looks(program(names=b"\0printf\0" + name.encode() + b"\0exp\0"))
    assert not looks(program(names=b"\0printf\0" + name.encode() + b"s\0exp\0"))


@pytest.mark.parametrize("code", [LOOKING, b"\x0f\xae\x18", b"\x41\x0f\xae\x9f\0\0\0\0", b"\xc5\xf8\xae\x58\x08"], ids=bytes.hex)
def test_who_has_the_instruction_may_look_if_its_code_is_at_hand(code):
    assert looks(program(b"\x90" * 8 + code), at_hand=True)
    assert not looks(program(b"\x90" * 8 + code))


@pytest.mark.parametrize("code", [b"\x0f\xae\xe8\x0f\xae\xf0\x0f\xae\xf8", b"\x0f\xae\x10", b"\x0f\xae\x00", b"\xc5\xf8\xae\x10"], ids=bytes.hex)
def test_fences_and_what_loads_do_not_look(code):
    assert not looks(program(code), at_hand=True)


def test_of_a_static_program_the_names_of_its_functions_count():
    assert not looks(program(LOOKING, static=True), at_hand=True)
    assert looks(program(names=b"\0fegetenv\0", static=True), at_hand=True)
    assert not looks(program(names=b"\0fegetenv\0", static=True))


def test_damaged_files_do_not_look():
    for entries in (b"", b"\5", DYN.pack(DT_STRTAB, 0x400800), DYN.pack(DT_STRTAB, 1 << 63) + DYN.pack(DT_STRSZ, 1 << 63),
                    DYN.pack(DT_STRTAB, 0x400FF0) + DYN.pack(DT_STRSZ, MOST_NAMES * 2)):
        assert not looks(program(names=b"fetestexcept", dynamic=entries), at_hand=True)


@pytest.mark.skipif(COMPILER is None, reason="no compiler")
@pytest.mark.parametrize("flags, line", [(["-DIMPORTS"], "/guest/looks"), ([], "cp /guest/looks /tmp/looks; /tmp/looks")], ids=["imported", "own code"])
def test_a_late_exception_of_a_hot_loop_is_found(flags, line, tmp_path):
    source = Path(__file__).with_name("looks.c")
    subprocess.run([COMPILER, "-O1", "-fno-builtin", "-o", tmp_path / "looks", *flags, source, "-lm"], check=True)
    expected = subprocess.run([tmp_path / "looks"], capture_output=True, check=True).stdout
    assert expected == b"inf 28\n"
    engine = NativeEngine(Image())
    world = World(engine=engine, guest=str(tmp_path))
    assert world.run("/bin/sh", "-c", line) == (0, expected, b"")
    assert engine.image.counters.regions, "the loop was not hot"
