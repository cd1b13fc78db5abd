"""webvm.wasm.encoding: what is remembered of numbers is bounded, for guests may have any."""

import pytest

from webvm.wasm import encoding as w


@pytest.mark.parametrize("function, arguments", [
    (w.uleb, lambda n: (n << 20,)), (w.sleb, lambda n: (n << 20,)), (w.access, lambda n: ("i64.load", n << 8))])
def test_not_all_numbers_are_remembered(function, arguments):
    first = [function(*arguments(n)) for n in range(3 * w.NUMBERS)]
    assert function.cache_info().currsize == w.NUMBERS
    assert first == [function(*arguments(n)) for n in range(3 * w.NUMBERS)]
    assert len(set(first)) == len(first)
