"""An image in one file on a server that answers HTTP range requests (RFC 9110, section 14).

Knows ranges and the headers that tell one version of a file from another. If-Range is not used: across origins it
costs a preflight request that many hosts refuse, and every answer carries the version to compare anyway.
"""

import hashlib
import re

from webvm.block.device import BytesDevice, check_range
from webvm.block.errors import Changed, NoRanges, Refused, TooLong, Truncated, WrongRange
from webvm.block.fetch import Fetcher
from webvm.block.transport import Response

HEAD = 2048             # bytes read first: the size comes with them, and a file system's superblock is in them
SMALL = 8 << 20         # a file up to this size is taken whole from a server that ignores Range
RUN = 1 << 20


async def open_http(url: str, fetcher: Fetcher) -> "HttpDevice | BytesDevice":
    """The image at `url`; a BytesDevice when the server knows no ranges but the image is small."""
    return await fetcher.get(url, lambda answer: _first(url, fetcher, answer),
                             headers=_range(0, HEAD), limit=SMALL, cache="no-store")


def _first(url: str, fetcher: Fetcher, answer: Response) -> "HttpDevice | BytesDevice":
    if answer.status == 200:
        return _whole(url, answer)
    if answer.status == 416:
        raise Refused(f"{url}: the image is empty")
    if answer.status != 206:
        raise Refused(f"{url}: the server answered with status {answer.status}")
    first, last, size = _content_range(url, answer)
    if first != 0 or last != min(HEAD, size) - 1:
        raise WrongRange(f"{url}: asked for the first {HEAD} bytes, the server answered with {first}-{last}")
    _check_length(url, answer.body, last + 1)
    return HttpDevice(url, fetcher, size, _version(answer), answer.body)


def _whole(url: str, answer: Response) -> BytesDevice:
    text = answer.headers.get("content-length", "")
    announced = int(text) if text.isdecimal() else 0
    if max(len(answer.body), announced) > SMALL:
        raise NoRanges(f"{url}: the server ignores range requests and the image is too big to load whole; "
                       "publish it as chunk files instead")
    if len(answer.body) < announced:
        raise Truncated(f"{url}: {len(answer.body)} bytes came where {announced} were announced")
    return BytesDevice(answer.body)


class HttpDevice:
    def __init__(self, url: str, fetcher: Fetcher, size: int, version: str, head: bytes):
        """`head`: the image's first bytes, part of its identity beside what the server says of it."""
        self.name = url
        self.size = size
        self.run = RUN
        self.packs = {}
        self.identity = "\n".join((url, str(size), version, hashlib.blake2b(head, digest_size=16).hexdigest()))
        self._version = version
        self._fetcher = fetcher
        self._changed = False

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        if self._changed:
            raise self._change()
        if not length:
            return b""
        return await self._fetcher.get(self.name, lambda answer: self._judge(answer, offset, length),
                                       headers=_range(offset, length), limit=length, cache="no-store")

    def _judge(self, answer: Response, offset: int, length: int) -> bytes:
        if answer.status not in (200, 206, 416):
            raise Refused(f"{self.name}: the server answered with status {answer.status}")
        if answer.status == 416 or _version(answer) != self._version:
            raise self._change()
        if answer.status == 200:
            raise NoRanges(f"{self.name}: the server stopped answering range requests")
        first, last, size = _content_range(self.name, answer)
        if size != self.size:
            raise self._change()
        if (first, last) != (offset, offset + length - 1):
            raise WrongRange(f"{self.name}: asked for bytes {offset}-{offset + length - 1}, the server answered with {first}-{last}")
        _check_length(self.name, answer.body, length)
        return answer.body

    def _change(self) -> Changed:
        self._changed = True
        return Changed(f"{self.name}: the image was replaced while in use; start again to use the new one")

    def close(self) -> None: ...


def _range(offset: int, length: int) -> dict[str, str]:
    return {"Range": f"bytes={offset}-{offset + length - 1}"}


def _version(answer: Response) -> str:
    return answer.headers.get("etag") or answer.headers.get("last-modified") or ""


def _content_range(url: str, answer: Response) -> tuple[int, int, int]:
    """(first, last, size) of a 206 answer."""
    text = answer.headers.get("content-range")
    if text is None:
        raise WrongRange(f"{url}: the answer has no Content-Range (from another origin, the server must expose it: "
                         "Access-Control-Expose-Headers)")
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text.strip())
    if not match:
        raise WrongRange(f"{url}: cannot make sense of Content-Range: {text[:80]}")
    return int(match[1]), int(match[2]), int(match[3])


def _check_length(url: str, body: bytes, length: int) -> None:
    if len(body) < length:
        raise Truncated(f"{url}: {len(body)} bytes came where {length} were announced")
    if len(body) > length:
        raise TooLong(f"{url}: more than the {length} bytes asked for came")
