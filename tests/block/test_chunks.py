import asyncio
import json
import tracemalloc
import zlib

import pytest

from webvm.block import ChunkDevice, Fetcher, Manifest, Stats, write_chunks
from webvm.block.names import content_name
from webvm.block.errors import BadManifest, Changed, Damaged, NotFound, OutOfRange, TooLong, Unreachable
from webvm.block.native import FileTransport, HttpTransport

SIZE = 65536


@pytest.fixture(params=[True, False], ids=["zlib", "none"])
def folder(request, tmp_path, image):
    (tmp_path / "image").write_bytes(image)
    write_chunks(tmp_path / "image", tmp_path / "chunks", SIZE, compress=request.param)
    return tmp_path / "chunks"


@pytest.fixture
def chunked(server, folder):
    """The server, with the chunk files of `folder` at /chunks/."""
    server.files = {"/chunks/" + path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return server


@pytest.fixture
def fetcher(retry):
    return Fetcher(HttpTransport(idle=5), retry, Stats())


def opened(server, fetcher):
    return asyncio.run(ChunkDevice.open(server.url + "/chunks/", fetcher))


def chunk_path(server, device, number):
    return "/chunks/" + device._manifest.path(device._manifest.chunks[number])


def test_reads_exactly_the_bytes_asked_for(chunked, fetcher, image):
    device = opened(chunked, fetcher)
    assert device.size == len(image)
    for offset, length in [(0, 1), (65535, 2), (1000, 200_000), (19 * SIZE, 12 * SIZE), (len(image) - 5, 5), (7, 0)]:
        assert asyncio.run(device.read(offset, length)) == image[offset:offset + length]
    with pytest.raises(OutOfRange):
        asyncio.run(device.read(len(image) - 1, 2))


def test_the_whole_image_comes_back(chunked, fetcher, image):
    device = opened(chunked, fetcher)
    assert asyncio.run(device.read(0, device.size)) == image


def test_reads_a_folder_where_it_lies(folder, retry, image):
    device = asyncio.run(ChunkDevice.open(folder.as_uri() + "/", Fetcher(FileTransport(), retry)))
    assert asyncio.run(device.read(0, device.size)) == image


def test_zeros_are_neither_stored_nor_fetched(chunked, fetcher):
    device = opened(chunked, fetcher)
    assert len(chunked.files) == 51 - 10 + 1
    requests = fetcher.stats.requests
    assert asyncio.run(device.read(20 * SIZE, 10 * SIZE)) == bytes(10 * SIZE)
    assert fetcher.stats.requests == requests


def test_writing_again_keeps_what_is_right_and_removes_what_is_not(tmp_path, folder, image):
    compress = any(folder.glob("*/*.zlib"))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*")}
    changed = bytearray(image)
    changed[3 * SIZE] ^= 1
    (tmp_path / "image").write_bytes(changed)
    write_chunks(tmp_path / "image", folder, SIZE, compress)
    after = {path: path.stat().st_mtime_ns for path in folder.glob("*/*")}
    assert len(after) == len(before)
    assert len(after.items() - before.items()) == 1
    device = asyncio.run(ChunkDevice.open(folder.as_uri() + "/", Fetcher(FileTransport())))
    assert asyncio.run(device.read(0, device.size)) == bytes(changed)


def test_equal_images_have_equal_manifests_and_others_another_identity(tmp_path, image):
    (tmp_path / "image").write_bytes(image[:300_000])
    one, two = (write_chunks(tmp_path / "image", tmp_path / name, 4096) for name in "ab")
    (tmp_path / "image").write_bytes(image[:299_999])
    three = write_chunks(tmp_path / "image", tmp_path / "c", 4096)
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()
    assert one.identity == two.identity != three.identity
    assert Manifest.parse(one.dump()) == one


def test_progress_ends_at_the_size(tmp_path, image):
    (tmp_path / "image").write_bytes(image)
    seen = []
    write_chunks(tmp_path / "image", tmp_path / "chunks", 16384, progress=lambda done, size: seen.append((done, size)))
    assert seen == sorted(seen) and seen[-1] == (len(image), len(image))


def test_a_damaged_chunk_is_fetched_again_past_the_http_cache_and_never_believed(chunked, retry, image):
    class Recording(HttpTransport):
        async def get(self, url, headers, limit, cache):
            caches.append(cache)
            return await super().get(url, headers, limit, cache)

    caches = []
    device = opened(chunked, Fetcher(Recording(), retry))
    path = chunk_path(chunked, device, 1)
    sound = chunked.files[path]
    for damaged in (sound[:500] + bytes([sound[500] ^ 1]) + sound[501:], sound[:-100], zlib.compress(bytes(SIZE)), b""):
        caches.clear()
        bodies = iter([damaged])
        chunked.quirk = lambda handler: handler.answer(200, body) if (body := next(bodies, None)) is not None else False
        assert asyncio.run(device.read(SIZE, SIZE)) == image[SIZE:2 * SIZE]
        assert caches == ["default", "reload"]
        chunked.quirk = None


def test_a_chunk_that_stays_damaged_is_an_error(chunked, fetcher):
    device = opened(chunked, fetcher)
    one, two = chunk_path(chunked, device, 1), chunk_path(chunked, device, 2)
    chunked.files[one] = chunked.files[two]
    with pytest.raises(Damaged, match="checksum"):
        asyncio.run(device.read(SIZE, 1))


def test_a_chunk_that_expands_without_end_is_stopped_early(chunked, fetcher):
    device = opened(chunked, fetcher)
    big = bytes(60 << 20)                           # as long as fits in a body that may come
    chunked.files[chunk_path(chunked, device, 1)] = zlib.compress(big) if device._manifest.compression == "zlib" else big
    tracemalloc.start()
    try:
        with pytest.raises(TooLong):
            asyncio.run(device.read(SIZE, 1))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_chunk_that_is_gone_means_the_image_changed(chunked, fetcher):
    device = opened(chunked, fetcher)
    del chunked.files[chunk_path(chunked, device, 1)]
    with pytest.raises(Changed, match="replaced"):
        asyncio.run(device.read(SIZE, 1))


def test_trouble_and_recovery(chunked, fetcher, image):
    device = opened(chunked, fetcher)
    chunked.quirk = lambda handler: handler.answer(503, b"")
    with pytest.raises(Unreachable):
        asyncio.run(device.read(0, 1))
    chunked.quirk = None
    assert asyncio.run(device.read(0, 1)) == image[:1]


SOUND = {"format": "webvm chunks 1", "size": 100, "chunk_size": 4096, "compression": "zlib", "chunks": [content_name(b"x")]}


@pytest.mark.parametrize("text, sentence", [
    (b"<html>", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[]", "format"),
    ({"format": "webvm chunks 2"}, "format"),
    ({"size": None}, "no size"),
    ({"size": -1}, "no size"),
    ({"chunk_size": 0}, "chunk size"),
    ({"chunk_size": 5000}, "chunk size"),
    ({"chunk_size": 1 << 40}, "chunk size"),
    ({"compression": "lzma"}, "compression"),
    ({"chunks": []}, "does not cover"),
    ({"chunks": 5}, "does not cover"),
    ({"chunks": ["../../../../../etc"]}, "names a chunk"),
    ({"chunks": [7]}, "names a chunk"),
])
def test_a_senseless_manifest_is_refused_in_one_sentence(server, fetcher, text, sentence):
    body = text if isinstance(text, bytes) else json.dumps(SOUND | text).encode()
    server.files["/chunks/manifest.json"] = body
    with pytest.raises(BadManifest, match=sentence) as error:
        opened(server, fetcher)
    assert str(error.value).startswith(server.url) and "\n" not in str(error.value)


def test_a_missing_manifest_is_not_found(server, fetcher):
    with pytest.raises(NotFound, match="manifest.json"):
        opened(server, fetcher)
