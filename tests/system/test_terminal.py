"""At the terminal: job control, special keys, the window's size, and programs that fill the screen."""

import asyncio

import pytest

from tests.system.machines import LIMIT
from tests.system.terminal import PROMPT, Person
from webvm.linux.termios import ECHO, ICANON, ICRNL


@pytest.fixture(scope="module")
def session():
    person = Person()
    yield person
    person.close()


@pytest.fixture
def person(session):
    """Somebody at a prompt, without jobs, in an empty home."""
    yield session
    session.screen.reset()
    session.type("\x03")
    session.do("kill -9 $(jobs -p) 2> /dev/null; wait; stty sane; rm -rf *")


def test_a_command_prints_on_the_screen(person):
    assert person.do("echo $((6 * 7)); tty; echo $TERM; stty size") == ["42", "/dev/tty1", "xterm-256color", "24 80"]


def test_keys_edit_the_line(person):
    person.enter("ecko wrong\x15echoo fine\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7f\x05!")
    person.prompt()
    assert person.lines[-2] == "fine!"
    person.type("\x1b[A")
    person.see("$ echo fine!")
    person.type("\x01\x0b")
    person.prompt()
    assert person.do("ls /etc/hostn\t") == ["/etc/hostname"]


def test_ctrl_c_stops_a_loop_that_makes_no_system_call(person):
    person.enter("while :; do :; done")
    person.until(lambda lines: lines == ["while :; do :; done"], "the line")
    person.type("\x03")
    person.prompt()
    assert person.lines[-2:] == ["^C", PROMPT]
    assert person.do("echo $?") == ["130"]


@pytest.mark.parametrize("program", ["cat", "sleep 100", "sh -c 'while :; do :; done'", "sleep 100 | cat", "(sleep 100)"])
def test_ctrl_c_stops_a_program(person, program):
    person.enter(f"{program}; echo not reached")
    person.program()
    person.type("\x03")
    person.prompt()
    assert (person.lines[1], person.lines[-1]) == ("^C", PROMPT)
    assert person.do("echo $?") == ["130"]


def test_ctrl_c_raises_in_python(person):
    person.enter("python3 -c 'import time; print(1); time.sleep(99)'")
    person.until(lambda lines: "1" in lines, "its output")
    person.type("\x03")
    person.prompt()
    assert "KeyboardInterrupt" in person.lines
    assert person.do("echo $?") == ["130"]


def test_ctrl_c_after_typing_to_a_program(person):
    for _ in range(5):
        person.enter("cat")
        person.program()
        person.type("typed\r")
        person.until(lambda lines: lines.count("typed") == 2, "the line twice")
        person.type("\x03")
        person.prompt()


def test_ctrl_d_ends_input(person):
    person.enter("cat > f")
    person.program()
    person.type("one\rtwo\r\x04")
    assert person.do("cat f") == ["one", "two"]


def test_ctrl_backslash_kills(person):
    person.enter("sleep 100")
    person.program()
    person.type("\x1c")
    person.prompt()
    assert person.do("echo $?") == ["131"]


def test_ctrl_s_holds_the_output_until_ctrl_q(person):
    person.enter("stty -ixany; read x; seq 3")
    person.type("\x13\r")
    person.type("\x11")
    person.prompt()
    assert person.lines[-4:-1] == ["1", "2", "3"]


def test_jobs_go_to_the_background_and_come_back(person):
    assert person.do("sleep 100 &")[0].startswith("[1] ")
    assert person.do("jobs") == ["[1]+  Running                 sleep 100 &"]
    person.enter("fg")
    person.program()
    person.type("\x1a")
    person.prompt()
    assert person.lines[-2] == "[1]+  Stopped                 sleep 100"
    assert person.do("jobs") == ["[1]+  Stopped                 sleep 100"]
    assert person.do("bg") == ["[1]+ sleep 100 &"]
    assert person.do("jobs") == ["[1]+  Running                 sleep 100 &"]
    assert person.do("kill %1; wait") == ["[1]+  Terminated              sleep 100"]
    assert person.do("jobs") == []


def test_a_stopped_pipeline_goes_on(person):
    person.enter("cat | tr a-z A-Z")
    person.program()
    person.type("first\r")
    person.until(lambda lines: "first" in lines, "what was typed")
    person.type("\x1a")
    person.prompt()
    assert person.lines[-2].startswith("[1]+  Stopped")
    person.enter("fg")
    person.program()
    person.type("second\r\x04")
    person.prompt()
    assert "second" in person.lines and "SECOND" in person.lines


