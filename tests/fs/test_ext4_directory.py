"""Directory indexes of the ext4 reader, judged by debugfs and e2fsck; how little a look-up reads."""

import asyncio
import os
import random
import re
import struct
import subprocess

import pytest
from ext4_images import Counting, debugfs, mke2fs, run

from webvm.block.device import BytesDevice, FileDevice
from webvm.fs.ext4 import Corrupt, Ext4
from webvm.fs.ext4.dirhash import dirhash
from webvm.linux.errno import ENAMETOOLONG, ENOENT, ENOTDIR, Errno

SEED = "01020304-0506-0708-090a-0b0c0d0e0f10"
ENTRIES = 3000


def name_of(number: int) -> bytes:
    """Long enough for two levels of index over 1 KiB blocks; some bytes above 127, which is where signed and unsigned differ."""
    return b"%d-" % number + (b"\xe9" if number % 3 else b"z") * (100 + number % 50)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    root = tmp_path_factory.mktemp("crowd")
    first = os.fsencode(root) + b"/" + name_of(0)
    open(first, "wb").close()
    for number in range(1, ENTRIES):
        os.link(first, os.fsencode(root) + b"/" + name_of(number))
    return root


@pytest.fixture(scope="module")
def crowded(crowd, tmp_path_factory):
    """An image whose root directory has all the names, not indexed yet."""
    return mke2fs(tmp_path_factory.mktemp("crowded") / "image", f"-t ext4 -b 1024 -O ^metadata_csum,^has_journal -E hash_seed={SEED}", 4, crowd)


def index(image, hash_version: str = "half_md4", s_flags: int = 1) -> None:
    debugfs(image, f"set_super_value def_hash_version {hash_version}", f"set_super_value flags {s_flags}", writable=True)
    done = subprocess.run(["e2fsck", "-fyD", str(image)], capture_output=True)
    assert done.returncode <= 1, done.stdout


def copy(image, tmp_path):
    run("cp", "--sparse=always", str(image), str(tmp_path / "image"))
    return tmp_path / "image"


def block_of(image, number: int) -> int:
    """The device block of a block of the root directory."""
    return int(debugfs(image, f"bmap / {number}").split()[-1])


def index_nodes(image, data: bytes) -> list[int]:
    """Where in the image the entries of the nodes below the root of the index are."""
    root = block_of(image, 0) * 1024 + 32
    _, count = struct.unpack_from("<HH", data, root)
    return [block_of(image, struct.unpack_from("<I", data, root + entry * 8 + 4)[0]) * 1024 + 8 for entry in range(count)]


async def find_all(device, step: int = 1):
    fs = await Ext4.mount(device)
    for number in range(0, ENTRIES, step):
        assert (await fs.root.lookup(name_of(number))).nlink == ENTRIES
    for number in range(0, ENTRIES, 37):
        with pytest.raises(Errno) as error:
            await fs.root.lookup(name_of(number) + b"!")
        assert error.value.number == ENOENT


@pytest.mark.parametrize("version", range(6))
def test_hashes_are_those_of_e2fsprogs(version, crowded):
    rng = random.Random(version)
    names = [bytes(rng.choices(b"abcXYZ09._\x80\x9f\xe9\xff", k=length)) for length in (1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 64, 100, 255)]
    script = b"\n".join(b"dx_hash -h %d -s %s %s" % (version, SEED.encode(), name) for name in names)
    out = subprocess.run(["debugfs", "-f", "-", str(crowded)], input=script, capture_output=True).stdout
    expected = [int(value, 16) & ~1 for value in re.findall(rb" is 0x([0-9a-f]+) \(minor", out)]
    assert [dirhash(name, version, bytes.fromhex(SEED.replace("-", ""))) for name in names] == expected


