"""System call declarations: one line of Python is dispatch, strace output and the support table.

    @syscall(0)
    async def read(task, fd: Fd, buf: Out, count: Size): ...

Knows argument types, how registers become Python ints, and how strace(1) would print a call.  Knows no system call: those
are in the sys_*.py modules, which register here when imported.

A handler gets plain ints (a `Path` or a buffer arrives as the guest's address; read it with `await task.mem.cstring(path)`
or `await task.mem.read(buf, count)`), returns an int for rax, or raises Errno.  A handler that never waits may be a plain
`def`; so is one that seldom does, which then returns a coroutine for the rest: to make and drive one costs as much as many
a whole call.  `restart=False` marks calls that give EINTR after a signal handler even under SA_RESTART (signal(7)).
"""

import inspect
from importlib import import_module
from pkgutil import iter_modules

from webvm import linux
from webvm.linux.errno import STRERROR, errorcode
from webvm.linux.fcntl import O_CREAT, O_DIRECTORY, O_TMPFILE

SYSCALLS = {}                       # number -> Syscall

#: What a handler returns when it has set the registers itself (rt_sigreturn, execve).
KEEP_REGISTERS = object()

INTERRUPTED = object()              # result of a traced call that a signal interrupted

STRING_LIMIT = 32                   # bytes of a buffer that strace(1) shows
POINTER_SIZE = 8


class Unreadable(Exception):
    """The memory an argument points to is not there (yet); the address is printed instead."""


# -- argument types -------------------------------------------------------------------------------------------------------

class Arg:
    """How one register is decoded and printed.  `expr` is Python source over {0}, an unsigned 64-bit int."""

    expr = "{0}"
    out = False                     # True: what it shows is there only after the call

    def show(self, mem, value, values, names, result):
        """The argument as strace prints it; `values` and `names` are those of the whole call, `result` None on entry."""
        return str(value)


class _Int(Arg):
    expr = "{0} if {0} < 0x80000000 else (({0} & 0xffffffff) ^ 0x80000000) - 0x80000000"


class _UInt(Arg):
    expr = "{0} & 0xffffffff"


class _Long(Arg):
    expr = "{0} if {0} < 0x8000000000000000 else {0} - 0x10000000000000000"


class _Ptr(Arg):
    def show(self, mem, value, values, names, result):
        return hex(value) if value else "NULL"


class _Fd(_Int):
    def show(self, mem, value, values, names, result):
        return "AT_FDCWD" if value == -100 else str(value)


class _Mode(Arg):
    expr = "{0} & 0xffffffff"

    def show(self, mem, value, values, names, result):
        return f"0{value:o}" if value else "000"


class _OpenMode(_Mode):
    """The mode of open, which is there only if a file may be made."""

    def show(self, mem, value, values, names, result):
        flags = next(v for v, (name, _) in zip(values, names) if name == "flags")
        return super().show(mem, value, values, names, result) if flags & (O_CREAT | O_TMPFILE & ~O_DIRECTORY) else ""


class _Path(_Ptr):
    def show(self, mem, value, values, names, result):
        if not value:
            return "NULL"
        return quote(cstring(mem, value), limit=4096)


class _In(_Ptr):
    """A buffer the call reads; its length is the next Size argument."""

    def show(self, mem, value, values, names, result):
        if not value:
            return "NULL"
        return quote_part(mem, value, self.length(values, names, result))

    def length(self, values, names, result):
        at = next(i for i, v in enumerate(values) if names[i][1] is self)
        return next(v for v, (_, type_) in zip(values[at:], names[at:]) if type_ is Size)


class _Out(_In):
    """A buffer the call writes; the result is how many bytes are valid."""

    out = True

    def show(self, mem, value, values, names, result):
        return super().show(mem, value, values, names, result) if result is not None and result >= 0 else _hex(value)

    def length(self, values, names, result):
        return result


class _Strings(_Ptr):
    """A NULL-terminated array of strings."""

    def show(self, mem, value, values, names, result):
        if not value:
            return "NULL"
        shown = []
        for pointer in pointers(mem, value):
            if len(shown) == STRING_LIMIT:
                shown.append("...")
                break
            shown.append(quote(cstring(mem, pointer)))
        return f"[{', '.join(shown)}]"


class _Environment(_Ptr):
    def show(self, mem, value, values, names, result):
        if not value:
            return "NULL"
        count = sum(1 for _ in pointers(mem, value))
        return f"{value:#x} /* {count} var{'s' * (count != 1)} */"


class _Signal(_Int):
    def show(self, mem, value, values, names, result):
        return signal_name(value)


class _SigSet(_Ptr):
    def show(self, mem, value, values, names, result):
        if not value:
            return "NULL"
        return sigset(int.from_bytes(peek(mem, value, 8), "little"))


class _SigSetOut(_SigSet):
    out = True


