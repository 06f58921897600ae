"""Where the jobs of a batch come from."""

import dataclasses
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from conftest import DATA

from dpst.batch.manifest import find_jobs
from dpst.errors import UserError
from dpst.jobs.job import Job, Outcome
from dpst.options import Options


def photo(path, source="content.png"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / source, path)
    return path


def jobs(batch, **options):
    jobs = find_jobs(Options(batch=str(batch), output_dir="out", **options), "command")
    found = list(jobs)
    assert len(found) == len(jobs)
    return found


def test_the_papers_layout(tmp_path):
    for number in (10, 2, 1):
        photo(tmp_path / "input" / f"in{number}.png")
        photo(tmp_path / "style" / f"tar{number}.png")
    photo(tmp_path / "style" / "tar2.jpg", "style.png").with_name("tar2.png").unlink()
    for name in ("in1.png", "tar1.png", "in2.png"):
        photo(tmp_path / "segmentation" / name)
    (tmp_path / "segmentation" / "tar10").mkdir()
    (tmp_path / "input" / "Thumbs.db").touch()
    found = jobs(tmp_path, seed=3)
    assert [job.name for job in found] == ["in1.png", "in2.png", "in10.png"]
    assert {job.options.seed for job in found} == {3}
    assert {job.command for job in found} == {"command"}
    paths = [
        [
            str(Path(getattr(job.options, name)).relative_to(tmp_path))
            for name in ("style_image_path", "content_seg_path", "style_seg_path")
        ]
        for job in found
    ]
    assert paths == [
        ["style/tar1.png", "segmentation/in1.png", "segmentation/tar1.png"],
        ["style/tar2.jpg", "segmentation/in2.png", "segmentation/tar2.png"],  # not there: the check says so
        ["style/tar10.png", "segmentation/in10.png", "segmentation/tar10"],
    ]
    assert [job.options.output_image for job in found] == ["out/in1.png", "out/in2.png", "out/in10.png"]
    assert [job.options.serial for job in found] == ["out/in1", "out/in2", "out/in10"]
    assert found[0].options.mask_preview == "out/in1/in1_regions.jpg"


def test_content_photos_with_one_style(tmp_path):
    for name in ("b.jpg", "a.png"):
        photo(tmp_path / "photos" / name)
    photo(tmp_path / "masks" / "a.png")
    options = {"style_image_path": "s.png", "style_seg_path": "m.png", "content_seg_path": str(tmp_path / "masks")}
    first, second = (job.options for job in jobs(tmp_path / "photos", **options))
    assert (first.content_image_path, first.style_image_path) == (str(tmp_path / "photos" / "a.png"), "s.png")
    assert (first.content_seg_path, first.style_seg_path) == (str(tmp_path / "masks" / "a.png"), "m.png")
    assert second.content_seg_path == str(tmp_path / "masks" / "b.png")  # not there: the check says so
    assert (first.output_image, second.output_image) == ("out/a.png", "out/b.jpg")
    plain = jobs(tmp_path / "photos", style_image_path="s.png", auto_seg="0")[0].options
    assert (plain.content_seg_path, plain.mask_preview) == ("", "")


def test_photos_that_differ_by_their_extensions_alone_have_results_of_their_own(tmp_path):
    for name in ("a.png", "a.jpg", "b.jpg", "c.JPG", "c.jpeg"):
        photo(tmp_path / "photos" / name)
    photo(tmp_path / "masks" / "a.png")
    found = jobs(tmp_path / "photos", style_image_path="s.png", content_seg_path=str(tmp_path / "masks"), style_seg_path="m.png")
    names = {Path(job.options.content_image_path).name: job.options.output_image for job in found}
    own = {
        "a.jpg": "out/a.jpg",
        "a.png": "out/a_png.png",
        "b.jpg": "out/b.jpg",
        "c.JPG": "out/c.JPG",
        "c.jpeg": "out/c_jpeg.jpeg",
    }
    assert names == own
    assert len({job.options.serial for job in found}) == 5
    assert [job.options.content_seg_path for job in found[:2]] == [str(tmp_path / "masks" / "a.png")] * 2


