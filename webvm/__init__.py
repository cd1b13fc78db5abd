"""Unmodified x86-64 Linux programs on WebAssembly."""
