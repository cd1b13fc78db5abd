import ast
from pathlib import Path

import pytest

from tests.kernel.scripted import Machine, call
from webvm.kernel import filesystems, kernel  # noqa: F401  (they register every system call)
from webvm.kernel.syscall import SYSCALLS, Enum, Flags, quote, sigset, support_table
from webvm.linux import unistd


def test_every_call_has_the_name_of_its_number():
    assert [(s.number, s.name) for s in SYSCALLS.values()] == [(n, unistd.NAMES[n]) for n in SYSCALLS]


def test_the_support_table_has_a_row_for_each_call():
    table = support_table()
    assert len(table) == len(SYSCALLS) and table == sorted(table)
    assert (0, "read", "fd, buf, count", "") in table


def test_every_errno_a_handler_raises_exists():
    from webvm.linux import errno
    for path in Path(kernel.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Errno" and isinstance(node.args[0], ast.Name):
                name = node.args[0].id
                assert name.islower() or name in errno.errorcode.values() or hasattr(errno, name), (path, name)


@pytest.mark.parametrize("data, shown", [
    (b"hello\n", r'"hello\n"'),
    (b"\0\x01\x7f1", r'"\0\1\1771"'),
    (b"\x001", r'"\0001"'),
    (b'say "hi" \\', r'"say \"hi\" \\"'),
    (b"a" * 33, '"' + "a" * 32 + '"...'),
    ("é".encode(), r'"\303\251"'),
])
def test_strings_are_quoted_as_strace_quotes_them(data, shown):
    assert quote(data) == shown


def test_flags_are_named():
    assert Flags("O_", "fcntl", 3).format(0o2101) == "O_WRONLY|O_CREAT|O_APPEND"
    assert Flags("O_", "fcntl", 3).format(0) == "O_RDONLY"
    assert Flags("O_", "fcntl", 3).format(0o4010000 | 1 << 30) == "O_RDONLY|O_SYNC|0x40000000"
    assert Flags("MAP_", "mman", 15).format(0x22) == "MAP_PRIVATE|MAP_ANONYMOUS"
    assert Flags("PROT_", "mman").format(0) == "PROT_NONE"
    assert Enum("SEEK_", "fcntl").format(2) == "SEEK_END"


def test_signal_sets_are_shown_from_their_shorter_side():
    assert sigset(0) == "[]"
    assert sigset(1 << 1 | 1 << 16) == "[INT CHLD]"
    assert sigset((1 << 64) - 1 & ~(1 << 8)) == "~[KILL]"


def test_a_traced_call_looks_as_strace_prints_it():
    def program(space):
        space.write(0x400800, b"/missing\0")
        yield call(257, -100, 0x400800, 0o2000000, 0)
        yield call(9, 0, 4096, 3, 0x22, -1, 0)
        yield call(10, 0x10000000, 4096, 0)
        yield call(62, 2, 0)
        yield call(14, 0, 0, 0x400900, 8)
        yield call(231, 3)
    machine = Machine(program, strace=True)
    machine.run()
    assert machine.trace == [
        'openat(AT_FDCWD, "/missing", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)',
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x8000000",
        "mprotect(0x10000000, 4096, PROT_NONE) = -1 ENOMEM (Cannot allocate memory)",
        "kill(2, 0) = 0",
        "rt_sigprocmask(SIG_BLOCK, NULL, [], 8) = 0",
        "exit_group(3) = ?",
    ]
