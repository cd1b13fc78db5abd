"""What can go wrong between an image and the bytes of it that somebody asked for.

Every message is one sentence a person can act on. Whoever mounts the device turns any BlockError into EIO.
"""


class BlockError(Exception):
    """The bytes cannot be had. `transient`: asking again may help, so the fetcher does before it gives up."""

    transient = False


class OutOfRange(BlockError):
    """A read beyond the end of the image."""


class NotFound(BlockError):
    """No such file, or the server has none of that name."""


class Refused(BlockError):
    """The server (or the operating system) will not give it: any status that is neither success nor trouble."""


class Unreachable(BlockError):
    """No answer, or an answer saying that the server is in trouble."""

    transient = True


class NoRanges(BlockError):
    """The server answers a request for a range with the whole file, and the file is too big for that."""


class WrongRange(BlockError):
    """The answer is for other bytes than those asked for, or does not say which."""


class Truncated(BlockError):
    """Fewer bytes than announced."""

    transient = True


class TooLong(BlockError):
    """More bytes than asked for."""


class Damaged(BlockError):
    """The bytes do not have the checksum they should have."""

    transient = True


class Changed(BlockError):
    """The image is no longer the one that was opened: its blocks must not be mixed with those already read."""


class BadManifest(BlockError):
    """The description of a chunked image makes no sense."""
