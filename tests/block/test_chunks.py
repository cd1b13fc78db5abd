import asyncio
import json
import random
import tracemalloc
import zlib

import pytest

from webvm.block import ChunkDevice, Fetcher, Manifest, Stats, write_chunks
from webvm.block.errors import BadManifest, Changed, Damaged, NotFound, OutOfRange, TooLong, Unreachable
from webvm.block.names import content_name
from webvm.block.native import FileTransport, HttpTransport

SIZE = 65536


@pytest.fixture(params=[True, False], ids=["zlib", "none"])
def folder(request, tmp_path, image):
    (tmp_path / "image").write_bytes(image)
    write_chunks(tmp_path / "image", tmp_path / "chunks", SIZE, compress=request.param)
    return tmp_path / "chunks"


TOGETHER = [[0, 5, 6, 21], [7, 50]]         # 21 is zeros


@pytest.fixture
def packed(server, folder, image):
    """The server, with the same chunks at /packed/, some of them in packs."""
    out = folder.parent / "packed"
    write_chunks(folder.parent / "image", out, SIZE, compress=any(folder.glob("*/*.zlib")), together=TOGETHER)
    server.files = {"/packed/" + path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return server


@pytest.fixture
def chunked(server, folder):
    """The server, with the chunk files of `folder` at /chunks/."""
    server.files = {"/chunks/" + path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return server


@pytest.fixture
def fetcher(retry):
    return Fetcher(HttpTransport(idle=5), retry, Stats())


def opened(server, fetcher, folder="/chunks/"):
    return asyncio.run(ChunkDevice.open(server.url + folder, fetcher))


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


def pack_path(device, number):
    pack, = [pack for pack in device._manifest.packs if number in pack.chunks]
    return "/packed/" + pack.path


def test_packs_do_not_change_the_image_nor_its_identity(packed, folder, fetcher, image):
    device = opened(packed, fetcher, "/packed/")
    assert asyncio.run(device.read(0, device.size)) == image
    plain = Manifest.parse((folder / "manifest.json").read_bytes())
    assert device._manifest.identity == plain.identity and device._manifest != plain
    assert Manifest.parse(device._manifest.dump()) == device._manifest


def test_a_chunk_is_in_a_pack_or_in_a_file_of_its_own(packed, folder, fetcher):
    device = opened(packed, fetcher, "/packed/")
    inside = {"/packed/" + device._manifest.path(device._manifest.chunks[number]) for number in (0, 5, 6, 7, 50)}
    plain = {"/packed/" + path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    assert set(packed.files) == plain - inside | {pack_path(device, 0), pack_path(device, 7), "/packed/manifest.json"}


def test_a_pack_comes_in_one_request(packed, fetcher, image):
    device = opened(packed, fetcher, "/packed/")
    packed.log.clear()
    pieces = asyncio.run(device.read_pack(5 * SIZE))
    assert pieces == {number * SIZE: image[number * SIZE:(number + 1) * SIZE] for number in (0, 5, 6)}
    assert packed.log == [(pack_path(device, 5), "")]
    assert device.packs[0] == device.packs[6 * SIZE] == (0, 5 * SIZE, 6 * SIZE) and 21 * SIZE not in device.packs


def test_a_big_group_becomes_several_packs_and_equal_chunks_are_packed_once(tmp_path):
    chunks = [random.Random(number % 70).randbytes(SIZE) for number in range(140)]
    (tmp_path / "image").write_bytes(b"".join(chunks))
    manifest = write_chunks(tmp_path / "image", tmp_path / "packed", SIZE, together=[range(10, 130)])
    sizes = [(tmp_path / "packed" / pack.path).stat().st_size for pack in manifest.packs]
    assert sizes == [sum(pack.lengths) for pack in manifest.packs] and len(sizes) == 2 and max(sizes) <= 4 << 20
    assert sorted({number % 70 for pack in manifest.packs for number in pack.chunks}) == list(range(70)) and sum(sizes) < 72 * SIZE
    assert not list((tmp_path / "packed").glob("??/*"))
    device = asyncio.run(ChunkDevice.open((tmp_path / "packed").as_uri() + "/", Fetcher(FileTransport())))
    assert asyncio.run(device.read(0, device.size)) == b"".join(chunks)


def test_packing_otherwise_leaves_nothing_of_the_old_packs(tmp_path, folder):
    compress = any(folder.glob("*/*.zlib"))
    plain = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    once, again = (write_chunks(tmp_path / "image", folder, SIZE, compress, together=TOGETHER) for _ in range(2))
    assert once == again and len(list(folder.glob("packs/*"))) == 2
    write_chunks(tmp_path / "image", folder, SIZE, compress, together=[[1, 2]])
    assert len(list(folder.glob("packs/*"))) == 1
    write_chunks(tmp_path / "image", folder, SIZE, compress)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == plain


def test_a_damaged_pack_is_fetched_again_and_never_believed(packed, fetcher, image):
    device = opened(packed, fetcher, "/packed/")
    sound = packed.files[pack_path(device, 5)]
    for damaged in (sound[:70_000] + bytes([sound[70_000] ^ 1]) + sound[70_001:], sound[:-100], b"", packed.files[pack_path(device, 7)]):
        bodies = iter([damaged])
        packed.quirk = lambda handler: handler.answer(200, body) if (body := next(bodies, None)) is not None else False
        assert asyncio.run(device.read(5 * SIZE, SIZE)) == image[5 * SIZE:6 * SIZE]
        assert next(bodies, None) is None


def test_a_pack_that_stays_damaged_too_long_or_gone_is_an_error(packed, fetcher):
    device = opened(packed, fetcher, "/packed/")
    path = pack_path(device, 5)
    sound = packed.files[path]
    packed.files[path] = sound[:70_000] + bytes([sound[70_000] ^ 1]) + sound[70_001:]
    with pytest.raises(Damaged, match=r"\.pack: "):
        asyncio.run(device.read(5 * SIZE, 1))
    packed.files[path] = sound + b"x"
    with pytest.raises(TooLong):
        asyncio.run(device.read(5 * SIZE, 1))
    del packed.files[path]
    with pytest.raises(Changed, match="gone"):
        asyncio.run(device.read(5 * SIZE, 1))


SOUND = {"format": "webvm chunks 1", "size": 100, "chunk_size": 4096, "compression": "zlib", "chunks": [content_name(b"x")]}
PACK = {"name": content_name(b"y"), "chunks": [0], "lengths": [1]}


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
    ({"packs": {}}, "list of packs"),
    ({"packs": [7]}, "names a pack"),
    ({"packs": [PACK | {"name": "../../../x/index"}]}, "names a pack"),
    ({"packs": [PACK | {"chunks": [1]}]}, "no chunk"),
    ({"packs": [PACK | {"chunks": [-1]}]}, "no chunk"),
    ({"packs": [PACK | {"chunks": "a"}]}, "no chunk"),
    ({"packs": [PACK], "chunks": [None]}, "no chunk"),
    ({"packs": [PACK | {"lengths": []}]}, "how long"),
    ({"packs": [PACK | {"lengths": [1 << 40]}]}, "how long"),
    ({"packs": [PACK | {"lengths": [0]}]}, "how long"),
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
