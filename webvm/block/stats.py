"""Counters of what reading an image cost, named after events."""

from dataclasses import asdict, dataclass


@dataclass
class Stats:
    requests:       int = 0     # sent, the repeated ones included
    retries:        int = 0     # of which repeated
    bytes_fetched:  int = 0     # bodies as they came over the wire (compressed, when chunks are)
    blocks_fetched: int = 0     # blocks that came from the image itself, those read ahead included
    blocks_ahead:   int = 0     # asked for before anybody wanted them, wherever they came from
    memory_hits:    int = 0     # blocks found in memory
    store_hits:     int = 0     # blocks found in the persistent store

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
