"""A web server on loopback for the tests: right by default, and wrong in exactly the way a test asks for."""

import http.server
import mimetypes
import re
import threading
from collections.abc import Callable
from contextlib import contextmanager

ETAG = '"one"'


class Handler(http.server.BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self):
        self.server.log.append((self.path, self.headers.get("Range", "")))
        quirk = self.server.quirk
        if quirk is None or quirk(self) is False:
            self.sound()

    def sound(self):
        """What a good server answers."""
        data = self.server.files.get(self.path)
        if data is None:
            return self.answer(404, b"")
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not asked:
            return self.answer(200, data)
        first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
        if first >= len(data):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        self.answer(206, data[first:last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def answer(self, status: int, body: bytes, headers: dict[str, str] = {}, length: int | None = None):
        """`length`: the Content-Length announced, when not the true one."""
        self.send_response(status)
        kind = mimetypes.guess_type(self.path)[0] or "application/octet-stream"
        for name, value in {"ETag": self.server.etag, "Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):     # a client may stop reading a body it did not want
            pass

    def hang_up(self):
        self.close_connection = True
        self.connection.close()

    def log_message(self, *args): ...


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.etag = ETAG
        self.quirk: Callable[[Handler], bool | None] | None = None      # returns False to have the sound answer after all
        self.log: list[tuple[str, str]] = []                            # (path, Range header) of each request
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address): ...                # a connection a test broke on purpose


@contextmanager
def serving(files: dict[str, bytes]):
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
