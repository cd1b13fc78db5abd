/* Exceptions: which signal comes of each, what it says, where it found the program; string instructions that fault in the middle. */
#include "check.h"
#include <ucontext.h>

static sigjmp_buf back;
static struct { int signo, code; unsigned long at, address, number, error, cr2, rsi, rdi, rcx, flags; } seen;
static char *grows;                                             /* two pages; the second can be accessed after the first fault there */

static void on_fault(int signo, siginfo_t *info, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    seen.signo = signo, seen.code = info->si_code, seen.address = (unsigned long)info->si_addr, seen.at = r[REG_RIP];
    seen.number = r[REG_TRAPNO], seen.error = r[REG_ERR], seen.cr2 = r[REG_CR2];
    seen.rsi = r[REG_RSI], seen.rdi = r[REG_RDI], seen.rcx = r[REG_RCX], seen.flags = r[REG_EFL] & 0x8D5;
    if (grows && seen.address - (unsigned long)grows < 8192) { mprotect(grows + 4096, 4096, PROT_READ | PROT_WRITE); return; }
    siglongjmp(back, 1);
}

static void tell(const char *name, unsigned long base) {
    long address = seen.address - base, at = seen.at - base;    /* addresses in the code are told as distances */
    if (address > -64 && address < 64) printf("%s: signal %d code %d at %+ld address here %+ld", name, seen.signo, seen.code, at, address);
    else printf("%s: signal %d code %d at %+ld address %#lx", name, seen.signo, seen.code, at > -64 && at < 64 ? at : 0,
                seen.address < 65536 || seen.address >> 47 ? seen.address : seen.address & 4095);
    printf(" number %lu error %lu", seen.number, seen.error);
    if (seen.number == 14) printf(" cr2 %s", seen.cr2 == seen.address ? "the address" : "another");
    puts("");
    fflush(stdout);
}

