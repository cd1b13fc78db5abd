"""What scripts/setup says on machines that lack something: a machine is a folder of commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent.parent / "scripts/setup"
COMMON = "bash cat cut dirname echo env find flock grep mkdir sed sha256sum sort xargs".split()
DEBIAN = ("mke2fs", "debugfs", "mmdebstrap", "newuidmap", "gcc", "g++", "chromium", "apt-get")


@pytest.fixture
def machine(tmp_path):
    """A user's machine with all that set-up needs; tests take commands away."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in COMMON:
        (commands / name).symlink_to(shutil.which(name))
    for name in ("npm", *DEBIAN):
        fake(commands / name, "exit 0")
    fake(commands / "python3", f'exec {sys.executable} "$@"')
    fake(commands / "id", "echo 1000")
    (tmp_path / "checkout/scripts").mkdir(parents=True)
    # The folders that the script adds to PATH would bring the real machine's commands back.
    text = SETUP.read_text()
    assert "PATH=$PATH:" in text
    (tmp_path / "checkout/scripts/setup").write_text(text.replace("PATH=$PATH:", "OTHER_FOLDERS="))
    return commands


def fake(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def set_up(commands: Path, *arguments: str) -> subprocess.CompletedProcess:
    script = commands.parent / "checkout/scripts/setup"
    return subprocess.run(["bash", script, *arguments], capture_output=True, text=True, env={"PATH": str(commands)})


def wanted(done: subprocess.CompletedProcess) -> list[str]:
    """The packages that the printed command installs."""
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if "sudo apt-get install -y" in line)
    return [word for word in line.split()[4:] if word not in ("debian-archive-keyring", "libc6-dev")]


@pytest.mark.parametrize(("command", "package"), [
    ("mke2fs",     "e2fsprogs"),
    ("debugfs",    "e2fsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("newuidmap",  "uidmap"),
    ("gcc",        "gcc"),
    ("g++",        "g++"),
])  # fmt: skip
def test_a_user_is_told_the_one_command_that_installs_what_is_missing(machine, command, package):
    (machine / command).unlink()
    assert wanted(set_up(machine)) == [package]


def test_serving_needs_neither_browser_nor_compiler(machine):
    for command in "gcc", "chromium", "mmdebstrap":
        (machine / command).unlink()
    assert wanted(set_up(machine, "--for", "serve")) == ["mmdebstrap"]
    assert len(wanted(set_up(machine, "--for", "test"))) == 3


def test_root_needs_no_user_namespace_and_installs_what_is_missing(machine):
    for command in "newuidmap", "mmdebstrap":
        (machine / command).unlink()
    fake(machine / "id", "echo 0")
    log = machine.parent / "log"
    fake(machine / "apt-get", f'echo "$@" >> {log}; [ "$1" = update ]')        # stops at the installation
    done = set_up(machine, "--for", "serve")
    assert done.returncode == 1
    update, install = log.read_text().splitlines()
    assert update.split()[0] == "update"
    assert install.split()[0] == "install" and "mmdebstrap" in install and "uidmap" not in install


def test_a_machine_without_apt_is_told_the_names(machine):
    for command in "apt-get", "mmdebstrap":
        (machine / command).unlink()
    done = set_up(machine, "--for", "serve")
    assert done.returncode == 1 and "Debian's names" in done.stderr and "mmdebstrap" in done.stderr


def test_npm_is_asked_for(machine):
    (machine / "npm").unlink()
    done = set_up(machine)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "npm is needed" in done.stderr


@pytest.mark.parametrize("python", [None, "exit 1"])
def test_python_is_asked_for_when_absent_or_old(machine, python):
    (machine / "python3").unlink()
    if python:
        fake(machine / "python3", python)
    done = set_up(machine)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Python 3.11 or newer is needed" in done.stderr


def test_a_python_without_ensurepip_needs_its_venv_package(machine):
    fake(machine / "python3", f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    version = "%d.%d" % sys.version_info[:2]
    assert wanted(set_up(machine)) == [f"python{version}-venv"]


def test_a_wrong_argument_gives_the_usage(machine):
    done = set_up(machine, "--for", "fun")
    assert done.returncode == 2 and done.stderr.startswith("usage:")


@pytest.mark.parametrize("script", ["setup", "serve", "test", "../.ci/run"])
def test_scripts_are_executable_and_parse(script):
    path = SETUP.parent / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path]).returncode == 0
