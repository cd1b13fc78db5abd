/* Long doubles as programs use them: the C library's printf, strtold and functions. Prints; the output is the test. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    long double x = 1.0L / 3;
    printf("%.25Lg %La\n", x, x);
    for (int i = 0; i < 6; i++) {
        x = x * x * 7 - 1.1L / (i + 1);
        printf("%.20Lf %Le %lld\n", x, x, (long long)(x * 1e10L));
    }
    printf("%.20Lg %.20Lg %.20Lg\n", sinl(0.5L), expl(1.5L), logl(7.25L));
    printf("%.20Lg %.20Lg %.20Lg\n", powl(1.1L, 30), sqrtl(2), atan2l(1, 3));
    printf("%.20Lg %.20Lg %.20Lg\n", log2l(10), tanl(1), cosl(100));
    printf("%.20Lg %.20Lg %.20Lg\n", fmodl(1e19L, 7.3L), remainderl(5.5L, 2), cbrtl(3));
    printf("%Lg %Lg %d %d\n", strtold("1e4000", 0), strtold("-3.3e-4940", 0), isnan(x), (int)lrintl(2.5L));
    printf("%Lf %.3Lf %Lg %Lg\n", floorl(-2.5L), ceill(2.1L), 1e4932L * 10, sqrtl(-1));
    return 0;
}
