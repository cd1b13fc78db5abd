"""Who runs: slices of guest code, system calls and page faults as coroutines, and waiting that costs nothing.

One asyncio coroutine runs all tasks in turn.  A system call is driven once where the guest made it (in `on_syscall`); if it
must wait, it is parked, the guest code is left, and the task runs again when what it waits for is done.
Knows tasks and spaces; what system calls do is in the table, what signals do is signals.py.
"""

import asyncio
import struct
import traceback
import types
from collections import deque

from webvm.fs.vfs import hold_time
from webvm.fs.wait import Interrupted, Wait
from webvm.kernel import cpu, life, signals
from webvm.kernel.cpu import RAX
from webvm.kernel.mm import GuestFault, NotCanonical
from webvm.kernel.syscall import INTERRUPTED, KEEP_REGISTERS, SYSCALLS, Trace, signal_name
from webvm.kernel.sys_signal import show_siginfo
from webvm.kernel.task import KillableWait
from webvm.linux import siginfo, wait
from webvm.linux.errno import EINTR, ENOMEM, ENOSYS, Errno
from webvm.linux.signal import SA_RESTART, SIG_DFL, SIG_IGN, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP

SLICE_NS = 6_000_000            # how long a task runs before others and the event loop get a turn, unless a timer is due earlier
SPARE_NS = 500_000              # so much less is good enough; so long it is at least
TIMED_NS, SHORT_NS = 2_000_000, 300_000 # how long a run takes that a timer follows, and the last before it
SLOWER = 5                      # times that code may be slower than what ran before it, so that no timer that is far away is late
FINE_NS = 1_000_000             # runs that took less say little about speed: browsers show clocks rounded
CALLS_PER_LOOK = 32             # system calls, or page faults, between two looks at the time
LEAST_FUEL = 20_000             # of a run
FIRST_SPEED, MOST_SPEED = 1 / 30, 16    # fuel for a nanosecond
SAMPLED_FUEL = 50_000           # at most so much of it where somebody takes samples
MASK64 = (1 << 64) - 1
X87_WORDS = struct.Struct("<HH")                        # control and status word, with which an FXSAVE area begins
MXCSR = struct.Struct("<I")                             # at 24 in it: exceptions, and from bit 7 on their masks

STACK_FAULT, GENERAL_PROTECTION, PAGE_FAULT = 12, 13, 14        # numbers of exceptions

TRAPS = {                       # stop code -> signal, si_code (None: see FLOATING), number of the exception
    cpu.ILLEGAL:    (SIGILL, siginfo.ILL_ILLOPN, 6),
    cpu.DIVIDE:     (SIGFPE, siginfo.FPE_INTDIV, 0),
    cpu.BREAKPOINT: (SIGTRAP, siginfo.SI_KERNEL, 3),
    cpu.PROTECTION: (SIGSEGV, siginfo.SI_KERNEL, GENERAL_PROTECTION),
    cpu.FLOATING:   (SIGFPE, None, 16),
    cpu.SIMD:       (SIGFPE, None, 19),
    cpu.STACK:      (SIGBUS, siginfo.SI_KERNEL, STACK_FAULT),
    cpu.OVERFLOW:   (SIGSEGV, siginfo.SI_KERNEL, 4),
    cpu.DEBUG:      (SIGTRAP, siginfo.TRAP_BRKPT, 1),
    cpu.STEP:       (SIGTRAP, siginfo.TRAP_TRACE, 1),
}
FLOATING = (                    # of the exceptions pending, the first of these says si_code
    (0x01, siginfo.FPE_FLTINV), (0x04, siginfo.FPE_FLTDIV), (0x08, siginfo.FPE_FLTOVF), (0x12, siginfo.FPE_FLTUND),
    (0x20, siginfo.FPE_FLTRES))
PAGE_FAULT_PROTECTION, PAGE_FAULT_WRITE, PAGE_FAULT_USER, PAGE_FAULT_FETCH = 1, 2, 4, 16      # bits of its error code


