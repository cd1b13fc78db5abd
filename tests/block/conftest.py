import random

import pytest

from .page import opened
from .server import ETAG, serving
from webvm.block import Retry


@pytest.fixture(scope="session")
def image() -> bytes:
    """A little over 50 blocks of 64 KiB, the last one short, with a stretch of zeros."""
    data = bytearray(random.Random(1).randbytes(50 * 65536 + 4096))
    data[20 * 65536:30 * 65536] = bytes(10 * 65536)
    return bytes(data)


@pytest.fixture
def server(image):
    with serving({"/image": image}) as server:
        yield server


class Naps(list):
    """A sleep that only writes down how long it would have slept."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def retry(naps) -> Retry:
    return Retry(sleep=naps, random=lambda: 1.0)


@pytest.fixture(scope="package")
def browser_page():
    with opened() as page:
        yield page


@pytest.fixture
def page(browser_page, image):
    """The page, its server sound and with the image."""
    server = browser_page.server
    server.quirk, server.etag = None, ETAG
    server.files["/image"] = image
    server.log.clear()
    return browser_page
