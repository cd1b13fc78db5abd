"""What the benchmark makes of measurements."""

import math

import pytest

from .__main__ import Report, parse
from .lines import LINES, Line
from .places import Failed

FIB, SORT, START = Line("integer", "fib", 1), Line("programs", "sort", 1, "sort"), Line("start-up", "ls", 1, "ls")


class FakePlace:
    """Takes the times it is told, in turn, and prints what it is told."""

    def __init__(self, *times, out=b"same"):
        self.times, self.out = list(times), out

    def run(self, line, scale):
        took = self.times.pop(0)
        if took is None:
            raise Failed("no")
        return took, b"7 %d" % (took * 1e6) if line.group == "integer" else self.out


def measured(lines, rounds=1, **places):
    report = Report(lines, places)
    for _ in range(rounds):
        for line in lines:
            for name, place in places.items():
                report.measure(line, name, place, 1)
    return report


def test_a_figure_is_the_median_of_the_rounds_relative_to_native():
    report = measured([FIB], 3, native=FakePlace(10, 30, 20), wasmtime=FakePlace(50, 5000, 60))
    assert report.as_dict()["lines"]["integer"]["fib"]["wasmtime"] == {"ms": 60, "first ms": 50, "all ms": [50, 5000, 60], "native": 3}


def test_a_start_leaves_out_its_first_run():
    report = measured([START], 3, native=FakePlace(90, 10, 12), wasmtime=FakePlace(900, 20, 24))
    assert report.median(START, "native") == 11 and report.ratio(START, "wasmtime") == 2


def test_means_are_geometric_and_of_one_group():
    report = measured([FIB, SORT], native=FakePlace(10, 10), wasmtime=FakePlace(20, 80))
    assert report.mean("integer", "wasmtime") == pytest.approx(2) and report.mean("programs", "wasmtime") == pytest.approx(8)
    both = measured([FIB, Line("integer", "list", 1)], native=FakePlace(10, 10), wasmtime=FakePlace(20, 80))
    assert both.mean("integer", "wasmtime") == pytest.approx(math.sqrt(2 * 8))


def test_lines_slower_than_qemu_are_named():
    report = measured([FIB, SORT], native=FakePlace(1, 1), qemu=FakePlace(9, 9), wasmtime=FakePlace(8, 10))
    assert report.as_dict()["above qemu"] == {"wasmtime": ["programs sort"]}
    assert [row.rstrip()[-1] for row in report.table().splitlines() if "fib" in row or "sort" in row] == ["0", "*"]


def test_another_output_than_the_first_place_had_is_a_failure():
    report = measured([SORT], native=FakePlace(1), wasmtime=FakePlace(1, out=b"other"))
    found = report.as_dict()
    assert list(found["failed"]) == ["programs sort, wasmtime"] and "wasmtime" not in found["lines"]["programs"]["sort"]


def test_a_line_that_failed_once_is_not_measured_again():
    report = measured([SORT], 2, native=FakePlace(1, 1), wasmtime=FakePlace(None, 1))
    assert report.as_dict()["failed"] == {"programs sort, wasmtime": "no"}


def test_no_two_lines_have_the_same_name():
    assert len({(line.group, line.name) for line in LINES}) == len(LINES)


@pytest.mark.parametrize("options", [["--groups", "integers"], ["--places", "mars"], ["--tiers", "fast"], ["--image", "none-such"]])
def test_what_there_is_not_is_refused(options, capsys):
    with pytest.raises(SystemExit):
        parse(options)
    assert options[1] in capsys.readouterr().err
