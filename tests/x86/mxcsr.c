/* Prints what programs see of SSE's numbers: exceptions after each of many operations, rounding modes, FTZ and DAZ, NaNs, and
 * what handlers of SIGFPE are told. The same on every x86 processor; loops are long enough to be translated.
 */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <xmmintrin.h>

#define LONG 60000

static volatile double zero = 0, one = 1, three = 3, big = 1e308, tiny = 1e-308, inf = INFINITY, nan1;
static volatile float tinyf = 1e-38f, threef = 3;

static uint64_t bits(double x) { uint64_t n; memcpy(&n, &x, 8); return n; }

static void show(const char *what)
{
    int e = fetestexcept(FE_ALL_EXCEPT);
    printf("%-10s%s%s%s%s%s\n", what, e & FE_INVALID ? " invalid" : "", e & FE_DIVBYZERO ? " divbyzero" : "",
           e & FE_OVERFLOW ? " overflow" : "", e & FE_UNDERFLOW ? " underflow" : "", e & FE_INEXACT ? " inexact" : "");
    feclearexcept(FE_ALL_EXCEPT);
}

/* each runs hot, and raises in one round only */
#define LOOP(name, start, step, odd) static void name(void) { double s = start; feclearexcept(FE_ALL_EXCEPT); \
    for (int i = 0; i < LONG; i++) { s = step; if (i == LONG - 7) odd; } show(#name); printf("  %016lx\n", (unsigned long)bits(s)); }

static volatile double sink;
LOOP(exact, 0, s + 1, (void)0)
LOOP(inexact, 0, s + one, sink = one / three)
LOOP(division, 0, s + one, sink = one / zero)
LOOP(overflow, 0, s + one, sink = big * big)
LOOP(underflow, 0, s + one, sink = tiny * tiny)
LOOP(invalid, 0, s + one, sink = inf - inf)
LOOP(root, 0, s + one, sink = sqrt(-one * three))
LOOP(compare, 0, s + one, sink = nan1 < one)
LOOP(equal, 0, s + one, sink = nan1 == one)
LOOP(convert, 0, s + one, sink = (int)(volatile double){1e20})
LOOP(narrow, 0, s + one, sink = (float)(volatile double){1e300})
LOOP(clean, 0, s + one, sink = 4.0 * s)

static double sums(int n, double *directed)
{
    double s = 0;
    for (int i = 1; i <= n; i++)
        s += directed[i % 16] / i;
    return s;
}

static float sumsf(int n)
{
    float s = 0;
    for (int i = 1; i <= n; i++)
        s += threef / (float)i;
    return s;
}

static void rounding(void)
{
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    double values[16];
    for (int i = 0; i < 16; i++)
        values[i] = 1.0 / (i + 3);
    for (int k = 0; k < 4; k++) {
        fesetround(modes[k]);
        double s = sums(LONG, values);
        printf("mode %d: %016lx %a %ld %ld %a\n", k, (unsigned long)bits(s), sumsf(LONG), lrint(-2.5 * three), lrintf(threef / 2),
               (double)(float)(s * three));
    }
    fesetround(FE_TONEAREST);
}

static void flushing(void)
{
    for (int k = 0; k < 4; k++) {
        _mm_setcsr(0x1F80 | (k & 1) << 15 | (k & 2) << 5);
        double s = tiny, t = 0;
        float f = tinyf;
        int zeros = 0;
        for (int i = 0; i < LONG; i++) {
            double small = tiny / (1 + i % 64);
            t += small * 1e300;
            zeros += small == 0;
            f = f * 0.999999f + tinyf * 1e-7f;
        }
        s = tiny / 1e10 * 1e10;
        printf("ftz %d daz %d: %016lx %016lx %a %d %x\n", k & 1, k >> 1, (unsigned long)bits(s), (unsigned long)bits(t), f, zeros,
               _mm_getcsr() & ~2u);
    }
    _mm_setcsr(0x1F80);
}

static double operate(int op, double x, double y)
{
    switch (op) {
    case 0: __asm__("addsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 1: __asm__("subsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 2: __asm__("mulsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 3: __asm__("divsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 4: __asm__("minsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 5: __asm__("maxsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 6: __asm__("sqrtsd %1, %0" : "+x"(x) : "x"(y)); break;
    case 7: __asm__("cvtsd2ss %1, %0\n\tcvtss2sd %0, %0" : "+x"(x) : "x"(y)); break;
    }
    return x;
}

static void nans(void)
{
    static const uint64_t kinds[] = {0x7FF8000000000001, 0xFFF8000000000002, 0x7FF0000000000003, 0xFFF4000020000004, 0x7FF0000000000000,
                                     0xFFF0000000000000, 0, 0x8000000000000000, 0x3FF0000000000000};
    uint64_t digest = 0;
    for (int round = 0; round < 400; round++)
        for (int op = 0; op < 8; op++)
            for (int i = 0; i < 9; i++)
                for (int j = 0; j < 9; j++) {
                    double x, y;
                    memcpy(&x, &kinds[i], 8);
                    memcpy(&y, &kinds[j], 8);
                    uint64_t r = bits(operate(op, x, y));
                    digest = (digest ^ r) * 0x9E3779B97F4A7C15;
                    if (!round && i + j < 3)
                        printf("%d %d %d %016lx\n", op, i, j, (unsigned long)r);
                }
    printf("nans %016lx\n", (unsigned long)digest);
}

static sigjmp_buf back;

static void handler(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    printf("signal %d code %d at the instruction %d trap %d mxcsr %x, here %x\n", number, info->si_code,
           info->si_addr == (void *)u->uc_mcontext.gregs[REG_RIP], (int)u->uc_mcontext.gregs[REG_TRAPNO],
           u->uc_mcontext.fpregs->mxcsr & ~2u, _mm_getcsr());
    siglongjmp(back, 1);
}

static void traps(void)
{
    static const int which[] = {FE_INVALID, FE_DIVBYZERO, FE_OVERFLOW, FE_UNDERFLOW, FE_INEXACT};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, NULL);
    for (volatile int k = 0; k < 5; k++)
        for (volatile int op = 0; op < 5; op++) {
            feclearexcept(FE_ALL_EXCEPT);
            volatile int i = 0;
            if (!sigsetjmp(back, 1)) {
                feenableexcept(which[k]);
                double s = 0;
                for (; i < 3000; i++) {
                    s += 1;
                    if (i == 2990)
                        switch (op) {
                        case 0: sink = inf - inf; break;
                        case 1: sink = one / zero; break;
                        case 2: sink = big * big; break;
                        case 3: sink = tiny * tiny; break;
                        case 4: sink = one / three; break;
                        }
                }
            }
            fedisableexcept(FE_ALL_EXCEPT);
            printf("%d %d after %d\n", k, op, i);
        }
    signal(SIGFPE, SIG_DFL);
    fflush(stdout);
    if (!fork()) {
        feenableexcept(FE_DIVBYZERO);
        sink = one / zero;
        _exit(1);
    }
    int status;
    wait(&status);
    printf("killed by %d\n", WTERMSIG(status));
    uint32_t reserved = 0x11F80;
    if (!fork()) {
        __asm__ volatile("ldmxcsr %0" :: "m"(reserved));
        _exit(1);
    }
    wait(&status);
    printf("killed by %d\n", WTERMSIG(status));
}

int main(void)
{
    nan1 = NAN;
    exact(); inexact(); division(); overflow(); underflow(); invalid(); root(); compare(); equal(); convert(); narrow(); clean();
    rounding();
    flushing();
    nans();
    fflush(stdout);
    if (!fork()) {
        division();
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    traps();
    return 0;
}
