"""webvm.browser.console needs no browser."""

import asyncio

from webvm.browser.console import BATCH, HIGH, LOW, Console


class Line:
    def __init__(self):
        self.open = True

    def pause(self):
        self.open = False

    def resume(self):
        self.open = True


def talk(act):
    """What `act(console, sent)` makes the console send, in order."""
    sent = []

    async def main():
        console = Console(sent.append)
        console.flow = Line()
        await act(console, sent)

    asyncio.run(main())
    return sent


def test_output_of_one_turn_is_sent_together():
    async def act(console, sent):
        for part in (b"a", b"", b"bc", b"d"):
            console.write(part)
        assert sent == []
        await asyncio.sleep(0)
        console.write(b"e")
        await asyncio.sleep(0)

    assert talk(act) == [b"abcd", b"e"]


def test_much_output_is_not_held_back():
    async def act(console, sent):
        console.write(b"x" * BATCH)
        assert len(sent) == 1

    assert talk(act) == [b"x" * BATCH]


def test_bytes_written_may_be_reused_by_the_writer():
    async def act(console, sent):
        buffer = bytearray(b"one")
        console.write(buffer)
        buffer[:] = b"two"
        await asyncio.sleep(0)

    assert talk(act) == [b"one"]


def test_output_stops_when_the_page_does_not_draw_and_goes_on_when_it_has():
    async def act(console, sent):
        console.write(b"x" * (HIGH - 1))
        assert console.flow.open
        console.write(b"x")
        assert not console.flow.open
        console.drawn(HIGH - LOW - 1)
        assert not console.flow.open
        console.drawn(1)
        assert console.flow.open

    talk(act)
