"""Images that are damaged, hostile or something else: a typed error, never a hang, never a wrong byte."""

import asyncio
import os
import random
import signal
import struct
import subprocess
import time

import pytest
from ext4_images import Counting, debugfs, fact, mke2fs

from webvm.block.device import BytesDevice
from webvm.fs.ext4 import BadImage, Corrupt, Ext4
from webvm.linux.errno import ENOKEY, EUCLEAN, Errno

SECONDS = 3         # of fuzzing, in each of two tests


def mount(data: bytes) -> Ext4:
    return asyncio.run(Ext4.mount(BytesDevice(bytes(data))))


def image_of(folder, arguments: str, tree, megabytes: int = 2) -> bytearray:
    return bytearray(mke2fs(folder / "image", arguments, megabytes, tree).read_bytes())


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory):
    """A file of each kind of metadata."""
    root = tmp_path_factory.mktemp("small")
    (root / "short").write_bytes(b"short")
    (root / "long").write_bytes(bytes(range(256)) * 40)
    with open(root / "comb", "wb") as file:         # more extents than an inode holds
        for number in range(40):
            file.seek(number * 8192)
            file.write(b"%d" % number)
    (root / "link").symlink_to("short")
    (root / "longer").symlink_to("x" * 100)
    (root / "sub").mkdir()
    for number in range(60):
        os.link(root / "short", root / "sub" / f"entry number {number} with a long name")
    os.setxattr(root / "short", "user.a", b"value")
    os.setxattr(root / "short", "user.b", bytes(300))
    return root


@pytest.fixture(scope="module")
def plain(small_tree, tmp_path_factory) -> bytes:
    return bytes(image_of(tmp_path_factory.mktemp("plain"), "-t ext4 -b 1024 -O ^metadata_csum,^has_journal", small_tree))


@pytest.fixture(scope="module")
def summed(small_tree, tmp_path_factory) -> bytes:
    """With checksums and an indexed directory."""
    folder = tmp_path_factory.mktemp("summed")
    image_of(folder, "-t ext4 -b 1024 -O metadata_csum,^has_journal", small_tree)
    subprocess.run(["e2fsck", "-fyD", str(folder / "image")], capture_output=True)
    return (folder / "image").read_bytes()


def patched(data: bytes, *changes: tuple[int, str, int]) -> bytes:
    data = bytearray(data)
    for offset, code, value in changes:
        struct.pack_into("<" + code, data, offset, value)
    return bytes(data)


# What is not an ext4 image

# fmt: off
REFUSED = (
    # change to the image                                                    what the sentence says
    (lambda image: b"",                                                      "0 bytes cannot hold a superblock"),
    (lambda image: image[:1500],                                             "1500 bytes cannot hold a superblock"),
    (lambda image: bytes(len(image)),                                        "all zero"),
    (lambda image: image[:1 << 20],                                          "truncated: .* has 2097152 bytes, the image 1048576"),
    (lambda image: image[:-1],                                               "truncated"),
    (lambda image: b"\x1f\x8b" + bytes(5000),                                "gzip"),
    (lambda image: b"\xfd7zXZ\0" + bytes(5000),                              "xz"),
    (lambda image: b"<!DOCTYPE html>" + b" " * 5000,                         "HTML"),
    (lambda image: bytes(510) + b"\x55\xaa" + bytes(5000),                   "MBR"),
    (lambda image: bytes(510) + b"\x55\xaaEFI PART" + bytes(5000),           "GPT"),
    (lambda image: patched(image, (1080, "H", 0xEF52)),                      "magic number"),
    (lambda image: patched(image, (1024 + 0x18, "I", 30)),                   "block size"),
    (lambda image: patched(image, (1024 + 0x58, "H", 100)),                  "inode size 100"),
    (lambda image: patched(image, (1024 + 0x58, "H", 2048)),                 "inode size 2048"),
    (lambda image: patched(image, (1024 + 0x20, "I", 0)),                    "0 blocks in a group"),
    (lambda image: patched(image, (1024 + 0x28, "I", 0)),                    "0 inodes in a group"),
    (lambda image: patched(image, (1024 + 0x28, "I", 1 << 30)),              "inodes in a group"),
    (lambda image: patched(image, (1024 + 0x00, "I", 7)),                    "7 inodes in"),
    (lambda image: patched(image, (1024 + 0x14, "I", 99)),                   "first data block 99"),
    (lambda image: patched(image, (1024 + 0x04, "I", 0)),                    "first data block 1"),
    (lambda image: patched(image, (1024 + 0x04, "I", 0xFFFFFFFF)),           "damaged: 256 inodes in 524288 groups"),
    (lambda image: patched(image, (1024 + 0x150, "I", 0xFFFFFFFF)),          "damaged: 256 inodes in"),
    (lambda image: patched(image, (1024 + 0xFE, "H", 33)),                   "group descriptor size 33"),
    (lambda image: patched(image, (1024 + 0x54, "I", 0)),                    "first inode 0"),
    (lambda image: patched(image, (1024 + 0x4C, "I", 2)),                    "revision 2"),
    (lambda image: patched(image, (1024 + 0x60, "I", 0x2C3)),                "compression"),
    (lambda image: patched(image, (1024 + 0x60, "I", 0xCA)),                 "journal_dev"),
    (lambda image: patched(image, (1024 + 0x60, "I", 0x12C2)),               "dirdata"),
    (lambda image: patched(image, (1024 + 0x60, "I", 0x202C2)),              "casefold"),
    (lambda image: patched(image, (1024 + 0x60, "I", 0x802C2)),              "not known .bits 0x80000"),
    (lambda image: patched(image, (1024 + 0x64, "I", 0x400)),                "checksum type 0|checksum is wrong"),
    (lambda image: patched(image, (2048 + 8, "I", 0)),                       "no usable root .* outside"),
    (lambda image: patched(image, (2048 + 8, "I", 2000)),                    "no usable root"),
)
# fmt: on


