"""Where the benchmark's programs run: this host's processor, qemu-x86_64, and webvm in its engines.

Each place has the image's files and the inputs in FOLDER, and answers (milliseconds, standard output) of a line. A place
says by `why_not` what it lacks here, by `optional` whether it can be told a tier and a processor. A machine has a
thread of its own for its event loop. Under qemu-x86_64, what gcc starts is translated too, but for the ld that collect2 starts.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.system.machines import BUILD, ENVIRONMENT, Guest, Hung
from tests.web.conftest import CHROMIUM
from webvm import site

from .devtools import Browser, DevtoolsError
from .lines import FOLDER

PROJECT = BUILD.parent
INPUTS = BUILD / "bench"
# What glibc and libcrypto are told so that they choose as on an x86-64-v2 and nothing beyond, like webvm's.
V2 = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-BMI2,-BMI1,-LZCNT,-MOVBE,-ERMS,-FSRM", "OPENSSL_ia32cap": "0x98020107000000:0"}


class Failed(Exception):
    """A program did not do its work there: one sentence."""


def tree(image: str) -> Path:
    """The files of an image, to chroot into; unpacked the first time."""
    root, file = BUILD / f"{image}.root", BUILD / f"{image}.ext4"
    if not (root / "usr/bin").exists():
        root.mkdir(exist_ok=True)
        subprocess.run(["debugfs", "-R", f"rdump / {root}", file], check=True, capture_output=True)
    with contextlib.suppress(FileExistsError, PermissionError):
        os.mknod(root / "dev/null", 0o020666, os.makedev(1, 3))         # debugfs leaves out device nodes
        os.chmod(root / "dev/null", 0o666)
    return root


class Native:
    """This host's kernel and processor, in a chroot."""

    RUN = ""
    optional = False
    environment = ENVIRONMENT

    def __init__(self, image: str, options: dict[str, str], limit: float):
        self.root, self.limit = tree(image), limit
        shutil.copytree(INPUTS, self.root / FOLDER[1:], dirs_exist_ok=True)

    @staticmethod
    def why_not() -> str | None:
        return None if os.geteuid() == 0 else "needs root for its chroot"

    def run(self, line, scale):
        argv = ["chroot", self.root, *self.RUN.split(), *line.argv(scale, self.RUN)]
        start = time.perf_counter()
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=self.environment, timeout=self.limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {self.limit} s") from None
        took = (time.perf_counter() - start) * 1000
        if done.returncode:
            raise Failed(f"exit status {done.returncode}: {done.stderr[-200:]}")
        return took, done.stdout

    def close(self) -> dict:
        return {}


class NativeV2(Native):
    """The same, with the libraries choosing code for x86-64-v2: what webvm's processor would run."""

    environment = ENVIRONMENT | V2


class Qemu(Native):
    """qemu-x86_64 translating every program, in the same chroot."""

    RUN = "/qemu/ld-linux-x86-64.so.2 --library-path /qemu /qemu/qemu-x86_64 "

    def __init__(self, image, options, limit):
        super().__init__(image, options, limit)
        program = shutil.which("qemu-x86_64")
        libraries = [word for word in subprocess.run(["ldd", program], capture_output=True, text=True).stdout.split() if word.startswith("/")]
        (self.root / "qemu").mkdir(exist_ok=True)
        for path in [program, *libraries]:
            shutil.copy(path, self.root / "qemu")

    @staticmethod
    def why_not():
        return Native.why_not() or (None if shutil.which("qemu-x86_64") else "qemu-x86_64 is not installed (Debian: qemu-user)")


class Wasmtime:
    """A machine that has booted, under wasmtime."""

    optional = True

    def __init__(self, image, options, limit):
        self.limit, self.thread = limit, ThreadPoolExecutor(1)
        self.guest = Guest(image, **options)
        self._fill()

    @staticmethod
    def why_not():
        return None

    def _do(self, act, *arguments, **options):
        return self.thread.submit(act, *arguments, **options).result()

    def _fill(self):
        self._do(self.guest.run, ["mkdir", "-m", "777", FOLDER])
        for path in INPUTS.iterdir():
            self._do(self.guest.write, f"{FOLDER}/{path.name}", path.read_bytes(), 0o755)

    def run(self, line, scale):
        def act():
            start = time.perf_counter()
            found = self.guest.run(line.argv(scale), limit=self.limit)
            return (time.perf_counter() - start) * 1000, *found

        try:
            took, status, out, err = self._do(act)
        except Hung as error:
            self._fill()
            raise Failed(str(error)) from None
        if status:
            raise Failed(f"exit status {status}: {err[-200:]}")
        return took, out

    def stats(self) -> dict:
        return self.guest.machine.stats()

    def close(self):
        stats = self.stats()
        self._do(self.guest.close)
        self.thread.shutdown()
        return {"stats": stats}


