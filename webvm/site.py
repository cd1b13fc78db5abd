"""`webvm site`: the folder that any static host serves, from a checkout of the project.

Knows which files the page consists of and how each is made; the page finds them by `site.json`, which is written last.
Names carry a hash of what made them where a browser may hold an older file under the same name.

    index.html page.js webvm.js worker.js ... style.css     the page, copied from web/
    vendor/                xterm.js and its addons, from npm
    pyodide-VERSION/       Pyodide's core, from npm
    wheels-HASH/           micropip, the project's wheel, and a lock file that lists these two
    interpreter-CPU-HASH.wasm  the interpreter tier for each processor, of which a page loads one, beside Python and not after it
    snapshot-HASH.bin.gz   memory of a Python that has imported the wheel (see web/snapshot.mjs)
    disk/                  the image as chunk files, those wanted together in packs
    code/                  what common programs of the image are translated to, so that a first visit has it

Nothing in the folder is made at serving time, and the page asks no other host.
"""

import argparse
import asyncio
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path

from webvm.block.chunks import CHUNK_SIZE, MANIFEST, write_chunks
from webvm.practice import practise
from webvm.rehearsal import wanted_together
from webvm.x86.processor import CPUS, DEFAULT

PAGES = ("index.html", "page.js", "webvm.js", "worker.js", "engine.js", "ahead.js", "features.js", "style.css")

#         in the site         in web/node_modules
VENDOR = (
    ("xterm.mjs",             "@xterm/xterm/lib/xterm.mjs"),
    ("xterm.css",             "@xterm/xterm/css/xterm.css"),
    ("addon-clipboard.mjs",   "@xterm/addon-clipboard/lib/addon-clipboard.mjs"),
    ("addon-fit.mjs",         "@xterm/addon-fit/lib/addon-fit.mjs"),
    ("addon-unicode11.mjs",   "@xterm/addon-unicode11/lib/addon-unicode11.mjs"),
    ("addon-web-links.mjs",   "@xterm/addon-web-links/lib/addon-web-links.mjs"),
)  # fmt: skip

PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")

# The version that Pyodide's lock names, as PyPI has it: the two files differ, so the lock's own checksum does not fit.
MICROPIP = ("0.11.1", "768de165adb8e66906039d8fec4127a57f522dfdf8e6fbff877a4616941ecfd3")
PYTHON = "3.14"

STAMP = ".made-from.json"           # in the disk's folder: what it was made from, and the packs that a start needs
INTERPRETERS = "webvm/_generated"
GENERATOR = "webvm/jit/build.py"
CODE_SOURCES = ("webvm/x86", "webvm/wasm", "webvm/jit")
PRACTICE = "webvm/practice.py"

Say = Callable[[str], None]


class SiteError(Exception):
    """The site cannot be built; the message is one sentence."""


def build(out: Path, source: Path, disk: Path | str | None = None, snapshot: bool = True, packs: bool = True,
          code: bool = True, say: Say = lambda line: None) -> None:
    """Make `out` the site of the project at `source`; what is already there and still right is kept.

    `disk`: an image to publish beside the page, or the address of one published elsewhere. `packs`: whether its chunks that
    are wanted together go into one file. `code`: whether translated code of its programs is to come with it. Raises SiteError.
    """
    modules = source / "web" / "node_modules"
    if not modules.is_dir():
        raise SiteError(f"{modules} is missing: run `npm ci` in {source / 'web'}")
    out.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        _copy(source / "web" / name, out / name)
    for name, origin in VENDOR:
        _copy(modules / origin, out / "vendor" / name)
    version = json.loads((modules / "pyodide/package.json").read_text())["version"]
    pyodide = f"pyodide-{version}"
    for name in PYODIDE:
        _copy(modules / "pyodide" / name, out / pyodide / name)
    _generate(source)
    wheels = _wheels(out, source, modules, say)
    interpreters = _interpreters(out, source)
    memory = _snapshot(out, source, pyodide, wheels, say) if snapshot else None
    address, start = _disk(out, disk, packs, say)
    shipped = _code(out, source, Path(disk), say) if code and address == "disk/" else None
    fields = {
        "pyodide": pyodide + "/",
        "lock": f"{wheels}/pyodide-lock.json",
        "snapshot": memory,
        "interpreters": interpreters,
        "cpu": DEFAULT,
        "disk": address,
        "boot": start,
        "code": shipped,
    }
    keep = {Path(pyodide), Path(wheels), *(Path(name) for name in (memory, *interpreters.values()) if name)}
    _remove(path for pattern in ("pyodide-*", "wheels-*", "interpreter-*", "snapshot-*")
            for path in out.glob(pattern) if path.relative_to(out) not in keep)
    loads = [*sorted(keep - {Path(wheels)} if memory else keep), *(start["packs"] if start else ())]
    sizes = {path.relative_to(out).as_posix(): path.stat().st_size for name in loads for path in _files(out / name)}
    _write(out / "site.json", json.dumps(fields | {"sizes": sizes}, indent=1).encode())
    say(f"{out}: {sum(path.stat().st_size for path in _files(out)) / 1e6:.1f} MB")


