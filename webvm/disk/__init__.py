"""Disk images: a Debian profile or any root file system tarball becomes an ext4 image a guest starts from.

Build time only, with the machine's own tools (mmdebstrap, e2fsprogs); root is not needed. Knows nothing of the guest
that will read the image.
"""

from .build import build_profile, build_tar, profile_names
from .errors import DiskError

__all__ = ["DiskError", "build_profile", "build_tar", "profile_names"]
