"""What strangers give the command line, and what goes wrong beside it: one line, nothing lost or replaced, the rest done."""

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tqdm
from conftest import DATA, made_record
from PIL import Image

from deep_photostyle import main
from dpst.batch import batch
from dpst.errors import UserError
from dpst.files.photos import read_photo
from dpst.jobs import picture
from dpst.jobs.job import Outcome, Status

SCRIPT = Path(__file__).parents[1] / "deep_photostyle.py"


@pytest.fixture
def painted(monkeypatch):
    """Replaces the solve: the picture is the content photo. Returns the names of the jobs that were run."""
    names = []

    def paint(job, on_progress, networks):
        names.append(job.name)
        shutil.copy(job.options.content_image_path, job.options.output_image)
        return Outcome(job.name, Status.DONE, job.options, made_record(job.options))

    monkeypatch.setattr(batch, "run_job", paint)
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with two photos."""
    monkeypatch.chdir(tmp_path)
    for name in ("content.png", "style.png"):
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path


def run(capsys, *arguments, **options):
    """Exit code and the lines on standard error, each of them printable and of bounded length."""
    try:
        code = main([*arguments, *(f"--{name}={value}" for name, value in options.items())])
    except SystemExit as end:
        code = end.code
    lines = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() and len(line) < 1200 for line in lines)
    return code, lines


def run_manifest(capsys, lines, *arguments, name="jobs.jsonl"):
    Path(name).write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
    common = {"batch": name, "style_image_path": "style.png", "vgg19_weights": "learned", "output_dir": "out"}
    return run(capsys, "--quiet", *arguments, **common)


GOOD = ['{"content_image_path": "content.png", "output_image": "first.png"}', '{"content_image_path": "content.png"}']

# Lines of a manifest, and what is said of each.
BAD = {
    "nested": ("[" * 100_000, "the line is not valid JSON ("),
    "objects nested": ('{"a":' * 100_000, "the line is not valid JSON ("),
    "a long number": ('{"seed": ' + "9" * 5000 + "}", "the line is not valid JSON ("),
    "a large number": ('{"seed": ' + "9" * 4000 + "}", "is too large; use "),
    "a number in text": ('{"seed": "' + "9" * 5000 + '"}', "is not a whole number; give a whole number"),
    "no number": ('{"style_weight": NaN}', "is not a finite number; give a number"),
    "more than a number": ('{"style_weight": 1e999}', "is not a finite number; give a number"),
    "a list": ('{"content_image_path": [[["content.png"]]]}', "does not exist; check the path"),
    "zero": (r'{"output_image": "a\u0000b.png"}', r"a\x00b.png contains a null character; remove it"),
    "half a character": (r'{"output_image": "\ud800.png"}', r"\ud800.png has characters that cannot be encoded; use others"),
    "an input of zero": (r'{"content_image_path": "\u0000"}', "contains a null character; remove it"),
    "a long name": ('{"output_image": "' + "a" * 5000 + '.png"}', "is too long for a path; use names of 255 bytes at most"),
    "a long input": ('{"content_image_path": "' + "a" * 5000 + '"}', "is too long for a path; use names of 255 bytes at most"),
    "long weights": ('{"vgg19_weights": "' + "a" * 5000 + '"}', "is too long for a path; use names of 255 bytes at most"),
    "a name without room for a partial file": (
        '{"content_image_path": "content.png", "auto_seg": "0", "output_image": "' + "a" * 250 + '.png"}',
        "cannot be written (File name too long)",
    ),
    "no UTF-8": (b'{"content_image_path": "caf\xe9.png"}', r"caf\udce9.png does not exist; check the path"),
    "lines in a name": (
        r'{"content_image_path": "a\nb\u001b[2J\u2028.png"}',
        r"a\nb\x1b[2J\u2028.png does not exist; check the path",
    ),
    "a long line": (
        '{"content_image_path": "content.png", "seg_classes": "' + "a" * 3_000_000 + '"}',
        "the line is not valid JSON (",
    ),
    "an option of a megabyte": ('{"' + "a" * 1_000_000 + '": 1}', "is not an option of a job; use names of options such as "),
    "a way out": ('{"content_image_path": "content.png", "output_image": "../x.png"}', "is outside --output_dir out; "),
}


@pytest.mark.parametrize("case", BAD)
def test_whatever_a_line_holds_the_others_are_done(folder, painted, capsys, case):
    line, says = BAD[case]
    code, lines = run_manifest(capsys, [GOOD[0], line, GOOD[1]])
    assert (code, painted) == (1, ["first.png", "content.png"])
    (error,) = lines
    assert error.startswith("error: ") and says in error
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["content.png", "first.png"]
    assert "Traceback" not in (folder / "out" / "report.html").read_text()


def test_whatever_a_line_of_csv_holds_the_others_are_done(folder, painted, capsys):
    lines = [
        "content_image_path,output_image",
        "content.png,a.png",
        f"{'x' * 200_000},b.png",
        b"\xe9.png,c.png",
        "content.png,d.png",
    ]
    code, errors = run_manifest(capsys, lines, name="jobs.csv")
    assert (code, painted) == (1, ["a.png", "d.png"])
    assert len(errors) == 2 and "the line is not valid CSV (" in errors[0] and r"\udce9.png does not exist" in errors[1]


def test_names_that_are_no_utf8_are_done_as_all_others(folder, painted, capsys):
    os.mkdir("photos")
    for name in (b"caf\xe9.png", b"plain.png"):
        shutil.copy("content.png", os.path.join(b"photos", name))
    options = {"batch": "photos", "style_image_path": "style.png", "vgg19_weights": "learned", "output_dir": "out"}
    assert run(capsys, "--quiet", **options) == (0, [])
    assert sorted(os.listdir(b"out")) == [b"caf\xe9", b"caf\xe9.png", b"plain", b"plain.png", b"report.html"]
    painted.clear()
    assert run(capsys, "--quiet", **options) == (0, [])
    assert not painted  # the records hold these names, too


def test_a_record_made_to_do_harm_is_done_anew(folder, painted, capsys):
    assert run_manifest(capsys, GOOD)[0] == 0
    (folder / "out" / "first" / "first.json").write_text("[" * 100_000)
    painted.clear()
    assert run_manifest(capsys, GOOD) == (0, [])
    assert painted == ["first.png"]


def test_whatever_a_check_raises_the_others_are_done(folder, painted, capsys, monkeypatch):
    check = batch.check_job

    def fail(options):
        if "first" in options.output_image:
            raise MemoryError("no room\nfor it")
        check(options)

    monkeypatch.setattr(batch, "check_job", fail)
    code, lines = run_manifest(capsys, GOOD)
    assert (code, painted, lines) == (1, ["content.png"], ["error: first.png: MemoryError: no room for it"])


def test_a_picture_that_is_too_large_is_not_shown_in_the_report_either(folder, painted, capsys):
    photo = Image.new("RGB", (3000, 400))
    photo.save("large.png")
    code, lines = run_manifest(capsys, [*GOOD, '{"content_image_path": "large.png", "max_pixels": 0.5}'])
    assert code == 1 and len(lines) == 1 and "large.png has 3000x400 pixels" in lines[0]
    assert (folder / "out" / "report.html").read_text().count('alt="content photo"') == 2


# Files that change between their check and their use

PATHS = ("content_image_path", "style_image_path", "content_seg_path", "style_seg_path")


@pytest.mark.parametrize("becomes", ["nothing", "a folder", "no picture", "larger than allowed"])
@pytest.mark.parametrize("option", PATHS)
def test_a_file_that_changes_after_its_check_fails_its_own_job_alone(folder, monkeypatch, capsys, option, becomes):
    checked, networks = [], []
    check = batch.check_job

    def check_and_change(options):
        check(options)
        checked.append(options.output_image)
        if len(checked) == 1:
            path = Path(getattr(options, option))
            path.unlink()
            if becomes == "a folder":
                path.mkdir()
            elif becomes == "no picture":
                path.write_bytes(b"none")
            elif becomes == "larger than allowed":
                Image.new("L", (2000, 1000)).save(path)

    def no_network(*arguments, **named):
        networks.append(arguments)
        raise UserError("so far it is read")

    monkeypatch.setattr(batch, "check_job", check_and_change)
    monkeypatch.setattr(picture.Networks, "channels", no_network)
    lines = []
    for name in "ab":
        job = {"output_image": f"{name}.png", "max_pixels": 1}
        for name_of_path, photo in zip(PATHS, ("content", "style", "content_seg", "style_seg"), strict=True):
            job[name_of_path] = shutil.copy(DATA / f"{photo}.png", f"{name}_{photo}.png")
        lines.append(json.dumps(job))
    code, errors = run_manifest(capsys, lines)
    assert code == 1 and len(errors) == 2 and errors[1] == "error: b.png: so far it is read"
    assert errors[0].startswith("error: a.png: ") and "Error:" not in errors[0] and len(networks) == 1


def test_a_clock_that_jumps_harms_nothing(folder, painted, capsys, monkeypatch):
    jumps = itertools.cycle([0.0, 4e9, -4e9, 1e9, 0.0, 1e-9])
    for module in (time, tqdm.std):
        monkeypatch.setattr(module, "time", lambda: next(jumps))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    options = {"batch": "jobs.jsonl", "style_image_path": "style.png", "vgg19_weights": "learned", "output_dir": "out"}
    Path("jobs.jsonl").write_text("\n".join(GOOD))
    assert main([f"--{name}={value}" for name, value in options.items()]) == 0
    assert "2/2 jobs" in capsys.readouterr().err
    assert painted == ["first.png", "content.png"]


# No input is replaced


def test_no_job_replaces_what_a_later_one_reads(folder, painted, capsys):
    os.mkdir("out")
    shutil.copy("content.png", "out/first.png")
    line = '{"content_image_path": "out/first.png", "output_image": "second.png"}'
    code, lines = run_manifest(capsys, [GOOD[0], line])
    assert (code, painted) == (1, ["second.png"])
    assert lines == ["error: first.png: output image out/first.png would overwrite the input out/first.png; choose another place"]
    assert Path("out/first.png").read_bytes() == (DATA / "content.png").read_bytes()


@pytest.mark.parametrize("name", ["output_image", "mask_preview"])
def test_a_single_picture_replaces_no_input(folder, capsys, name):
    before = Path("style.png").read_bytes()
    os.symlink(folder, "link")
    options = {"content_image_path": "content.png", "style_image_path": "style.png", "vgg19_weights": "learned"}
    code, lines = run(capsys, **(options | {name: "link/style.png"}))
    role = name.replace("_", " ")
    assert (code, lines) == (1, [f"error: {role} link/style.png would overwrite the input style.png; choose another place"])
    assert Path("style.png").read_bytes() == before


@pytest.mark.parametrize("value", ["../x.png", "{}/x.png", "link/x.png"])
@pytest.mark.parametrize("name", ["output_image", "mask_preview", "lut", "serial"])
def test_a_manifest_writes_outside_the_output_folder_only_if_allowed(folder, painted, capsys, name, value):
    (folder / "elsewhere").mkdir()
    (folder / "out").mkdir()
    os.symlink(folder / "elsewhere", folder / "out" / "link")
    path = value.format(folder / "elsewhere")
    before = sorted(os.listdir(folder)), os.listdir("elsewhere")
    line = json.dumps({"content_image_path": "content.png", "style_option": 2, name: path})
    code, lines = run_manifest(capsys, [line, GOOD[0]])
    assert (code, painted) == (
        1,
        ["first.png"],
    ) and "is outside --output_dir out; move it there, or give --allow_outside" in lines[0]
    assert (sorted({*os.listdir(folder)} - {"jobs.jsonl"}), os.listdir("elsewhere")) == before
    assert run_manifest(capsys, [line], "--allow_outside") == (0, [])


def test_a_batch_that_is_refused_makes_no_folders(folder, painted, capsys):
    lines = ['{"content_image_path": "content.png", "output_image": "deep/er/a.png"}', '{"content_image_path": "none.png"}']
    assert run_manifest(capsys, lines, "--keep_going=False")[0] == 1
    assert not painted and [path.name for path in Path("out").rglob("*")] in ([], ["report.html"])


# One line each


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed=" + "9" * 5000],
        ["--seed=1\n2"],
        ["--no\nsuch=1"],
        ["--style_option=\x1b[2J"],
        ["--content_image_path=a\nb\x07.png"],
        ["--content_image_path=" + "a" * 5000],
        ["--content_image_path=\udcff"],
        ["--vgg19_weights=a\x1b]0;title\x07.npy"],
        ["--batch=a\nb"],
        ["--strength=" + "1\n" * 5000],
        ["--seg_classes=" + "a" * 100_000],
    ],
    ids=itertools.count(),
)
def test_an_error_is_one_line_whatever_it_quotes(folder, capsys, arguments):
    photos = [f"--{name}_image_path={name}.png" for name in ("content", "style")]
    code, lines = run(
        capsys, *photos, "--vgg19_weights=learned", "--content_seg_path=content.png", "--style_seg_path=style.png", *arguments
    )
    assert code in (1, 2) and len(lines) == 1 and lines[0].startswith("error: ")


# As a program


COMMON = {
    "content_image_path": DATA / "content.png",
    "style_image_path": DATA / "style.png",
    "serial": "snapshots",
    "vgg19_weights": DATA / "thin_vgg19.npy",
    "output_image": "result.png",
    "quiet": True,
}


def command(**options):
    return [sys.executable, str(SCRIPT), *(f"--{name}={value}" for name, value in (COMMON | options).items())]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_program_with_the_best_image_saved(folder, capsys, number):
    def kill_later():
        until = time.monotonic() + 120
        while not Path("snapshots/out_iter_3.png").exists() and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=kill_later)
    thread.start()
    code, lines = run(capsys, **COMMON, solver="reference", style_option=1, max_iter=100_000, save_iter=1)
    thread.join()
    assert (code, lines) == (130, ["warning: the best image so far is in result.png"])
    with Image.open("result.png") as result:
        assert result.size == (61, 45)
    assert not [*folder.rglob(".*")]


@pytest.mark.slow
def test_sigterm_ends_a_batch_with_its_report(tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(DATA / "content.png", tmp_path / "photos" / "a.png")
    line = command(solver="reference", style_option=1, max_iter=100_000, save_iter=1, batch="photos")
    line = [part for part in line if not part.startswith(("--content_image_path", "--serial", "--output_image"))]
    with subprocess.Popen([*line, "--output_dir=out"], stderr=subprocess.PIPE, text=True, cwd=tmp_path) as program:
        third, until = tmp_path / "out" / "a" / "a_out_iter_3.png", time.monotonic() + 120
        while not third.exists() and program.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        program.terminate()
        _, error = program.communicate(timeout=60)
    assert (program.returncode, error) == (130, "warning: a.png: the best image so far is in out/a.png\n")
    assert (tmp_path / "out" / "a.png").exists() and "stopped" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_where_no_place_takes_the_result_one_line_says_so_and_nothing_is_half_written(folder, capsys):
    # No file may be even as large as the result at the size where it is solved.
    with Image.open(DATA / "content.png") as photo:
        noise = np.random.default_rng(0).integers(0, 40, (540, 732, 3), np.uint8)
        Image.fromarray(np.asarray(photo.convert("RGB").resize((732, 540))) // 2 + noise).save("large.png")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        options = {"content_image_path": "large.png", "max_size": 61, "style_option": 0, "max_iter": 2}
        code, lines = run(capsys, **(COMMON | options))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1 and len(lines) == 1 and lines[0].startswith("error: output image result.png cannot be written (")
    assert "; free disk space or memory and run it again, for snapshots and " in lines[0]
    assert not Path("result.png").exists() and not [*folder.rglob(".*")]


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a disk of its own, of 200 KiB. A file that is left open there, and so keeps its space, is an error."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only the superuser can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_reported_before_the_solve(folder, small_disk, capsys):
    (small_disk / "full").write_bytes(bytes(200 * 1024))
    code, lines = run(capsys, **(COMMON | {"output_image": "disk/result.png"}))
    assert code == 1 and len(lines) == 1 and lines[0].startswith("error: output image disk/result.png cannot be written (")
    assert [path.name for path in small_disk.iterdir()] == ["full"]


@pytest.mark.slow
def test_a_result_for_which_the_disk_is_too_full_is_saved_beside_the_snapshots(folder, small_disk, capsys):
    noise = np.random.default_rng(0).integers(0, 255, (360, 488, 3), np.uint8)
    Image.fromarray(noise).save("large.png")
    options = {
        "content_image_path": "large.png",
        "output_image": "disk/result.png",
        "max_size": 61,
        "style_option": 0,
        "max_iter": 2,
    }
    code, lines = run(capsys, **(COMMON | options))
    assert code == 1 and len(lines) == 1 and lines[0].startswith("error: output image disk/result.png cannot be written (")
    saved = Path(lines[0].rpartition("it is saved as ")[2])
    assert saved.parent.parent == Path("snapshots")
    with Image.open(saved) as result:
        assert result.size == (488, 360)
    assert not [*small_disk.iterdir()] and not [*folder.rglob(".*")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gibibytes", "user", "least"), [(0.2, "this program", 0.5), (1.5, "TensorFlow", 3), (2.9, "TensorFlow", 3)]
)
def test_a_small_address_space_is_reported_in_one_line(tmp_path, gibibytes, user, least):
    limit = int(gibibytes * 2**30)
    done = subprocess.run(
        command(max_iter=2),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    wrong = f"error: the address space of {gibibytes} GiB is too small for {user}; allow {least} GiB or more with ulimit -v\n"
    assert (done.returncode, done.stderr) == (1, wrong)


def test_a_damaged_photo_makes_no_library_speak(folder, capfd):
    content = Path("content.png").read_bytes()
    for cut in range(60, len(content), len(content) // 8):
        Path("cut.png").write_bytes(content[:cut])
        assert main(["--content_image_path=cut.png", "--style_image_path=style.png", "--vgg19_weights=learned"]) == 1
        error = capfd.readouterr().err
        assert error.count("\n") == 1 and error.startswith("error: content image cut.png "), error
    assert read_photo("content.png").samples.shape == (45, 61, 3)
