"""A machine run once on an image, before anybody visits, to see which parts of the disk are wanted together.

Knows what people do first with such a machine; does not know what becomes of the answer.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from webvm.block import BlockDevice, FileDevice
from webvm.machine import BadImage, Errno, Machine

QUIET = 0.3             # seconds without a system call, and then nothing to do: the shell waits at its prompt
PATIENCE = 60           # seconds that a start, or a scenario, may take

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scenario:
    program: str        # what a person is after; rows of one program are one group, left out where it is not installed
    line: str           # typed at a shell
    keys: bytes = b""   # and then in the program


# fmt: off
SCENARIOS = (
    Scenario("ls",       "ls; ls -la /usr/bin | head"),
    Scenario("cat",      "cat /etc/os-release | sort | uniq | wc; uname -a; date; id; echo a | tr a b | cut -c1 | tail"),
    Scenario("cp",       "cd /tmp; mkdir -p a/b; touch a/c; cp -r a d; mv d e; chmod 700 e; ln -s e f; df .; du -s e; rm -r a e f; sync"),
    Scenario("grep",     "grep -rn root /etc/passwd; find /etc -maxdepth 1 | xargs -n 40 echo | sed s/a/b/"),
    Scenario("awk",      "awk -F: '{ print $1 }' /etc/passwd"),
    Scenario("ps",       "ps aux; pgrep sh; free; uptime"),
    Scenario("top",      "top -n 1"),
    Scenario("less",     "less /etc/passwd", b"q"),
    Scenario("nano",     "nano /tmp/a", b"\x18"),
    Scenario("vim.tiny", "vim.tiny /tmp/a", b":q!\r"),
    Scenario("tar",      "cd /tmp; tar czf a.tgz /etc/skel; tar tzf a.tgz; tar cJf a.txz /etc/skel"),
    Scenario("python3",  "python3 -c 'import os, re, json, sys; print(1)'"),
    Scenario("python3",  "python3", b"print(1)\rexit()\r"),
    Scenario("perl",     "perl -MPOSIX -MData::Dumper -e 'print Dumper(floor(1.5))'"),
    Scenario("git",      "git --version; cd /tmp; git init a; cd a; echo >b; git add b; git -c user.name=a -c user.email=a commit -m a; git --no-pager log; git status"),
    Scenario("curl",     "curl --version; curl -s http://localhost:1/"),
    Scenario("file",     "file /bin/sh"),
    Scenario("lua5.4",   "lua5.4 -e 'print(1)'"),
    Scenario("sqlite3",  "sqlite3 :memory: 'select 1'"),
    Scenario("gcc",      "cd /tmp; printf '#include <stdio.h>\\nint main(void) { puts(\"1\"); }' >a.c; gcc -O2 -o a a.c; ./a"),
    Scenario("g++",      "cd /tmp; printf '#include <iostream>\\nint main() { std::cout << 1; }' >a.cc; g++ -O2 -o a a.cc; ./a"),
    Scenario("make",     "cd /tmp; printf 'a:\\n\\techo a\\n' >Makefile; make"),
)
# fmt: on


class Recorder:
    """A device that remembers which chunks of it were read."""

    def __init__(self, device: BlockDevice, chunk_size: int):
        self.size = device.size
        self.chunks: set[int] = set()
        self._device = device
        self._chunk_size = chunk_size

    async def read(self, offset: int, length: int) -> bytes:
        if length:
            self.chunks.update(range(offset // self._chunk_size, (offset + length - 1) // self._chunk_size + 1))
        return await self._device.read(offset, length)

    async def flush(self) -> None: ...

    def close(self) -> None:
        self._device.close()


async def wanted_together(image: Path, chunk_size: int, say: Say = lambda line: None,
                          scenarios: Iterable[Scenario] = SCENARIOS) -> list[list[int]]:
    """Numbers of the chunks that belong together, in groups that do not overlap: first what a start to the prompt reads.

    Then what more than one program reads beyond that, and then what each does alone. Nothing for what is not a file system.
    """
    try:
        start = await _rehearse(image, chunk_size, [], say)
    except BadImage as error:
        say(f"{image}: {error}")
        return []
    by_program: dict[str, list[Scenario]] = {}
    for row in scenarios:
        by_program.setdefault(row.program, []).append(row)
    programs = {name: await _rehearse(image, chunk_size, rows, say) - start for name, rows in by_program.items()}
    users: dict[int, int] = {}
    for chunks in programs.values():
        for number in chunks:
            users[number] = users.get(number, 0) + 1
    shared = {number for number, count in users.items() if count > 1}
    groups = [start, shared, *(chunks - shared for chunks in programs.values())]
    return [sorted(group) for group in groups if group]


async def _rehearse(image: Path, chunk_size: int, rows: list[Scenario], say: Say) -> set[int]:
    """The chunks that a fresh machine reads for a login shell, or instead for the lines of `rows`."""
    recorder = Recorder(FileDevice(image), chunk_size)
    try:
        machine = await Machine.boot(device=recorder, log=lambda line: None)
        try:
            await (_play(machine, rows, say) if rows else _log_in(machine, say))
        finally:
            await machine.halt()
    finally:
        recorder.close()
    return recorder.chunks


async def _log_in(machine: Machine, say: Say) -> None:
    """As far as the prompt."""
    shell = asyncio.ensure_future(machine.shell())
    calls = -1
    for _ in range(int(PATIENCE / QUIET)):
        await asyncio.wait([shell], timeout=QUIET)
        if shell.done() or machine.kernel.scheduler.idle and calls == (calls := machine.stats()["system_calls"]) > 0:
            break
    if shell.done():
        say("the login shell does not start")
    shell.cancel()


async def _play(machine: Machine, rows: list[Scenario], say: Say) -> None:
    account = await machine.account()
    for row in rows:
        try:
            await machine.find(row.program, account.environment()["PATH"], account.home)
            task = await machine.spawn(["bash", "-c", row.line], account=account, files=await machine.terminal_files(), tty=machine.tty)
        except Errno:
            return      # not installed here
        machine.console.input(row.keys)
        try:
            await asyncio.wait_for(machine.kernel.wait(task), PATIENCE)
        except TimeoutError:
            say(f"{row.program} did not end in {PATIENCE} seconds")
            return
