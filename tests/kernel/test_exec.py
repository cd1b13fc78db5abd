import asyncio
import struct

import pytest

from tests.kernel.scripted import ENTRY, Machine, call, image
from webvm.kernel.exec import MAX_ARG_STRLEN, script_line
from webvm.linux import auxvec as at
from webvm.linux.elf import ELFMAG
from webvm.linux.errno import (
    E2BIG, EACCES, EINVAL, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOMEM, Errno,
)  # fmt: skip


def stack(space):
    """(argv, envp, auxv) from the first stack pointer."""
    sp = space.get(4)
    words = iter(struct.unpack("<400Q", space.read(sp, 3200)))
    argv = [string(space, next(words)) for _ in range(next(words))]
    assert next(words) == 0
    envp = []
    while pointer := next(words):
        envp.append(string(space, pointer))
    auxv = {}
    while key := next(words):
        auxv[key] = next(words)
    return argv, envp, auxv


def string(space, address):
    return space.read(address, 4096 - address % 4096).split(b"\0")[0]


def started(argv=(b"/program", b"two words", b""), env=(b"A=1", b"B="), **files):
    """What a program finds when it begins."""
    found = []

    def program(space):
        found.append((*stack(space), space.get(4), space.rip))
        yield call(231, 0)
    machine = Machine(program, files={name.encode(): content for name, content in files.items()})
    machine.run(argv, env=env)
    return found[0], machine


def test_the_first_stack_holds_arguments_environment_and_auxiliary_vector():
    (argv, envp, auxv, sp, rip), machine = started()
    space = machine.engine.spaces[0]
    assert argv == [b"/program", b"two words", b""] and envp == [b"A=1", b"B="]
    assert sp % 16 == 0 and rip == ENTRY == auxv[at.AT_ENTRY]
    assert auxv[at.AT_PHDR] == 0x400040 and auxv[at.AT_PHNUM] == 1 and auxv[at.AT_PHENT] == 56
    assert auxv[at.AT_PAGESZ] == 4096 and auxv[at.AT_BASE] == 0 and auxv[at.AT_CLKTCK] == 100 and auxv[at.AT_SECURE] == 0
    assert string(space, auxv[at.AT_EXECFN]) == b"/program" and string(space, auxv[at.AT_PLATFORM]) == b"x86_64"


def test_at_random_is_random():
    def random():
        (_, _, auxv, _, _), machine = started()
        return machine.engine.spaces[0].read(auxv[at.AT_RANDOM], 16)
    assert random() != random()


def test_the_interpreter_is_where_it_starts_and_at_base_says_where():
    loader = image(e_type=3, loads=((0, 0, 0x2000, 0x2000),))
    (_, _, auxv, _, rip), _ = started(program=image(interpreter=b"/loader\0"), loader=loader)
    assert auxv[at.AT_BASE] == 0x8000000 and rip == 0x8000000 + ENTRY and auxv[at.AT_ENTRY] == ENTRY


def test_a_position_independent_program_is_put_at_the_image_base():
    (_, _, auxv, _, rip), _ = started(program=image(e_type=3, loads=((0, 0, 0x2000, 0x2000),)))
    assert rip == 0x400000 + ENTRY and auxv[at.AT_PHDR] == 0x400040


@pytest.mark.parametrize("files, number", [
    ({"program": b""}, ENOEXEC),
    ({"program": b"\x7fELF"}, ENOEXEC),
    ({"program": b"not a program at all"}, ENOEXEC),
    ({"program": image(machine=40)}, ENOEXEC),
    ({"program": image(e_type=1)}, ENOEXEC),
    ({"program": image(ident=ELFMAG + bytes([1, 1, 1]))}, ENOEXEC),
    ({"program": image(loads=())}, ENOEXEC),
    ({"program": image()[:100]}, ENOEXEC),
    ({"program": image(loads=((0x400000, 0, 0x3000, 0x2000),))}, ENOEXEC),
    ({"program": image(loads=((0x400000, 0, 0x5000, 0x5000),))}, ENOEXEC),
    ({"program": image(loads=((0x400010, 0, 0x2000, 0x2000),))}, EINVAL),
    ({"program": image(loads=((1 << 40, 0, 0x2000, 0x2000),))}, ENOMEM),
    ({"program": image(loads=((0xFFFFFFFFFFFFF000, 0, 0x2000, 0x2000),))}, ENOEXEC),
    ({"program": image(interpreter=b"/none\0")}, ENOENT),
    ({"program": image(interpreter=b"/loader")}, ENOEXEC),
    ({"program": image(interpreter=b"/loader\0"), "loader": b"junk"}, ELIBBAD),
    ({"program": b"#!/program\n"}, ELOOP),
    ({"program": b"#!\n"}, ENOEXEC),
    ({"program": b"#!/none\n"}, ENOENT),
    ({"program": b"#!" + b"x" * 300}, ENOEXEC),
])
def test_a_bad_file_is_refused_with_the_kernels_error(files, number):
    machine = Machine(*[None] * 0, files={name.encode(): content for name, content in files.items()})
    machine.engine.programs = [lambda space: None] * 2

    async def attempt():
        with pytest.raises(Errno) as refused:
            await machine.spawn()
        return refused.value.number
    assert asyncio.run(attempt()) == number
    assert all(space.released for space in machine.engine.spaces)


def test_what_may_not_be_executed_is_eacces():
    machine = Machine(files={b"program": image()})

    async def attempt():
        inode = await machine.fs.root.create(b"data", 0o644, 0, 0)
        await inode.write(0, image())
        for path in (b"/data", b"/"):
            with pytest.raises(Errno) as refused:
                await machine.kernel.spawn([path])
            assert refused.value.number == EACCES
    asyncio.run(attempt())


def test_an_argument_that_is_too_long_is_e2big():
    machine = Machine(lambda space: None)

    async def attempt():
        with pytest.raises(Errno) as refused:
            await machine.spawn([b"/program", b"x" * MAX_ARG_STRLEN])
        assert refused.value.number == E2BIG
    asyncio.run(attempt())


def test_a_script_runs_its_interpreter_with_its_argument():
    (argv, _, auxv, _, _), machine = started([b"/script", b"x"], script=b"#! /program -a b \nrest")
    assert argv == [b"/program", b"-a b", b"/script", b"x"]
    assert string(machine.engine.spaces[0], auxv[at.AT_EXECFN]) == b"/script"


@pytest.mark.parametrize("head, line", [
    (b"\x7fELF", None),
    (b"#!/bin/sh\n", (b"/bin/sh", b"")),
    (b"#!/bin/sh", (b"/bin/sh", b"")),
    (b"#! \t/bin/awk\t-f  \nBEGIN", (b"/bin/awk", b"-f")),
    (b"#!/usr/bin/env -S a b\n", (b"/usr/bin/env", b"-S a b")),
])
def test_script_lines(head, line):
    assert script_line(head) == line


def test_execve_replaces_the_program_and_keeps_the_pid():
    seen = []

    def first(space):
        space.write(0x400800, b"/program\0")
        space.write(0x400900, struct.pack("<2Q", 0x400800, 0))
        seen.append((yield call(39)))
        yield call(59, 0x400800, 0x400900, 0)
        raise AssertionError("execve came back")

    def second(space):
        seen.append((yield call(39)))
        yield call(231, 5)
    machine = Machine(first, second)
    assert machine.run() == 5 << 8
    assert seen == [2, 2] and [space.released for space in machine.engine.spaces] == [True, True]
