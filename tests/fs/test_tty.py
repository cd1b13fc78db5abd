"""The line discipline against the real kernel's: the same bytes into a pty of each, the same bytes out at both ends."""

import asyncio
import fcntl
import os
import random
import struct

import pytest
from webvm.fs.tty import Console, Pty, PtyMaster, Tty, TtyFile, open_slave
from webvm.linux import termios as t
from webvm.linux.errno import EIO, Errno
from webvm.linux.fcntl import O_NONBLOCK, O_RDWR
from webvm.linux.ioctl import FIONREAD, TCGETS, TCSETS, TIOCGPTN, TIOCSPTLCK, TIOCSWINSZ, WINSIZE
from webvm.linux.poll import POLLHUP, POLLIN
from webvm.linux.signal import SIGINT, SIGTSTP, SIGWINCH

IFLAGS = (t.ICRNL, t.INLCR, t.IGNCR, t.ISTRIP, t.IXON, t.IXANY, t.IUTF8, t.IUCLC)
OFLAGS = (t.OPOST, t.ONLCR, t.OCRNL, t.ONOCR, t.ONLRET, t.TAB3, t.OLCUC)
LFLAGS = (t.ICANON, t.ECHO, t.ECHOE, t.ECHOK, t.ECHOKE, t.ECHOCTL, t.ECHONL, t.ECHOPRT, t.ISIG, t.IEXTEN, t.NOFLSH)
USUAL = (t.ICRNL | t.IXON | t.IUTF8, t.OPOST | t.ONLCR, t.ISIG | t.ICANON | t.ECHO | t.ECHOE | t.ECHOK | t.ECHOCTL
         | t.ECHOKE | t.IEXTEN)  # fmt: skip
TYPED = [b"a", b"word ", b"foo.bar", b"X_9", b" ", b"\t", b"\x7f", b"\x7f\x7f", b"\x15", b"\x17", b"\x12", b"\x04", b"\n",
         b"\r", b"\x16", b"\x16\x03", b"\x03", b"\x1c", b"\x1a", b"\x11", b"\x13", b"\x1b[A", "é".encode(), "日本".encode(),
         b"\xff", b"\x00", b"\x0f", b"\x01", b"longer line of text with words"]  # fmt: skip
SHOWN = [b"text\n", b"\ttab", b"\r\n", b"\r", b"a\tb\tc\n", b"\x08\x08", "ümlaut\n".encode(), b"\x1b[1mbold\x1b[0m", b"x" * 200]


class Memory:
    """Guest memory with one buffer in it."""

    def __init__(self, data=bytes(64)):
        self.data = bytearray(data)

    async def read(self, address, n):
        return bytes(self.data[address : address + n])

    async def write(self, address, data):
        self.data[address : address + len(data)] = data


