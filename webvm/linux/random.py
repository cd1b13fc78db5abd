"""linux/random.h: flags of getrandom."""

GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE = 1, 2, 4
