"""What goes wrong when a disk image is made, in one sentence for the person who asked for it."""


class DiskError(Exception):
    """The image cannot be made; the message says why and, where known, what to do."""
