"""Making ext4 images, and reading all of them with webvm.fs.ext4. Shared by the test_ext4*.py files."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ext4_reference as reference
import pytest

from webvm.block.device import FileDevice
from webvm.fs.ext4 import Ext4
from webvm.linux.errno import ENXIO, Errno

os.environ["PATH"] += ":/usr/sbin:/sbin"
if not shutil.which("mke2fs") or not shutil.which("debugfs"):
    pytest.skip("e2fsprogs is not installed (mke2fs, debugfs)", allow_module_level=True)


def run(*argv, **options) -> str:
    done = subprocess.run(argv, capture_output=True, **options)
    assert done.returncode == 0, (argv, done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")


def mke2fs(image: Path, arguments: str, megabytes: int, tree: Path | None = None) -> Path:
    source = ["-d", str(tree)] if tree else []
    run("mke2fs", "-q", "-F", *arguments.split(), *source, str(image), f"{megabytes}M")
    return image


def debugfs(image: Path, *commands: str, writable: bool = False) -> str:
    text = "\n".join(commands)
    return run("debugfs", *(["-w"] if writable else []), "-f", "-", str(image), input=text.encode())


def mounted(action: str, image: Path) -> bytes:
    argv = ["unshare", "-m", sys.executable, reference.__file__, action, str(image)]
    done = subprocess.run(argv, capture_output=True)
    if done.returncode == reference.CANNOT_MOUNT:
        pytest.skip(f"THIS KERNEL CANNOT MOUNT THE IMAGE: {done.stderr.decode().splitlines()[0]}")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Counting:
    """A device that keeps a list of what was read."""

    def __init__(self, device):
        self.device = device
        self.size = device.size
        self.reads: list[tuple[int, int]] = []

    async def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return await self.device.read(offset, length)


async def fact(inode) -> dict:
    found = {key: getattr(inode, key) for key in "mode uid gid nlink size rdev blocks blksize ino atime mtime ctime".split()}
    found["xattrs"] = {name: await inode.getxattr(name) for name in await inode.listxattr()}
    if inode.is_symlink:
        found["target"] = await inode.readlink()
    elif inode.is_reg:
        found["data"], at = [], 0
        while at < inode.size:
            try:
                start = await inode.seek_data(at, False)
            except Errno as error:
                if error.number != ENXIO:
                    raise
                break
            at = await inode.seek_data(start, True)
            found["data"].append((start, at))
        found["digest"] = await digest(inode, found["data"])
    elif inode.is_dir:
        found["names"] = sorted(entry.name for entry in await inode.readdir())
    return found


async def digest(inode, segments) -> str:
    """reference.digest_pages, with reads that can wait: asked for first, given afterwards."""
    wanted = []
    reference.digest_pages(segments, lambda at, n: wanted.append((at, n)) or bytes(min(n, max(0, inode.size - at))))
    answers = {request: await inode.read(*request) for request in wanted}
    return reference.digest_pages(segments, lambda at, n: answers[at, n])


async def image_facts(fs) -> dict[bytes, dict]:
    found, todo = {}, [(b"", fs.root)]
    while todo:
        path, inode = todo.pop()
        found[path] = await fact(inode)
        if inode.is_dir:
            for entry in await inode.readdir():
                child = await inode.lookup(entry.name)
                assert child.ino == entry.ino
                if fs.volume.superblock.incompat & 2:
                    assert entry.type == child.dtype
                if entry.name not in reference.HIDDEN:
                    todo.append((path + b"/" + entry.name, child))
    return found


def read_image(image: Path) -> tuple[dict, tuple]:
    async def main():
        fs = await Ext4.mount(FileDevice(image))
        st = await fs.statfs()
        return await image_facts(fs), (st.bsize, st.blocks, st.bfree, st.bavail, st.files, st.ffree, st.namelen)
    return asyncio.run(main())
