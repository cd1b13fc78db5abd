import asyncio

import pytest

from webvm.block import BytesDevice, CachedDevice, FileDevice, Stats, open_device, write_chunks
from webvm.block.directory import DirectoryStore
from webvm.block.errors import BadManifest, NotFound, Refused
from webvm.block.native import HttpTransport


@pytest.fixture
def forms(tmp_path, server, image):
    """The image in every form: what names it, and what kind of device that should give."""
    path, folder = tmp_path / "an image #1", tmp_path / "chunks %20?#2"
    path.write_bytes(image)
    write_chunks(path, folder)
    server.files |= {"/disk/" + file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {
        "path": (path, FileDevice),
        "folder": (folder, CachedDevice),
        "manifest": (str(folder / "manifest.json"), CachedDevice),
        "url": (server.url + "/image", CachedDevice),
        "folder url": (server.url + "/disk/", CachedDevice),
        "manifest url": (server.url + "/disk/manifest.json", CachedDevice),
    }


@pytest.mark.parametrize("form", ["path", "folder", "manifest", "url", "folder url", "manifest url"])
def test_every_form_gives_the_same_bytes(forms, form, image, tmp_path):
    spec, kind = forms[form]

    async def main():
        device = await open_device(spec, HttpTransport(), DirectoryStore(tmp_path / "cache"))
        assert isinstance(device, kind) and device.size == len(image)
        assert await device.read(60_000, 500_000) == image[60_000:560_000]
        await device.flush()
        device.close()

    asyncio.run(main())


@pytest.mark.parametrize("form", ["url", "folder url"])
def test_the_second_visit_fetches_no_block(forms, form, server, image, tmp_path):
    async def visit():
        device = await open_device(forms[form][0], HttpTransport(), DirectoryStore(tmp_path / "cache"), stats=(stats := Stats()))
        assert await device.read(100_000, 1_000_000) == image[100_000:1_100_000]
        await device.flush()
        device.close()
        return stats

    first, second = asyncio.run(visit()), asyncio.run(visit())
    assert first.blocks_fetched >= 16 and first.store_hits == 0
    assert second.blocks_fetched == 0 and second.store_hits == first.blocks_fetched and second.requests == 1


def test_a_replaced_image_is_read_anew(forms, server, image, tmp_path):
    async def visit():
        device = await open_device(server.url + "/image", HttpTransport(), DirectoryStore(tmp_path / "cache"))
        data = await device.read(100_000, 1_000_000)
        await device.flush()
        device.close()
        return data

    assert asyncio.run(visit()) == image[100_000:1_100_000]
    server.files["/image"], server.etag = bytes(reversed(image)), '"two"'
    assert asyncio.run(visit()) == image[::-1][100_000:1_100_000]


def test_a_small_image_from_a_server_without_ranges_needs_no_cache(server, image):
    server.quirk = lambda handler: handler.answer(200, image)
    assert isinstance(asyncio.run(open_device(server.url + "/image", HttpTransport())), BytesDevice)


def test_what_cannot_be_opened_is_one_sentence(tmp_path, server):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.json").write_text('{"name": "package"}')
    for spec, error in [(tmp_path / "nowhere", NotFound), (tmp_path / "empty", NotFound), (tmp_path / "other.json", BadManifest),
                        (server.url + "/nowhere", NotFound), (server.url + "/nowhere/", NotFound), ("/dev/null", Refused)]:
        with pytest.raises(error) as raised:
            asyncio.run(open_device(spec, HttpTransport()))
        assert str(spec) in str(raised.value) and "\n" not in str(raised.value)


def test_a_url_without_a_transport_is_refused(server):
    with pytest.raises(Refused):
        asyncio.run(open_device(server.url + "/image"))
