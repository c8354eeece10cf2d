"""`unnoise app` as a command: its address, its token, its refusals, and its end."""

import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from helpers.app_process import AppServer, until
from unnoise.cli import run


def test_ctrl_c_ends_it_quietly_while_a_page_listens(tmp_path):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    server = AppServer(tmp_path, errors=tmp_path / "errors.txt")
    server.start()
    try:
        number = (
            urllib.request.urlopen(f"{server.address}/api/runs").read().partition(b'"id":"')[2][:12].decode()
        )
        stream = urllib.request.urlopen(f"{server.address}/api/runs/{number}/events")
        assert stream.readline().startswith(b"data: {")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=60) == 0
    finally:
        server.close()
    said = (tmp_path / "errors.txt").read_text()
    assert "The app has ended" in said
    assert "Traceback" not in said
    assert "ERROR" not in said


def test_a_port_that_is_taken_is_told(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["app", "--workspace", str(tmp_path), "--port", port, "--no-browser"]) == 2
    assert "address already in use. Choose others by --port or --host." in capsys.readouterr().err


@pytest.mark.parametrize(("host", "port"), [("203.0.113.7", "0"), ("127.0.0.1", "70000")])
def test_an_address_that_cannot_be_used_is_told(tmp_path, capsys, host, port):
    assert run(["app", "--workspace", str(tmp_path), "--host", host, "--port", port, "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("unnoise: ")
    assert said.count("\n") == 1


def test_a_workspace_that_is_a_link_is_refused(tmp_path, capsys):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert run(["app", "--workspace", str(tmp_path / "link"), "--no-browser"]) == 2
    assert "is a link: name the folder that it leads to" in capsys.readouterr().err


def test_other_devices_need_the_token_that_is_printed(tmp_path):
    words = ["app", "--host", "0.0.0.0", "--port", "0", "--no-browser", "--workspace", str(tmp_path)]  # noqa: S104
    said = tmp_path / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "unnoise", *words], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: "token=" in said.read_text() and "?" in said.read_text())
        address = next(word for word in said.read_text().split() if "token=" in word)
        _, _, place = address.partition("http://")
        port = place.partition("/")[0].rpartition(":")[2]
        local = f"http://127.0.0.1:{port}/"

        def status(url):
            try:
                with urllib.request.urlopen(url) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        until(lambda: _answers(local))
        assert status(local) == 401
        assert status(f"{local}?token=wrong") == 401
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"{local}?{address.partition('?')[2]}") as answer:
            assert answer.status == 200
            assert "token" not in answer.url  # it stays in no history
    finally:
        process.terminate()
        process.wait()


def _answers(url):
    try:
        urllib.request.urlopen(url)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
