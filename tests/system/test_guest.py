"""C and C++ programs compiled on this host print in the machine what they print on this host; hostile ones harm nobody."""

import shutil
import subprocess
from pathlib import Path

import pytest


SOURCES = Path(__file__).parents[1] / "guest"
COMPILERS = {".c": "gcc", ".cc": "g++"}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """`build(source, static)` compiles once; the program's path."""
    folder = tmp_path_factory.mktemp("guest")

    def compiled(source: str, static: bool) -> Path:
        path = folder / f"{source.replace('.', '-')}{'-static' if static else ''}"
        compiler = COMPILERS[Path(source).suffix]
        if shutil.which(compiler) is None:
            pytest.skip(f"needs {compiler}")
        if not path.exists():
            flags = ["-static"] if static else ["-static-libstdc++", "-static-libgcc"]       # the image has no C++ library
            subprocess.run([compiler, "-O1", "-w", "-pthread", *flags, "-o", path, SOURCES / source, "-lm"], check=True)
        return path
    return compiled


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize("source", ["faults.c", "exceptions.c", "language.cc", "sharing.c"])
def test_prints_what_it_prints_on_this_host(guest, build, source, static):
    program = build(source, static)
    there = subprocess.run([program], capture_output=True, timeout=120)
    guest.write(f"/tmp/{program.name}", program.read_bytes(), 0o755)
    status, out, err = guest.run([f"/tmp/{program.name}"])
    assert out.decode().splitlines() == there.stdout.decode().splitlines()
    assert (status, err) == (there.returncode, there.stderr)


@pytest.mark.parametrize("seed", range(12))
def test_wild_calls_and_noise_harm_nobody(guest, build, seed):
    program = build("hostile.c", True)
    guest.write("/tmp/hostile", program.read_bytes(), 0o755)
    before = len(guest.log)
    assert guest.run(["/tmp/hostile", str(seed)]) == (0, b"done: 12 of 12\n", b"")
    assert guest.run(["sh", "-c", "echo alive | cat"]) == (0, b"alive\n", b"")
    assert [line for line in guest.log[before:] if "bug" in line] == []
