"""`webvm run`: a machine on this terminal, or between this process's standard streams.

Knows the host: file descriptors, raw mode, the window's size, host paths and caches. What runs is `webvm.machine`'s.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import termios
import tty
from pathlib import Path

from webvm.block import BlockError, Stats, open_device
from webvm.block.directory import DirectoryStore
from webvm.block.native import HttpTransport
from webvm.engine.native import cache_directory
from webvm.fs.ext4 import BadImage
from webvm.fs.hostfs import HostFs
from webvm.jit import trace
from webvm.jit.folder import FolderStore
from webvm.jit.check import Difference
from webvm.jit.image import SWITCHES, TIERS
from webvm.linux.errno import EACCES, ENOENT, STRERROR, Errno
from webvm.machine import CHUNK, LOGIN_UID, Machine, NoSuchOption, exit_status
from webvm.x86.processor import CPUS, DEFAULT

USAGE, NOT_FOUND, NOT_EXECUTABLE = 2, 127, 126         # a shell's exit statuses
SOFTWARE = 70                                           # EX_SOFTWARE of sysexits.h: a bug of ours
IMAGE = Path(__file__).parent.parent / "build" / "standard.ext4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--disk", metavar="IMAGE|URL|none", help="the ext4 image or its chunks (default: the one scripts/setup made)")
    parser.add_argument("--mount", action="append", type=_mount, default=[], metavar="HOSTDIR:GUESTDIR[:rw]",
                        help="show a folder of this machine to the guest, read-only unless :rw")
    parser.add_argument("--env", action="append", type=_variable, default=[], metavar="K=V", help="set a variable")
    parser.add_argument("--cwd", metavar="DIR", help="start there (default: the user's home)")
    parser.add_argument("--user", type=int, default=None, metavar="UID", help="who runs ARGV (default: root, and user 1000 for a login shell)")
    parser.add_argument("--cpu", choices=CPUS, default=DEFAULT, help=f"the processor that programs see (default: {DEFAULT})")
    parser.add_argument("--tier", choices=TIERS, default="jit", help="whether hot code is translated (default: jit)")
    parser.add_argument("--jit-off", type=_names, default=[], metavar="A,B", help=f"optimisations to go without: {', '.join(SWITCHES)}")
    parser.add_argument("--check", action="store_true", help="verify translated code against the interpreter, and stop at a difference")
    parser.add_argument("--no-code-cache", dest="code_cache", action="store_false",
                        help="neither use translated code of earlier runs nor keep this one's")
    parser.add_argument("--perf", action="store_true", help="list the functions that took longest on standard error when all is done")
    parser.add_argument("--strace", action="store_true", help="print the system calls on standard error")
    parser.add_argument("--stats", type=Path, metavar="FILE", help="write counters there as JSON when all is done")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="ARGV", help="the program and its arguments (default: a login shell)")
    parser.epilog = f"The variable WEBVM_TRACE={','.join(trace.KINDS)} has each translated region printed on standard error."


def _mount(text: str) -> tuple[Path, str, bool]:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[0] or not parts[1].startswith("/") or parts[2:] not in ([], ["rw"], ["ro"]):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOSTDIR:/GUESTDIR or HOSTDIR:/GUESTDIR:rw")
    return Path(parts[0]), parts[1], parts[2:] != ["rw"]


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


class Refused(Exception):
    """What was asked for can't be run: one sentence and the exit status."""

    def __init__(self, sentence: str, status: int):
        super().__init__(sentence)
        self.status = status


def main(arguments: argparse.Namespace) -> int:
    logging.basicConfig(format="webvm: %(message)s", level=logging.WARNING)
    try:
        return asyncio.run(_run(arguments))
    except Refused as refused:
        print(f"webvm: {refused}", file=sys.stderr)
        return refused.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def _run(arguments: argparse.Namespace) -> int:
    stats = Stats()
    device = await _device(arguments.disk, stats)
    root, mounts = None, []
    for host, guest, read_only in arguments.mount:
        if not host.is_dir():
            raise Refused(f"{host}: no such folder on this machine", NOT_FOUND)
        fs = HostFs(host, read_only=read_only)
        if guest.strip("/"):
            mounts.append((guest.encode(), fs, read_only))
        elif device is not None:
            raise Refused(f"--mount {host}:/ takes the place of the disk: add --disk none", NOT_EXECUTABLE)
        else:
            root = fs
    streams = Streams()
    traced = _names(os.environ.get("WEBVM_TRACE", ""))
    keeps_code = arguments.code_cache and not traced            # what is kept is not made anew, and would not be seen
    try:
        machine = await Machine.boot(device=device, root=root, output=streams.output, mounts=mounts, log=_log,
                                     cpu=arguments.cpu, tier=arguments.tier, jit_off=arguments.jit_off, traced=traced,
                                     code_cache=FolderStore(cache_directory() / "regions") if keeps_code else None,
                                     check=arguments.check)
    except NoSuchOption as error:
        raise Refused(str(error), USAGE)
    except BadImage as error:
        raise Refused(f"{arguments.disk or IMAGE}: {error}", NOT_EXECUTABLE)
    except BlockError as error:
        raise Refused(str(error), NOT_EXECUTABLE)
    if arguments.strace:
        machine.kernel.strace = lambda task, text: print(f"[{task.tid}] {text}", file=sys.stderr)
    if arguments.perf:
        await machine.perf()
    try:
        with streams.connected(machine):
            task = await _start(machine, arguments, streams)
            status = exit_status(await _end(machine, task))
            await streams.finish()
    except Difference as difference:
        raise Refused(str(difference), SOFTWARE)
    finally:
        if arguments.perf:
            print(await machine.perf(), file=sys.stderr)
        await machine.halt()
        if arguments.stats:
            arguments.stats.write_text(json.dumps(machine.stats() | stats.as_dict(), indent=1) + "\n")
    return status


