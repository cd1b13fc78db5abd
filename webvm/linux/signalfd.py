"""linux/signalfd.h: struct signalfd_siginfo."""

import struct

# ssi_signo ssi_errno ssi_code ssi_pid ssi_uid ssi_fd ssi_tid ssi_band ssi_overrun ssi_trapno ssi_status ssi_int ssi_ptr
# ssi_utime ssi_stime ssi_addr
SIGNALFD_SIGINFO = struct.Struct("<IiiIIiIIIIiIQQQQ48x")
