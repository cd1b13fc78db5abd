"""Guest programs print the same facts on this host's Linux and under our kernel (on Unicorn's CPU).

The programs are C, one a subject; the host's run is the reference, so a line that differs is a bug of ours.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernel.world import World

SOURCES = Path(__file__).parent / "programs"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds a program once; its path."""
    directory = tmp_path_factory.mktemp("programs")

    def build(name):
        path = directory / name
        if not path.exists():
            subprocess.run(["gcc", "-O1", "-w", "-static", "-pthread", "-DNO_PRIVILEGES", "-o", path, SOURCES / f"{name}.c"], check=True)
        return path
    return build


@pytest.mark.parametrize("name", ["signals", "processes", "memory", "threads", "times"])
def test_prints_what_it_prints_on_linux(built, name):
    path = built(name)
    host = subprocess.run([path], stdout=subprocess.PIPE, timeout=30)
    world = World(guest=path.parent)
    status, out, _ = world.run(f"/guest/{name}", timeout=60)
    assert out.decode().splitlines() == host.stdout.decode().splitlines()
    assert status == host.returncode == 0
    assert [line for line in world.log if "illegal instruction" not in line] == []
