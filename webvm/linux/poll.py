"""poll.h, select.h, eventpoll.h: readiness masks and the structures that carry them."""

import struct

# fmt: off
POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL   = 0x001, 0x002, 0x004, 0x008, 0x010, 0x020
POLLRDNORM, POLLRDBAND, POLLWRNORM, POLLWRBAND         = 0x040, 0x080, 0x100, 0x200
POLLMSG, POLLREMOVE, POLLRDHUP                         = 0x400, 0x1000, 0x2000

READABLE = POLLIN | POLLRDNORM
WRITABLE = POLLOUT | POLLWRNORM

EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3
EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT, EPOLLET = 1 << 28, 1 << 29, 1 << 30, 1 << 31
EPOLL_CLOEXEC = 0o2000000
FD_SETSIZE = 1024
# fmt: on

POLLFD = struct.Struct("<ihh")  # fd events revents
EPOLL_EVENT = struct.Struct("<IQ")  # events data; packed on x86-64
