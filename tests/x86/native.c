/* Executes instructions on this processor, one case after another: registers, flags and memory are exactly as the case says
 * when the instruction begins, and are read back exactly as it leaves them. native.py is its other half and knows the same layout.
 *
 * A signal handler is where both happens: it takes what the instruction left from the signal's context, puts the next case there,
 * and returns into it. The trap flag (STEP) or an INT3 behind the code (BREAK) brings the handler back. Handlers run on a stack
 * of their own, so RSP is free; they use nothing of the C library, so FS is free too.
 *
 *   native FILE     FILE holds `struct shared`; for each line on standard input all cases are run, and a line is answered.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE ((uint8_t *)0x400000)
#define DATA ((uint8_t *)0x500000)
#define CODE_SIZE 0x1000
#define DATA_SIZE 0x2000
#define TF 0x100
#define AC 0x40000
#define STEP 0
#define BREAK 1

struct state {                                  /* before, then after */
    uint64_t gpr[16], rip, flags, fs, gs;
    uint8_t fx[512];                            /* FXSAVE's image */
    uint8_t upper[256];                         /* bits 128 to 255 of the vector registers */
    uint8_t code[16];
    uint32_t mode;
    uint32_t signo, si_code, trapno, error, pad;
    uint64_t address, cr2;
    uint8_t data[DATA_SIZE];
};

struct shared {
    volatile uint32_t count, done;
    uint8_t pad[4088];
    struct state cases[];
};

static struct shared *all;
static uint64_t own_fs, own_gs;
static int running, has_upper;                 /* the offset in the context is that of every processor with AVX */
static gregset_t own_registers;
static uint64_t own_fp[128];

static long call(long number, long a, long b)
{
    long answer;
    __asm__ volatile("syscall" : "=a"(answer) : "0"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return answer;
}

static void copy(void *to, const void *from, unsigned long n)
{
    __asm__ volatile("cld; rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

/* The register numbers of the encoding, as the context has them. */
static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void put(ucontext_t *context, struct state *s)
{
    greg_t *registers = context->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)context->uc_mcontext.fpregs;
    for (int i = 0; i < 16; i++)
        registers[order[i]] = s->gpr[i];
    registers[REG_RIP] = s->rip;
    registers[REG_EFL] = (s->flags & ~TF) | 0x202 | (s->mode == STEP ? TF : 0);
    copy(fp, s->fx, 464);                       /* the rest of the 512 is the kernel's */
    *(uint64_t *)(fp + 512) |= 3;               /* XSTATE_BV: x87 and SSE are there */
    if (has_upper) {
        *(uint64_t *)(fp + 512) |= 4;
        copy(fp + 576, s->upper, 256);
    }
    copy(CODE, s->code, 16);
    copy(DATA, s->data, DATA_SIZE);
    call(SYS_arch_prctl, ARCH_SET_FS, s->fs);
    call(SYS_arch_prctl, ARCH_SET_GS, s->gs);
}

static void take(ucontext_t *context, const siginfo_t *info, struct state *s)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    for (int i = 0; i < 16; i++)
        s->gpr[i] = registers[order[i]];
    s->rip = registers[REG_RIP];
    s->flags = registers[REG_EFL];
    copy(s->fx, context->uc_mcontext.fpregs, 464);
    const uint8_t *fp = (const uint8_t *)context->uc_mcontext.fpregs;
    if (has_upper && *(const uint64_t *)(fp + 512) & 4)
        copy(s->upper, fp + 576, 256);
    else
        for (volatile int i = 0; i < 256; i++)
            s->upper[i] = 0;
    s->signo = info->si_signo;
    s->si_code = info->si_code;
    s->address = (uint64_t)info->si_addr;
    s->trapno = registers[REG_TRAPNO];
    s->error = registers[REG_ERR];
    s->cr2 = registers[REG_CR2];
    call(SYS_arch_prctl, ARCH_GET_FS, (long)&s->fs);
    call(SYS_arch_prctl, ARCH_GET_GS, (long)&s->gs);
    copy(s->data, DATA, DATA_SIZE);
}

static void handler(int signo, siginfo_t *info, void *raw)
{
    ucontext_t *context = raw;
    __asm__ volatile("pushfq; andl %0, (%%rsp); popfq" : : "i"(~AC) : "memory");
    if (!running) {
        copy(own_registers, context->uc_mcontext.gregs, sizeof own_registers);
        copy(own_fp, context->uc_mcontext.fpregs, 464);
        running = 1;
    } else {
        take(context, info, &all->cases[all->done]);
        all->done++;
    }
    if (all->done < all->count) {
        put(context, &all->cases[all->done]);
    } else {
        copy(context->uc_mcontext.gregs, own_registers, sizeof own_registers);
        copy(context->uc_mcontext.fpregs, own_fp, 464);
        call(SYS_arch_prctl, ARCH_SET_FS, own_fs);
        call(SYS_arch_prctl, ARCH_SET_GS, own_gs);
        running = 0;
    }
}

static void *map(void *at, size_t size, int protection)
{
    void *got = mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    if (got == MAP_FAILED || (at && got != at)) {
        perror("mmap");
        exit(1);
    }
    return got;
}

int main(int argc, char **argv)
{
    int file = open(argv[1], O_RDWR);
    off_t size = lseek(file, 0, SEEK_END);
    all = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (argc != 2 || file < 0 || all == MAP_FAILED)
        return 1;
    has_upper = __builtin_cpu_supports("avx");
    map(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    map(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < CODE_SIZE; i++)
        CODE[i] = 0xCC;
    stack_t stack = {.ss_sp = map(0, 1 << 18, PROT_READ | PROT_WRITE), .ss_size = 1 << 18};
    sigaltstack(&stack, 0);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGUSR1, SIGSYS};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, 0);
    call(SYS_arch_prctl, ARCH_GET_FS, (long)&own_fs);
    call(SYS_arch_prctl, ARCH_GET_GS, (long)&own_gs);
    for (char line[64]; read(0, line, sizeof line) > 0;) {
        if (all->done < all->count)
            kill(getpid(), SIGUSR1);
        if (write(1, "\n", 1) != 1)
            return 1;
    }
    return 0;
}
