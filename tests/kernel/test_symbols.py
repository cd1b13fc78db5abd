"""Functions of ELF files, judged by nm and readelf."""

import asyncio
import os
import random
import re
import subprocess

import pytest

from webvm.kernel.symbols import Symbols, read_symbols
from webvm.linux.errno import EIO, Errno

SEED = int(os.environ.get("WEBVM_SEED", 1))
SOURCE = """
static int __attribute__((noinline)) hidden(int x) { return x * 3; }
int __attribute__((noinline)) shown(int x) { return hidden(x) + 1; }
int variable = 5;
int main(int argc, char **argv) { return shown(argc) + variable; }
"""


def symbols_of(data: bytes) -> Symbols:
    async def read(offset, n):
        return data[offset:offset + n]
    return asyncio.run(read_symbols(read))


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """{how it was made: file}."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "a.c").write_text(SOURCE)

    def cc(name, *options):
        subprocess.run(["gcc", "-O1", *options, "-o", folder / name, folder / "a.c"], check=True)
        return folder / name
    files = {"pie": cc("pie", "-pie", "-fPIE"), "static": cc("static", "-static", "-no-pie"), "stripped": cc("stripped", "-s", "-rdynamic"),
             "bare": cc("bare", "-s", "-Wl,--no-eh-frame-hdr", "-fno-asynchronous-unwind-tables")}
    return files


def file_offset(path, address: int) -> int:
    for line in subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout.splitlines():
        if found := re.match(r" *LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)", line):
            offset, start, size = (int(text, 16) for text in found.groups())
            if start <= address < start + size:
                return address - start + offset
    raise AssertionError(hex(address))


def functions(path, *options) -> dict[str, tuple[int, int]]:
    """What nm says: name -> (address, size)."""
    out = subprocess.run(["nm", "-S", *options, path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in out.splitlines()]
    return {name.split("@")[0]: (int(start, 16), int(size, 16)) for start, size, kind, name in (row for row in rows if len(row) == 4) if kind in "tT"}


@pytest.mark.parametrize("kind", ["pie", "static"])
def test_every_byte_of_a_function_belongs_to_it(programs, kind):
    symbols = symbols_of(programs[kind].read_bytes())
    known = functions(programs[kind])
    assert {"hidden", "shown", "main"} <= set(known)
    for name in "hidden", "shown", "main":
        start, size = known[name]
        offset = file_offset(programs[kind], start)
        assert [symbols.find(offset + k) for k in range(size)] == [(name, k) for k in range(size)]
        assert symbols.find(offset - 1)[0] != name and symbols.find(offset + size)[0] != name


def test_a_stripped_program_has_the_functions_it_exports_and_others_by_their_start(programs):
    symbols = symbols_of(programs["stripped"].read_bytes())
    known = functions(programs["stripped"], "-D")
    assert "shown" in known and "hidden" not in known
    start, _ = known["shown"]
    assert symbols.find(file_offset(programs["stripped"], start) + 1) == ("shown", 1)
    frames = subprocess.run(["readelf", "--debug-dump=frames", programs["stripped"]], capture_output=True, text=True, check=True).stdout
    nameless = [start for start in (int(text, 16) for text in re.findall(r" FDE .* pc=(\w+)\.", frames))
                if start not in {address for address, _ in known.values()}]
    assert nameless
    for start in nameless:
        assert symbols.find(file_offset(programs["stripped"], start) + 1) == (hex(start), 1)


def test_a_program_without_anything_has_nothing(programs):
    data = programs["bare"].read_bytes()
    symbols = symbols_of(data)
    assert symbols.find(len(data) + 5) == ("", len(data) + 5)
    assert symbols.find(0)[0] == ""


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + bytes(200)])
def test_what_is_no_program_has_no_functions(data):
    assert symbols_of(data).find(0) == ("", 0)


@pytest.mark.parametrize("kind", ["pie", "stripped"])
def test_damaged_programs_give_something_or_nothing(programs, kind):
    data, rng = programs[kind].read_bytes(), random.Random(SEED)
    print(f"WEBVM_SEED={SEED}")
    shoff = int.from_bytes(data[40:48], "little")
    for _ in range(300):
        damaged = bytearray(data[:rng.randrange(len(data))] if rng.random() < 0.2 else data)
        for _ in range(rng.randrange(1, 30)):
            where = rng.choice([rng.randrange(64), rng.randrange(64, 1000), rng.randrange(shoff, len(data)), rng.randrange(len(data))])
            if where < len(damaged):
                damaged[where] = rng.choice([0, 255, rng.randrange(256)])
        name, inside = symbols_of(bytes(damaged)).find(0x1150)
        assert type(name) is str and inside >= 0


def test_a_file_that_cannot_be_read_says_so():
    async def read(offset, n):
        raise Errno(EIO)
    with pytest.raises(Errno):
        asyncio.run(read_symbols(read))
