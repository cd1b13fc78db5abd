"""The host's directory as a file system: nothing outside is reached, nothing is changed unless allowed."""

import asyncio
import os

import pytest
from tests.fake_task import FakeTask
from webvm.fs.hostfs import HostFs
from webvm.fs.tmpfs import Tmpfs
from webvm.kernel.filesystems import mount_at
from webvm.linux.errno import Errno
from webvm.linux.fcntl import O_CREAT, O_RDWR, O_WRONLY


@pytest.fixture
def host(tmp_path):
    (tmp_path / "secret").write_text("secret")
    shared = tmp_path / "shared"
    (shared / "sub").mkdir(parents=True)
    (shared / "file").write_bytes(b"of the host")
    (shared / "out").symlink_to(tmp_path / "secret")
    (shared / "sub" / "up").symlink_to("../../secret")
    (shared / "dir").symlink_to(tmp_path)
    return shared


def run(host, program, read_only=True):
    async def main():
        task = FakeTask(Tmpfs(mode=0o755))
        fs = HostFs(host, read_only)
        await mount_at(task.kernel.mounts, b"/host", fs, read_only)
        return await program(task)

    return asyncio.run(main())


def refused(coroutine):
    async def attempt():
        try:
            await coroutine
        except Errno as error:
            return error.name
        return None

    return attempt()


def test_files_are_read(host):
    async def program(task):
        return await task.read(await task.open(b"/host/file"), 100), sorted(await task.names(b"/host"))

    assert run(host, program) == (b"of the host", [b".", b"..", b"dir", b"file", b"out", b"sub"])


@pytest.mark.parametrize("path", [b"/host/out", b"/host/sub/up", b"/host/dir/secret", b"/host/../secret", b"/host/sub/../../secret"])
def test_no_link_leads_out(host, path):
    async def program(task):
        return await refused(task.open(path))

    assert run(host, program) == "ENOENT"


def test_a_directory_swapped_for_a_link_is_not_followed(host):
    async def program(task):
        directory = await task.open(b"/host/sub", 0o200000)
        (host / "sub" / "up").unlink()
        (host / "sub").rmdir()
        (host / "sub").symlink_to(host.parent)
        return await refused(task("openat", directory, b"secret", 0, 0))

    assert run(host, program) in ("ENOTDIR", "ELOOP")


@pytest.mark.parametrize("call", [
    ("open", b"/host/new", O_WRONLY | O_CREAT, 0o644), ("open", b"/host/file", O_RDWR, 0), ("unlink", b"/host/file"),
    ("mkdir", b"/host/d", 0o755), ("rename", b"/host/file", b"/host/f2"), ("chmod", b"/host/file", 0o600),
    ("truncate", b"/host/file", 0), ("symlink", b"x", b"/host/l"), ("utimensat", -100, b"/host/file", 0, 0),
])  # fmt: skip
def test_nothing_is_written_unless_allowed(host, call):
    before = sorted(os.listdir(host)), os.stat(host / "file")

    async def program(task):
        return await refused(task(*call))

    assert run(host, program) == "EROFS"
    assert (sorted(os.listdir(host)), os.stat(host / "file")) == before


def test_what_is_written_is_on_the_host(host):
    async def program(task):
        fd = await task.open(b"/host/sub/new", O_RDWR | O_CREAT, 0o640)
        await task.write(fd, b"from the guest")
        await task("rename", b"/host/sub/new", b"/host/moved")

    run(host, program, read_only=False)
    assert (host / "moved").read_bytes() == b"from the guest" and (host / "moved").stat().st_mode & 0o777 == 0o640


def test_changes_on_the_host_are_seen_at_once(host):
    async def program(task):
        fd = await task.open(b"/host/file")
        (host / "file").write_bytes(b"longer than before")
        (host / "other").write_bytes(b"x")
        return await task.read(fd, 100), (await task.stat(b"/host/other"))["size"]

    assert run(host, program) == (b"longer than before", 1)
