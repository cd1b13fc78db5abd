"""The composition root: disk + engine + kernel + console = a running system.

The one module that knows every part. It makes them, connects their hooks, and offers what a person or a page asks of a
whole machine: a login shell, programs to run, files to read and write, counters.
"""

import asyncio
import sys
from dataclasses import dataclass, field

from webvm.block import BlockError, Stats, open_device
from webvm.fs.ext4 import BadImage, Ext4
from webvm.fs.overlay import Overlay
from webvm.fs.tmpfs import Tmpfs
from webvm.fs.tty import TtyFile
from webvm.jit.build import remember
from webvm.jit.image import Image, NoSuchOption, processor, without
from webvm.jit.shipped import Memory, Shipped, ship
from webvm.kernel import open as opening
from webvm.kernel.exec import Processor
from webvm.kernel.filesystems import equip, mount_at, mount_standard
from webvm.kernel.kernel import Kernel
from webvm.kernel.path import FsContext, Mounts, resolve
from webvm.kernel.proc_view import shown_path
from webvm.kernel.sys_path import of_file
from webvm.kernel.syscall import sent
from webvm.kernel.task import Cred
from webvm.linux.auxvec import HWCAP2_FSGSBASE
from webvm.linux.errno import EACCES, EISDIR, ENOENT, STRERROR, Errno
from webvm.linux.fcntl import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from webvm.linux.stat import S_IFDIR, S_IFMT
from webvm.profile import Profile
from webvm.x86.processor import DEFAULT, leaves, linux_flags

__all__ = ["Account", "BadImage", "BlockError", "Errno", "Machine", "Memory", "NoSuchOption", "Stats", "exit_status",
           "open_device", "remember", "ship"]

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOGIN_UID = 1000
CHUNK = 65536
KEEP_DELAY = 5.0        # seconds that translated code waits for more to be written with it
INDEX_PATIENCE = 0.3    # seconds that a start waits to know of which code a translation is kept