@pytest.mark.parametrize("change, sentence", REFUSED, ids=[row[1] for row in REFUSED])
def test_what_cannot_be_mounted_is_refused_in_one_sentence(change, sentence, plain):
    with pytest.raises(BadImage, match=sentence) as error:
        mount(change(plain))
    assert "\n" not in str(error.value)


def test_a_root_that_is_no_directory_is_refused(plain, tmp_path):
    (tmp_path / "image").write_bytes(plain)
    debugfs(tmp_path / "image", "set_inode_field <2> mode 0100644", writable=True)
    with pytest.raises(BadImage, match="root directory"):
        mount((tmp_path / "image").read_bytes())


def test_a_wrong_superblock_checksum_is_refused(summed):
    with pytest.raises(BadImage, match="superblock's checksum"):
        mount(patched(summed, (1024 + 0x78, "B", 77)))


# What contradicts itself behind a good superblock

class Layout:
    """Where debugfs says things are."""

    def __init__(self, data: bytes, folder):
        self.image = folder / "layout"
        self.image.write_bytes(data)

    def inode(self, path: str) -> int:
        block, offset = (int(value, 0) for value in
                         debugfs(self.image, f"imap {path}").split("located at block ")[1].strip().split(", offset "))
        return block * 1024 + offset

    def block(self, path: str, number: int = 0) -> int:
        return int(debugfs(self.image, f"bmap {path} {number}").split()[-1]) * 1024


async def read_everything(data: bytes, path: bytes):
    fs = await Ext4.mount(BytesDevice(data))
    inode = fs.root
    for name in path.strip(b"/").split(b"/"):
        inode = await inode.lookup(name)
    if inode.is_dir:
        return await inode.readdir()
    for name in await inode.listxattr():
        await inode.getxattr(name)
    if inode.is_symlink:
        return await inode.readlink()
    return await inode.read(0, 1 << 20)


def assert_corrupt(data: bytes, path: bytes, sentence: str) -> None:
    with pytest.raises(Corrupt, match=sentence) as error:
        asyncio.run(read_everything(data, path))
    assert error.value.number == EUCLEAN


def test_each_checksum_is_checked(summed, tmp_path):
    at = Layout(summed, tmp_path)
    tree = struct.unpack_from("<I", summed, at.inode("/comb") + 0x28 + 12 + 4)[0] * 1024
    xattrs = struct.unpack_from("<I", summed, at.inode("/short") + 0x68)[0] * 1024
    assert xattrs
    for offset, path, sentence in (
            (at.inode("/long") + 0x10, b"/long", "inode .* checksum"),
            (at.inode("/long") + 0x9C, b"/long", "inode .* checksum"),
            (tree + 5 * 12 + 8, b"/comb", "extent node .* checksum"),
            (xattrs + 500, b"/short", "extended attribute block .* checksum"),
            (at.block("/sub", 0) + 40, b"/sub", "index block 0 .* checksum"),
            (at.block("/sub", 1) + 20, b"/sub", "directory block 1 .* checksum"),
            (at.block("/") + 60, b"/long", "directory block 0 .* checksum")):
        asyncio.run(read_everything(summed, path))
        assert_corrupt(patched(summed, (offset, "B", summed[offset] ^ 4)), path, sentence)


