"""A folder as the store of a code cache. Several processes may write there at a time."""
import os
import tempfile
from pathlib import Path


class FolderStore:
    """See webvm.jit.cache.Store."""

    at_once = True

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    async def read(self, names: list[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            try:
                found[name] = (self.folder / name).read_bytes()
            except FileNotFoundError:
                pass
        return found

    async def write(self, files: dict[str, bytes]) -> None:
        """At any moment each file is the old one or the new one, whole."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, data in files.items():
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix="tmp", delete=False) as file:
                try:
                    file.write(data)
                    file.flush()
                    os.replace(file.name, self.folder / name)
                except OSError:
                    os.unlink(file.name)
                    raise

    async def remove(self, names: list[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    async def used(self, names: list[str]) -> None:
        for name in names:
            try:
                os.utime(self.folder / name)
            except FileNotFoundError:
                pass                    # it has made room for others

    async def listing(self) -> list[tuple[float, int, str]]:
        found = []
        with os.scandir(self.folder) as files:
            for file in files:
                try:
                    if file.is_file(follow_symlinks=False):
                        status = file.stat(follow_symlinks=False)
                        found.append((status.st_mtime, status.st_size, file.name))
                except FileNotFoundError:
                    pass
        return found
