"""The page's store for webvm.block: IndexedDB, a database for each image.

Knows how to keep records by number in batches (one transaction each, which is what IndexedDB is fast at); does not know
what is in them. A private window, a full disk, a browser that hangs: each becomes an OSError, after which the user of
the store goes on without.
"""

import json

from pyodide.ffi import to_js

from webvm.browser.database import Database, free

# Database "webvm disk NAME": object store "blocks" (number: ArrayBuffer), and "about" ("identity": string). The identity
# is compared inside each transaction that writes, for another tab may have found a newer image meanwhile.
_CALLS = """
    let db = null, known = null;
    const prefix = name;
    const calls = {
        async open(name, identity) {
            db = await opened(prefix + name, "blocks", "about");
            known = identity;
            const transaction = write(db), done = finish(transaction);
            const blocks = transaction.objectStore("blocks"), about = transaction.objectStore("about");
            if (await answer(about.get("identity")) !== identity) {
                blocks.clear();
                about.put(identity, "identity");
            }
            const count = await answer(blocks.count());
            await done;
            return count;
        },
        get: async (numbers) => joined(db.transaction("blocks").objectStore("blocks"), JSON.parse(numbers)),
        async put(numbers, lengths, joined) {
            const transaction = write(db), done = finish(transaction);
            const blocks = transaction.objectStore("blocks");
            if (await answer(transaction.objectStore("about").get("identity")) !== known)
                throw new Error("another tab uses a newer version of this disk");
            const buffers = cut(JSON.parse(lengths), joined);
            JSON.parse(numbers).forEach((number, i) => blocks.put(buffers[i], number));
            free(buffers);
            await done;
        },
        async clear() {
            if (db) {
                const transaction = write(db), done = finish(transaction);
                transaction.objectStore("blocks").clear();
                await done;
            }
            await calls.deleteOthers();
        },
        async deleteOthers() {
            const all = indexedDB.databases ? await indexedDB.databases() : [];
            const others = all.filter(({ name }) => name.startsWith(prefix) && name !== db?.name);
            await Promise.all(others.map(({ name }) => answer(indexedDB.deleteDatabase(name))));
            return others.length;
        },
        async close() { db?.close(); },
    };
    return calls;
"""


class IndexedDBStore:
    def __init__(self, limit: int = 1 << 30, patience: float = 10.0, prefix: str = "webvm disk "):
        """`limit`: bytes kept of one image at most; `patience`: seconds until a call counts as failed."""
        self._database = Database(_CALLS, prefix, patience)
        self._limit = limit
        self._count = 0

    async def open(self, name: str, identity: str) -> None:
        """See webvm.block.store.Store, here and below."""
        self._count = await self._database.call("open", name, identity)

    async def get_many(self, numbers: list[int]) -> dict[int, bytes]:
        return await self._database.joined("get", numbers)

    async def put_many(self, records: dict[int, bytes]) -> None:
        self._count += len(records)
        if self._count * max(map(len, records.values())) > self._limit:
            raise OSError(f"the {self._limit >> 20} MiB allowed for it are full")
        joined = to_js(b"".join(records.values()))
        args = json.dumps(list(records)), json.dumps([len(record) for record in records.values()]), joined
        try:
            await self._database.call("put", *args)
        except OSError as error:
            if "QuotaExceededError" not in str(error) or not await self._database.call("deleteOthers"):
                raise
            await self._database.call("put", *args)
        finally:
            free(joined)

    async def clear(self) -> None:
        await self._database.call("clear")
        self._count = 0

    def close(self) -> None:
        self._database.call_now("close")
