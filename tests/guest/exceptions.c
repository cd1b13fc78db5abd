/* What instructions that fail look like to a signal handler: the signal, si_code and si_addr, the number of the exception, its
 * error code where a page was missing, CR2, and where RIP stands. Strings that fail in the middle go on where they were. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { PAGE = 4096, PAGE_FAULT = 14 };
enum { HAPPENS_TO_BE_THERE = 1 };       /* the bit of a page fault's error code that depends on what was touched before */
static unsigned char *const code = (unsigned char *)0x10000000, *const data = (unsigned char *)0x20000000;
static sigjmp_buf back;
static volatile struct { int signo, code, trapno, error; uintptr_t address, cr2, rip, rcx, rsi, rdi; } seen;
static volatile int mends;

static void record(int signo, siginfo_t *info, void *raw)
{
    greg_t *registers = ((ucontext_t *)raw)->uc_mcontext.gregs;
    seen.signo = signo;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.trapno = registers[REG_TRAPNO];
    seen.error = registers[REG_ERR] & ~HAPPENS_TO_BE_THERE;
    seen.cr2 = registers[REG_CR2];
    seen.rip = registers[REG_RIP];
    seen.rcx = registers[REG_RCX], seen.rsi = registers[REG_RSI], seen.rdi = registers[REG_RDI];
}

static void leave(int signo, siginfo_t *info, void *raw)
{
    record(signo, info, raw);
    siglongjmp(back, 1);
}

static void mend(int signo, siginfo_t *info, void *raw)
{
    record(signo, info, raw);
    printf("  fault at %#lx error %d with rcx %ld rsi %#lx rdi %#lx rip +%ld\n", (long)seen.address, seen.error, (long)seen.rcx,
           (long)seen.rsi, (long)seen.rdi, (long)(seen.rip - (uintptr_t)code));
    mends++;
    mprotect((void *)(seen.address & -PAGE), PAGE, PROT_READ | PROT_WRITE);
}

static void handle(void (*handler)(int, siginfo_t *, void *))
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, 0);
}

/* Bytes in hexadecimal; a dot marks the instruction that RIP is counted from. */
static int put(const char *text)
{
    int n = 0, from = 0;
    unsigned byte;
    memset(code, 0xF4, 256);
    for (; *text; text++) {
        if (*text == '.')
            from = n;
        else if (*text != ' ' && sscanf(text++, "%2x", &byte) == 1)
            code[n++] = byte;
    }
    code[n] = 0xC3;
    return from;
}

static void try(const char *name, const char *text)
{
    int from = put(text);
    if (sigsetjmp(back, 1)) {
        printf("%s: signal %d code %d address %#lx trap %d rip %+ld", name, seen.signo, seen.code, (long)seen.address, seen.trapno,
               (long)(seen.rip - (uintptr_t)code) - from);
        if (seen.trapno == PAGE_FAULT)
            printf(" error %d cr2 %#lx", seen.error, (long)seen.cr2);
        printf("\n");
        return;
    }
    ((void (*)(void))code)();
    printf("%s: nothing\n", name);
}

static void string(const char *name, const char *text, int backwards)
{
    put(text);
    printf("%s:\n", name);
    for (int i = 0; i < 4; i++)
        mprotect(data + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 4 * PAGE; i++)
        data[i] = i * 7 + (i >> 8);
    mprotect(data + PAGE, PAGE, PROT_NONE);
    mprotect(data + 3 * PAGE, PAGE, PROT_READ);
    unsigned long rcx = 0, rsi = (uintptr_t)data + PAGE - 10, rdi = (uintptr_t)data + 3 * PAGE - 6, rax = 0xABCD;
    if (backwards)
        rsi += 20, rdi += 20;
    mends = 0;
    if (backwards)
        __asm__ volatile("std; call *%4; cld" : "+c"(rcx), "+S"(rsi), "+D"(rdi), "+a"(rax) : "r"(code) : "memory", "cc");
    else
        __asm__ volatile("call *%4" : "+c"(rcx), "+S"(rsi), "+D"(rdi), "+a"(rax) : "r"(code) : "memory", "cc");
    unsigned long sum = 0;
    mprotect(data + PAGE, PAGE, PROT_READ);
    for (int i = 0; i < 4 * PAGE; i++)
        sum = sum * 31 + data[i];
    printf("  mended %d times, rcx %ld rsi %#lx rdi %#lx rax %#lx, %lx\n", mends, rcx, rsi, rdi, rax, sum);
}

