"""Terminals: the line discipline N_TTY, and what opens it: the console and the two ends of a pseudo-terminal.

Knows bytes, termios and numbers of sessions and process groups; signals go to `tty.on_signal(pgrp, signo)`, which whoever
knows processes installs. Job control (who may read now) is the kernel's, too. Behaviour: drivers/tty/n_tty.c.

A `Tty` stands between a *driver* (below: the console's screen, or the master of a pty) and open files (above). Bytes typed
come in by `input`, which says how many it took; bytes to show leave through `driver.write`, at most `driver.room()`.
"""

from collections import deque

from webvm.fs.vfs import File, now
from webvm.fs.wait import Interrupted, Wait, WaitQueue
from webvm.fs.wait import after as call_after
from webvm.linux import termios as t
from webvm.linux.errno import EAGAIN, EINVAL, EIO, ENOTTY, ENXIO, Errno
from webvm.linux.fcntl import O_NONBLOCK
from webvm.linux.ioctl import (
    FIONREAD,
    TCFLSH,
    TCGETA,
    TCGETS,
    TCGETS2,
    TCIFLUSH,
    TCIOFF,
    TCIOFLUSH,
    TCION,
    TCOFLUSH,
    TCOOFF,
    TCOON,
    TCSBRK,
    TCSBRKP,
    TCSETA,
    TCSETAF,
    TCSETAW,
    TCSETS,
    TCSETS2,
    TCSETSF,
    TCSETSF2,
    TCSETSW,
    TCSETSW2,
    TCXONC,
    TIOCCBRK,
    TIOCEXCL,
    TIOCGETD,
    TIOCGEXCL,
    TIOCGPTLCK,
    TIOCGPTN,
    TIOCGWINSZ,
    TIOCMGET,
    TIOCNXCL,
    TIOCOUTQ,
    TIOCPKT,
    TIOCSBRK,
    TIOCSETD,
    TIOCSPTLCK,
    TIOCSWINSZ,
    WINSIZE,
)
from webvm.linux.poll import POLLERR, POLLHUP, READABLE, WRITABLE
from webvm.linux.signal import SIGINT, SIGQUIT, SIGTSTP, SIGWINCH

N_TTY_BUF_SIZE = 4096
PTY_BUFFER = 65536  # bytes a pty keeps in each direction before its writer must wait
ECHO_WATERMARK = 256  # echo is shown after each batch of input, or when there is so much of it
WAKEUP_CHARS = 256  # room that makes a terminal writable again
DECISECOND = 0.1

CR, LF, TAB, BS, DEL = 13, 10, 9, 8, 127

# Operations of the echo queue; below are characters to show as they are. They work on the column when they are shown.
_ECHO_CONTROL = 0x100  # + c: as ^X
_ECHO_ERASE_TAB = 0x200  # + columns since the last tab, + 0x80 if there was one
_ECHO_SET_CANON_COLUMN, _ECHO_MOVE_BACK = 0x300, 0x301


