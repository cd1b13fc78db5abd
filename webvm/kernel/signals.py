"""Signals: who gets one, what it does, and the frame a handler runs on.

Knows tasks' masks, pending sets and actions, and x86-64's rt_sigframe.  Knows no system call (sys_signal.py) and leaves
ending, stopping and waking to the kernel it is given.
"""

from webvm.kernel.cpu import RAX, RDI, RDX, RSI, RSP
from webvm.linux import siginfo
from webvm.linux.errno import EINVAL, Errno
from webvm.linux.signal import (
    NSIG, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_RESTORER, SIG_DFL, SIG_IGN, SIGABRT, SIGBUS, SIGCHLD, SIGCONT,
    SIGFPE, SIGILL, SIGKILL, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, SIGXCPU,
    SIGXFSZ, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, STACK,
)  # fmt: skip
from webvm.linux.ucontext import (
    FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, FP_XSTATE_MAGIC2_SIZE, FPX_SW_BYTES, FPX_SW_OFFSET, FRAME_HEAD, FRAME_SIZE, FXSAVE_SIZE,
    SIGCONTEXT, SIGCONTEXT_REGISTERS, UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS, UPPERS_SIZE, USER_CS, USER_DS, XFEATURE_FP,
    XFEATURE_SSE, XFEATURE_YMM, XFEATURES, XSAVE_HEADER, XSAVE_SIZE,
)  # fmt: skip

RED_ZONE = 128
SYSCALL_SIZE = 2                # bytes of the SYSCALL instruction
RFLAGS_DF, RFLAGS_RF, RFLAGS_TF = 0x400, 0x10000, 0x100
RFLAGS_FIXED = 0x40DD5          # what sigreturn restores: AC DF TF SF ZF AF PF CF OF


def bit(signo):
    return 1 << signo - 1


def bits(*signals):
    return sum(map(bit, signals))


UNBLOCKABLE = bits(SIGKILL, SIGSTOP)
IGNORED     = bits(SIGCHLD, SIGURG, SIGWINCH, SIGCONT)
STOPPING    = bits(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)
SYNCHRONOUS = bits(SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS)
CORE        = SYNCHRONOUS | bits(SIGQUIT, SIGABRT, SIGXCPU, SIGXFSZ)


class Actions:
    """What each signal does: {signo: (handler, flags, restorer, mask)}; absent means the default."""

    def __init__(self, table=()):
        self.table = dict(table)

    def get(self, signo):
        return self.table.get(signo, DEFAULT)

    def copy(self):
        return Actions(self.table)

    def ignored(self, signo):
        handler = self.get(signo)[0]
        return handler == SIG_IGN or handler == SIG_DFL and bool(bit(signo) & IGNORED)

    def reset_handlers(self):
        """execve: caught signals get their default action, ignored ones stay ignored."""
        self.table = {signo: action for signo, action in self.table.items() if action[0] == SIG_IGN}


DEFAULT = (SIG_DFL, 0, 0, 0)


class Pending:
    """Signals waiting to be delivered: at most one of each of the first 31, queues of the real-time ones."""

    def __init__(self):
        self.mask = 0
        self.queues = {}

    def add(self, signo, info):
        queue = self.queues.setdefault(signo, [])
        if signo >= 32 or not queue:
            queue.append(info)
        self.mask |= bit(signo)

    def take(self, signo):
        queue = self.queues[signo]
        info = queue.pop(0)
        if not queue:
            del self.queues[signo]
            self.mask &= ~bit(signo)
        return info

    def discard(self, mask):
        for signo in [s for s in self.queues if bit(s) & mask]:
            del self.queues[signo]
        self.mask &= ~mask


def deliverable(task):
    """The number of the signal TASK must take next, 0 for none; faults first, then by number (as the kernel does)."""
    mask = (task.pending.mask | task.group.pending.mask) & ~task.blocked
    if not mask:
        return 0
    mask = mask & SYNCHRONOUS or mask
    return (mask & -mask).bit_length()


