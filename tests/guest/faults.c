/* Faults, as handlers see them, and code that changes under the processor. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGE = 4096 };
static sigjmp_buf back;
static volatile sig_atomic_t mends;
static char *area;

static const char *place(void *address)
{
    static char text[40];
    if ((char *)address >= area && (char *)address < area + 8 * PAGE)
        sprintf(text, "area+%ld", (long)((char *)address - area));
    else
        sprintf(text, "%p", address);
    return text;
}

static volatile int seen_code;
static void *volatile seen_address;

static void jump(int signo, siginfo_t *info, void *context)
{
    seen_code = info->si_code;
    seen_address = info->si_addr;
    siglongjmp(back, signo);
}

static void mend(int signo, siginfo_t *info, void *context)
{
    mends++;
    mprotect((void *)((uintptr_t)info->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE);
}

static void step_over(int signo, siginfo_t *info, void *context)        /* a two-byte instruction */
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 77;
}

static void handle(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
    sigaction(signo, &action, 0);
}

#define TRY(what, statement, shows_address) do { \
    int signo = sigsetjmp(back, 1); \
    if (!signo) { statement; printf("%s: no fault\n", what); } \
    else printf("%s: signal %d code %d %s\n", what, signo, seen_code, shows_address ? place(seen_address) : ""); } while (0)

static int overflow(int n)
{
    volatile char room[2000];
    room[0] = n;
    return overflow(n + 1) + room[0];
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    area = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int signo = 1; signo < 32; signo++)
        if (signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL || signo == SIGTRAP)
            handle(signo, jump, 0);
    volatile int zero = 0, minus = -1, least = INT32_MIN;
    volatile long wide_zero = 0;
    volatile char *p = area;

    TRY("division by zero", zero = 1 / zero, 0);
    TRY("long division by zero", wide_zero = 1 / wide_zero, 0);
    TRY("quotient too large", zero = least / minus, 0);
    TRY("ud2", __asm__ volatile("ud2"), 0);
    TRY("int3", __asm__ volatile("int3"), 0);
    TRY("hlt", __asm__ volatile("hlt"), 0);
    TRY("null read", zero = *(volatile int *)0, 1);
    TRY("null write", *(volatile int *)8 = 1, 1);
    TRY("not canonical", zero = *(volatile int *)0x8000000000000000, 0);
    TRY("far away", zero = *(volatile int *)0x7ffffffff000, 1);
    TRY("above 4 GiB, same low half", zero = *(volatile int *)((uintptr_t)area ^ (1ul << 40)), 0);
    TRY("call of null", ((void (*)(void))0)(), 1);
    TRY("call of data", ((void (*)(void))area)(), 1);

    mprotect(area + PAGE, PAGE, PROT_NONE);
    mprotect(area + 2 * PAGE, PAGE, PROT_READ);
    TRY("guard page", zero = p[PAGE], 1);
    TRY("read-only page", p[2 * PAGE + 5] = 1, 1);
    TRY("reading it", zero = p[2 * PAGE + 5], 1);
    TRY("a word across the border", zero = *(volatile int *)(p + PAGE - 2), 1);
    TRY("a word across, written", *(volatile int *)(p + PAGE - 1) = 1, 1);
    TRY("memset into it", memset((char *)p + PAGE - 64, 7, 128), 1);
    printf("written before the fault: %d\n", p[PAGE - 1]);
    munmap(area + 3 * PAGE, PAGE);
    TRY("unmapped", zero = p[3 * PAGE], 1);

    handle(SIGSEGV, mend, 0);
    p[PAGE + 9] = 42;
    p[2 * PAGE + 9] = p[PAGE + 9] + 1;
    printf("mended %d times: %d %d\n", (int)mends, p[PAGE + 9], p[2 * PAGE + 9]);
    for (int i = 0; i < 50; i++) {
        mprotect(area + 4 * PAGE, PAGE, PROT_READ);
        p[4 * PAGE + i] += i;
    }
    printf("mended %d times\n", (int)mends);

    handle(SIGILL, step_over, 0);
    long rax = 1;
    __asm__ volatile("ud2" : "+a"(rax));
    printf("stepped over: %ld\n", rax);
    handle(SIGSEGV, jump, 0);
    handle(SIGILL, jump, 0);

    unsigned char *code = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const unsigned char template[] = { 0xB8, 0, 0, 0, 0, 0xC3 };                    /* mov eax, imm32; ret */
    long sum = 0;
    for (int i = 0; i < 300; i++) {
        unsigned char *at = code + PAGE - 3 + i % 5;                                        /* across a page border */
        memcpy(at, template, sizeof template);
        memcpy(at + 1, &i, 4);
        sum += ((int (*)(void))at)();
    }
    printf("rewritten code: %ld\n", sum);
    static const unsigned char own[] = {                    /* adds to the immediate of its own next instruction, 10 times */
        0x31, 0xC0, 0xB9, 10, 0, 0, 0,                      /* xor eax, eax; mov ecx, 10 */
        0xFF, 0x05, 1, 0, 0, 0,                             /* inc dword [rip + 1] */
        0x05, 0, 0, 0, 0,                                   /* add eax, imm32 */
        0xFF, 0xC9, 0x75, 0xF1, 0xC3,                       /* dec ecx; jnz -15; ret */
    };
    memcpy(code, own, sizeof own);
    printf("code that writes itself: %d\n", ((int (*)(void))code)());
    mprotect(code, PAGE, PROT_READ | PROT_WRITE);
    TRY("code no longer executable", ((int (*)(void))code)(), 0);
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    TRY("code not writable", code[0] = 1, 0);
    munmap(code, 2 * PAGE);
    TRY("code unmapped", ((int (*)(void))code)(), 0);

    stack_t stack = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
    sigaltstack(&stack, 0);
    handle(SIGSEGV, jump, SA_ONSTACK);
    TRY("stack overflow", overflow(0), 0);
    TRY("stack overflow again", overflow(0), 0);
    unsigned char on_stack[] = { 0xC3 };
    void *volatile there = on_stack;
    TRY("stack executed", ((void (*)(void))there)(), 0);

    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    for (int i = 0; i < 4; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (!child) {
            stack.ss_flags = SS_DISABLE;
            sigaltstack(&stack, 0);
            signal(SIGSEGV, i == 1 ? SIG_IGN : SIG_DFL);
            signal(SIGFPE, SIG_DFL);
            signal(SIGILL, SIG_DFL);
            if (i == 0) *(volatile int *)16 = 1;
            if (i == 1) *(volatile int *)16 = 1;
            if (i == 2) overflow(0);
            if (i == 3) { zero = 0; zero = 1 / zero; }
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("child %d: killed %d by %d\n", i, WIFSIGNALED(status), WTERMSIG(status));
    }
    return 0;
}
