"""Arrays of bytes: an image near by or far away, and the blocks of it that are kept.

Start with `open_device`. Knows nothing of what the bytes mean. `webvm.block.native` and `webvm.block.directory` hold what
only a Python with sockets and files can use.
"""

from webvm.block.cache import CachedDevice
from webvm.block.chunks import ChunkDevice, Manifest, write_chunks
from webvm.block.device import BlockDevice, BytesDevice, FileDevice
from webvm.block.errors import BlockError
from webvm.block.fetch import Fetcher, Retry
from webvm.block.http import HttpDevice, open_http
from webvm.block.open import open_device
from webvm.block.stats import Stats
from webvm.block.store import Store
from webvm.block.transport import Response, Transport

__all__ = ["BlockDevice", "BlockError", "BytesDevice", "CachedDevice", "ChunkDevice", "Fetcher", "FileDevice", "HttpDevice",
           "Manifest", "Response", "Retry", "Stats", "Store", "Transport", "open_device", "open_http", "write_chunks"]
