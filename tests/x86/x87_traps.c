/* x87 exceptions that are not masked: where SIGFPE comes, and what its handler finds. MMX registers beside x87 ones. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

struct fxsave { uint16_t control, status; uint8_t tags, pad; uint16_t opcode; uint64_t rip, rdp; uint8_t rest[488]; };
static struct fxsave area __attribute__((aligned(16)));
static uint8_t environment[108];
static volatile int signals;
static struct { int code; uintptr_t address, rip, trap, error; struct fxsave x87; } seen;

static void caught(int signal, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    struct fxsave *x87 = (void *)u->uc_mcontext.fpregs;
    (void)signal;
    signals++;
    seen.code = info->si_code;
    seen.address = (uintptr_t)info->si_addr;
    seen.rip = u->uc_mcontext.gregs[REG_RIP];
    seen.trap = u->uc_mcontext.gregs[REG_TRAPNO];
    seen.error = u->uc_mcontext.gregs[REG_ERR];
    seen.x87 = *x87;
    x87->status &= 0x7F00;
}

static void print_environment(const char *what) {
    uint16_t word[14];
    memcpy(word, environment, sizeof word);
    printf("%s: control %04x status %04x tags %04x\n", what, word[0], word[2], word[4]);
}

/* What is exact only where the unmasked exception itself set it: Intel's processors set FOP at no other time. */
static int later;

/* `cause` raises the exception, `waiter` is what is executed next; labels 8 and 9 are theirs. */
#define RAISE(name, mask, cause, waiter, ...) do { \
        uint16_t control = 0x37F & ~(mask); \
        uintptr_t at_cause, at_waiter; \
        signals = 0; \
        memset(&seen, 0, sizeof seen); \
        __asm__ volatile("fninit; fldcw %2; lea 8f(%%rip), %0; lea 9f(%%rip), %1\n" \
                         "fldl %3; fldl %4\n" \
                         "8: " cause "\n" "9: " waiter "\n" "fnsave %5; fninit" \
                         : "=&r"(at_cause), "=&r"(at_waiter) \
                         : "m"(control), "m"(one), "m"(two), "m"(environment), "m"(area), ##__VA_ARGS__ \
                         : "memory", "rax", "rcx", "xmm0", "mm0", "mm1"); \
        printf("%s: signals %d code %d address %ld rip %ld trap %ld error %ld\n", name, signals, seen.code, \
               (long)(seen.address - at_waiter), (long)(seen.rip - at_waiter), (long)seen.trap, (long)seen.error); \
        printf("  control %04x status %04x tags %02x opcode %03x cause %ld\n", seen.x87.control, seen.x87.status, seen.x87.tags, \
               later ? 0 : seen.x87.opcode, signals ? (long)(seen.x87.rip - at_cause) : 0); \
        print_environment("  after"); \
    } while (0)

static double one = 1, two = 2, zero = 0, tiny = 5e-324, huge = 1e308;
static float small = 1e-45f;
static long double least = 0x1p-16382L, most = 0x1.8p16383L;
static int32_t three = 3;
static uint64_t signaling = 0x7FF0000000000001;

