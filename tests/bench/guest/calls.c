/* System calls of programs that keep their data in files: each load makes one, N times, and sums up what it returns. */
#define _GNU_SOURCE
#include "timed.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };

static char buffer[65536];

/* A new file of SIZE bytes that goes with the process. */
static int file(void)
{
    char name[] = "/tmp/calls.XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    for (int at = 0; at < SIZE; at += sizeof buffer) {
        memset(buffer, at >> 16, sizeof buffer);
        if (write(fd, buffer, sizeof buffer) != sizeof buffer)
            abort();
    }
    return fd;
}

static uint64_t run_getpid(long n)
{
    uint64_t sum = 0;
    while (n--)
        sum += syscall(SYS_getpid) > 0;
    return sum;
}

static uint64_t run_lseek(long n)
{
    uint64_t sum = 0;
    for (int fd = file(); n--;)
        sum += lseek(fd, n % SIZE, SEEK_SET);
    return sum;
}

static uint64_t positioned(long n, size_t size, int writing)
{
    uint64_t sum = 0;
    for (int fd = file(); n--; sum += buffer[size / 2])
        sum += writing ? pwrite(fd, buffer, size, n * size % SIZE) : pread(fd, buffer, size, n * size % SIZE);
    return sum;
}

static uint64_t run_pread_8(long n) { return positioned(n, 8, 0); }
static uint64_t run_pread_4096(long n) { return positioned(n, 4096, 0); }
static uint64_t run_pwrite_4096(long n) { return positioned(n, 4096, 1); }

/* Through the file from its beginning to its end, as often as it takes. */
static uint64_t along(long n, size_t size, int writing)
{
    uint64_t sum = 0;
    int fd = file();
    for (long i = 0; i < n; i++) {
        if (i % (SIZE / size) == 0)
            lseek(fd, 0, SEEK_SET);
        sum += writing ? write(fd, buffer, size) : read(fd, buffer, size);
        sum += buffer[size / 2];
    }
    return sum;
}

static uint64_t run_read_1(long n) { return along(n, 1, 0); }
static uint64_t run_write_1(long n) { return along(n, 1, 1); }
static uint64_t run_read_65536(long n) { return along(n, 65536, 0); }
static uint64_t run_write_65536(long n) { return along(n, 65536, 1); }

static uint64_t run_fstat(long n)
{
    struct stat found;
    uint64_t sum = 0;
    for (int fd = file(); n--; sum += found.st_size)
        syscall(SYS_fstat, fd, &found);
    return sum;
}

static uint64_t run_lock(long n)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 1 << 30, .l_len = 510 };
    struct flock unlock = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 1 << 30, .l_len = 510 };
    uint64_t sum = 0;
    for (int fd = file(); n--;)
        sum += !fcntl(fd, F_SETLK, &lock) + !fcntl(fd, F_SETLK, &unlock);
    return sum;
}

static uint64_t run_clock(long n)
{
    struct timespec now;
    uint64_t sum = 0;
    while (n--)
        sum += !syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return sum;
}

static uint64_t run_pipe(long n)
{
    int ends[2];
    uint64_t sum = 0;
    if (pipe(ends))
        abort();
    while (n--)
        sum += write(ends[1], buffer, 64) + read(ends[0], buffer, 64);
    return sum;
}

static uint64_t run_absent(long n)
{
    uint64_t sum = 0;
    while (n--)
        sum += access("/tmp/calls/none", F_OK) < 0;
    return sum;
}

int main(int argc, char **argv)
{
    static const struct load loads[] = {
        { "getpid", run_getpid }, { "lseek", run_lseek }, { "pread 8", run_pread_8 }, { "pread 4096", run_pread_4096 },
        { "pwrite 4096", run_pwrite_4096 }, { "read 1", run_read_1 }, { "write 1", run_write_1 },
        { "read 65536", run_read_65536 }, { "write 65536", run_write_65536 }, { "fstat", run_fstat },
        { "lock and unlock", run_lock }, { "clock", run_clock }, { "through a pipe", run_pipe }, { "no such file", run_absent },
    };
    return run_one(loads, sizeof loads / sizeof *loads, argc, argv);
}
