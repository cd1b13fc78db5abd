/* What a program can see of AVX's state: across signals, threads, fork and exec, and in a signal's frame; and results of FMA and F16C
 * under each rounding mode, with their exceptions. Prints it; on a processor and in webvm it must be the same. */
#define _GNU_SOURCE
#include <fenv.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static char **self;

/* All sixteen registers get n and their number in each dword, something else happens, and they are stored. */
#define WITH_REGISTERS(n, call)                                                                                     \
    do {                                                                                                            \
        __m256i in_[16], out_[16];                                                                                  \
        for (int i_ = 0; i_ < 16; i_++)                                                                             \
            in_[i_] = _mm256_set_epi32(n + 0x700 + i_, n + 0x600 + i_, n + 0x500 + i_, n + 0x400 + i_, n + 0x300 + i_, \
                                       n + 0x200 + i_, n + 0x100 + i_, n + i_);                                     \
        __asm__ volatile(LOAD call STORE : : [in] "r"(in_), [out] "r"(out_), [pid] "r"((long)getpid()),               \
                         [tid] "r"((long)gettid()) : "rax", "rcx", "rdx", "rdi", "rsi", "r11", "memory", ALL);      \
        check(n, in_, out_);                                                                                        \
    } while (0)
#define EACH(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_ONE(n) "vmovdqu 32*" #n "(%[in]), %%ymm" #n "\n"
#define STORE_ONE(n) "vmovdqu %%ymm" #n ", 32*" #n "(%[out])\n"
#define LOAD EACH(LOAD_ONE)
#define STORE EACH(STORE_ONE)
#define ALL "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define TGKILL "mov $234, %%eax; mov %[pid], %%rdi; mov %[tid], %%rsi; mov $10, %%edx; syscall\n"
#define YIELD "mov $24, %%eax; syscall\n"

static const char *what;

static void check(int n, const __m256i *in, const __m256i *out)
{
    for (int i = 0; i < 16; i++)
        if (memcmp(in + i, out + i, 32))
            printf("%s: ymm%d is changed: %08x to %08x, %08x to %08x\n", what, i, ((int *)in)[8 * i], ((int *)out)[8 * i], ((int *)in)[8 * i + 7],
                   ((int *)out)[8 * i + 7]);
    (void)n;
}

static int change;

static void handler(int signo, siginfo_t *info, void *raw)
{
    uint32_t first[64];
    __asm__ volatile("vmovdqu %%ymm3, (%0); vmovdqu %%ymm9, 32(%0)" : : "r"(first) : "memory");
    int zero = 1;
    for (int i = 0; i < 16; i++)
        zero &= !first[i];
    ucontext_t *context = raw;
    uint8_t *fp = (uint8_t *)context->uc_mcontext.fpregs;
    uint32_t *upper = (uint32_t *)(fp + 576), size = *(uint32_t *)(fp + 464 + 4);
    printf("signal %d: flags %lx, zero %d, magic %08x, parts has x87 SSE AVX %d, ends %d, upper halves of 3 and 9: %08x %08x\n", signo,
           context->uc_flags & 7, zero, *(uint32_t *)(fp + 464), (*(uint64_t *)(fp + 472) & 7) == 7 && (*(uint64_t *)(fp + 512) & 4) != 0,
           *(uint32_t *)(fp + size - 4) == 0x46505845, upper[12], upper[39]);
    if (change == 1)
        upper[12] ^= 0xFFFF;                    /* ymm3, bits 128 to 159 */
    if (change == 2)
        *(uint64_t *)(fp + 512) &= ~4ul;        /* as if it were as in a new program */
    if (change == 3)
        *(uint32_t *)(fp + 464) = 0;            /* no longer form: x87 and SSE only */
    __asm__ volatile("vpcmpeqd %%ymm3, %%ymm3, %%ymm3; vpcmpeqd %%ymm9, %%ymm9, %%ymm9; vpcmpeqd %%ymm15, %%ymm15, %%ymm15" : : : "xmm3", "xmm9", "xmm15");
    fflush(stdout);
}

static void *thread(void *n)
{
    for (int i = 0; i < 50; i++)
        WITH_REGISTERS((int)(long)n + i, YIELD);
    return 0;
}

static uint32_t bits(float x) { uint32_t n; memcpy(&n, &x, 4); return n; }
static uint64_t wide(double x) { uint64_t n; memcpy(&n, &x, 8); return n; }

