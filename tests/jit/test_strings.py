"""REP MOVS and REP STOS of many elements, which go page by page: this processor, the oracle, the interpreter and regions.

Sources and destinations overlap in every way, lie at and across the ends of pages, and run off the end of what is there. WEBVM_SEED=n
replays, WEBVM_ROUNDS=n does more.
"""
import random

from tests.jit.regions import CODE, DATA, DATA_SIZE, RAX, RCX, RDI, RSI, RSP, STACK_SIZE, TOP, Guest, engine
from tests.jit.test_interpreter import difference, report
from tests.jit.test_region import ROUNDS, SEED
from tests.x86 import machines, native

FORMS = {"f3a4": 1, "66f3a5": 2, "f3a5": 4, "f348a5": 8, "f3aa": 1, "66f3ab": 2, "f3ab": 4, "f348ab": 8, "67f3a4": 1, "67f348a5": 8, "67f3ab": 4}


def case(rng) -> tuple[str, machines.State, bytes]:
    form = rng.choice(list(FORMS))
    size, df = FORMS[form], rng.random() < .15
    state = machines.State(rip=CODE)
    state.df, state.gpr[RSP] = int(df), TOP
    count = rng.choice((0, 1, 3, 7, 8, 9, 64 // size, 65, 200, 2000, 4096 // size, 5000 // size))
    end = DATA + DATA_SIZE
    source = rng.choice((DATA, DATA + 0x1000 - rng.randrange(40), DATA + rng.randrange(DATA_SIZE), end - count * size - rng.randrange(-9, 9)))
    near = rng.choice((0, 1, -1, size, -size, 3, 60, -60, 64, 500, -500, count * size, count * size - 1, 1 - count * size))
    target = source + near if rng.random() < .6 else DATA + rng.randrange(DATA_SIZE)
    state.gpr[RCX], state.gpr[RSI], state.gpr[RDI] = count, source, target
    state.gpr[RAX] = rng.choice((0, 0x4141414141414141, (1 << 64) - 1, 0x4142434445464748))
    if form.startswith("67"):                                # upper halves are not looked at
        for n in RCX, RSI, RDI:
            state.gpr[n] |= rng.choice((0, 5 << 32))
    return form, state, rng.randbytes(DATA_SIZE)


def test_many_elements_at_once_are_as_one_after_another():
    interpreter, guest, failures, ends, regions = Guest(engine("interp")), Guest(engine()), [], set(), 0
    cases = sorted((case(random.Random(seed)) for seed in range(1000 * SEED, 1000 * SEED + 250 * ROUNDS)), key=lambda it: it[0])
    processor = None if native.missing else native.Native()
    asked = processor.run_many([(bytes.fromhex(form), state, data) for form, state, data in cases]) if processor else [None] * len(cases)
    was = ""
    for (form, state, data), answer in zip(cases, asked):
        outcomes = []
        for machine in (interpreter, guest):
            if form != was:                                  # a region for all cases of a form
                machine.space.write(CODE, bytes.fromhex(form) + b"\xf4")
                machine.load(state, data, bytes(STACK_SIZE))
                machine.run()
                if machine is guest:
                    regions += guest.translate([CODE])
            machine.load(state, data, bytes(STACK_SIZE))
            outcomes.append(machine.outcome(machine.run()))
        was = form
        ends.add(outcomes[0].end[:5])
        found = [difference(*outcomes, 0)]
        for judge in filter(None, (machines.on_oracle(bytes.fromhex(form), state, data), answer)):
            if (judge.state.gpr, judge.data) != (outcomes[0].state.gpr, outcomes[0].data[:DATA_SIZE]):
                found.append(f"{judge.end}: {judge.state.gpr[:8]} / {outcomes[0].end}: {outcomes[0].state.gpr[:8]}")
        if any(found):
            failures.append(f"{form} {state.gpr[:8]} {state.df}: {found}")
    if processor is not None:
        processor.close()
    assert ends == {"GP", "fault"} and regions == len(FORMS), (ends, regions)
    report(failures)


def test_a_page_of_many_elements_is_one_step():
    """So memory is filled as fast as it can be."""
    guest = Guest(engine("interp"))
    guest.space.write(CODE, bytes.fromhex("f348ab 0f05"))
    state = machines.State(rip=CODE)
    state.gpr[RCX], state.gpr[RDI], state.gpr[RSP] = DATA_SIZE // 8, DATA, TOP
    guest.load(state, b"\1" * DATA_SIZE, bytes(STACK_SIZE))
    before = guest.space.instructions
    assert guest.run() == "syscall" and guest.space.instructions - before <= DATA_SIZE // 4096 + 2
    assert guest.space.read(DATA, DATA_SIZE) == bytes(DATA_SIZE)
