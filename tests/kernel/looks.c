/* Raises an exception late in a loop, having cleared none before, and looks at it: as a library's function does, or itself, or by
   a library of its own, which it is linked with or opens. */
#include <stdio.h>
#if defined LIBRARY
int look(void);
#define LOOK() look()
#elif defined OPENS
#include <dlfcn.h>
#define LOOK() look()
#elif defined IMPORTS
#include <fenv.h>
#define LOOK() fetestexcept(FE_ALL_EXCEPT)
#elif defined SAVES
#include <immintrin.h>
static char area[512] __attribute__((aligned(64)));
static int look(void) { _fxsave(area); return *(int *)(area + 24) & 0x3d; }
#define LOOK() look()
#else
#include <xmmintrin.h>
#define LOOK() (_mm_getcsr() & 0x3d)
#endif

#ifdef MAKES_LIBRARY
int look(void) { return LOOK(); }
#else
int main(int argc, char **argv) {
#ifdef OPENS
    int (*look)(void) = dlsym(dlopen(argv[1], RTLD_NOW), "look");
    argc--;
#endif
    double x = argc;
    for (int i = 0; i < 25000000; i++)
        x *= 1.00003;
    printf("%g %x\n", x, LOOK());
    return 0;
}
#endif
