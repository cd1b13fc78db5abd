"""What brings bytes from a URL: a protocol.

The native forms are in webvm.block.native, the page's own (fetch) in webvm.browser. A transport needs to import nothing
of this: any object with the fields of a Response is an answer, any OSError means there is none.
"""

from typing import NamedTuple, Protocol


class Response(NamedTuple):
    status: int
    headers: dict[str, str]     # names in lower case
    body: bytes


class Transport(Protocol):
    async def get(self, url: str, headers: dict[str, str], limit: int, cache: str) -> Response:
        """GET `url`, redirects followed.

        The body is read up to `limit` + 1 bytes and no further, so a longer one can be told and never fills the memory.
        `cache` is fetch's word for what an HTTP cache on the way may do: default, no-cache, reload or no-store.
        Any status is an answer; raises OSError when there is none, or when it takes too long.
        """
