"""What the page's stores have in common: IndexedDB from Python, a call at a time.

Knows promises, transactions and patience; does not know what is kept. A browser that refuses, hangs or is full raises OSError.
"""

import json

from pyodide.code import run_js
from pyodide.ffi import JsException

# The language of a store's calls. `joined`: [the lengths of some found, -1 where there is none; their bytes together].
# `cut`: the buffers of such bytes. `free`: of buffers that nobody needs any more.
_WORDS = """
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
    const opened = (name, ...stores) => {
        const request = indexedDB.open(name, 1);
        request.onupgradeneeded = () => stores.forEach(store => request.result.createObjectStore(store));
        return answer(request);
    };
    const write = db => db.transaction([...db.objectStoreNames], "readwrite", { durability: "relaxed" });
    const joined = async (store, keys) => {
        const found = await Promise.all(keys.map(key => answer(store.get(key))));
        const lengths = found.map(record => record === undefined ? -1 : record.byteLength);
        const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + Math.max(length, 0), 0));
        let at = 0;
        for (const record of found) {
            if (record === undefined) continue;
            bytes.set(new Uint8Array(record), at);
            at += record.byteLength;
        }
        free(found.filter(record => record !== undefined));
        return [JSON.stringify(lengths), bytes];
    };
    const cut = (lengths, joined, at = 0) => lengths.map(length => joined.slice(at, at += length).buffer);
    const free = buffers => buffers.forEach(buffer => buffer.transfer?.(0));       // else they stay until the browser looks for garbage
    const within = (work, timer) => Promise.race([
        work,
        new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("browser storage does not answer")), patience * 1000); }),
    ]).catch(error => {
        throw new Error([error?.name, error?.message].filter(Boolean).join(": "));  // Pyodide never resumes who awaits anything but an Error
    }).finally(() => clearTimeout(timer));
"""


_free = run_js("(array) => array.buffer.transfer?.(0)")


def free(array) -> None:
    """Of a typed array of JavaScript's, which nobody needs any more: its bytes stay until the browser looks for garbage otherwise."""
    _free(array)


def taken(array) -> bytes:
    """The bytes of a typed array of JavaScript's that nobody else needs."""
    data = array.to_bytes()
    _free(array)
    return data


class Database:
    """Asks the calls that a store has."""

    def __init__(self, calls: str, name: str, patience: float):
        """calls: the body of a JavaScript function of `name` that answers an object of asynchronous functions.
        patience: seconds until one of them counts as failed."""
        make = run_js(f"(name, patience) => {{ {_WORDS} const calls = (() => {{ {calls} }})(); return (call, ...args) => within(calls[call](...args)); }}")
        self.call_now = make(name, patience)

    async def call(self, name: str, *args):
        try:
            return await self.call_now(name, *args)
        except JsException as error:
            raise OSError(error.message) from None

    async def joined(self, name: str, keys: list) -> dict:
        """What a call that answers `joined` has found of these keys."""
        lengths, found = await self.call(name, json.dumps(keys))
        data, records, at = taken(found), {}, 0
        for key, length in zip(keys, json.loads(lengths)):
            if length >= 0:
                records[key] = data[at:at + length]
                at += length
        return records
