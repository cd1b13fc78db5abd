import asyncio
import statistics

from tests.kernel.scripted import DATA, Handler, Machine, call, spin, touch, trap
from webvm.fs.wait import WaitQueue
from webvm.kernel.clock import Clock
from webvm.kernel.cpu import BREAKPOINT, ILLEGAL, RSP, R, W
from webvm.kernel.sys_time import ITIMERVAL
from webvm.linux import ucontext
from webvm.linux.errno import EINTR, ENOMEM, ENOSYS, Errno
from webvm.linux.signal import SA_RESTART, SA_RESTORER, SIGACTION, SIGALRM, SIGINT, SIGPROF, SIGSYS, SIGUSR1

HANDLER = 0x401800


def install(space, signo, flags=0, address=0x400800):
    """Calls that set a handler up, through memory at ADDRESS."""
    space.write(address, SIGACTION.pack(HANDLER, flags | SA_RESTORER, 0x401900, 0))
    return call(13, signo, address, 0, 8)


def test_a_program_runs_and_ends_with_its_status():
    seen = []

    def program(space):
        seen.append((yield call(39)))
        yield call(231, 7)
    assert Machine(program).run() == 7 << 8
    assert seen == [2]


def test_an_unknown_call_is_enosys_and_is_named_once_in_the_log():
    seen = []

    def program(space):
        seen.append((yield call(451)))
        seen.append((yield call(451)))
    machine = Machine(program)
    machine.run()
    assert seen == [-ENOSYS, -ENOSYS]
    assert machine.log == ["program[2]: system call 451 (cachestat) is not implemented"]


def test_a_bug_of_ours_ends_the_process_and_not_the_machine(monkeypatch):
    from webvm.kernel.syscall import SYSCALLS

    def broken(task, *registers):
        raise ZeroDivisionError("oops")
    monkeypatch.setattr(SYSCALLS[102], "call", broken)

    def program(space):
        yield call(102)
        raise AssertionError("went on")
    machine = Machine(program)
    assert machine.run() == SIGSYS
    assert "ZeroDivisionError: oops" in machine.log[0]


def test_calls_that_fail_in_any_way_leave_the_next_ones_as_they_are(monkeypatch):
    """Those of the same process and of others; also while one waits, which then ends as it should."""
    from webvm.kernel.syscall import SYSCALLS
    queue, seen = WaitQueue(), []

    def failing(error, waits=False):
        async def handler(task, registers):
            if waits:
                await queue.wait()
            raise error
        return handler

    async def broken(task, registers):
        queue.wake()
        raise ZeroDivisionError("oops")
    for number, handler in ((102, failing(MemoryError())), (104, failing(Errno(ENOSYS))), (107, failing(Errno(EINTR), waits=True)),
                            (108, failing(MemoryError(), waits=True)), (111, broken)):
        monkeypatch.setattr(SYSCALLS[number], "call", handler)

    def parent(space):
        child = yield call(57)
        for number in (102, 39, 104, 39, 107, 39):
            seen.append((yield call(number)))
        status = yield call(61, child, DATA + 0x900, 0, 0)
        seen.append((status == child, space.read(DATA + 0x900, 4)[0]))
        child = yield call(57)
        seen.append((yield call(108)))
        yield call(61, child, 0, 0, 0)
        seen.append((yield call(39)))

    def child(space):
        yield call(24)
        yield call(111)
        raise AssertionError("went on")
    assert Machine(parent, child, child).run() == 0
    assert seen == [-ENOMEM, 2, -ENOSYS, 2, -EINTR, 2, (True, SIGSYS), -ENOMEM, 2]


def test_a_signal_ends_a_loop_without_system_calls():
    def program(space):
        while True:
            yield spin

    async def during(task):
        await asyncio.sleep(0)
        task.kernel.signal_pgrp(task.group.pgrp, SIGINT)
    assert Machine(program).run(during=during) == SIGINT


def test_the_event_loop_gets_its_turns_while_a_program_computes():
    turns = []

    def program(space):
        while len(turns) < 3:
            yield spin

    async def during(task):
        while len(turns) < 3:
            await asyncio.sleep(0)
            turns.append(1)
    assert Machine(program).run(during=during) == 0


def test_a_waiting_program_takes_no_slices():
    def program(space):
        yield call(34)                  # pause

    async def during(task):
        while task.coroutine is None:
            await asyncio.sleep(0)
        before = task.kernel.scheduler.slices
        for _ in range(20):
            await asyncio.sleep(0)
        assert task.kernel.scheduler.slices == before
        assert task.state == "S"
        task.kernel.send(task.group, 9)
    assert Machine(program).run(during=during) == 9


def test_a_handler_interrupts_a_wait_with_eintr():
    seen = []

    def program(space):
        yield install(space, SIGUSR1)
        event = yield call(34)
        assert isinstance(event, Handler) and event.signo == SIGUSR1
        seen.append((yield call(15)))

    async def during(task):
        while task.coroutine is None:
            await asyncio.sleep(0)
        task.kernel.send(task.group, SIGUSR1)
    assert Machine(program).run(during=during) == 0
    assert seen == [-EINTR]


def test_sa_restart_makes_the_call_again():
    seen = []

    def program(space):
        yield install(space, SIGUSR1, SA_RESTART)
        yield call(22, 0x400900)                                # pipe
        event = yield call(0, int.from_bytes(space.read(0x400900, 4), "little"), 0x400a00, 1)
        assert isinstance(event, Handler)
        seen.append((yield call(15)))                           # back in read, which is made again

    async def during(task):
        while task.coroutine is None:
            await asyncio.sleep(0)
        task.kernel.send(task.group, SIGUSR1)
        while task.coroutine is None:
            await asyncio.sleep(0)
        await task.files.get(1).write(b"x")
    assert Machine(program).run(during=during) == 0
    assert seen == [1]


