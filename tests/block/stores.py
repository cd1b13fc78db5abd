"""What every webvm.block.store.Store does: run over DirectoryStore natively and over IndexedDBStore in the page.

Each check takes `make`, which gives a store over the same place every time.
"""

import asyncio


async def what_was_put_is_got_by_number(make):
    store = make()
    await store.open("image", "one")
    await store.put_many({5: b"five", 0: b"", 1 << 30: bytes(range(256)) * 300})
    assert await store.get_many([0, 7, 1 << 30, 5]) == {0: b"", 1 << 30: bytes(range(256)) * 300, 5: b"five"}
    assert await store.get_many([1, 2]) == {}
    store.close()


async def records_outlive_the_store(make):
    store = make()
    await store.open("image", "one")
    await store.put_many({1: b"one", 2: b"two"})
    await store.put_many({2: b"new two"})
    store.close()
    store = make()
    await store.open("image", "one")
    assert await store.get_many([1, 2]) == {1: b"one", 2: b"new two"}
    store.close()


async def another_identity_drops_all_records_of_the_image(make):
    store = make()
    await store.open("image", "one")
    await store.put_many({1: b"one"})
    store.close()
    for identity in ("two\n\u1234", "one"):
        store = make()
        await store.open("image", identity)
        assert await store.get_many([1]) == {}
        store.close()


async def images_of_other_names_are_apart(make):
    stores = make(), make()
    for store, name in zip(stores, ("https://example.org/a?b=c&d=../..", "image\n2")):
        await store.open(name, "one")
        await store.put_many({1: name.encode()})
    assert await stores[0].get_many([1]) == {1: b"https://example.org/a?b=c&d=../.."}
    assert await stores[1].get_many([1]) == {1: b"image\n2"}
    for store in stores:
        store.close()


async def clearing_drops_everything_and_the_store_still_works(make):
    other, store = make(), make()
    await other.open("other", "one")
    await other.put_many({1: b"one"})
    other.close()
    await store.open("image", "one")
    await store.put_many({1: b"one"})
    await store.clear()
    assert await store.get_many([1]) == {}
    await store.put_many({2: b"two"})
    assert await store.get_many([1, 2]) == {2: b"two"}
    store.close()
    other = make()
    await other.open("other", "one")
    assert await other.get_many([1]) == {}
    other.close()


async def clearing_before_opening_drops_everything(make):
    store = make()
    await store.open("image", "one")
    await store.put_many({1: b"one"})
    store.close()
    await make().clear()
    store = make()
    await store.open("image", "one")
    assert await store.get_many([1]) == {}
    store.close()


async def many_at_once(make):
    store = make()
    await store.open("image", "one")
    await asyncio.gather(*(store.put_many({n * 20 + i: bytes([n, i]) * 3000 for i in range(20)}) for n in range(5)))
    for got in await asyncio.gather(*(store.get_many(list(range(n, 100, 5))) for n in range(5))):
        assert all(record == bytes(divmod(number, 20)) * 3000 for number, record in got.items()) and len(got) == 20
    store.close()


CONTRACT = [what_was_put_is_got_by_number, records_outlive_the_store, another_identity_drops_all_records_of_the_image,
            images_of_other_names_are_apart, clearing_drops_everything_and_the_store_still_works,
            clearing_before_opening_drops_everything, many_at_once]