#define FAR "0000000000000010"              /* 1 << 60, and others, as bytes of an immediate */
#define KERNEL "000000000080ffff"
#define LAST "fcffffffffffffff"
#define GONE "0000003000000000"

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    mmap(code, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mmap(data, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    static char room[1 << 16];
    sigaltstack(&(stack_t){ .ss_sp = room, .ss_size = sizeof room }, 0);
    handle(leave);

    try("nop", "90");
    try("ud2", "50 58 .0f0b");
    try("push es", "90 .06");
    try("lock nop", ".f090");
    try("lock mov", ".f08903");
    try("lock add of a register", ".f001c0");
    try("sixteen bytes", ".666666666666666666666666666666 90");
    try("int3", ".cc");
    try("int 3", ".cd03");
    try("int 4", ".cd04");
    try("into", ".ce");
    try("int 0", ".cd00");
    try("int 0x81", ".cd81");
    try("hlt", "90 .f4");
    try("cli", ".fa");
    try("sti", ".fb");
    try("in", ".ec");
    try("out", ".e680");
    try("ins", ".6c");
    try("rdmsr", ".0f32");
    try("wrmsr", ".0f30");
    try("rdpmc", ".0f33");
    try("mov rax, cr0", ".0f20c0");
    try("invlpg", ".0f0138");
    try("ltr", ".0f00d8");
    try("sysret", ".480f07");
    try("division by zero", "31c9 99 .f7f9");
    try("quotient too large", "b801000000 99 ba01000000 b901000000 .f7f1");
    try("aam", ".d40a");
    try("mov ss, 0", "31c0 .8ed0");
    try("mov ds, 0x10", "b810000000 .8ed8");
    try("mov cs, ax", ".8ec8");
    try("mov ds, 0", "31c0 .8ed8");
    try("far return to the data segment", "6a2b 68 00000010 .48cb");
    try("iret to nowhere", "6a2b 54 6a02 6a07 6800000010 .48cf");

    try("load, not canonical", "48b8" FAR " .8b00");
    try("store, not canonical", "48b8" FAR " .8900");
    try("load by rbp, not canonical", "55 48bd" FAR " .8b4500");
    try("load by rbp in fs", "48bd" FAR " .648b4500");
    try("load by rsp", "48bc" FAR " .8b0424");
    try("push, not canonical", "48bc" FAR " .50");
    try("call, stack not canonical", "48bc" FAR " .e800000000");
    try("pop to what is not canonical", "48b8" FAR " 6a01 .8f00");
    try("load of the kernel's", "48b8" KERNEL " .8b00");
    try("load of the last bytes", "48b8" LAST " .8b00");
    try("load of a page that is not there", "48b8" GONE " .8b00");
    try("store to it", "48b8" GONE " .8900");
    try("read-modify-write of it", "48b8" GONE " .830001");
    try("push to it", "48bc" GONE " .50");
    try("jump to it", "48b8" GONE " .ffe0");
    try("jump, not canonical", "48b8" FAR " .ffe0");
    try("call, not canonical", "48b8" FAR " .ffd0");
    try("return, not canonical", "48b8" FAR " 50 .c3");
    try("jump to the kernel", "48b8" KERNEL " .ffe0");
    mprotect(data, PAGE, PROT_READ);
    try("store to a page to be read", "b800000020 .8900");
    try("jump to it", "b800000020 .ffe0");
    try("misaligned movaps", "b801000020 .0f2800");
    try("misaligned store", "b808000020 .0f2900");
    try("misaligned addps", "b808000020 .0f5800");
    try("movups", "b808000020 .0f1000");
    try("misaligned cmpxchg16b", "b808000020 .480fc708");
    try("misaligned fxsave", "b808000020 .0fae00");
    try("ldmxcsr of reserved bits", "68ffff0100 .0fae1424");

    handle(mend);
    string("rep movsb", "b964000000 f3a4", 0);
    string("rep movsq", "b90a000000 f348a5", 0);
    string("rep stosw", "b920000000 66f3ab", 0);
    string("repne cmpsb", "b964000000 f2a6", 0);
    string("repne scasb", "b020 b964000000 f2ae", 0);
    string("rep lodsb", "b964000000 f3ac", 0);
    string("rep movsb backwards", "b964000000 f3a4", 1);
    string("rep movsd backwards", "b910000000 f3a5", 1);
    string("rep stosb, 32-bit addresses", "48b96400000001000000 67f3aa", 0);
    string("movs once", "a5", 0);
    return 0;
}
