"""How fast webvm is beside this host's processor and qemu-x86_64:  python -m tests.bench [OPTION...]

C programs that measure themselves (integer; floating point, scalar and vectorised; system calls), programs of the image over seconds of
native work, and starts of small ones (see lines.py). The places take turns at each line, so that a machine that slows down
slows all of them; a figure is the median of the rounds. A table goes to standard error, JSON to standard output:

    lines             {group: {line: {place: {"ms", "first ms", "all ms", "native" (times as long as native), "MIPS"}}}}
    geometric means   {group: {place: of the "native" figures}}
    above qemu        {place: [lines that took longer than qemu-x86_64]}
    places            what each said at its end: peak memory, counters
    failed            lines that did not end well or printed something else than the first place, and why

A program's first run in a place is its "first ms"; with more than one round the median of start-up lines leaves it out.
"""

import argparse
import fnmatch
import json
import math
import os
import platform
import statistics
import sys
from itertools import product

from webvm.x86.processor import CPUS

from . import inputs
from .lines import LINES, TIMED
from .places import BUILD, INPUTS, PLACES, Failed


def say(*words) -> None:
    print(*words, file=sys.stderr, flush=True)


class Report:
    """What was measured so far, {(line, place): milliseconds of each round}, and what comes of it."""

    def __init__(self, lines, places):
        self.lines, self.places = lines, places
        self.taken, self.instructions, self.printed, self.failed = {}, {}, {}, {}

    def measure(self, line, name, place, scale) -> None:
        """One run of one line."""
        if (line, name) in self.failed:
            return
        before = place.stats()["instructions"] if hasattr(place, "stats") else 0
        try:
            took, out = place.run(line, scale)
            if line.group in TIMED:
                out, nanoseconds = out.split()
                took = int(nanoseconds) / 1e6
        except Failed as error:
            self.fail(line, name, str(error))
            return
        if hasattr(place, "stats"):
            self.instructions[line, name] = place.stats()["instructions"] - before
        self.taken.setdefault((line, name), []).append(took)
        if line.group != "start-up" and out != self.printed.setdefault(line, out):
            self.fail(line, name, f"printed {out[-80:]!r}, elsewhere {self.printed[line][-80:]!r}")

    def fail(self, line, name, why) -> None:
        say(f"  {line.group} {line.name}, {name}: {why}")
        self.taken.pop((line, name), None)
        self.failed[line, name] = why

    def median(self, line, name) -> float | None:
        taken = self.taken.get((line, name))
        if not taken:
            return None
        return statistics.median(taken[1:] if line.group == "start-up" and len(taken) > 1 else taken)

    def ratio(self, line, name, to="native") -> float | None:
        ours, theirs = self.median(line, name), self.median(line, to)
        return ours / theirs if ours and theirs else None

    def mean(self, group, name) -> float | None:
        ratios = [ratio for line in self.lines if line.group == group and (ratio := self.ratio(line, name))]
        return statistics.geometric_mean(ratios) if ratios else None

    @property
    def groups(self):
        return list(dict.fromkeys(line.group for line in self.lines))

    def cell(self, line, name) -> dict:
        cell = {"ms": _short(self.median(line, name)), "first ms": _short(self.taken[line, name][0]),
                "all ms": [_short(ms) for ms in self.taken[line, name]], "native": _short(self.ratio(line, name))}
        if (line, name) in self.instructions:
            cell["MIPS"] = round(self.instructions[line, name] / self.taken[line, name][-1] / 1000)
        return cell

    def as_dict(self) -> dict:
        slower = {name: [f"{line.group} {line.name}" for line in self.lines if (ratio := self.ratio(line, name, "qemu")) and ratio > 1]
                  for name in self.places if name not in ("native", "qemu", "native-v2") and "qemu" in self.places}
        return {
            "lines": {group: {line.name: {name: self.cell(line, name) for name in self.places if (line, name) in self.taken}
                              for line in self.lines if line.group == group} for group in self.groups},
            "geometric means": {group: {name: _short(self.mean(group, name)) for name in self.places} for group in self.groups},
            "above qemu": slower,
            "failed": {f"{line.group} {line.name}, {name}": why for (line, name), why in self.failed.items()},
        }

    def table(self) -> str:
        """Native milliseconds, then how many times as long the others took; * where qemu-x86_64 was faster."""
        others = [name for name in self.places if name != "native"]
        rows = [["", "native ms", *others]]
        for group in self.groups:
            for line in self.lines:
                if line.group == group:
                    marks = ["*" if "qemu" not in name and (self.ratio(line, name, "qemu") or 0) > 1 else " " for name in others]
                    cells = [self.ratio(line, name) if "native" in self.places else self.median(line, name) for name in others]
                    rows.append([f"{group:9} {line.name}", _text(self.median(line, "native"), 0),
                                 *(_text(cell, 2) + mark for cell, mark in zip(cells, marks, strict=True))])
            if "native" in self.places:
                rows += [[f"{group:9} geometric mean", "", *(_text(self.mean(group, name), 2) + " " for name in others)], []]
        widths = [max(12, *(len(row[i]) + 1 for row in rows if row)) for i in range(len(rows[0]))]
        return "\n".join("".join(word.rjust(width) if i else word.ljust(width) for i, (word, width) in enumerate(zip(row, widths)))
                         for row in rows)


