"""Where blocks outlive the process: the protocol, and the seal that tells a kept block from a damaged or foreign one.

The native form is in webvm.block.directory, the page's own (IndexedDB) in webvm.browser. A store imports nothing of
this and need not be trusted: what comes back without its seal counts as not there.
"""

import zlib
from typing import Protocol


class Store(Protocol):
    """Any method raises OSError when the store is refused, full or broken: its user goes on without it."""

    async def open(self, name: str, identity: str) -> None:
        """From now on, the blocks of the image called `name`; those kept under another identity of it are dropped."""

    async def get_many(self, numbers: list[int]) -> dict[int, bytes]:
        """The records of those that are there."""

    async def put_many(self, records: dict[int, bytes]) -> None: ...

    async def clear(self) -> None:
        """Drop everything, of every image."""

    def close(self) -> None: ...


class Seal:
    """Four bytes behind each block: the CRC-32 of image identity, block number and content."""

    def __init__(self, identity: str):
        self._seed = zlib.crc32(identity.encode())

    def _sum(self, number: int, block) -> bytes:
        return zlib.crc32(block, zlib.crc32(number.to_bytes(8, "little"), self._seed)).to_bytes(4, "little")

    def close(self, number: int, block: bytes) -> bytes:
        return block + self._sum(number, block)

    def open(self, number: int, record: bytes, length: int) -> bytes | None:
        """The block, if `record` is whole, undamaged and of this image and place."""
        block = record[:-4]
        return block if len(block) == length and record[-4:] == self._sum(number, block) else None
