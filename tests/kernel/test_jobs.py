"""Job control: an interactive bash on a terminal of ours."""

import asyncio

from tests.kernel.world import ENVIRONMENT, World
from webvm.engine.native import NativeEngine
from webvm.fs.tty import TtyFile
from webvm.jit.image import Image
from webvm.linux.fcntl import O_RDWR

PROMPT = b"\r\n$ "


class Shell:
    """bash at a prompt: `await type(keys)` returns what appears on the terminal up to the next prompt (or `until`)."""

    def __init__(self):
        self.world = World(engine=NativeEngine(Image()))
        self.kernel, self.tty = self.world.kernel, self.world.tty
        self.tty.resize(24, 200)
        self.shown = asyncio.Event()
        self.seen = bytearray()
        self.tty.driver.write = self._show
        self.task = None

    def _show(self, data):
        self.seen += data
        self.shown.set()

    async def start(self):
        await self.world.mount()
        self.loop = asyncio.ensure_future(self.kernel.run())
        at = await self.world.mounts.root.child(b"dev")
        at = await at.child(b"tty1")
        file = TtyFile(at.inode, O_RDWR, self.tty)
        file.dentry = at
        env = [*ENVIRONMENT, b"PS1=$ ", b"PS2=", b"TERM=dumb"]
        self.task = await self.kernel.spawn([b"/bin/bash", b"--norc", b"--noprofile", b"--noediting", b"-i"], env, b"/",
                                            {0: file, 1: file, 2: file}, tty=self.tty)
        self.tty.session, self.tty.pgrp = self.task.group.session.id, self.task.group.pgrp
        await self.expect(b"$ ")

    async def expect(self, text, timeout=60):
        async def appears():
            while text not in self.seen:
                self.shown.clear()
                await self.shown.wait()
        try:
            await asyncio.wait_for(appears(), timeout)
        except TimeoutError:
            raise AssertionError(f"{text!r} did not appear, but {bytes(self.seen)!r}") from None
        end = self.seen.index(text) + len(text)
        before = bytes(self.seen[:end])
        del self.seen[:end]
        return before

    async def type(self, keys, until=PROMPT):
        await self.tty.input_all(keys)
        return await self.expect(until)


def session(steps):
    async def main():
        shell = Shell()
        await shell.start()
        try:
            await steps(shell)
        finally:
            shell.kernel.scheduler.stop()
            await asyncio.wait([shell.loop])
            assert shell.world.log == []
    asyncio.run(main())


def test_control_c_stops_a_loop_and_the_shell_goes_on():
    async def steps(shell):
        await shell.type(b"while :; do :; done\n", until=b"done\r\n")
        while not shell.kernel.scheduler.slices > 50:
            await asyncio.sleep(0)
        await shell.type(b"\x03")
        assert b"130" in await shell.type(b"echo $?\n")
    session(steps)


def test_control_c_ends_a_foreground_program():
    async def steps(shell):
        await shell.type(b"sleep 100\n", until=b"100\r\n")
        while shell.tty.pgrp == shell.task.group.pgrp:
            await asyncio.sleep(0)
        assert b"^C" in await shell.type(b"\x03")
        assert b"130" in await shell.type(b"echo $?\n")
    session(steps)


def test_stop_background_foreground_and_kill():
    async def steps(shell):
        await shell.type(b"sleep 100\n", until=b"100\r\n")
        while shell.tty.pgrp == shell.task.group.pgrp:
            await asyncio.sleep(0)
        assert b"Stopped" in await shell.type(b"\x1a")
        assert b"[1]+  Stopped                 sleep 100" in await shell.type(b"jobs\n")
        assert b"[1]+ sleep 100 &" in await shell.type(b"bg\n")
        assert b"Running" in await shell.type(b"jobs\n")
        await shell.type(b"fg\n", until=b"sleep 100\r\n")
        while shell.tty.pgrp == shell.task.group.pgrp:
            await asyncio.sleep(0)
        assert b"Stopped" in await shell.type(b"\x1a")
        shown = await shell.type(b"kill %1\n")
        while len(shell.kernel.groups) > 1:
            await asyncio.sleep(0)
        shown += await shell.type(b"jobs\n")
        assert b"Terminated" in shown
    session(steps)


def test_a_background_reader_of_the_terminal_is_stopped():
    async def steps(shell):
        await shell.type(b"cat &\n")
        while not any(group.stopped for group in shell.kernel.groups.values()):
            await asyncio.sleep(0)
        assert b"Stopped" in await shell.type(b"jobs\n")
        await shell.type(b"fg\n", until=b"cat\r\n")
        assert b"line\r\nline\r\n" in await shell.type(b"line\n", until=b"line\r\nline\r\n")
        await shell.type(b"\x04", until=b"$ ")
    session(steps)


def test_the_end_of_the_shell_hangs_up_its_jobs():
    async def steps(shell):
        await shell.type(b"shopt -u huponexit; sleep 100 & sleep 200 | cat &\n")
        await shell.tty.input_all(b"exit\n")
        assert await asyncio.wait_for(shell.kernel.wait(shell.task), 60) == 0
        shell.kernel.signal_pgrp(shell.task.group.pgrp, 1)
        left = [g for g in shell.kernel.groups.values() if g.status is None]
        assert all(g.ppid == 1 for g in left) and shell.tty.session == 0
    session(steps)
