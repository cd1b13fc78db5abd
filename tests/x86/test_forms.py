"""Every form of every row of the opcode tables (forms.py) on five judges: oracle, interpreter, regions, unicorn, this processor.

All registers, flags, memory, and how the instruction ended. Flags that processors differ in are those of webvm.x86.undefined;
other differences of a judge are listed here, each with its reason. WEBVM_SEED=n replays what a failure prints, WEBVM_ROUNDS=n
runs n cases of each form. x87 has its own tests (test_x87).
"""
import logging
import os
import random
from collections import Counter

import pytest

from tests.jit.regions import CODE_SIZE, Guest, engine
from tests.jit.test_interpreter import difference, report
from tests.jit.test_region import ROOM, judged
from tests.x86 import forms, machines, native
from tests.x86.reference import disagreement
from webvm.x86.insn import Mem
from webvm.x86.meaning import MEANINGS
from webvm.x86.oracle import PYTHON_MEANINGS
from webvm.x86.undefined import open_flags

SEED = int(os.environ.get("WEBVM_SEED", 1))
ROUNDS = int(os.environ.get("WEBVM_ROUNDS", 1))
FEATURES = machines.FEATURES
ALL = 0x8D5

NEVER_THE_SAME = {"rdtsc", "rdtscp", "cpuid", "rdrand", "rdseed", "rdpid"}


@pytest.fixture(scope="module")
def cases() -> list[forms.Case]:
    """Of each form, with the oracle's answer in `outcome`; those without a meaning, and x87's, are not there."""
    rng, found = random.Random(SEED), []
    for row in forms.rows(FEATURES):
        if forms.is_x87(row) or row.meaning in NEVER_THE_SAME:
            continue
        for form in forms.forms_of(row, FEATURES):
            for _ in range(ROUNDS):
                case = forms.make(form, rng, FEATURES)
                if case.insn is not None and not known(case.insn.row):
                    continue
                case.outcome = on_oracle(case)
                found.append(case)
    print(f"WEBVM_SEED={SEED}: {len(found)} cases")
    return found


def known(row) -> bool: return row.meaning in MEANINGS or row.meaning in PYTHON_MEANINGS or row.cpl0 or row.iopl


def on_oracle(case) -> machines.Outcome:
    if case.insn is None:
        return machines.Outcome(case.state, case.data, "UD")
    return machines.on_oracle(case.code, case.state, case.data)


def flags_of(case) -> int:
    """Those that all processors agree in."""
    if case.insn is None or not case.insn.operands:
        return ALL
    return ALL & ~open_flags(case.insn.meaning, 8 * case.insn.size, forms.shift_count(case.insn, case.state))


def text(case) -> str: return f"{case.code.hex()} {case.insn or 'undefined'} ({case.form})"


def test_there_is_a_case_for_every_form(cases):
    """Of each row; each operand size, memory and registers, and every prefix are among them."""
    wanted = {form for form in forms.all_forms(FEATURES) if not forms.is_x87(form.row) and form.row.meaning not in NEVER_THE_SAME
              and (known(form.row) or form.prefixes == ("lock",))}
    assert {case.form for case in cases} >= {form for form in wanted if known(form.row)}
    assert len(wanted) > 12000
    for case in cases:
        if case.insn is not None:
            assert case.insn.row is case.form.row and case.insn.length == len(case.code), text(case)
            assert case.insn.lock == ("lock" in case.form.prefixes), text(case)
            assert any(isinstance(o, Mem) for o in case.insn.operands) >= case.form.memory, text(case)


def test_every_form_decodes_as_capstone_does(cases):
    problems = [(case.code.hex(" "), problem) for case in cases for problem in [disagreement(case.code.ljust(15, b"\xcc"))] if problem]
    assert problems == []


def test_interpreter_agrees_with_oracle(cases, caplog):
    caplog.set_level(logging.CRITICAL, "webvm.cpu")
    interpreter, failures = machines.Interpreter(), []
    for case in cases:
        wrong = difference(case.outcome, interpreter.run(case.code, case.state, case.data))
        if wrong:
            failures.append(f"{text(case)}: oracle / interpreter {wrong}")
    report(failures)