class Flags(Arg):
    """Bits named PREFIX* in webvm.linux (in HEADER when given); FIELD masks bits that hold one of several values.
    PREFIX may be a tuple of prefixes, here and in Enum."""

    expr = "{0} & 0xffffffff"

    def __init__(self, prefix, header=None, field=0):
        self.prefix, self.header, self.field = prefix, header, field
        self.table = None

    def show(self, mem, value, values, names, result):
        return self.format(value)

    def format(self, value):
        if self.table is None:
            self.table = constants(self.prefix, self.header)
        shown, rest = [], value
        fields = {v: name for name, v in self.table if not v & ~self.field}
        if value & self.field in fields and (self.field or not value and fields[0].endswith(("_NONE", "_OK"))):
            shown.append(fields[value & self.field])
            rest &= ~self.field
        for name, bits in sorted(self.table, key=lambda row: -row[1].bit_count()):
            if bits & ~self.field and rest & bits == bits:
                shown.append(name)
                rest &= ~bits
        if rest or not shown:
            shown.append(hex(rest) if rest else "0")
        return "|".join(shown)


class Enum(Arg):
    """One of the values named PREFIX* in webvm.linux (in HEADER when given)."""

    expr = _Int.expr

    def __init__(self, prefix, header=None):
        self.prefix, self.header = prefix, header
        self.table = None

    def show(self, mem, value, values, names, result):
        return self.format(value)

    def format(self, value):
        if self.table is None:
            self.table = {v: name for name, v in reversed(constants(self.prefix, self.header))}
        return self.table.get(value) or (str(value) if abs(value) < 4096 else hex(value & 0xffffffff))


class Struct(_Ptr):
    """A structure of SIZE bytes at the address; FORMAT(bytes) prints it.  With `out`, read after the call."""

    def __init__(self, size, format, out=False):
        self.size, self.format, self.out = size, format, out

    def show(self, mem, value, values, names, result):
        if not value:
            return "NULL"
        if self.out and (result is None or result < 0):
            return hex(value)
        return self.format(peek(mem, value, self.size))


# The names declarations use.
Int         = _Int()                # C int
UInt        = _UInt()
Long        = _Long()               # C long, off_t
Size        = Arg()                 # size_t, unsigned long
Ptr         = _Ptr()                # any address
Fd          = _Fd()
Pid         = _Int()
Mode        = _Mode()
OpenMode    = _OpenMode()
Path        = _Path()               # address of a NUL-terminated name
In          = _In()
Out         = _Out()
Strings     = _Strings()
Environment = _Environment()
Signal      = _Signal()
SigSet      = _SigSet()
SigSetOut   = _SigSetOut()


def IntOut(struct_size=4):
    """An int the call stores, printed as [n]."""
    return Struct(struct_size, lambda b: f"[{int.from_bytes(b, 'little', signed=True)}]", out=True)


def timespec(data):
    seconds, nanoseconds = (int.from_bytes(data[i:i + 8], "little", signed=True) for i in (0, 8))
    return f"{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"


def timeval(data):
    seconds, microseconds = (int.from_bytes(data[i:i + 8], "little", signed=True) for i in (0, 8))
    return f"{{tv_sec={seconds}, tv_usec={microseconds}}}"


Timespec    = Struct(16, timespec)
TimespecOut = Struct(16, timespec, out=True)
Timeval     = Struct(16, timeval)
TimevalOut  = Struct(16, timeval, out=True)


# -- declarations ---------------------------------------------------------------------------------------------------------

class Syscall:
    """One declared call: `call(task, (rax, rdi, rsi, rdx, r10, r8, r9))` decodes the registers and runs the handler."""

    __slots__ = ("number", "name", "handler", "parameters", "call", "returns", "restart", "note")

    def __init__(self, number, handler, name, returns, restart, note):
        self.number, self.handler, self.returns, self.restart, self.note = number, handler, returns, restart, note
        self.name = name or handler.__name__.rstrip("_")
        signature = inspect.signature(handler, eval_str=True)
        self.parameters = [(p.name, p.annotation) for p in list(signature.parameters.values())[1:]]
        assert len(self.parameters) <= 6 and all(isinstance(t, Arg) for _, t in self.parameters), self.name
        decoded = ", ".join(f"({t.expr.format(f'r{i}')})" for i, (_, t) in enumerate(self.parameters, 1))
        defined = {"handler": handler}
        exec(f"def call(task, registers): _, r1, r2, r3, r4, r5, r6 = registers; return handler(task, {decoded})", defined)
        self.call = defined["call"]

    def values(self, registers):
        """The decoded arguments, for printing."""
        return [eval(t.expr.format(raw)) for (_, t), raw in zip(self.parameters, registers)]


def syscall(number, name=None, returns=Size, restart=True, note=""):
    """Declare the handler of system call NUMBER.  NOTE says, for the support table, what is left out."""
    def declare(handler):
        assert number not in SYSCALLS, f"system call {number} declared twice"
        SYSCALLS[number] = Syscall(number, handler, name, returns, restart, note)
        return handler
    return declare


def sent():
    """{number: (which argument is an address, which one says how many bytes the call reads there)} of those that read a
    buffer, counted from 1: for an engine that can have the bytes at hand when the call is made."""
    found = {}
    for number, entry in SYSCALLS.items():
        types = [type_ for _, type_ in entry.parameters]
        if In in types and Size in types[types.index(In):]:
            found[number] = types.index(In) + 1, types.index(Size, types.index(In)) + 1
    return found


