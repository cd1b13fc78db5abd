"""An image cut into chunk files: the form that any static host serves, without ranges and whatever its file size limit.

    manifest.json            what the image is, and the name of each chunk
    ab/cdefghij234567.zlib   a chunk: named by its content, so it never changes and equal chunks are one file

The name is 80 bits of BLAKE2b in base32; it is also the checksum, of the chunk before compression. A chunk of zeros has
no name and no file. The suffix is one that no server takes for a Content-Encoding.
"""

import base64
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from webvm.block.device import check_range
from webvm.block.errors import BadManifest, Changed, Damaged, NotFound, Refused, TooLong, Truncated
from webvm.block.fetch import Fetcher
from webvm.block.files import replace_file
from webvm.block.transport import Response

MANIFEST = "manifest.json"
FORMAT = "webvm chunks 1"
CHUNK_SIZE = 65536              # a power of two; the block of the cache too
MANIFEST_LIMIT = 64 << 20
SUFFIX = {"zlib": ".zlib", "none": ".raw"}


@dataclass(frozen=True)
class Manifest:
    size: int                       # of the image, bytes; the last chunk may be shorter than the others
    chunk_size: int
    compression: str                # a key of SUFFIX
    chunks: tuple[str | None, ...]

    def path(self, name: str) -> str:
        """Where the chunk called `name` is, relative to the manifest."""
        return f"{name[:2]}/{name[2:]}{SUFFIX[self.compression]}"

    def length(self, number: int) -> int:
        return min(self.chunk_size, self.size - number * self.chunk_size)

    @property
    def identity(self) -> str:
        return hashlib.blake2b(self.dump(), digest_size=16).hexdigest()

    def dump(self) -> bytes:
        fields = {"format": FORMAT, "size": self.size, "chunk_size": self.chunk_size, "compression": self.compression, "chunks": self.chunks}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Raises BadManifest."""
        try:
            fields = json.loads(text)
        except ValueError:
            raise BadManifest("not a chunk manifest (not JSON)") from None
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise BadManifest(f'not a chunk manifest (format is not "{FORMAT}")')
        size, chunk_size, compression, chunks = map(fields.get, ("size", "chunk_size", "compression", "chunks"))
        if type(size) is not int or size < 0:
            raise BadManifest("the manifest gives no size")
        if type(chunk_size) is not int or not 512 <= chunk_size <= 1 << 26 or chunk_size & chunk_size - 1:
            raise BadManifest("the manifest's chunk size is not a power of two between 512 bytes and 64 MiB")
        if compression not in SUFFIX:
            raise BadManifest(f"the manifest's compression is none of {', '.join(SUFFIX)}")
        if not isinstance(chunks, list) or len(chunks) != -(-size // chunk_size):
            raise BadManifest("the manifest's list of chunks does not cover the image")
        name = re.compile("[a-z2-7]{16}").fullmatch
        if not all(chunk is None or isinstance(chunk, str) and name(chunk) for chunk in chunks):
            raise BadManifest("the manifest names a chunk as no chunk is named")
        return cls(size, chunk_size, compression, tuple(chunks))


def chunk_name(chunk: bytes) -> str:
    return base64.b32encode(hashlib.blake2b(chunk, digest_size=10).digest()).decode().lower()


class ChunkDevice:
    def __init__(self, url: str, manifest: Manifest, fetcher: Fetcher):
        """`url`: the manifest's."""
        self.name = url
        self.size = manifest.size
        self.run = self.chunk_size = manifest.chunk_size
        self.identity = f"{url}\n{manifest.identity}"
        self._manifest = manifest
        self._fetcher = fetcher

    @classmethod
    async def open(cls, url: str, fetcher: Fetcher) -> "ChunkDevice":
        """`url`: the manifest's, or the folder's with a slash at its end."""
        url = urljoin(url, MANIFEST) if url.endswith("/") else url
        manifest = await fetcher.get(url, lambda answer: _parse(url, answer), limit=MANIFEST_LIMIT, cache="no-cache")
        return cls(url, manifest, fetcher)

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        if not length:
            return b""
        first, last = offset // self.chunk_size, (offset + length - 1) // self.chunk_size
        data = b"".join([await self._chunk(number) for number in range(first, last + 1)])
        start = offset - first * self.chunk_size
        return data[start:start + length]

    async def _chunk(self, number: int) -> bytes:
        name, length = self._manifest.chunks[number], self._manifest.length(number)
        if name is None:
            return bytes(length)
        url = urljoin(self.name, self._manifest.path(name))
        try:
            return await self._fetcher.get(url, lambda answer: self._judge(url, answer, name, length), limit=length + 1024)
        except NotFound:
            raise Changed(f"{url}: this part of the image is gone; it was published incompletely, or replaced while in use") from None

    def _judge(self, url: str, answer: Response, name: str, length: int) -> bytes:
        if answer.status != 200:
            raise Refused(f"{url}: the server answered with status {answer.status}")
        chunk = answer.body
        if self._manifest.compression == "zlib":
            chunk = _inflate(url, chunk, length)
        if len(chunk) < length:
            raise Truncated(f"{url}: {len(chunk)} bytes came where the manifest says {length}")
        if len(chunk) > length:
            raise TooLong(f"{url}: more than the {length} bytes that the manifest says came")
        if chunk_name(chunk) != name:
            raise Damaged(f"{url}: the content does not have its checksum")
        return chunk

    def close(self) -> None: ...


