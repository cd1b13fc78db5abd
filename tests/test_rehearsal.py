"""webvm.rehearsal on the tiny image: which parts of it a start and each program read."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from webvm import rehearsal
from webvm.rehearsal import Scenario, wanted_together

IMAGE = Path(__file__).parents[1] / "build/tiny.ext4"
CHUNK = 65536
ROWS = (
    Scenario("ls", "ls -la /usr/bin"),
    Scenario("sort", "sort /etc/passwd"),
    Scenario("sort", "bash", b"exit\r"),
    Scenario("no-such-program", "no-such-program"),
)


@pytest.fixture(scope="module")
def groups():
    return [asyncio.run(wanted_together(IMAGE, CHUNK, scenarios=ROWS)) for _ in range(2)]


def chunks_of(path):
    """The first chunk of a file in the image."""
    blocks = subprocess.run(["debugfs", "-R", f"blocks {path}", IMAGE], capture_output=True, text=True, check=True).stdout.split()
    return int(blocks[0]) * 4096 // CHUNK


def test_a_start_comes_first_and_each_program_has_what_it_alone_reads(groups):
    start, *rest = groups[0]
    assert 0 in start and chunks_of("/usr/bin/bash") in start
    sort = chunks_of("/usr/bin/sort")
    assert sort not in start and sum(sort in group for group in rest) == 1


def test_groups_do_not_overlap_and_are_the_same_each_time(groups):
    once, again = groups
    numbers = [number for group in once for number in group]
    assert len(numbers) == len(set(numbers)) and all(0 <= number * CHUNK < IMAGE.stat().st_size for number in numbers)
    assert once == again


def test_what_is_no_file_system_has_no_groups(tmp_path):
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    told = []
    assert asyncio.run(wanted_together(tmp_path / "image", CHUNK, told.append)) == []
    assert len(told) == 1


def test_a_program_that_does_not_end_is_told_and_left(monkeypatch):
    monkeypatch.setattr(rehearsal, "PATIENCE", 0.5)
    told = []
    groups = asyncio.run(wanted_together(IMAGE, CHUNK, told.append, [Scenario("cat", "cat")]))
    assert told == ["cat did not end in 0.5 seconds"] and len(groups) == 2
