"""What the machine's own kernel says about a directory tree, and a tree worth asking about.

Imported by test_ext4.py, and run as a program inside a mount namespace of its own:

    unshare -m python ext4_reference.py facts IMAGE      mount read-only, print pickled facts
    unshare -m python ext4_reference.py replay IMAGE     the same, after replaying the journal
    unshare -m python ext4_reference.py change IMAGE     mount read-write, let the kernel lay out files
    unshare -m python ext4_reference.py crash IMAGE      mount read-write, change things, IMAGE.crashed is as at a power cut
"""

import errno
import hashlib
import os
import pickle
import random
import stat
import struct
import subprocess
import sys
import tempfile

PAGE = 4096
CANNOT_MOUNT = 77                   # exit status
HIDDEN = {b"lost+found"}


def digest_pages(segments, read) -> str:
    """A hash of what is not zero and where, so that sparse files of any size can be compared.

    `segments`: (start, end) of what may hold data; `read(offset, n)`.
    """
    digest = hashlib.md5()
    done = 0
    for start, end in segments:
        start = max(done, start - start % PAGE)
        while start < end:
            data = read(start, min(1 << 20, -(-(end - start) // PAGE) * PAGE))
            if not data:
                break
            for at in range(0, len(data), PAGE):
                page = data[at:at + PAGE].rstrip(b"\0")
                if page:
                    digest.update(b"%d:" % (start + at) + page)
            start += len(data)
        done = start
    return digest.hexdigest()


def _segments(fd: int, size: int):
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO
            break
        try:
            at = os.lseek(fd, start, os.SEEK_HOLE)
        except FileNotFoundError:       # what Linux answers for inline data
            at = size
        found.append((start, at))
    return found


def fact(path: bytes, follow: bool = False) -> dict:
    st = os.stat(path) if follow else os.lstat(path)
    found = {
        "mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "nlink": st.st_nlink, "size": st.st_size,
        "rdev": st.st_rdev if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode) else 0,
        "blocks": st.st_blocks, "blksize": st.st_blksize, "ino": st.st_ino,
        "atime": st.st_atime_ns, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns,
        "xattrs": {
            os.fsencode(name): os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)},
    }
    if stat.S_ISLNK(st.st_mode):
        found["target"] = os.readlink(path)
    elif stat.S_ISREG(st.st_mode):
        fd = os.open(path, os.O_RDONLY)
        found["data"] = _segments(fd, st.st_size)
        found["digest"] = digest_pages(found["data"], lambda at, n: os.pread(fd, n, at))
        os.close(fd)
    elif stat.S_ISDIR(st.st_mode):
        found["names"] = sorted(os.listdir(path))
    return found


def facts(root: bytes) -> dict[bytes, dict]:
    found, todo = {}, [b""]
    while todo:
        path = todo.pop()
        found[path] = fact(root + b"/" + path, follow=not path)
        for name in found[path].get("names", ()):
            if name not in HIDDEN:
                todo.append(path + b"/" + name)
    return found


def statfs(root: bytes) -> tuple:
    st = os.statvfs(root)
    return st.f_bsize, st.f_blocks, st.f_bfree, st.f_bavail, st.f_files, st.f_ffree, st.f_namemax


# A tree worth reading

def write(path: bytes, data: bytes, at: int = 0) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.pwrite(fd, data, at)
    os.close(fd)


def set_xattr(path: bytes, name: str, value: bytes) -> None:
    os.setxattr(path, name, value, follow_symlinks=False)


def target(length: int) -> bytes:
    """For a symbolic link: components must not be longer than 255 bytes."""
    return (b"d" * 99 + b"/") * (length // 100) + b"e" * (length % 100)


def build(root: bytes, entries: int = 300) -> None:
    """Every kind of file that `mke2fs -d` copies; without root's privileges those that anybody can make."""
    privileged = os.geteuid() == 0
    rng = random.Random(4)
    sub = root + b"/"
    write(sub + b"empty", b"")
    for size in 1, 59, 60, 61, 100, 150, 160, 500, 1023, 1024, 1025, 4096, 70001:
        write(sub + b"file%d" % size, rng.randbytes(size))
    write(sub + b"big", rng.randbytes(400_000))
    os.mkdir(sub + b"sparse")
    write(sub + b"sparse/end100M", b"the end", 100 << 20)
    write(sub + b"sparse/all", b"")
    os.truncate(sub + b"sparse/all", 123_456)
    for at in (0, 12 * 1024 - 1, 268 * 1024 - 1, (268 + 65536) * 1024 - 1, 12 * 4096, (12 + 1024) * 4096):
        write(sub + b"sparse/borders", b"XY", at)
    for at in range(0, 700):
        write(sub + b"sparse/comb", rng.randbytes(100), at * 2 * PAGE)
    for length in 1, 10, 58, 59, 60, 61, 200, 1023:
        os.symlink(target(length), sub + b"link%d" % length)
    os.mkdir(sub + b"names")
    for name in b"n" * 255, b"\xff\xfe not UTF-8 \x80", "žluťoučký kůň".encode(), b"new\nline", b"-", b" ", b"...":
        write(sub + b"names/" + name, name)
    os.mkdir(sub + b"void")
    deep = sub + b"deep"
    for level in range(30):
        os.mkdir(deep)
        deep += b"/%d" % level
    write(deep, b"bottom")
    os.link(sub + b"file500", sub + b"names/hard")
    os.link(sub + b"file500", sub + b"hard")
    os.mkfifo(sub + b"fifo", 0o620)
    if privileged:
        os.mknod(sub + b"null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(sub + b"disk", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
    os.mknod(sub + b"socket", stat.S_IFSOCK | 0o755)
    for mode in 0o4755, 0o2755, 0o6511, 0o000 if privileged else 0o400, 0o777:
        write(sub + b"mode%o" % mode, b"m")
        os.chmod(sub + b"mode%o" % mode, mode)
    os.mkdir(sub + b"sticky")
    os.chmod(sub + b"sticky", 0o1777)
    write(sub + b"owned", b"o")
    if privileged:
        os.chown(sub + b"owned", 100_000, 70_000)
    write(sub + b"attributes", b"a")
    set_xattr(sub + b"attributes", "user.short", b"value")
    set_xattr(sub + b"attributes", "user.empty", b"")
    if privileged:
        set_xattr(sub + b"attributes", "trusted.t", bytes(range(100)))
        set_xattr(sub + b"attributes", "security.capability", struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0))
    set_xattr(sub + b"void", "user.on.a.directory", b"yes")
    os.mkdir(sub + b"crowd")
    for number in range(entries):
        write(sub + b"crowd/%d-%s" % (number, b"x" * (number % 60)), b"")
    os.utime(sub + b"file1", ns=(1_000_000_000_123_456_789, 5_000_000_000_000_000_000))


def change(root: bytes) -> None:
    """What only a kernel lays out: hash-indexed directories, preallocation, holes punched, ACLs, big attributes."""
    rng = random.Random(5)
    made = root + b"/made/"
    os.mkdir(made)
    os.mkdir(made + b"crowd")
    for number in range(1500):
        os.link(root + b"/file1" if number < 700 else root + b"/file60", made + b"crowd/%x-%s" % (number, b"y" * (number % 40)))
    for number in range(0, 1500, 3):
        os.unlink(made + b"crowd/%x-%s" % (number, b"y" * (number % 40)))
    try:
        os.symlink(target(4000), made + b"link4000")
    except OSError as error:
        assert error.errno == errno.ENAMETOOLONG        # it does not fit a block
    os.mkdir(made + b"small")
    for number in range(12):
        write(made + b"small/%d" % number, rng.randbytes(number * 20))
    os.truncate(made + b"small/2", 50_000)
    os.truncate(made + b"small/3", 10)
    with open(made + b"allocated", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 300_000)
        os.pwrite(file.fileno(), b"written", 100_000)
    for at in range(0, 400):
        write(made + b"comb", rng.randbytes(10), at * 3 * PAGE)
    write(made + b"punched", rng.randbytes(200_000))
    subprocess.run(["fallocate", "-p", "-o", "20000", "-l", "100000", made + b"punched"], stderr=subprocess.DEVNULL)
    for name, when in (b"old", -5_000_000_001), (b"2040", 2_208_988_800_987_654_321), (b"2400", 13_569_465_600_000_000_001):
        write(made + name, b"")
        os.utime(made + name, ns=(when, when + 1))
    write(made + b"attributes", b"")
    try:
        for count, size in (1, 30), (2, 300), (3, 700):
            set_xattr(made + b"attributes", f"user.number{count}", rng.randbytes(size))
        set_xattr(made + b"attributes", "user.shared", b"same")
        set_xattr(made + b"attributes", "user.huge", rng.randbytes(20_000))
    except OSError as error:
        assert error.errno in (errno.ENOSPC, errno.E2BIG), error
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry) for entry in (
            (1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (8, 5, 2000), (0x10, 5, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)))
    os.mkdir(made + b"acl")
    for name in "system.posix_acl_access", "system.posix_acl_default":
        try:
            set_xattr(made + b"acl", name, acl)
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP


def crash(root: bytes, image: str) -> None:
    """Several transactions, with directory blocks that are freed and become a file's data (revoked), and data that looks
    like the journal's own."""
    def commit():
        """fsync, which writes the journal; sync would write everything in its place as well."""
        with open(root + b"/commit", "ab") as file:
            file.write(b"!")
            file.flush()
            os.fsync(file.fileno())

    for number in range(60):
        write(root + b"/new%d" % number, b"content %d" % number)
    os.mkdir(root + b"/gone")
    for number in range(200):
        write(root + b"/gone/%d-%s" % (number, b"z" * 100), b"")
    commit()
    subprocess.run(["rm", "-r", root + b"/gone", root + b"/names"], check=True)
    os.symlink(b"\xc0\x3b\x39\x98" + b"m" * 200, root + b"/magic")    # a block that begins with the journal's magic number
    commit()
    for number in range(12):
        write(root + b"/reuse%d" % number, b"data of a file" * 1000)
        fd = os.open(root + b"/reuse%d" % number, os.O_WRONLY)
        os.fdatasync(fd)
        os.close(fd)
    commit()
    os.rename(root + b"/new7", root + b"/renamed")
    os.chmod(root + b"/new8", 0o4711)
    os.truncate(root + b"/big", 5)
    commit()
    subprocess.run(["cp", "--sparse=always", image, image + ".crashed"], check=True)


def main(action: str, image: str) -> None:
    point = tempfile.mkdtemp()
    options = {"facts": "ro,noload", "replay": "ro", "change": "rw", "crash": "rw,commit=1000"}[action]
    device = image
    if action == "replay":              # with the option "loop" a device that is mounted read-only cannot be written by the replay either
        device = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    else:
        options += ",loop"
    try:
        if subprocess.run(["mount", "-t", "ext4", "-o", options, device, point]).returncode:
            sys.exit(CANNOT_MOUNT)
        try:
            if action == "change":
                change(os.fsencode(point))
            elif action == "crash":
                crash(os.fsencode(point), image)
            else:
                sys.stdout.buffer.write(pickle.dumps((facts(os.fsencode(point)), statfs(os.fsencode(point)))))
        finally:
            subprocess.run(["umount", point], check=True)
    finally:
        if device != image:
            subprocess.run(["losetup", "-d", device], check=True)
        os.rmdir(point)


if __name__ == "__main__":
    main(*sys.argv[1:])
