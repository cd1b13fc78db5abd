"""Tarballs written member by member, the honest and the hostile alike."""

import io
import tarfile
from pathlib import Path

DATE = 1_700_000_000


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), DATE
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def folder(name: str, **fields):
    return member(name, tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str, **fields):
    return member(name, tarfile.SYMTYPE, linkname=target, **fields)


def hard_link(name: str, target: str):
    return member(name, tarfile.LNKTYPE, linkname=target)


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path
