"""webvm.block.http and webvm.block.fetch against a real server, sound and misbehaving."""

import asyncio

import pytest

from webvm.block import BytesDevice, Fetcher, HttpDevice, Stats, open_http
from webvm.block.errors import Changed, NoRanges, NotFound, OutOfRange, Refused, TooLong, Truncated, Unreachable, WrongRange
from webvm.block.native import HttpTransport


@pytest.fixture
def troubles() -> list[str]:
    return []


@pytest.fixture
def fetcher(retry, troubles):
    return Fetcher(HttpTransport(idle=5), retry, Stats(), troubles.append)


def opened(server, fetcher, quirk=None):
    """The device as opened while the server was sound, from when on it has its quirk."""
    device = asyncio.run(open_http(server.url + "/image", fetcher))
    server.quirk = quirk
    return device


def test_reads_exactly_the_bytes_asked_for(server, fetcher, image):
    device = opened(server, fetcher)
    assert device.size == len(image)
    for offset, length in [(0, 1), (65535, 2), (1000, 100_000), (len(image) - 5, 5), (7, 0)]:
        assert asyncio.run(device.read(offset, length)) == image[offset:offset + length]


@pytest.mark.parametrize("offset, length", [(-1, 1), (0, -1), (1, 1 << 40), (10 ** 12, 1)])
def test_a_read_beyond_the_image_is_an_error(server, fetcher, offset, length):
    with pytest.raises(OutOfRange):
        asyncio.run(opened(server, fetcher).read(offset, length))


def test_counts_requests_and_bytes(server, fetcher):
    device = opened(server, fetcher)
    before = fetcher.stats.as_dict()
    asyncio.run(device.read(100, 1000))
    assert fetcher.stats.requests == before["requests"] + 1
    assert fetcher.stats.bytes_fetched == before["bytes_fetched"] + 1000


def ignore_range(handler):
    handler.answer(200, handler.server.files[handler.path])


def test_a_small_image_is_taken_whole_from_a_server_that_ignores_range(server, fetcher, image):
    server.quirk = ignore_range
    device = asyncio.run(open_http(server.url + "/image", fetcher))
    assert isinstance(device, BytesDevice)
    assert asyncio.run(device.read(12345, 54321)) == image[12345:12345 + 54321]
    assert len(server.log) == 1


def test_a_big_image_on_a_server_that_ignores_range_is_refused_without_reading_it_all(server, fetcher):
    size = 64 << 20
    sent = []

    def endless(handler):
        handler.answer(200, b"", length=size)
        while len(sent) < size >> 16:
            handler.wfile.write(bytes(65536))
            sent.append(65536)

    server.quirk = endless
    with pytest.raises(NoRanges, match="chunk files"):
        asyncio.run(open_http(server.url + "/image", fetcher))
    assert fetcher.stats.bytes_fetched <= (8 << 20) + 1
    assert sum(sent) < size


def test_a_server_that_stops_answering_ranges_is_found_out_without_reading_the_image(server, fetcher):
    device = opened(server, fetcher, ignore_range)
    before = fetcher.stats.bytes_fetched
    with pytest.raises(NoRanges):
        asyncio.run(device.read(0, 4096))
    assert fetcher.stats.bytes_fetched - before <= 4097


def other_etag(handler):
    handler.server.etag = '"two"'
    return False


def test_an_image_replaced_while_in_use_gives_no_byte_more(server, fetcher, troubles):
    device = opened(server, fetcher, other_etag)
    with pytest.raises(Changed, match="replaced while in use"):
        asyncio.run(device.read(0, 4096))
    server.quirk, server.etag = None, '"one"'       # and back: still nothing that might be mixed
    with pytest.raises(Changed):
        asyncio.run(device.read(0, 4096))
    assert "replaced" in troubles[-1]


@pytest.mark.parametrize("size", [70_000, 4_000_000])
def test_an_image_of_another_length_is_a_changed_image(server, fetcher, size):
    device = opened(server, fetcher)
    server.files["/image"] = bytes(size)
    with pytest.raises(Changed):
        asyncio.run(device.read(65536, 4096))


def test_an_image_cut_below_what_is_read_is_a_changed_image(server, fetcher):
    device = opened(server, fetcher)
    server.files["/image"] = bytes(5000)            # the server answers 416
    with pytest.raises(Changed):
        asyncio.run(device.read(65536, 4096))


def test_identity_tells_etag_length_and_head_apart(server, fetcher, image):
    identities = {opened(server, fetcher).identity}
    assert identities == {opened(server, fetcher).identity}
    server.etag = '"two"'
    identities.add(opened(server, fetcher).identity)
    server.files["/image"] = image + b"x"
    identities.add(opened(server, fetcher).identity)
    server.files["/image"] = image[:1024] + b"another superblock" + image[1042:] + b"x"
    identities.add(opened(server, fetcher).identity)
    assert len(identities) == 4


def shifted(handler):
    data = handler.server.files[handler.path]
    handler.answer(206, data[8192:12288], {"Content-Range": f"bytes 8192-12287/{len(data)}"})


def unlabelled(handler):
    handler.answer(206, handler.server.files[handler.path][:4096])


def gibberish(handler):
    handler.answer(206, handler.server.files[handler.path][:4096], {"Content-Range": "bytes many/lots"})


@pytest.mark.parametrize("quirk, sentence", [(shifted, "answered with 8192-12287"), (unlabelled, "no Content-Range"), (gibberish, "make sense")])
def test_an_answer_for_other_bytes_is_an_error(server, fetcher, quirk, sentence):
    device = opened(server, fetcher, quirk)
    with pytest.raises(WrongRange, match=sentence):
        asyncio.run(device.read(0, 4096))
    with pytest.raises(WrongRange):
        asyncio.run(open_http(server.url + "/image", fetcher))


