"""A small machine for tests: programs of this host's file system under our kernel, on Unicorn's CPU."""

import asyncio

from tests.engines.unicorn_engine import UnicornEngine
from tests.kernel.hostdir import HostDir, Input, Output
from webvm.kernel.filesystems import equip, mount_at, mount_standard
from webvm.kernel.kernel import Kernel
from webvm.kernel.path import Mounts

ENVIRONMENT = (b"PATH=/usr/bin:/bin", b"HOME=/", b"LANG=C")


class World:
    """`run(*argv)` gives (wait status, stdout, stderr); `log` is what the kernel said, `trace` the system calls."""

    def __init__(self, root="/", engine=None, strace=False, guest=None):
        self.mounts = Mounts(HostDir(root))
        self.guest = guest              # a directory of the host to see as /guest
        self.log, self.trace = [], []
        self.kernel = Kernel(engine or UnicornEngine(), self.mounts, log=self.log.append)
        self.console = bytearray()
        self.tty = equip(self.kernel, self.console.extend)
        if strace:
            self.kernel.strace = lambda task, text: self.trace.append(text)

    async def mount(self):
        await mount_standard(self.kernel)
        if self.guest is not None:
            await mount_at(self.mounts, b"/guest", HostDir(self.guest))

    async def main(self, argv, stdin=b"", env=ENVIRONMENT, cwd=b"/", timeout=60):
        await self.mount()
        loop = asyncio.ensure_future(self.kernel.run())
        out, err = Output(), Output()
        try:
            task = await self.kernel.spawn(argv, env, cwd, {0: Input(stdin), 1: out, 2: err})
            waiting = asyncio.ensure_future(self.kernel.wait(task))
            await asyncio.wait([waiting, loop], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if loop.done():
                loop.result()
            assert waiting.done(), f"{argv} did not end: {bytes(out.data)!r} {bytes(err.data)!r} {self.trace[-5:]}"
            return waiting.result(), bytes(out.data), bytes(err.data)
        finally:
            self.kernel.scheduler.stop()
            await asyncio.wait([loop])

    def run(self, *argv, **options):
        return asyncio.run(self.main([a if isinstance(a, bytes) else a.encode() for a in argv], **options))
