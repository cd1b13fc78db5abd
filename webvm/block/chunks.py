"""An image cut into chunk files: the form that any static host serves, without ranges and whatever its file size limit.

    manifest.json            what the image is, the name of each chunk, and what is in the packs
    ab/cdefghij234567.zlib   a chunk: named by its content, so it never changes and equal chunks are one file
    packs/abcdefghij23.pack  chunks that are wanted together (webvm.block.packs); these have no files of their own

The name is 80 bits of BLAKE2b in base32; it is also the checksum, of the chunk before compression. A chunk of zeros has
no name and no file. The suffix is one that no server takes for a Content-Encoding.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

from webvm.block.device import check_range
from webvm.block.errors import BadManifest, Changed, Damaged, NotFound, Refused, TooLong, Truncated
from webvm.block.fetch import Fetcher
from webvm.block.files import replace_file
from webvm.block.names import content_name, is_content_name
from webvm.block.packs import PACKS, Pack, pack_up
from webvm.block.transport import Response

MANIFEST = "manifest.json"
FORMAT = "webvm chunks 1"
CHUNK_SIZE = 65536              # a power of two; the block of the cache too
MANIFEST_LIMIT = 64 << 20
SUFFIX = {"zlib": ".zlib", "none": ".raw"}

T = TypeVar("T")


@dataclass(frozen=True)
class Manifest:
    size: int                       # of the image, bytes; the last chunk may be shorter than the others
    chunk_size: int
    compression: str                # a key of SUFFIX
    chunks: tuple[str | None, ...]
    packs: tuple[Pack, ...] = ()

    def path(self, name: str) -> str:
        """Where the chunk called `name` is, relative to the manifest."""
        return f"{name[:2]}/{name[2:]}{SUFFIX[self.compression]}"

    def length(self, number: int) -> int:
        return min(self.chunk_size, self.size - number * self.chunk_size)

    @property
    def identity(self) -> str:
        """The same for equal images, however they are packed."""
        return hashlib.blake2b(_json(self._fields()), digest_size=16).hexdigest()

    def dump(self) -> bytes:
        packs = {"packs": [pack.fields() for pack in self.packs]} if self.packs else {}
        return _json(self._fields() | packs)

    def _fields(self) -> dict:
        return {"format": FORMAT, "size": self.size, "chunk_size": self.chunk_size, "compression": self.compression, "chunks": self.chunks}

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
        if not all(chunk is None or is_content_name(chunk) for chunk in chunks):
            raise BadManifest("the manifest names a chunk as no chunk is named")
        packs = fields.get("packs", [])
        if not isinstance(packs, list):
            raise BadManifest("the manifest's list of packs is none")
        return cls(size, chunk_size, compression, tuple(chunks), tuple(Pack.parse(pack, chunks, chunk_size) for pack in packs))


def _json(fields: dict) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


class ChunkDevice:
    def __init__(self, url: str, manifest: Manifest, fetcher: Fetcher):
        """`url`: the manifest's."""
        self.name = url
        self.size = manifest.size
        self.run = self.chunk_size = manifest.chunk_size
        self.identity = f"{url}\n{manifest.identity}"
        self._manifest = manifest
        self._fetcher = fetcher
        self._pack_of: dict[str, Pack] = {}                 # chunk's name: where it is
        members: dict[Pack, list[int]] = {}                 # offsets of the chunks, equal ones several times
        for pack in manifest.packs:
            for number in pack.chunks:
                self._pack_of.setdefault(manifest.chunks[number], pack)
        for number, name in enumerate(manifest.chunks if self._pack_of else ()):
            if pack := self._pack_of.get(name):
                members.setdefault(pack, []).append(number * self.chunk_size)
        self.packs = {offset: tuple(offsets) for offsets in members.values() for offset in offsets}

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

    async def read_pack(self, offset: int) -> dict[int, bytes]:
        """All chunks that the pack of the one at `offset` holds, by offset; see Source."""
        pack = self._pack_of[self._manifest.chunks[offset // self.chunk_size]]
        url = urljoin(self.name, pack.path)
        chunks = await self._get(url, lambda answer: self._unpack(url, answer, pack), sum(pack.lengths))
        numbers = (at // self.chunk_size for at in self.packs[offset])
        return {number * self.chunk_size: chunks[self._manifest.chunks[number]] for number in numbers}

    async def _chunk(self, number: int) -> bytes:
        name, length = self._manifest.chunks[number], self._manifest.length(number)
        if name is None:
            return bytes(length)
        if name in self._pack_of:
            return (await self.read_pack(number * self.chunk_size))[number * self.chunk_size]
        url = urljoin(self.name, self._manifest.path(name))
        return await self._get(url, lambda answer: self._judge(url, _body(url, answer), name, length), length + 1024)

    async def _get(self, url: str, judge: Callable[[Response], T], limit: int) -> T:
        try:
            return await self._fetcher.get(url, judge, limit=limit)
        except NotFound:
            raise Changed(f"{url}: this part of the image is gone; it was published incompletely, or replaced while in use") from None

    def _unpack(self, url: str, answer: Response, pack: Pack) -> dict[str, bytes]:
        """The pack's chunks by name."""
        body, chunks, at = _body(url, answer), {}, 0
        _check_length(url, body, sum(pack.lengths))
        for number, length in zip(pack.chunks, pack.lengths):
            name = self._manifest.chunks[number]
            chunks[name] = self._judge(url, body[at:at + length], name, self._manifest.length(number))
            at += length
        return chunks

    def _judge(self, url: str, stored: bytes, name: str, length: int) -> bytes:
        """The chunk that `stored` is, if it is the one called `name`."""
        chunk = _inflate(url, stored, length) if self._manifest.compression == "zlib" else stored
        _check_length(url, chunk, length)
        if content_name(chunk) != name:
            raise Damaged(f"{url}: the content does not have its checksum")
        return chunk

    def close(self) -> None: ...


def _body(url: str, answer: Response) -> bytes:
    if answer.status != 200:
        raise Refused(f"{url}: the server answered with status {answer.status}")
    return answer.body


def _check_length(url: str, data: bytes, length: int) -> None:
    if len(data) < length:
        raise Truncated(f"{url}: {len(data)} bytes came where the manifest says {length}")
    if len(data) > length:
        raise TooLong(f"{url}: more than the {length} bytes that the manifest says came")


def _inflate(url: str, data: bytes, length: int) -> bytes:
    """At most `length` + 1 bytes, whatever `data` would expand to."""
    stream = zlib.decompressobj()
    try:
        return stream.decompress(data, length + 1)
    except zlib.error:
        raise Damaged(f"{url}: does not decompress") from None


def _parse(url: str, answer: Response) -> Manifest:
    text = _body(url, answer)
    if len(text) > MANIFEST_LIMIT:
        raise BadManifest(f"{url}: too long for a chunk manifest")
    try:
        return Manifest.parse(text)
    except BadManifest as error:
        raise BadManifest(f"{url}: {error}") from None


def write_chunks(image: str | os.PathLike, folder: str | os.PathLike, chunk_size: int = CHUNK_SIZE, compress: bool = True,
                 together: Iterable[Iterable[int]] = (), progress: Callable[[int, int], None] = lambda done, size: None) -> Manifest:
    """Write the image file `image` as chunk files into `folder`, making that what it should be if it holds an older image.

    Chunks already there are kept, others removed; the manifest is replaced last but for that. `together`: numbers of chunks
    that are wanted together, to go into packs instead of files of their own. `progress`: bytes done, of.
    """
    folder = Path(folder)
    size = os.stat(image).st_size
    form = Manifest(size, chunk_size, "zlib" if compress else "none", ())
    zeros = bytes(chunk_size)
    together = [list(group) for group in together]
    stored: dict[int, bytes] = dict.fromkeys((number for group in together for number in group), b"")    # of those in packs

    def write(number: int, chunk: bytes) -> str | None:
        if chunk == zeros[:len(chunk)]:
            return None
        name = content_name(chunk)
        if number in stored:
            stored[number] = _deflate(chunk) if compress else chunk
            return name
        path = folder / form.path(name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, _deflate(chunk) if compress else chunk)
        return name

    names: list[str | None] = []
    with open(image, "rb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := [chunk for _ in range(64) if (chunk := file.read(chunk_size))]:
            names += pool.map(write, range(len(names), len(names) + len(batch)), batch)
            progress(min(len(names) * chunk_size, size), size)
    packs = list(pack_up(together, names, stored))
    manifest = Manifest(size, chunk_size, form.compression, tuple(names), tuple(pack for pack, _ in packs))
    (folder / PACKS if packs else folder).mkdir(parents=True, exist_ok=True)
    for pack, content in packs:
        if not (folder / pack.path).exists():
            replace_file(folder / pack.path, content)
    replace_file(folder / MANIFEST, manifest.dump())
    packed = {names[number] for pack in manifest.packs for number in pack.chunks}
    wanted = {folder / manifest.path(name) for name in names if name and name not in packed} | {folder / pack.path for pack in manifest.packs}
    for path in _chunk_files(folder):
        if path not in wanted:
            path.unlink()
    return manifest


def _deflate(chunk: bytes) -> bytes:
    return zlib.compress(chunk, 6)


def _chunk_files(folder: Path) -> Iterator[Path]:
    for suffix in SUFFIX.values():
        yield from folder.glob(f"[a-z2-7][a-z2-7]/*{suffix}")
    yield from folder.glob(f"{PACKS}/*{Pack.SUFFIX}")
