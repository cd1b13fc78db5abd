"""How fast webvm is, as JSON:  python -m tests.bench [--rounds N] [wasmtime] [chromium] [native] [qemu]

In each place: MIPS over six small loads (kernels.c); milliseconds that some programs of the standard image take, from asking
to their end; the peak of memory. In Chromium also milliseconds from navigation to the prompt, beside a bare loadPyodide().
Medians; the places take turns, so that a machine that slows down slows all of them.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.system.machines import BUILD, ENVIRONMENT, Guest
from tests.web import bench as page_bench
from webvm import site

PROJECT = BUILD.parent
TREE = BUILD / "standard.root"
KERNELS = {"calls": 2000, "sieve": 60, "rotate": 6000, "switch": 1000, "sort": 250, "list": 4000}      # name: times
# {run} stands for what runs another program there: nothing, but under qemu-x86_64 its children would run on the real
# processor. {root} is where the image's files are.
PROGRAMS = {
    "ls -la /usr/bin":        ["bash", "-c", "{run}/usr/bin/ls -la {root}/usr/bin"],
    "python3 -c print(1)":    ["python3", "-c", "print(1)"],
    "git --version":          ["git", "--version"],
    "200 x fork and exec":    ["dash", "-c", "i=0; while [ $i -lt 200 ]; do {run}/usr/bin/true; i=$((i + 1)); done"],
}


def filled(argv: list[str], run: str = "", root: str = "") -> list[str]:
    return [word.format(run=run, root=root) for word in argv]


def milliseconds(act) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def checked(result) -> None:
    assert result[0] == 0, result


class Native:
    """This host's kernel and processor, in a chroot."""

    def __init__(self, kernels: Path):
        self.kernels = kernels

    def command(self, argv):
        def enter():
            os.chroot(TREE)
            os.chdir("/")

        return {"args": filled(argv), "preexec_fn": enter, "executable": f"/usr/bin/{argv[0]}"}

    def program(self, argv) -> float:
        return milliseconds(lambda: subprocess.run(**self.command(argv), stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=True))

    def kernel(self, name, times) -> float:
        return milliseconds(lambda: subprocess.run([self.kernels, name, str(times)], stdout=subprocess.DEVNULL, check=True))

    def close(self):
        return {}


class Qemu(Native):
    """qemu-x86_64 translating every program."""

    RUN = f"qemu-x86_64 -L {TREE} {TREE}"

    def command(self, argv):
        program, *rest = filled(argv, self.RUN, str(TREE))
        return {"args": [*self.RUN.split()[:-1], f"{TREE}/usr/bin/{program}", *rest]}

    def kernel(self, name, times):
        return milliseconds(lambda: subprocess.run(["qemu-x86_64", self.kernels, name, str(times)], stdout=subprocess.DEVNULL, check=True))


class Wasmtime:
    """A machine that has booted, under wasmtime; in a thread of its own, for Playwright's event loop has the main one."""

    def __init__(self, kernels: Path):
        self.guest, self.thread = Guest(), ThreadPoolExecutor(1)
        self._do(self.guest.write, "/tmp/kernels", kernels.read_bytes(), 0o755)

    def _do(self, act, *arguments):
        return self.thread.submit(act, *arguments).result()

    def program(self, argv):
        return milliseconds(lambda: checked(self._do(self.guest.run, filled(argv))))

    def kernel(self, name, times):
        return milliseconds(lambda: checked(self._do(self.guest.run, ["/tmp/kernels", name, str(times)])))

    def instructions(self) -> int:
        return self.guest.machine.stats()["instructions"]

    def close(self):
        self._do(self.guest.close)
        self.thread.shutdown()
        return {}


