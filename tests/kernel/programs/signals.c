#include "check.h"

static volatile int count, last_code, order[8], n_order;
static volatile uintptr_t last_addr;
static sigjmp_buf back;

static void plain(int s) { count++; order[n_order++ & 7] = s; }
static void info(int s, siginfo_t *i, void *c) { count++; last_code = i->si_code; last_addr = (uintptr_t)i->si_addr; }
static void jump(int s, siginfo_t *i, void *c) { last_code = i->si_code; last_addr = (uintptr_t)i->si_addr; siglongjmp(back, s); }
static void act(int s, void *f, int flags) {
    struct sigaction a = {0};
    a.sa_sigaction = f; a.sa_flags = flags; sigemptyset(&a.sa_mask);
    sigaction(s, &a, 0);
}

static void skip2(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    count++; last_code = i->si_code;
    u->uc_mcontext.gregs[REG_RIP] += 2;
}
static int *on_stack;
static void where(int s) { int x; on_stack = &x; stack_t t; sigaltstack(0, &t); count = t.ss_flags; }
static void spoil(int s) { double d = 1; for (int i = 0; i < 20; i++) d = d * 1.5 + s; __asm__ volatile("pcmpeqd %%xmm0,%%xmm0; pcmpeqd %%xmm7,%%xmm7; fldz; std" ::: "xmm0", "xmm7"); count = d != 0; }
static void mask_in(int s) { sigset_t m; sigprocmask(0, 0, &m); count = sigismember(&m, SIGUSR1) * 2 + sigismember(&m, SIGUSR2); }

