"""A store in a folder, for a Python with files: one folder for each image, one file for each block.

Calls block: reading 64 KiB from a local disk takes less than handing it to a thread would.
"""

import hashlib
import os
import shutil
from pathlib import Path

from webvm.block.files import replace_file

IDENTITY = "identity"       # a file in each image's folder, touched whenever the image is opened


def user_cache() -> Path:
    """Where the user keeps what can be had again (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webvm"


class DirectoryStore:
    def __init__(self, folder: str | os.PathLike, limit: int = 2 << 30):
        """`limit`: bytes kept at most; images not opened for longest go first, then this image's oldest blocks."""
        self._root = Path(folder)
        self._limit = limit
        self._folder = self._root
        self._bytes = 0

    async def open(self, name: str, identity: str) -> None:
        self._folder = self._root / hashlib.blake2b(name.encode(), digest_size=10).hexdigest()
        mark = self._folder / IDENTITY
        if not mark.exists() or mark.read_bytes() != identity.encode():
            if self._folder.exists():
                shutil.rmtree(self._folder)
            self._folder.mkdir(parents=True)
            replace_file(mark, identity.encode())
        os.utime(mark)
        self._bytes = sum(size for _, size in self._images().values())

    async def get_many(self, numbers: list[int]) -> dict[int, bytes]:
        records = {}
        for number in numbers:
            try:
                records[number] = self._path(number).read_bytes()
            except FileNotFoundError:
                pass
        return records

    async def put_many(self, records: dict[int, bytes]) -> None:
        self._bytes += sum(map(len, records.values()))
        if self._bytes > self._limit:
            self._make_room()
        for number, record in records.items():
            replace_file(self._path(number), record)

    async def clear(self) -> None:
        for image in self._images():
            if image != self._folder:
                shutil.rmtree(image, ignore_errors=True)
        for record in self._records():
            Path(record).unlink(missing_ok=True)
        self._bytes = 0

    def close(self) -> None: ...

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08x}"

    def _images(self) -> dict[Path, tuple[float, int]]:
        """Each image's folder: (when last opened, bytes)."""
        return {mark.parent: (mark.stat().st_mtime, sum(file.stat().st_size for file in os.scandir(mark.parent)))
                for mark in self._root.glob(f"*/{IDENTITY}")}

    def _records(self) -> list[os.DirEntry]:
        """Of the image that is open."""
        if self._folder == self._root:
            return []
        return [file for file in os.scandir(self._folder) if file.name != IDENTITY]

    def _make_room(self) -> None:
        """Go down to three quarters of the limit, so that this is seldom needed."""
        target = self._limit * 3 // 4
        images = sorted((when, size, image) for image, (when, size) in self._images().items() if image != self._folder)
        for _, size, image in images:
            if self._bytes > target:
                shutil.rmtree(image, ignore_errors=True)
                self._bytes -= size
        for _, size, path in sorted((record.stat().st_mtime_ns, record.stat().st_size, record.path) for record in self._records()):
            if self._bytes > target:
                Path(path).unlink(missing_ok=True)
                self._bytes -= size
