"""linux/elf.h, linux/elf-em.h: layouts of the headers and symbols of 64-bit ELF."""

import struct

ELFMAG = b"\x7fELF"
EI_CLASS, EI_DATA = 4, 5
ELFCLASS64, ELFDATA2LSB = 2, 1
ET_EXEC, ET_DYN = 2, 3
EM_X86_64 = 62

PT_NULL, PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_SHLIB, PT_PHDR, PT_TLS = 0, 1, 2, 3, 4, 5, 6, 7
PT_GNU_EH_FRAME, PT_GNU_STACK = 0x6474E550, 0x6474E551
DT_STRTAB, DT_SYMTAB, DT_STRSZ = 5, 6, 10
SHT_SYMTAB, SHT_DYNSYM = 2, 11
STT_FUNC, STT_GNU_IFUNC = 2, 10
PF_X, PF_W, PF_R = 1, 2, 4

# e_ident e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum e_shentsize e_shnum e_shstrndx
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
# p_type p_flags p_offset p_vaddr p_paddr p_filesz p_memsz p_align
PHDR = struct.Struct("<IIQQQQQQ")
# d_tag d_val
DYN = struct.Struct("<QQ")
# sh_name sh_type sh_flags sh_addr sh_offset sh_size sh_link sh_info sh_addralign sh_entsize
SHDR = struct.Struct("<IIQQQQIIQQ")
# st_name st_info st_other st_shndx st_value st_size
SYM = struct.Struct("<IBBHQQ")
