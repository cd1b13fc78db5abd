#include "check.h"

static sigjmp_buf back; static volatile int code; static volatile uintptr_t at;
static void jump(int s, siginfo_t *i, void *c) { code = i->si_code; at = (uintptr_t)i->si_addr; siglongjmp(back, s); }
#define TRY(e) ({ int s_ = sigsetjmp(back, 1); if (!s_) { e; } s_; })
static volatile char sink;
static long depth(long n) { volatile char pad[1000]; pad[0] = n; return n ? depth(n - 1) + pad[0] * 0 + 1 : 0; }
static char *map(size_t n, int prot, int flags, int fd, off_t o) { return mmap(0, n, prot, flags, fd, o); }

int main(int argc, char **argv) {
    struct sigaction a = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &a, 0); sigaction(SIGBUS, &a, 0);
    const int RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS;
    char *m = map(10 * 4096, RW, ANON, -1, 0);
    int zero = 1; for (int i = 0; i < 40960; i += 512) zero &= !m[i];
    SAY("zero %d", zero); memset(m, 1, 40960);
    munmap(m + 8192, 4096); SAY("hole %d code %d", TRY(sink = m[8192]), code); SAY("beside it %d %d", m[8191], m[12288]);
    mmap(m + 8192, 4096, RW, ANON | MAP_FIXED, -1, 0); SAY("fresh %d", m[8192]);
    mprotect(m, 4096, PROT_READ); SAY("read only %d code %d", TRY(m[0] = 2), code); SAY("still %d", m[0]);
    mprotect(m, 4096, PROT_NONE); SAY("none %d", TRY(sink = m[0])); mprotect(m, 4096, RW); SAY("kept %d", m[0]);
    m[4095] = 5; m[4096] = 6; uint32_t w; memcpy(&w, m + 4094, 4); SAY("across %x", w);
    mprotect(m + 4096, 4096, PROT_NONE); SAY("across a guard %d", TRY(sink = *(volatile uint64_t *)(m + 4090)));
    SAY("addr %ld", (long)(at - (uintptr_t)m)); mprotect(m + 4096, 4096, RW);
    SAY("mprotect hole %s", err(mprotect((void *)0x700000000000, 4096, RW)));
    SAY("unaligned %s", err(mprotect(m + 1, 4096, RW))); SAY("munmap unaligned %s", err(munmap(m + 1, 1)));
    SAY("mmap nothing %s", err((long)map(0, RW, ANON, -1, 0))); SAY("mmap type %s", err((long)map(4096, RW, MAP_ANONYMOUS, -1, 0)));
    SAY("noreplace %s", err((long)mmap(m, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0)));
    SAY("bad fd %s", err((long)map(4096, RW, MAP_PRIVATE, 77, 0)));
    m[0] = 9; madvise(m, 4096, MADV_DONTNEED); SAY("dontneed %d", m[0]);

    char *g = mremap(m, 10 * 4096, 100 * 4096, MREMAP_MAYMOVE); g[99 * 4096] = 1; SAY("mremap grows %d %d", g[4094 + 5 * 4096], g[50 * 4096]);
    g = mremap(g, 100 * 4096, 2 * 4096, 0); SAY("shrinks %d", TRY(sink = g[3 * 4096]));
    char *room = map(20 * 4096, PROT_NONE, ANON, -1, 0); g[1] = 77;
    char *h = mremap(g, 2 * 4096, 2 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, room + 8192); SAY("fixed %d %d", h == room + 8192, h[1]);
    SAY("old gone %d", TRY(sink = g[0]));

    char *b = sbrk(0); sbrk(300000); memset(b, 3, 300000); SAY("brk %d", b[299999]); sbrk(-200000); sbrk(200000); SAY("brk again %d %d", b[50000], b[299999]);
    SAY("deep %ld", depth(6000));

    /* files */
    char path[] = "/tmp/webvm-memory-XXXXXX"; int fd = mkstemp(path); char buf[10000]; for (int i = 0; i < 10000; i++) buf[i] = i % 251;
    write(fd, buf, 10000);
    char *f = map(5 * 4096, RW, MAP_PRIVATE, fd, 0); SAY("file %d", !memcmp(f, buf, 10000)); SAY("tail zero %d", f[10001]);
    SAY("past end %d code %d", TRY(sink = f[3 * 4096]), code);
    f[0] = 99; char c; pread(fd, &c, 1, 0); SAY("private %d", c);
    char *o = map(4096, PROT_READ, MAP_PRIVATE, fd, 4096); SAY("offset %d", o[0] == buf[4096]); SAY("bad offset %s", err((long)map(4096, RW, MAP_PRIVATE, fd, 100)));
    char *s = map(3 * 4096, RW, MAP_SHARED, fd, 0); s[5] = 55; s[9000] = 56;
    pread(fd, &c, 1, 5); SAY("shared to file %d", c); pwrite(fd, "Q", 1, 6); SAY("file to shared %c", s[6]);
    msync(s, 3 * 4096, MS_SYNC);
    if (!fork()) { s[7] = 33; char *t = map(4096, RW, MAP_SHARED, fd, 0); _exit(t[7] == 33 && t[5] == 55 ? 0 : 1); }
    int st; wait(&st); SAY("child %d wrote %d", WEXITSTATUS(st), s[7]); 
    ftruncate(fd, 20000); SAY("grown %d", TRY(sink = f[4 * 4096]));
    munmap(s, 3 * 4096); pread(fd, &c, 1, 9000); SAY("after munmap %d", c);
    int ro = open(path, O_RDONLY); SAY("shared rw of read-only %s", err((long)map(4096, RW, MAP_SHARED, ro, 0)));
    char *r = map(4096, PROT_READ, MAP_SHARED, ro, 0); SAY("shared r %d", r[5]); SAY("cannot become rw %s", err(mprotect(r, 4096, RW)));
    unlink(path); close(fd); SAY("outlives the name %d", f[100] == buf[100]);

    /* shared anonymous memory, both ways */
    volatile int *q = (int *)map(8192, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0); int pp[2], pq[2]; pipe(pp); pipe(pq);
    pid_t p = fork();
    if (!p) { for (int i = 0; i < 20; i++) { read(pp[0], &c, 1); q[0] += q[1]; q[1500] = i; write(pq[1], "x", 1); } _exit(0); }
    for (int i = 0; i < 20; i++) { q[1] = i; write(pp[1], "x", 1); read(pq[0], &c, 1); }
    wait(0); SAY("shared sum %d last %d", q[0], q[1500]);
    int z = open("/dev/zero", O_RDWR); char *zm = map(4096, RW, MAP_PRIVATE, z, 0); zm[1] = 1; SAY("/dev/zero %d", zm[0]);
    /* code that is written and run */
    unsigned char *x = (unsigned char *)map(4096, RW | PROT_EXEC, ANON, -1, 0); memcpy(x, "\xb8\x05\0\0\0\xc3", 6); int one = ((int (*)(void))x)();
    x[1] = 6; SAY("code %d then %d", one, ((int (*)(void))x)());
    unsigned char vec[4]; SAY("mincore %s", err(mincore(m, 4096, (void *)1)));
    struct rlimit l = {64 << 20, RLIM_INFINITY}; setrlimit(RLIMIT_AS, &l); SAY("limited %s", err((long)map(128 << 20, RW, ANON, -1, 0)));
    (void)vec; return 0;
}
