"""The command `webvm run`: what it passes through, what it refuses, what a shell sees of it."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.machines import BUILD
from webvm.jit.image import SWITCHES
from webvm.x86.processor import CPUS, leaves, linux_flags

WEBVM = [str(Path(sys.executable).with_name("webvm")), "run"]
TINY = ["--disk", str(BUILD / "tiny.ext4")]
LIMIT = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The cache in a folder of its own."""
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture
def run(environment):
    """`run(*arguments)` gives (exit status, standard output, standard error)."""
    def start(*arguments, stdin=b"", disk=TINY):
        done = subprocess.run([*WEBVM, *disk, *map(str, arguments)], input=stdin, capture_output=True, timeout=LIMIT, env=environment)
        return done.returncode, done.stdout, done.stderr
    return start


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status_is_the_programs(run, status):
    assert run("sh", "-c", f"exit {status}") == (status, b"", b"")


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "PIPE", "INT"])
def test_exit_status_of_a_killed_program_is_128_and_the_signal(run, name):
    assert run("sh", "-c", f"kill -{name} $$")[0] == 128 + signal.Signals[f"SIG{name}"]


def test_streams_are_separate_and_binary_clean(run):
    data = bytes(range(256)) * 2000 + b"no newline"
    assert run("sh", "-c", "tee /dev/stderr", stdin=data) == (0, data, data)


def test_arguments_pass_unchanged(run):
    assert run("--", "printf", "<%s>", "-x", "--disk", "a b", "", "ü", "*") == (0, "<-x><--disk><a b><><ü><*>".encode(), b"")


def test_options_after_the_program_are_its_own(run):
    assert run("printf", "%s", "--strace")[1] == b"--strace"


def test_variables_and_folder(run):
    assert run("--env", "GREETING=hi there", "--env", "EMPTY=", "--cwd", "/etc", "sh", "-c", 'echo "$GREETING|${EMPTY-unset}|$PWD"') == (0, b"hi there||/etc\n", b"")


def test_users(run):
    assert run("id", "-u")[1] == b"0\n"
    assert run("--user", "1000", "sh", "-c", "id -un; echo $HOME; touch /etc/x")[:2] == (1, b"user\n/home/user\n")


def test_a_program_that_is_not_there(run):
    status, out, err = run("nothing-of-that-name")
    assert (status, out) == (127, b"")
    assert re.fullmatch(rb"webvm: nothing-of-that-name: no such program.*\n", err)


@pytest.mark.parametrize("program", ["/etc/passwd", "/etc"])
def test_a_file_that_is_no_program(run, program):
    status, out, err = run(program)
    assert (status, out) == (126, b"")
    assert re.fullmatch(rb"webvm: /etc.*: permission denied\n", err)