class Command:
    """`webvm run`, from the start of the command to its end: a machine of its own for each program."""

    optional = True

    def __init__(self, image, options, limit):
        self.options = ["--disk", BUILD / f"{image}.ext4", "--mount", f"{INPUTS}:{FOLDER}", *(word for name, value in options.items() for word in (f"--{name}", value))]
        self.limit, self.peak = limit, 0

    @staticmethod
    def why_not():
        return None

    def run(self, line, scale):
        start = time.perf_counter()
        with subprocess.Popen([Path(sys.executable).with_name("webvm"), "run", *self.options, "--", *line.argv(scale)],
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as command:
            out = command.stdout.read()
            _, status, usage = os.wait4(command.pid, 0)
            command.returncode = status
        took = (time.perf_counter() - start) * 1000
        if status:
            raise Failed(f"wait status {status}")
        self.peak = max(self.peak, usage.ru_maxrss)
        return took, out

    def close(self):
        return {"peak memory (MB)": round(self.peak / 1024)}


class Chromium:
    """The page in headless Chromium, served by http.server; its shell at the prompt."""

    optional = True
    code = False

    def __init__(self, image, options, limit):
        folder = BUILD / ("-".join(["site", *([image] if image != "standard" else []), *(["code"] if self.code else [])]))
        site.build(folder, PROJECT, BUILD / f"{image}.ext4", code=self.code)
        self.folder = folder
        link = folder / "bench-inputs"
        link.unlink(missing_ok=True)
        link.symlink_to(INPUTS)
        self.limit, self.peak = limit, 0
        self.closing = contextlib.ExitStack()
        server = self.closing.enter_context(subprocess.Popen(
            [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        self.closing.callback(server.kill)
        self.address = f"http://localhost:{server.stdout.readline().split(' port ')[1].split()[0]}/" + "?" + "&".join(f"{name}={value}" for name, value in options.items())
        self.closing.callback(lambda: self.browser.close())
        self._open()

    @staticmethod
    def why_not():
        return None if shutil.which(CHROMIUM) else "there is no Chromium"

    def _open(self):
        """A first visit, in a browser that keeps nothing of those before."""
        self.browser = Browser(CHROMIUM, "--no-sandbox", "--disable-dev-shm-usage")
        self.page = self.browser.open(self.address)
        self.page.wait_for("window.vm && vm.screen().endsWith('user@webvm:~$')")
        self.page.evaluate("""async (folder, names) => {
            await vm.run(["mkdir", folder]);
            for (const name of names) {
                const content = await (await fetch("bench-inputs/" + name)).arrayBuffer();
                await vm.writeFile(`${folder}/${name}`, new Uint8Array(content));
            }
            await vm.run(["sh", "-c", `chmod +x ${folder}/*`]);
        }""", FOLDER, [path.name for path in INPUTS.iterdir()])

    def run(self, line, scale):
        try:
            found = self.page.evaluate("""async (argv, limit) => {
                const start = performance.now();
                const late = new Promise((done) => setTimeout(done, limit * 1000, null));
                const result = await Promise.race([vm.run(argv, { cwd: "/tmp" }), late]);
                return result && [performance.now() - start, result.status, result.stdout, result.stderr];
            }""", line.argv(scale), self.limit)
        except DevtoolsError as error:
            self._again()
            raise Failed(str(error)) from None
        if found is None:
            self._again()
            raise Failed(f"not done after {self.limit} s")
        took, status, out, err = found
        if status:
            raise Failed(f"exit status {status}: {err[-200:]}")
        return took, out.encode()

    def _again(self):
        self._note_peak()
        self.browser.close()
        self._open()

    def _note_peak(self):
        """Notes the largest resident set that one of the browser's renderers has had."""
        for process in self.browser.send("SystemInfo.getProcessInfo")["processInfo"]:
            if process["type"] == "renderer":
                status = Path(f"/proc/{process['id']}/status").read_text()
                self.peak = max(self.peak, int(status.partition("VmHWM:")[2].split()[0]) // 1024)

    def stats(self):
        return self.page.evaluate("vm.stats()")

    def close(self):
        self._note_peak()
        found = {"browser": self.browser.version, "peak memory of the page's process (MB)": self.peak, "stats": self.stats()}
        self.closing.close()
        return found


class ChromiumCode(Chromium):
    """The same page with the translated code that `webvm site` lets a site bring with it. Each run is on a first visit."""

    code = True

    def __init__(self, image, options, limit):
        super().__init__(image, options, limit)
        self.visited = False
        if not json.loads((self.folder / "site.json").read_text())["code"]:
            raise Failed(f"{self.folder} has no translated code")

    def run(self, line, scale):
        if self.visited:
            self._again()
        self.visited = True
        return super().run(line, scale)


#  name          class      its groups, None for all    measured unless said otherwise
PLACES = {
    "native":      (Native,    None,                       True),
    "qemu":        (Qemu,      None,                       True),
    "wasmtime":    (Wasmtime,  None,                       True),
    "chromium":    (Chromium,  None,                       True),
    "command":     (Command,   ("start-up", "system"),     True),
    "native-v2":   (NativeV2,  None,                       False),
    "chromium-code": (ChromiumCode, None,                  False),
}  # fmt: skip
