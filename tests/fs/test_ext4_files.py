"""Reading file content and extended attributes out of ext4 images; checksums; how little is read from the device."""

import asyncio
import gc
import os
import random

import pytest
from ext4_images import Counting, debugfs, mke2fs

from webvm.block.device import FileDevice
from webvm.fs.ext4 import Corrupt, Ext4
from webvm.fs.ext4.checksum import crc16, crc32c
from webvm.linux.errno import EINVAL, EISDIR, ENODATA, ENXIO, EROFS, Errno

FORMATS = "-t ext4 -b 1024", "-t ext4 -b 4096", "-t ext2 -b 1024", "-t ext2 -b 4096", "-t ext4 -b 1024 -O inline_data -I 256"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    rng = random.Random(6)
    root = tmp_path_factory.mktemp("tree")
    (root / "dense").write_bytes(rng.randbytes(600_000))
    with open(root / "sparse", "wb") as file:
        for _ in range(150):
            file.seek(rng.randrange(3_000_000))
            file.write(rng.randbytes(rng.randrange(1, 9000)))
    for size in 0, 1, 60, 61, 130:
        (root / f"tiny{size}").write_bytes(rng.randbytes(size))
    return root


@pytest.fixture(scope="module")
def image(tree, tmp_path_factory):
    return mke2fs(tmp_path_factory.mktemp("image") / "image", "-t ext4 -b 4096 -I 256 -U 01020304-0506-0708-090a-0b0c0d0e0f10 -L hello", 16, tree)


@pytest.mark.parametrize("arguments", FORMATS)
def test_any_piece_of_a_file_reads_as_it_was_written(arguments, tree, tmp_path):
    image = mke2fs(tmp_path / "image", arguments, 16, tree)

    async def main():
        rng = random.Random(7)
        fs = await Ext4.mount(FileDevice(image))
        for path in tree.iterdir():
            data = path.read_bytes()
            inode = await fs.root.lookup(path.name.encode())
            assert await inode.read(0, len(data) + 1) == data
            assert await inode.read(len(data), 1) == await inode.read(len(data) + 5000, 10) == await inode.read(0, 0) == b""
            for _ in range(200):
                at, n = rng.randrange(len(data) + 10), rng.choice((1, 100, 1024, 4096, 70_000))
                assert await inode.read(at, n) == data[at:at + n]
    asyncio.run(main())


def test_a_block_map_is_read_to_its_end(tmp_path):
    """Triple indirect blocks of 4 KiB: a file of 4 TiB and a bit, whose end is a hole."""
    (tmp_path / "tree").mkdir()
    size = (12 + 1024 + 1024 ** 2 + 1024 ** 3) * 4096
    spots = 0, 11 * 4096, 12 * 4096, 1035 * 4096, 1036 * 4096, (1036 + 1024 ** 2 - 1) * 4096, (1036 + 1024 ** 2) * 4096
    with open(tmp_path / "tree/huge", "wb") as file:
        for at in spots:
            file.seek(at)
            file.write(b"spot %d" % at)
    image = mke2fs(tmp_path / "image", "-t ext4 -b 4096 -O ^extents,^64bit,^metadata_csum", 16, tmp_path / "tree")
    debugfs(image, f"set_inode_field /huge size {size}", writable=True)

    async def main():
        fs = await Ext4.mount(FileDevice(image))
        inode = await fs.root.lookup(b"huge")
        assert inode.size == size
        for at in spots:
            text = b"spot %d" % at
            assert await inode.read(at - min(at, 10), 10 + len(text) + 10) == bytes(min(at, 10)) + text + bytes(20 - min(at, 10))
            assert await inode.seek_data(at, False) == at
        assert await inode.read(size - 10, 20) == bytes(10)
        assert await inode.seek_data(spots[-1], True) == spots[-1] + 4096
        with pytest.raises(Errno) as error:
            await inode.seek_data(spots[-1] + 4096, False)
        assert error.value.number == ENXIO
    asyncio.run(main())


def test_what_identifies_an_image_is_known_after_mounting(image):
    async def main():
        fs = await Ext4.mount(FileDevice(image))
        assert fs.uuid.hex() == "0102030405060708090a0b0c0d0e0f10"
        assert fs.volume_name == b"hello"
        assert fs.total_size == 16 << 20
        assert abs(fs.write_time - os.stat(image).st_mtime) < 10
        assert fs.warnings == []
    asyncio.run(main())


