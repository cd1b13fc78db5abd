"""linux/utsname.h: struct new_utsname, six strings of 65 bytes."""

import struct

NEW_UTSNAME = struct.Struct("<65s65s65s65s65s65s")      # sysname nodename release version machine domainname
HOST_NAME_MAX = 64
