import http.client
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).parent.parent.parent / "scripts/static_server.py"


@pytest.fixture
def server(tmp_path):
    (tmp_path / "index.html").write_text("hello")
    (tmp_path / "page.mjs").write_text("1")
    (tmp_path / "code.wasm").write_bytes(b"\0asm")
    process = subprocess.Popen([sys.executable, SERVER, tmp_path, "0"], stdout=subprocess.PIPE, text=True)
    with process:
        yield process
        process.kill()


def port_of(process) -> int:
    return int(process.stdout.readline().split("localhost:")[1].split()[0])


def test_a_folder_is_served_on_one_connection_with_the_types_modules_need(server):
    connection = http.client.HTTPConnection("localhost", port_of(server))
    types = {}
    for name in "/", "/page.mjs", "/code.wasm":
        connection.request("GET", name)
        answer = connection.getresponse()
        assert answer.status == 200 and answer.version == 11 and not answer.will_close
        types[name] = answer.getheader("Content-Type")
        answer.read()
    assert types == {"/": "text/html", "/page.mjs": "text/javascript", "/code.wasm": "application/wasm"}


def test_interrupting_stops_it_quietly(server):
    port_of(server)
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0


def test_a_port_in_use_is_said_in_one_line(server, tmp_path):
    done = subprocess.run([sys.executable, SERVER, tmp_path, str(port_of(server))], capture_output=True, text=True)
    assert done.returncode == 1
    assert "in use" in done.stderr and done.stderr.count("\n") == 1
