"""From what a person types to a device: the one place that knows all the forms an image comes in."""

import os
from pathlib import Path

from webvm.block.cache import BLOCK_SIZE, MEMORY, READ_AHEAD, CachedDevice
from webvm.block.chunks import MANIFEST, ChunkDevice
from webvm.block.device import BlockDevice, BytesDevice, FileDevice
from webvm.block.errors import Refused
from webvm.block.fetch import Fetcher, Retry, Trouble, nobody
from webvm.block.http import open_http
from webvm.block.stats import Stats
from webvm.block.store import Store
from webvm.block.transport import Transport


async def open_device(spec: str | os.PathLike, transport: Transport | None = None, store: Store | None = None, *,
                      stats: Stats | None = None, on_trouble: Trouble = nobody, retry: Retry = Retry(),
                      memory: int = MEMORY, read_ahead: int = READ_AHEAD) -> BlockDevice:
    """The image that `spec` names; raises BlockError.

    An http(s) URL needs `transport`: of a folder of chunk files (it ends in "/") or its manifest (".json"), otherwise of an
    image. Anything else is a path: of an image, or of a folder of chunk files or its manifest. `store` is for URLs only.
    """
    stats = stats if stats is not None else Stats()
    url = os.fspath(spec)
    if url.startswith(("http://", "https://")):
        if transport is None:
            raise Refused(f"{url}: nothing here can fetch a URL")
    else:
        path = Path(url) / MANIFEST if Path(url).is_dir() else Path(url)
        if path.suffix != ".json":
            return FileDevice(path)
        from webvm.block.native import FileTransport    # not for the page, where urllib takes long to import
        url, transport, store = path.absolute().as_uri(), FileTransport(), None

    fetcher = Fetcher(transport, retry, stats, on_trouble)
    if url.partition("?")[0].endswith(("/", ".json")):
        source = await ChunkDevice.open(url, fetcher)
        block_size = source.chunk_size
    else:
        source = await open_http(url, fetcher)
        if isinstance(source, BytesDevice):
            return source
        block_size = BLOCK_SIZE
    return await CachedDevice.open(source, store, block_size=block_size, memory=memory, read_ahead=read_ahead,
                                   stats=stats, on_trouble=on_trouble)
