"""What a WebAssembly module is: encodings, instructions, modules. Knows nothing of x86."""
