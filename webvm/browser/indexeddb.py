"""The page's store for webvm.block: IndexedDB, a database for each image.

Knows how to keep records by number in batches (one transaction each, which is what IndexedDB is fast at); does not know
what is in them. A private window, a full disk, a browser that hangs: each becomes an OSError, after which the user of
the store goes on without.
"""

import json

from pyodide.code import run_js
from pyodide.ffi import JsException, to_js

# Database "webvm disk NAME": object store "blocks" (number: ArrayBuffer), and "about" ("identity": string). The identity
# is compared inside each transaction that writes, for another tab may have found a newer image meanwhile.
_open = run_js("""
(prefix, patience) => {
    const answer = request => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
        request.onblocked = () => resolve(null);            // of a deletion: done once other tabs are closed
    });
    const finish = transaction => {
        const done = new Promise((resolve, reject) => {
            transaction.oncomplete = () => resolve();
            transaction.onabort = () => reject(transaction.error ?? new Error("transaction aborted"));
        });
        done.catch(() => {});       // where a request's own failure is reported first
        return done;
    };
    const within = (work, timer) => Promise.race([
        work,
        new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("browser storage does not answer")), patience * 1000); }),
    ]).catch(error => {
        throw new Error([error?.name, error?.message].filter(Boolean).join(": "));  // Pyodide never resumes who awaits anything but an Error
    }).finally(() => clearTimeout(timer));

    let db = null, known = null;
    const write = () => db.transaction(["blocks", "about"], "readwrite", { durability: "relaxed" });

    const calls = {
        async open(name, identity) {
            const request = indexedDB.open(prefix + name, 1);
            request.onupgradeneeded = () => {
                request.result.createObjectStore("blocks");
                request.result.createObjectStore("about");
            };
            db = await answer(request);
            known = identity;
            const transaction = write(), done = finish(transaction);
            const blocks = transaction.objectStore("blocks"), about = transaction.objectStore("about");
            if (await answer(about.get("identity")) !== identity) {
                blocks.clear();
                about.put(identity, "identity");
            }
            const count = await answer(blocks.count());
            await done;
            return count;
        },
        async get(numbers) {
            const blocks = db.transaction("blocks").objectStore("blocks");
            const found = await Promise.all(JSON.parse(numbers).map(number => answer(blocks.get(number))));
            const lengths = found.map(record => record === undefined ? -1 : record.byteLength);
            const joined = new Uint8Array(lengths.reduce((sum, length) => sum + Math.max(length, 0), 0));
            let at = 0;
            for (const record of found) {
                if (record === undefined) continue;
                joined.set(new Uint8Array(record), at);
                at += record.byteLength;
            }
            return [JSON.stringify(lengths), joined];
        },
        async put(numbers, lengths, joined) {
            const transaction = write(), done = finish(transaction);
            const blocks = transaction.objectStore("blocks");
            if (await answer(transaction.objectStore("about").get("identity")) !== known)
                throw new Error("another tab uses a newer version of this disk");
            lengths = JSON.parse(lengths);
            let at = 0;
            JSON.parse(numbers).forEach((number, i) => {
                blocks.put(joined.slice(at, at + lengths[i]).buffer, number);
                at += lengths[i];
            });
            await done;
        },
        async clear() {
            if (db) {
                const transaction = write(), done = finish(transaction);
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
    return (call, ...args) => within(calls[call](...args));
}
""")


class IndexedDBStore:
    def __init__(self, limit: int = 1 << 30, patience: float = 10.0, prefix: str = "webvm disk "):
        """`limit`: bytes kept of one image at most; `patience`: seconds until a call counts as failed."""
        self._js = _open(prefix, patience)
        self._limit = limit
        self._count = 0

    async def _call(self, name: str, *args):
        try:
            return await self._js(name, *args)
        except JsException as error:
            raise OSError(error.message) from None

    async def open(self, name: str, identity: str) -> None:
        """See webvm.block.store.Store, here and below."""
        self._count = await self._call("open", name, identity)

    async def get_many(self, numbers: list[int]) -> dict[int, bytes]:
        lengths, joined = await self._call("get", json.dumps(numbers))
        data = joined.to_bytes()
        records, at = {}, 0
        for number, length in zip(numbers, json.loads(lengths)):
            if length >= 0:
                records[number] = data[at:at + length]
                at += length
        return records

    async def put_many(self, records: dict[int, bytes]) -> None:
        self._count += len(records)
        if self._count * max(map(len, records.values())) > self._limit:
            raise OSError(f"the {self._limit >> 20} MiB allowed for it are full")
        args = json.dumps(list(records)), json.dumps([len(record) for record in records.values()]), to_js(b"".join(records.values()))
        try:
            await self._call("put", *args)
        except OSError as error:
            if "QuotaExceededError" not in str(error) or not await self._call("deleteOthers"):
                raise
            await self._call("put", *args)

    async def clear(self) -> None:
        await self._call("clear")
        self._count = 0

    def close(self) -> None:
        self._js("close")
