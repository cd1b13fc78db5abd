"""What x86-64 instructions are (opcodes, insn, decode) and what they mean. Knows nothing of WebAssembly or Linux."""
