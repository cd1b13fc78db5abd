"""The page's transport for webvm.block: fetch, with the bounds on size and time that fetch lacks.

Knows nothing of what is fetched, and never retries.
"""

import json
from typing import NamedTuple

from pyodide.code import run_js
from pyodide.ffi import JsException

from webvm.browser.database import taken

_get = run_js("""
async (url, headers, limit, cache, idle, total) => {
    const control = new AbortController();
    const giveUp = (seconds, why) => setTimeout(() => control.abort(new Error(why)), seconds * 1000);
    const late = giveUp(total, `not finished after ${total} seconds`);
    let quiet = giveUp(idle, "timed out");
    try {
        const answer = await fetch(url, { headers: JSON.parse(headers), cache, signal: control.signal });
        const parts = [];
        let length = 0;
        if (answer.status < 400 && answer.body) {
            const reader = answer.body.getReader();
            while (length <= limit) {
                clearTimeout(quiet);
                quiet = giveUp(idle, "timed out");
                const { done, value } = await reader.read();
                if (done) break;
                parts.push(value);
                length += value.length;
            }
        }
        const body = new Uint8Array(length);
        let at = 0;
        for (const part of parts) {
            body.set(part, at);
            at += part.length;
            if (part.length === part.buffer.byteLength) part.buffer.transfer?.(0);      // freed now, not when the browser looks for garbage
        }
        return [answer.status, JSON.stringify(Object.fromEntries(answer.headers)), body.subarray(0, limit + 1)];
    } catch (error) {
        throw new Error(`${error?.message ?? error}`);          // Pyodide never resumes who awaits anything but an Error
    } finally {
        clearTimeout(quiet);
        clearTimeout(late);
        control.abort();        // the rest of a body that nobody wants
    }
}
""")


class Response(NamedTuple):
    status: int
    headers: dict[str, str]     # names in lower case; from another origin, only those it exposes
    body: bytes


class FetchTransport:
    def __init__(self, idle: float = 15.0, total: float = 300.0):
        """`idle`: seconds without a byte, and `total`: seconds in all, until a request counts as failed."""
        self._idle = idle
        self._total = total

    async def get(self, url: str, headers: dict[str, str], limit: int, cache: str) -> Response:
        """See webvm.block.transport.Transport."""
        try:
            status, names, body = await _get(url, json.dumps(headers), limit, cache, self._idle, self._total)
        except JsException as error:
            raise ConnectionError(error.message) from None
        return Response(status, json.loads(names), taken(body))
