"""futex and its relatives: the operations by number.  The queues are futex.py."""

from webvm.kernel.syscall import Enum, Int, Pid, Ptr, Size, UInt, syscall
from webvm.kernel.sys_time import read_timespec
from webvm.linux.errno import EAGAIN, EINVAL, ENOSYS, EPERM, ESRCH, ETIMEDOUT, Errno
from webvm.linux.futex import (
    FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_OP_ADD, FUTEX_OP_ANDN, FUTEX_OP_CMP_EQ,
    FUTEX_OP_CMP_GE, FUTEX_OP_CMP_GT, FUTEX_OP_CMP_LE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_NE, FUTEX_OP_OPARG_SHIFT, FUTEX_OP_OR,
    FUTEX_OP_SET, FUTEX_OP_XOR, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE,
    FUTEX_WAKE_BITSET, FUTEX_WAKE_OP, ROBUST_LIST_HEAD,
)  # fmt: skip

OPERATIONS = {
    FUTEX_OP_SET:  lambda old, arg: arg,
    FUTEX_OP_ADD:  lambda old, arg: old + arg,
    FUTEX_OP_OR:   lambda old, arg: old | arg,
    FUTEX_OP_ANDN: lambda old, arg: old & ~arg,
    FUTEX_OP_XOR:  lambda old, arg: old ^ arg,
}
COMPARISONS = {
    FUTEX_OP_CMP_EQ: lambda old, arg: old == arg,
    FUTEX_OP_CMP_NE: lambda old, arg: old != arg,
    FUTEX_OP_CMP_LT: lambda old, arg: old < arg,
    FUTEX_OP_CMP_LE: lambda old, arg: old <= arg,
    FUTEX_OP_CMP_GT: lambda old, arg: old > arg,
    FUTEX_OP_CMP_GE: lambda old, arg: old >= arg,
}


class FutexOp(Enum):
    """The operation with its flag bits."""

    def format(self, value):
        shown = super().format(value & 127)
        shown += "_PRIVATE" if value & FUTEX_PRIVATE_FLAG else ""
        return shown + ("|FUTEX_CLOCK_REALTIME" if value & FUTEX_CLOCK_REALTIME else "")


@syscall(202, note="no priority inheritance")
async def futex(task, uaddr: Ptr, op: FutexOp("FUTEX_", "futex"), val: UInt, timeout: Ptr, uaddr2: Ptr, val3: UInt):
    command = op & 127
    mem, futexes = task.mem, task.kernel.futexes
    if uaddr % 4:
        raise Errno(EINVAL)
    match command:
        case c if c == FUTEX_WAIT or c == FUTEX_WAIT_BITSET:
            bitset = val3 if command == FUTEX_WAIT_BITSET else FUTEX_BITSET_MATCH_ANY
            return await _wait(task, uaddr, val, timeout, bitset, command, op)
        case c if c == FUTEX_WAKE:
            await mem.touch(uaddr, 4, 1)
            return futexes.wake(mem, uaddr, max(val, 1))
        case c if c == FUTEX_WAKE_BITSET:
            if not val3:
                raise Errno(EINVAL)
            return futexes.wake(mem, uaddr, max(val, 1), val3)
        case c if c == FUTEX_REQUEUE or c == FUTEX_CMP_REQUEUE:
            if command == FUTEX_CMP_REQUEUE and await _word(task, uaddr) != val3:
                raise Errno(EAGAIN)
            if val >> 31 or timeout >> 31 & 1:
                raise Errno(EINVAL)
            woken = futexes.wake(mem, uaddr, val) if val else 0
            moved = futexes.requeue(mem, uaddr, uaddr2, timeout & 0xFFFFFFFF)
            return woken + (moved if command == FUTEX_CMP_REQUEUE else 0)
        case c if c == FUTEX_WAKE_OP:
            return await _wake_op(task, uaddr, val, timeout & 0xFFFFFFFF, uaddr2, val3)
    raise Errno(ENOSYS)


async def _word(task, address):
    return int.from_bytes(await task.mem.read(address, 4), "little")


async def _wait(task, address, expected, timeout, bitset, command, op):
    clock, futexes = task.kernel.clock, task.kernel.futexes
    if not bitset:
        raise Errno(EINVAL)
    deadline = None
    if timeout:
        deadline = clock.monotonic() + await read_timespec(task, timeout)
        if command == FUTEX_WAIT_BITSET:        # an absolute time
            deadline -= clock.realtime() if op & FUTEX_CLOCK_REALTIME else clock.monotonic() - task.kernel.booted
    if await _word(task, address) != expected:
        raise Errno(EAGAIN)
    waiter = futexes.enqueue(task.mem, address, bitset)
    timer = None if deadline is None else clock.call_at(deadline, waiter.wake)
    try:
        await waiter
    finally:
        futexes.dequeue(waiter)
        if timer is not None:
            timer.cancel()
    if not waiter.woken:
        raise Errno(ETIMEDOUT)
    return 0


async def _wake_op(task, address, count, count2, address2, encoded):
    operation, comparison = encoded >> 28 & 15, encoded >> 24 & 15
    argument, against = (_signed12(encoded >> shift & 0xFFF) for shift in (12, 0))
    if operation & FUTEX_OP_OPARG_SHIFT:
        argument = 1 << (argument & 31)
    if operation & 7 not in OPERATIONS or comparison not in COMPARISONS:
        raise Errno(ENOSYS)
    old = await _word(task, address2)
    new = OPERATIONS[operation & 7](old, argument) & 0xFFFFFFFF
    await task.mem.write(address2, new.to_bytes(4, "little"))
    woken = task.kernel.futexes.wake(task.mem, address, count)
    if COMPARISONS[comparison](old - (1 << 32) if old >> 31 else old, against):
        woken += task.kernel.futexes.wake(task.mem, address2, count2)
    return woken


def _signed12(value):
    return value - 4096 if value >> 11 else value


@syscall(273)
def set_robust_list(task, head: Ptr, len: Size):
    if len != ROBUST_LIST_HEAD.size:
        raise Errno(EINVAL)
    task.robust_list = head
    return 0


@syscall(274)
async def get_robust_list(task, pid: Pid, head_ptr: Ptr, len_ptr: Ptr):
    target = task.kernel.tasks.get(pid) if pid else task
    if target is None:
        raise Errno(ESRCH)
    if task.cred.euid not in (0, target.cred.uid):
        raise Errno(EPERM)
    await task.mem.write(head_ptr, target.robust_list.to_bytes(8, "little"))
    await task.mem.write(len_ptr, ROBUST_LIST_HEAD.size.to_bytes(8, "little"))
    return 0


@syscall(449, note="ENOSYS")
def futex_waitv(task, waiters: Ptr, count: UInt, flags: UInt, timeout: Ptr, clock: Int):
    raise Errno(ENOSYS)
