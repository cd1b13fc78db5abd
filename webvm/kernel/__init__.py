"""Linux as far as programs can tell: tasks, address spaces, exec, signals, time, futexes. Knows nothing of how a CPU works."""
