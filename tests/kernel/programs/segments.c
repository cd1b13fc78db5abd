/* Segment registers: what can be loaded, what they are then, and who sees it. */
#include "check.h"
#include <asm/prctl.h>

static sigjmp_buf refused;
static int code;
static void on_fault(int signo, siginfo_t *info, void *context) { code = info->si_code; siglongjmp(refused, signo); }

#define LOAD(register, value) do { \
    unsigned short found = 0xFFFF; int signo = sigsetjmp(refused, 1); \
    if (!signo) __asm__ volatile("mov %1, %%" register "; mov %%" register ", %0" : "=r"(found) : "r"(value) : "memory"); \
    if (signo) SAY(register " %#x: signal %d code %d", value, signo, code); else SAY(register " %#x: %#x", value, found); } while (0)

static unsigned long base_of_gs(void) { unsigned long base = 1; syscall(SYS_arch_prctl, ARCH_GET_GS, &base); return base; }
static void show(const char *when) {
    unsigned short ds, es, gs; unsigned wide; unsigned long pushed;
    __asm__ volatile("mov %%ds, %0; mov %%es, %1; mov %%gs, %2; mov $-1, %3; mov %%es, %3; push %%gs; pop %4" : "=r"(ds), "=r"(es), "=r"(gs), "=&r"(wide), "=&r"(pushed));
    SAY("%s: ds %#x es %#x gs %#x, %#x %#lx", when, ds, es, gs, wide, pushed);
}
static void on_user(int signo) { show("in a handler"); }
static void *in_thread(void *unused) { show("in a thread"); __asm__ volatile("mov %0, %%es" : : "r"(0x30)); show("changed there"); return 0; }

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGBUS, &action, 0);
    signal(SIGUSR1, on_user);
    show("at the start");
    unsigned values[] = {0, 1, 3, 4, 7, 0x10, 0x20, 0x23, 0x28, 0x2A, 0x2B, 0x30, 0x33, 0x38, 0x63, 0x78, 0x7B, 0x80, 0xFFF8, 0xFFFF, 0x1002B};
    for (unsigned k = 0; k < sizeof values / sizeof *values; k++) {
        LOAD("ds", values[k]);
        LOAD("es", values[k]);
        LOAD("gs", values[k]);
    }
    for (unsigned k = 1; k < sizeof values / sizeof *values; k++)
        if ((values[k] & 0xFFFF) != 0x2B)
            LOAD("ss", values[k]);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345678);
    show("with a base");
    __asm__ volatile("mov %0, %%gs" : : "r"(0x2B));
    SAY("base %#lx", base_of_gs());
    show("with a selector");
    struct { unsigned offset; unsigned short selector; } __attribute__((packed)) far = {0x1234, 0x28};
    unsigned offset;
    __asm__ volatile("lgs %1, %0; mov %2, %%ds; push %2; pop %%gs" : "=&r"(offset) : "m"(far), "r"(0x2BL));
    SAY("offset %#x", offset);
    show("otherwise");
    raise(SIGUSR1);
    pthread_t thread;
    pthread_create(&thread, 0, in_thread, 0);
    pthread_join(thread, 0);
    show("after the thread");
    if (!fork()) { show("in a child"); _exit(0); }
    wait(0);
    msleep(10);
    show("later");
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0x5000);
    SAY("base %#lx", base_of_gs());
    show("with a base again");
    return 0;
}
