"""What an array of bytes is to the rest of webvm, and the two that need no network.

Knows nothing of what the bytes mean.
"""

import os
import stat
from collections.abc import Mapping
from typing import Protocol

from webvm.block.errors import NotFound, OutOfRange, Refused, Truncated


class BlockDevice(Protocol):
    size: int       # bytes

    async def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, or BlockError."""

    async def flush(self) -> None:
        """Until what is worth keeping for the next time is kept."""

    def close(self) -> None: ...


class Source(Protocol):
    """An image far away, worth caching: what CachedDevice stands on."""

    size: int
    name: str       # where it is; images of one name replace each other
    identity: str   # differs whenever the content may differ
    run: int        # the most bytes worth asking for in one read
    packs: Mapping[int, tuple[int, ...]]    # offset of a piece of `run` bytes: of all that come in one request with it, itself included

    async def read(self, offset: int, length: int) -> bytes:
        """As of a BlockDevice, but only from within asyncio tasks."""

    async def read_pack(self, offset: int) -> dict[int, bytes]:
        """The pieces `packs[offset]`, by offset; not there where there are no packs."""

    def close(self) -> None: ...


def check_range(size: int, offset: int, length: int) -> None:
    if offset < 0 or length < 0 or offset + length > size:
        raise OutOfRange(f"a read of {length} bytes at {offset} goes beyond the image's {size} bytes")


class BytesDevice:
    """An image that is all in memory."""

    def __init__(self, data: bytes):
        self._data = data
        self.size = len(data)

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        return self._data[offset:offset + length]

    async def flush(self) -> None: ...

    def close(self) -> None:
        self._data = b""


class FileDevice:
    """An image in a local file (or a disk device). Reads block: a local disk is as near as the cache would be."""

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        try:
            self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise NotFound(f"{self.path}: no such image") from None
        except OSError as error:
            raise Refused(f"{self.path}: {error.strerror}") from None
        if not stat.S_ISREG(mode := os.fstat(self._fd).st_mode) and not stat.S_ISBLK(mode):
            self.close()
            raise Refused(f"{self.path}: not an image (neither a file nor a disk)")
        self.size = os.lseek(self._fd, 0, os.SEEK_END)

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        try:
            data = os.pread(self._fd, length, offset)
            while len(data) < length and (more := os.pread(self._fd, length - len(data), offset + len(data))):
                data += more
        except OSError as error:
            raise Refused(f"{self.path}: {error.strerror} at {offset}") from None
        if len(data) < length:
            raise Truncated(f"{self.path}: was cut short at {offset + len(data)} while in use")
        return data

    async def flush(self) -> None: ...

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
