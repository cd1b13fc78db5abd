"""ioctls.h: the requests of terminals and files, struct winsize."""

import struct

# fmt: off
TCGETS, TCSETS, TCSETSW, TCSETSF          = 0x5401, 0x5402, 0x5403, 0x5404
TCGETA, TCSETA, TCSETAW, TCSETAF          = 0x5405, 0x5406, 0x5407, 0x5408
TCSBRK, TCXONC, TCFLSH                    = 0x5409, 0x540A, 0x540B
TIOCEXCL, TIOCNXCL, TIOCSCTTY             = 0x540C, 0x540D, 0x540E
TIOCGPGRP, TIOCSPGRP                      = 0x540F, 0x5410
TIOCOUTQ, TIOCSTI                         = 0x5411, 0x5412
TIOCGWINSZ, TIOCSWINSZ                    = 0x5413, 0x5414
TIOCMGET                                  = 0x5415
FIONREAD, TIOCINQ                         = 0x541B, 0x541B
TIOCLINUX, TIOCCONS                       = 0x541C, 0x541D
TIOCPKT                                   = 0x5420
FIONBIO                                   = 0x5421
TIOCNOTTY, TIOCSETD, TIOCGETD             = 0x5422, 0x5423, 0x5424
TCSBRKP, TIOCSBRK, TIOCCBRK               = 0x5425, 0x5427, 0x5428
TIOCGSID                                  = 0x5429
TCGETS2, TCSETS2, TCSETSW2, TCSETSF2      = 0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D
TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER         = 0x80045430, 0x40045431, 0x5441
TIOCGPTLCK, TIOCGEXCL                     = 0x80045439, 0x80045440
TIOCVHANGUP                               = 0x5437
FIONCLEX, FIOCLEX, FIOASYNC, FIOQSIZE     = 0x5450, 0x5451, 0x5452, 0x5460
KDGKBTYPE, KDGETMODE, KDGKBMODE           = 0x4B33, 0x4B3B, 0x4B44
RNDGETENTCNT                              = 0x80045200
BLKGETSIZE64                              = 0x80081272
FICLONE, FICLONERANGE                     = 0x40049409, 0x4020940D
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS          = 0x80086601, 0x40086602

TCIFLUSH, TCOFLUSH, TCIOFLUSH             = 0, 1, 2
TCOOFF, TCOON, TCIOFF, TCION              = 0, 1, 2, 3
# fmt: on

WINSIZE = struct.Struct("<HHHH")  # rows columns xpixel ypixel
