/* What the guest programs share: each prints one line per fact, the same on Linux and here. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *err(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }
#define SAY(...) (printf(__VA_ARGS__), putchar('\n'), fflush(stdout))
static void until_asleep(pid_t p) {         /* returns once the process waits for something */
    char name[40], text[200], *state;
    snprintf(name, sizeof name, "/proc/%d/stat", p);
    for (;;) {
        int fd = open(name, O_RDONLY); ssize_t n = read(fd, text, sizeof text - 1); close(fd);
        if (n <= 0) { printf("no %s\n", name); return; }
        text[n] = 0;
        if ((state = strrchr(text, ')')) && state[1] == ' ' && state[2] == 'S') return;
        sched_yield();
    }
}
static int msleep(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000L}; return nanosleep(&t, 0); }
