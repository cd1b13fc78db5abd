"""The `webvm` command: reads arguments, calls what does the work, turns its errors into one line and an exit status."""

import argparse
import sys
from pathlib import Path

from webvm import disk, headless, site
from webvm.kernel.syscall import support_table


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return arguments.command(arguments)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="webvm", description="Unmodified x86-64 Linux programs, headless or in a web page.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a program, or a login shell, on this terminal")
    headless.add_arguments(run)
    run.set_defaults(command=headless.main)

    calls = commands.add_parser("syscalls", help="print the table of system calls that are answered")
    calls.set_defaults(command=run_syscalls)

    isa = commands.add_parser("isa", help="print the table of instructions, and what executes each")
    isa.set_defaults(command=run_isa)

    page = commands.add_parser("site", help="write the page as a folder that any static host serves")
    site.add_arguments(page)
    page.set_defaults(command=site.main)

    images = commands.add_parser("disk", help="make disk images").add_subparsers(required=True, metavar="COMMAND")
    build = images.add_parser("build", help="make an ext4 image of Debian packages or of a root file system")
    source = build.add_mutually_exclusive_group(required=True)
    source.add_argument("--profile", metavar="NAME", help="a set of Debian packages: tiny, standard, dev, ...")
    source.add_argument("--from", dest="tar", type=Path, metavar="ROOTFS.TAR", help="a tarball, as `docker export` writes")
    build.add_argument("--add", action="append", type=added, default=[], metavar="HOST:GUEST",
                       help="put a folder or file of this machine into the image too, owned by root")
    build.add_argument("--root", type=Path, metavar="FOLDER", help="unpack the same tree there, to chroot into")
    build.add_argument("out", type=Path, metavar="OUT", help="the image")
    build.set_defaults(command=run_disk_build)
    return top


def added(text: str) -> tuple[Path, str]:
    host, colon, guest = text.rpartition(":")
    if not (host and guest.startswith("/")):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:/GUEST")
    return Path(host), guest


def run_disk_build(arguments: argparse.Namespace) -> int:
    try:
        if arguments.profile:
            disk.build_profile(arguments.profile, arguments.out, arguments.add, arguments.root)
        else:
            disk.build_tar(arguments.tar, arguments.out, arguments.add, arguments.root)
    except disk.DiskError as error:
        return fail(error)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.0f} MB")
    return 0


def run_syscalls(arguments: argparse.Namespace) -> int:
    rows = support_table()
    for number, name, parameters, note in rows:
        print(f"{number:4} {f'{name}({parameters})':72}{'  ' + note if note else ''}".rstrip())
    print(f"{len(rows)} system calls; any other gives ENOSYS.")
    return 0


def run_isa(arguments: argparse.Namespace) -> int:
    from webvm.jit import support                           # the opcode tables take a while to read

    lines = support.support_table()
    print(f"{'opcode':22}{'mnemonic':24}{'operands':20}{'feature':13}{'--cpu':11}{'executed by':13}undefined flags")
    for line in lines:
        print(f"{line.opcode:22}{line.name:24}{line.operands:20}{line.feature:13}{line.cpu:11}{line.status:13}{line.undefined}".rstrip())
    print()
    counts = support.summary(lines)
    for status, text in support.STATUS.items():
        print(f"{counts[status]:5} {status:12} {text}")
    print(f"{sum(line.cpu == '-' for line in lines):5} {'no --cpu':12} decoded, but no processor here has the feature: SIGILL")
    print("\nFlags in brackets differ between processors; what webvm leaves in each is in webvm/x86/undefined.py.")
    return 0


def fail(error: Exception) -> int:
    print(f"webvm: {error}", file=sys.stderr)
    return 1
