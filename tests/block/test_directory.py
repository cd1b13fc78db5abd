import asyncio
import os

import pytest

from webvm.block import CachedDevice
from webvm.block.directory import DirectoryStore, user_cache

from . import stores


@pytest.mark.parametrize("check", stores.CONTRACT, ids=lambda check: check.__name__)
def test_store(check, tmp_path):
    asyncio.run(check(lambda: DirectoryStore(tmp_path / "cache")))


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_it_never_grows_beyond_its_limit_and_the_image_unused_for_longest_goes_first(tmp_path):
    async def main():
        old, new = (DirectoryStore(tmp_path, limit=100_000) for _ in range(2))
        await old.open("old", "one")
        await old.put_many({number: bytes(10_000) for number in range(5)})
        mark = next(tmp_path.glob("*/identity"))
        os.utime(mark, (0, 0))
        await new.open("new", "one")
        for number in range(30):
            await new.put_many({number: bytes(10_000)})
            assert size(tmp_path) <= 100_000 + 10_000
        assert await old.get_many(list(range(5))) == {}
        assert 29 in await new.get_many([29])

    asyncio.run(main())


def test_no_half_written_record_is_ever_seen(tmp_path):
    async def main():
        store = DirectoryStore(tmp_path)
        await store.open("image", "one")
        await store.put_many({1: bytes(1000)})
        assert [path.name for path in tmp_path.glob("*/*") if path.name != "identity"] == ["00000001"]

    asyncio.run(main())


def test_a_folder_that_cannot_be_made_is_an_oserror():
    with pytest.raises(OSError):
        asyncio.run(DirectoryStore("/proc/no/such/place").open("image", "one"))


def test_a_device_goes_on_without_a_folder_that_cannot_be(tmp_path, image):
    from .test_cache import Source
    (tmp_path / "file").write_bytes(b"")
    troubles = []

    async def main():
        device = await CachedDevice.open(Source(image), DirectoryStore(tmp_path / "file"), on_trouble=troubles.append)
        return await device.read(5, 5)

    assert asyncio.run(main()) == image[5:10]
    assert len(troubles) == 1 and "Not a directory" in troubles[0]


def test_the_users_cache_follows_xdg(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(user_cache()) == "/somewhere/webvm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert str(user_cache()) == "/home/user/.cache/webvm"
