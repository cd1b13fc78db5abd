"""Two runners of the same programs: our machine, and this host's kernel over the same root file system.

Both answer (exit status, standard output, standard error) of a program run as root with the environment of a login and a
directory of its own below /tmp, which is empty.
"""

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

from webvm.block import open_device
from webvm.machine import Account, Machine

BUILD = Path(__file__).resolve().parents[2] / "build"
ROOT = Account("root", home="/root", shell="/bin/bash")
ENVIRONMENT = ROOT.environment()
LIMIT = 120             # seconds: programs here take a second; a machine that shares its processor with others, many


class Hung(AssertionError):
    """A program in the machine did not end."""


class Guest:
    """Our machine, booted from an image (options: Machine.boot's); a new one after a program hung."""

    def __init__(self, image: str = "standard", **options):
        self.image, self.options = BUILD / f"{image}.ext4", options
        self.runner = asyncio.Runner()
        self.log = []
        self.machine = None

    def wait(self, coroutine, limit=LIMIT):
        """Runs a coroutine beside the machine; Hung when it takes longer than that."""
        return self.runner.run(self._wait(coroutine, limit))

    async def _wait(self, coroutine, limit):
        if self.machine is None:
            self.machine = await Machine.boot(device=await open_device(str(self.image)), log=self.log.append, **self.options)
        try:
            return await asyncio.wait_for(coroutine(self.machine), limit)
        except TimeoutError:
            machine, self.machine = self.machine, None
            running = [(task.tid, task.name, task.state, task.call and task.call.name) for task in machine.kernel.tasks.values()]
            await machine.halt()
            raise Hung(f"not done after {limit} s; tasks: {running}") from None

    def run(self, argv, stdin=b"", cwd="/tmp", env=None, limit=LIMIT):
        return self.wait(lambda machine: machine.run(argv, stdin=stdin, cwd=cwd, env=env, account=ROOT), limit)

    def write(self, path, data: bytes, mode=0o644):
        self.wait(lambda machine: machine.write_file(path, data, mode))

    def script(self, name: str, text: str, shell="bash", stdin=b""):
        return self.run([shell, "-c", in_own_folder(name, text)], stdin)

    def close(self):
        if self.machine is not None:
            self.runner.run(self.machine.halt())
        self.runner.close()


class Host:
    """This host's kernel: a chroot into the tree the image was made of, with /tmp, /proc and the host's name covered."""

    def __init__(self, image: str = "standard"):
        self.root = BUILD / f"{image}.root"
        hostname = (self.root / "etc/hostname").read_text().strip()
        cover = (f'hostname {hostname}; mount -t tmpfs -o mode=1777 tmp "$0/tmp" && '
                 '{ mount -t proc proc "$0/proc" 2> /dev/null || mount --rbind /proc "$0/proc"; } && '
                 'mount --rbind /dev "$0/dev" && ulimit -S -n 1024 && ulimit -S -s 8192 && exec chroot "$0" "$@"')
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.prefix = ["unshare", *as_root, "--mount", "--uts", "--pid", "--fork", "sh", "-c", cover, str(self.root)]

    def run(self, argv, stdin=b"", cwd="/tmp", env=None, limit=LIMIT):
        argv = ["env", "-i", f"--chdir={cwd}", *(f"{k}={v}" for k, v in (ENVIRONMENT | (env or {})).items()), *argv]
        done = subprocess.run([*self.prefix, *argv], input=stdin, capture_output=True, timeout=limit, start_new_session=True)
        return done.returncode, done.stdout, done.stderr

    def script(self, name: str, text: str, shell="bash", stdin=b""):
        return self.run([shell, "-c", in_own_folder(name, text)], stdin)

    def why_not(self) -> str | None:
        """What keeps this host from running anything there, or None."""
        if not shutil.which("unshare"):
            return "this host has no unshare(1)"
        status, out, err = self.run(["/usr/bin/echo", "works"])
        return None if out == b"works\n" else f"chroot into {self.root} fails here: {err.decode(errors='replace').strip()}"


def in_own_folder(name: str, text: str) -> str:
    folder = "/tmp/" + re.sub(r"\W+", "-", name)
    return f"mkdir {folder} && cd {folder} || exit 99\n{text}"
