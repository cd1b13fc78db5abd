"""Bodies that attract each other: attribute access and float arithmetic.   nbody.py STEPS

No pow in the loop: it rounds otherwise on a processor with FMA, and after many steps the bodies would be elsewhere."""

import sys
from itertools import combinations
from math import sqrt


class Body:
    def __init__(self, at, speed, mass):
        self.x, self.y, self.z = at
        self.vx, self.vy, self.vz = speed
        self.mass = mass


def energy(bodies):
    moving = sum(b.mass * (b.vx ** 2 + b.vy ** 2 + b.vz ** 2) / 2 for b in bodies)
    near = sum(a.mass * b.mass / ((a.x - b.x) ** 2 + (a.y - b.y) ** 2 + (a.z - b.z) ** 2) ** 0.5 for a, b in combinations(bodies, 2))
    return moving - near


def advance(bodies, pairs, steps, dt):
    for _ in range(steps):
        for a, b in pairs:
            dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
            square = dx * dx + dy * dy + dz * dz + 0.1
            pull = dt / (square * sqrt(square))
            by_a, by_b = pull * a.mass, pull * b.mass
            a.vx -= dx * by_b
            a.vy -= dy * by_b
            a.vz -= dz * by_b
            b.vx += dx * by_a
            b.vy += dy * by_a
            b.vz += dz * by_a
        for body in bodies:
            body.x += dt * body.vx
            body.y += dt * body.vy
            body.z += dt * body.vz


bodies = [Body((i * 1.5, (i * 3 % 5) * 0.7, i * 0.1), (0.0, 0.3 * i, 0.01), 1.0 / (i * i + 0.2)) for i in range(5)]
print(f"{energy(bodies):.9f}")
advance(bodies, list(combinations(bodies, 2)), int(sys.argv[1]), 0.001)
print(f"{energy(bodies):.9f}")
