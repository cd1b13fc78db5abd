"""A bounded part of the linear sweep (sweep.py) over real programs: those of the image `dev` where it was unpacked, else this host's."""
from pathlib import Path

import pytest

from webvm.x86.opcodes import ROWS

from .sweep import Sweep, executable_sections, files_in, shape

IMAGE = Path(__file__).parents[2] / "build" / "dev.root" / "usr"
FILES, PART = 60, 60_000                        # of so many files, so many bytes


def sample() -> list[str]:
    """Evenly from the largest to the smallest."""
    root = IMAGE if IMAGE.is_dir() else Path("/usr/bin")
    sized = sorted((Path(path).stat().st_size, path) for path in files_in([root]) if Path(path).stat().st_size > 20_000)
    programs = [path for _, path in sized if Path(path).open("rb").read(4) == b"\x7fELF"]
    return programs[::-max(len(programs) // FILES, 1)]


def test_programs_are_decoded_as_capstone_does_and_can_be_executed():
    found = Sweep()
    for path in sample():
        for data in executable_sections(path):
            found.section(data[:PART], path)
    assert not found.kinds, found.examples
    assert not found.lacking, found.lacking
    assert found.instructions > 300_000 and len(found.shapes) > 10_000


@pytest.mark.parametrize("code, length", [
    ("e8 01020304", 1), ("48 8b 44 24 10", 4), ("48 8b 45 10", 3), ("0f 84 01020304", 2), ("66 0f 3a 0f c1 08", 5), ("c5 f8 28 c1", 4),
    ("c4 e2 7d 18 04 24", 6), ("48 b8 0102030405060708", 2), ("8b 05 01020304", 2), ("f3 0f 1e fa", 4)])
def test_a_shape_is_all_but_displacements_and_immediates(code, length):
    data = bytes.fromhex(code) + bytes(15)
    assert len(shape(data, 0)) == length


def test_the_opcodes_of_a_cell_agree_on_having_a_modrm_byte():
    """Which is what shapes go by."""
    having = {}
    for row in ROWS:
        for opcode in row.opcodes:
            having.setdefault((row.map, opcode), set()).add(row.has_modrm)
    assert [cell for cell, answers in having.items() if len(answers) > 1 and cell != (5, 0x77)] == []