def _inflate(url: str, data: bytes, length: int) -> bytes:
    """At most `length` + 1 bytes, whatever `data` would expand to."""
    stream = zlib.decompressobj()
    try:
        return stream.decompress(data, length + 1)
    except zlib.error:
        raise Damaged(f"{url}: does not decompress") from None


def _parse(url: str, answer: Response) -> Manifest:
    if answer.status != 200:
        raise Refused(f"{url}: the server answered with status {answer.status}")
    if len(answer.body) > MANIFEST_LIMIT:
        raise BadManifest(f"{url}: too long for a chunk manifest")
    try:
        return Manifest.parse(answer.body)
    except BadManifest as error:
        raise BadManifest(f"{url}: {error}") from None


def write_chunks(image: str | os.PathLike, folder: str | os.PathLike, chunk_size: int = CHUNK_SIZE, compress: bool = True,
                 progress: Callable[[int, int], None] = lambda done, size: None) -> Manifest:
    """Write the image file `image` as chunk files into `folder`, making that what it should be if it holds an older image.

    Chunks already there are kept, others removed; the manifest is replaced last but for that. `progress`: bytes done, of.
    """
    folder = Path(folder)
    size = os.stat(image).st_size
    form = Manifest(size, chunk_size, "zlib" if compress else "none", ())
    zeros = bytes(chunk_size)

    def write(chunk: bytes) -> str | None:
        if chunk == zeros[:len(chunk)]:
            return None
        name = chunk_name(chunk)
        path = folder / form.path(name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, zlib.compress(chunk, 6) if compress else chunk)
        return name

    names: list[str | None] = []
    with open(image, "rb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := [chunk for _ in range(64) if (chunk := file.read(chunk_size))]:
            names += pool.map(write, batch)
            progress(min(len(names) * chunk_size, size), size)
    manifest = Manifest(size, chunk_size, form.compression, tuple(names))
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / MANIFEST, manifest.dump())
    wanted = {folder / manifest.path(name) for name in names if name}
    for path in _chunk_files(folder):
        if path not in wanted:
            path.unlink()
    return manifest


def _chunk_files(folder: Path) -> Iterator[Path]:
    for suffix in SUFFIX.values():
        yield from folder.glob(f"[a-z2-7][a-z2-7]/*{suffix}")
