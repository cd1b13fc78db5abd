"""The page's store for webvm.jit.cache: IndexedDB, one database for all versions.

Knows files by name, and when each was last used; does not know what is in them.
"""

import json

from pyodide.ffi import to_js

from webvm.browser.database import Database, free

# Object stores "files" (name: ArrayBuffer) and "about" (name: [last used, bytes]), so that a listing need not read them all.
_CALLS = """
    let opening;
    const database = () => opening ??= opened(name, "files", "about");
    const change = async (work) => {
        const transaction = write(await database()), done = finish(transaction);
        await work(transaction.objectStore("files"), transaction.objectStore("about"));
        await done;
    };
    const calls = {
        read: async (names) => joined((await database()).transaction("files").objectStore("files"), JSON.parse(names)),
        write: (names, lengths, joined) => change((files, about) => {
            const buffers = cut(JSON.parse(lengths), joined);
            JSON.parse(names).forEach((name, i) => {
                files.put(buffers[i], name);
                about.put([Date.now() / 1000, buffers[i].byteLength], name);
            });
            free(buffers);
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
    return calls;
"""


class CodeStore:
    """See webvm.jit.cache.Store."""

    at_once = False

    def __init__(self, name: str = "webvm code", patience: float = 10.0):
        """`patience`: seconds until a call counts as failed."""
        self._database = Database(_CALLS, name, patience)

    async def read(self, names: list[str]) -> dict[str, bytes]: return await self._database.joined("read", names)

    async def write(self, files: dict[str, bytes]) -> None:
        lengths = [len(data) for data in files.values()]
        joined = to_js(b"".join(files.values()))
        try:
            await self._database.call("write", json.dumps(list(files)), json.dumps(lengths), joined)
        finally:
            free(joined)

    async def remove(self, names: list[str]) -> None: await self._database.call("remove", json.dumps(names))

    async def used(self, names: list[str]) -> None: await self._database.call("used", json.dumps(names))

    async def listing(self) -> list[tuple[float, int, str]]:
        return [tuple(row) for row in json.loads(await self._database.call("listing"))]

    async def clear(self) -> None: await self._database.call("clear")

    async def close(self) -> None: await self._database.call("close")
