"""Random programs of file system operations, run by the real kernel and by ours, with the answers side by side."""

import ctypes
import errno
import os
import pickle
import random
import stat

NAMES = ["a", "b", "c", "dd", "link"]
FLAGS = [
    os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_APPEND | os.O_CREAT,
    os.O_RDONLY | os.O_DIRECTORY, os.O_RDONLY | os.O_NOFOLLOW, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT,
]  # fmt: skip
FDS = 6
libc = ctypes.CDLL(None, use_errno=True)

# What is there at the start: (path, content, link target or None for a directory)
TREE = [
    ("a", bytes(range(256)) * 40), ("b", b"short"), ("dd", None), ("dd/a", b"x" * 4096), ("dd/b", b""),
    ("dd/dd", None), ("dd/dd/c", b"deep\n" * 3000), ("link", "dd"), ("dd/link", "../b"), ("c", "nowhere"),
]  # fmt: skip

# For the program of an ordinary user: (uid, gid, mode) of what is not root's.
USER, GROUP, OTHER = 1000, 50, 2000
OWNERS = {
    "": (USER, USER, 0o755), "a": (0, GROUP, 0o664), "b": (USER, USER, 0o4755), "dd": (0, 0, 0o1777),
    "dd/a": (OTHER, OTHER, 0o644), "dd/b": (USER, GROUP, 0o600), "dd/dd": (OTHER, GROUP, 0o770), "dd/dd/c": (OTHER, GROUP, 0o2750),
}  # fmt: skip


def program(seed, length, dots):
    rng = random.Random(seed)

    def path():
        parts = [rng.choice(NAMES) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
        if dots and rng.random() < 0.1:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice((".", "..")))
        return "/".join(parts) + "/" * (rng.random() < 0.05)

    def data():
        return bytes([rng.randrange(256)]) * rng.choice((0, 1, 5, 100, 4096, 5000, 9000))

    def offset():
        return rng.choice((0, 1, 10, 4095, 4096, 5000, 12288, 20000, 70000))

    fd = lambda: rng.randrange(FDS)  # noqa: E731
    kinds = {
        "open": lambda: (fd(), path(), rng.choice(FLAGS), rng.choice((0o644, 0o600, 0o4755))),
        "close": lambda: (fd(),),
        "read": lambda: (fd(), rng.choice((1, 10, 4096, 10000))),
        "write": lambda: (fd(), data()),
        "pread": lambda: (fd(), rng.choice((1, 4096, 50000)), offset()),
        "pwrite": lambda: (fd(), data(), offset()),
        "lseek": lambda: (fd(), rng.choice((-10, 0, 10, 5000)), rng.randrange(5)),
        "ftruncate": lambda: (fd(), offset()),
        "truncate": lambda: (path(), offset()),
        "fallocate": lambda: (fd(), rng.choice((0, 1, 3)), offset(), rng.choice((1, 4096, 10000))),
        "fstat": lambda: (fd(),),
        "stat": lambda: (path(),),
        "lstat": lambda: (path(),),
        "mkdir": lambda: (path(), rng.choice((0o755, 0o700, 0o1777))),
        "rmdir": lambda: (path(),),
        "unlink": lambda: (path(),),
        "rename": lambda: (path(), path(), rng.choice((0, 0, 0, 1, 2))),
        "link": lambda: (path(), path()),
        "symlink": lambda: (rng.choice(("a", "dd", "../a", "dd/", "./link", "nowhere", "../..")), path()),
        "readlink": lambda: (path(),),
        "list": lambda: (path(),),
        "chmod": lambda: (path(), rng.choice((0o644, 0o755, 0o600, 0o2755))),
        "access": lambda: (path(), rng.randrange(8)),
        "chown": lambda: (path(), rng.choice((-1, USER, OTHER)), rng.choice((-1, GROUP, OTHER))),
        "mkfifo": lambda: (path(), 0o644),
        "utimens": lambda: (path(), rng.randrange(1 << 40), rng.randrange(1 << 40)),
        "dup": lambda: (fd(), fd()),
        "chdir": lambda: (path(),),
        "home": lambda: (),
    }
    names = list(kinds)
    weights = {"open": 5, "write": 4, "rename": 4, "read": 3, "chdir": 0.5, "home": 2}
    for _ in range(length):
        name = rng.choices(names, [weights.get(n, 1.5) for n in names])[0]
        if not dots and name in ("chdir", "symlink"):
            continue
        yield name, *kinds[name]()


def shown_stat(mode, nlink, size, is_dir):
    return oct(mode), nlink, None if is_dir or stat.S_ISLNK(mode) else size