def take(task, signo):
    """Remove SIGNO from the pending sets; its siginfo."""
    pending = task.pending if task.pending.mask & bit(signo) else task.group.pending
    return pending.take(signo)


# -- sending --------------------------------------------------------------------------------------------------------------

def send(kernel, group, signo, info=None, task=None):
    """Send SIGNO to a process, or to TASK of it. Signal 0 and dead processes: nothing happens."""
    if not signo or group.status is not None or not group.threads:
        return
    _prepare(kernel, group, signo)
    target = task
    if target is None:
        target = next((t for t in group.threads if not t.blocked & bit(signo)), group.threads[0])
    if group.actions.ignored(signo) and not target.blocked & bit(signo) and not target.sigwait & bit(signo):
        return
    if info is None:
        info = siginfo.kernel(signo)
    (group if task is None else task).pending.add(signo, info)
    if signo == SIGKILL:
        kernel.end_group(group, SIGKILL)
        return
    kernel.signalled(group, signo)
    if not target.blocked & bit(signo) or target.sigwait & bit(signo):
        kernel.interrupt(target)


def _prepare(kernel, group, signo):
    """A stop signal takes back a pending SIGCONT and the reverse; SIGCONT resumes even when blocked or ignored."""
    if bit(signo) & STOPPING:
        for pending in (group.pending, *(t.pending for t in group.threads)):
            pending.discard(bit(SIGCONT))
    elif signo == SIGCONT:
        for pending in (group.pending, *(t.pending for t in group.threads)):
            pending.discard(STOPPING)
        kernel.continue_group(group)


def force(kernel, task, signo, info):
    """A fault of the task's own making: cannot be blocked or ignored; if it is, the process ends."""
    handler = task.group.actions.get(signo)[0]
    if handler == SIG_IGN or task.blocked & bit(signo):
        task.group.actions.table.pop(signo, None)
        task.blocked &= ~bit(signo)
    task.pending.add(signo, info)
    task.attention = True


# -- the frame ------------------------------------------------------------------------------------------------------------

def on_altstack(task, sp):
    base, flags, size = task.altstack
    return not flags & SS_AUTODISARM and base < sp <= base + size


def altstack_flags(task, sp):
    if not task.altstack[2]:
        return SS_DISABLE
    return (SS_ONSTACK if on_altstack(task, sp) else 0) | task.altstack[1] & SS_AUTODISARM


async def enter_handler(task, signo, info, action):
    """Push the frame and point the registers at the handler; Errno(EFAULT) if the stack cannot take it."""
    handler, flags, restorer, mask = action
    space = task.mem.space
    saved_mask = task.blocked if task.restore_mask is None else task.restore_mask
    task.restore_mask = None
    sp = space.get(RSP) - RED_ZONE
    entered = flags & SA_ONSTACK and altstack_flags(task, space.get(RSP)) & ~SS_AUTODISARM == 0
    if entered:
        sp = task.altstack[0] + task.altstack[2]
    xsave = task.kernel.processor.xsave
    floats = _float_state(space, xsave)
    fpstate = sp - len(floats) & -64
    frame = (fpstate - FRAME_SIZE & -16) - 8
    if not flags & SA_RESTORER:
        raise Errno(EINVAL)
    registers = [space.get(r) for r in SIGCONTEXT_REGISTERS]
    flags_of_frame = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | UC_FP_XSTATE * xsave
    head = FRAME_HEAD.pack(restorer, flags_of_frame, 0, task.altstack[0],
                           _signed(altstack_flags(task, space.get(RSP))), task.altstack[2])
    context = SIGCONTEXT.pack(*registers, space.rip, space.rflags, USER_CS, 0, 0, USER_DS, task.trap_error,
                              task.trap_number, saved_mask, task.cr2, fpstate)
    await task.mem.write(frame, head + context + saved_mask.to_bytes(8, "little") + info)
    await task.mem.write(fpstate, floats)
    space.reset_floats()
    space.set(RDI, signo)
    space.set(RAX, 0)
    space.set(RSI, frame + FRAME_SIZE - siginfo.SIZE)
    space.set(RDX, frame + 8)
    space.set(RSP, frame)
    space.rip = handler
    space.rflags = space.rflags & ~(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF)
    if entered and task.altstack[1] & SS_AUTODISARM:
        task.altstack = (0, SS_DISABLE, 0)
    task.blocked |= mask | (0 if flags & SA_NODEFER else bit(signo))
    task.blocked &= ~UNBLOCKABLE
    if flags & SA_RESETHAND:
        task.group.actions.table.pop(signo, None)


