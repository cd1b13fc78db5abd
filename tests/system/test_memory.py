"""A machine has as much memory as it says: the process that asks for the most of it is killed, and the rest lives on."""
import asyncio
from pathlib import Path

from webvm.block import FileDevice
from webvm.machine import Machine

IMAGE = Path(__file__).parent.parent.parent / "build" / "tiny.ext4"


def run_with(memory: int, script: str):
    async def main():
        log = []
        machine = await Machine.boot(device=FileDevice(IMAGE), log=log.append)
        machine.kernel.memory = memory
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