def test_nothing_can_be_written(image):
    async def main():
        fs = await Ext4.mount(FileDevice(image))
        file = await fs.root.lookup(b"dense")
        for change in (
                file.write(0, b"x"), file.truncate(0), file.setattr(mode=0), file.setxattr(b"user.x", b""), fs.root.unlink(b"dense"),
                fs.root.create(b"new", 0o644, 0, 0), fs.root.mkdir(b"new", 0o755, 0, 0), fs.root.rename(b"dense", fs.root, b"x")):
            with pytest.raises(Errno) as error:
                await change
            assert error.value.number == EROFS
    asyncio.run(main())


def test_what_a_file_is_not_fails_as_linux_does(image):
    async def main():
        fs = await Ext4.mount(FileDevice(image))
        file = await fs.root.lookup(b"dense")
        for wrong, number in (fs.root.read(0, 1), EISDIR), (file.readlink(), EINVAL), (file.getxattr(b"user.none"), ENODATA):
            with pytest.raises(Errno) as error:
                await wrong
            assert error.value.number == number
    asyncio.run(main())


def test_mounting_reads_the_superblock_and_the_root_inode_only(image):
    async def main():
        device = Counting(FileDevice(image))
        await Ext4.mount(device)
        assert len(device.reads) == 3                       # superblock, group descriptor, inode table
        assert sum(length for _, length in device.reads) <= 1024 + 2 * 4096
    asyncio.run(main())


def test_a_contiguous_file_is_read_in_one_piece_and_metadata_once(image):
    async def main():
        device = Counting(FileDevice(image))
        fs = await Ext4.mount(device)
        inode = await fs.root.lookup(b"dense")
        device.reads.clear()
        assert len(await inode.read(5000, 590_000)) == 590_000
        assert len(device.reads) <= 2
        device.reads.clear()
        await fs.root.lookup(b"dense")
        await fs.root.readdir()
        assert device.reads == []
    asyncio.run(main())


def test_the_same_inode_is_one_object_even_after_the_cache_forgot_it(image):
    async def main():
        fs = await Ext4.mount(FileDevice(image))
        inode = await fs.root.lookup(b"dense")
        fs._recent.clear()
        assert await fs.root.lookup(b"dense") is inode
        ino = inode.ino
        fs._recent.clear()
        del inode
        gc.collect()
        assert ino not in fs._inodes
    asyncio.run(main())


def test_two_tasks_that_look_up_a_name_at_once_get_one_inode(image):
    class Slow(Counting):
        async def read(self, offset, length):
            await asyncio.sleep(0)
            return await super().read(offset, length)

    async def main():
        fs = await Ext4.mount(Slow(FileDevice(image)))
        first, second = await asyncio.gather(fs.root.lookup(b"dense"), fs.root.lookup(b"dense"))
        assert first is second
    asyncio.run(main())


def test_checksums_are_those_of_the_standard():
    assert crc32c(0xFFFFFFFF, b"123456789") ^ 0xFFFFFFFF == 0xE3069283      # RFC 3720 B.4 and the usual check value
    assert crc32c(0xFFFFFFFF, bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA
    assert crc32c(0xFFFFFFFF, bytes(range(32))) ^ 0xFFFFFFFF == 0x46DD794E
    assert crc32c(crc32c(5, b"ab"), b"cdefghi") == crc32c(5, b"abcdefghi")
    rng = random.Random(9)
    for length in (0, 1, 3, 4, 5, 255, 511, 512, 513, 515, 1012, 1020, 1024, 4084, 4096, 65524, 70_001):
        data = rng.randbytes(length)
        crc = 7
        for byte in data:               # the definition
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        assert crc32c(7, data) == crc, length
    assert crc16(0, b"123456789") == 0xBB3D                                  # CRC-16/ARC


def test_an_attribute_in_an_inode_of_its_own_is_checked(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"")
    value = random.Random(8).randbytes(3000)
    os.setxattr(tmp_path / "tree/file", "user.big", value)
    image = mke2fs(tmp_path / "image", "-t ext4 -b 1024 -O ea_inode,^metadata_csum,^has_journal", 2, tmp_path / "tree")
    data = image.read_bytes()
    assert data.count(value[:1024]) == 1

    async def main(image):
        fs = await Ext4.mount(FileDevice(image))
        inode = await fs.root.lookup(b"file")
        assert await inode.listxattr() == [b"user.big"]
        return await inode.getxattr(b"user.big")
    assert asyncio.run(main(image)) == value
    at = data.index(value[:1024]) + 100
    image.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    with pytest.raises(Corrupt, match="hash is wrong"):
        asyncio.run(main(image))
