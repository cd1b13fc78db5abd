/* Integer loads: calls, byte stores, multiplies and rotates in 64 and 32 bits, an interpreter's switch, unpredictable
   branches, dependent loads, a mix of small ones, a hash. */
#include "timed.h"

static uint32_t left32(uint32_t x, int by) { return x << by | x >> (32 - by); }
static uint32_t right32(uint32_t x, int by) { return x >> by | x << (32 - by); }
static uint64_t left64(uint64_t x, int by) { return x << by | x >> (64 - by); }

static uint64_t seed;
static uint32_t random32(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 32;
}

/* ---- calls */

static __attribute__((noinline)) uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t run_fib(long n)
{
    uint64_t sum = 0;
    for (long i = 0; i < n; i++)
        sum += fib(24 + i % 2);
    return sum;
}

/* ---- byte stores */

enum { SIEVE = 1 << 17 };

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

/* ---- a hash in the manner of xxHash: four lanes of 64-bit multiply and rotate, folded at the end */

enum { HASHED = 1 << 16 };

static uint64_t hash64(const unsigned char *at, size_t length, uint64_t start)
{
    const uint64_t p = 0x9E3779B185EBCA87u, q = 0xC2B2AE3D27D4EB4Fu;
    uint64_t lane[4] = { start + p + q, start + q, start, start - p };
    for (const unsigned char *end = at + length; at < end; at += 32) {
        uint64_t word[4];
        memcpy(word, at, 32);
        lane[0] = left64(lane[0] + word[0] * q, 31) * p;
        lane[1] = left64(lane[1] + word[1] * q, 31) * p;
        lane[2] = left64(lane[2] + word[2] * q, 31) * p;
        lane[3] = left64(lane[3] + word[3] * q, 31) * p;
    }
    uint64_t h = left64(lane[0], 1) + left64(lane[1], 7) + left64(lane[2], 12) + left64(lane[3], 18) + length;
    h = (h ^ h >> 33) * q;
    h = (h ^ h >> 29) * p;
    return h ^ h >> 32;
}

static uint64_t run_xxhash(long n)
{
    static unsigned char data[HASHED];
    seed = 3;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = random32() >> 24;
    uint64_t h = 0;
    for (long r = 0; r < n; r++)
        h = hash64(data, sizeof data, h);
    return h;
}

/* ---- the quarter rounds of ChaCha20, sixteen words in registers and on the stack */

#define QUARTER(a, b, c, d) \
    (a += b, d = left32(d ^ a, 16), c += d, b = left32(b ^ c, 12), a += b, d = left32(d ^ a, 8), c += d, b = left32(b ^ c, 7))

static uint64_t run_chacha(long n)
{
    uint32_t key[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 9, 10 };
    uint64_t sum = 0;
    for (long r = 0; r < n * 1000; r++, key[12]++) {
        uint32_t x[16];
        memcpy(x, key, sizeof x);
        for (int i = 0; i < 10; i++) {
            QUARTER(x[0], x[4], x[8], x[12]);
            QUARTER(x[1], x[5], x[9], x[13]);
            QUARTER(x[2], x[6], x[10], x[14]);
            QUARTER(x[3], x[7], x[11], x[15]);
            QUARTER(x[0], x[5], x[10], x[15]);
            QUARTER(x[1], x[6], x[11], x[12]);
            QUARTER(x[2], x[7], x[8], x[13]);
            QUARTER(x[3], x[4], x[9], x[14]);
        }
        for (int i = 0; i < 16; i++)
            sum = left64(sum ^ (x[i] + key[i]), 5);
    }
    return sum;
}

/* ---- a stack machine: a switch that compiles to a jump table */

enum { PUSH, ADD, XOR, SHR, MUL, DUP, SWAP, NEXT };

