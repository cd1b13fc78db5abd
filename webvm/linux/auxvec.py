"""linux/auxvec.h: types of the auxiliary vector."""

# fmt: off
AT_NULL, AT_IGNORE, AT_EXECFD, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS, AT_ENTRY = range(10)
AT_NOTELF, AT_UID, AT_EUID, AT_GID, AT_EGID, AT_PLATFORM, AT_HWCAP, AT_CLKTCK                      = range(10, 18)
AT_SECURE, AT_BASE_PLATFORM, AT_RANDOM, AT_HWCAP2, AT_RSEQ_FEATURE_SIZE, AT_RSEQ_ALIGN             = range(23, 29)
AT_EXECFN, AT_SYSINFO, AT_SYSINFO_EHDR                                                             = range(31, 34)
AT_MINSIGSTKSZ = 51

HWCAP2_FSGSBASE = 2
# fmt: on
