from webvm.kernel.clock import Clock

MILLISECOND = 1_000_000
START = 1_700_000_000_000 * MILLISECOND


class Host:
    """Clocks that show `self.time` rounded to so many nanoseconds."""

    def __init__(self, monotonic, realtime):
        self.time, self.set_by = 50 * MILLISECOND + 1, 0
        self.clock = Clock(lambda: self.time // monotonic * monotonic, lambda: (START + self.set_by + self.time) // realtime * realtime)


def test_wall_clock_is_as_fine_as_the_monotonic_one():
    host = Host(100_000, MILLISECOND)
    readings = []
    for host.time in range(60 * MILLISECOND, 70 * MILLISECOND, 100_000):
        readings.append(host.clock.realtime())
    assert {after - before for before, after in zip(readings, readings[1:])} == {100_000}


def test_rounding_shows_no_whole_millisecond_between_two_readings():
    host = Host(MILLISECOND, MILLISECOND)
    host.clock.monotonic()
    readings = []
    for host.time in range(60 * MILLISECOND, 70 * MILLISECOND, 200_000):
        readings.append(host.clock.monotonic())
        assert abs(readings[-1] - host.time) <= MILLISECOND
    steps = [after - before for before, after in zip(readings, readings[1:])]
    assert 0 <= min(steps) and max(steps) < MILLISECOND


def test_long_pauses_are_shown_as_they_are():
    host = Host(MILLISECOND, MILLISECOND)
    before = host.clock.monotonic()
    host.time += 500 * MILLISECOND
    assert host.clock.monotonic() - before == 500 * MILLISECOND


def test_wall_clock_follows_when_it_is_set():
    host = Host(1, MILLISECOND)
    host.clock.realtime()
    host.set_by = 3600 * 1000 * MILLISECOND
    assert abs(host.clock.realtime() - (START + host.set_by + host.time)) <= MILLISECOND