def labelled(handler, body, length=None):
    handler.answer(206, body, {"Content-Range": f"bytes 0-4095/{len(handler.server.files[handler.path])}"}, length)


def test_too_long_a_body_is_an_error(server, fetcher, image):
    device = opened(server, fetcher, lambda handler: labelled(handler, image[:5000]))
    with pytest.raises(TooLong):
        asyncio.run(device.read(0, 4096))


def test_a_short_body_is_asked_for_again(server, fetcher, image):
    answers = iter([image[:100], image[:4000]])

    def short_twice(handler):
        body = next(answers, None)
        return False if body is None else labelled(handler, body)

    device = opened(server, fetcher, short_twice)
    assert asyncio.run(device.read(0, 4096)) == image[:4096]
    assert fetcher.stats.retries == 2


def test_a_body_cut_off_by_the_connection_is_asked_for_again(server, fetcher, image):
    cuts = iter(range(2))

    def cut(handler):
        if next(cuts, None) is None:
            return False
        labelled(handler, image[:1000], length=4096)
        handler.hang_up()

    device = opened(server, fetcher, cut)
    assert asyncio.run(device.read(0, 4096)) == image[:4096]
    assert fetcher.stats.retries == 2


def test_a_body_that_is_always_short_is_an_error_in_the_end(server, fetcher, image, retry):
    device = opened(server, fetcher, lambda handler: labelled(handler, image[:100]))
    with pytest.raises(Truncated, match="100 bytes came where 4096"):
        asyncio.run(device.read(0, 4096))
    assert fetcher.stats.retries == retry.attempts - 1


@pytest.mark.parametrize("status, error", [(404, NotFound), (410, NotFound), (403, Refused), (401, Refused), (204, Refused)])
def test_a_refusal_is_an_error_at_once(server, fetcher, naps, status, error):
    device = opened(server, fetcher, lambda handler: handler.answer(status, b""))
    with pytest.raises(error, match=str(status)):
        asyncio.run(device.read(0, 4096))
    with pytest.raises(error, match=str(status)):
        asyncio.run(open_http(server.url + "/image", fetcher))
    assert naps == []


def test_an_empty_image_is_refused(server, fetcher):
    server.files["/image"] = b""
    with pytest.raises(Refused, match="empty"):
        asyncio.run(open_http(server.url + "/image", fetcher))


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again_with_back_off_until_it_recovers(server, fetcher, naps, troubles, image, status):
    failures = iter(range(3))
    device = opened(server, fetcher, lambda handler: handler.answer(status, b"sorry") if next(failures, None) is not None else False)
    assert asyncio.run(device.read(0, 4096)) == image[:4096]
    assert naps == [0.25, 0.5, 1.0]
    assert len(troubles) == 4 and str(status) in troubles[0] and troubles[-1] == ""


def test_back_off_spreads_and_has_a_longest_delay(retry):
    from dataclasses import replace
    assert replace(retry, random=lambda: 0.0).delay(3) == retry.delay(3) / 2
    assert retry.delay(100) == retry.longest


def test_a_network_that_is_gone_is_an_error_in_the_end_and_works_again_when_it_is_back(server, fetcher, naps, troubles, image, retry):
    device = opened(server, fetcher, lambda handler: handler.hang_up())
    with pytest.raises(Unreachable, match="no answer"):
        asyncio.run(device.read(0, 4096))
    assert len(naps) == retry.attempts - 1
    assert "gave up" in troubles[-1]
    server.quirk = None
    assert asyncio.run(device.read(0, 4096)) == image[:4096]
    assert troubles[-1] == ""


def test_nobody_listening_is_unreachable(fetcher):
    with pytest.raises(Unreachable, match="refused"):
        asyncio.run(open_http("http://127.0.0.1:1/image", fetcher))


def test_not_speaking_http_is_unreachable(server, fetcher):
    def babble(handler):
        handler.wfile.write(b"220 smtp.example.org ESMTP\r\n")
        handler.hang_up()

    server.quirk = babble
    with pytest.raises(Unreachable, match="not a sound HTTP answer"):
        asyncio.run(open_http(server.url + "/image", fetcher))


def test_silence_is_given_up_on(server, retry):
    import threading
    over = threading.Event()
    server.quirk = lambda handler: over.wait(5) and None
    fetcher = Fetcher(HttpTransport(idle=0.05), retry)
    with pytest.raises(Unreachable, match="timed out"):
        asyncio.run(open_http(server.url + "/image", fetcher))
    over.set()


def test_a_body_that_drips_for_ever_is_given_up_on(server, retry):
    import threading
    over = threading.Event()

    def drip(handler):
        handler.answer(206, b"", length=2048)
        while not over.wait(0.01):
            handler.wfile.write(b".")

    server.quirk = drip
    fetcher = Fetcher(HttpTransport(idle=5, total=0.1), retry)
    with pytest.raises(Unreachable, match="not finished"):
        asyncio.run(open_http(server.url + "/image", fetcher))
    over.set()


def test_a_redirect_is_followed(server, fetcher, image):
    server.files["/moved"] = b""
    server.quirk = lambda handler: handler.answer(302, b"", {"Location": "/image"}) if handler.path == "/moved" else False
    device = asyncio.run(open_http(server.url + "/moved", fetcher))
    assert isinstance(device, HttpDevice)
    assert asyncio.run(device.read(5, 5)) == image[5:10]
