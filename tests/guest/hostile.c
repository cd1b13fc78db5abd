/* A program that means no good, run in the machine only: `hostile SEED` makes wild system calls and executes noise, in children
   that may die of it. What must survive is everybody else. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static long wild(char *area)
{
    switch (next() % 10) {
    case 0: return 0;
    case 1: return next() % 10;
    case 2: return -(long)(next() % 10);
    case 3: return next();
    case 4: return (long)(area + next() % 8192);
    case 5: return (long)(area + 4096 - next() % 16);           /* at the edge of what may be read */
    case 6: return 1l << next() % 64;
    case 7: return (long)(1l << next() % 64) - 1;
    case 8: return next() % 70000;
    default: return (long)&wild;
    }
}

static void calls(void)
{
    char *area = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4096; i++)
        area[i] = next() % 3 ? next() : "/.abx"[next() % 5];
    mprotect(area + 4096, 4096, PROT_NONE);
    for (int i = 0; i < 150; i++) {
        long number = next() % 460;
        switch (number) {       /* waiting for ever, and ending what it does not own, are rights of every program */
        case SYS_rt_sigprocmask: case SYS_rt_sigaction: case SYS_alarm: case SYS_setitimer:
        case SYS_pause: case SYS_rt_sigsuspend: case SYS_rt_sigtimedwait: case SYS_kill: case SYS_tkill: case SYS_tgkill: case SYS_reboot:
        case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo: case SYS_pidfd_send_signal: case SYS_vhangup:
        case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3: case SYS_rt_sigreturn: case SYS_exit: case SYS_exit_group:
            continue;
        }
        if (next() % 50 == 0)
            number = next();
        syscall(number, wild(area), wild(area), wild(area), wild(area), wild(area), wild(area));
    }
}

static void noise(void)
{
    unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4096; i++) {
        code[i] = next();
        if (code[i] == 0x05 && i && code[i - 1] == 0x0F)        /* SYSCALL: wild calls are made above */
            code[i] = 0x0B;
    }
    ((void (*)(void))(code + next() % 4000))();
}

int main(int argc, char **argv)
{
    uint64_t seed = strtoull(argv[1], 0, 0);
    int ends[3] = { 0 };
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    for (int i = 0; i < 12; i++) {
        pid_t child = fork();
        if (!child) {
            state = (seed * 1000 + i) * 0x9E3779B97F4A7C15u | 1;
            for (int warm = 0; warm < 5; warm++)
                next();
            setpgid(0, 0);
            close(0), close(1), close(2);
            alarm(1);
            i % 2 ? calls() : noise();
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, WUNTRACED) != child)
            return 1;
        if (WIFSTOPPED(status))
            kill(child, SIGKILL), waitpid(child, &status, 0);
        ends[WIFSIGNALED(status) ? WTERMSIG(status) == SIGALRM ? 2 : 1 : 0]++;
    }
    printf("done: %d of 12\n", ends[0] + ends[1] + ends[2]);
    return 0;
}