def test_the_signal_frame_is_the_kernels():
    frames = []

    def program(space):
        yield install(space, SIGUSR1)
        space.set(RSP, 0x7FFF000)
        yield touch(0x7FFE000, W)
        event = yield call(62, 2, SIGUSR1)
        frames.append((event, space.get(RSP), space.read(event.context, 304), space.read(event.info, 16),
                       space.read(space.get(RSP), 8)))
        assert (yield call(15)) == 0
        assert space.get(RSP) == 0x7FFF000
    assert Machine(program).run() == 0
    event, sp, context, info, pretcode = frames[0]
    assert sp % 16 == 8 and sp < 0x7FFF000 - 128                # aligned as after a call, below the red zone
    assert int.from_bytes(pretcode, "little") == 0x401900
    assert event.context == sp + 8 and event.info == sp + 8 + 304
    assert context[:8] == (6).to_bytes(8, "little")             # UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
    values = ucontext.SIGCONTEXT.unpack_from(context, 40)
    assert values[15] == 0x7FFF000 and values[13] == 0          # rsp, and rax: kill's result
    assert values[18:22] == (0x33, 0, 0, 0x2B)
    assert values[26] % 64 == 0 and values[26] >= event.info + 128      # fpstate, above the frame
    assert info[:4] == SIGUSR1.to_bytes(4, "little")


def test_illegal_instructions_are_said_with_their_bytes():
    def program(space):
        space.write(0x401000, b"\x0f\x0b")
        yield touch(0x401000, R)
        yield trap(ILLEGAL)
    machine = Machine(program)
    assert machine.run() == 4
    assert machine.log[0].startswith("program[2]: illegal instruction at 0x401000: ")


def test_int3_is_sigtrap():
    def program(space):
        yield trap(BREAKPOINT)
    assert Machine(program).run() == 5


def test_a_fault_outside_every_mapping_is_sigsegv():
    def program(space):
        assert not (yield touch(0x20, R))
    assert Machine(program).run() == 11


def test_virtual_timers_run_with_the_program():
    def program(space):
        space.write(0x400800, (0).to_bytes(16, "little") + (0).to_bytes(8, "little") + (1).to_bytes(8, "little"))
        yield call(38, 2, 0x400800, 0)
        while True:
            yield spin
    assert Machine(program).run() == SIGPROF


MILLISECOND = 1_000_000


class Computing:
    """A clock on which nothing takes time but the runs of a program that computes, at a speed it says; the event loop gets no turns."""

    def __init__(self):
        self.time = 1_000 * MILLISECOND + 1
        self.clock = Clock(lambda: self.time, lambda: self.time)

    def ticks(self, speeds):
        """How late timers were, in milliseconds, each of which was set for the next of `speeds` (fuel in a nanosecond) to compute, 20 of
        each."""
        late = []

        def program(space):
            yield install(space, SIGALRM)
            for n, speed in enumerate(speed for speed in speeds for _ in range(20)):
                wait = 700 + n * 1234 % 20_000                  # microseconds
                due = self.time + wait * 1000
                space.write(0x400800, ITIMERVAL.pack(0, 0, 0, wait))
                yield call(38, 0, 0x400800, 0)
                event = None
                while not isinstance(event, Handler):
                    assert self.time < due + 1000 * MILLISECOND
                    self.time += round(space.fuel / speed)
                    event = yield spin
                late.append((self.time - due) / MILLISECOND)
                yield call(15)

        async def no_turn():
            pass
        assert Machine(program, clock=self.clock, yield_=no_turn).run() == 0
        return late


def test_a_timer_ends_the_run_in_which_it_is_due():
    late = Computing().ticks([.03, .3])
    assert min(late) >= 0
    assert max(late[3:20]) < 1 and max(late[25:]) < 1           # the first look for the speed


def test_a_timer_is_seen_soon_though_the_program_gets_slower():
    """As it does where it comes to code that is not translated."""
    late = Computing().ticks([.3, .06, .3, .05, .25, .04])
    assert max(late) < 20
    assert statistics.quantiles(late, n=10)[-1] < 1


def test_timers_that_are_always_due_let_the_program_go_on():
    seen = []

    def program(space):
        yield install(space, SIGALRM)
        space.write(0x400800, ITIMERVAL.pack(0, 1, 0, 1))
        yield call(38, 0, 0x400800, 0)
        event = yield spin
        while len(seen) < 100:
            event = yield call(15) if isinstance(event, Handler) else spin
            seen.append(event)
    machine = Machine(program)
    assert machine.run() == 0
    assert machine.kernel.scheduler.slices < 200


def test_a_program_without_timers_runs_for_whole_slices():
    computing, runs = Computing(), []

    def program(space):
        for _ in range(100):
            runs.append(space.fuel)
            computing.time += round(space.fuel / .3)
            yield spin
    assert Machine(program, clock=computing.clock).run() == 0
    assert all(5 < fuel / .3 / MILLISECOND < 7 for fuel in runs[10:])


def test_no_address_space_left_is_eagain_for_fork():
    seen = []

    def program(space):
        seen.append((yield call(57)))
    Machine(program).run()
    assert seen == [-11]