async def _end(machine: Machine, task):
    """The wait status of a task; raises what stopped the machine before it ended."""
    waiting, stopped = (asyncio.ensure_future(some) for some in (machine.kernel.wait(task), machine.stopped()))
    try:
        await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            stopped.result()
        return await waiting
    finally:
        waiting.cancel()
        stopped.cancel()


async def _device(spec: str | None, stats: Stats):
    if spec == "none":
        return None
    if spec is None:
        spec = str(IMAGE)
        if not IMAGE.exists():
            raise Refused("there is no disk image yet: run scripts/setup, or name one with --disk", NOT_FOUND)
    elif "://" not in spec and not Path(spec).exists():
        raise Refused(f"{spec}: no such disk image", NOT_FOUND)
    store = DirectoryStore(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webvm" / "blocks")
    try:
        return await open_device(spec, HttpTransport(), store, stats=stats, on_trouble=_log)
    except (BlockError, OSError) as error:
        raise Refused(str(error), NOT_EXECUTABLE)


def _log(text: str) -> None:
    if text:
        print(f"webvm: {text}", file=sys.stderr)


async def _start(machine: Machine, arguments: argparse.Namespace, streams: "Streams"):
    argv = arguments.argv[arguments.argv[:1] == ["--"]:]
    options = {"env": dict(arguments.env), "cwd": arguments.cwd}
    user = arguments.user if arguments.user is not None else 0 if argv else LOGIN_UID
    account = await machine.account(user)
    if arguments.cwd and not await machine.is_folder(arguments.cwd):
        raise Refused(f"{arguments.cwd}: no such folder in the machine", NOT_FOUND)
    try:
        if not argv and streams.interactive:
            return await machine.login(account, **options)
        return await machine.spawn(argv or [account.shell], account=account, files=await streams.files(machine),
                                   tty=machine.tty if streams.interactive else None, **options)
    except Errno as error:
        raise Refused(*_why_not(argv[0] if argv else account.shell, error))


def _why_not(program: str, error: Errno) -> tuple[str, int]:
    match error.number:
        case _ if error.number == ENOENT:
            return f"{program}: no such program, or the interpreter it asks for is missing", NOT_FOUND
        case _ if error.number == EACCES:
            return f"{program}: permission denied", NOT_EXECUTABLE
    return f"{program}: cannot be executed: {STRERROR[error.number]} (programs must be x86-64 ELF files or scripts)", NOT_EXECUTABLE


class Streams:
    """Standard input, output and error: each is the machine's terminal where it is one here, and a pipe elsewhere."""

    def __init__(self):
        self.terminal = [os.isatty(fd) for fd in (0, 1, 2)]
        self.interactive = self.terminal[0]
        self._screen = next((fd for fd in (1, 2, 0) if self.terminal[fd]), 1)
        self._copies = []
        self._feeding = None

    def output(self, data: bytes) -> None:
        """Console output: to wherever the terminal is."""
        _write_all(self._screen, data)

    def connected(self, machine: Machine) -> "RawTerminal":
        return RawTerminal(machine, self.interactive)

    async def files(self, machine: Machine) -> dict:
        console = await machine.terminal_files() if self.interactive else {}
        files = {}
        for fd in (0, 1, 2):
            if self.interactive and self.terminal[fd]:
                files[fd] = console[fd]
            elif fd == 0:
                files[0], ours = machine.kernel.pipefs.pipe(0, 0)
                self._feeding = asyncio.ensure_future(_feed_from_host(ours.retain()))
            else:
                ours, files[fd] = machine.kernel.pipefs.pipe(0, 0)
                self._copies.append(asyncio.ensure_future(_copy_to_host(ours.retain(), fd)))
        return files

    async def finish(self) -> None:
        """All output has gone; processes that still hold a stream are not waited for longer than it takes."""
        if self._copies:
            await asyncio.wait(self._copies)
        if self._feeding:
            self._feeding.cancel()


async def _feed_from_host(end) -> None:
    """Standard input into a pipe, as it comes."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            readable = loop.create_future()
            try:
                loop.add_reader(0, lambda: readable.done() or readable.set_result(None))
            except (PermissionError, OSError):
                readable.set_result(None)                   # a regular file: always ready
            try:
                await readable
            finally:
                loop.remove_reader(0)
            data = os.read(0, CHUNK)
            if not data:
                return
            while data:
                data = data[await end.write(data):]
    except (Errno, OSError):
        pass                                                # nobody reads any more
    finally:
        end.release()


async def _copy_to_host(end, fd: int) -> None:
    """A pipe's bytes to a descriptor of this process; when that is closed, so is the pipe."""
    try:
        while data := await end.read(CHUNK):
            _write_all(fd, data)
    except BrokenPipeError:
        pass
    finally:
        end.release()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            os.set_blocking(fd, True)


class RawTerminal:
    """This process's terminal in raw mode, its keys and its size given to the machine; as it was afterwards."""

    def __init__(self, machine: Machine, interactive: bool):
        self._machine, self._interactive = machine, interactive

    def __enter__(self):
        if not self._interactive:
            return
        self._saved = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)            # what is typed already is kept
        loop = asyncio.get_running_loop()
        loop.add_reader(0, self._typed)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        self._resized()

    def _typed(self) -> None:
        self._machine.console.input(os.read(0, CHUNK))

    def _resized(self) -> None:
        size = os.get_terminal_size(0)
        if size.columns and size.lines:
            self._machine.console.resize(size.columns, size.lines)

    def __exit__(self, *exception):
        if self._interactive:
            asyncio.get_running_loop().remove_reader(0)
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