class Command:
    """`webvm run`, from the start of the command to its end."""

    def __init__(self, kernels: Path):
        self.folder = kernels.parent
        self.peak = 0

    def _run(self, *arguments):
        command = subprocess.Popen([Path(sys.executable).with_name("webvm"), "run", *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(command.pid, 0)
        assert status == 0, (arguments, status)
        self.peak = max(self.peak, usage.ru_maxrss)

    def program(self, argv):
        return milliseconds(lambda: self._run("--", *filled(argv)))

    def kernel(self, name, times):
        return milliseconds(lambda: self._run("--disk", "none", "--mount", f"{self.folder}:/mnt", "/mnt/kernels", name, str(times)))

    def close(self):
        return {"peak memory (MB)": round(self.peak / 1024)}


class Chromium:
    """The page in headless Chromium, served by http.server; its shell at the prompt."""

    def __init__(self, kernels: Path):
        folder = BUILD / "site"
        site.build(folder, PROJECT, BUILD / "standard.ext4")
        self.closing = contextlib.ExitStack()
        server = self.closing.enter_context(subprocess.Popen(
            [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        self.closing.callback(server.kill)
        address = f"http://localhost:{server.stdout.readline().split(' port ')[1].split()[0]}/"
        playwright = self.closing.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=page_bench.CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        self.closing.callback(browser.close)
        self.start = page_bench.measure(browser, address, json.loads((folder / "site.json").read_text()))
        self.start["browser"] = browser.version
        self.page = browser.new_page()
        self.page.set_default_timeout(120_000)
        page_bench.visit(self.page, address)
        self.page.evaluate("bytes => vm.writeFile('/tmp/kernels', Uint8Array.from(bytes))", list(kernels.read_bytes()))
        self._run(["chmod", "+x", "/tmp/kernels"])

    def _run(self, argv) -> float:
        return page_bench.run(self.page, argv)

    def program(self, argv):
        return self._run(filled(argv))

    def kernel(self, name, times):
        return self._run(["/tmp/kernels", name, str(times)])

    def instructions(self):
        return self.page.evaluate("vm.stats()")["instructions"]

    def close(self):
        stats = self.page.evaluate("vm.stats()")
        found = self.start | {"bytes fetched": stats["bytes_fetched"], "peak memory of the page's process (MB)": _renderer_peak()}
        self.closing.close()
        return found


def _renderer_peak() -> int:
    """The largest resident set a renderer below this process has had, MB."""
    parents, peaks = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            parents[int(folder.name)] = int(status["PPid"])
            if b"--type=renderer" in (folder / "cmdline").read_bytes():
                peaks[int(folder.name)] = int(status["VmHWM"].split()[0]) // 1024

    def ours(pid):
        return pid == os.getpid() or pid in parents and ours(parents[pid])

    return max(peak for pid, peak in peaks.items() if ours(pid))


PLACES = {
    "wasmtime":  (("wasmtime, booted", Wasmtime), ("webvm run", Command)),
    "chromium":  (("chromium", Chromium),),
    "native":    (("native", Native),),
    "qemu":      (("qemu-x86_64", Qemu),),
}


def why_not(place: str) -> str | None:
    if place == "native" and os.geteuid() != 0:
        return "needs root for its chroot"
    if place == "qemu" and not shutil.which("qemu-x86_64"):
        return "qemu-x86_64 is not installed (Debian: qemu-user)"
    if place == "chromium" and not shutil.which(page_bench.CHROMIUM):
        return "there is no Chromium"
    return None


def measure(places: dict, rounds: int) -> dict:
    """{place: {"programs (ms)": …, "kernels (ms)": …}}, and MIPS where instructions are counted."""
    times = {name: {"programs (ms)": {}, "kernels (ms)": {}} for name in places}
    instructions = {}
    for place in places.values():                                    # code and disk blocks come in here
        for argv in PROGRAMS.values():
            place.program(argv)
    for kernel, count in KERNELS.items():
        for name, place in places.items():
            before = place.instructions() if hasattr(place, "instructions") else None
            place.kernel(kernel, count)
            if before is not None:
                instructions[kernel] = place.instructions() - before
    for _ in range(rounds):
        for program, argv in PROGRAMS.items():
            for name, place in places.items():
                times[name]["programs (ms)"].setdefault(program, []).append(place.program(argv))
        for kernel, count in KERNELS.items():
            for name, place in places.items():
                times[name]["kernels (ms)"].setdefault(kernel, []).append(place.kernel(kernel, count))
    found = {name: {table: {row: round(statistics.median(taken), 1) for row, taken in rows.items()} for table, rows in tables.items()}
             for name, tables in times.items()}
    for name, place in places.items():
        if hasattr(place, "instructions"):
            found[name]["MIPS"] = {kernel: round(instructions[kernel] / 1000 / took) for kernel, took in found[name]["kernels (ms)"].items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("places", nargs="*", metavar="PLACE", help=f"{', '.join(PLACES)} (default: all that are here)")
    arguments = parser.parse_args()
    if unknown := set(arguments.places) - set(PLACES):
        parser.error(f"no such place: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        kernels = Path(folder) / "kernels"
        subprocess.run(["gcc", "-O2", "-static", "-o", kernels, Path(__file__).with_name("kernels.c")], check=True)
        missing, made = {}, {}
        for place in arguments.places or PLACES:
            if reason := why_not(place):
                missing[place] = reason
            else:
                made |= {name: make(kernels) for name, make in PLACES[place]}
        found = measure(made, arguments.rounds)
        for name, place in made.items():
            found[name] |= place.close()
    print(json.dumps(found | ({"not measured": missing} if missing else {}), indent=1))


if __name__ == "__main__":
    main()
