"""A machine has as much memory as it says: the process that asks for the most of it is killed, and the rest lives on."""
import asyncio
from pathlib import Path

import pytest

from webvm.block import FileDevice
from webvm.kernel import kernel
from webvm.machine import Machine

IMAGE = Path(__file__).parent.parent.parent / "build" / "tiny.ext4"


def run_with(memory: int, script: str, shed: list | None = None):
    async def main():
        log = []
        machine = await Machine.boot(device=FileDevice(IMAGE), log=log.append)
        machine.kernel.memory = memory
        if shed is not None:
            machine.engine.shed = lambda shed_now=machine.engine.shed: shed.append(shed_now())
        status, out, _ = await machine.run(["bash", "-c", script])
        await machine.halt()
        return status, out, log
    return asyncio.run(main())


GREEDY = """perl -e '$x = "a" x 60_000_000; print length $x, "\\n"'"""


def test_greedy_process_is_killed_and_its_parent_goes_on():
    status, out, log = run_with(32 << 20, f"{GREEDY}; echo $?; echo alive")
    assert (status, out) == (0, b"137\nalive\n")
    assert any("out of memory: killed process" in line and "perl" in line for line in log)


def test_same_process_runs_where_there_is_room():
    assert run_with(1 << 30, GREEDY) == (0, b"60000000\n", [])


@pytest.mark.parametrize("crowded", [16 << 20, 512 << 20])
def test_nothing_is_kept_for_reuse_beside_a_large_process(crowded, monkeypatch):
    monkeypatch.setattr(kernel, "CROWDED", crowded)
    shed = []
    assert run_with(1 << 30, f"/bin/true; {GREEDY}; /bin/true", shed) == (0, b"60000000\n", [])
    assert bool(shed) == (crowded < 60_000_000)