def test_pictures_that_are_not_read_from_folders_are_counted_once_and_other_files_passed_over(tmp_path, caplog):
    photo(tmp_path / "a.png")
    for name in ("1.HEIC", "2.heic", "3.NEF", "Thumbs.db", ".DS_Store", "._4.heic", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    wanted = f"folder {tmp_path} contains pictures that are skipped (2 .heic, 1 .nef); export them as JPEG, PNG or TIFF"
    for _ in range(2):  # of the same process: each batch says so for itself
        caplog.clear()
        found = find_jobs(Options(batch=str(tmp_path), style_image_path="s.png"), "")
        for _ in range(2):
            assert [job.name for job in found] == ["a.png"]
        assert [record.getMessage() for record in caplog.records] == [wanted]


def test_the_jobs_of_a_manifest_are_made_anew_each_time(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("content_image_path\na.png\nb.png\n")
    found = find_jobs(Options(batch=str(path)), "")
    assert [[job.name for job in found] for _ in range(2)] == [["a.png", "b.png"]] * 2


def test_both_kinds_of_manifest_hold_the_same_jobs(tmp_path):
    rows = [
        {"content_image_path": "a.png", "style_weight": 7, "lbfgs": False, "max_iter": 20, "output_image": "deep/x.png"},
        {"content_image_path": "/b.gif", "style_weight": None, "lbfgs": True, "max_iter": 30, "seg_classes": "a=1,b=2"},
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [["" if row.get(name) is None else str(row[name]) for name in names] for row in rows]
    lines = [",".join(names), *(",".join(f'"{cell}"' for cell in row) for row in cells)]
    (tmp_path / "a.csv").write_text("\ufeff" + "\n\n".join(lines), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    options = {"style_image_path": "s.png", "style_weight": 50.0}
    from_csv, from_json = (jobs(tmp_path / f"a.{kind}", **options) for kind in ("csv", "jsonl"))
    for csv_job, json_job in zip(from_csv, from_json, strict=True):
        assert dataclasses.replace(csv_job.options, batch="") == dataclasses.replace(json_job.options, batch="")
    first, second = (job.options for job in from_json)
    assert (first.style_weight, first.lbfgs, first.max_iter) == (7.0, False, 20)
    assert (second.style_weight, second.lbfgs, second.seg_classes) == (50.0, True, "a=1,b=2")
    assert (first.content_image_path, second.content_image_path) == (str(tmp_path / "a.png"), "/b.gif")
    assert (first.output_image, first.serial) == ("out/deep/x.png", "out/deep/x")
    assert (second.output_image, second.style_image_path) == ("out/b.png", "s.png")


def test_of_weights_files_alone_are_beside_the_manifest(tmp_path):
    lines = [{"content_image_path": "a.png", "vgg19_weights": weights} for weights in ("learned", "mine.npz")]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [job.options.vgg19_weights for job in jobs(tmp_path / "a.jsonl")] == ["learned", str(tmp_path / "mine.npz")]


def test_regions_to_be_found_are_a_number_or_semantic(tmp_path):
    values = [3, "3", "semantic", 0, None]
    (tmp_path / "a.jsonl").write_text(
        "".join(f'{{"content_image_path": "a.png", "auto_seg": {json.dumps(v)}}}\n' for v in values)
    )
    found = [job.options for job in jobs(tmp_path / "a.jsonl", auto_seg="2")]
    assert [options.auto_seg for options in found] == ["3", "3", "semantic", "0", "2"]
    assert [bool(options.mask_preview) for options in found] == [True, True, True, False, True]


def test_of_models_folders_alone_are_beside_the_manifest(tmp_path):
    (tmp_path / "a.csv").write_text("content_image_path,seg_model\na.png,segformer_b2_ade20k_512\na.png,mine\n")
    assert [job.options.seg_model for job in jobs(tmp_path / "a.csv")] == ["segformer_b2_ade20k_512", str(tmp_path / "mine")]


BAD_LINES = {
    '{"content_image_path": ': "the line is not valid JSON (Expecting value); write an object such as ",
    "[1]": "the line is not a JSON object; write one such as ",
    '{"style_wieght": 3}': "column 'style_wieght' is not an option of a job; use style_weight",
    '{"workers": 3}': "column 'workers' is not an option of a job; ",
    '{"device": "cpu"}': "column 'device' is not an option of a job; ",
    '{"style_weight": "much"}': "style_weight much is not a number; give a number",
    '{"max_iter": 2.5}': "max_iter 2.5 is not a whole number; give a whole number",
    '{"lbfgs": "maybe"}': "lbfgs maybe is not True or False; give True or False",
    '{"auto_seg": true}': "`auto_seg` true is unknown; use one of auto, 0, 2, 3, 4, 5, 6, 7, 8, 9, semantic",
    '{"style_weight": -1}': "`style_weight` -1.0 is too small; use 0 or more",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_that_jobs_alone(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"content_image_path": "a.png"}}\n\n{line}\n{{"content_image_path": "b.png"}}\n')
    first, bad, last = jobs(path)
    assert isinstance(first, Job) and isinstance(last, Job) and isinstance(bad, Outcome)
    assert (bad.name, bad.status, bad.options) == ("line 3", "left out", None)
    assert bad.error.startswith(f"manifest {path} line 3: {BAD_LINES[line]}")


def test_a_cell_too_many(tmp_path):
    (tmp_path / "a.csv").write_text("content_image_path,seg_classes\na.png,sky=1,sea=2\n")
    (bad,) = jobs(tmp_path / "a.csv")
    assert bad.error.endswith("line 2: the line has more cells than the first line has names; quote cells with commas")


def bad_batches(folder):
    """Options of batches that cannot be, and what is said."""
    photo(folder / "photos" / "a.png")
    photo(folder / "pairs" / "input" / "in1.png")
    (folder / "pairs" / "style").mkdir()
    (folder / "empty").mkdir()
    (folder / "a.txt").touch()
    os.mkfifo(folder / "pipe.csv")
    (folder / "none.csv").write_text("content_image_path\n")
    (folder / "wrong.csv").write_text("content_image_path,colour\na.png,red\n")
    (folder / "semicolons.csv").write_text("content_image_path;output_image\na.png;b.png\n")
    yield (
        "semicolons.csv",
        {},
        "manifest {}/semicolons.csv line 1: column 'content_image_path;output_image' is several; put commas between them",
    )
    (folder / "utf16.jsonl").write_text('{"content_image_path": "a.png"}\n', encoding="utf-16")
    yield "utf16.jsonl", {}, "manifest {}/utf16.jsonl line 1: the text is in UTF-16; save it in UTF-8"
    yield "no.csv", {}, "--batch {}/no.csv does not exist; give a folder, or a manifest .csv or .jsonl"
    yield "a.txt", {}, "--batch {}/a.txt has an unknown type; give a folder, or a manifest .csv or .jsonl"
    yield "pipe.csv", {}, "--batch {}/pipe.csv has an unknown type; give a folder, or a manifest .csv or .jsonl"
    yield "empty", {}, "folder {}/empty contains no photos or clips; put .jpeg, .jpg, .png, .tif, .tiff, .webp files there"
    yield "none.csv", {}, "manifest {}/none.csv lists no jobs; write one on each line"
    yield "wrong.csv", {}, "manifest {}/wrong.csv line 1: column 'colour' is not an option of a job; "
    yield (
        "photos",
        {"output_image": "x.png"},
        "--output_image x.png is for one picture; with --batch use --output_dir, or a manifest",
    )
    yield (
        "photos",
        {"content_image_path": "x.png"},
        "--content_image_path and --batch {}/photos both give the content photos; use one",
    )
    missing = "--style_image_path is missing; give the style image for the photos of --batch {}/photos"
    yield "photos", {}, missing  # once, not for each photo
    yield "pairs", {"style_image_path": "x.png"}, "--batch {}/pairs contains its own style photos and masks; remove"


def test_a_batch_that_cannot_start_is_reported(tmp_path):
    for name, options, message in bad_batches(tmp_path):
        with pytest.raises(UserError) as error:
            find_jobs(Options(batch=str(tmp_path / name), **options), "")
        assert str(error.value).startswith(message.format(tmp_path))


def test_a_long_manifest_is_never_in_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"content_image_path": "a.png", "seed": 1}\n' * 1500)
    options = Options(batch=str(path))
    tracemalloc.start()
    try:
        found = find_jobs(options, "")
        assert sum(1 for _ in found) == len(found) == 1500
        assert tracemalloc.get_traced_memory()[1] < 300_000  # 1500 jobs take four times as much
    finally:
        tracemalloc.stop()