def run_on_linux(directory, ops, chroot, user=False):
    """The answers of the real kernel: a forked child does it, in a chroot when it may, as an ordinary user if asked to."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.umask(0o022)
            os.chdir(directory)
            if chroot:
                os.chroot(".")
            if user:
                os.setgroups([GROUP])
                os.setresgid(USER, USER, USER)
                os.setresuid(USER, USER, USER)
            answers = _run_linux(ops, "/" if chroot else directory)
            with open(writer, "wb") as pipe:
                pickle.dump(answers, pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return pickle.loads(data)


def _run_linux(ops, home):
    def call(name, *args):
        function = getattr(libc, name)
        if function(*args) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    fds, answers = [None] * FDS, []
    os.chdir(home)

    def show(st):
        return shown_stat(st.st_mode, st.st_nlink, st.st_size, stat.S_ISDIR(st.st_mode))

    def do(name, *a):
        match name:
            case "open":
                slot, path, flags, mode = a
                fd = os.open(path, flags | os.O_NONBLOCK, mode)
                if fds[slot] is not None:
                    os.close(fds[slot])
                fds[slot] = fd
            case "dup":
                if fds[a[0]] is not None and a[0] != a[1]:
                    fd = os.dup(fds[a[0]])
                    if fds[a[1]] is not None:
                        os.close(fds[a[1]])
                    fds[a[1]] = fd
            case "close" | "read" | "write" | "pread" | "pwrite" | "lseek" | "ftruncate" | "fstat" | "fallocate":
                fd = fds[a[0]]
                if fd is None:
                    return None
                if name == "close":
                    fds[a[0]] = None
                if name == "fstat":
                    return show(os.fstat(fd))
                if name == "fallocate":
                    return call("fallocate", fd, a[1], ctypes.c_long(a[2]), ctypes.c_long(a[3]))
                return getattr(os, name)(fd, *a[1:])
            case "stat" | "lstat":
                return show(getattr(os, name)(*a))
            case "list":
                return sorted(os.listdir(a[0]))
            case "rename":
                call("renameat2", -100, a[0].encode(), -100, a[1].encode(), a[2])
            case "link":
                os.link(*a, follow_symlinks=False)
            case "access":
                call("access", a[0].encode(), a[1])
            case "utimens":
                os.utime(a[0], ns=a[1:])
                st = os.stat(a[0])
                return st.st_atime_ns, st.st_mtime_ns
            case "chdir":
                os.chdir(a[0])
            case "home":
                os.chdir(home)
            case _:
                return getattr(os, name)(*a)

    for op in ops:
        try:
            answers.append(do(*op))
        except OSError as error:
            answers.append(errno.errorcode[error.errno])
    return answers


async def run_on_webvm(task, ops):
    from webvm.linux.errno import Errno
    from webvm.linux.stat import STAT

    fds, answers = [None] * FDS, []

    def show(address):
        fields = STAT.unpack(task.mem.at(address, 144))
        return shown_stat(fields[3], fields[2], fields[7], stat.S_ISDIR(fields[3]))

    async def data_of(name, fd, n, *rest):
        at = task.mem.put(bytes(n))
        return task.mem.at(at, await task(name, fd, at, n, *rest))

    async def do(name, *a):
        a = [x.encode() if isinstance(x, str) else x for x in a]
        match name:
            case "open":
                fd = await task("open", a[1], a[2] | os.O_NONBLOCK, a[3])
                if fds[a[0]] is not None:
                    await task("close", fds[a[0]])
                fds[a[0]] = fd
            case "dup":
                if fds[a[0]] is not None and a[0] != a[1]:
                    fd = await task("dup", fds[a[0]])
                    if fds[a[1]] is not None:
                        await task("close", fds[a[1]])
                    fds[a[1]] = fd
            case "close" | "read" | "write" | "pread" | "pwrite" | "lseek" | "ftruncate" | "fstat" | "fallocate":
                fd = fds[a[0]]
                if fd is None:
                    return None
                match name:
                    case "close":
                        fds[a[0]] = None
                        await task("close", fd)
                    case "read":
                        return await data_of("read", fd, a[1])
                    case "pread":
                        return await data_of("pread64", fd, *a[1:])
                    case "write":
                        return await task("write", fd, a[1], len(a[1]))
                    case "pwrite":
                        return await task("pwrite64", fd, a[1], len(a[1]), a[2])
                    case "fstat":
                        at = task.mem.put(bytes(144))
                        await task("fstat", fd, at)
                        return show(at)
                    case "lseek":
                        return await task(name, fd, *a[1:])
                    case _:
                        await task(name, fd, *a[1:])
            case "stat" | "lstat":
                at = task.mem.put(bytes(144))
                await task(name, a[0], at)
                return show(at)
            case "list":
                return sorted(n.decode() for n in await task.names(a[0]) if n not in (b".", b".."))
            case "rename":
                await task("renameat2", -100, a[0], -100, a[1], a[2])
            case "readlink":
                at = task.mem.put(bytes(256))
                return task.mem.at(at, await task(name, a[0], at, 256)).decode()
            case "mkfifo":
                await task("mknod", a[0], stat.S_IFIFO | a[1], 0)
            case "utimens":
                times = b"".join(part.to_bytes(8, "little") for ns in a[1:] for part in divmod(ns, 10**9))
                at = task.mem.put(times)
                await task("utimensat", -100, a[0], at, 0)
                st = await task.stat(a[0])
                return tuple(st[f] * 10**9 + st[f + "_ns"] for f in ("atime", "mtime"))
            case "chown":
                await task("chown", a[0], a[1] & 0xFFFFFFFF, a[2] & 0xFFFFFFFF)
            case "home":
                await task("chdir", b"/")
            case _:
                await task(name, *a)

    for op in ops:
        task.mem.top = 0x1000
        try:
            answers.append(await do(*op))
        except Errno as error:
            answers.append(error.name)
    return answers