class Real:
    """The kernel's pty. It works in the background, but a read that finds nothing first finishes what is under way: so
    after each step both ends are read until they are empty, which makes the comparison exact."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        for fd in (self.master, self.slave):
            os.set_blocking(fd, False)

    def set(self, data):
        fcntl.ioctl(self.slave, TCSETS, data)

    def type(self, data):
        return os.write(self.master, data)

    def show(self, data):
        try:
            return os.write(self.slave, data)
        except BlockingIOError:
            return "EAGAIN"

    def read(self, n):
        return _read(self.slave, n)

    def screen(self):
        return _read(self.master, 65536)

    def waiting(self):
        return struct.unpack("<i", fcntl.ioctl(self.slave, FIONREAD, bytes(4)))[0]

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def _read(fd, n):
    try:
        return os.read(fd, n)
    except BlockingIOError:
        return "EAGAIN"


class Ours:
    """The same operations on our pty."""

    def __init__(self):
        pty = Pty(0, 0)
        pty.locked = False
        self.master = PtyMaster(None, O_RDWR | O_NONBLOCK, pty, lambda pty: None)
        self.slave = open_slave(None, O_RDWR | O_NONBLOCK, pty)

    def _do(self, coroutine):
        try:
            coroutine.send(None)  # never waits: O_NONBLOCK
        except StopIteration as done:
            return done.value
        except Errno as error:
            return error.name

    def set(self, data):
        self._do(self.slave.ioctl(TCSETS, 0, Memory(data)))

    def type(self, data):
        return self._do(self.master.write(data))

    def show(self, data):
        return self._do(self.slave.write(data))

    def read(self, n):
        return self._do(self.slave.read(n))

    def screen(self):
        return self._do(self.master.read(65536))

    def waiting(self):
        memory = Memory()
        self._do(self.slave.ioctl(FIONREAD, 0, memory))
        return struct.unpack_from("<i", memory.data)[0]


def random_termios(rng):
    def some(flags):
        return sum(flag for flag in flags if rng.random() < 0.5)

    iflag, oflag, lflag = USUAL if rng.random() < 0.4 else (some(IFLAGS), some(OFLAGS), some(LFLAGS))
    cc = bytearray(t.INIT_C_CC)
    cc[t.VMIN] = 0  # so that a raw read never waits
    if rng.random() < 0.2:
        cc[t.VEOL], cc[t.VEOL2] = ord("."), ord("o")
    return t.TERMIOS.pack(iflag, oflag, t.B38400 | t.CS8 | t.CREAD | t.HUPCL, lflag, 0, bytes(cc))


def program(seed, length=60):
    rng = random.Random(seed)
    yield 1, "set", random_termios(rng)
    for _ in range(length):
        n = rng.choice((1, 4, 100, 4096))
        if rng.random() < 0.1:
            yield n, "set", random_termios(rng)
        elif rng.random() < 0.2:
            yield n, "show", rng.choice(SHOWN)
        else:
            data = b"".join(rng.choices(TYPED, k=rng.randrange(1, 6)))
            last = max(data.rfind(c) for c in (b"\x03", b"\x1a", b"\x1c"))
            if last > 0:  # whether a signal still drops what was echoed before it in the same batch can be a race
                data = data[last:]
            yield n, "type", data


def run(pty, n, name, data):
    """The answer of a step, and all that can be read afterwards at either end: the slave in reads of n bytes."""
    answer = getattr(pty, name)(data)
    lines = [pty.read(n)]
    while lines[-1] != "EAGAIN" and (lines[-1] or len(lines) < 3):  # an empty one may be an end of file: go on
        lines.append(pty.read(n))
    shown = []
    while (part := pty.screen()) not in ("EAGAIN", b""):
        shown.append(part)
    return answer, lines, pty.waiting(), b"".join(shown)


FIRST = int(os.environ.get("WEBVM_SEED", 1))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 50))
def test_random_typing_looks_as_on_linux(seed):
    real, ours = Real(), Ours()
    try:
        for step, operation in enumerate(program(seed)):
            want, have = run(real, *operation), run(ours, *operation)
            assert have == want, f"seed {seed}, step {step}: {operation}"
    finally:
        real.close()


def console(**flags):
    shown, signals = bytearray(), []
    tty = Tty(Console(shown.extend), b"tty1", 0)
    tty.on_signal = lambda pgrp, signo: signals.append((pgrp, signo))
    tty.pgrp = 7
    return tty, shown, signals


def test_typed_characters_signal_the_foreground_group():
    tty, shown, signals = console()
    tty.input(b"lost\x03")
    tty.input(b"\x1a")
    assert signals == [(7, SIGINT), (7, SIGTSTP)]
    assert not tty.available() and shown == b"^C^Z"


def test_a_new_window_size_is_told_once():
    tty, _, signals = console()
    tty.resize(24, 80)
    tty.resize(24, 80)
    asyncio.run(TtyFile(None, O_RDWR, tty).ioctl(TIOCSWINSZ, 0, Memory(WINSIZE.pack(30, 100, 0, 0))))
    assert signals == [(7, SIGWINCH)] * 2 and tty.winsize == (30, 100, 0, 0)


def raw(tty, vmin, vtime):
    cc = bytearray(tty.cc)
    cc[t.VMIN], cc[t.VTIME] = vmin, vtime
    tty.set_termios(0, 0, tty.cflag, 0, 0, cc)


def test_a_large_paste_waits_for_its_reader_and_loses_nothing():
    async def main():
        tty, _, _ = console()
        raw(tty, 1, 0)
        data = bytes(range(256)) * 200
        paste = asyncio.ensure_future(tty.input_all(data))
        file, got = TtyFile(None, O_RDWR, tty), b""
        while len(got) < len(data):
            part = await file.read(1000)
            assert part
            got += part
        await paste
        return got == data

    assert asyncio.run(main())


def test_pasted_lines_wait_too():
    async def main():
        tty, _, _ = console()
        lines = [b"line %d\n" % n for n in range(3000)]
        paste = asyncio.ensure_future(tty.input_all(b"".join(lines)))
        file = TtyFile(None, O_RDWR, tty)
        got = [await file.read(4096) for _ in lines]
        await paste
        return got == lines

    assert asyncio.run(main())


@pytest.mark.parametrize("vmin, vtime, typed, expected", [
    (0, 0, b"", b""), (0, 1, b"", b""), (0, 1, b"ab", b"ab"), (5, 1, b"ab", b"ab"), (2, 0, b"abc", b"abc"), (2, 1, b"ab", b"ab"),
])  # fmt: skip
def test_vmin_and_vtime_end_a_raw_read(vmin, vtime, typed, expected):
    async def main():
        tty, _, _ = console()
        raw(tty, vmin, vtime)
        tty.input(typed)
        return await TtyFile(None, O_RDWR, tty).read(100)

    assert asyncio.run(main()) == expected


def test_closing_the_master_hangs_the_slave_up():
    async def main():
        ours, heard = Ours(), []
        tty = ours.slave.tty
        tty.session, tty.pgrp = 5, 6
        tty.on_hangup = lambda session, pgrp: heard.append((session, pgrp))
        ours.slave.flags &= ~O_NONBLOCK
        reading = asyncio.ensure_future(ours.slave.read(10))
        await asyncio.sleep(0)
        ours.master.retain().release()
        assert await reading == b""
        assert heard == [(5, 6)] and ours.slave.poll() & POLLHUP
        with pytest.raises(Errno) as error:
            await ours.slave.write(b"x")
        assert error.value.number == EIO

    asyncio.run(main())


def test_the_master_reads_what_is_left_of_a_closed_slave():
    ours = Ours()
    ours.slave.retain()
    ours.show(b"last words\n")
    ours.slave.release()
    assert ours.master.poll() & (POLLIN | POLLHUP) == POLLIN | POLLHUP
    assert ours.screen() == b"last words\r\n" and ours.screen() == "EIO"


def test_a_writer_waits_for_the_master_to_read():
    async def main():
        ours = Ours()
        ours.slave.flags &= ~O_NONBLOCK
        data = b"x" * 200_000
        writing = asyncio.ensure_future(ours.slave.write(data))
        await asyncio.sleep(0)
        assert not writing.done()
        got = b""
        while len(got) < len(data):
            got += await ours.master.read(10_000)
            await asyncio.sleep(0)
        return got == data and await writing == len(data)

    assert asyncio.run(main())


def test_a_slave_opens_only_once_it_is_unlocked():
    pty = Pty(3, 0)
    master, memory = PtyMaster(None, O_RDWR, pty, lambda pty: None), Memory()
    with pytest.raises(Errno):
        open_slave(None, O_RDWR, pty)
    asyncio.run(master.ioctl(TIOCSPTLCK, 0, memory))
    asyncio.run(master.ioctl(TIOCGPTN, 0, memory))
    assert memory.data[0] == 3 and open_slave(None, O_RDWR, pty).tty is pty.tty


def test_termios_is_the_36_bytes_of_the_kernel():
    real, memory = Real(), Memory(bytes([0xEE]) * 64)
    asyncio.run(Ours().slave.ioctl(TCGETS, 0, memory))
    want = bytearray(fcntl.ioctl(real.slave, TCGETS, bytes([0xEE]) * 64))
    real.close()
    assert memory.data == want
