/* What the timed programs share: `PROGRAM NAME N` does a load N times and prints "result nanoseconds". */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct load { const char *name; uint64_t (*run)(long n); };

static inline uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int run_one(const struct load *loads, size_t count, int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < count; i++) {
        if (strcmp(argv[1], loads[i].name))
            continue;
        uint64_t start = nanoseconds();
        uint64_t result = loads[i].run(atol(argv[2]));
        uint64_t took = nanoseconds() - start;
        printf("%016llx %llu\n", (unsigned long long)result, (unsigned long long)took);
        return 0;
    }
    return 2;
}
