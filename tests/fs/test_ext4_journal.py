"""Images as a power cut leaves them: what is read is what the kernel reads after replaying the journal."""

import asyncio
import os
import pickle
import random
import struct

import ext4_reference as reference
import pytest
from ext4_images import debugfs, image_facts, mke2fs, mounted, read_image, run

from webvm.block.device import BytesDevice
from webvm.fs.ext4 import BadImage, Ext4
from webvm.fs.ext4.checksum import crc32c

KEYS = "mode uid gid nlink size rdev blocks ino atime mtime ctime xattrs target data digest names".split()
FORMATS = {
    "1k": "-t ext4 -b 1024",
    "4k": "-t ext4 -b 4096",
    "ext3": "-t ext3 -b 1024",
    "small": "-t ext4 -b 1024 -J size=1",
    "no_csum": "-t ext4 -b 1024 -O ^metadata_csum",
    "csum_32": "-t ext4 -b 1024 -O ^64bit",
}


@pytest.fixture(scope="module", params=FORMATS)
def crashed(request, tmp_path_factory):
    if os.geteuid():
        pytest.skip("NOT ROOT: NOTHING IS COMPARED WITH A REAL MOUNT")
    folder = tmp_path_factory.mktemp(request.param)
    tree = folder / "tree"
    tree.mkdir()
    reference.build(os.fsencode(tree), entries=50)
    image = mke2fs(folder / "image", FORMATS[request.param], 12, tree)
    mounted("crash", image)
    return folder / "image.crashed"


def test_the_journal_is_replayed_as_the_kernel_does(crashed, tmp_path):
    assert "needs_recovery" in debugfs(crashed, "show_super_stats -h")
    found, found_statfs = read_image(crashed)
    run("cp", "--sparse=always", str(crashed), str(tmp_path / "copy"))
    expected, expected_statfs = pickle.loads(mounted("replay", tmp_path / "copy"))
    assert set(found) == set(expected)
    for path, facts in expected.items():
        for key in facts.keys() & set(KEYS):
            assert found[path][key] == facts[key], (path, key)
    assert b"/renamed" in found and b"/new7" not in found and b"/gone" not in found and found[b"/big"]["size"] == 5


def test_without_the_journal_the_image_is_another(crashed):
    """So that the test above can fail."""
    async def main(data):
        fs = await Ext4.mount(BytesDevice(bytes(data)))
        assert fs.warnings == ["the ext4 image was not unmounted cleanly; its journal is replayed in memory"]
        data = bytearray(data)
        data[1024 + 0x60] &= ~4                             # INCOMPAT_RECOVER
        fs.volume.device.blocks.clear()
        fs.volume._blocks.clear()
        return await image_facts(await Ext4.mount(BytesDevice(bytes(data))))

    data = bytearray(crashed.read_bytes())
    found, _ = read_image(crashed)
    try:
        other = asyncio.run(main(data))
    except Exception as error:
        assert type(error).__name__ in ("Corrupt", "BadImage")
    else:
        assert other != found


one_piece = pytest.mark.parametrize("crashed", ("small", "no_csum", "csum_32"), indirect=True)


def journal_of(image) -> tuple[bytearray, int, int]:
    """The image, where its journal starts, and the size of a block."""
    data = bytearray(image.read_bytes())
    size = 1024 << data[1024 + 0x18]
    start = int(debugfs(image, "bmap <8> 0").split()[-1])
    length, = struct.unpack_from(">I", data, start * size + 0x10)
    assert int(debugfs(image, f"bmap <8> {length - 1}").split()[-1]) == start + length - 1
    return data, start * size, size


@one_piece
def test_a_log_that_goes_on_at_the_start_of_the_journal_is_followed(crashed):
    data, start, size = journal_of(crashed)
    length, first, sequence, begin = struct.unpack_from(">IIII", data, start + 0x10)
    assert first <= begin < 100
    log = data[start + first * size:start + length * size]
    for shift in length - first - begin - 3, length - first - begin - 40:   # the log now begins so many blocks before the end
        turned = bytearray(data)
        turned[start + first * size:start + length * size] = log[-shift * size:] + log[:-shift * size]
        struct.pack_into(">I", turned, start + 0x1C, first + (begin - first + shift) % (length - first))
        struct.pack_into(">I", turned, start + 0xFC, 0)
        struct.pack_into(">I", turned, start + 0xFC, crc32c(0xFFFFFFFF, turned[start:start + 1024]))
        assert read_bytes(turned) == read_bytes(data)


def read_bytes(data) -> dict:
    async def main():
        return await image_facts(await Ext4.mount(BytesDevice(bytes(data))))
    return asyncio.run(main())


@one_piece
def test_a_damaged_journal_is_refused(crashed):
    data, start, _ = journal_of(crashed)
    for offset, value in (0, 0), (0x0C, 1), (0x10, 0xFF), (0x2B, 0x20 | data[start + 0x2B]):
        damaged = bytearray(data)
        damaged[start + offset] = value
        with pytest.raises(BadImage, match="not unmounted cleanly.*run e2fsck"):
            asyncio.run(Ext4.mount(BytesDevice(bytes(damaged))))


@one_piece
def test_random_damage_to_a_journal_gives_typed_errors_and_ends(crashed, caplog):
    caplog.set_level("CRITICAL")
    data, start, size = journal_of(crashed)
    seed = int(os.environ.get("WEBVM_SEED", 1))
    print(f"WEBVM_SEED={seed}")
    rng = random.Random(seed)
    headers = [at for at in range(start, start + 300 * size, size) if data[at:at + 4] == b"\xc0\x3b\x39\x98"]
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 3))):
            damaged[rng.choice(headers) + rng.randrange(100)] = rng.randrange(256)
        try:
            asyncio.run(Ext4.mount(BytesDevice(bytes(damaged))))
        except BadImage as error:
            assert "\n" not in str(error)