int main(void) {
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);

    RAISE("zero divide", 4, "fdivl %7", "fwait", "m"(zero));
    printf("  operand %d\n", seen.x87.rdp == (uintptr_t)&zero);
    RAISE("zero divide, masked", 0, "fdivl %7", "fwait", "m"(zero));
    RAISE("zero divide, fldcw", 4, "fdivl %7", "fldcw %2", "m"(zero));
    RAISE("zero divide, fld1", 4, "fdivl %7", "fld1", "m"(zero));
    RAISE("zero divide, fnop", 4, "fdivl %7", "fnop", "m"(zero));
    RAISE("zero divide, fst", 4, "fdivl %7", "fstl %3", "m"(zero));
    RAISE("zero divide, ffree", 4, "fdivl %7", "ffree %%st(1)", "m"(zero));
    RAISE("zero divide, fldenv", 4, "fdivl %7", "fnstenv %5; fninit; fldenv %5; fwait", "m"(zero));
    RAISE("zero divide, frstor", 4, "fdivl %7", "fnsave %5; frstor %5; fwait", "m"(zero));
    RAISE("zero divide, fxrstor", 4, "fdivl %7", "fxsave64 %6; fninit; fxrstor64 %6; fwait", "m"(zero));
    RAISE("zero divide, movd", 4, "fdivl %7", "movd %%eax, %%mm0", "m"(zero));
    RAISE("zero divide, movq from", 4, "fdivl %7", "movq %%mm1, %%rax", "m"(zero));
    RAISE("zero divide, paddb", 4, "fdivl %7", "paddb %%mm1, %%mm0", "m"(zero));
    RAISE("zero divide, emms", 4, "fdivl %7", "emms", "m"(zero));
    RAISE("zero divide, fnclex", 4, "fdivl %7", "fnclex; fwait", "m"(zero));
    RAISE("zero divide, fninit", 4, "fdivl %7", "fninit; fwait", "m"(zero));
    RAISE("zero divide, fnstsw", 4, "fdivl %7", "fnstsw %%ax; fnstcw %2; fnstenv %5; fwait", "m"(zero));
    RAISE("zero divide, fnsave", 4, "fdivl %7", "fnsave %5; fwait", "m"(zero));
    RAISE("zero divide, SSE", 4, "fdivl %7", "movd %%eax, %%xmm0; addsd %7, %%xmm0; fxsave64 %6; fwait", "m"(zero));
    RAISE("by register", 4, "fldz; fdivrp %%st, %%st(1)", "fwait");
    RAISE("signaling", 1, "faddl %7", "fwait", "m"(signaling));
    printf("  operand %d\n", seen.x87.rdp == (uintptr_t)&signaling);
    RAISE("zero by zero", 5, "fldz; fldz; fdivp", "fwait");
    RAISE("empty", 1, "fstp %%st; fstp %%st; fadd %%st(1), %%st", "fwait");
    RAISE("full", 1, "fld1; fld1; fld1; fld1; fld1; fld1; fld1", "fwait");
    RAISE("denormal", 2, "faddl %7", "fwait", "m"(tiny));
    RAISE("denormal, loaded", 2, "flds %7", "fwait", "m"(small));
    RAISE("overflow", 8, "fldt %7; fmul %%st, %%st", "fwait", "m"(most));
    RAISE("overflow, stored", 8, "fldt %7; fstpl %8", "fwait", "m"(most), "m"(huge));
    RAISE("underflow", 16, "fldt %7; fmul %%st, %%st", "fwait", "m"(least));
    RAISE("underflow, stored", 16, "fldt %7; fstps %8", "fwait", "m"(least), "m"(small));
    RAISE("inexact", 32, "fildl %7; fdivrp", "fwait", "m"(three));
    RAISE("inexact and overflow", 40, "fldt %7; fmul %%st, %%st", "fwait", "m"(most));
    RAISE("inexact integer", 33, "fldpi; fistpl %7", "fwait", "m"(three));
    RAISE("integer too large", 1, "fldt %7; fistpl %8", "fwait", "m"(most), "m"(three));
    RAISE("compare", 1, "fldt %7; fcomip", "fwait", "m"(signaling));
    later = 1;
    RAISE("unmasked later", 0, "fdivl %7; movw $0x37b, %8; fldcw %8", "fwait", "m"(zero), "m"(*(uint16_t *)&three));

    uint64_t mm = 0;
    __asm__ volatile("fninit; fld1; fldpi; movl $5, %%eax; movd %%eax, %%mm2; fnstenv %0; fnsave %0; frstor %0; movq %%mm2, %1; emms"
                     : "=m"(environment), "=m"(mm) :: "rax", "mm2");
    print_environment("mmx");
    printf("mm2 %llx\n", (unsigned long long)mm);
    for (int i = 0; i < 8; i++)
        printf("st%d %04x %016llx\n", i, *(uint16_t *)(environment + 36 + 10 * i), (unsigned long long)*(uint64_t *)(environment + 28 + 10 * i));
    __asm__ volatile("fninit; fld1; fldpi; fld1; movq %%mm7, %1; fnstenv %0; emms" : "=m"(environment), "=m"(mm));
    print_environment("mmx read");
    printf("mm7 %llx\n", (unsigned long long)mm);
    __asm__ volatile("fninit; fld1; fldpi; fld1; emms; fnstenv %0" : "=m"(environment));
    print_environment("emms");
    __asm__ volatile("fninit; fld1; fld1; cvtpi2pd %1, %%xmm0; fnstenv %0; emms" : "=m"(environment) : "m"(one) : "xmm0");
    print_environment("cvtpi2pd from memory");
    __asm__ volatile("fninit; fld1; fld1; cvttps2pi %1, %%mm0; fnstenv %0; emms" : "=m"(environment) : "m"(one) : "mm0");
    print_environment("cvttps2pi");
    __asm__ volatile("fninit; fld1; fldz; fxsave64 %1; fninit; fxrstor64 %1; fnstenv %0; fninit" : "=m"(environment), "=m"(area));
    print_environment("fxsave");
    printf("tags %02x pointers %d\n", area.tags, area.rip || area.rdp || area.opcode);
    return 0;
}
