"""Transports for a Python with sockets and files.

Know HTTP requests and answers; do not know what is asked for, and never retry. Apart from the rest of the package
because the page has no use for what this imports.
"""

import asyncio
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request

from webvm.block.transport import Response


class HttpTransport:
    """urllib in a thread of the event loop's executor."""

    def __init__(self, idle: float = 15.0, total: float = 300.0):
        """`idle`: seconds without a byte, and `total`: seconds in all, until a request counts as failed."""
        self._idle = idle
        self._total = total

    async def get(self, url: str, headers: dict[str, str], limit: int, cache: str) -> Response:
        return await asyncio.get_running_loop().run_in_executor(None, self._get, url, headers, limit)

    def _get(self, url: str, headers: dict[str, str], limit: int) -> Response:
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})
        end = time.monotonic() + self._total
        try:
            try:
                answer = urllib.request.urlopen(request, timeout=self._idle)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                body = b"" if answer.status >= 400 else self._body(answer, limit + 1, end)
                return Response(answer.status, {k.lower(): v for k, v in answer.headers.items()}, body)
        except http.client.HTTPException as error:
            raise ConnectionError(f"not a sound HTTP answer ({type(error).__name__})") from None

    def _body(self, answer, limit: int, end: float) -> bytes:
        parts, length = [], 0
        while length < limit and (part := answer.read1(min(limit - length, 1 << 16))):
            parts.append(part)
            length += len(part)
            if time.monotonic() > end:
                raise TimeoutError(f"not finished after {self._total:g} seconds")
        return b"".join(parts)


class FileTransport:
    """file: URLs, so that a folder of chunk files can be read where it lies."""

    async def get(self, url: str, headers: dict[str, str], limit: int, cache: str) -> Response:
        try:
            with open(path_of(url), "rb") as file:
                return Response(200, {}, file.read(limit + 1))
        except (FileNotFoundError, NotADirectoryError):
            return Response(404, {}, b"")
        except (PermissionError, IsADirectoryError):
            return Response(403, {}, b"")


def path_of(url: str) -> str:
    """The path that a file: URL names."""
    return os.path.abspath(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
