"""What runs inside the page, called from test_indexeddb.py, test_transport.py and bench.py."""

import asyncio
import hashlib
import itertools
import time

import js
from pyodide.code import run_js

from webvm.block import BlockError, BytesDevice, CachedDevice, Retry, Stats, open_device
from webvm.browser.codestore import CodeStore
from webvm.browser.indexeddb import IndexedDBStore
from webvm.browser.transport import FetchTransport

from . import code_stores, stores

_prefixes = itertools.count()


async def no_sleep(seconds):
    await asyncio.sleep(0)


RETRY = Retry(sleep=no_sleep)


# ---- the store

async def check_store(name):
    """One check of the contract, in databases of its own."""
    prefix = f"test {next(_prefixes)} "
    await next(check for check in stores.CONTRACT if check.__name__ == name)(lambda: IndexedDBStore(prefix=prefix))


async def check_code_store(name):
    place = f"test {next(_prefixes)} "
    await next(check for check in code_stores.CONTRACT if check.__name__ == name)(lambda: CodeStore(place))


async def broken_code_store(broken, patience):
    """What each method raises when IndexedDB has been broken by the JavaScript `broken`, which returns its repair."""
    told = []
    repair = run_js(broken)
    try:
        store = CodeStore(f"test {next(_prefixes)} ", patience)
        for work in (store.read(["a"]), store.write({"a": b"a"}), store.used(["a"]), store.listing(), store.remove(["a"])):
            try:
                await work
            except OSError as error:
                told.append(str(error))
    finally:
        repair()
    return told


class Image(BytesDevice):
    name, identity, run, packs = "image", "one", 1 << 20, {}

    def __init__(self):
        super().__init__(bytes(i * 7 & 255 for i in range(65536)) * 20 + b"end")


async def _device(store):
    """(a device that could not or could use `store`, what the person was told)"""
    troubles = []
    image = Image()
    device = await CachedDevice.open(image, store, on_trouble=troubles.append)
    assert await device.read(65530, 100_000) == await image.read(65530, 100_000)
    await device.flush()
    assert await device.read(0, image.size) == await image.read(0, image.size)
    await device.flush()
    device.close()
    return troubles


async def with_storage(broken, patience):
    """What a device tells the person when IndexedDB has been broken by the JavaScript `broken`, which returns its repair."""
    repair = run_js(broken)
    try:
        return await _device(IndexedDBStore(patience=patience, prefix=f"test {next(_prefixes)} "))
    finally:
        repair()


async def with_much_to_keep(others):
    """What a device of 4 MiB tells the person, after `others` images of 2 MiB were kept under the same prefix."""
    prefix = f"test {next(_prefixes)} "
    for number in range(others):
        store = IndexedDBStore(prefix=prefix)
        await store.open(f"other {number}", "one")
        await store.put_many({n: js.crypto.getRandomValues(js.Uint8Array.new(65536)).to_bytes() for n in range(32)})
        store.close()
    source = Image()
    source._data = b"".join(js.crypto.getRandomValues(js.Uint8Array.new(65536)).to_bytes() for n in range(64))
    source.size = len(source._data)
    troubles = []
    device = await CachedDevice.open(source, IndexedDBStore(prefix=prefix), on_trouble=troubles.append)
    assert await device.read(0, source.size) == source._data
    await device.flush()
    device.close()
    return troubles


async def with_limit():
    store = IndexedDBStore(limit=5 * 70_000, prefix=f"test {next(_prefixes)} ")
    return await _device(store)


async def other_tab():
    """A tab with the old image puts after another tab found a new one: what the new one then finds, and what was told."""
    prefix = f"test {next(_prefixes)} "
    old, new = IndexedDBStore(prefix=prefix), IndexedDBStore(prefix=prefix)
    await old.open("image", "old")
    await new.open("image", "new")
    try:
        await old.put_many({1: b"old"})
    except OSError as error:
        return [len(await new.get_many([1])), str(error)]


async def visit(url):
    """Counters of a visit that reads a little of the disk at `url`."""
    device = await open_device(url, FetchTransport(), IndexedDBStore(prefix="test visits "), stats=(stats := Stats()), retry=RETRY)
    data = await device.read(100_000, 1_000_000)
    await device.flush()
    device.close()
    return stats.as_dict() | {"hash": hashlib.sha256(data).hexdigest()}


# ---- the transport

async def get(url, headers, limit, cache, idle=60, total=60):
    """The bare transport's answer; the name of the error and its text when there is none."""
    try:
        answer = await FetchTransport(idle, total).get(url, headers, limit, cache)
    except OSError as error:
        return [type(error).__name__, str(error)]
    return [answer.status, answer.headers, hashlib.sha256(answer.body).hexdigest(), len(answer.body)]


async def read(url, offset, length, wait=None):
    """A read as the guest's file system does it; the name of the error and its text when it fails."""
    troubles = []
    try:
        device = await open_device(url, FetchTransport(), retry=RETRY, on_trouble=troubles.append)
        data = await device.read(offset, length)
    except BlockError as error:
        return [type(error).__name__, str(error), troubles]
    return ["", hashlib.sha256(data).hexdigest(), troubles]


# ---- figures

async def figures():
    """Microseconds: a read of 4 KiB from memory, and a block of 64 KiB put and got, alone and in batches."""
    device = await CachedDevice.open(Image())
    await device.read(0, device.size)
    start = time.perf_counter()
    for _ in range(20_000):
        try:
            device.read(8192, 4096).send(None)
        except StopIteration:
            pass
    hit = (time.perf_counter() - start) / 20_000
    result = {"hit": hit * 1e6}

    store = IndexedDBStore(prefix="test figures ")
    await store.open("image", str(time.time()))
    block = bytes(js.crypto.getRandomValues(js.Uint8Array.new(65536)).to_py()) + b"seal"
    for batch in (1, 16, 64):
        start = time.perf_counter()
        for first in range(0, 256, batch):
            await store.put_many(dict.fromkeys(range(first, first + batch), block))
        result[f"put {batch}"] = (time.perf_counter() - start) / 256 * 1e6
    for batch in (1, 16, 64):
        start = time.perf_counter()
        for first in range(0, 256, batch):
            assert len(await store.get_many(list(range(first, first + batch)))) == batch
        result[f"get {batch}"] = (time.perf_counter() - start) / 256 * 1e6
    await store.clear()
    return result