def test_regions_agree_with_the_interpreter(cases):
    """Of forms with prefixes one in five, unless WEBVM_ROUNDS asks for more."""
    plain, guest, failures = Guest(engine("interp")), Guest(engine()), []
    some = [(case.code, case.state, case.data, text(case)) for n, case in enumerate(cases)
            if case.insn is not None and (ROUNDS > 1 or not case.form.prefixes or (n + SEED) % 5 == 0)]
    for first in range(0, len(some), CODE_SIZE // ROOM):
        failures += judged(some[first:first + CODE_SIZE // ROOM], plain, guest)
    report(failures)


# ---------------------------------------------------------------------------------------------- this processor

APPROXIMATE = {v + name for v in ("", "v") for name in ("rcpps", "rcpss", "rsqrtps", "rsqrtss")}       # 12 bits are promised; which ones differs


@pytest.mark.skipif(bool(native.missing), reason=f"THE PROCESSOR IS NOT ASKED: it needs {native.missing}")
def test_oracle_agrees_with_this_processor(cases):
    processor, failures, absent = native.Native(), [], Counter()
    asked = []
    for case in cases:
        feature = case.form.row.feature
        if feature and feature not in native.HOST:
            absent[feature] += 1
        elif case.form.row.meaning not in APPROXIMATE:
            asked.append(case)
    if absent:
        print(f"this processor lacks, so it is not asked about: {dict(absent)}")
    for case, found in zip(asked, processor.run_many([(case.code, case.state, case.data) for case in asked])):
        if found.end == "not run" or host_differs(case, found):
            continue
        wrong = difference(as_host(case, found), found, flags_of(case))
        if wrong:
            failures.append(f"{text(case)}: oracle / processor {wrong}")
    processor.close()
    assert len(asked) > 10000
    report(failures)


def host_differs(case, found) -> bool:
    """Where processors in sale differ from each other, or the harness can't tell."""
    row, insn = case.form.row, case.insn
    if row.meaning == "int1":
        return found.end == "DB"                 # some hypervisors leave RIP at it
    if row.meaning in ("callf", "jmpf") and case.form.size == 8:
        return found.end in ("GP", "ok")         # AMD's know no far pointers of 10 bytes
    if row.meaning == "retf" and case.outcome.end == "GP":
        return found.end.startswith("fault")     # of a selector for another level the processor looks at more of the stack
    if row.meaning in ("sgdt", "sidt", "sldt", "str", "smsw") and "67" in case.form.prefixes:
        return found.end == "GP"                 # Linux, which does these, takes a 32-bit address in FS for one too high
    if row.meaning in ("bt", "bts", "btr", "btc") and case.form.memory:
        return found.end.startswith("fault")     # processors access the whole operand around the bit
    if row.meaning == "xgetbv" or row.meaning == "xrstor" and case.outcome.end == "GP":
        return found.end in ("ok", "GP")         # parts that are not here
    if row.meaning == "vgather" and case.outcome.end.startswith("fault"):
        return found.end == "ok" or found.end.startswith("fault")      # it keeps what it has by then, and may stop there when stepped
    if row.meaning == "lsl":
        return found.end == "ok"                 # the limit of Linux's last descriptor is the number of the processor
    if row.mnemonic == "nop" and row.opcode == 0x0D and not case.form.memory:
        return found.end == "UD"                 # the register forms of PREFETCHW's opcode: NOP for Intel, #UD for AMD
    if row.meaning == "mov_control":
        return found.end in ("UD", "GP")         # registers that do not exist; with LOCK, AMD's CR8
    if row.meaning == "call_indirect" and case.outcome.end == "GP" or row.meaning in ("sgdt", "sidt") and case.outcome.end.startswith("fault"):
        return found.end.startswith("fault")     # of two faults, the other; Linux, which does SGDT, writes a part before
    if insn is None and row.meaning == "verw":
        return found.end == "ok" or found.end.startswith("fault")      # AMD lets LOCK pass there
    if insn is not None and row.mnemonic == "movsxd" and insn.size == 2:
        return found.end.startswith("fault")     # of 16 bits AMD's read 32
    return False


def as_host(case, found) -> machines.Outcome:
    """The oracle's outcome, with what this comparison leaves to others taken from the processor."""
    outcome = case.outcome
    state = outcome.state.copy()
    if case.form.row.meaning == "popf":
        state.rest = found.state.rest            # a signal's context does not bring NT and ID back
    data = outcome.data
    if case.form.row.meaning in ("fxsave", "xsave") and outcome.end == "ok":        # MXCSR_MASK says more of AMD's
        at = forms.effective(case.insn, case.insn.operands[0], case.state) + 28 - machines.DATA
        data = data[:at] + found.data[at:at + 4] + data[at + 4:]
        if case.form.row.meaning == "xsave":     # and there are more parts than here
            at += 512 - 28
            assert (data[at] ^ found.data[at]) & 7 == 0
            data = data[:at] + found.data[at:at + 8] + data[at + 8:at + 320] + found.data[at + 320:]
    return machines.Outcome(state, data, outcome.end)
