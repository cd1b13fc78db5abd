"""What can be wrong with an image."""

from webvm.linux.errno import EUCLEAN, Errno


class BadImage(Exception):
    """The device cannot be mounted. The text is one sentence for whoever supplied the image."""


class Corrupt(Errno):
    """The mounted image contradicts itself; the guest sees EUCLEAN, as with Linux's EFSCORRUPTED. The text says where."""

    def __init__(self, text: str):
        super().__init__(EUCLEAN)
        self.text = text

    def __str__(self) -> str:
        return self.text