@pytest.mark.parametrize(("content", "status"), [
    (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\2\0\3\0" + bytes(40), 126),                    # 32 bits
    (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\2\0\xb7\0\1\0\0\0" + bytes(40), 126),          # AArch64
    (b"\x7fELF", 126),
    (b"#!/no/such/interpreter\n", 127),
    (b"\0\1\2\3 noise", 126),
], ids=["32 bits", "another processor", "cut off", "interpreter missing", "noise"])
def test_a_file_that_cannot_be_executed(run, tmp_path, content, status):
    (tmp_path / "program").write_bytes(content)
    (tmp_path / "program").chmod(0o755)
    got, out, err = run("--mount", f"{tmp_path}:/mnt", "/mnt/program")
    assert (got, out) == (status, b"")
    assert re.fullmatch(rb"webvm: /mnt/program: .*\n", err), err


def test_an_interpreter_that_is_missing_from_the_image(run, tmp_path):
    source = "int main(void) { return 0; }"
    program = tmp_path / "program"
    subprocess.run(["gcc", "-xc", "-", "-o", program, "-Wl,--dynamic-linker=/no/ld.so"], input=source.encode(), check=True)
    status, out, err = run("--mount", f"{tmp_path}:/mnt", "/mnt/program")
    assert (status, out) == (127, b"") and err.startswith(b"webvm: /mnt/program: ") and err.count(b"\n") == 1


def test_a_static_program_of_this_host_without_a_disk(run, tmp_path):
    source = '#include <stdio.h>\nint main(int n, char **v) { char b[9]; printf("%s %d %s\\n", v[1], n, fgets(b, 9, stdin)); return 9; }'
    subprocess.run(["gcc", "-static", "-xc", "-", "-o", tmp_path / "program"], input=source.encode(), check=True)
    assert run("--mount", f"{tmp_path}:/mnt", "/mnt/program", "hello", stdin=b"in", disk=["--disk", "none"]) == (9, b"hello 2 in\n", b"")


def test_mounts_are_read_only_unless_rw(run, tmp_path):
    (tmp_path / "file").write_text("of the host\n")
    assert run("--mount", f"{tmp_path}:/mnt", "sh", "-c", "cat /mnt/file; echo x > /mnt/file")[:2] == (2, b"of the host\n")
    assert (tmp_path / "file").read_text() == "of the host\n"
    assert run("--mount", f"{tmp_path}:/mnt:rw", "sh", "-c", "echo changed > /mnt/file; mkdir /mnt/d; mv /mnt/file /mnt/d/f") == (0, b"", b"")
    assert (tmp_path / "d/f").read_text() == "changed\n"


@pytest.mark.parametrize(("disk", "status", "sentence"), [
    ("no/such.ext4", 127, b"no/such.ext4: no such disk image"),
    ("README.md", 126, None),
    ("zeros", 126, None),
    ("cut", 126, None),
], ids=["missing", "not ext4", "zeros", "truncated"])
def test_a_disk_that_is_none(run, tmp_path, disk, status, sentence):
    (tmp_path / "zeros").write_bytes(bytes(1 << 20))
    (tmp_path / "cut").write_bytes((BUILD / "tiny.ext4").open("rb").read(1 << 20))
    disk = str(tmp_path / disk) if disk in ("zeros", "cut") else disk
    got, out, err = run("true", disk=["--disk", disk])
    assert (got, out) == (status, b"")
    assert err.startswith(b"webvm: " + (sentence or b"")) and err.count(b"\n") == 1, err


@pytest.mark.parametrize("arguments", [["--mount", "nonsense", "true"], ["--env", "nonsense", "true"], ["--nonsense", "true"]], ids=str)
def test_options_that_make_no_sense(run, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, b"") and b"usage: webvm" in err


def test_a_folder_to_mount_or_start_in_that_is_not_there(run):
    status, out, err = run("--mount", "/no/such:/mnt", "true")
    assert (status, out) == (127, b"") and re.fullmatch(rb"webvm: /no/such: .*\n", err)
    status, out, err = run("--cwd", "/no/such", "true")
    assert (status, out) == (127, b"") and re.fullmatch(rb"webvm: /no/such: .*\n", err), err


def test_strace_prints_calls_on_standard_error(run):
    status, out, err = run("--strace", "sh", "-c", "echo hi; cat /no 2> /dev/null")
    assert (status, out) == (1, b"hi\n")
    text = err.decode()
    assert re.search(r'execve\("/usr/bin/sh", ', text) or re.search(r'openat\(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY\|O_CLOEXEC\) += 3', text)
    assert re.search(r'write\(1, "hi\\n", 3\) += 3\n', text)
    assert re.search(r'openat\(AT_FDCWD, "/no", O_RDONLY\) += -1 ENOENT \(No such file or directory\)\n', text)
    assert re.search(r"exit_group\(1\)", text)


def test_stats_are_written_as_json(run, tmp_path):
    assert run("--stats", tmp_path / "stats.json", "sh", "-c", "/bin/true; exit 3") == (3, b"", b"")
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["instructions"] > 10_000 and stats["system_calls"] > 20 and stats["faults"] > 10 and stats["forks"] == 1


LOOP = "for ((i = 0; i < 5000; i++)); do :; done; echo $i"


def levels(out: bytes) -> list[bytes]:
    """The levels of the psABI that the dynamic linker says the processor has."""
    return [line.split()[0] for line in out.splitlines() if b"(supported" in line]


@pytest.mark.parametrize("cpu, wanted", [("x86-64", []), ("x86-64-v2", [b"x86-64-v2"]),
                                         *((cpu, [b"x86-64-v3", b"x86-64-v2"]) for cpu in ("x86-64-v3", "max"))])
def test_programs_see_the_processor_that_was_asked_for(run, cpu, wanted):
    status, out, err = run("--cpu", cpu, "--", "bash", "-c", """/lib64/ld-linux-x86-64.so.2 --help
        while read -r line; do case $line in flags*) echo "$line" ;; esac; done < /proc/cpuinfo
        LD_SHOW_AUXV=1 /bin/true""")
    assert (status, err, levels(out)) == (0, b"", wanted)
    flags = re.search(rb"^flags\s*:(.*)", out, re.M)[1].decode().split()
    assert set(linux_flags(CPUS[cpu])) == set(flags) - {"nopl"}
    assert re.search(rb"AT_HWCAP:\s+([0-9a-f]+)", out)[1] == b"%x" % leaves(CPUS[cpu])[1, None][3]


def test_a_processor_that_is_none_is_refused(run):
    status, out, err = run("--cpu", "486", "true")
    assert (status, out) == (2, b"") and b"invalid choice: '486'" in err


def test_tiers_and_switches_change_nothing_but_the_counters(run, tmp_path):
    stats = {}
    for options in [], ["--tier", "interp"], ["--jit-off", ",".join(SWITCHES)]:
        assert run(*options, "--stats", tmp_path / "stats.json", "bash", "-c", LOOP) == (0, b"5000\n", b"")
        stats[" ".join(options[:1])] = json.loads((tmp_path / "stats.json").read_text())
    assert stats["--tier"]["region_instructions"] == stats["--tier"]["regions"] == 0
    assert all(stats[options]["region_instructions"] > 1_000_000 for options in ("", "--jit-off"))


def test_perf_lists_the_hottest_functions_on_standard_error(run):
    status, out, err = run("--perf", "bash", "-c", LOOP)
    lines = err.decode().splitlines()
    assert (status, out) == (0, b"5000\n")
    assert re.fullmatch(r"\d+\.\d\d s of guest code, \d+ samples, \d+\.\d % of its instructions in regions", lines[0])
    shares = [float(re.match(r" *(\d+\.\d) % ", line)[1]) for line in lines[2:-1]]
    assert shares == sorted(shares, reverse=True) and 50 < sum(shares) <= 101 and any("+0x" in line and "/usr/bin/bash" in line for line in lines)


@pytest.mark.parametrize(("kinds", "seen", "unseen"), [("asm", "region", "function"), ("wat", "function", "region")])
def test_regions_are_traced_on_standard_error(environment, tmp_path, kinds, seen, unseen):
    environment = environment | {"WEBVM_TRACE": kinds, "XDG_CACHE_HOME": str(tmp_path)}
    for _ in range(2):                                          # what the first has translated is to be seen again
        done = subprocess.run([*WEBVM, *TINY, "bash", "-c", LOOP], capture_output=True, timeout=LIMIT, env=environment, text=True)
        assert (done.returncode, done.stdout) == (0, "5000\n")
    firsts = {line.partition(" 0x")[0] for line in done.stderr.splitlines() if line[:1].isalpha()}
    assert seen in firsts and unseen not in firsts


def test_switches_and_traces_that_there_are_not(run, environment):
    assert run("--jit-off", "cover,speed", "true") == (2, b"", f"webvm: no such optimisation: speed (there are {', '.join(SWITCHES)})\n".encode())
    done = subprocess.run([*WEBVM, *TINY, "true"], capture_output=True, timeout=LIMIT, env=environment | {"WEBVM_TRACE": "asm,all"})
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"webvm: no such trace: all (there are asm, wat)\n")


def test_output_that_nobody_reads_ends_the_program(environment):
    command = subprocess.Popen([*WEBVM, *TINY, "yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert command.stdout.readline() == b"y\n"
    command.stdout.close()
    assert command.wait(LIMIT) == 128 + signal.SIGPIPE


def test_input_that_never_ends_does_not_hold_up_the_end(environment):
    command = subprocess.Popen([*WEBVM, *TINY, "head", "-c", "4"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    command.stdin.write(b"abcdefgh")
    command.stdin.flush()
    assert command.wait(LIMIT) == 0 and command.stdout.read() == b"abcd"
    command.stdin.close()
    command.stdout.close()


class Terminal:
    """`webvm run` on a pseudo-terminal of this host."""

    def __init__(self, arguments, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(WEBVM[0], [*WEBVM, *arguments], environment)
        self.seen = b""

    def type(self, data: bytes) -> None:
        os.write(self.fd, data)

    def until(self, pattern: bytes) -> bytes:
        """Reads until the pattern is there; what came before it is gone."""
        end = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.seen)):
            ready = select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]
            assert ready, (pattern, self.seen)
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                raise AssertionError((pattern, self.seen)) from None
        self.seen = self.seen[found.end():]
        return found.group()

    def status(self) -> int:
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass                                            # the other side is closed
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_login_shell_on_this_terminal(environment):
    import fcntl
    import struct
    import termios
    terminal = Terminal(TINY, environment)
    before = termios.tcgetattr(terminal.fd)
    terminal.until(rb"\$ ")
    terminal.type(b"tty; whoami; stty size\r")
    terminal.until(rb"/dev/tty1\r\nuser\r\n")
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("4H", 30, 90, 0, 0))
    terminal.until(rb"\$ ")
    terminal.type(b"stty size\r")
    terminal.until(rb"30 90\r\n")
    terminal.type(b"sh -c 'echo begun; cat'\r")
    terminal.until(rb"[\r\n]begun\r\n")
    terminal.type(b"typed\r")
    terminal.until(rb"typed\r\ntyped\r\n")
    terminal.type(b"\x03")
    terminal.until(rb"\^C(.|\n)*\$ ")
    terminal.type(b"while :; do :; done\r")
    terminal.until(rb"done\r\n")
    terminal.type(b"\x03")
    terminal.until(rb"\$ ")
    terminal.type(b"exit 5\r")
    assert termios.tcgetattr(terminal.fd)[3] != before[3]
    assert terminal.status() == 5


def test_a_program_on_this_terminal_gets_its_keys(environment):
    terminal = Terminal([*TINY, "sh", "-c", "read x; echo got $x; exit 6"], environment)
    terminal.type(b"keys\n")
    terminal.until(rb"got keys\r\n")
    assert terminal.status() == 6


CHECKED_LOOP = "i=0; while [ $i -lt 6000 ]; do i=$((i+1)); done; echo $i"


def test_check_verifies_regions_and_changes_nothing(run, tmp_path):
    stats = tmp_path / "stats"
    assert run("--check", "--stats", stats, "sh", "-c", CHECKED_LOOP) == (0, b"6000\n", b"")
    assert json.loads(stats.read_text())["region_instructions"] > 10000


def test_check_stops_at_a_difference_and_tells_it(environment):
    """A translator that does not store RAX."""
    wrong = ("import sys; from webvm.jit.region import Region; stores = Region._stores;"
             "Region._stores = lambda region, mask: stores(region, mask & ~1);"
             "from webvm.cli import main; sys.exit(main())")
    done = subprocess.run([sys.executable, "-c", wrong, "run", *TINY, "--no-code-cache", "--check", "sh", "-c", CHECKED_LOOP], capture_output=True,
                          timeout=LIMIT, env=environment)
    assert done.returncode == 70 and done.stdout == b""
    assert re.search(rb"^webvm: the region at 0x\w+ came out at 0x", done.stderr) and re.search(rb"^  rax: 0x\w+ / 0x", done.stderr, re.M)
