"""Stands in for webvm/machine.py where a test is about the page: a shell of a few words, no guest code.

Has what webvm.browser asks of a machine. Its words: echo, size, count (bytes of input until Ctrl-D, and their sum), spin
(computes until Ctrl-C), yes (prints until Ctrl-C), colours,
break (the machine down), exit. Programs to run: cat, env, random, clock, disk (bytes at an offset), options
(that the machine was booted with), crash.
"""

import asyncio
import json
import os
import random
import time
import zlib

from webvm.block import BlockError, Stats, open_device
from webvm.fs.ext4 import BadImage
from webvm.jit.build import remember
from webvm.linux.errno import ENOENT, Errno

__all__ = ["BadImage", "BlockError", "Errno", "Machine", "NoSuchOption", "Stats", "open_device", "remember"]

PROMPT = b"fake$ "


class NoSuchOption(ValueError):
    pass


class Console:
    def __init__(self, output, columns, rows):
        self.write = output
        self.columns, self.rows = columns, rows
        self.running = None         # the task that Ctrl-C stops
        self._typed = asyncio.Queue()
        self._open = asyncio.Event()
        self._open.set()

    def input(self, data):
        if b"\x03" in data and self.running:
            self.running.cancel()
            while not self._typed.empty():
                self._typed.get_nowait()
            data = data.rpartition(b"\x03")[2]
        for byte in data:
            self._typed.put_nowait(byte)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows

    def pause(self):
        self._open.clear()

    def resume(self):
        self._open.set()

    async def print(self, data):
        await self._open.wait()
        self.write(data)

    async def key(self):
        return await self._typed.get()


class Machine:
    @classmethod
    async def boot(cls, *, interpreter, device, output, columns, rows, yield_, **options):
        if options["tier"] == "wrong":
            raise NoSuchOption("no such tier: wrong")
        machine = cls()
        machine._options = options | {"code_cache": options["code_cache"] is not None}
        machine.console = Console(output, columns, rows)
        machine._files = {}
        machine._busy = 0.0
        machine._yield = yield_
        machine._broken = asyncio.get_running_loop().create_future()
        machine._device = device
        if device:
            await device.read(0, min(device.size, 1 << 16))
        return machine

    def stats(self):
        return {"instructions": 1, "faults": 2, "system_calls": 3, "busy_ms": self._busy * 1000}

    async def perf(self):
        return "a table"

    async def stopped(self):
        await self._broken

    async def run(self, argv, stdin=b"", env=None, cwd=None):
        match argv:
            case ["cat"]:
                return 0, stdin, b""
            case ["env"]:
                return 0, b"".join(f"{name}={value}\n".encode() for name, value in (env or {}).items()), (cwd or "").encode()
            case ["random"]:
                return 0, json.dumps([random.random(), os.urandom(8).hex()]).encode(), b""
            case ["disk", offset, length]:
                return 0, await self._device.read(int(offset), int(length)), b""
            case ["options"]:
                return 0, json.dumps(self._options).encode(), b""
            case ["clock"]:
                return 0, str(time.time()).encode(), b""
            case ["crash"]:
                raise AssertionError("a bug of ours")
        return 127, b"", f"{argv[0]}: not found\n".encode()

    async def read_file(self, path):
        if path not in self._files:
            raise Errno(ENOENT)
        return self._files[path]

    async def write_file(self, path, data):
        self._files[path] = data

    async def shell(self):
        while True:
            await self.console.print(PROMPT)
            words = (await self._line()).split()
            if words == [b"exit"]:
                return 0
            self.console.running = asyncio.ensure_future(self._word(words))
            try:
                await self.console.running
            except asyncio.CancelledError:
                await self.console.print(b"^C\r\n")
            self.console.running = None

    async def _line(self):
        line = bytearray()
        while (byte := await self.console.key()) != 13:
            if byte == 0x7f:
                if line:
                    del line[-1:]
                    await self.console.print(b"\b \b")
            elif byte != 3:
                line.append(byte)
                await self.console.print(bytes([byte]))
        await self.console.print(b"\r\n")
        return bytes(line)

    async def _word(self, words):
        match words:
            case [b"echo", *rest]:
                await self.console.print(b" ".join(rest) + b"\r\n")
            case [b"size"]:
                await self.console.print(f"{self.console.columns}x{self.console.rows}\r\n".encode())
            case [b"count"]:
                data = bytearray()
                while (byte := await self.console.key()) != 4:
                    data.append(byte)
                await self.console.print(f"{len(data)} {zlib.crc32(data):08x}\r\n".encode())
            case [b"spin"]:
                while True:
                    start = time.perf_counter()
                    while time.perf_counter() - start < 0.01:
                        pass
                    self._busy += time.perf_counter() - start
                    await self._yield()
            case [b"yes"]:
                while True:
                    for _ in range(100):
                        await self.console.print(b"y" * 70 + b"\r\n")
                    await self._yield()
            case [b"break"]:
                self._broken.set_exception(AssertionError("on purpose"))
            case [b"colours"]:
                await self.console.print(b"".join(b"\x1b[48;5;%dm  \x1b[0m%s" % (n, b"\r\n" if n % 36 == 15 else b"") for n in range(256)))
                await self.console.print("\r\nhttps://example.org/ äöü 漢字 \x1b[38;2;255;100;0mtrue colour\x1b[0m\r\n".encode())
            case [word, *_]:
                await self.console.print(word + b": not found\r\n")
