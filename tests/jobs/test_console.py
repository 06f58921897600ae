"""A console that goes away costs no picture."""

import contextlib
import io
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from conftest import DATA

from dpst.jobs.console import lasting_console

ROOT = DATA.parents[1]
# A picture is "made" in the middle, between more lines than a pipe or a disk of one page takes.
PROGRAM = """
import sys, time
import deep_photostyle
def run(options, command):
    for number in range(2000):
        print("line", number, "x" * 100, file=sys.stderr)
        print("line", number, "x" * 100)
    open(options.output_image, "wb").write(b"picture")
    deep_photostyle.LOGGERS[0].warning("look out")
    time.sleep(float(options.strength))
    return 0
deep_photostyle._run = run
sys.exit(deep_photostyle.main(sys.argv[1:]))
"""
WAYS = {
    "closed": "2>&-",
    "both closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "full": "2>/dev/full",
    "both full": ">/dev/full 2>/dev/full",
    "gone reader": "2>&1 | head -n 1",
    "gone reader of output alone": "2>/dev/null | head -n 1",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_goes_on_to_its_end_and_exit_code(tmp_path, way):
    line = f"{sys.executable} -c '{PROGRAM}' --output_image {tmp_path}/a.png --strength 0 {WAYS[way]}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, (tmp_path / "a.png").read_bytes()) == (0, b"picture")
    assert "rror" not in done.stderr


def test_a_terminal_that_is_closed_is_done_without(tmp_path):
    master, terminal = pty.openpty()
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN){PROGRAM}"  # as nohup does
    line = [sys.executable, "-c", code, f"--output_image={tmp_path}/a.png", "--strength=0"]
    run = subprocess.Popen(line, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    os.read(master, 100)
    os.close(master)
    assert run.wait(60) == 0 and (tmp_path / "a.png").exists()


def test_a_terminal_that_hangs_up_asks_for_a_stop(tmp_path):
    line = [sys.executable, "-c", PROGRAM, f"--output_image={tmp_path}/a.png", "--strength=2"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        until = time.monotonic() + 60
        while not (tmp_path / "a.png").exists() and time.monotonic() < until:
            time.sleep(0.01)
        run.send_signal(signal.SIGHUP)
        assert run.wait(60) == 130


@pytest.mark.parametrize("option", ["--help", "--nonsense"])
def test_help_and_errors_that_nobody_reads(option):
    line = f"{sys.executable} deep_photostyle.py {option} >/dev/full 2>/dev/full"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, timeout=60)
    assert done.returncode == (0 if option == "--help" else 2)


def test_no_file_of_the_run_gets_the_number_of_a_closed_stream(tmp_path):
    code = f"""
import os
from dpst.jobs.console import lasting_console
with lasting_console():
    assert os.open({str(tmp_path / "a")!r}, os.O_CREAT | os.O_WRONLY) > 2
"""
    subprocess.run(["bash", "-c", f'{sys.executable} -c "$0" <&- >&- 2>&-', code], cwd=ROOT, check=True, timeout=60)


def test_streams_are_put_back(capsys):
    before = sys.stdout, sys.stderr
    with lasting_console():
        print("seen")
    assert (sys.stdout, sys.stderr) == before and capsys.readouterr().out == "seen\n"


def test_characters_that_a_console_cannot_show_are_escaped():
    console = io.TextIOWrapper(io.BytesIO(), "latin-1")
    with contextlib.redirect_stdout(console), lasting_console():
        print("café €")
        print("and the next line")
    assert console.buffer.getvalue() == b"caf\xe9 \\u20ac\nand the next line\n"


def test_tensorflow_can_be_imported_without_standard_error():
    code = "from dpst.jobs.start import load_tensorflow; load_tensorflow('cpu')"
    subprocess.run(["bash", "-c", f'{sys.executable} -c "$0" 2>&-', code], cwd=ROOT, check=True, timeout=120)
