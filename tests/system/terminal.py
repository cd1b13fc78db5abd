"""A person at the machine's terminal: types, and reads the screen that a terminal emulator (pyte) makes of the output."""

import asyncio

import pyte

from tests.system.machines import BUILD, LIMIT, Hung
from webvm.block import open_device
from webvm.machine import Machine

PROMPT = "user@webvm:~$"


class Screen(pyte.Screen):
    """pyte's, deaf to sequences it takes for others: xterm's CSI > 4 ; 2 m asks for keys, not for colours."""

    def select_graphic_rendition(self, *attributes, private=False):
        if not private:
            super().select_graphic_rendition(*attributes)


class Person:
    """A machine with its login shell at the prompt; waiting is on the screen's content, never on time."""

    def __init__(self, columns=80, rows=24):
        self.runner = asyncio.Runner()
        self.log = []           # what the kernel complained of
        self.screen = Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.machine = self.runner.run(self._boot(columns, rows))
        self.see(PROMPT)

    async def _boot(self, columns, rows):
        machine = await Machine.boot(device=await open_device(str(BUILD / "standard.ext4")), output=self.stream.feed, columns=columns, rows=rows,
                                     log=self.log.append)
        self.shell = asyncio.ensure_future(machine.shell())
        return machine

    def type(self, text: str) -> None:
        """Keys; Enter is \\r."""
        self.runner.run(self._typed(text.encode()))

    async def _typed(self, data: bytes):
        self.machine.console.input(data)

    @property
    def lines(self) -> list[str]:
        """The screen without blank ends of lines and blank lines at its end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n").split("\n")

    def until(self, holds, what) -> None:
        """Returns once `holds(lines)` is true; Hung when that does not happen."""
        self.runner.run(self._until(holds, what))

    async def _until(self, holds, what):
        end = asyncio.get_running_loop().time() + LIMIT
        while not holds(self.lines):
            if asyncio.get_running_loop().time() > end:
                raise Hung(f"not seen: {what}\n" + "\n".join(self.lines + self.log))
            await asyncio.sleep(0.001)

    def see(self, text: str) -> None:
        self.until(lambda lines: any(text in line for line in lines), text)

    def tty(self, holds, what) -> None:
        """Returns once `holds(terminal)` is true of the machine's own terminal."""
        self.until(lambda lines: holds(self.machine.tty), what)

    def program(self) -> None:
        """Returns once a program has the terminal, not the shell: keys that send signals are for it."""
        self.tty(lambda tty: tty.pgrp != tty.session, "a program in the foreground")

    def prompt(self) -> None:
        """Returns once the shell asks for a command."""
        self.until(lambda lines: lines[-1].endswith(PROMPT), "a prompt")

    def enter(self, line: str) -> None:
        """Types a command at the prompt; the screen has nothing else on it than what comes from now on."""
        self.prompt()
        self.screen.reset()
        self.type(line + "\r")

    def do(self, line: str) -> list[str]:
        """Does a command: what stands between it and the next prompt. The line must fit beside the prompt."""
        self.enter(line)
        self.prompt()
        return self.lines[1:-1]

    def do_until(self, line: str, holds) -> None:
        """Does a command again and again, until what it says is right; Hung when it never is."""
        for _ in range(200):
            said = self.do(line)
            if holds(said):
                return
        raise Hung(f"{line} says {said}")

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        self.runner.run(self._resized(columns, rows))

    async def _resized(self, columns, rows):
        self.machine.console.resize(columns, rows)

    def close(self) -> None:
        self.shell.cancel()
        self.runner.run(self.machine.halt())
        self.runner.close()