@dataclass
class Account:
    """A line of /etc/passwd, with the groups of /etc/group."""
    name: str = "root"
    uid: int = 0
    gid: int = 0
    home: str = "/"
    shell: str = "/bin/sh"
    groups: list[int] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """What login(1) would set, with the locale and terminal of the machine."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell, "LANG": "C.UTF-8",
                "PATH": PATH if self.uid else ROOT_PATH, "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def exit_status(status: int) -> int:
    """A wait status as a shell shows it: the exit status, or 128 + the signal."""
    signal = status & 0x7F
    return 128 + signal if signal else status >> 8 & 0xFF


def _make_engine(image: Image, module, code_cache):
    if sys.platform == "emscripten":
        from webvm.engine.browser import BrowserEngine
        return BrowserEngine(image, module)
    from webvm.engine.native import NativeEngine
    return NativeEngine(image, region_cache=getattr(code_cache, "folder", None))


class Machine:
    """A system that runs. Made by `boot`; everything else is for after that."""

    def __init__(self, engine, image, root, output, yield_=None, log=None):
        self.image, self.engine = image, engine
        engine.expect(sent())
        self.mounts = Mounts(root)
        self.kernel = Kernel(engine, self.mounts, yield_=yield_, log=log)
        self.tty = equip(self.kernel, output)
        self.console = Console(self.tty)
        self._loop = self._keeping = None
        self._profile = None

    @classmethod
    async def boot(cls, *, device=None, interpreter=None, output=lambda data: None, columns=80, rows=24, yield_=None,
                   log=None, mounts=(), root=None, cpu=None, tier="jit", jit_off=(), traced=(),
                   code_cache=None, shipped_code=None, check=False) -> "Machine":
        """A machine whose processes can be started.

        device: the block device of an ext4 image, or None: an empty root file system, or `root` if given.
        interpreter: in a page, the compiled WebAssembly.Module of the interpreter for this `cpu`.
        output: gets the console's bytes. yield_: gives the event loop a turn (default asyncio.sleep(0)).
        mounts: (guest path, Filesystem, read_only) beyond the standard ones.
        cpu: the processor that programs see, of webvm.x86.processor.CPUS; None: the usual one.
        tier: "jit", or "interp" to have no code translated. jit_off: optimisations to go without, of webvm.jit.image.SWITCHES.
        traced: what to print of each region on standard error, of webvm.jit.trace.KINDS.
        code_cache: where translated code is kept for the next time, a webvm.jit.cache.Store; None: nowhere.
        shipped_code: what fetches a file of translated code by name (see webvm.jit.shipped), if there is a code_cache; or None.
        check: verify translated code against the interpreter as it runs; `stopped` raises webvm.jit.check.Difference.
        Raises BadImage, NoSuchOption, or the device's BlockError.
        """
        wasm = None if interpreter is None else b""                              # a compiled module is all the engine needs
        image = Image(processor(cpu or DEFAULT), wasm=wasm, tier=tier, options=without(jit_off), traced=traced, cache=code_cache,
                      shipped=Shipped(shipped_code) if shipped_code else None, check=check)
        if device is not None:
            root = Overlay(await Ext4.mount(device))
        machine = cls(_make_engine(image, interpreter, code_cache), image, root or Tmpfs(mode=0o755), output, yield_, log)
        machine.tty.resize(rows, columns)
        machine.kernel.processor = Processor(hwcap=leaves(image.features)[1, None][3], hwcap2=HWCAP2_FSGSBASE * ("fsgsbase" in image.features),
                                             xsave="xsave" in image.features,
                                             flags=" ".join(linux_flags(image.features)).encode())
        await mount_standard(machine.kernel)
        for path, fs, read_only in mounts:
            await mount_at(machine.mounts, path, fs, read_only)
        machine._loop = asyncio.ensure_future(machine.kernel.run())
        if image.code_cache:
            machine._keeping = asyncio.ensure_future(machine._keep_code())
        await machine._read_hostname()
        if image.code_cache:
            await image.code_cache.opened(INDEX_PATIENCE)
        return machine

    async def _read_hostname(self) -> None:
        try:
            self.kernel.hostname = (await self.read_file("/etc/hostname")).strip() or self.kernel.hostname
        except Errno:
            pass

    async def halt(self) -> None:
        """Stops the scheduler. The machine can't be used any more."""
        self.kernel.scheduler.stop()
        await asyncio.wait([self._loop])
        if self._keeping:
            self._keeping.cancel()
            await self.image.code_cache.flush()

    async def _keep_code(self) -> None:
        """Write translated code to where it is kept, a while after there is some."""
        while True:
            await self.image.code_cache.added.wait()
            await asyncio.sleep(KEEP_DELAY)
            await self.image.code_cache.flush()

    async def stopped(self) -> None:
        """Returns when the machine is halted; raises what stopped its scheduler otherwise, which is a bug of ours."""
        await asyncio.shield(self._loop)

    # ---- accounts

    async def account(self, uid: int = LOGIN_UID) -> Account:
        """The account of a user number, or root's where /etc/passwd does not have it."""
        lines = (await self._text("/etc/passwd")).splitlines()
        for line in lines:
            name, _, number, gid, _, home, shell = (line.split(":") + [""] * 7)[:7]
            if number == str(uid):
                groups = [int(g[2]) for g in (text.split(":") for text in (await self._text("/etc/group")).splitlines())
                          if len(g) > 3 and name in g[3].split(",")]
                return Account(name, uid, int(gid), home or "/", shell or "/bin/sh", groups)
        return Account()

    async def _text(self, path: str) -> str:
        try:
            return (await self.read_file(path)).decode("utf-8", "replace")
        except Errno:
            return ""

    # ---- programs

    async def shell(self) -> int:
        """A login shell on the console, as a getty gives it; its exit status."""
        task = await self.login(await self.account())
        return exit_status(await self.kernel.wait(task))

    async def login(self, account: Account, **options):
        """The task of a login shell on the console, after the message of the day. `options` are those of `spawn`."""
        self.console.print(await self._motd())
        files = await self.terminal_files()
        await files[0].inode.setattr(uid=account.uid)
        return await self.spawn([account.shell], account=account, name="-" + account.shell.rpartition("/")[2],
                                files=files, tty=self.tty, **options)

    async def _motd(self) -> bytes:
        try:
            return (await self.read_file("/etc/motd")).replace(b"\n", b"\r\n")
        except Errno:
            return b""

    async def terminal_files(self) -> dict:
        """Standard input, output and error of a program on the console."""
        at = self.mounts.root
        for name in (b"dev", b"tty1"):
            at = await at.child(name)
        file = TtyFile(at.inode, O_RDWR, self.tty)
        file.dentry = at
        return {0: file, 1: file, 2: file}

    async def spawn(self, argv, *, account: Account | None = None, env: dict | None = None, cwd: str | None = None,
                    files=None, tty=None, name: str | None = None, clean=False):
        """Starts a program, looked up in PATH; its task. `name` is argv[0] where it differs from the file's; `env` is
        added to the account's environment, or replaces it (`clean`). Raises Errno(ENOENT or EACCES) as a shell sees it."""
        account = account or await self.account()
        environment = (env or {}) if clean else account.environment() | (env or {})
        path = await self.find(argv[0], environment.get("PATH", PATH), cwd or account.home)
        words = [_bytes(name or argv[0]), *map(_bytes, argv[1:])]
        directory = _bytes(cwd or account.home)
        try:
            await self._lookup(directory)
        except Errno:
            if cwd:
                raise
            directory = b"/"
        task = await self.kernel.spawn(
            words, [_bytes(k) + b"=" + _bytes(v) for k, v in environment.items()], directory, files or {},
            uid=account.uid, gid=account.gid, groups=tuple(account.groups), path=_bytes(path), tty=tty)
        if tty is not None:
            tty.session, tty.pgrp = task.group.session.id, task.group.pgrp
        return task

    async def find(self, program, path: str, cwd: str) -> str:
        """The file that a shell would execute: ENOENT if there is none, EACCES if it may not be executed."""
        program = program.decode("utf-8", "surrogateescape") if isinstance(program, bytes) else program
        if "/" in program:
            candidates = [program if program.startswith("/") else f"{cwd.rstrip('/')}/{program}"]
        else:
            candidates = [f"{folder or '.'}/{program}" for folder in path.split(":")]
        denied = False
        for candidate in candidates:
            try:
                inode = (await self._lookup(_bytes(candidate))).inode
            except Errno:
                continue
            if inode.mode & S_IFMT != S_IFDIR and inode.mode & 0o111:
                return candidate
            denied = True
        raise Errno(EACCES if denied else ENOENT)

    async def run(self, argv, stdin=b"", env: dict | None = None, cwd: str | None = None,
                  account: Account | None = None) -> tuple[int, bytes, bytes]:
        """Runs a program to its end, apart from the console: (exit status, standard output, standard error)."""
        pipes = [self.kernel.pipefs.pipe(0, 0) for _ in range(3)]
        (child_in, our_in), (our_out, child_out), (our_err, child_err) = pipes
        for end in (our_in, our_out, our_err):
            end.retain()
        try:
            task = await self.spawn(argv, env=env, cwd=cwd, account=account, files={0: child_in, 1: child_out, 2: child_err})
        except Errno as error:
            for end in (our_in, our_out, our_err):
                end.release()
            status, what = (127, "not found") if error.number == ENOENT else (126, STRERROR[error.number])
            return status, b"", f"webvm: {argv[0]}: {what}\n".encode()
        feeding = asyncio.ensure_future(feed(our_in, stdin))
        out, err = await asyncio.gather(drain(our_out), drain(our_err))
        status = exit_status(await self.kernel.wait(task))
        feeding.cancel()
        return status, out, err

    # ---- files, as root

    async def is_folder(self, path: str) -> bool:
        try:
            return (await self._lookup(_bytes(path))).inode.is_dir
        except Errno:
            return False

    def _host_task(self, uid: int = 0, gid: int = 0) -> "HostTask":
        return HostTask(self.kernel, self.mounts.root, uid, gid)

    async def _lookup(self, path: bytes):
        return await resolve(self._host_task(), path)

    async def read_file(self, path: str) -> bytes:
        """The content of a file; raises Errno."""
        file = (await opening.open_path(self._host_task(), _bytes(path), O_RDONLY)).retain()
        try:
            if file.inode.is_dir:
                raise Errno(EISDIR)
            parts = []
            while part := await file.read(1 << 20):
                parts.append(part)
            return b"".join(parts)
        finally:
            file.release()

    async def write_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Makes or replaces a file, owned by the login user when it is new; raises Errno."""
        account = await self.account()
        task = self._host_task(account.uid, account.gid)
        file = (await opening.open_path(task, _bytes(path), O_WRONLY | O_CREAT | O_TRUNC, mode)).retain()
        try:
            while data:
                data = data[await file.write(data):]
        finally:
            file.release()

    # ---- counters

    def stats(self) -> dict:
        """Counters since boot.

        instructions, system_calls, faults, forks    of all programs; escapes: instructions left to the oracle
        slices, busy_ms        turns that programs had, and how long these took
        processes              that there are now
        region_instructions    the part of `instructions` that ran in regions; region_share: the same as a fraction
        regions                translated, with translated_instructions in them; region_installs: how often an address space got
                               one of them, or one kept from an earlier run
        translate_ms           that took in Python; translate_us: microseconds for each instruction
        compile_ms             what the engine took to compile their modules; compile_us: for each instruction. In a page, without
                               modules of earlier runs: they are compiled beside the guest
        link_ms                and to link them to address spaces
        region_modules         that are kept now, with region_bytes of Wasm; region_slots: their functions in tables now
        code_loaded            batches of regions taken from the code cache, and code_kept: those put there; code_shipped: those
                               taken from what came with the site
        """
        kernel, scheduler, engine = self.kernel, self.kernel.scheduler, self.engine
        made, cost = self.image.counters, engine.counters
        modules = list(engine.regions)

        def each(seconds): return seconds * 1e6 / made.instructions if made.instructions else 0
        return {"instructions": scheduler.instructions, "system_calls": scheduler.calls, "faults": scheduler.faults,
                "forks": kernel.forks, "slices": scheduler.slices, "busy_ms": scheduler.busy_ns / 1e6,
                "processes": len(kernel.groups), "escapes": sum(self.image.escapes.values()),
                "region_instructions": engine.region_instructions,
                "region_share": engine.region_instructions / scheduler.instructions if scheduler.instructions else 0,
                "regions": made.regions, "translated_instructions": made.instructions,
                "region_installs": made.installed,
                "translate_ms": made.translate_seconds * 1e3, "translate_us": each(made.translate_seconds),
                "compile_ms": cost.compile_seconds * 1e3, "compile_us": each(cost.compile_seconds),
                "link_ms": cost.link_seconds * 1e3,
                "region_modules": len(modules), "region_bytes": sum(module.n_bytes for module in modules),
                "region_slots": engine.slots,
                "code_loaded": self.image.code_cache.loaded if self.image.code_cache else 0,
                "code_kept": self.image.code_cache.kept if self.image.code_cache else 0,
                "code_shipped": self.image.code_cache.shipped if self.image.code_cache else 0}

    async def perf(self) -> str:
        """Where programs have spent their time, as a table. Samples are taken from the first call on, whose answer is empty."""
        if self._profile is None:
            def path_of(file): return shown_path(of_file(file), self.mounts.root).decode(errors="replace")
            self._profile = Profile(lambda: self.engine.region_instructions, path_of)
            self.kernel.scheduler.sampler = self._profile.sample
            return ""
        return await self._profile.listing()


class HostTask:
    """Stands for the machine's own hand where the file system asks who is there: root, or another user."""

    def __init__(self, kernel, root, uid, gid):
        self.kernel, self.fs, self.cred = kernel, FsContext(root), Cred(uid, gid)
        self.group = kernel.init


