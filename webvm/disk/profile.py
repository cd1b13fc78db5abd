"""Profiles: which packages an image holds.

A profile is a plain file, one statement a line, `#` starts a comment:

    include NAME      everything of another profile, here
    suite   NAME      the Debian suite the packages come from
    variant NAME      mmdebstrap's base set of packages
    package NAME      one more package

Knows the notation only; what a package is, webvm.disk.debian knows.
"""

from dataclasses import dataclass
from pathlib import Path

from .errors import DiskError


@dataclass(frozen=True)
class Profile:
    name: str
    suite: str
    variant: str
    packages: tuple[str, ...]       # in the order listed, each once


def names(folder: Path) -> list[str]:
    """The profiles there are."""
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def load(folder: Path, name: str) -> Profile:
    """The profile of that name, includes resolved. A later `suite` or `variant` overrides an earlier one."""
    single: dict[str, str] = {}
    packages: dict[str, None] = {}

    def read(name: str, within: tuple[str, ...]) -> None:
        file = folder / name
        if "/" in name or not file.is_file():
            raise DiskError(f"no profile {name!r}; there are {', '.join(names(folder))}")
        if name in within:
            raise DiskError(f"profile {name!r} includes itself")
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match line.partition("#")[0].split():
                case []:
                    pass
                case ["include", other]:
                    read(other, (*within, name))
                case ["suite" | "variant" as key, value]:
                    single[key] = value
                case ["package", package]:
                    packages[package] = None
                case _:
                    raise DiskError(f"{file}:{number}: not a statement of a profile: {line.strip()}")

    read(name, ())
    for key in "suite", "variant":
        if key not in single:
            raise DiskError(f"profile {name!r} names no {key}")
    return Profile(name, single["suite"], single["variant"], tuple(packages))