def test_a_job_in_the_background_stops_when_it_reads_the_terminal(person):
    person.do("cat &")
    person.do_until("jobs", lambda lines: any("Stopped" in line for line in lines))
    person.enter("fg")
    person.program()
    person.type("typed\r\x04")
    person.prompt()
    assert person.lines[1:-1] == ["cat", "typed", "typed"]


def test_a_job_in_the_background_stops_when_it_writes_with_tostop(person):
    person.do("stty tostop; (echo out) &")
    person.do_until("jobs", lambda lines: any("Stopped" in line for line in lines))
    assert person.do("fg")[-1] == "out"


def test_the_windows_size_reaches_programs(person):
    person.resize(100, 30)
    assert person.do("stty size; tput cols") == ["30 100", "100"]
    assert person.do("echo $COLUMNS $LINES") == ["100 30"]
    person.enter("sh -c 'trap \"stty size\" WINCH; echo set; read x; read y'")
    person.until(lambda lines: "set" in lines, "the trap is set")
    person.resize(80, 24)
    person.type("\r")
    person.until(lambda lines: "24 80" in lines, "the new size")
    person.type("\r")


def test_keys_arrive_one_by_one_when_asked(person):
    person.enter("read -sn 1 key; echo got $key")
    person.tty(lambda tty: tty.iflag & ICRNL and not tty.lflag & (ICANON | ECHO), "a terminal for one key")     # at its prompt, bash has no ICRNL
    person.type("x")
    person.prompt()
    assert person.lines[-2] == "got x"
    person.enter("read -sp 'Password: ' w; echo; echo $w")
    person.until(lambda lines: lines[-1] == "Password:", "the question")
    person.type("hidden\r")
    person.prompt()
    assert person.lines[1:-1] == ["Password:", "hidden"]


def test_vim_edits_and_saves_a_file(person):
    person.enter("vim.tiny file")
    person.see('"file" [New]')
    person.type("ione\rtwo ü\x1b")
    person.see("two ü")
    person.type("ggdwiONE\x1b:wq\r")
    person.prompt()
    assert person.do("cat file") == ["ONE", "two ü"]


def test_vim_scrolls_stops_and_comes_back(person):
    person.do("seq 100 > numbers")
    person.enter("vim.tiny numbers")
    person.until(lambda lines: lines[0] == "1" and lines[22] == "23" and '"numbers"' in lines[23], "the first page")
    person.type("G")
    person.until(lambda lines: lines[22] == "100", "the last page")
    person.type("\x1a")
    person.see("Stopped")
    person.enter("fg")
    person.until(lambda lines: len(lines) > 22 and lines[22] == "100", "the last page again")
    person.type(":q\r")
    person.prompt()


def test_less_pages_and_searches(person):
    person.do("seq 200 > numbers")
    person.enter("less numbers")
    person.until(lambda lines: lines[0] == "1" and lines[-1] == "numbers", "the first page")
    person.type(" ")
    person.until(lambda lines: lines[0] == "24", "the second page")
    person.type("/150\r")
    person.until(lambda lines: lines[0] == "150", "what was searched")
    person.type("g")
    person.until(lambda lines: lines[0] == "1", "the start")
    person.type("q")
    person.prompt()


def test_nano_edits_and_saves_a_file(person):
    person.enter("nano file")
    person.see("New File")
    person.type("written in nano")
    person.see("written in nano")
    person.type("\x0f\r")
    person.see("Wrote 1 line")
    person.type("\x18")
    person.prompt()
    assert person.do("cat file") == ["written in nano"]


def test_top_shows_the_machine_until_q(person):
    person.enter("top")
    person.until(lambda lines: lines[0].startswith("top - ") and {"bash", "top"} <= {line.split(" ")[-1] for line in lines}, "top")
    person.type("q")
    person.prompt()


def test_python_reads_lines_at_its_prompt(person):
    person.enter("python3 -q")
    person.see(">>>")
    person.type("6 * 7\r")
    person.until(lambda lines: "42" in lines, "42")
    person.type("exit()\r")
    person.prompt()


def test_a_program_gets_a_terminal_of_its_own(person):
    assert person.do("script -qc 'tty; echo inner' /dev/null < /dev/null") == ["/dev/pts/0", "inner"]


def test_leaving_the_shell_tells_its_exit_status():
    person = Person()
    person.enter("(sleep 100; echo late) &")
    person.enter("exit 9")
    assert person.runner.run(asyncio.wait_for(person.shell, LIMIT)) == 9
    person.close()
