"""termbits.h: struct termios as the kernel has it, 36 bytes (glibc's has 60 and never reaches the kernel)."""

import struct

# fmt: off
VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSWTC, VSTART, VSTOP = range(10)
VSUSP, VEOL, VREPRINT, VDISCARD, VWERASE, VLNEXT, VEOL2 = range(10, 17)
NCCS = 19

# c_iflag
IGNBRK, BRKINT, IGNPAR, PARMRK, INPCK, ISTRIP = 0o1, 0o2, 0o4, 0o10, 0o20, 0o40
INLCR, IGNCR, ICRNL, IUCLC, IXON, IXANY       = 0o100, 0o200, 0o400, 0o1000, 0o2000, 0o4000
IXOFF, IMAXBEL, IUTF8                         = 0o10000, 0o20000, 0o40000

# c_oflag
OPOST, OLCUC, ONLCR, OCRNL, ONOCR, ONLRET     = 0o1, 0o2, 0o4, 0o10, 0o20, 0o40
OFILL, OFDEL, NLDLY                           = 0o100, 0o200, 0o400
TABDLY, TAB3                                  = 0o14000, 0o14000  # XTABS: expand tabs to spaces

# c_cflag
CBAUD, B38400, B115200                        = 0o10017, 0o17, 0o10002
CSIZE, CS5, CS6, CS7, CS8                     = 0o60, 0, 0o20, 0o40, 0o60
CSTOPB, CREAD, PARENB, PARODD, HUPCL, CLOCAL  = 0o100, 0o200, 0o400, 0o1000, 0o2000, 0o4000

# c_lflag
ISIG, ICANON, XCASE, ECHO, ECHOE, ECHOK       = 0o1, 0o2, 0o4, 0o10, 0o20, 0o40
ECHONL, NOFLSH, TOSTOP, ECHOCTL, ECHOPRT      = 0o100, 0o200, 0o400, 0o1000, 0o2000
ECHOKE, FLUSHO, PENDIN, IEXTEN, EXTPROC       = 0o4000, 0o10000, 0o40000, 0o100000, 0o200000
# fmt: on

DISABLED = 0  # _POSIX_VDISABLE: a control character of this value is none

TERMIOS = struct.Struct("<IIIIB19s")  # c_iflag c_oflag c_cflag c_lflag c_line c_cc
TERMIOS2 = struct.Struct("<IIIIB19sII")  # the same, then c_ispeed c_ospeed
TERMIO = struct.Struct("<HHHHB8sx")  # System V's; shares the first eight control characters

# INIT_C_CC: ^C ^\ DEL ^U ^D 0 1 0 ^Q ^S ^Z 0 ^R ^O ^W ^V 0
INIT_C_CC = bytes([3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0])
