"""What a profile counts, with address spaces made by hand; and that one of a real program names its hot function."""

import asyncio
import re
import subprocess
from types import SimpleNamespace

from tests.system.machines import BUILD
from webvm.block import open_device
from webvm.fs.hostfs import HostFs
from webvm.linux.errno import EIO, Errno
from webvm.machine import Machine
from webvm.profile import ROWS, Profile


class Inode:
    async def read(self, offset, n):
        raise Errno(EIO)


class Vma:
    def __init__(self, start, file=None, name=b"", pgoff=0):
        self.start, self.file, self.name, self.pgoff = start, file, name, pgoff


class Fake:
    """A profile of address spaces whose mappings are 64 KiB each."""

    def __init__(self):
        self.in_regions = 0
        self.profile = Profile(lambda: self.in_regions, lambda file: file.path)

    def sample(self, vmas, rip, ns, instructions=100, in_regions=0):
        def find(address): return next((vma for vma in vmas if vma.start <= address < vma.start + 65536), None)
        self.in_regions += in_regions
        self.profile.sample(SimpleNamespace(find=find), SimpleNamespace(rip=rip), ns, instructions)

    def rows(self): return asyncio.run(self.profile.rows())
    def listing(self, *most): return asyncio.run(self.profile.listing(*most))


def test_samples_are_added_up_by_file_wherever_it_is_mapped():
    fake, file, other = Fake(), SimpleNamespace(inode=Inode(), path="/bin/a"), SimpleNamespace(inode=Inode(), path="/bin/b")
    fake.sample([Vma(0x10000, file)], 0x10010, 5)
    fake.sample([Vma(0x50000, file, pgoff=3)], 0x50020, 30, in_regions=50)
    fake.sample([Vma(0x90000, file, pgoff=3)], 0x90020, 1, in_regions=100)
    fake.sample([Vma(0x10000, other)], 0x10010, 10)
    (first, _, a), (second, _, b) = fake.rows()
    assert (first, a.samples, a.ns, a.instructions, a.in_regions, a.address) == ("/bin/a", 3, 36, 300, 150, 0x50020)
    assert (second, b.samples, b.ns, b.instructions, b.in_regions, b.address) == ("/bin/b", 1, 10, 100, 0, 0x10010)


def test_code_in_no_file_is_named_by_its_mapping():
    fake = Fake()
    fake.sample([Vma(0x10000)], 0x10010, 3)
    fake.sample([Vma(0x10000, name=b"[vdso]")], 0x10010, 2)
    fake.sample([], 0xFFFF_FFFF_FFFF_FFFF, 1)
    assert [file for file, _, _ in fake.rows()] == ["[anonymous]", "[vdso]", "[unmapped]"]


def test_listing_has_shares_and_a_last_line_for_the_rest():
    fake = Fake()
    for k in range(ROWS + 5):
        fake.sample([Vma(0x10000, name=b"[m%d]" % k)], 0x10010, 1000 - k, 100, 100 if k == 0 else 0)
    lines = fake.listing(2).splitlines()
    whole = sum(1000 - k for k in range(ROWS + 5))
    assert lines[0].startswith("0.00 s of guest code, 35 samples, 2.9 %")
    assert lines[2] == f"{100000 / whole:5.1f} % 100.0 %      10010  [m0]"
    assert lines[3] == f"{99900 / whole:5.1f} %   0.0 %      10010  [m1]"
    assert lines[4] == f"{100 * (whole - 1999) / whole:5.1f} %  in {ROWS + 3} other functions" and len(lines) == 5
    assert len(fake.listing().splitlines()) == ROWS + 3


def test_nothing_sampled_gives_an_empty_table():
    assert Fake().listing().splitlines()[0] == "0.00 s of guest code, 0 samples, - of its instructions in regions"


SOURCE = """
#include <stdlib.h>
static unsigned __attribute__((noinline)) hot(unsigned x, long n) { while (n--) x = x * 1103515245 + (x >> 3); return x; }
static unsigned __attribute__((noinline)) cold(unsigned x) { return x + 1; }
int main(int argc, char **argv) { return hot(cold(argc), atol(argv[1])) == 7; }
"""


def perf(folder, n, **options):
    async def main():
        machine = await Machine.boot(root=HostFs(folder, read_only=True), **options)
        assert await machine.perf() == ""
        status, _, err = await machine.run(["/program", str(n)])
        assert (status, err) == (0, b"")
        rows, stats, table = await machine._profile.rows(), machine.stats(), await machine.perf()
        await machine.halt()
        return rows, stats, table
    return asyncio.run(main())


def test_hot_function_of_a_real_program_and_its_tier(tmp_path):
    (tmp_path / "a.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-static", "-o", tmp_path / "program", tmp_path / "a.c"], check=True)
    rows, stats, table = perf(tmp_path, 30_000_000)
    file, name, place = rows[0]
    assert file == "/program" and re.fullmatch(r"hot\+0x[0-9a-f]+", name)
    assert place.ns > 0.5 * sum(row.ns for _, _, row in rows) and place.in_regions > 0.5 * place.instructions
    assert re.search(r"^ +\d+\.\d % +\d+\.\d % +\w+  hot\+0x\w+  /program$", table, re.M)
    assert stats["instructions"] > 150_000_000
    assert stats["region_instructions"] > 20_000_000 and 0.5 < stats["region_share"] <= 1
    assert stats["regions"] > 0 and stats["translated_instructions"] >= 5 and stats["region_modules"] > 0 and stats["region_bytes"] > 100
    for name in "translate_ms", "translate_us", "compile_ms", "compile_us", "link_ms":
        assert stats[name] > 0, name
    assert stats["region_slots"] == 0                           # the program has ended

    rows, stats, _ = perf(tmp_path, 2_000_000, tier="interp")
    assert rows[0][1].startswith("hot+") and rows[0][2].in_regions == 0
    assert stats["instructions"] > 10_000_000
    assert not any(value for name, value in stats.items() if "region" in name or "translate" in name or "compile" in name)


def test_instructions_of_programs_that_have_ended_are_counted():
    async def main():
        machine = await Machine.boot(device=await open_device(str(BUILD / "tiny.ext4")))
        counts = []
        for _ in range(2):
            await machine.run(["bash", "-c", "(for ((i = 0; i < 5000; i++)); do :; done)"])
            counts.append(machine.stats())
        await machine.halt()
        return counts
    first, second = asyncio.run(main())
    assert 0 < first["region_instructions"] < second["region_instructions"] < second["instructions"]
    assert second["processes"] == first["processes"]
