"""webvm.practice on the tiny image: what is translated, and for whom."""

import asyncio
from pathlib import Path

import pytest

from webvm import practice
from webvm.jit.shipped import INDEX
from webvm.practice import WARM, practise

IMAGE = Path(__file__).parents[1] / "build/tiny.ext4"
NEVER = 1 << 30         # arrivals that nothing has
LOOP = ("bash", "i=0; while [ $i -lt 2500 ]; do i=$((i + 1)); done; echo $i")


@pytest.fixture
def machines(monkeypatch):
    """Those that are booted."""
    found, boot = [], practice.Machine.boot

    async def noted(**more):
        found.append(await boot(**more))
        return found[-1]

    monkeypatch.setattr(practice.Machine, "boot", noted)
    return found


def test_each_turn_has_what_those_before_it_have_translated(machines):
    files = asyncio.run(practise(IMAGE, turns=[(WARM, [LOOP]), (NEVER, [LOOP])]))
    assert INDEX in files and len(files) > 1
    first, second = machines
    assert first.image.warm == WARM and second.image.warm == NEVER
    assert first.image.counters.instructions > 1000 and not first.image.code_cache.loaded
    assert second.image.code_cache.loaded and not second.image.counters.instructions and second.engine.region_instructions > 1_000_000


def test_what_there_is_no_time_for_is_left_and_told(machines):
    told = []
    files = asyncio.run(practise(IMAGE, told.append, [(WARM, [LOOP]), (WARM, [LOOP])], seconds=0))
    assert set(files) == {INDEX} and told == ["no time is left to translate what bash and those after it do"] * 2


def test_a_program_that_fails_is_told_and_one_that_is_missing_is_not():
    told = []
    asyncio.run(practise(IMAGE, told.append, [(WARM, [("no-such-program", "exit 1"), ("bash", "exit 3")])]))
    assert told == ["bash ended with status 3"]


def test_what_is_no_file_system_has_no_code(tmp_path):
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    told = []
    assert asyncio.run(practise(tmp_path / "image", told.append)) == {} and len(told) == 1