static uint64_t run_interp(long n)
{
    static const unsigned char code[] = { PUSH, 7, ADD, DUP, PUSH, 3, SHR, XOR, PUSH, 33, MUL, DUP, SWAP, PUSH, 11, XOR, ADD, NEXT };
    uint64_t stack[16] = { 1 }, *top = stack, left = (uint64_t)n * 1000, kept;
    const unsigned char *at = code;
    for (;;) {
        switch (*at++) {
        case PUSH: *++top = *at++; break;
        case ADD:  top[-1] += top[0]; top--; break;
        case XOR:  top[-1] ^= top[0]; top--; break;
        case SHR:  top[-1] >>= top[0] & 63; top--; break;
        case MUL:  top[-1] *= top[0]; top--; break;
        case DUP:  top[1] = top[0]; top++; break;
        case SWAP: kept = top[0]; top[0] = top[-1]; top[-1] = kept; break;
        case NEXT: if (--left == 0) return *top; at = code; break;
        }
    }
}

/* ---- unpredictable branches, recursion */

enum { KEYS = 1 << 15 };

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

static uint64_t run_quicksort(long n)
{
    static uint32_t keys[KEYS];
    uint64_t sum = 0;
    seed = 1;
    for (long r = 0; r < n; r++) {
        for (int i = 0; i < KEYS; i++)
            keys[i] = random32();
        quicksort(keys, keys + KEYS);
        for (int i = 0; i < KEYS; i += 1023)
            sum = sum * 31 + keys[i];
    }
    return sum;
}

/* ---- dependent loads */

enum { NODES = 1 << 14 };
struct node { struct node *next; uint64_t value; };

static uint64_t run_list(long n)
{
    static struct node nodes[NODES];
    for (unsigned i = 0; i < NODES; i++)
        nodes[i * 6133 % NODES] = (struct node){ &nodes[(i + 1) * 6133 % NODES], i };
    uint64_t sum = 0;
    struct node *node = nodes;
    for (long i = 0; i < n * NODES; i++, node = node->next)
        sum += node->value ^ i;
    return sum;
}

/* ---- a mix of small loads: list handling, an integer matrix, a state machine over text, all fed into a CRC */

enum { ITEMS = 64, SIDE = 24 };

static uint16_t crc16(uint16_t crc, uint16_t data)
{
    for (int i = 0; i < 16; i++, data >>= 1)
        crc = (crc ^ data) & 1 ? crc >> 1 ^ 0xA001 : crc >> 1;
    return crc;
}

struct item { struct item *next; int16_t key, index; };

static struct item *merged(struct item *a, struct item *b, int by_index)
{
    struct item head, *tail = &head;
    while (a && b) {
        struct item **less = (by_index ? a->index <= b->index : a->key <= b->key) ? &a : &b;
        tail = tail->next = *less;
        *less = tail->next;
    }
    tail->next = a ? a : b;
    return head.next;
}

static struct item *list_sorted(struct item *list, int by_index)
{
    if (!list || !list->next)
        return list;
    struct item *slow = list;
    for (struct item *fast = list->next; fast && fast->next; fast = fast->next->next)
        slow = slow->next;
    struct item *half = slow->next;
    slow->next = NULL;
    return merged(list_sorted(list, by_index), list_sorted(half, by_index), by_index);
}

static struct item *reversed(struct item *list)
{
    struct item *done = NULL;
    while (list) {
        struct item *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static uint16_t list_part(uint16_t crc)
{
    static struct item items[ITEMS];
    struct item *list = NULL;
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (struct item){ list, (int16_t)(random32() >> 17), (int16_t)i };
        list = &items[i];
    }
    for (int find = 0; find < 8; find++) {
        struct item *at = list;
        while (at && at->index != find * 7)
            at = at->next;
        crc = crc16(crc, at ? at->key : 0);
        list = reversed(list);
    }
    list = list_sorted(list, 0);
    for (struct item *at = list; at; at = at->next)
        crc = crc16(crc, at->key);
    list = list_sorted(list, 1);
    return crc16(crc, list->key);
}

static uint16_t matrix_part(uint16_t crc, int16_t by)
{
    static int16_t a[SIDE][SIDE], b[SIDE][SIDE];
    static int32_t c[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (int16_t)(i * 7 + j * by);
            b[i][j] = (int16_t)(a[i][j] ^ (i << 4));
        }
    int32_t sum = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int32_t cell = 0;
            for (int k = 0; k < SIDE; k++)
                cell += a[i][k] * b[k][j];
            c[i][j] = cell;
            sum = cell > sum ? sum + 10 : sum + (cell >> 5 & 127);
        }
    return crc16(crc16(crc, sum), c[by % SIDE][SIDE / 2]);
}

