"""The ext4 reader against images that mke2fs and the kernel made: the source tree, a real mount and debugfs are the judges."""

import asyncio
import os
import pickle
import random
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import ext4_reference as reference
import pytest

from webvm.block.device import BytesDevice, FileDevice
from webvm.fs.ext4 import BadImage, Corrupt, Ext4
from webvm.fs.ext4.checksum import crc16, crc32c
from webvm.fs.ext4.dirhash import dirhash
from webvm.linux.errno import ENOENT, ENXIO, Errno

os.environ["PATH"] += ":/usr/sbin:/sbin"
if not shutil.which("mke2fs") or not shutil.which("debugfs"):
    pytest.skip("e2fsprogs is not installed (mke2fs, debugfs)", allow_module_level=True)

KERNEL_KEYS = "mode uid gid nlink size rdev blocks blksize ino atime mtime ctime xattrs target data digest names".split()
SOURCE_KEYS = "mode uid gid nlink size rdev xattrs target digest names".split()

# fmt: off
FORMATS = (
    # name             mke2fs arguments                                                  megabytes
    ("default",        "-t ext4",                                                        24),
    ("1k",             "-t ext4 -b 1024",                                                24),
    ("2k",             "-t ext4 -b 2048",                                                24),
    ("4k",             "-t ext4 -b 4096",                                                24),
    ("64k",            "-t ext4 -b 65536 -N 2000",                                       256),
    ("ext2",           "-t ext2 -b 1024",                                                24),
    ("ext2_4k",        "-t ext2 -b 4096",                                                24),
    ("ext3",           "-t ext3 -b 2048",                                                24),
    ("revision_0",     "-t ext2 -r 0 -b 1024 -O none",                                   24),
    ("no_extents",     "-t ext4 -b 1024 -O ^extents,^64bit",                             24),
    ("no_extents_4k",  "-t ext4 -b 4096 -O ^extents,^64bit",                             24),
    ("no_csum",        "-t ext4 -b 4096 -O ^metadata_csum",                              24),
    ("gdt_csum",       "-t ext4 -b 1024 -g 1024 -O ^metadata_csum,uninit_bg",            24),
    ("gdt_csum_32",    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,^64bit",             24),
    ("no_64bit",       "-t ext4 -b 4096 -O ^64bit",                                      24),
    ("csum_seed",      "-t ext4 -b 1024 -O metadata_csum_seed",                          24),
    ("inline",         "-t ext4 -b 1024 -I 256 -O inline_data",                          24),
    ("inline_1024",    "-t ext4 -b 4096 -I 1024 -O inline_data",                         24),
    ("inline_no_csum", "-t ext4 -b 4096 -I 256 -O inline_data,^metadata_csum,^dir_index", 24),
    ("inode_128",      "-t ext4 -b 4096 -I 128",                                         24),
    ("inode_512",      "-t ext4 -b 2048 -I 512",                                         24),
    ("no_dir_index",   "-t ext4 -b 1024 -O ^dir_index",                                  24),
    ("no_flex_bg",     "-t ext4 -b 1024 -g 2048 -O ^flex_bg",                            24),
    ("meta_bg",        "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode",                24),
    ("meta_bg_32",     "-t ext4 -b 1024 -g 256 -O meta_bg,^resize_inode,^64bit,^flex_bg", 24),
    ("sparse_super2",  "-t ext4 -b 1024 -g 1024 -O sparse_super2,^resize_inode",         24),
    ("no_sparse",      "-t ext2 -b 1024 -g 1024 -O ^sparse_super,^resize_inode",          24),
    ("no_filetype",    "-t ext4 -b 1024 -O ^filetype",                                   24),
    ("bigalloc",       "-t ext4 -b 1024 -C 8192 -O bigalloc",                            48),
    ("bigalloc_4k",    "-t ext4 -b 4096 -C 65536 -O bigalloc",                           96),
    ("ea_inode",       "-t ext4 -b 1024 -O ea_inode",                                    24),
    ("large_dir",      "-t ext4 -b 1024 -O large_dir",                                   24),
    ("plain",          "-t ext4 -b 1024 -O ^huge_file,^extra_isize,^dir_nlink,^large_file", 24),
    ("others",         "-t ext4 -b 4096 -O encrypt,verity,mmp,project,quota,orphan_file", 24),
    ("no_journal",     "-t ext4 -b 4096 -O ^has_journal",                                24),
)
# fmt: on


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


@pytest.fixture(scope="session")
def can_mount(tmp_path_factory) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("NOT ROOT: NOTHING IS COMPARED WITH A REAL MOUNT")
    mounted("facts", mke2fs(tmp_path_factory.mktemp("probe") / "probe.img", "-t ext4", 1))


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    if os.geteuid():
        pytest.skip("the source tree has device nodes and owners: needs root")
    root = tmp_path_factory.mktemp("tree")
    reference.build(os.fsencode(root))
    return root


@pytest.fixture(scope="session")
def tree_facts(tree) -> dict[bytes, dict]:
    return reference.facts(os.fsencode(tree))


@pytest.fixture(scope="session")
def default_image(tree, tmp_path_factory) -> Path:
    """1 KiB blocks, a thousand files, an indexed directory: everything small enough to look at closely."""
    image = mke2fs(tmp_path_factory.mktemp("default") / "image", "-t ext4 -b 1024 -I 256", 24, tree)
    subprocess.run(["e2fsck", "-fyD", str(image)], capture_output=True)
    return image


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
                assert error.number == ENXIO
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


def assert_same(found: dict, expected: dict, keys) -> None:
    assert set(found) == set(expected)
    for path, facts in expected.items():
        for key in keys:
            # The size of a directory is its file system's affair.
            if key in facts and not (key == "size" and "ino" not in keys and "names" in facts):
                assert found[path][key] == facts[key], (path, key)


@pytest.fixture(scope="module", params=FORMATS, ids=[row[0] for row in FORMATS])
def image(request, tree, tmp_path_factory) -> Path:
    name, arguments, megabytes = request.param
    image = mke2fs(tmp_path_factory.mktemp(name) / "image", arguments, megabytes, tree)
    yield image
    image.unlink()


@pytest.fixture
def source_keys(image) -> list[str]:
    """mke2fs copies no extended attributes to a file system of revision 0."""
    old = "Filesystem revision #:    0" in debugfs(image, "show_super_stats -h")
    return [key for key in SOURCE_KEYS if not (old and key == "xattrs")]


def kernel_facts(image: Path) -> tuple[dict, tuple]:
    return pickle.loads(mounted("facts", image))


def test_a_tree_reads_back_as_it_was(image, tree_facts, source_keys):
    found, _ = read_image(image)
    assert found[b""].pop("names") == sorted([*tree_facts[b""]["names"], b"lost+found"])
    assert_same(found, {**tree_facts, b"": {}}, source_keys)


def test_the_kernel_sees_the_same(image, can_mount):
    expected, expected_statfs = kernel_facts(image)
    found, found_statfs = read_image(image)
    assert_same(found, expected, KERNEL_KEYS)
    assert found_statfs == expected_statfs


def test_the_kernel_sees_the_same_in_what_it_wrote_itself(image, can_mount, tmp_path):
    run("cp", "--sparse=always", str(image), str(tmp_path / "copy"))
    image = tmp_path / "copy"
    mounted("change", image)
    expected, expected_statfs = kernel_facts(image)
    found, found_statfs = read_image(image)
    assert_same(found, expected, KERNEL_KEYS)
    assert found_statfs == expected_statfs
