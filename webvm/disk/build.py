"""From a profile or a tarball to an image: the passes, in order."""

import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from . import debian, profile
from .errors import DiskError
from .image import write_image
from .tree import Node, Tree, components

MOUNT_POINTS = (b"dev", b"proc", b"sys", b"tmp")     # a guest mounts file systems of its own there
PACKAGE = Path(__file__).parent.parent
# In a checkout the profiles are beside the package; an installed package carries them.
DISK = next((path for path in (PACKAGE.parent / "disk", PACKAGE / "_disk") if path.is_dir()), PACKAGE / "_disk")


def profile_names() -> list[str]:
    return profile.names(DISK / "profiles")


def build_profile(name: str, out: Path, add: Iterable[tuple[Path, str]] = (), root: Path | None = None) -> None:
    """Builds a profile's image. add: host folders and where they go. root: a folder that gets the same tree, to chroot into."""
    wanted = profile.load(DISK / "profiles", name)
    with tempfile.TemporaryDirectory(prefix="webvm-disk-", dir=_near(out)) as work:
        tree = Tree(Path(work) / "spool")
        tar = Path(work) / "bootstrap.tar"
        debian.bootstrap(wanted, tar)
        tree.add_tar(tar)
        tar.unlink()
        debian.furnish(tree, wanted, DISK / "files")
        _finish(tree, out, add, root, Path(work))


def build_tar(file: Path, out: Path, add: Iterable[tuple[Path, str]] = (), root: Path | None = None) -> None:
    """Builds the image of a root file system tarball, as it is."""
    if not file.is_file():
        raise DiskError(f"{file}: no such file")
    with tempfile.TemporaryDirectory(prefix="webvm-disk-", dir=_near(out)) as work:
        tree = Tree(Path(work) / "spool")
        tree.add_tar(file)
        if b"manifest.json" in tree.nodes and b"bin" not in tree.nodes:
            raise DiskError(f"{file}: layers of an image, as `docker save` writes; `docker export` gives its files")
        if len(tree.nodes) == 1:
            raise DiskError(f"{file}: an empty tarball")
        _finish(tree, out, add, root, Path(work))


def _near(out: Path) -> Path:
    """Where to work: beside the image, which is where there is room."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _finish(tree: Tree, out: Path, add: Iterable[tuple[Path, str]], root: Path | None, work: Path) -> None:
    for folder, where in add:
        if not folder.exists():
            raise DiskError(f"{folder}: no such folder")
        tree.add_folder(folder, b"/".join(components(where.encode("utf-8", "surrogateescape"))))
    date = max(node.mtime for node in tree.nodes.values())
    for path in MOUNT_POINTS:
        if path not in tree.nodes:
            tree.put(path, Node(stat.S_IFDIR | (0o1777 if path == b"tmp" else 0o755), mtime=date))
    write_image(tree, out, work)
    if root is not None:
        if root.exists():
            shutil.rmtree(root)
        tree.unpack(root, metadata=True)