class Tty:
    """The state of one terminal: termios, window size, owner, the line being typed and what waits to be read."""

    def __init__(self, driver, name: bytes, rdev: int):
        self.driver = driver
        self.name = name  # as /proc and ps show it
        self.rdev = rdev
        self.iflag = t.ICRNL | t.IXON
        self.oflag = t.OPOST | t.ONLCR
        self.cflag = t.B38400 | t.CS8 | t.CREAD | t.HUPCL
        self.lflag = t.ISIG | t.ICANON | t.ECHO | t.ECHOE | t.ECHOK | t.ECHOCTL | t.ECHOKE | t.IEXTEN
        self.line = 0
        self.cc = t.INIT_C_CC
        self.winsize = (0, 0, 0, 0)  # rows columns xpixel ypixel
        self.session = 0
        self.pgrp = 0
        self.on_signal = lambda pgrp, signo: None
        self.on_hangup = lambda session, pgrp: None

        self.changed = WaitQueue()  # input arrived or was read, output may go on, the terminal was hung up
        self.generation = 0  # files opened before the last hang-up are dead
        self.opens = 0
        self.was_open = False
        self.exclusive = False

        self._buffer = bytearray()  # bytes not read yet; positions below count from the very first byte
        self._tail = 0  # position of _buffer[0]
        self._canon_head = 0  # everything before it is complete lines
        self._line_ends = deque()  # positions of their last characters
        self._lnext = False
        self._erasing = False

        self._column = 0
        self._canon_column = 0
        self._stopped = False
        self._echo = deque()  # what is to be echoed: characters, or operations (see _ECHO_*)
        self._prepare()

    # -- termios ----------------------------------------------------------------------------------------------------------

    def termios(self) -> bytes:
        return t.TERMIOS.pack(self.iflag, self.oflag, self.cflag, self.lflag, self.line, self.cc)

    def set_termios(self, iflag, oflag, cflag, lflag, line, cc):
        old = self.lflag
        self.iflag, self.oflag, self.cflag, self.lflag = iflag, oflag, cflag, lflag
        self.line, self.cc = line, bytes(cc)
        if (old ^ lflag) & t.ICANON:
            self._line_ends.clear()
            if lflag & t.ICANON and self._buffer:  # what was typed raw is a line now
                self._canon_head = self._tail + len(self._buffer)
                self._line_ends.append(self._canon_head - 1)
            else:
                self._canon_head = self._tail
            self._erasing = self._lnext = False
        if not iflag & t.IXON and self._stopped:
            self.start()
        self._prepare()
        self.changed.wake()

    def _prepare(self):
        """What the flags make special; the fast path is taken by everything else."""
        cc, iflag, lflag, special = self.cc, self.iflag, self.lflag, set()
        if iflag & (t.IGNCR | t.ICRNL):
            special.add(CR)
        if iflag & t.INLCR:
            special.add(LF)
        numbers = []
        if lflag & t.ICANON:
            special.add(LF)
            numbers += [t.VERASE, t.VKILL, t.VEOF, t.VEOL]
            if lflag & t.IEXTEN:
                numbers += [t.VWERASE, t.VLNEXT, t.VEOL2]
                if lflag & t.ECHO:
                    numbers.append(t.VREPRINT)
        if iflag & t.IXON:
            numbers += [t.VSTART, t.VSTOP]
        if lflag & t.ISIG:
            numbers += [t.VINTR, t.VQUIT, t.VSUSP]
        self._special = frozenset(special | {cc[n] for n in numbers} - {t.DISABLED})
        self._raw = not self._special and not lflag & (t.ECHO | t.EXTPROC) and not iflag & (t.ISTRIP | t.IUCLC | t.PARMRK)

    def _is(self, c, number) -> bool:
        return c == self.cc[number] and c != t.DISABLED

    # -- input ------------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many bytes `input` would take now."""
        room = N_TTY_BUF_SIZE - 1 - len(self._buffer)
        if room <= 0 and self.lflag & t.ICANON and self._canon_head == self._tail:
            return 1 << 30  # a line too long: the rest of it is lost, but its end is not
        return max(0, room)

    def input(self, data) -> int:
        """Bytes from the keyboard; how many were taken (all, unless nobody reads)."""
        taken = 0
        if self._raw:
            taken = min(len(data), self.room())
            self._buffer += data[:taken]
        else:
            special, plain = self._special, not self.iflag & (t.ISTRIP | t.IUCLC | t.PARMRK) and not self.lflag & t.EXTPROC
            for c in data:
                if len(self._buffer) >= N_TTY_BUF_SIZE - 1:
                    if not self.lflag & t.ICANON or self._canon_head != self._tail:
                        break
                    if len(self._buffer) >= N_TTY_BUF_SIZE:
                        del self._buffer[-1]
                taken += 1
                if plain and not self._lnext:
                    if c in special:
                        self._receive_special(c)
                    else:
                        self._receive(c)
                else:
                    self._receive_odd(c)
                if len(self._echo) >= ECHO_WATERMARK:
                    self._show_echo()
            if self._echo and self.lflag & (t.ECHO | t.ECHONL):
                self._show_echo()
        if taken:
            self.changed.wake()
        return taken

    async def input_all(self, data):
        """Bytes from the keyboard, however many: waits while the reader is behind."""
        while data := data[self.input(data) :]:
            await self.changed.wait()

    def _receive_odd(self, c):
        """After ^V, and with the flags few set."""
        if self.iflag & t.ISTRIP:
            c &= 0x7F
        if self.iflag & t.IUCLC and self.lflag & t.IEXTEN:
            c = _LOWER[c]
        if self._lnext:
            self._lnext = False
            self._receive(c)
        elif self.lflag & t.EXTPROC:
            self._buffer.append(c)
        elif c in self._special:
            self._receive_special(c)
        else:
            self._receive(c)

    def _receive(self, c):
        """An ordinary character."""
        if self._stopped and self.iflag & t.IXON and self.iflag & t.IXANY:
            self.start()
        if self.lflag & t.ECHO:
            self._finish_erasing()
            self._mark_line_start()
            self._echo_char(c)
        self._put(c)

    def _put(self, c):
        if c == 0xFF and self.iflag & t.PARMRK:
            self._buffer.append(c)
        self._buffer.append(c)

    def _receive_special(self, c):
        iflag, lflag = self.iflag, self.lflag
        if iflag & t.IXON:
            if self._is(c, t.VSTART):
                self.start()
                return
            if self._is(c, t.VSTOP):
                self._stopped = True
                return
        if lflag & t.ISIG:
            for number, signo in ((t.VINTR, SIGINT), (t.VQUIT, SIGQUIT), (t.VSUSP, SIGTSTP)):
                if self._is(c, number):
                    self._signal(signo, c)
                    return
        if self._stopped and iflag & t.IXON and iflag & t.IXANY:
            self.start()
        if c == CR:
            if iflag & t.IGNCR:
                return
            if iflag & t.ICRNL:
                c = LF
        elif c == LF and iflag & t.INLCR:
            c = CR
        if lflag & t.ICANON and self._receive_canon(c):
            return
        if lflag & t.ECHO:
            self._finish_erasing()
            if c == LF:
                self._echo_raw(LF)
            else:
                self._mark_line_start()
                self._echo_char(c)
        self._put(c)

    def _receive_canon(self, c) -> bool:
        """The characters that edit or end a line; False: it is none of them."""
        lflag = self.lflag
        extended = lflag & t.IEXTEN
        if self._is(c, t.VERASE) or self._is(c, t.VKILL) or extended and self._is(c, t.VWERASE):
            self._erase(c)
        elif extended and self._is(c, t.VLNEXT):
            self._lnext = True
            if lflag & t.ECHO:
                self._finish_erasing()
                if lflag & t.ECHOCTL:
                    self._echo_raw(0x5E)
                    self._echo_raw(BS)
        elif extended and lflag & t.ECHO and self._is(c, t.VREPRINT):
            self._finish_erasing()
            self._echo_char(c)
            self._echo_raw(LF)
            for typed in self._buffer[self._canon_head - self._tail :]:
                self._echo_char(typed)
        elif c == LF:
            if lflag & (t.ECHO | t.ECHONL):
                self._echo_raw(LF)
            self._end_line(LF)
        elif self._is(c, t.VEOF):
            self._end_line(t.DISABLED)
        elif self._is(c, t.VEOL) or extended and self._is(c, t.VEOL2):
            if lflag & t.ECHO:
                self._mark_line_start()
                self._echo_char(c)
            if c == 0xFF and self.iflag & t.PARMRK:
                self._buffer.append(c)
            self._end_line(c)
        else:
            return False
        return True

    def _end_line(self, c):
        self._line_ends.append(self._tail + len(self._buffer))
        self._buffer.append(c)
        self._canon_head = self._tail + len(self._buffer)

    def _signal(self, signo, c):
        pgrp = self.pgrp
        if not self.lflag & t.NOFLSH:
            self._echo.clear()
            self.driver.flush()
            self.flush_input()
        if self.iflag & t.IXON:
            self.start()
        if self.lflag & t.ECHO:
            self._echo_char(c)
        else:
            self._show_echo()
        if pgrp:
            self.on_signal(pgrp, signo)

    def flush_input(self):
        self._buffer.clear()
        self._line_ends.clear()
        self._tail = self._canon_head
        self._erasing = False
        self.changed.wake()

    # -- erasing ----------------------------------------------------------------------------------------------------------

    def _is_continuation(self, c) -> bool:
        return self.iflag & t.IUTF8 and c & 0xC0 == 0x80

    def _erase(self, c):
        """VERASE one character, VWERASE a word, VKILL the line: take it out of the buffer and off the screen."""
        buffer, lflag, start = self._buffer, self.lflag, self._canon_head - self._tail
        if len(buffer) == start:
            return
        word = self.lflag & t.IEXTEN and self._is(c, t.VWERASE)
        one = self._is(c, t.VERASE)
        if not one and not word:
            if not lflag & t.ECHO:
                del buffer[start:]
                return
            if not lflag & t.ECHOK or not lflag & t.ECHOKE or not lflag & t.ECHOE:
                del buffer[start:]
                self._finish_erasing()
                self._echo_char(self.cc[t.VKILL])
                if lflag & t.ECHOK:
                    self._echo_raw(LF)
                return
        seen_word = False
        if one:
            word = False
        while len(buffer) > start:
            head = len(buffer) - 1
            while head > start and self._is_continuation(buffer[head]):
                head -= 1
            c = buffer[head]
            if self._is_continuation(c):  # half a character is not erased
                break
            if word:
                if _is_alnum(c) or c == 0x5F:
                    seen_word = True
                elif seen_word:
                    break
            erased = bytes(buffer[head:])
            del buffer[head:]
            if lflag & t.ECHO:
                self._show_erased(erased, one, start)
            if one:
                break
        if len(buffer) == start and lflag & t.ECHO:
            self._finish_erasing()

    def _show_erased(self, erased, one, start):
        lflag, c = self.lflag, erased[0]
        if lflag & t.ECHOPRT:
            if not self._erasing:
                self._echo_raw(0x5C)
                self._erasing = True
            self._echo_char(c)
            for byte in erased[1:]:
                self._echo += (byte, _ECHO_MOVE_BACK)
        elif one and not lflag & t.ECHOE:
            self._echo_char(self.cc[t.VERASE])
        elif c == TAB:
            self._erase_tab(start)
        else:
            if _is_control(c) and lflag & t.ECHOCTL:
                self._echo += b"\b \b"
            if not _is_control(c) or lflag & t.ECHOCTL:
                self._echo += b"\b \b"

    def _erase_tab(self, start):
        """Go back over a tab: as far as the columns since the last tab, or since the start of the line, say."""
        columns, after_tab = 0, 0
        for c in reversed(self._buffer[start:]):
            if c == TAB:
                after_tab = 1
                break
            if _is_control(c):
                columns += 2 if self.lflag & t.ECHOCTL else 0
            elif not self._is_continuation(c):
                columns += 1
        self._echo.append(_ECHO_ERASE_TAB | columns & 7 | after_tab << 7)

    def _finish_erasing(self):
        if self._erasing:
            self._echo_raw(0x2F)
            self._erasing = False

    # -- echo and output --------------------------------------------------------------------------------------------------

    def _mark_line_start(self):
        if self._canon_head == self._tail + len(self._buffer):
            self._echo.append(_ECHO_SET_CANON_COLUMN)

    def _echo_char(self, c):
        self._echo.append(c | _ECHO_CONTROL if self.lflag & t.ECHOCTL and c != TAB and _is_control(c) else c)

    def _echo_raw(self, c):
        self._echo.append(c)

    def _show_echo(self):
        """Echo as far as the driver has room; the rest waits."""
        echo, room, out = self._echo, self.output_room(), bytearray()
        while echo and room - len(out) >= 8:
            op = echo.popleft()
            if op == 0xFF:  # the kernel's escape in this queue: never processed
                out.append(op)
                self._column += 1
            elif op < _ECHO_CONTROL:
                out += self._process((op,)) if self.oflag & t.OPOST else bytes((op,))
            elif op < _ECHO_ERASE_TAB:
                out += bytes((0x5E, op & 0xFF ^ 0x40))
                self._column += 2
            elif op < _ECHO_SET_CANON_COLUMN:
                columns = op & 0x7F if op & 0x80 else (op & 0x7F) + self._canon_column
                count = 8 - (columns & 7)
                out += b"\b" * count
                self._column = max(0, self._column - count)
            elif op == _ECHO_SET_CANON_COLUMN:
                self._canon_column = self._column
            else:
                self._column = max(0, self._column - 1)
        while len(echo) > N_TTY_BUF_SIZE:
            echo.popleft()
        if out:
            self.driver.write(bytes(out))

    def _process(self, data) -> bytes:
        """Output processing (OPOST); keeps the column."""
        oflag, column = self.oflag, self._column
        out = bytearray()
        for c in data:
            if c >= 32 and c != DEL:
                if oflag & t.OLCUC:
                    c = _UPPER[c]
                if not self._is_continuation(c):
                    column += 1
            elif c == LF:
                if oflag & t.ONLRET:
                    column = 0
                if oflag & t.ONLCR:
                    column = 0
                    out.append(CR)
                self._canon_column = column
            elif c == CR:
                if oflag & t.ONOCR and column == 0:
                    continue
                if oflag & t.OCRNL:
                    c = LF
                    if oflag & t.ONLRET:
                        self._canon_column = column = 0
                else:
                    self._canon_column = column = 0
            elif c == TAB:
                spaces = 8 - (column & 7)
                column += spaces
                if oflag & t.TABDLY == t.TAB3:
                    out += b" " * spaces
                    continue
            elif c == BS and column > 0:
                column -= 1
            out.append(c)
        self._column = column
        return bytes(out)

    def start(self):
        """Output goes on (^Q)."""
        self._stopped = False
        self.output_drained()

    def output_drained(self):
        """The driver has room again: show the echo kept back, let writers go on."""
        self._show_echo()
        self.changed.wake()

    def stop(self):
        self._stopped = True

    def output_room(self) -> int:
        return 0 if self._stopped else self.driver.room()

    def output(self, data) -> int:
        """Show as much as there is room for; how much that was."""
        if self._echo:
            self._show_echo()
        room = self.output_room()
        if room <= 0:
            return 0
        if not self.oflag & t.OPOST:
            part = bytes(data[:room])
            self.driver.write(part)
            return len(part)
        limit = len(data) if room >= 8 * len(data) else max(1, room // 8)  # a tab may become eight spaces
        part = bytes(data[:limit])
        newline = part.rfind(b"\n") + 1
        if newline and self.oflag & ~t.NLDLY == t.OPOST | t.ONLCR:  # as nearly always: whole lines at once
            self._column = self._canon_column = 0
            self.driver.write(part[:newline].replace(b"\n", b"\r\n") + self._process(part[newline:]))
        else:
            self.driver.write(self._process(part))
        return limit

    # -- reading ----------------------------------------------------------------------------------------------------------

    def available(self, poll=False) -> bool:
        if self.lflag & t.ICANON and not self.lflag & t.EXTPROC:
            return self._canon_head != self._tail
        wanted = self.cc[t.VMIN] if poll and not self.cc[t.VTIME] and self.cc[t.VMIN] else 1
        return len(self._buffer) >= wanted

    def waiting(self) -> int:
        """FIONREAD."""
        if not self.lflag & t.ICANON or self.lflag & t.EXTPROC:
            return len(self._buffer)
        ends = sum(1 for at in self._line_ends if self._buffer[at - self._tail] == t.DISABLED)
        return self._canon_head - self._tail - ends

    def take(self, n) -> bytes:
        """What a read gets now: at most one line in canonical mode, all there is otherwise."""
        if not self.lflag & t.ICANON or self.lflag & t.EXTPROC:
            return self._consume(min(n, len(self._buffer)))
        end = self._line_ends[0] - self._tail if self._line_ends else self._canon_head - self._tail - 1
        is_eof = self._line_ends and self._buffer[end] == t.DISABLED
        length = end if is_eof else end + 1
        data = self._consume(min(n, length))
        if len(data) == length:
            if is_eof:
                self._consume(1)
            if self._line_ends:
                self._line_ends.popleft()
        return data

    def _consume(self, n) -> bytes:
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        self._tail += n
        self._canon_head = max(self._canon_head, self._tail)
        self.changed.wake()
        self.driver.drained()
        return data

    # -- hanging up -------------------------------------------------------------------------------------------------------

    def hang_up(self):
        """The other side is gone: what is open is dead, the session hears of it."""
        session, pgrp = self.session, self.pgrp
        self.session = self.pgrp = 0
        self.generation += 1
        self.flush_input()
        self.changed.wake()
        self.on_hangup(session, pgrp)

    def resize(self, rows, columns, xpixel=0, ypixel=0):
        """A new window size; SIGWINCH to the foreground group if it is another one."""
        size = (rows, columns, xpixel, ypixel)
        if size != self.winsize:
            self.winsize = size
            if self.pgrp:
                self.on_signal(self.pgrp, SIGWINCH)


# The kernel's ctype is Latin-1 whatever the locale.
_LOWER = bytes(c + 32 if 65 <= c <= 90 or 0xC0 <= c <= 0xDE and c != 0xD7 else c for c in range(256))
_UPPER = bytes(c - 32 if 97 <= c <= 122 or 0xDF <= c and c != 0xF7 else c for c in range(256))


def _is_control(c) -> bool:
    return c < 32 or c == DEL


def _is_alnum(c) -> bool:
    """The kernel's isalnum: Latin-1."""
    return 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c >= 0xC0 and c not in (0xD7, 0xF7)


class TtyFile(File):
    """An open terminal."""

    def __init__(self, inode, flags, tty: Tty):
        super().__init__(inode, flags)
        self.tty = tty
        self.generation = tty.generation
        tty.opens += 1
        tty.was_open = True

    @property
    def hung_up(self) -> bool:
        return self.generation != self.tty.generation

    def close(self):
        self.tty.opens -= 1
        if not self.tty.opens:
            self.tty.driver.closed()

    async def read(self, n):
        tty, got = self.tty, b""
        minimum, seconds = 1, None
        if not tty.lflag & t.ICANON:
            minimum = tty.cc[t.VMIN]
            seconds = tty.cc[t.VTIME] * DECISECOND if tty.cc[t.VTIME] or not minimum else None
        timed = seconds is not None and not minimum  # with VMIN the clock starts after the first byte
        while True:
            if self.hung_up:
                return got
            if tty.available():
                got += tty.take(n - len(got))
                if len(got) >= min(n, minimum or 1) or tty.lflag & t.ICANON:
                    self.inode.atime = now()
                    return got
                timed = seconds is not None
                continue
            if timed and not seconds:
                return got
            if self.flags & O_NONBLOCK:
                if got:
                    return got
                raise Errno(EAGAIN)
            try:
                if not await _wait(tty.changed, seconds if timed else None, tty.available) and timed:
                    return got
            except Interrupted:
                if got:
                    return got
                raise

    async def write(self, data):
        tty, done = self.tty, 0
        view = memoryview(data)
        while done < len(view):
            if self.hung_up:
                if done:
                    return done
                raise Errno(EIO)
            count = tty.output(view[done:])
            done += count
            if count or done == len(view):
                continue
            if self.flags & O_NONBLOCK:
                if done:
                    return done
                raise Errno(EAGAIN)
            try:
                await tty.changed.wait()
            except Interrupted:
                if done:
                    return done
                raise
        return done

    def poll(self):
        if self.hung_up:
            return READABLE | WRITABLE | POLLERR | POLLHUP
        mask = READABLE if self.tty.available(poll=True) else 0
        if self.tty.output_room() >= WAKEUP_CHARS:
            mask |= WRITABLE
        return mask

    def poll_queues(self):
        return (self.tty.changed,)

    async def ioctl(self, cmd, arg, mem):
        if self.hung_up:
            raise Errno(EIO)
        return await tty_ioctl(self.tty, cmd, arg, mem, self)

    def name(self):
        return b"/dev/" + self.tty.name


async def _wait(queue, seconds, ready) -> bool:
    """Wait for the queue until `ready`, or so many seconds (None: for ever); False when the time was over."""
    if seconds is None:
        await queue.wait()
        return True
    over = False

    def expire():
        nonlocal over
        over = True
        wait.wake()

    wait = Wait((queue,))
    timer = call_after(seconds, expire)
    try:
        while True:
            await wait
            if over or ready():
                return ready()
            wait = Wait((queue,))
    finally:
        timer.cancel()


_SETS = {TCSETS: 0, TCSETSW: 1, TCSETSF: 2}
_SETS2 = {TCSETS2: 0, TCSETSW2: 1, TCSETSF2: 2}
_SETSA = {TCSETA: 0, TCSETAW: 1, TCSETAF: 2}


async def tty_ioctl(tty: Tty, cmd: int, arg: int, mem, file: File) -> int:
    """The requests both ends of a pty, and the console, answer; those on job control are the kernel's."""
    if cmd == TCGETS:
        await mem.write(arg, tty.termios())
    elif cmd in _SETS:
        fields = t.TERMIOS.unpack(await mem.read(arg, t.TERMIOS.size))
        await _set_termios(tty, _SETS[cmd], fields)
    elif cmd == TIOCGWINSZ:
        await mem.write(arg, WINSIZE.pack(*tty.winsize))
    elif cmd == TIOCSWINSZ:
        tty.resize(*WINSIZE.unpack(await mem.read(arg, WINSIZE.size)))
    elif cmd == FIONREAD:
        await mem.write(arg, tty.waiting().to_bytes(4, "little"))
    elif cmd == TIOCOUTQ:
        await mem.write(arg, bytes(4))
    elif cmd == TCFLSH:
        if arg not in (TCIFLUSH, TCOFLUSH, TCIOFLUSH):
            raise Errno(EINVAL)
        if arg in (TCIFLUSH, TCIOFLUSH):
            tty.flush_input()
        if arg in (TCOFLUSH, TCIOFLUSH):
            tty.driver.flush()
    elif cmd == TCXONC:
        if arg == TCOOFF:
            tty.stop()
        elif arg == TCOON:
            tty.start()
        elif arg not in (TCIOFF, TCION):
            raise Errno(EINVAL)
    elif cmd in (TCSBRK, TCSBRKP, TIOCSBRK, TIOCCBRK):
        pass  # output never lingers, a break goes nowhere
    elif cmd == TCGETS2:
        await mem.write(arg, tty.termios() + (38400).to_bytes(4, "little") * 2)
    elif cmd in _SETS2:
        fields = t.TERMIOS2.unpack(await mem.read(arg, t.TERMIOS2.size))
        await _set_termios(tty, _SETS2[cmd], fields[:6])
    elif cmd == TCGETA:
        flags = [flag & 0xFFFF for flag in (tty.iflag, tty.oflag, tty.cflag, tty.lflag)]
        await mem.write(arg, t.TERMIO.pack(*flags, tty.line, tty.cc[:8]))
    elif cmd in _SETSA:
        *flags, line, cc = t.TERMIO.unpack(await mem.read(arg, t.TERMIO.size))
        old = (tty.iflag, tty.oflag, tty.cflag, tty.lflag)
        flags = [was & ~0xFFFF | flag for was, flag in zip(old, flags)]
        await _set_termios(tty, _SETSA[cmd], (*flags, line, cc + tty.cc[8:]))
    elif cmd == TIOCGETD:
        await mem.write(arg, bytes(4))  # N_TTY
    elif cmd == TIOCSETD:
        if await mem.read(arg, 4) != bytes(4):
            raise Errno(EINVAL)
    elif cmd in (TIOCEXCL, TIOCNXCL):
        tty.exclusive = cmd == TIOCEXCL
    elif cmd == TIOCGEXCL:
        await mem.write(arg, int(tty.exclusive).to_bytes(4, "little"))
    elif cmd == TIOCMGET:
        raise Errno(EINVAL)
    else:
        raise Errno(ENOTTY)
    return 0


async def _set_termios(tty, when, fields):
    """`when`: 0 at once, 1 after the output went (TCSETSW), 2 and forget what was typed (TCSETSF)."""
    while when and tty.driver.pending():
        await tty.changed.wait()
    if when == 2:
        tty.flush_input()
    tty.set_termios(*fields)


# -- what is below a terminal ---------------------------------------------------------------------------------------------


class Console:
    """A driver whose other side is a person: everything goes to `write(bytes)` at once, unless their screen is behind
    (`paused`)."""

    def __init__(self, write):
        self.write = write
        self.paused = False

    def room(self) -> int:
        return 0 if self.paused else 1 << 30

    def pending(self) -> int:
        return 0

    def flush(self):
        """Nothing is kept back."""

    def drained(self):
        """The reader made room; who types waits for `tty.changed`."""

    def closed(self):
        """The console outlives those who have it open."""


class Pty:
    """A pseudo-terminal: the driver of the slave's Tty, and the state of the master."""

    def __init__(self, number: int, rdev: int):
        self.number = number
        self.tty = Tty(self, b"pts/%d" % number, rdev)
        self.tty.cflag &= ~t.HUPCL
        self.locked = True
        self.master_open = True
        self.to_master = deque()
        self.to_master_size = 0
        self.to_slave = bytearray()
        self.changed = WaitQueue()  # for the master

    # the slave's driver

    def room(self):
        return PTY_BUFFER - self.to_master_size

    def pending(self):
        return self.to_master_size if self.master_open else 0

    def write(self, data):
        if self.master_open and data:
            self.to_master.append(data)
            self.to_master_size += len(data)
            self.changed.wake()

    def flush(self):
        """Drop what the master's own line discipline would not have taken yet."""
        kept = b"".join(self.to_master)[: N_TTY_BUF_SIZE - 1]
        self.to_master = deque([kept] if kept else [])
        self.to_master_size = len(kept)
        self.tty.output_drained()

    def drained(self):
        """The slave read something: what the master wrote before can follow."""
        if self.to_slave:
            taken = self.tty.input(bytes(self.to_slave))
            del self.to_slave[:taken]
            self.changed.wake()

    def closed(self):
        """Nobody has the slave open: the master reads what is left, then EIO."""
        self.changed.wake()

    # the master

    def send(self, data) -> int:
        """Bytes for the slave; how many were taken."""
        taken = 0 if self.to_slave else self.tty.input(data)
        kept = data[taken : taken + PTY_BUFFER - len(self.to_slave)]
        self.to_slave += kept
        return taken + len(kept)


class PtyMaster(File):
    """An open /dev/ptmx."""

    def __init__(self, inode, flags, pty: Pty, on_close):
        super().__init__(inode, flags)
        self.pty = pty
        self.on_close = on_close

    def close(self):
        pty = self.pty
        pty.master_open = False
        pty.tty.hang_up()
        self.on_close(pty)

    @property
    def _slave_gone(self) -> bool:
        return self.pty.tty.opens == 0 and self.pty.tty.was_open

    async def read(self, n):
        pty = self.pty
        while not pty.to_master_size:
            if self._slave_gone:
                raise Errno(EIO)
            if self.flags & O_NONBLOCK:
                raise Errno(EAGAIN)
            await pty.changed.wait()
        parts, left = [], n
        while pty.to_master and left:
            chunk = pty.to_master.popleft()
            if len(chunk) > left:
                pty.to_master.appendleft(chunk[left:])
                chunk = chunk[:left]
            parts.append(chunk)
            left -= len(chunk)
        pty.to_master_size -= n - left
        pty.tty.output_drained()
        return b"".join(parts)

    async def write(self, data):
        pty, done = self.pty, 0
        while done < len(data):
            count = pty.send(bytes(data[done:]))
            done += count
            if count:
                continue
            if self.flags & O_NONBLOCK:
                if done:
                    return done
                raise Errno(EAGAIN)
            try:
                await pty.changed.wait()
            except Interrupted:
                if done:
                    return done
                raise
        return done

    def poll(self):
        mask = READABLE if self.pty.to_master_size else 0
        if len(self.pty.to_slave) < PTY_BUFFER:
            mask |= WRITABLE
        if self._slave_gone:
            mask |= POLLHUP
        return mask

    def poll_queues(self):
        return (self.pty.changed,)

    async def ioctl(self, cmd, arg, mem):
        pty = self.pty
        if cmd == TIOCGPTN:
            await mem.write(arg, pty.number.to_bytes(4, "little"))
        elif cmd == TIOCSPTLCK:
            pty.locked = any(await mem.read(arg, 4))
        elif cmd == TIOCGPTLCK:
            await mem.write(arg, int(pty.locked).to_bytes(4, "little"))
        elif cmd == TIOCPKT:
            if any(await mem.read(arg, 4)):
                raise Errno(EINVAL)
        elif cmd == FIONREAD:
            await mem.write(arg, pty.to_master_size.to_bytes(4, "little"))
        else:
            return await tty_ioctl(pty.tty, cmd, arg, mem, self)
        return 0


def open_slave(inode, flags, pty: Pty) -> TtyFile:
    if pty.locked:
        raise Errno(EIO)
    if not pty.master_open:
        raise Errno(ENXIO)
    return TtyFile(inode, flags, pty.tty)
