"""webvm.browser.transport, in Pyodide in Chromium, against the same misbehaving server; CORS from a second origin."""

import hashlib
import threading

from webvm.block import write_chunks

from .server import serving


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_an_answer_has_status_headers_in_lower_case_and_the_body(page, image):
    status, headers, body, length = page.call("get", page.server.url + "/image", {"Range": "bytes=100-70099"}, 70_000, "no-store")
    assert (status, body, length) == (206, hashed(image[100:70_100]), 70_000)
    assert headers["content-range"] == f"bytes 100-70099/{len(image)}" and headers["etag"] == '"one"'


def test_any_status_is_an_answer(page):
    for status in (404, 500):
        page.server.quirk = lambda handler: handler.answer(status, b"sorry")
        assert page.call("get", page.server.url + "/image", {}, 100, "no-store")[0] == status


def test_no_more_than_the_limit_is_read_of_an_endless_body(page):
    sent, gone = [], threading.Event()

    def endless(handler):
        handler.answer(200, b"", length=1 << 40)
        try:
            while True:
                handler.wfile.write(bytes(65536))
                sent.append(65536)
        except OSError:
            gone.set()

    page.server.quirk = endless
    assert page.call("get", page.server.url + "/image", {}, 100_000, "no-store")[3] == 100_001
    assert gone.wait(60)
    assert sum(sent) < 64 << 20


def test_a_cut_body_and_a_hung_up_connection_are_connection_errors(page):
    def cut(handler):
        handler.answer(200, bytes(1000), length=4096)
        handler.hang_up()

    for quirk in (cut, lambda handler: handler.hang_up()):
        page.server.quirk = quirk
        assert page.call("get", page.server.url + "/image", {}, 10_000, "no-store")[0] == "ConnectionError"


def test_silence_and_a_dripping_body_are_given_up_on(page):
    over = threading.Event()

    def drip(handler):
        handler.answer(200, b"", length=2048)
        while not over.wait(0.05):
            handler.wfile.write(b".")

    for quirk, told in [(lambda handler: over.wait(5), "timed out"), (drip, "not finished")]:
        page.server.quirk = quirk
        name, text = page.call("get", page.server.url + "/image", {}, 10_000, "no-store", 0.3, 0.6)
        assert name == "ConnectionError" and told in text
    over.set()


def test_a_guest_reads_through_trouble_and_the_page_is_told(page, image):
    failures = iter(range(2))
    page.server.quirk = lambda handler: handler.answer(503, b"") if next(failures, None) is not None else False
    error, data, troubles = page.call("read", page.server.url + "/image", 1000, 100_000)
    assert (error, data) == ("", hashed(image[1000:101_000]))
    assert len(troubles) == 3 and "503" in troubles[0] and troubles[-1] == ""


def test_a_network_that_is_gone_is_unreachable(page):
    page.server.quirk = lambda handler: handler.hang_up()
    error, text, troubles = page.call("read", page.server.url + "/image", 0, 100)
    assert error == "Unreachable" and "gave up" in troubles[-1]


def test_a_chunk_damaged_in_the_http_cache_is_fetched_past_it(page, image, tmp_path):
    (tmp_path / "image").write_bytes(image)
    manifest = write_chunks(tmp_path / "image", tmp_path / "disk")
    page.server.files |= {"/disk/" + file.relative_to(tmp_path / "disk").as_posix(): file.read_bytes()
                          for file in (tmp_path / "disk").rglob("*") if file.is_file()}
    chunk = "/disk/" + manifest.path(manifest.chunks[1])

    def poison(handler):        # cacheable for a year, and wrong: only the first answer
        if handler.path == chunk and [path for path, _ in handler.server.log].count(chunk) == 1:
            handler.answer(200, b"rotten", {"Cache-Control": "max-age=31536000"})
            return
        return False

    page.server.quirk = poison
    error, data, troubles = page.call("read", page.server.url + "/disk/", 65536, 65536)
    assert (error, data) == ("", hashed(image[65536:131072]))
    assert "does not decompress" in troubles[0] and troubles[-1] == ""


def test_another_origin_must_allow_and_expose(page, image):
    with serving({"/image": image}) as other:
        def answering(headers):
            def answer(handler):
                data = handler.server.files[handler.path]
                first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
                handler.answer(206, data[first:last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}", **headers})
            return answer

        other.quirk = answering({})
        assert page.call("read", other.url + "/image", 0, 100)[0] == "Unreachable"
        other.quirk = answering({"Access-Control-Allow-Origin": "*"})
        error, text, _ = page.call("read", other.url + "/image", 0, 100)
        assert error == "WrongRange" and "Access-Control-Expose-Headers" in text
        other.quirk = answering({"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Content-Range, ETag"})
        assert page.call("read", other.url + "/image", 1000, 100)[:2] == ["", hashed(image[1000:1100])]