#define TRAP(name, code, ...) do { \
    volatile unsigned long base = 0; \
    memset(&seen, 0, sizeof seen); \
    if (!sigsetjmp(back, 1)) { \
        __asm__ volatile("lea 1f(%%rip), %%r11; mov %%r11, %0; 1: " code : "=m"(base) : __VA_ARGS__ : "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "xmm0", "cc", "memory"); \
        puts(name ": nothing"); \
    } else tell(name, base); } while (0)

#define STRING(name, code, a, c, s, d) do { \
    unsigned long rcx = c, rsi = (unsigned long)(s), rdi = (unsigned long)(d), rsi0 = rsi, rdi0 = rdi, flags; \
    mprotect(grows + 4096, 4096, PROT_NONE); memset(&seen, 0, sizeof seen); \
    if (!sigsetjmp(back, 1)) { \
        __asm__ volatile("cmp %%rax, %%rax; " code "; pushfq; pop %3; cld" : "+c"(rcx), "+S"(rsi), "+D"(rdi), "=&r"(flags) : "a"((long)(a)) : "cc", "memory"); \
        if (!seen.signo) seen.address = (unsigned long)grows, seen.rsi = rsi0, seen.rdi = rdi0; \
        printf("%s: fault %d number %lu error %lu at %+ld, %ld %ld %ld; then %ld %ld %ld flags %lx\n", name, seen.signo, seen.number, seen.error, \
               (long)(seen.address - (unsigned long)grows), (long)seen.rcx, (long)(seen.rsi - rsi0), (long)(seen.rdi - rdi0), \
               (long)rcx, (long)(rsi - rsi0), (long)(rdi - rdi0), flags & 0x8C5); \
        unsigned sum = 0; for (int k = 0; k < 8192; k++) sum = sum * 31 + (unsigned char)grows[k]; \
        printf("  %u\n", sum); fflush(stdout); \
    } else tell(name, 0); } while (0)

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, 0);
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (int k = 0; k < 5; k++) sigaction(signals[k], &action, 0);
    char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *none = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *only = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    TRAP("divide by zero", "xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; div %%ecx", "r"(0));
    TRAP("quotient too large", "mov $-1, %%edx; xor %%eax, %%eax; mov $1, %%ecx; div %%ecx", "r"(0));
    TRAP("least by -1", "mov $0x80000000, %%eax; cltd; mov $-1, %%ecx; idiv %%ecx", "r"(0));
    TRAP("int3", "int3", "r"(0));
    TRAP("int 3", ".byte 0xCD, 3", "r"(0));
    TRAP("int 4", "int $4", "r"(0));
    TRAP("int 1", "int $1", "r"(0));
    TRAP("int 0x10", "int $0x10", "r"(0));
    TRAP("int 0x21", "int $0x21", "r"(0));
    TRAP("ud2", "ud2", "r"(0));
    TRAP("ud1", ".byte 0x0F, 0xB9, 0xC0", "r"(0));
    TRAP("no instruction", ".byte 0x06", "r"(0));
    TRAP("lock without memory", ".byte 0xF0, 0x01, 0xC0", "r"(0));
    TRAP("lock of no such instruction", ".byte 0xF0, 0x90", "r"(0));
    TRAP("16 bytes", ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90", "r"(0));
    TRAP("hlt", "hlt", "r"(0));
    TRAP("cli", "cli", "r"(0));
    TRAP("in", "in $0x60, %%al", "r"(0));
    TRAP("out", "mov $0x60, %%edx; out %%eax, %%dx", "r"(0));
    TRAP("mov from cr0", "mov %%cr0, %%rax", "r"(0));
    TRAP("rdmsr", "rdmsr", "r"(0));
    TRAP("iret to nowhere", "sub $256, %%rsp; pushq $0; pushq $0; pushfq; pushq $0; pushq $0; iretq", "r"(0));
    TRAP("movaps misaligned", "movaps 4(%1), %%xmm0", "r"(page));
    TRAP("not canonical", "mov $0x8000000000000000, %%rax; mov (%%rax), %%ecx", "r"(0));
    TRAP("not canonical, upper half", "mov $0xFFFF000000000000, %%rax; mov %%ecx, (%%rax)", "r"(0));
    TRAP("not canonical, by rsp", "mov %%rsp, %%r10; mov $0x8000000000000000, %%rsp; mov (%%rsp), %%eax", "r"(0));
    TRAP("not canonical push", "mov $0x8000000000000000, %%rsp; push %%rax", "r"(0));
    TRAP("not canonical, by rbp", "push %%rbp; mov $0x8000000000000000, %%rbp; mov (%%rbp), %%eax", "r"(0));
    TRAP("jump not canonical", "mov $0x8000000000000000, %%rax; jmp *%%rax", "r"(0));
    TRAP("of the kernel", "mov $0xFFFFFFFFFFFFF000, %%rax; mov (%%rax), %%ecx", "r"(0));
    TRAP("of the kernel, written", "mov $0xFFFF888000000000, %%rax; mov %%ecx, (%%rax)", "r"(0));
    TRAP("not mapped", "mov 16, %%eax", "r"(0));
    TRAP("not mapped, written", "movl $1, 16", "r"(0));
    TRAP("not mapped, read and written", "incl 16", "r"(0));
    TRAP("not mapped, called", "xor %%eax, %%eax; call *%%rax", "r"(0));
    TRAP("none", "mov (%1), %%eax; mov $0, %%eax", "r"(none));
    SAY("  %d", seen.address == (unsigned long)none);
    TRAP("read only", "mov %%eax, 8(%1)", "r"(only));
    SAY("  %d", seen.address == (unsigned long)only + 8);
    TRAP("read only, compared", "lock cmpxchg %%ecx, 8(%1)", "r"(only));
    TRAP("not executable", "jmp *%1", "r"(page));
    SAY("  %d", seen.at == (unsigned long)page);
    unsigned unmasked = 0x1F80 & ~0x80, all = 0x1F80 & ~0x200;
    TRAP("sse invalid", "ldmxcsr %1; xorps %%xmm0, %%xmm0; divss %%xmm0, %%xmm0", "m"(unmasked));
    TRAP("sse by zero", "ldmxcsr %1; xorps %%xmm0, %%xmm0; mov $1, %%eax; cvtsi2ss %%eax, %%xmm1; divss %%xmm0, %%xmm1", "m"(all));
    unsigned short control = 0x37B;
    TRAP("x87 by zero", "fninit; fldcw %1; fldz; fld1; fdivp; nop; fwait", "m"(control));
    __asm__ volatile("fninit");

    grows = page;
    for (int k = 0; k < 4096; k++) page[k] = k * 7 + 1;
    static char text[8192];
    for (int k = 0; k < 8192; k++) text[k] = k * 13 + 5;
    STRING("movsb", "rep movsb", 0, 300, text, page + 4000);
    STRING("movsq, astride", "rep movsq", 0, 30, text, page + 4001);
    STRING("movsb, from", "rep movsb", 0, 200, page + 3996, page + 100);
    STRING("movsd downwards", "std; rep movsl", 0, 40, text + 400, page + 4096 + 80);
    STRING("stosb", "rep stosb", 0x5A, 500, 0, page + 3900);
    STRING("stosw", "rep stosw", 0x1234, 100, 0, page + 3999);
    STRING("lodsb", "rep lodsb", 0, 200, page + 4000, 0);
    memset(page + 3000, 'x', 1096);
    STRING("scasb", "repe scasb", 'x', 2000, 0, page + 3500);
    STRING("scasb, another", "repne scasb", 'y', 2000, 0, page + 3500);
    STRING("cmpsb", "repe cmpsb", 0, 2000, page + 3500, page + 3400);
    STRING("none at all", "rep movsb", 0, 0, text, page + 4096);
    return 0;
}