class Console:
    """The person's side of the machine's terminal."""

    def __init__(self, tty):
        self._tty = tty
        self._typed = b""
        self._typing = None

    def input(self, data: bytes) -> None:
        """Bytes from the keyboard. None is lost: what the terminal can't take yet waits, and special characters
        (Ctrl-C) that arrive meanwhile wait behind it as they would on a serial line."""
        if self._typing is None:
            data = data[self._tty.input(data):]
            if not data:
                return
            self._typed = data
            self._typing = asyncio.ensure_future(self._type())
        else:
            self._typed += data

    async def _type(self) -> None:
        while self._typed:
            taken = self._tty.input(self._typed)
            self._typed = self._typed[taken:]
            if self._typed:
                await self._tty.changed.wait()
        self._typing = None

    @property
    def waiting(self) -> int:
        """Bytes typed that the terminal has not taken yet."""
        return len(self._typed)

    def print(self, data: bytes) -> None:
        if data:
            self._tty.driver.write(data)

    def resize(self, columns: int, rows: int) -> None:
        self._tty.resize(rows, columns)

    def pause(self) -> None:
        """The screen is behind: programs that write to the terminal wait."""
        self._tty.driver.paused = True

    def resume(self) -> None:
        self._tty.driver.paused = False
        self._tty.output_drained()


async def feed(end, data: bytes) -> None:
    """Writes data to a pipe's end and closes it; stops when nobody reads."""
    try:
        while data:
            data = data[await end.write(data[:CHUNK]):]
    except Errno:
        pass
    finally:
        end.release()


async def drain(end) -> bytes:
    """Everything that comes out of a pipe."""
    parts = []
    while part := await end.read(CHUNK):
        parts.append(part)
    end.release()
    return b"".join(parts)


def _bytes(text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