def test_a_wrong_group_descriptor_checksum_is_an_error(summed):
    with pytest.raises(BadImage, match="descriptor's checksum"):
        mount(patched(summed, (2048 + 0x0C, "H", 1)))


def test_directory_entries_that_cannot_be_are_errors(plain, tmp_path):
    entry = Layout(plain, tmp_path).block("/sub") + 24
    for change, sentence in (
            ((entry + 4, "H", 0), "length 0"), ((entry + 4, "H", 13), "length 13"), ((entry + 4, "H", 8), "length 8"),
            ((entry + 4, "H", 0xFFFC), "length 65532"), ((entry + 6, "B", 255), "name of 255"), ((entry, "I", 1 << 30), "cannot be"),
            ((entry + 6, "B", 0), "cannot be"), ((entry + 8, "B", 0x2F), "cannot be"), ((entry + 4, "H", 992), "too close")):
        assert_corrupt(patched(plain, change), b"/sub", sentence)


def test_directory_entries_for_inodes_not_in_use_are_errors(plain, tmp_path):
    at = Layout(plain, tmp_path)
    short = at.inode("/short")
    assert_corrupt(patched(plain, (short + 0x1A, "H", 0)), b"/short", "deleted")
    assert_corrupt(patched(plain, (short, "H", 0)), b"/short", "mode is 0")
    assert_corrupt(patched(plain, (short, "H", 0o070644)), b"/short", "mode")
    assert_corrupt(patched(plain, (short + 0x80, "H", 200)), b"/short", "i_extra_isize")
    assert_corrupt(patched(plain, (short + 0x80, "H", 3)), b"/short", "i_extra_isize")
    first = at.block("/sub") + 24
    name = plain[first + 8:first + 8 + plain[first + 6]]
    assert_corrupt(patched(plain, (first, "I", 7)), b"/sub/" + name, "reserved")


def test_wild_extents_are_errors(plain, tmp_path):
    at = Layout(plain, tmp_path)
    root = at.inode("/comb") + 0x28
    leaf = struct.unpack_from("<I", plain, root + 12 + 4)[0] * 1024
    index_entry, entry = root + 12, leaf + 12
    for change, sentence in (
            ((root, "H", 0), "no extent node"), ((root + 2, "H", 5), "5 entries of 4"), ((root + 6, "H", 6), "depth 6"),
            ((root + 6, "H", 2), "depth 0"), ((root + 4, "H", 9), "entries of 9"), ((root + 2, "H", 0), "0 entries"),
            ((index_entry + 4, "I", 1 << 30), "outside"), ((index_entry + 4, "I", 0), "outside"), ((index_entry + 8, "H", 9), "outside"),
            ((leaf, "H", 0), "no extent node"), ((leaf + 6, "H", 1), "depth 1"), ((leaf + 2, "H", 1000), "1000 entries"),
            ((entry + 4, "H", 0), "overlap"), ((entry + 4, "H", 32768), "outside"), ((entry + 8, "I", 1 << 30), "outside"),
            ((entry + 8, "I", 0), "outside"), ((entry + 12, "I", 0), "overlap")):
        assert_corrupt(patched(plain, change), b"/comb", sentence)


def test_an_extent_tree_that_leads_into_itself_is_an_error(plain, tmp_path):
    at = Layout(plain, tmp_path)
    root = at.inode("/comb") + 0x28
    leaf = struct.unpack_from("<I", plain, root + 12 + 4)[0]
    node = struct.pack("<HHHHI", 0xF30A, 1, 84, 1, 0) + struct.pack("<IIHH", 0, leaf, 0, 0)
    data = bytearray(patched(plain, (root + 6, "H", 2)))
    data[leaf * 1024:leaf * 1024 + len(node)] = node
    assert_corrupt(bytes(data), b"/comb", "depth 1")


def test_block_maps_that_lead_anywhere_are_errors(small_tree, tmp_path):
    data = bytes(image_of(tmp_path, "-t ext2 -b 1024", small_tree))
    root = Layout(data, tmp_path).inode("/comb") + 0x28
    for slot in 0, 12, 13:
        assert_corrupt(patched(data, (root + slot * 4, "I", 1 << 30)), b"/comb", "outside")
    double, = struct.unpack_from("<I", data, root + 13 * 4)
    itself = patched(data, *((double * 1024 + index * 4, "I", double) for index in range(256)))
    asyncio.run(asyncio.wait_for(read_everything(itself, b"/comb"), 60))         # nonsense, but inside the device and finite


