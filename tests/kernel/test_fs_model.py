"""Our file systems against the real kernel's: the same random operations, the same answers, errors included."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from tests.fake_task import FakeTask
from tests.kernel.fs_model import GROUP, OWNERS, TREE, USER, program, run_on_linux, run_on_webvm
from webvm.fs.hostfs import HostFs
from webvm.fs.overlay import Overlay
from webvm.fs.tmpfs import Tmpfs

ROOT = os.getuid() == 0
ON_TMPFS = os.access("/dev/shm", os.W_OK)
PROTECTED = {name: Path("/proc/sys/fs/protected_" + name) for name in ("regular", "fifos", "hardlinks")}
USUAL = [int(p.read_text()) if p.exists() else 0 for p in PROTECTED.values()] == [0, 0, 1]


async def fill(fs):
    for path, content in TREE:
        *parents, name = path.encode().split(b"/")
        at = fs.root
        for parent in parents:
            at = await at.lookup(parent)
        if content is None:
            await at.mkdir(name, 0o755, os.getuid(), os.getgid())
        elif isinstance(content, str):
            await at.symlink(name, content.encode(), os.getuid(), os.getgid())
        else:
            inode = await at.create(name, 0o644, os.getuid(), os.getgid())
            await inode.write(0, content)
    await fs.root.setattr(mode=0o755, uid=os.getuid(), gid=os.getgid())


def fill_real(directory):
    for path, content in TREE:
        full = os.path.join(directory, path)
        if content is None:
            os.mkdir(full, 0o755)
        elif isinstance(content, str):
            os.symlink(content, full)
        else:
            with open(full, "wb") as file:
                file.write(content)
            os.chmod(full, 0o644)


async def tmpfs(directory):
    fs = Tmpfs()
    await fill(fs)
    return fs


async def overlay(directory):
    lower = Tmpfs()
    await fill(lower)
    lower.read_only = True
    return Overlay(lower)


async def hostfs(directory):
    fill_real(directory)
    return HostFs(directory, read_only=False)


@pytest.mark.skipif(not ON_TMPFS, reason="needs a tmpfs to compare with")
@pytest.mark.parametrize("make", [tmpfs, overlay, hostfs])
@pytest.mark.parametrize("seed", range(int(os.environ.get("WEBVM_SEED", 1)), int(os.environ.get("WEBVM_SEED", 1)) + 20))
def test_random_operations_answer_as_linux_does(make, seed):
    ops = list(program(seed, 150, dots=ROOT))
    if make is hostfs:  # cannot exchange, nor punch holes
        ops = [op for op in ops if (op[0], op[3:4]) not in (("rename", (2,)), ("rename", (1,))) and op[0] != "fallocate"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        os.chmod(directory, 0o755)
        fill_real(directory)
        expected = run_on_linux(directory, ops, chroot=ROOT)

    async def ours(directory):
        return await run_on_webvm(FakeTask(await make(directory), os.getuid(), os.getgid()), ops)

    umask = os.umask(0o022)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        os.chmod(directory, 0o755)
        got = asyncio.run(ours(directory))
    os.umask(umask)
    for at, (op, want, have) in enumerate(zip(ops, expected, got)):
        assert have == want, f"seed {seed}, step {at}: {op}"


@pytest.mark.skipif(not ON_TMPFS or not ROOT or not USUAL, reason="needs root, a tmpfs, and fs.protected_* as ours are")
@pytest.mark.parametrize("make", [tmpfs, overlay])
@pytest.mark.parametrize("seed", range(int(os.environ.get("WEBVM_SEED", 1)), int(os.environ.get("WEBVM_SEED", 1)) + 20))
def test_an_ordinary_user_is_refused_what_linux_refuses(make, seed):
    ops = list(program(seed, 200, dots=True))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        fill_real(directory)
        for path, (uid, gid, mode) in OWNERS.items():
            os.chown(os.path.join(directory, path), uid, gid)
            os.chmod(os.path.join(directory, path), mode)
        expected = run_on_linux(directory, ops, chroot=True, user=True)

    async def ours():
        fs = await make(None)
        for path, (uid, gid, mode) in OWNERS.items():
            inode = fs.root
            for name in path.encode().split(b"/") if path else ():
                inode = await inode.lookup(name)
            await inode.setattr(mode=mode, uid=uid, gid=gid)
        return await run_on_webvm(FakeTask(fs, USER, USER, (GROUP,)), ops)

    got = asyncio.run(ours())
    for at, (op, want, have) in enumerate(zip(ops, expected, got)):
        assert have == want, f"seed {seed}, step {at}: {op}"