class Scheduler:
    def __init__(self, kernel, yield_=None):
        self.kernel = kernel
        self.yield_ = yield_ or (lambda: asyncio.sleep(0))
        self.queue = deque()
        self.task = None                # the task of the slice in progress
        self.mem = None                 # the address space that ran last
        self.now = kernel.clock.host    # nanoseconds
        kernel.clock.on_timer = self._on_timer
        self.speed = FIRST_SPEED
        self.slice_start = self.slice_end = self.run_end = 0
        self.calls = 0                  # system calls so far,
        self.look = CALLS_PER_LOOK      # and how many there have been at the next look at the time
        self.running = False            # guest code is on the Python stack
        self.idle = None                # future the loop waits on when nothing can run
        self.stopping = False
        self.old_spaces = []            # address spaces to drop once their code is off the stack
        self.busy_ns = 0                # time spent in slices
        self.slices = self.faults = 0
        self.instructions = 0           # executed by all tasks
        self.parked = 0                 # system calls that had to wait
        self._new_driver()
        self.sampler = None             # called after each run: (AddressSpace, its space, nanoseconds, instructions)

    # -- the loop -------------------------------------------------------------------------------------------------------

    async def run(self):
        """Run tasks until `stop`."""
        loop, clock = asyncio.get_running_loop(), self.kernel.clock
        last_yield = self.now()
        while not self.stopping:
            if not self.queue:
                self.idle = loop.create_future()
                await self.idle
                self.idle = None
                last_yield = self.now()
                continue
            start = self.slice_start = self.now()
            if start >= clock.due:
                clock.run_due()
            task = self.queue.popleft()
            task.queued = False
            if task.dead:
                continue
            self.slice_end = min(start + SLICE_NS, max(clock.due, start + SPARE_NS))
            self.slice(task)
            now = self.now()
            self.busy_ns += now - start
            self.slices += 1
            task.cpu_time += now - start
            task.group.times.user += now - start
            if task.group.cpu_timers:
                self.kernel.check_cpu_timers(task.group)
            if now - last_yield > SLICE_NS:
                await self.yield_()
                last_yield = self.now()

    def end_slice(self):
        """The running task gives the rest of its slice to others."""
        self.slice_end = self.run_end = self.look = 0

    def _on_timer(self, when):
        """A timer is set. The run in progress may be too long for it, and the slice."""
        if when < self.slice_start + SLOWER * SLICE_NS:
            self.slice_end = min(self.slice_end, when)
            self.run_end = self.look = 0

    def slice_time(self):
        """Nanoseconds since the slice in progress began."""
        return self.now() - self.slice_start

    def stop(self):
        self.stopping = True
        self._wake_loop()

    def _wake_loop(self):
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)

    def ready(self, task):
        """TASK can run, or must look at its signals."""
        if not task.queued and not task.dead and task is not self.task:
            task.queued = True
            self.queue.append(task)
            self._wake_loop()

    # -- a slice --------------------------------------------------------------------------------------------------------

    def slice(self, task):
        group = task.group
        if group.stopped and group.exiting is None:
            return                      # continue_group makes it ready again
        self.task = task
        try:
            self._load(task)
            if task.coroutine is not None and not self._resume(task):
                return
            while True:
                if task.attention and not self._settle(task):
                    return
                started = self.now()
                aim = self._aim(started)
                if aim <= 0:
                    break
                self._load(task)
                mem = task.mem
                space = mem.space
                space.on_syscall, space.on_fault = self.on_syscall, self.on_fault
                hold_time()
                before, fuel, self.run_end = space.instructions, self._fuel(aim), self.slice_end
                self.running = True
                stop = space.run(fuel)
                self.running = False
                executed = space.instructions - before
                self.instructions += executed
                if self.sampler is not None:
                    self.sampler(mem, space, self.now() - started, executed)
                if self.old_spaces:
                    self.drop_spaces()
                if stop == cpu.FUEL:
                    if self.sampler is None:
                        self._adapt(aim, fuel, self.now() - started)
                elif stop == cpu.LEFT:
                    if task.dead or task.coroutine is not None and not self._look_up(task):
                        return
                else:
                    self._trap(task, stop)
        finally:
            hold_time(False)
            self.running = False
            self.task = None
            if self.old_spaces:
                self.drop_spaces()
            if not task.dead and not task.group.stopped and (task.coroutine is None or task.waiting.done()):
                self.ready(task)

    def _load(self, task):
        """Put TASK's registers into its address space, and show shared memory as it is now."""
        mem = task.mem
        if mem is not self.mem:
            if self.mem is not None and self.mem.space is not None:
                self.mem.sync_shared()
            self.mem = mem
            if mem.shared_files:
                mem.refresh_shared()
        if mem.loaded is not task:
            if mem.loaded is not None:
                mem.loaded.context = mem.space.context()
            if task.context is not None:
                mem.space.load_context(task.context)
                task.context = None
                if mem.heedful:
                    mem.space.heed_exceptions()
            mem.loaded = task

    def _aim(self, now):
        """How long the next run should take; 0 or less when the slice is over. It may be in code that is several times as slow as what ran
        before, so that a timer is approached by short ones."""
        left, to_timer = self.slice_end - now, self.kernel.clock.due - now
        if to_timer > left and left < SPARE_NS:
            return 0
        return min(left, max(to_timer // SLOWER, min(to_timer // 2, TIMED_NS), SHORT_NS))

    def _fuel(self, aim):
        fuel = max(int(self.speed * aim), LEAST_FUEL)
        return fuel if self.sampler is None else min(fuel, SAMPLED_FUEL)

    def _adapt(self, aim, fuel, elapsed):
        """Learn from a run that took so long for its fuel."""
        if elapsed > max(FINE_NS, aim // 2) or elapsed > 2 * aim:
            self.speed = fuel / elapsed
        elif elapsed < aim // 2:
            self.speed = min(self.speed * 2, MOST_SPEED)

    def _trap(self, task, stop):
        signo, code, task.trap_number = TRAPS[stop]
        space = task.mem.space
        task.trap_error, space.trap_error = space.trap_error, 0
        if stop in (cpu.FLOATING, cpu.SIMD):
            area = space.fxsave()
            control, status = X87_WORDS.unpack_from(area)
            if stop == cpu.SIMD:
                status, = MXCSR.unpack_from(area, 24)
                control = status >> 7
            code = next(code for exceptions, code in FLOATING if status & ~control & exceptions)
        address = 0 if code == siginfo.SI_KERNEL else space.rip
        if stop == cpu.ILLEGAL:
            self.kernel.log_illegal(task)
        signals.force(self.kernel, task, signo, siginfo.fault(signo, code, address))

    def drop_spaces(self):
        spaces, self.old_spaces = self.old_spaces, []
        for mem in spaces:
            mem.drop()

    # -- hooks: called by the engine from inside run ---------------------------------------------------------------------

    def on_syscall(self, registers):
        task = self.task
        mem = task.mem
        if mem.dirty:
            mem.sync_shared()
        calls = self.calls = self.calls + 1
        traced = self.kernel.strace is not None
        if traced:
            task.trace = Trace(mem, registers[0], registers[1:])
        try:
            entry = SYSCALLS[registers[0]]
        except KeyError:
            return self._unknown(task, registers[0])
        try:
            result = entry.call(task, registers)
            if result.__class__ is not int and result is not KEEP_REGISTERS:
                try:
                    result = self.drive(result)
                except BaseException:
                    self._new_driver()
                    raise
                if result.__class__ is not int and result is not KEEP_REGISTERS:
                    task.waits_in = *registers, mem.space.get(cpu.RSP), mem.space.rip
                    self._park(task, self.driver, result, entry)
                    self.parked += 1
                    self._new_driver()
                    return False
        except Errno as error:
            result = -error.number
        except MemoryError:
            result = -ENOMEM
        except Interrupted:             # a signal it sent itself comes first (SIGTTIN for a background reader)
            task.interrupted, task.attention = entry, True
            result = -EINTR
        except Exception:               # a bug of ours must not take the machine down
            self._crashed(task)
            return False
        if traced:
            self._finish_trace(task, result)
        if result is KEEP_REGISTERS:
            if task.attention or task.dead or task.mem is not mem:
                return False
            result = True
        elif task.attention or task.dead:
            mem.space.set(RAX, result & MASK64)
            return False
        if mem.shared_files:
            mem.refresh_shared()
        if calls < self.look:
            return result
        self.look = calls + CALLS_PER_LOOK
        hold_time()
        if self.now() < self.run_end:
            return result
        if result is not True:
            mem.space.set(RAX, result & MASK64)
        return False

    def _unknown(self, task, number):
        self.kernel.unknown_syscall(task, number)
        if task.trace is not None:
            self._finish_trace(task, -ENOSYS)
        if task.attention:
            task.mem.space.set(RAX, -ENOSYS & MASK64)
            return False
        return -ENOSYS

    def on_fault(self, address, access):
        task = self.task
        self.faults += 1
        try:
            if task.mem.fault_now(address, access) is None:
                return self.faults % CALLS_PER_LOOK != 0 or self.now() < self.run_end
            task.access = access
            coroutine = task.mem.fault(address, access)
            try:
                waiting = coroutine.send(None)
            except StopIteration:
                return True
        except GuestFault as fault:
            self._segv(task, fault, access)
            return False
        except MemoryError:
            self.kernel.out_of_memory(task)
            return False
        task.waits_in = ()
        self._park(task, coroutine, waiting, None)
        return False

    def _segv(self, task, fault, access):
        if self.kernel.log_faults:
            self.kernel.log(f"{task.name.decode(errors='replace')}[{task.tid}]: fault at {fault.address:#x} "
                            f"ip {task.mem.space.rip:#x} sp {task.mem.space.get(cpu.RSP):#x}")
        signo = fault.signo
        if isinstance(fault, NotCanonical):
            by_stack = not access & cpu.X and task.mem.space.by_stack(fault.accessed)
            signo, task.trap_number, task.trap_error = (SIGBUS, STACK_FAULT, 0) if by_stack else (signo, GENERAL_PROTECTION, 0)
        else:
            task.trap_number, task.cr2 = PAGE_FAULT, fault.address
            present = fault.address >> 63 or self._present(task.mem, fault.address)
            task.trap_error = (PAGE_FAULT_USER | PAGE_FAULT_PROTECTION * bool(present) | PAGE_FAULT_WRITE * bool(access & cpu.W)
                               | PAGE_FAULT_FETCH * bool(access & cpu.X))
        signals.force(self.kernel, task, signo, siginfo.fault(signo, fault.code, fault.address))

    @staticmethod
    def _present(mem, address):
        """Whether a page table would have the page: one that was accessed, and may be."""
        vma = mem.find(address)
        return vma is not None and vma.prot and mem.space.perms(address >> 12, 1)[0] & cpu.PRESENT

    # -- waiting ----------------------------------------------------------------------------------------------------------

    def _new_driver(self):
        self.driver = driver = _driver(self)
        driver.send(None)
        self.drive = driver.send

    def _park(self, task, coroutine, waiting, entry):
        """TASK waits in COROUTINE until WAITING is done."""
        task.coroutine, task.waiting, task.call = coroutine, waiting, entry

        def done(_):
            if task.waiting is waiting:
                self.ready(task)
        waiting.add_done_callback(done)

    def _resume(self, task):
        """Go on in the parked coroutine; True when it is finished and the task may run."""
        if task.waiting.done() and self._step(task, None):
            return True
        return self._look_up(task)

    def _look_up(self, task):
        """What is left to do in a slice whose task waits, perhaps anew: its signals. True: it waits no longer."""
        return task.coroutine is not None and task.attention and self._settle_waiting(task)

    def _step(self, task, exception):
        """Send or throw into the parked coroutine and take its result. True: finished."""
        coroutine, entry = task.coroutine, task.call
        try:
            waiting = coroutine.throw(exception) if exception is not None else coroutine.send(None)
        except StopIteration as stop:
            result = stop.value
        except Errno as error:
            result = -error.number
        except MemoryError:
            if entry is None:
                task.coroutine = task.waiting = None
                self.kernel.out_of_memory(task)
                return True
            result = -ENOMEM
        except Interrupted:
            result = Interrupted
        except GuestFault as fault:
            task.coroutine = task.waiting = None
            self._segv(task, fault, task.access)
            return True
        except Exception:               # a bug of ours must not take the machine down
            task.coroutine = task.waiting = None
            self._crashed(task)
            return True
        else:
            self._park(task, coroutine, waiting, entry)
            return False
        task.coroutine = task.waiting = None
        if task.dead:
            return False
        if entry is not None:
            if task.trace is not None:
                self._finish_trace(task, INTERRUPTED if result is Interrupted else result)
            if result is Interrupted:
                task.interrupted = entry
                result = -EINTR
            if result is not KEEP_REGISTERS:
                task.mem.space.set(RAX, result & MASK64)
        return True

    def abandon(self, task):
        """Give up what TASK waits in: it will not come back."""
        coroutine, task.coroutine, task.waiting = task.coroutine, None, None
        if coroutine is not None:
            coroutine.close()

    def kill(self, task):
        """TASK's process is to end: nothing but I/O in progress is waited for."""
        if task is not self.task:
            if isinstance(task.waiting, Wait):
                self.abandon(task)
            self.ready(task)

    # -- on the way back to guest code ------------------------------------------------------------------------------------

    def _settle(self, task):
        """Deliver signals, stop, end. True: TASK may run guest code."""
        group, kernel = task.group, self.kernel
        while True:
            if group.exiting is not None:
                life.exit_task(task, group.exiting)
                return False
            if group.stopped:
                return False
            signo = signals.deliverable(task)
            if not signo:
                if task.restore_mask is None:
                    break
                mask, task.restore_mask = task.restore_mask, None
                kernel.set_blocked(task, mask)
                continue
            action = group.actions.get(signo)
            info = signals.take(task, signo)
            if action[0] == SIG_DFL:
                self._default_action(task, signo, info)
            elif action[0] != SIG_IGN:
                if not self._enter_handler(task, signo, info, action):
                    return False
        if task.interrupted is not None:            # and no handler came of it: the call starts again
            signals.restart_call(task.mem.space, task.interrupted.number)
            task.interrupted = None
        task.attention = False
        return True

    def _settle_waiting(self, task):
        """The same for a task that waits: only a handler interrupts it, stopping and continuing leave it where it is."""
        group = task.group
        if not isinstance(task.waiting, Wait):
            return False                # I/O in progress: later
        while signo := signals.deliverable(task):
            handler = group.actions.get(signo)[0]
            if handler not in (SIG_DFL, SIG_IGN):
                return not isinstance(task.waiting, KillableWait) and self._step(task, Interrupted())
            info = signals.take(task, signo)
            if handler == SIG_DFL:
                self._default_action(task, signo, info)
            if group.exiting is not None:
                self.abandon(task)
                return True
            if group.stopped:
                return False
        task.attention = task.restore_mask is not None
        return False

    def _enter_handler(self, task, signo, info, action):
        """Put the handler's frame up; False if that has to wait."""
        if task.interrupted is not None:
            if task.interrupted.restart and action[1] & SA_RESTART:
                signals.restart_call(task.mem.space, task.interrupted.number)
            task.interrupted = None
        if self.kernel.strace is not None:
            self.kernel.strace(task, f"--- {show_siginfo(info)} ---")
        coroutine = signals.enter_handler(task, signo, info, action)
        try:
            waiting = coroutine.send(None)
        except StopIteration:
            return True
        except Errno:                   # no room for the frame
            life.end_group(task.group, wait.killed(SIGSEGV))
            return True
        self._park(task, coroutine, waiting, None)
        return False

    def _default_action(self, task, signo, info):
        group, bit = task.group, signals.bit(signo)
        if bit & signals.IGNORED:
            return
        if bit & signals.STOPPING:
            if signo == SIGSTOP or not life.orphaned(self.kernel, group.pgrp, group.session):
                life.stop_group(group, signo)
            return
        if self.kernel.strace is not None:
            self.kernel.strace(task, f"--- {show_siginfo(info)} ---")
            self.kernel.strace(task, f"+++ killed by {signal_name(signo)} +++")
        life.end_group(group, wait.killed(signo))

    # -- what is said ---------------------------------------------------------------------------------------------------------

    def _finish_trace(self, task, result):
        trace, task.trace = task.trace, None
        if result is KEEP_REGISTERS:
            result = None if task.dead or task.group.exiting is not None else _signed(task.mem.space.get(RAX))
        self.kernel.strace(task, trace.finish(result))

    def _crashed(self, task):
        """A handler raised what it must not: say so with the traceback, and end the process as if by SIGSYS."""
        self.kernel.log(f"kernel bug in {task.name.decode(errors='replace')}[{task.tid}]:\n{traceback.format_exc()}")
        task.trace = None
        life.end_group(task.group, wait.killed(SIGSYS))


@types.coroutine
def _driver(scheduler):
    """Runs coroutines that are sent to it, one after the other, and yields what each returns, as a number where that is an
    Errno; catching StopIteration from each would take longer than most of them. It also yields what a coroutine waits on. Then
    the scheduler parks the driver as if it were that coroutine, which it is from there on, and takes a new one for others."""
    parked = scheduler.parked
    result = None
    while True:
        coroutine = yield result
        try:
            result = yield from coroutine
        except Errno as error:
            if scheduler.parked != parked:
                raise
            result = -error.number
        if scheduler.parked != parked:
            return result


def _signed(value):
    return value - (1 << 64) if value >> 63 else value
