/* Floating point loads, written so that a vectoriser can take the inner loops without reordering a sum: a scalar and a
   vectorised build print the same result. */
#include "timed.h"
#include <math.h>

static uint64_t bits(double x)
{
    uint64_t whole;
    memcpy(&whole, &x, sizeof whole);
    return whole;
}

/* ---- matrix product, rows times rows */

enum { SIDE = 128 };

static uint64_t run_matmul(long n)
{
    static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (i * 3 + j) % 17 / 16.0;
            b[i][j] = (i + j * 5) % 19 / 18.0;
        }
    for (long r = 0; r < n; r++) {
        memset(c, 0, sizeof c);
        for (int i = 0; i < SIDE; i++)
            for (int k = 0; k < SIDE; k++) {
                double x = a[i][k];
                for (int j = 0; j < SIDE; j++)
                    c[i][j] += x * b[k][j];
            }
        a[r % SIDE][r * 7 % SIDE] = c[r * 3 % SIDE][r % SIDE] / 64;
    }
    double sum = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            sum += c[i][j];
    return bits(sum);
}

/* ---- Mandelbrot set: eight points side by side, as one would for a vectoriser */

enum { SIZE = 128, LANES = 8, LIMIT = 50 };

static uint64_t run_mandelbrot(long n)
{
    uint64_t inside = 0;
    for (long r = 0; r < n; r++)
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x += LANES) {
                double cr[LANES], ci = 2.0 * y / SIZE - 1.0, zr[LANES] = { 0 }, zi[LANES] = { 0 }, far[LANES] = { 0 };
                for (int l = 0; l < LANES; l++)
                    cr[l] = 2.0 * (x + l) / SIZE - 1.5 + r * 1e-4;
                for (int i = 0; i < LIMIT; i++) {
                    double all = 1;
                    for (int l = 0; l < LANES; l++) {
                        double rr = zr[l] * zr[l], ii = zi[l] * zi[l];
                        zi[l] = 2 * zr[l] * zi[l] + ci;
                        zr[l] = rr - ii + cr[l];
                        far[l] = rr + ii > 4.0 ? 1.0 : far[l];
                    }
                    if (i % 8 == 7) {
                        for (int l = 0; l < LANES; l++)
                            all *= far[l];
                        if (all != 0)
                            break;
                    }
                }
                for (int l = 0; l < LANES; l++)
                    inside += far[l] == 0;
            }
    return inside;
}

/* ---- bodies that attract each other, coordinates in columns */

enum { BODIES = 8 };

static uint64_t run_nbody(long n)
{
    static double at[3][BODIES], speed[3][BODIES], mass[BODIES];
    for (int i = 0; i < BODIES; i++) {
        at[0][i] = 1.7 * i;
        at[1][i] = (i * 5 % BODIES) - 3.5;
        at[2][i] = (i * 3 % BODIES) * 0.25;
        speed[0][i] = speed[1][i] = 0;
        speed[2][i] = 0.01 * i;
        mass[i] = 0.05 + 0.3 / (i + 1);
    }
    for (long step = 0; step < n * 1000; step++) {
        for (int i = 0; i < BODIES; i++) {
            double x = at[0][i], y = at[1][i], z = at[2][i], pull = mass[i] * 0.001;
            for (int j = 0; j < BODIES; j++) {
                double dx = x - at[0][j], dy = y - at[1][j], dz = z - at[2][j];
                double d2 = dx * dx + dy * dy + dz * dz + 0.01;
                double by = pull / (d2 * sqrt(d2));
                speed[0][j] += dx * by;
                speed[1][j] += dy * by;
                speed[2][j] += dz * by;
            }
        }
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < BODIES; j++)
                at[k][j] += 0.001 * speed[k][j];
    }
    double energy = 0;
    for (int j = 0; j < BODIES; j++)
        energy += mass[j] * (speed[0][j] * speed[0][j] + speed[1][j] * speed[1][j] + speed[2][j] * speed[2][j]);
    return bits(energy);
}

/* ---- spectral norm of the matrix 1 / ((i + j)(i + j + 1) / 2 + i + 1) */

enum { ORDER = 256 };

static void times(const double *restrict v, double *restrict out, int transposed)
{
    memset(out, 0, ORDER * sizeof *out);
    for (int j = 0; j < ORDER; j++) {
        double x = v[j];
        for (int i = 0; i < ORDER; i++)
            out[i] += x / (double)((i + j) * (i + j + 1) / 2 + (transposed ? j : i) + 1);
    }
}

static uint64_t run_spectral(long n)
{
    static double u[ORDER], v[ORDER], between[ORDER];
    for (int i = 0; i < ORDER; i++)
        u[i] = 1;
    for (long r = 0; r < n; r++) {
        times(u, between, 0);
        times(between, v, 1);
        times(v, between, 0);
        times(between, u, 1);
        for (int i = ORDER - 1; i >= 0; i--)
            u[i] /= u[0];
    }
    double uv = 0, vv = 0;
    for (int i = 0; i < ORDER; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    return bits(sqrt(uv / vv));
}

int main(int argc, char **argv)
{
    static const struct load loads[] = {
        { "matmul", run_matmul }, { "mandelbrot", run_mandelbrot }, { "nbody", run_nbody }, { "spectral", run_spectral },
    };
    return run_one(loads, sizeof loads / sizeof *loads, argc, argv);
}
