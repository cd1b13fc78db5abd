"""Getting one thing from a server that may be in trouble: statuses, retries, back-off, and telling the person.

Knows when asking again may help; does not know what is asked for: the caller judges each answer.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from webvm.block.errors import BlockError, NotFound, Refused, Unreachable
from webvm.block.stats import Stats
from webvm.block.transport import Response, Transport

T = TypeVar("T")
Trouble = Callable[[str], None]     # told a sentence when trouble begins, "" when it is over

NOT_FOUND = {404, 410}
IN_TROUBLE = {408, 425, 429}        # and every 5xx


def nobody(message: str) -> None:
    """A Trouble for those who do not want to know."""


@dataclass(frozen=True)
class Retry:
    """Exponential back-off with jitter: seven attempts in about twelve seconds, not counting the time they take."""

    attempts: int = 7
    first: float = 0.25             # seconds before the second attempt, doubling from there
    longest: float = 8.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def delay(self, failed: int) -> float:
        """Seconds to wait after the `failed`-th attempt: between half and all of the back-off, so that clients spread."""
        return min(self.first * 2 ** (failed - 1), self.longest) * (1 + self.random()) / 2


class Fetcher:
    def __init__(self, transport: Transport, retry: Retry = Retry(), stats: Stats | None = None, on_trouble: Trouble = nobody):
        self.stats = stats if stats is not None else Stats()
        self._transport = transport
        self._retry = retry
        self._on_trouble = on_trouble
        self._troubled = False

    async def get(self, url: str, judge: Callable[[Response], T], *, limit: int, headers: dict[str, str] = {}, cache: str = "default") -> T:
        """What `judge` makes of the answer; it raises BlockError on an answer that will not do.

        A transient BlockError is met with another attempt (past any HTTP cache), until the attempts are used up.
        """
        attempt = 1
        while True:
            self.stats.requests += 1
            try:
                value = judge(await self._answer(url, headers, limit, cache))
            except BlockError as error:
                if not error.transient:
                    self._on_trouble(str(error))
                    raise
                self._troubled = True
                if attempt == self._retry.attempts:
                    self._on_trouble(f"{error}; gave up after {attempt} attempts")
                    raise
                self._on_trouble(f"{error}; trying again")
            else:
                if self._troubled:
                    self._troubled = False
                    self._on_trouble("")
                return value
            await self._retry.sleep(self._retry.delay(attempt))
            self.stats.retries += 1
            attempt += 1
            cache = "reload"

    async def _answer(self, url: str, headers: dict[str, str], limit: int, cache: str) -> Response:
        try:
            response = await self._transport.get(url, headers, limit, cache)
        except OSError as error:
            raise Unreachable(f"{url}: no answer ({_reason(error)})") from None
        self.stats.bytes_fetched += len(response.body)
        status = response.status
        if status in NOT_FOUND:
            raise NotFound(f"{url}: not found on the server ({status})")
        if status in IN_TROUBLE or status >= 500:
            raise Unreachable(f"{url}: the server is in trouble (status {status})")
        if 400 <= status != 416:                # 416 (Range Not Satisfiable) is for the caller to understand
            raise Refused(f"{url}: the server refuses (status {status})")
        return response


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", "") or error.strerror or error or type(error).__name__)