static void numbers(void)
{
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    static volatile double values[] = {1.0, -1.0, 0.1, 3.0, 1e300, 1e-300, 0x1.fffffffffffffp-1, 0x1.0000001p+0, 5e-324, -0.0, 0x1p-1022, 1.0 / 0.0};
    enum { N = sizeof values / sizeof *values };
    for (int m = 0; m < 4; m++) {
        uint64_t sum = 0;
        fesetround(modes[m]);
        feclearexcept(FE_ALL_EXCEPT);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                for (int k = 0; k < N; k++) {
                    __m256d x = _mm256_set_pd(values[i], -values[i], values[j], values[k]), y = _mm256_set1_pd(values[j]), z = _mm256_set1_pd(values[k]);
                    double r[4];
                    _mm256_storeu_pd(r, _mm256_fmaddsub_pd(x, y, z));
                    __m128d s = _mm_fnmsub_sd(_mm_set_sd(values[i]), _mm_set_sd(values[j]), _mm_set_sd(values[k]));
                    __m256 f = _mm256_fmadd_ps(_mm256_set1_ps((float)values[i]), _mm256_set1_ps((float)values[j]), _mm256_set1_ps((float)values[k]));
                    __m128i h = _mm256_cvtps_ph(f, _MM_FROUND_CUR_DIRECTION);
                    __m256 back = _mm256_cvtph_ps(h);
                    for (int n = 0; n < 4; n++)
                        sum = (sum ^ wide(r[n])) * 0x9E3779B97F4A7C15;
                    sum = (sum ^ wide(_mm_cvtsd_f64(s)) ^ bits(_mm256_cvtss_f32(f)) ^ (uint64_t)_mm_cvtsi128_si64(h)) * 0x9E3779B97F4A7C15;
                    sum = (sum ^ bits(_mm256_cvtss_f32(back))) * 0x9E3779B97F4A7C15;
                }
        printf("mode %d: %016lx, exceptions %x\n", m, sum, fetestexcept(FE_ALL_EXCEPT));
    }
    fesetround(FE_TONEAREST);
    double total = 0;
    __m256d four = _mm256_setzero_pd();
    for (int i = 1; i < 200000; i++) {          /* long enough to be translated */
        four = _mm256_fmadd_pd(_mm256_set1_pd(1.0 / i), _mm256_set_pd(1, 2, 3, i), four);
        total += _mm256_cvtsd_f64(four) * 1e-9;
    }
    double r[4];
    _mm256_storeu_pd(r, four);
    printf("sums: %a %a %a %a %a\n", r[0], r[1], r[2], r[3], total);
}

int main(int argc, char **argv)
{
    uint32_t found[4 * 16] = {0}, all = 0;
#define UPPER_ONE(n) "vextracti128 $1, %%ymm" #n ", 16*" #n "(%0)\n"
    __asm__ volatile(EACH(UPPER_ONE) : : "r"(found) : "memory");
    for (int i = 0; i < 4 * 16; i++)
        all |= found[i];
    printf("%s: upper halves at the beginning: %x\n", argc > 1 ? argv[1] : "program", all);
    fflush(stdout);
    if (argc > 1)
        return 7;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, 0);
    for (change = 0; change < 4; change++) {
        what = (const char *[]){"signal", "signal that changes one", "signal that resets", "signal with the short form"}[change];
        WITH_REGISTERS(0x10000, TGKILL);
    }
    what = "thread";
    pthread_t threads[3];
    for (long i = 0; i < 3; i++)
        pthread_create(threads + i, 0, thread, (void *)(i << 20));
    thread((void *)0x40000000);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], 0);
    what = "fork";
    fflush(stdout);
    WITH_REGISTERS(0x2000000, "mov $57, %%eax; syscall\n");
    fflush(stdout);
    int status;
    if (wait(&status) < 0)
        _exit(3);                               /* the child, which has compared its registers */
    printf("child: %x\n", status);
    numbers();
    fflush(stdout);
    __asm__ volatile("vpcmpeqd %%ymm6, %%ymm6, %%ymm6; vpcmpeqd %%ymm15, %%ymm15, %%ymm15" : : : "xmm6", "xmm15");
    execl("/proc/self/exe", "avx", "again", (char *)0);
    return 1;
}
