"""Microseconds of the ways a block goes, natively and in Chromium, as JSON: python -m tests.block.bench"""

import asyncio
import json
import os
import tempfile
import time

from webvm.block import BytesDevice, CachedDevice
from webvm.block.directory import DirectoryStore


class Image(BytesDevice):
    name, identity, run, packs = "image", "one", 1 << 20, {}


async def native():
    """The same figures as in_page.figures."""
    device = await CachedDevice.open(Image(os.urandom(20 * 65536)))
    await device.read(0, device.size)
    start = time.perf_counter()
    for _ in range(50_000):
        try:
            device.read(8192, 4096).send(None)
        except StopIteration:
            pass
    result = {"hit": (time.perf_counter() - start) / 50_000 * 1e6}
    with tempfile.TemporaryDirectory() as folder:
        store = DirectoryStore(folder)
        await store.open("image", "one")
        block = os.urandom(65540)
        start = time.perf_counter()
        await store.put_many(dict.fromkeys(range(256), block))
        result["put 64"] = (time.perf_counter() - start) / 256 * 1e6
        start = time.perf_counter()
        await store.get_many(list(range(256)))
        result["get 64"] = (time.perf_counter() - start) / 256 * 1e6
    return result


if __name__ == "__main__":
    from .page import opened
    with opened() as page:
        print(json.dumps({"native": asyncio.run(native()), "chromium": page.call("figures")}, indent=1))