def _float_state(space, xsave):
    """What a frame has of x87, SSE and (with XSAVE) AVX."""
    area = space.fxsave()
    if not xsave:
        return area
    marks = FPX_SW_BYTES.pack(FP_XSTATE_MAGIC1, XSAVE_SIZE + FP_XSTATE_MAGIC2_SIZE, XFEATURES, XSAVE_SIZE)
    return (area[:FPX_SW_OFFSET] + marks + XSAVE_HEADER.pack(XFEATURES, 0) + space.uppers()
            + FP_XSTATE_MAGIC2.to_bytes(FP_XSTATE_MAGIC2_SIZE, "little"))


async def _load_float_state(task, space, at):
    """As Linux does: where the marks of the longer form are not there, the shorter one counts, and AVX's state is as in a new program."""
    area = await task.mem.read(at, FXSAVE_SIZE)
    if not task.kernel.processor.xsave:
        space.fxrstor(area)
        return
    parts, uppers = XFEATURE_FP | XFEATURE_SSE, bytes(UPPERS_SIZE)
    magic, length, wanted, size = FPX_SW_BYTES.unpack_from(area, FPX_SW_OFFSET)
    if magic == FP_XSTATE_MAGIC1 and (size, length) == (XSAVE_SIZE, XSAVE_SIZE + FP_XSTATE_MAGIC2_SIZE):
        more = await task.mem.read(at + FXSAVE_SIZE, length - FXSAVE_SIZE)
        if int.from_bytes(more[-FP_XSTATE_MAGIC2_SIZE:], "little") == FP_XSTATE_MAGIC2:
            parts = XSAVE_HEADER.unpack_from(more)[0] & wanted
            uppers = more[XSAVE_HEADER.size:XSAVE_HEADER.size + UPPERS_SIZE]
    space.reset_floats()
    image = bytearray(space.fxsave())
    if parts & XFEATURE_FP:
        image[:24], image[32:160] = area[:24], area[32:160]
    if parts & (XFEATURE_SSE | XFEATURE_YMM):
        image[24:28] = area[24:28]
    if parts & XFEATURE_SSE:
        image[160:416] = area[160:416]
    space.fxrstor(bytes(image))
    if parts & XFEATURE_YMM:
        space.load_uppers(uppers)


async def leave_handler(task):
    """rt_sigreturn: restore what the frame (perhaps changed by the handler) says."""
    space = task.mem.space
    frame = space.get(RSP) - 8
    data = await task.mem.read(frame, FRAME_SIZE)
    _, _, _, stack_base, stack_flags, stack_size = FRAME_HEAD.unpack_from(data)
    values = SIGCONTEXT.unpack_from(data, FRAME_HEAD.size)
    fpstate = values[26]
    if fpstate:
        await _load_float_state(task, space, fpstate)
    for register, value in zip(SIGCONTEXT_REGISTERS, values):
        space.set(register, value)
    space.rip = values[16]
    space.rflags = space.rflags & ~RFLAGS_FIXED | values[17] & RFLAGS_FIXED
    at = FRAME_HEAD.size + SIGCONTEXT.size
    task.kernel.set_blocked(task, int.from_bytes(data[at:at + 8], "little"))
    task.altstack = (0, SS_DISABLE, 0) if not stack_size else (stack_base, stack_flags & SS_AUTODISARM, stack_size)


def restart_call(space, number):
    """The interrupted call NUMBER is to be made again when the guest runs on."""
    space.rip -= SYSCALL_SIZE
    space.set(RAX, number)


def _signed(value):
    return value - (1 << 32) if value >> 31 else value