def _short(value: float | None) -> float | None:
    """Three digits, or all before the point."""
    return value if value is None else round(value, max(0, 2 - math.floor(math.log10(value)))) if value > 0 else 0


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def parse(argv=None) -> argparse.Namespace:
    known = list(dict.fromkeys(line.group for line in LINES))
    usual = ",".join(name for name, (_, _, usual) in PLACES.items() if usual)

    def some_of(names):
        def split(text):
            chosen = text.split(",")
            if unknown := set(chosen) - set(names):
                raise argparse.ArgumentTypeError(f"no such: {', '.join(sorted(unknown))} (there are {', '.join(names)})")
            return chosen
        return split

    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--groups", type=some_of(known), default=known, metavar="A,B", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--lines", default="*", metavar="PATTERN", help="lines whose name fits, as a shell matches: 'python3*'")
    parser.add_argument("--places", type=some_of(PLACES), default=usual, metavar="A,B", help=f"of {', '.join(PLACES)} (default: {usual})")
    parser.add_argument("--tiers", type=some_of(("interp", "jit")), default=None, metavar="A,B",
                        help="webvm's places once with each: interp, jit (default: webvm's own choice)")
    parser.add_argument("--cpus", type=some_of(CPUS), default=None, metavar="A,B",
                        help=f"webvm's places once with each: {', '.join(CPUS)} (default: webvm's own choice)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="how much of the work, 0.05 for a quick look (default: 1)")
    parser.add_argument("--image", default="dev", help="the image build/IMAGE.ext4 (default: dev)")
    parser.add_argument("--limit", type=float, default=600, help="seconds that a program may take (default: 600)")
    arguments = parser.parse_args(argv)
    if not (BUILD / f"{arguments.image}.ext4").exists():
        parser.error(f"build/{arguments.image}.ext4 is missing; make it with  webvm disk build --profile {arguments.image} "
                     f"--root build/{arguments.image}.root build/{arguments.image}.ext4")
    return arguments


def main() -> int:
    arguments = parse()
    lines = [line for line in LINES if line.group in arguments.groups and fnmatch.fnmatch(line.name, arguments.lines)]
    inputs.make(INPUTS)
    missing, places, groups = {}, {}, {}
    for name in arguments.places:
        make, measured, _ = PLACES[name]
        if reason := make.why_not():
            missing[name] = reason
            continue
        for tier, cpu in product(arguments.tiers or [None], arguments.cpus or [None]) if make.optional else [(None, None)]:
            options = {option: value for option, value in (("tier", tier), ("cpu", cpu)) if value}
            full = " ".join((name, *options.values()))
            say(f"starting {full}")
            places[full], groups[full] = make(arguments.image, options, arguments.limit), measured
    report = Report(lines, places)
    try:
        for number in range(arguments.rounds + 1):
            for line in lines:
                if number == arguments.rounds and line.group != "start-up":     # their first run does not count
                    continue
                for name, place in places.items():
                    if groups[name] is None or line.group in groups[name]:
                        report.measure(line, name, place, arguments.scale)
                say(f"round {number + 1}  {line.group:9} {line.name:18}",
                    *(f"{name} {report.taken[line, name][-1]:.0f} ms " for name in places if (line, name) in report.taken))
    except KeyboardInterrupt:
        say("interrupted; what was measured until now:")
    ends = {name: place.close() for name, place in places.items()}
    say("\n" + report.table())
    for name, end in ends.items():
        say(f"{name}: {', '.join(f'{key} {value}' for key, value in end.items() if key != 'stats')}")
    settings = {"processor": _processor(), "python": platform.python_version(), "load": os.getloadavg()[0], "rounds": arguments.rounds,
                "scale": arguments.scale, "image": arguments.image}
    print(json.dumps({"settings": settings} | report.as_dict() | {"places": ends, "not measured": missing}, indent=1))
    return 1 if report.failed else 0


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))


if __name__ == "__main__":
    sys.exit(main())
