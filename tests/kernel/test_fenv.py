"""Programs that look at exceptions of numbers find them, also those that a hot loop raised before."""

import asyncio
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernel.world import World
from webvm.engine.native import NativeEngine
from webvm.jit.image import Image
from webvm.kernel import elf
from webvm.kernel.fenv import MOST_NAMES, library_may_look, may_look
from webvm.linux.elf import (
    DT_STRSZ, DT_STRTAB, DT_SYMTAB, DYN, EHDR, ELFMAG, EM_X86_64, ET_EXEC, PF_X, PHDR, PT_DYNAMIC, PT_INTERP, PT_LOAD, SYM,
)  # fmt: skip
from webvm.linux.errno import EIO, Errno

SEED = int(os.environ.get("WEBVM_SEED", 1))
COMPILER = shutil.which("gcc")
LOOKING = b"\x0f\xae\x5c\x24\x0c"       # stmxcsr [rsp + 12]


class Stored:
    """A file of a disk, or one that is at hand."""

    def __init__(self, content, at_hand):
        self.content, self.inode, self.size = content, self, len(content)
        self.read_now = (lambda offset, n: content[offset:offset + n]) if at_hand else lambda offset, n: None

    async def pread(self, n, offset):
        assert 0 <= offset < 1 << 63 and n < 1 << 31, "no file takes that"
        return self.content[offset:offset + n]


class Broken(Stored):
    """One of a disk that fails."""

    async def pread(self, n, offset):
        if offset:
            raise Errno(EIO)
        return await super().pread(n, offset)


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


@pytest.mark.parametrize("code", [b"\x0f\xae\xe8\x0f\xae\xf0\x0f\xae\xf8", b"\x0f\xae\x10", b"\x0f\xae\x08", b"\xc5\xf8\xae\x10"], ids=bytes.hex)
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


# What a compiler makes of it, and what libgcc and libm have instead.
GETS, GETS_BY_RBP = LOOKING + b"\x8b\x44\x24\x0c\x83\xe0\x3d", b"\x0f\xae\x5d\xfc\x8b\x45\xfc\xc9\xc3"
BY_POINTER = b"\x0f\xae\x1f\xc3"                                       # stmxcsr [rdi]; ret
ROUNDS, CHANGES = LOOKING + b"\x8b\x44\x24\x0c\x25\0\x60\0\0", LOOKING + b"\x8b\x44\x24\x0c\x0f\xae\x54\x24\x0c"


@pytest.mark.parametrize("code, found", [(GETS, True), (GETS_BY_RBP, True), (BY_POINTER, True), (ROUNDS, False), (CHANGES, False)])
def test_a_static_program_looks_where_its_code_at_once_reads_what_it_has_stored(code, found):
    assert looks(program(code, static=True), at_hand=True) is found
    assert not looks(program(code, static=True))


@pytest.mark.parametrize("code", [b"\x0f\xae\x07", b"\x48\x0f\xae\x44\x24\x40", b"\x0f\xae\x64\x24\x40", b"\x0f\xae\x37", b"\x0f\xc7\x64\x24\x40"],
                         ids=["fxsave", "fxsave64", "xsave", "xsaveopt", "xsavec"])
def test_who_saves_the_state_may_look(code):
    assert looks(program(code), at_hand=True)


def library(names, places, code=b"", before=True):
    """A library that has symbols with these names, in sections with these numbers: 0 of what it imports. before: where the linker puts
    the symbols."""
    table = b"".join(SYM.pack(names.index(name + b"\0"), 0x12, 0, place, 0, 0) for name, place in places.items())
    at = 0x800 - len(table) if before else 0x900
    content = bytearray(program(code, names, DYN.pack(DT_STRTAB, 0x400800) + DYN.pack(DT_STRSZ, len(names)) + DYN.pack(DT_SYMTAB, 0x400000 + at), static=True))
    content[at:at + len(table)] = table
    return bytes(content)


def library_looks(content, at_hand=False):
    return asyncio.run(library_may_look(Stored(content, at_hand)))


