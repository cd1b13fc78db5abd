"""What every webvm.jit.cache.Store does: run over FolderStore natively (tests/jit/test_cache.py) and over the page's store.

Each check takes `make`, which gives a store over the same place every time.
"""

import time


async def what_was_written_is_read_by_name(make):
    store = make()
    await store.write({"one": bytes(range(256)) * 300, "empty": b"", "two": b"2"})
    assert await store.read(["two", "none", "one"]) == {"two": b"2", "one": bytes(range(256)) * 300}
    assert await store.read(["empty"]) == {"empty": b""}
    assert await store.read(["none"]) == {} == await store.read([])


async def files_outlive_the_store(make):
    store = make()
    await store.write({"one": b"1"})
    await store.write({"one": b"new"})
    assert await make().read(["one"]) == {"one": b"new"}


async def what_is_removed_is_gone(make):
    store = make()
    await store.write({name: name.encode() for name in ("one", "two", "three")})
    await store.remove(["one", "three", "never there"])
    assert await store.read(["one", "two", "three"]) == {"two": b"two"}
    assert [row[1:] for row in await store.listing()] == [(3, "two")]


async def a_listing_has_sizes_and_when_files_were_used(make):
    store = make()
    start = time.time()
    await store.write({"one": bytes(1000), "two": b""})
    rows = {name: (used, size) for used, size, name in await make().listing()}
    assert {name: size for name, (_, size) in rows.items()} == {"one": 1000, "two": 0}
    assert all(start - 1 < used < time.time() + 1 for used, _ in rows.values())
    while time.time() - start < 0.05:                       # so that the clock has gone on
        pass
    await store.used(["one", "never there"])
    after = {name: used for used, _, name in await store.listing()}
    assert after["one"] > rows["one"][0] and after["two"] == rows["two"][0] and "never there" not in after


CONTRACT = (what_was_written_is_read_by_name, files_outlive_the_store, what_is_removed_is_gone,
            a_listing_has_sizes_and_when_files_were_used)
