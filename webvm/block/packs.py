"""Packs: chunks that are wanted together, in one file, so that they come in one request.

A pack is its chunks as files of their own would hold them, one behind the other. Which and how long they are stands in
the manifest; a chunk is in one pack at most. Knows neither what wants the chunks nor how they are compressed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from webvm.block.errors import BadManifest
from webvm.block.names import content_name, is_content_name

PACKS = "packs"             # the folder, beside the manifest
PACK_SIZE = 4 << 20         # bytes; more than that becomes several packs


@dataclass(frozen=True)
class Pack:
    SUFFIX: ClassVar[str] = ".pack"

    name: str                   # by its content
    chunks: tuple[int, ...]     # their numbers
    lengths: tuple[int, ...]    # bytes that each takes in the pack

    @property
    def path(self) -> str:
        """Relative to the manifest."""
        return f"{PACKS}/{self.name}{self.SUFFIX}"

    def fields(self) -> dict:
        return {"name": self.name, "chunks": self.chunks, "lengths": self.lengths}

    @classmethod
    def parse(cls, fields: object, names: Sequence[str | None], chunk_size: int) -> "Pack":
        """From a manifest that calls the image's chunks `names`; raises BadManifest."""
        name, chunks, lengths = map(fields.get, ("name", "chunks", "lengths")) if isinstance(fields, dict) else (None, None, None)
        if not is_content_name(name):
            raise BadManifest("the manifest names a pack as no pack is named")
        if not isinstance(chunks, list) or not all(type(number) is int and 0 <= number < len(names) and names[number] for number in chunks):
            raise BadManifest("the manifest puts into a pack what is no chunk")
        if (not isinstance(lengths, list) or len(lengths) != len(chunks) or
                not all(type(length) is int and 0 < length <= chunk_size + 1024 for length in lengths)):
            raise BadManifest("the manifest does not say how long a pack's chunks are")
        return cls(name, tuple(chunks), tuple(lengths))


def pack_up(together: Iterable[Iterable[int]], names: Sequence[str | None], stored: Mapping[int, bytes]) -> Iterator[tuple[Pack, bytes]]:
    """Packs of the chunks that belong `together`, and the content of each.

    `names` and `stored`: of each chunk, what it is called and what its file would hold. Chunks of zeros, and those equal to
    one that is in a pack already, are left out.
    """
    done: set[str] = set()
    for group in together:
        pack: list[int] = []
        size = 0
        for number in group:
            name = names[number]
            if name is None or name in done:
                continue
            done.add(name)
            if pack and size + len(stored[number]) > PACK_SIZE:
                yield _pack(pack, stored)
                pack, size = [], 0
            pack.append(number)
            size += len(stored[number])
        if pack:
            yield _pack(pack, stored)


def _pack(numbers: list[int], stored: Mapping[int, bytes]) -> tuple[Pack, bytes]:
    content = b"".join(stored[number] for number in numbers)
    return Pack(content_name(content), tuple(numbers), tuple(len(stored[number]) for number in numbers)), content