def support_table():
    """[(number, name, arguments, note)] of every declared call, by number: what `webvm syscalls` prints."""
    return [(s.number, s.name, ", ".join(name for name, _ in s.parameters), s.note)
            for _, s in sorted(SYSCALLS.items())]


# -- what handlers have in common ---------------------------------------------------------------------------------------------

def storing(task, address, data, result=0):
    """What a handler returns that is to store DATA, and then is done: RESULT, or a coroutine where a page must be had first."""
    return result if task.mem.write_now(address, data) else _storing(task, address, data, result)


async def _storing(task, address, data, result):
    await task.mem.write(address, data)
    return result


# -- strace ---------------------------------------------------------------------------------------------------------------

class Trace:
    """One call being printed: made on entry (arguments may be overwritten by the call), finished with the result."""

    def __init__(self, mem, number, registers):
        self.mem = mem
        self.entry = SYSCALLS.get(number)
        if self.entry is None:
            self.shown = [hex(r) for r in registers]
            self.name = f"syscall_{number:#x}"
            return
        self.name = self.entry.name
        self.values = self.entry.values(registers)
        self.shown = [None if type_.out else self._show(i, None) for i, (_, type_) in enumerate(self.entry.parameters)]

    def finish(self, result):
        """The whole line; RESULT is what rax holds (signed), negative for failures, None when it never returns, INTERRUPTED
        when a signal came first."""
        if self.entry is not None:
            for i, text in enumerate(self.shown):
                if text is None:
                    text = self._show(i, None if result is INTERRUPTED else result)
                    self.shown[i] = _hex(self.values[i]) if text is None else text
        return f"{self.name}({', '.join(filter(None, self.shown))}) = {self.show_result(result)}"

    def _show(self, i, result):
        try:
            return self.entry.parameters[i][1].show(self.mem, self.values[i], self.values, self.entry.parameters, result)
        except Unreadable:
            return None

    def show_result(self, result):
        if result is None:
            return "?"
        if result is INTERRUPTED:
            return ("? ERESTARTSYS (To be restarted if SA_RESTART is set)" if self.entry.restart
                    else "? ERESTARTNOHAND (To be restarted if no handler)")
        if -4096 < result < 0:
            return f"-1 {errorcode[-result]} ({STRERROR[-result]})" if -result in errorcode else f"-1 ({-result})"
        if self.entry is not None and self.entry.returns is Ptr:
            return hex(result & (1 << 64) - 1)
        return str(result)


def _hex(value):
    return hex(value) if value else "NULL"


def peek(mem, address, length):
    data = mem.peek(address, length)
    if data is None:
        raise Unreadable
    return data


def cstring(mem, address, limit=4096):
    parts = []
    while limit > 0:
        step = min(4096 - address % 4096, limit)
        data = peek(mem, address, step)
        end = data.find(b"\0")
        if end >= 0:
            parts.append(data[:end])
            break
        parts.append(data)
        address, limit = address + step, limit - step
    return b"".join(parts)


def pointers(mem, address):
    while pointer := int.from_bytes(peek(mem, address, POINTER_SIZE), "little"):
        yield pointer
        address += POINTER_SIZE


def quote_part(mem, address, length):
    """The first STRING_LIMIT bytes of a buffer, with "..." after the quote when there is more."""
    return quote(peek(mem, address, min(length, STRING_LIMIT + 1)))


_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def quote(data, limit=STRING_LIMIT):
    """DATA as a C string literal the way strace(1) writes it: octal escapes, the shortest that is unambiguous."""
    shown = []
    part = data[:limit]
    for i, byte in enumerate(part):
        if byte in _ESCAPES:
            shown.append(_ESCAPES[byte])
        elif 32 <= byte < 127:
            shown.append(chr(byte))
        else:
            digit_follows = i + 1 < len(part) and 48 <= part[i + 1] <= 57
            shown.append(f"\\{byte:03o}" if digit_follows else f"\\{byte:o}")
    return f'"{"".join(shown)}"' + ("..." if len(data) > limit else "")


def constants(prefix, header=None):
    """[(name, value)] of the constants named PREFIX* in webvm.linux.HEADER, or in all of webvm.linux."""
    headers = [header] if header else [m.name for m in iter_modules(linux.__path__)]
    found = {}
    for name in headers:
        for key, value in vars(import_module(f"webvm.linux.{name}")).items():
            if key.startswith(prefix) and isinstance(value, int):
                found.setdefault(key, value)
    return list(found.items())


def signal_name(number):
    table = {value: name for name, value in constants("SIG", "signal") if "_" not in name and value > 0}
    if number in table:
        return table[number]
    return f"SIGRT_{number - 32}" if 32 <= number <= 64 else str(number)


def sigset(mask):
    """A signal set as strace prints it: names without SIG; a set of most signals as what it lacks."""
    complement = mask.bit_count() > 32
    if complement:
        mask ^= (1 << 64) - 1
    names = " ".join(signal_name(n).removeprefix("SIG") for n in range(1, 65) if mask >> n - 1 & 1)
    return f"{'~' * complement}[{names}]"
