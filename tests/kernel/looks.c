/* Raises an exception late in a loop, having cleared none before, and looks at it: as a library's function does, or itself. */
#include <stdio.h>
#ifdef IMPORTS
#include <fenv.h>
#define LOOK() fetestexcept(FE_ALL_EXCEPT)
#else
#include <xmmintrin.h>
#define LOOK() (_mm_getcsr() & 0x3d)
#endif

int main(int argc, char **argv) {
    double x = argc;
    for (int i = 0; i < 25000000; i++)
        x *= 1.00003;
    printf("%g %x\n", x, LOOK());
    return 0;
}