def _generate(source: Path) -> None:
    """Have the interpreter made from the sources as they are now."""
    if (source / GENERATOR).exists():
        made = subprocess.run([sys.executable, "-m", GENERATOR.removesuffix(".py").replace("/", ".")], cwd=source, capture_output=True, text=True)
        if made.returncode:
            raise SiteError(f"the interpreter could not be generated:\n{made.stderr.strip()}")


def _wheels(out: Path, source: Path, modules: Path, say: Say) -> str:
    """Name of the folder with micropip, the project's wheel and their lock, named after what they are made of."""
    inputs = sorted(path for path in _files(source / "webvm") if "__pycache__" not in path.parts)
    name = f"wheels-{_digest([*inputs, source / 'pyproject.toml', modules / 'pyodide/pyodide-lock.json'], source, MICROPIP[1])}"
    folder = out / name
    if (folder / "pyodide-lock.json").exists():
        return name
    say("building the project's wheel")
    shutil.rmtree(folder, ignore_errors=True)
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    _pip("wheel", "--no-deps", *isolation, "--wheel-dir", folder, source)
    _micropip(folder, say)
    packages = {}
    for wheel in sorted(folder.glob("*.whl")):
        package, release = wheel.name.split("-")[:2]
        packages[package] = {
            "name": package, "version": release, "file_name": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "install_dir": "site", "package_type": "package", "imports": [package], "depends": [], "unvendored_tests": False,
        }
    lock = json.loads((modules / "pyodide/pyodide-lock.json").read_text())
    _write(folder / "pyodide-lock.json", json.dumps({"info": lock["info"], "packages": packages}, indent=1).encode())
    return name


