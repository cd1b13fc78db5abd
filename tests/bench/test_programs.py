"""Each program of the benchmark, with little to do, prints the same in webvm and on this host."""

import functools
import io
import tarfile

import pytest

from tests.system.machines import BUILD, Guest, Host

from . import inputs
from .lines import FOLDER, LINES, TIMED, Line

SCALE = 1 / 5000
IMAGE = "dev" if (BUILD / "dev.root").exists() else "standard"
PIECE = 2000                        # bytes of a piece of input


@pytest.fixture(scope="module")
def guest():
    guest = Guest(IMAGE)
    yield guest
    guest.close()


@pytest.fixture(scope="module")
def host():
    host = Host(IMAGE)
    if reason := host.why_not():
        pytest.skip(reason)
    return host


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> bytes:
    """A tar file of all inputs."""
    folder = tmp_path_factory.mktemp("bench")
    inputs.make(folder, PIECE, 60)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, ".")
    return out.getvalue()


@functools.cache
def outcome(runner, line, packed, scale=SCALE):
    """What a line prints, but for what depends on the time and on the file system."""
    words = line.argv(scale, out="&1")
    script = f'[ -d {FOLDER} ] || {{ mkdir {FOLDER} && tar -x -C {FOLDER}; }} || exit 99; exec "$0" "$@"'
    status, out, err = runner.run(["bash", "-c", script, *words], stdin=packed)
    assert (status, err) == (0, b""), (status, err)
    if line.group in TIMED:
        return out.split()[0]
    return [row.split()[-1] for row in out.splitlines()[1:]] if "ls" in line.name else out


@pytest.mark.parametrize("line", [pytest.param(line, id=f"{line.group}-{line.name}") for line in LINES])
def test_prints_the_same_as_on_this_host(guest, host, packed, line):
    if missing := [path for path in line.needs if not (host.root / path[1:]).exists()]:
        pytest.skip(f"the {IMAGE} image has no {missing[0]}")
    ours = outcome(guest, line, packed)
    assert ours == outcome(host, line, packed)
    assert ours or line.name.startswith("gcc")


@pytest.mark.parametrize("load", [line.name for line in LINES if line.group == "scalar"])
def test_a_vectorised_build_computes_the_same(host, packed, load):
    scalar, vector = (outcome(host, Line(group, load, 3), packed, 1) for group in ("scalar", "vector"))
    assert scalar == vector


def test_results_depend_on_the_amount(host, packed):
    for line in LINES:
        if line.group in TIMED:
            assert outcome(host, Line(line.group, line.name, 1), packed, 1) != outcome(host, Line(line.group, line.name, 3), packed, 1), line
