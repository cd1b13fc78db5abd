/* Six small loads. `kernels NAME N` does one N times and prints its result: calls, byte stores, rotates, an interpreter's
   switch, unpredictable branches, dependent loads. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIEVE = 1 << 17, KEYS = 2048, NODES = 1 << 12 };

static uint64_t calls(unsigned n)
{
    return n < 2 ? n : calls(n - 1) + calls(n - 2);
}

static uint64_t run_calls(long n)
{
    uint64_t sum = 0;
    for (long i = 0; i < n; i++)
        sum += calls(18 + i % 2);
    return sum;
}

static uint64_t run_sieve(long n)
{
    static unsigned char composite[SIEVE];
    uint64_t primes = 0;
    for (long r = 0; r < n; r++) {
        memset(composite, 0, sizeof composite);
        for (size_t p = 2; p < SIEVE; p++) {
            if (composite[p])
                continue;
            primes++;
            for (size_t m = p * 2; m < SIEVE; m += p)
                composite[m] = 1;
        }
    }
    return primes;
}

static uint32_t rotated(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint64_t run_rotate(long n)
{
    uint32_t h = 17, k = 99;
    for (long i = 0; i < n * 1000; i++) {
        k = rotated(k * 0x9E3779B1u + (uint32_t)i, 15);
        h = rotated(h ^ k, 13) * 5 + 0xE6546B64u;
        h ^= h >> 16;
    }
    return h;
}

/* A stack machine that counts down: push, add, xor, jump if not zero. */
static uint64_t run_switch(long n)
{
    static const unsigned char code[] = { 0, 3, 1, 0, 7, 2, 4, 3, 1, 5, 0 };
    uint64_t acc = 1, top = 0, left = (uint64_t)n * 1000;
    const unsigned char *at = code;
    for (;;) {
        switch (*at++) {
        case 0: top = *at++; break;
        case 1: acc += top; break;
        case 2: acc ^= top << 7; break;
        case 3: top = acc >> 3; break;
        case 4: acc = acc * 33 + 1; break;
        case 5: if (--left == 0) return acc; at = code + *at; break;
        }
    }
}

static void quicksort(uint32_t *low, uint32_t *high)
{
    while (high - low > 1) {
        uint32_t pivot = low[(high - low - 1) / 2], *i = low - 1, *j = high;
        for (;;) {
            while (*++i < pivot) { }
            while (*--j > pivot) { }
            if (i >= j)
                break;
            uint32_t kept = *i; *i = *j; *j = kept;
        }
        quicksort(low, j + 1);
        low = j + 1;
    }
}

static uint64_t run_sort(long n)
{
    static uint32_t keys[KEYS];
    uint32_t seed = 1, sum = 0;
    for (long r = 0; r < n; r++) {
        for (int i = 0; i < KEYS; i++)
            keys[i] = seed = seed * 1664525u + 1013904223u;
        quicksort(keys, keys + KEYS);
        sum += keys[r % KEYS];
    }
    return sum;
}

static uint64_t run_list(long n)
{
    static struct node { struct node *next; uint64_t value; } nodes[NODES];
    for (unsigned i = 0; i < NODES; i++)
        nodes[i * 1597 % NODES] = (struct node){ &nodes[(i + 1) * 1597 % NODES], i };
    uint64_t sum = 0;
    struct node *node = nodes;
    for (long i = 0; i < n * NODES; i++, node = node->next)
        sum += node->value ^ i;
    return sum;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; uint64_t (*run)(long); } kernels[] = {
        { "calls", run_calls }, { "sieve", run_sieve }, { "rotate", run_rotate },
        { "switch", run_switch }, { "sort", run_sort }, { "list", run_list },
    };
    for (size_t i = 0; argc == 3 && i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(argv[1], kernels[i].name))
            return printf("%llx\n", (unsigned long long)kernels[i].run(atol(argv[2]))) < 0;
    return 2;
}
