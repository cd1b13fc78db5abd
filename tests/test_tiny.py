"""Ten tests through every layer, in seconds: what fails here needs no further test to be looked at first."""

import asyncio
from pathlib import Path

import pytest

from webvm.block import open_device
from webvm.machine import Machine

IMAGE = Path(__file__).parents[1] / "build" / "tiny.ext4"
LIMIT = 60


@pytest.fixture(scope="module")
def use():
    """`use(coroutine function)` awaits it over a machine with the tiny image and gives what it gives."""
    with asyncio.Runner() as runner:
        async def boot():
            return await Machine.boot(device=await open_device(str(IMAGE)), output=screen.extend)

        async def bounded(act):
            return await asyncio.wait_for(act(machine), LIMIT)

        screen = bytearray()
        machine = runner.run(boot())
        machine.screen = screen
        yield lambda act: runner.run(bounded(act))
        runner.run(machine.halt())


@pytest.fixture(scope="module")
def sh(use):
    """`sh(script)` gives the standard output of a bash script that must succeed and complain of nothing."""
    def run(script, stdin=b""):
        status, out, err = use(lambda machine: machine.run(["bash", "-c", script], stdin=stdin))
        assert (status, err) == (0, b"")
        return out.decode()
    return run


def test_a_program_runs_and_tells_its_exit_status(use):
    assert use(lambda machine: machine.run(["sh", "-c", "exit 42"])) == (42, b"", b"")


def test_output_and_errors_come_out_apart(use):
    assert use(lambda machine: machine.run(["sh", "-c", "echo out; echo err >&2"])) == (0, b"out\n", b"err\n")


def test_the_machine_is_x86_64_debian(sh):
    assert sh("uname -m; . /etc/os-release; echo $ID $VERSION_ID") == "x86_64\ndebian 13\n"


def test_a_pipeline_of_processes_sorts(sh):
    assert sh("for i in 1 2 3; do echo $i; done | sort -r | tr '\\n' ' '") == "3 2 1 "


def test_input_passes_through_two_processes_unchanged(sh):
    text = "".join(f"line {i}\n" for i in range(20_000))
    assert sh("cat | cat", text.encode()) == text


def test_a_checksum_is_computed_right(sh):
    assert sh("printf abc | sha256sum") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n"


def test_files_are_written_over_the_image_and_read_back(sh, use):
    assert sh("cd; mkdir d; echo kept > d/f; mv d/f d/g; cat d/g; ls d") == "kept\ng\n"
    assert use(lambda machine: machine.read_file("/home/user/d/g")) == b"kept\n"


def test_signals_reach_handlers_and_end_processes(sh):
    assert sh("trap 'echo caught' USR1; kill -USR1 $$; sleep 9 & kill $!; wait $! 2> /dev/null; echo $?") == "caught\n143\n"


def test_long_double_and_wide_integers_are_exact(sh):
    assert sh("seq 0.1 0.1 0.3 | tr '\\n' ' '; factor 18446744073709551557; echo $((3 ** 39))") == (
        "0.1 0.2 0.3 18446744073709551557: 18446744073709551557\n4052555153018976267\n")


def test_ctrl_c_stops_a_loop_that_makes_no_system_call(use):
    async def type_and_read(machine):
        async def until(text):
            while text not in machine.screen:
                await asyncio.sleep(0)

        shell = asyncio.ensure_future(machine.shell())
        await until(b"$ ")
        machine.screen.clear()
        machine.console.input(b"while :; do :; done\r")
        await until(b"done\r\n")
        machine.console.input(b"\x03")
        await until(b"$ ")
        machine.console.input(b"exit 7\r")
        return await shell

    assert use(type_and_read) == 7
