/* A program that single-steps itself: it sets the trap flag, and prints where each SIGTRAP found it. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define TF 0x100
#define MOST 4000
static struct { int signo, code, number, flags, within; long at, address; } steps[MOST];
static int count, step_after_usr1;
char from[64], to[256];

static void on_signal(int signo, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    unsigned long within;
    __asm__ volatile("pushfq; pop %0" : "=r"(within));
    if (count < MOST) {
        steps[count].signo = signo, steps[count].code = info->si_code, steps[count].number = r[REG_TRAPNO];
        steps[count].at = r[REG_RIP], steps[count].address = signo == SIGUSR1 ? 0 : (long)info->si_addr, steps[count].flags = r[REG_EFL] & TF, steps[count].within = within & TF;
        count++;
    }
    if (signo == SIGUSR1 && step_after_usr1)
        r[REG_EFL] |= TF;
    if (signo == SIGILL)
        r[REG_RIP] += 2;
    if (signo == SIGFPE)
        r[REG_RCX] = 1;
}

static void print(const char *name, const char *base) {
    printf("%s: %d\n", name, count);
    for (int i = 0; i < count && i < 30; i++)
        if (steps[i].at - (long)base > -4096 && steps[i].at - (long)base < 4096)
            printf("  signal %d code %d number %d at +%ld address %+ld flag %d within %d\n", steps[i].signo, steps[i].code, steps[i].number,
                   steps[i].at - (long)base, steps[i].address ? steps[i].address - steps[i].at : 0, steps[i].flags, steps[i].within);
    count = 0;
}

#define SET "pushfq; orl $0x100, (%%rsp); popfq\n"
#define CLEAR "pushfq; andl $~0x100, (%%rsp); popfq\n"
/* Runs the code with the flag set, and prints where each step was, from the first instruction after POPF on. */
#define STEP(name, code) do { \
    long base; \
    __asm__ volatile("lea 1f(%%rip), %0; sub $128, %%rsp\n" SET "1:\n" code "\n" CLEAR "nop; add $128, %%rsp" : "=&r"(base) : \
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "xmm0", "xmm1", "cc", "memory"); \
    print(name, (char *)base); } while (0)

static void stepped_child(int killed) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        signal(SIGTRAP, killed ? SIG_DFL : SIG_IGN);
        __asm__ volatile("sub $128, %%rsp\n" SET "nop; add $128, %%rsp" ::: "cc", "memory");
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("child: %d %d\n", WIFSIGNALED(status), WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, 0);
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGILL, &action, 0);
    sigaction(SIGFPE, &action, 0);

    STEP("nothing", "");
    STEP("simple", "nop; xor %%eax, %%eax; inc %%rax; movd %%eax, %%xmm0; addps %%xmm0, %%xmm0; fld1; fstp %%st(0); lea 8(%%rax), %%rdx");
    STEP("pushf shows the flag", "pushfq; pop %%rax; and $0x100, %%eax; mov %%eax, %%r12d");
    STEP("branches", "mov $2, %%ecx; 2: cmp $1, %%ecx; je 3f; nop; 3: loop 2b; jmp 4f; nop; 4: call 5f; jmp 6f; 5: ret; 6: nop");
    STEP("strings", "lea to(%%rip), %%rdi; lea from(%%rip), %%rsi; mov $5, %%ecx; rep movsb; mov $3, %%ecx; rep stosq; xor %%ecx, %%ecx; rep stosb;"
         "mov $4, %%ecx; lea from(%%rip), %%rdi; mov $1, %%al; repne scasb");
    STEP("a long string", "lea to(%%rip), %%rdi; mov $200, %%ecx; rep stosb");
    STEP("loads of SS", "mov %%ss, %%eax; mov %%eax, %%ss; nop; nop; mov %%eax, %%ds; nop; mov $0, %%eax; mov %%eax, %%ds");
    STEP("a system call", "mov $39, %%eax; syscall; nop; mov $39, %%eax; syscall; mov %%r11, %%rax; and $0x100, %%eax; mov %%eax, %%r12d");
    STEP("other traps", "nop; int3; nop; ud2; nop; xor %%ecx, %%ecx; xor %%edx, %%edx; mov $7, %%eax; div %%ecx; nop");
    STEP("flags again", "pushfq; popfq; nop; pushfw; popfw; nop");
    STEP("iret", "mov %%ss, %%eax; mov %%rsp, %%rcx; push %%rax; push %%rcx; pushfq; mov %%cs, %%eax; push %%rax; lea 2f(%%rip), %%rax; push %%rax;"
         "iretq; nop; 2: nop");
    __asm__ volatile("sub $128, %%rsp; pushfw; orw $0x100, (%%rsp); popfw; nop; nop; nop\n" CLEAR "add $128, %%rsp" ::: "cc", "memory");
    print("set by 16 bits", 0);
    __asm__ volatile("sub $128, %%rsp; mov %%ss, %%eax; mov %%rsp, %%rcx; push %%rax; push %%rcx; pushfq; orl $0x100, (%%rsp); mov %%cs, %%eax; push %%rax;"
                     "lea 2f(%%rip), %%rax; push %%rax; iretq; nop; 2: nop; nop\n" CLEAR "add $128, %%rsp" ::: "rax", "rcx", "cc", "memory");
    print("set by iret", 0);
    step_after_usr1 = 1;
    long base;
    __asm__ volatile("lea 1f(%%rip), %0; sub $128, %%rsp; mov $39, %%eax; syscall; mov %%eax, %%edi; mov $10, %%esi; mov $62, %%eax; syscall\n"
                     "1: nop; nop; xor %%eax, %%eax\n" CLEAR "nop; add $128, %%rsp" : "=&r"(base) :: "rax", "rcx", "rdi", "rsi", "r11", "cc", "memory");
    print("set by a handler", (char *)base);
    /* A hot loop first, so that it is translated where code is, and then the same code in steps. */
    long total = 0;
    for (int round = 0; round < 2; round++) {
        long n = round ? 500 : 3000000, flags = round ? TF : 0;
        __asm__ volatile("sub $128, %%rsp; pushfq; or %2, (%%rsp); popfq\n1: add %1, %0; dec %1; jnz 1b\n" CLEAR "add $128, %%rsp"
                         : "+r"(total), "+r"(n) : "r"(flags) : "cc", "memory");
        printf("loop: %ld\n", total);
        print("a loop", 0);
    }
    stepped_child(1);
    stepped_child(0);
    return 0;
}
