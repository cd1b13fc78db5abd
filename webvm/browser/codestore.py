"""The page's store for webvm.jit.cache: IndexedDB, one database for all versions.

Knows files by name, and when each was last used; does not know what is in them. A browser that refuses, hangs or is full
raises OSError.
"""

import json

from pyodide.code import run_js
from pyodide.ffi import JsException, to_js

# Object stores "files" (name: ArrayBuffer) and "about" (name: [last used, bytes]), so that a listing need not read them all.
_open = run_js("""
(name, patience) => {
    const answer = request => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    const within = (work, timer) => Promise.race([
        work,
        new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("browser storage does not answer")), patience * 1000); }),
    ]).catch(error => {
        throw new Error([error?.name, error?.message].filter(Boolean).join(": "));  // Pyodide never resumes who awaits anything but an Error
    }).finally(() => clearTimeout(timer));

    let opening;
    const database = () => opening ??= (async () => {
        const request = indexedDB.open(name, 1);
        request.onupgradeneeded = () => ["files", "about"].forEach(store => request.result.createObjectStore(store));
        return await answer(request);
    })();
    const change = async (work) => {
        const transaction = (await database()).transaction(["files", "about"], "readwrite", { durability: "relaxed" });
        const done = new Promise((resolve, reject) => {
            transaction.oncomplete = () => resolve();
            transaction.onabort = () => reject(transaction.error ?? new Error("transaction aborted"));
        });
        done.catch(() => {});
        await work(transaction.objectStore("files"), transaction.objectStore("about"));
        await done;
    };

    const calls = {
        async read(name) {
            const data = await answer((await database()).transaction("files").objectStore("files").get(name));
            return data && new Uint8Array(data);
        },
        write: (name, data) => change((files, about) => {
            files.put(data.slice().buffer, name);
            about.put([Date.now() / 1000, data.length], name);
        }),
        remove: (names) => change((files, about) => {
            for (const name of JSON.parse(names)) [files, about].forEach(store => store.delete(name));
        }),
        used: (names) => change(async (files, about) => {
            const now = Date.now() / 1000;
            await Promise.all(JSON.parse(names).map(async name => {
                const found = await answer(about.get(name));
                if (found) about.put([now, found[1]], name);
            }));
        }),
        async listing() {
            const about = (await database()).transaction("about").objectStore("about");
            const [names, values] = await Promise.all([answer(about.getAllKeys()), answer(about.getAll())]);
            return JSON.stringify(names.map((name, i) => [...values[i], name]));
        },
        clear: () => change((files, about) => [files, about].forEach(store => store.clear())),
        close: async () => (await database()).close(),
    };
    return (call, ...args) => within(calls[call](...args));
}
""")


class CodeStore:
    """See webvm.jit.cache.Store."""

    at_once = False

    def __init__(self, name: str = "webvm code", patience: float = 10.0):
        """`patience`: seconds until a call counts as failed."""
        self._js = _open(name, patience)

    async def _call(self, name: str, *args):
        try:
            return await self._js(name, *args)
        except JsException as error:
            raise OSError(error.message) from None

    async def read(self, name: str) -> bytes | None:
        data = await self._call("read", name)
        return data.to_bytes() if data is not None else None

    async def write(self, name: str, data: bytes) -> None: await self._call("write", name, to_js(data))

    async def remove(self, names: list[str]) -> None: await self._call("remove", json.dumps(names))

    async def used(self, names: list[str]) -> None: await self._call("used", json.dumps(names))

    async def listing(self) -> list[tuple[float, int, str]]:
        return [tuple(row) for row in json.loads(await self._call("listing"))]

    async def clear(self) -> None: await self._call("clear")

    async def close(self) -> None: await self._call("close")
