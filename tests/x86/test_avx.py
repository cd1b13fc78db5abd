"""A program that looks at AVX's state: on this processor and in webvm. Single instructions are those of test_forms, with all others."""
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernel.world import World
from tests.x86 import native
from webvm.engine.native import NativeEngine
from webvm.jit.image import Image
from webvm.jit.options import Options
from webvm.kernel.exec import Processor
from webvm.x86.processor import CPUS

needs = native.missing or ("" if {"avx2", "fma", "f16c"} <= native.HOST else "AVX2, FMA and F16C")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("avx")
    source = Path(__file__).with_name("avx.c")
    flags = "-O1 -static -pthread -mavx2 -mfma -mf16c -ffp-contract=off -frounding-math -w".split()
    subprocess.run([shutil.which("gcc"), *flags, "-o", folder / "avx", source, "-lm"], check=True)
    return folder, subprocess.run([folder / "avx"], capture_output=True, stdin=subprocess.DEVNULL)


@pytest.mark.skipif(bool(needs), reason=f"no program is compared with the processor: it needs {needs}")
@pytest.mark.parametrize("options", [{}, {"tier": "interp"}, {"options": Options(loose_floats=False)}], ids=["jit", "interp", "exact"])
def test_a_program_finds_avx_as_on_the_processor(options, program):
    folder, expected = program
    world = World(engine=NativeEngine(Image(features=CPUS["max"], **options)), guest=str(folder))
    world.kernel.processor = Processor(xsave=True)
    status, output, errors = world.run(b"/guest/avx")
    assert (output, errors) == (expected.stdout, b"") and status == expected.returncode << 8 == 7 << 8
    assert output.count(b"is changed") == 1 + 2 * 16 and b"zero 1" in output
