"""Guest programs print the same facts on this host's Linux, under our kernel on Unicorn's CPU, and on our own.

The programs are C, one a subject; the host's run is the reference, so a line that differs is a bug of ours.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engines.unicorn_engine import UnicornEngine
from tests.kernel.world import World
from webvm.engine.native import NativeEngine
from webvm.jit.image import Image

SOURCES = Path(__file__).parent / "programs"
ENGINES = {"unicorn": UnicornEngine, "wasmtime": lambda: NativeEngine(Image())}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds a program once for an engine; its path. Unicorn's CPU is privileged, so it is spared what only user mode has."""
    directory = tmp_path_factory.mktemp("programs")

    def build(name, engine):
        path = directory / engine / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            spared = ["-DNO_PRIVILEGES"] if engine == "unicorn" else []
            subprocess.run(["gcc", "-O1", "-w", "-static", "-pthread", *spared, "-o", path, SOURCES / f"{name}.c"], check=True)
        return path
    return build


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["signals", "processes", "memory", "threads", "times"])
def test_prints_what_it_prints_on_linux(built, name, engine):
    path = built(name, engine)
    host = subprocess.run([path], stdout=subprocess.PIPE, timeout=60)
    world = World(guest=path.parent, engine=ENGINES[engine]())
    status, out, _ = world.run(f"/guest/{name}", timeout=60)
    assert out.decode().splitlines() == host.stdout.decode().splitlines()
    assert status == host.returncode == 0
    assert [line for line in world.log if "illegal instruction" not in line] == []


@pytest.mark.parametrize("tier", ["jit", "interp"])
def test_a_program_steps_through_itself_as_on_this_processor(built, tier):
    path = built("steps", tier)
    host = subprocess.run([path], stdout=subprocess.PIPE, timeout=60, check=True)
    engine = NativeEngine(Image(tier=tier))
    world = World(guest=path.parent, engine=engine)
    status, out, _ = world.run("/guest/steps", timeout=60)
    assert out.decode().splitlines() == host.stdout.decode().splitlines()
    assert status == 0
    assert tier == "interp" or engine.image.counters.regions, "no loop was hot before it was stepped through"


@pytest.mark.parametrize("name", ["segments", "traps"])
def test_the_processor_is_as_this_one_for_programs(built, name):
    """Unicorn has other descriptors, and is privileged."""
    path = built(name, "wasmtime")
    host = subprocess.run([path], stdout=subprocess.PIPE, timeout=60, check=True)
    status, out, _ = World(guest=path.parent, engine=NativeEngine(Image())).run(f"/guest/{name}", timeout=60)
    assert out.decode().splitlines() == host.stdout.decode().splitlines()
    assert status == 0


SCRIPTS = {
    "arithmetic and loops": "for i in 1 2 3; do echo $((i * 7)); done; while read x; do echo [$x]; done < /etc/hostname",
    "pipelines": "printf 'c\\na\\nb\\n' | sort | tr a-z A-Z; echo ${PIPESTATUS[*]}; true | false | true; echo ${PIPESTATUS[*]}",
    "substitution": "x=$(echo one; exit 3); echo $x $?; y=$(ls -d /usr/bin); echo $y; diff <(echo 1) <(echo 2); echo $?",
    "background jobs": "sleep 5 & p=$!; kill $p; wait $p; echo $?; (sleep 0.05; exit 9) & wait $!; echo $?; wait; echo done",
    "traps": "trap 'echo usr1' USR1; kill -USR1 $$; trap 'echo bye' EXIT; trap '' INT; kill -INT $$; echo alive",
    "exit statuses": "(exit 3); echo $?; sh -c 'kill -9 $$'; echo $?; /nonexistent; echo $?; /etc/passwd; echo $?; sh -c 'exit 300'; echo $?",
    "scripts": "cd /tmp; printf '#!/bin/sh -e\\necho \"$0\" \"$@\"\\n' > s; chmod +x s; ./s a 'b c'; printf '#!./s\\n' > t; chmod +x t; ./t x; "
               "printf '#!./r\\n' > r; chmod +x r; ./r 2>&1 | sed 's/.*: //'; rm s t r",
    "limits": "ulimit -n; ulimit -s; (ulimit -n 5; ulimit -n); echo $(($(nice -n 5 nice) - $(nice))); umask",
}


def without_pids(text):
    return re.sub(rb"line 1: +\d+ ", b"line 1: PID ", text)


@pytest.mark.parametrize("script", SCRIPTS, ids=SCRIPTS.keys())
def test_bash_says_what_it_says_on_linux(script):
    limits = "ulimit -S -n 1024; ulimit -S -s 8192; "
    host = subprocess.run(["/bin/bash", "-c", limits + SCRIPTS[script]], capture_output=True, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C"}, cwd="/", timeout=60)
    status, out, err = World(engine=ENGINES["wasmtime"]()).run("/bin/bash", "-c", limits + SCRIPTS[script])
    assert (out, without_pids(err)) == (host.stdout, without_pids(host.stderr))
    assert status >> 8 == host.returncode