def _micropip(folder: Path, say: Say) -> None:
    """Put micropip's wheel into `folder`: from an earlier build of the site beside it, or from PyPI."""
    version, checksum = MICROPIP
    name = f"micropip-{version}-py3-none-any.whl"
    for wheel in folder.parent.glob(f"wheels-*/{name}"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == checksum:
            shutil.copy(wheel, folder)
            return
    say("fetching micropip")
    _pip("download", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--dest", folder, f"micropip=={version}")
    if hashlib.sha256((folder / name).read_bytes()).hexdigest() != checksum:
        raise SiteError(f"micropip {version} as PyPI gives it does not have the checksum expected")


def _interpreters(out: Path, source: Path) -> dict[str, str]:
    """Names of the interpreters' Wasm modules in the site, by processor; of those that the package has."""
    names = {}
    for cpu in CPUS:
        path = source / INTERPRETERS / f"interpreter-{cpu}.wasm"
        if path.exists():
            names[cpu] = f"interpreter-{cpu}-{_digest([path], source)}.wasm"
            _copy(path, out / names[cpu])
    return names


def _snapshot(out: Path, source: Path, pyodide: str, wheels: str, say: Say) -> str:
    """Name of the snapshot in the site; made by Pyodide under Node, with the same files that the page loads."""
    script = source / "web/snapshot.mjs"
    name = f"snapshot-{_digest([script], source, pyodide, wheels)}.bin.gz"
    if not (out / name).exists():
        if not shutil.which("node"):
            raise SiteError("node is not installed; it makes the memory snapshot (--no-snapshot does without)")
        say("making the memory snapshot")
        temporary = out / f".{name}"
        wheel, = (out / wheels).glob("webvm-*.whl")
        made = subprocess.run(["node", script, (out / pyodide).resolve(), wheel, temporary], capture_output=True, text=True)
        if made.returncode:
            raise SiteError(f"the memory snapshot could not be made:\n{made.stderr.strip()}")
        os.replace(temporary, out / name)
    return name


def _disk(out: Path, disk: Path | str | None, packs: bool, say: Say) -> tuple[str | None, dict | None]:
    """Where the page finds the disk, relative to itself; and what a start needs of it, for the page to begin fetching early.

    That is the disk's `identity`, and `packs`: the last chunk in each, by path.
    """
    if disk is None:
        return None, None
    if urllib.parse.urlsplit(str(disk)).scheme in ("http", "https"):
        return str(disk), None
    folder, image = out / "disk", Path(disk)
    if not image.is_file():
        raise SiteError(f"{image}: no such image")
    status = image.stat()
    made_from = [str(image.resolve()), status.st_size, status.st_mtime_ns, packs]
    stamp = folder / STAMP
    if (folder / MANIFEST).exists() and stamp.exists() and (known := json.loads(stamp.read_text())).get("from") == made_from:
        return "disk/", known["boot"]
    groups = []
    if packs:
        say(f"starting programs of {image} once, to see which parts of it go together")
        groups = asyncio.run(wanted_together(image, CHUNK_SIZE, say))
    say(f"cutting {image} into chunk files")
    stamp.unlink(missing_ok=True)
    manifest = write_chunks(image, folder, together=groups)
    start = {f"disk/{pack.path}": pack.chunks[-1] for pack in manifest.packs if pack.chunks[0] in groups[0]}
    boot = {"identity": manifest.identity, "packs": start}
    stamp.write_text(json.dumps({"from": made_from, "boot": boot}))
    return "disk/", boot


def _code(out: Path, source: Path, image: Path, say: Say) -> str | None:
    """Where the page finds translated code, relative to itself; None where there is none. Made anew when the image or what
    translates changes; what is made now may differ from what was made from the same, so names are of the content."""
    status = image.stat()
    sources = sorted(path for folder in CODE_SOURCES for path in (source / folder).rglob("*.py"))
    made_from = [str(image.resolve()), status.st_size, status.st_mtime_ns, _digest([*sources, source / PRACTICE], source)]
    stamp = out / "code" / STAMP
    if stamp.exists() and (known := json.loads(stamp.read_text())).get("from") == made_from:
        return known["code"]
    say(f"running programs of {image}, to have translated what they do (--no-code does without)")
    files = asyncio.run(practise(image, say))
    shutil.rmtree(out / "code", ignore_errors=True)
    name = None
    if files:
        name = f"code/{hashlib.blake2b(b''.join(files[key] for key in sorted(files)), digest_size=8).hexdigest()}/"
        for file, data in files.items():
            _write(out / name / file, data)
        say(f"translated code of {sum(map(len, files.values())) / 1e6:.1f} MB comes with the site")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(json.dumps({"from": made_from, "code": name}))
    return name


def _pip(command: str, *arguments: str | Path) -> None:
    ran = subprocess.run([sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *arguments],
                         capture_output=True, text=True)
    if ran.returncode:
        raise SiteError(f"pip {command} failed:\n{ran.stderr.strip()}")


def _files(path: Path) -> Iterable[Path]:
    return [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file())


def _digest(paths: Iterable[Path], base: Path, *more: str) -> str:
    state = hashlib.blake2b("\n".join(more).encode(), digest_size=8)
    for path in paths:
        content = hashlib.blake2b(path.read_bytes()).hexdigest()
        name = path.relative_to(base) if path.is_relative_to(base) else path.name
        state.update(f"\n{name} {content}".encode())
    return state.hexdigest()


def _copy(origin: Path, target: Path) -> None:
    if not origin.exists():
        raise SiteError(f"{origin} is missing")
    _write(target, origin.read_bytes())


def _write(target: Path, data: bytes) -> None:
    """Leave a file that is already right alone: its date tells browsers whether they have it."""
    if target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument("--disk", metavar="IMAGE|URL", help="an ext4 image to publish with the page, or the address of one")
    parser.add_argument("--no-snapshot", dest="snapshot", action="store_false",
                        help="let the page start Python afresh and install the wheel each time (smaller, slower)")
    parser.add_argument("--no-packs", dest="packs", action="store_false",
                        help="give every part of the disk a file of its own (a hundred requests where packs need one)")
    parser.add_argument("--no-code", dest="code", action="store_false",
                        help="bring no translated code of the image's programs, which takes two minutes to make")


def main(options: argparse.Namespace) -> int:
    source = Path(__file__).resolve().parent.parent
    if not (source / "web").is_dir():
        print("webvm site: needs a checkout of the project (the page is in web/)", file=sys.stderr)
        return 1
    try:
        build(options.out, source, options.disk, options.snapshot, options.packs, options.code, say=lambda line: print(line, file=sys.stderr))
    except SiteError as error:
        print(f"webvm site: {error}", file=sys.stderr)
        return 1
    return 0