@pytest.mark.parametrize("s_flags", (1, 2), ids=("signed", "unsigned"))
@pytest.mark.parametrize("hash_version", ("legacy", "half_md4", "tea"))
def test_names_are_found_through_the_index_without_reading_the_directory(hash_version, s_flags, crowded, tmp_path, caplog):
    image = copy(crowded, tmp_path)
    index(image, hash_version, s_flags)
    dump = debugfs(image, "htree_dump /")
    number = ("legacy", "half_md4", "tea").index(hash_version)
    assert f"Hash Version: {number}" in dump and "Indirect levels: 1" in dump
    asyncio.run(find_all(FileDevice(image), step=7))

    async def main():
        device = Counting(FileDevice(image))
        fs = await Ext4.mount(device)
        device.reads.clear()
        await fs.root.lookup(name_of(1234))
        return device.reads
    assert len(asyncio.run(main())) <= 4        # root of the index, node, leaf, inode
    assert not caplog.records


def test_a_name_is_found_in_the_next_block_when_its_hash_goes_on_there(crowded, tmp_path):
    image = copy(crowded, tmp_path)
    index(image)
    data = bytearray(image.read_bytes())
    changed = 0
    for node in index_nodes(image, data):
        _, count = struct.unpack_from("<HH", data, node)
        for entry in range(1, count):           # each block's first hash h becomes h | 1: "continued from the block before"
            value, = struct.unpack_from("<I", data, node + entry * 8)
            struct.pack_into("<I", data, node + entry * 8, value | 1)
            changed += not value & 1
    assert changed > 50
    asyncio.run(find_all(BytesDevice(bytes(data))))


@pytest.mark.parametrize("offset, value", ((28, 6), (28, 77), (30, 9), (31, 1), (34, 0), (34, 60000)),
                         ids=("siphash", "unknown hash", "too deep", "unknown flag", "no entries", "too many"))
def test_an_index_that_cannot_be_used_leaves_the_linear_search(offset, value, crowded, tmp_path, caplog):
    image = copy(crowded, tmp_path)
    index(image)
    data = bytearray(image.read_bytes())
    root = block_of(image, 0) * 1024
    data[root + offset:root + offset + (2 if offset == 34 else 1)] = value.to_bytes(2 if offset == 34 else 1, "little")
    asyncio.run(find_all(BytesDevice(bytes(data)), step=100))
    assert "searching the whole directory" in caplog.text


def test_an_index_whose_every_block_says_it_goes_on_does_not_hang(crowded, tmp_path):
    image = copy(crowded, tmp_path)
    index(image)
    data = bytearray(image.read_bytes())
    version, seed = 1, bytes.fromhex(SEED.replace("-", ""))
    wanted = dirhash(b"missing", version, seed)
    root = block_of(image, 0) * 1024 + 32
    some_node, = struct.unpack_from("<I", data, root + 12)
    for at, target in [(root, some_node), *((node, 3) for node in index_nodes(image, data))]:
        limit, = struct.unpack_from("<H", data, at)
        struct.pack_into("<H", data, at + 2, limit)
        for entry in range(1, limit):
            struct.pack_into("<II", data, at + entry * 8, wanted | 1, target)

    async def main():
        fs = await Ext4.mount(BytesDevice(bytes(data)))
        with pytest.raises(Corrupt, match="circle"):
            await fs.root.lookup(b"missing")
    asyncio.run(main())


def test_listing_reads_the_directory_in_large_pieces(crowded, tmp_path):
    image = copy(crowded, tmp_path)
    index(image)

    async def main():
        device = Counting(FileDevice(image))
        fs = await Ext4.mount(device)
        device.reads.clear()
        entries = await fs.root.readdir()
        assert sorted(entry.name for entry in entries) == sorted([b"lost+found", *map(name_of, range(ENTRIES))])
        size = fs.root.size
        assert len(device.reads) <= 16
        assert sum(length for _, length in device.reads) == size
    asyncio.run(main())


def test_names_too_long_and_lookups_in_files_fail_as_they_should(crowded):
    async def main():
        fs = await Ext4.mount(FileDevice(crowded))
        file = await fs.root.lookup(name_of(5))
        for directory, name, number in (fs.root, b"x" * 256, ENAMETOOLONG), (file, b"x", ENOTDIR):
            with pytest.raises(Errno) as error:
                await directory.lookup(name)
            assert error.value.number == number
        with pytest.raises(Errno) as error:
            await file.readdir()
        assert error.value.number == ENOTDIR
        assert file is await fs.root.lookup(name_of(6))     # hard links are one inode
    asyncio.run(main())