def test_a_library_looks_if_it_imports_what_looks_not_if_it_is_what_looks():
    names = b"\0printf\0fetestexcept\0"
    assert library_looks(library(names, {b"printf": 0, b"fetestexcept": 0}))
    assert not library_looks(library(names, {b"printf": 0, b"fetestexcept": 12}))
    assert not library_looks(library(names, {b"printf": 0, b"fetestexcept": 12}, LOOKING), at_hand=True)
    assert not library_looks(library(b"\0printf\0xfetestexcept\0", {b"printf": 0, b"xfetestexcept": 0}))
    assert library_looks(library(names, {b"printf": 0, b"fetestexcept": 12}, before=False)), "nobody knows which it is"
    assert not library_looks(library(b"\0printf\0", {b"printf": 0}, LOOKING))
    assert library_looks(library(b"\0printf\0", {b"printf": 0}, LOOKING), at_hand=True)


def test_what_is_no_library_does_not_look():
    for content in (b"", b"#!/bin/sh\n", program()[:100], bytes(100) + LOOKING):
        assert not library_looks(content, at_hand=True)


def test_damaged_and_unreadable_libraries_do_not_look():
    names = b"\0fetestexcept\0"
    good = library(names, {b"fetestexcept": 0})
    assert library_looks(good) and not asyncio.run(library_may_look(Broken(good, False)))
    choice = random.Random(SEED)
    print("WEBVM_SEED", SEED)
    for at in range(8, 0x800, 8):                           # of numbers at even places, each is huge once, or random
        for number in (1 << 63, (1 << 64) - 1, choice.randrange(1 << 64)):
            content = bytearray(good)
            content[at:at + 8] = number.to_bytes(8, "little")
            library_looks(bytes(content), at_hand=True)


def compiled(output, *flags, link=()):
    source = Path(__file__).with_name("looks.c")
    subprocess.run([COMPILER, "-O1", "-mfxsr", "-fno-builtin", "-o", output, *flags, source, *link, "-ldl", "-lm"], check=True)


EXPECTED = b"inf 28\n"
MAKES_LIBRARY = "-DMAKES_LIBRARY", "-shared", "-fPIC"


@pytest.mark.skipif(COMPILER is None, reason="no compiler")
@pytest.mark.parametrize("flags, of_library, line", [
    (["-DIMPORTS"], None, "/guest/looks"),
    ([], None, "cp /guest/looks /tmp/looks; /tmp/looks"),
    (["-DSAVES"], None, "cp /guest/looks /tmp/looks; /tmp/looks"),
    (["-static", "-DIMPORTS"], None, "cp /guest/looks /tmp/looks; /tmp/looks"),
    (["-static"], None, "cp /guest/looks /tmp/looks; /tmp/looks"),
    (["-DLIBRARY"], ["-DIMPORTS"], "LD_LIBRARY_PATH=/guest /guest/looks"),
    (["-DOPENS"], ["-DIMPORTS"], "/guest/looks /guest/liblooks.so"),
    (["-DOPENS"], [], "cp /guest/liblooks.so /tmp; /guest/looks /tmp/liblooks.so"),
], ids=["imported", "own code", "fxsave", "static imported", "static own code", "library", "opened library", "own code of a library"])
def test_a_late_exception_of_a_hot_loop_is_found(flags, of_library, line, tmp_path):
    made = tmp_path / "liblooks.so"
    if of_library is not None:
        compiled(made, *MAKES_LIBRARY, *of_library)
    compiled(tmp_path / "looks", *flags, link=[f"-L{tmp_path}", "-llooks"] if "-DLIBRARY" in flags else [])
    line_here = [tmp_path / "looks"] + [made] * ("-DOPENS" in flags)
    assert subprocess.run(line_here, env={"LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, check=True).stdout == EXPECTED
    engine = NativeEngine(Image())
    world = World(engine=engine, guest=str(tmp_path))
    assert world.run("/bin/sh", "-c", line) == (0, EXPECTED, b"")
    assert engine.image.counters.regions, "the loop was not hot"