enum state { START, SIGN, WHOLE, POINT, FRACTION, EXPONENT, POWER, BAD, STATES };

static enum state number_state(const char **text, unsigned *visits)
{
    enum state state = START;
    for (; **text && **text != ','; ++*text) {
        char c = **text;
        int digit = c >= '0' && c <= '9';
        visits[state]++;
        switch (state) {
        case START:    state = digit ? WHOLE : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : BAD; break;
        case SIGN:     state = digit ? WHOLE : c == '.' ? POINT : BAD; break;
        case WHOLE:    state = digit ? WHOLE : c == '.' ? FRACTION : c == 'e' ? EXPONENT : BAD; break;
        case POINT:    state = digit ? FRACTION : BAD; break;
        case FRACTION: state = digit ? FRACTION : c == 'e' ? EXPONENT : BAD; break;
        case EXPONENT: state = digit ? POWER : c == '-' || c == '+' ? EXPONENT : BAD; break;
        case POWER:    state = digit ? POWER : BAD; break;
        default:       break;
        }
    }
    if (**text == ',')
        ++*text;
    return state;
}

static uint16_t state_part(uint16_t crc, unsigned change)
{
    char text[] = "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^";
    unsigned visits[STATES] = { 0 }, ends[STATES] = { 0 };
    text[change % (sizeof text - 1)] ^= change >> 8 & 7;
    for (const char *at = text; *at; )
        ends[number_state(&at, visits)]++;
    for (int i = 0; i < STATES; i++)
        crc = crc16(crc16(crc, visits[i]), ends[i]);
    return crc;
}

static uint64_t run_coremark(long n)
{
    uint16_t crc = 0;
    seed = 5;
    for (long i = 0; i < n; i++)
        crc = state_part(matrix_part(list_part(crc), (int16_t)(i % 100 + 1)), random32());
    return crc;
}

/* ---- SHA-256 (FIPS 180-4) */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(uint32_t state[8], const uint32_t block[16])
{
    uint32_t w[64], s[8];
    memcpy(w, block, 64);
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (right32(w[i - 15], 7) ^ right32(w[i - 15], 18) ^ w[i - 15] >> 3)
             + w[i - 7] + (right32(w[i - 2], 17) ^ right32(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t one = s[7] + (right32(s[4], 6) ^ right32(s[4], 11) ^ right32(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
        uint32_t two = (right32(s[0], 2) ^ right32(s[0], 13) ^ right32(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static uint64_t run_sha256(long n)
{
    uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    uint32_t block[16] = { 0 };
    for (long i = 0; i < n * 1000; i++) {
        block[i % 16] += state[i % 8];
        sha256_block(state, block);
    }
    return (uint64_t)state[0] << 32 | state[7];
}

int main(int argc, char **argv)
{
    static const struct load loads[] = {
        { "fib", run_fib }, { "sieve", run_sieve }, { "xxhash", run_xxhash }, { "chacha", run_chacha },
        { "interp", run_interp }, { "quicksort", run_quicksort }, { "list", run_list },
        { "coremark", run_coremark }, { "sha256", run_sha256 },
    };
    return run_one(loads, sizeof loads / sizeof *loads, argc, argv);
}
