"""A folder as the store of a code cache. Several processes may write there at a time."""
import os
import tempfile
from pathlib import Path


class FolderStore:
    """See webvm.jit.cache.Store."""

    at_once = True

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    async def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    async def write(self, name: str, data: bytes) -> None:
        """At any moment the file is the old one or the new one, whole."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