def test_absurd_sizes_are_errors_or_zeros(plain, tmp_path):
    at = Layout(plain, tmp_path)
    long, sub, link = at.inode("/long"), at.inode("/sub"), at.inode("/longer")
    assert_corrupt(patched(plain, (long + 0x6C, "I", 1 << 31)), b"/long", "size")
    assert_corrupt(patched(plain, (sub + 0x04, "I", 1 << 31)), b"/sub", "size")
    assert_corrupt(patched(plain, (sub + 0x04, "I", 1000)), b"/sub", "size")
    assert_corrupt(patched(plain, (link + 0x04, "I", 1 << 31)), b"/longer", "symbolic link")

    async def main():
        fs = await Ext4.mount(BytesDevice(patched(plain, (long + 0x6C, "I", 1 << 29))))
        inode = await fs.root.lookup(b"long")
        assert await inode.read(1 << 50, 10000) == bytes(10000)
        assert await inode.seek_data(5000, True) == 10240
    asyncio.run(main())


def test_an_encrypted_file_needs_a_key(plain, tmp_path):
    at = Layout(plain, tmp_path)
    data = patched(plain, (1024 + 0x60, "I", 0x102C2), (at.inode("/long") + 0x20, "I", 0x80800), (at.inode("/sub") + 0x20, "I", 0x80800))
    for path in b"/long", b"/sub", b"/sub/x":
        with pytest.raises(Errno) as error:
            asyncio.run(read_everything(data, path))
        assert error.value.number == ENOKEY


# Random damage

def _alarm(signum, frame):
    raise AssertionError("reading the image takes for ever")


def metadata_of(data: bytes) -> list[int]:
    """The bytes that are read when the content of files is not."""
    async def main():
        device = Counting(BytesDevice(data))
        fs = await Ext4.mount(device)
        todo = [fs.root]
        while todo:
            inode = todo.pop()
            for name in await inode.listxattr():
                await inode.getxattr(name)
            if inode.is_dir:
                todo += [await inode.lookup(entry.name) for entry in await inode.readdir()]
            elif inode.is_reg and inode.size:
                try:
                    for offset in range(0, inode.size, 1024):
                        await inode.seek_data(offset, True)
                except Errno:
                    pass
        return device.reads
    return sorted({at for offset, length in asyncio.run(main()) for at in range(offset, offset + length)})


async def walk_damaged(data: bytes):
    """Everything that can still be read: path -> fact or None."""
    fs = await Ext4.mount(BytesDevice(data))
    found, todo = {}, [(b"", fs.root, 0)]
    while todo and len(found) < 500:
        path, inode, depth = todo.pop()
        try:
            if inode.is_reg and inode.size > 1 << 24:
                await inode.read(inode.size - 5000, 5000)
                await inode.read(0, 1 << 20)
                found[path] = None
            else:
                found[path] = await fact(inode)
            entries = await inode.readdir() if inode.is_dir and depth < 5 else ()
        except Errno:
            found[path] = None
            continue
        for entry in entries:
            try:
                todo.append((path + b"/" + entry.name, await inode.lookup(entry.name), depth + 1))
            except Errno:
                found[path + b"/" + entry.name] = None
    return found


def fuzz(data: bytes, places: list[int], check) -> int:
    """Damages an image at random for SECONDS seconds, mostly one place at a time; how many images were tried."""
    seed = int(os.environ.get("WEBVM_SEED", 1))
    print(f"WEBVM_SEED={seed}")
    rng = random.Random(seed)
    end, tried = time.monotonic() + SECONDS, 0
    old = signal.signal(signal.SIGALRM, _alarm)
    try:
        while time.monotonic() < end:
            damaged = bytearray(data)
            for _ in range(rng.choice((1, 1, 1, 2, 5, 50))):
                at = rng.choice(places)
                damaged[at] = rng.choice((0, 0xFF, damaged[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
            signal.alarm(20)
            try:
                found = asyncio.run(walk_damaged(bytes(damaged)))
            except BadImage:
                found = {}
            check(found, damaged)
            tried += 1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return tried


def test_random_damage_gives_typed_errors_and_ends(plain, caplog):
    caplog.set_level("CRITICAL")
    assert fuzz(plain, metadata_of(plain), lambda found, damaged: None) > 10


def test_with_checksums_random_damage_never_gives_a_wrong_byte(summed, caplog):
    caplog.set_level("CRITICAL")
    truth = asyncio.run(walk_damaged(summed))
    assert None not in truth.values()

    def check(found, damaged):
        for path, facts in found.items():
            assert facts is None or facts == truth[path], path
    places = set(metadata_of(summed)) - set(range(1024 + 0x64, 1024 + 0x68))    # what says that there are checksums
    assert fuzz(summed, sorted(places), check) > 10
