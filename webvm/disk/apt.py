"""Where this machine gets Debian's packages from, read from its own apt configuration.

Knows apt's two source formats (sources.list(5): one-line and deb822). An image's packages come from the same mirror,
checked with the same keys, through the same proxy; a machine that is not Debian uses Debian's public address.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")


@dataclass(frozen=True)
class Source:
    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None       # path of a keyring


def one_line(text: str) -> list[Source]:
    """Sources of a `.list` file: deb [option=value ...] uri suite component..."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)", line.partition("#")[0].strip())
        if match:
            options = dict(option.split("=", 1) for option in (match[1] or "").split() if "=" in option)
            sources.append(Source(match[2], match[3], tuple(match[4].split()), _keyring(options.get("signed-by"))))
    return sources


def deb822(text: str) -> list[Source]:
    """Sources of a `.sources` file: paragraphs of `Field: value`, continuation lines indented."""
    sources = []
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {name.lower(): value for name, value in re.findall(r"(?m)^([\w-]+):((?:.*\n?)(?:[ \t]+.*\n?)*)", paragraph)}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip().lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                sources.append(Source(uri, suite, components, _keyring(fields.get("signed-by"))))
    return sources


def _keyring(value: str | None) -> str | None:
    """The path in a Signed-By; a fingerprint or a key written out is of no use for another suite."""
    value = (value or "").strip()
    return value if value.startswith("/") and len(value.split()) == 1 else None


def configured(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Every source this machine's apt reads."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    parsers = {".list": one_line, ".sources": deb822}
    return [
        source
        for file in files
        if file.suffix in parsers and file.is_file()
        for source in parsers[file.suffix](file.read_text())
    ]


def for_suite(suite: str, sources: list[Source], release: dict[str, str], keyrings=KEYRINGS) -> list[Source]:
    """`sources` of a Debian machine, turned to another Debian suite.

    release: the fields of the machine's os-release. A machine that has -updates and -security gets those of `suite` too.
    Empty for a machine that is not Debian: mmdebstrap then goes to Debian's public mirror by itself.
    """
    keyring = next((path for path in keyrings if Path(path).is_file()), None)
    own = {release.get("VERSION_CODENAME"), "stable", "testing", "unstable", "sid"} if release.get("ID") == "debian" else set()
    found: dict[str, Source] = {}
    for source in sources:
        base, dash, pocket = source.suite.partition("-")
        if base in own and "main" in source.components and pocket in ("", "updates", "security"):
            wanted = suite + dash + pocket
            found.setdefault(wanted, Source(source.uri, wanted, ("main",), source.signed_by or keyring))
    return list(found.values()) if suite in found else []


def os_release(file: Path = Path("/etc/os-release")) -> dict[str, str]:
    if not file.is_file():
        return {}
    return {key: value.strip('"') for key, value in re.findall(r"(?m)^(\w+)=(.*)$", file.read_text())}


def network_options() -> list[str]:
    """How this machine's apt reaches its mirrors (proxies and the like), as lines of an apt.conf."""
    if not shutil.which("apt-config"):
        return []
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    wanted = re.compile(r'Acquire::(http|https|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date)\b.*"[^"]+";$')
    return [line for line in dump.splitlines() if wanted.match(line)]