int main() {
    act(SIGUSR1, plain, 0);
    raise(SIGUSR1); SAY("raise %d", count);

    act(SIGUSR2, info, SA_SIGINFO);
    kill(getpid(), SIGUSR2); SAY("kill %d code %d", count, last_code);
    raise(SIGUSR2); SAY("tkill code %d", last_code);
    union sigval v = {.sival_int = 42};
    sigqueue(getpid(), SIGUSR2, v); SAY("queue code %d", last_code);

    sigset_t set, old, pend;
    sigemptyset(&set); sigaddset(&set, SIGUSR1); sigaddset(&set, SIGTERM); sigaddset(&set, SIGRTMIN); sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, &old);
    count = 0; raise(SIGUSR1); raise(SIGUSR1);
    sigpending(&pend);
    SAY("blocked %d pending %d %d", count, sigismember(&pend, SIGUSR1), sigismember(&pend, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, 0); SAY("unblocked %d", count);

    sigprocmask(SIG_BLOCK, &set, 0);
    act(SIGRTMIN, plain, 0); act(SIGRTMIN + 1, plain, 0); act(SIGTERM, plain, 0);
    n_order = count = 0;
    raise(SIGRTMIN + 1); raise(SIGRTMIN); raise(SIGRTMIN); raise(SIGTERM);
    sigprocmask(SIG_SETMASK, &old, 0);
    SAY("real-time queue: %d", count);

    sigprocmask(SIG_BLOCK, &set, 0);
    sigqueue(getpid(), SIGRTMIN, v);
    siginfo_t si;
    int got = sigwaitinfo(&set, &si); SAY("sigwaitinfo %d value %d", got == SIGRTMIN, si.si_value.sival_int);
    struct timespec ts = {0, 20000000};
    SAY("sigtimedwait %s", err(sigtimedwait(&set, &si, &ts)));
    if (!fork()) { until_asleep(getppid()); kill(getppid(), SIGTERM); _exit(0); }
    got = sigwaitinfo(&set, &si); SAY("sigwait for a child's %d uid %d", got, si.si_uid == getuid());
    wait(0);
    count = 0;
    if (!fork()) { until_asleep(getppid()); kill(getppid(), SIGUSR1); _exit(0); }
    int r = sigsuspend(&old); SAY("sigsuspend %s count %d", err(r), count);
    sigprocmask(0, 0, &pend); SAY("mask after it %d", sigismember(&pend, SIGUSR1));
    wait(0);
    sigprocmask(SIG_SETMASK, &old, 0);

    /* EINTR and restart */
    int p[2]; pipe(p); char c;
    act(SIGUSR1, plain, 0);
    pid_t me = getpid();
    if (!fork()) { until_asleep(me); kill(me, SIGUSR1); _exit(0); }
    SAY("read %s", err(read(p[0], &c, 1))); wait(0);
    act(SIGUSR1, plain, SA_RESTART);
    if (!fork()) { until_asleep(me); kill(me, SIGUSR1); until_asleep(me); write(p[1], "x", 1); _exit(0); }
    r = read(p[0], &c, 1); SAY("restarted read %s %c", err(r), c); wait(0);
    if (!fork()) { until_asleep(me); msleep(30); kill(me, SIGUSR1); _exit(0); }
    struct timespec rem = {0}, ask = {5, 0};
    SAY("nanosleep %s", err(nanosleep(&ask, &rem))); SAY("remaining %d", rem.tv_sec == 4); while (wait(0) > 0 || errno == EINTR);
    if (!fork()) { until_asleep(me); kill(me, SIGUSR1); _exit(0); }
    struct timeval tv = {5, 0}; fd_set fds; FD_ZERO(&fds); FD_SET(p[0], &fds);
    SAY("select %s", err(select(p[0] + 1, &fds, 0, 0, &tv))); while (wait(0) > 0);
    if (!fork()) { until_asleep(me); kill(me, SIGUSR1); _exit(0); }
    SAY("pause %s", err(pause())); while (wait(0) > 0);
    /* an ignored signal interrupts nothing */
    signal(SIGUSR1, SIG_IGN);
    if (!fork()) { until_asleep(me); kill(me, SIGUSR1); until_asleep(me); write(p[1], "y", 1); _exit(0); }
    r = read(p[0], &c, 1); SAY("read over ignored %s %c", err(r), c); wait(0);

    /* flags */
    act(SIGUSR1, plain, SA_RESETHAND); count = 0; raise(SIGUSR1);
    struct sigaction now; sigaction(SIGUSR1, 0, &now); SAY("resethand %d %d", count, now.sa_handler == SIG_DFL);
    act(SIGUSR1, mask_in, 0); raise(SIGUSR1); SAY("in handler mask %d", count);
    act(SIGUSR1, mask_in, SA_NODEFER); raise(SIGUSR1); SAY("nodefer mask %d", count);
    struct sigaction a = {0}; a.sa_handler = mask_in; sigaddset(&a.sa_mask, SIGUSR2); sigaction(SIGUSR1, &a, 0);
    raise(SIGUSR1); SAY("sa_mask %d", count);

    /* faults */
    act(SIGSEGV, jump, SA_SIGINFO | SA_NODEFER); act(SIGBUS, jump, SA_SIGINFO | SA_NODEFER);
    act(SIGFPE, jump, SA_SIGINFO | SA_NODEFER); act(SIGILL, jump, SA_SIGINFO | SA_NODEFER); act(SIGTRAP, skip2, SA_SIGINFO);
    char *ro = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int s;
    if (!(s = sigsetjmp(back, 1))) *(volatile int *)16 = 1;
    SAY("null: %d code %d addr %lx", s, last_code, (long)last_addr);
    if (!(s = sigsetjmp(back, 1))) ro[5000] = 1;
    SAY("read-only: %d code %d addr %ld", s, last_code, (long)(last_addr - (uintptr_t)ro));
#ifndef NO_PRIVILEGES   /* what needs a CPU in user mode */
    if (!(s = sigsetjmp(back, 1))) *(volatile char *)0x8000000000000000ul = 1;
    SAY("non-canonical: %d code %d addr %lx", s, last_code, (long)last_addr);
    if (!(s = sigsetjmp(back, 1))) __asm__ volatile("hlt");
    SAY("hlt: %d code %d", s, last_code);
#endif
    if (!(s = sigsetjmp(back, 1))) ((void (*)(void))ro)();
    SAY("no exec: %d code %d addr %d", s, last_code, last_addr == (uintptr_t)ro);
    volatile int zero = 0;
    if (!(s = sigsetjmp(back, 1))) __asm__ volatile("xor %%edx,%%edx; mov $1,%%eax; idivl %0" :: "m"(zero) : "eax", "edx");
    SAY("divide: %d code %d addr %d", s, last_code, last_addr != 0);
    if (!(s = sigsetjmp(back, 1))) __asm__ volatile("ud2");
    SAY("ud2: %d code %d addr %d", s, last_code, last_addr != 0);
    count = 0; __asm__ volatile("int3; nop; nop"); SAY("int3 %d code %d", count, last_code);

    /* the alternate stack */
    static char alt[65536];
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt}, was;
    sigaltstack(&ss, &was); SAY("altstack was %d", was.ss_flags);
    act(SIGUSR1, where, SA_ONSTACK); raise(SIGUSR1);
    SAY("on it %d flags %d", (char *)on_stack > alt && (char *)on_stack < alt + sizeof alt, count);
    act(SIGUSR1, where, 0); raise(SIGUSR1);
    SAY("not on it %d", (char *)on_stack > alt && (char *)on_stack < alt + sizeof alt);
    ss.ss_size = 100; SAY("small %s", err(sigaltstack(&ss, 0)));

    /* registers survive */
    act(SIGUSR2, spoil, 0);
    double x = 1.25, y; uint64_t lo; long flags, tid = getpid();
    __asm__ volatile("fld1; movsd %3, %%xmm7; mov %4, %%rdi; mov $12, %%esi; mov $62, %%eax; stc; syscall;"
                     "movq %%xmm7, %1; fstpl %0; pushfq; pop %2"
                     : "=m"(y), "=r"(lo), "=r"(flags) : "m"(x), "r"(tid) : "rax", "rcx", "r11", "rdi", "rsi", "xmm7", "memory");
    memcpy(&x, &lo, 8);
    SAY("x87 %g xmm %g direction %ld carry %ld", y, x, flags >> 10 & 1, flags & 1);

    SAY("bad signal %s", err(kill(getpid(), 65))); SAY("no process %s", err(kill(999999, 0))); SAY("sigkill action %s", err(sigaction(SIGKILL, &a, 0)));
    fflush(stdout);
    if (!fork()) { signal(SIGSEGV, SIG_IGN); *(volatile int *)0 = 0; _exit(1); }
    int st; wait(&st); SAY("ignored fault kills: %d", WTERMSIG(st));
    return 0;
}
