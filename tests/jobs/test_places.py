"""No input of any job is ever replaced, by whatever name it is reached, and each result is one job's."""

import contextlib
import dataclasses
import os
import shutil

import pytest
from conftest import DATA

from dpst.errors import UserError
from dpst.jobs.files_in_use import FilesInUse
from dpst.jobs.places import lut_paths, output_images, prepare_folders, record_path
from dpst.options import Options


@pytest.fixture
def options(tmp_path):
    """A job with files of its own, in folders of inputs and outputs."""
    for folder in ("in", "masks", "out"):
        (tmp_path / folder).mkdir()
    for name in ("content.png", "style.png", "content_seg.png", "style_seg.png"):
        shutil.copy(DATA / name, tmp_path / "in" / name)
    shutil.copy(DATA / "content_seg.png", tmp_path / "masks" / "sky.png")
    return Options(
        content_image_path=str(tmp_path / "in" / "content.png"),
        style_image_path=str(tmp_path / "in" / "style.png"),
        output_image=str(tmp_path / "out" / "a.png"),
        serial=str(tmp_path / "out"),
        vgg19_weights="learned",
    )


def claim(*jobs):
    """The jobs of a run, each claiming its files in turn."""
    with contextlib.closing(FilesInUse()) as files:
        for job in jobs:
            files.add_inputs(job)
        for job in jobs:
            files.add_outputs(job)


def refused(*jobs):
    with pytest.raises(UserError) as error:
        claim(*jobs)
    return str(error.value)


def test_files_of_their_own_are_fine(options, tmp_path):
    jobs = dataclasses.replace(options, batch="jobs.csv", style_option=2)
    claim(*(dataclasses.replace(jobs, output_image=str(tmp_path / "out" / name)) for name in ("a.png", "b.png")))


def link(make, folder):
    make(folder / "in" / "content.png", folder / "out" / "link.png")
    return folder / "out" / "link.png"


def linked_folder(folder):
    os.symlink(folder / "in", folder / "also")
    return folder / "also"


WAYS = {
    "itself": lambda folder: folder / "in" / "content.png",
    "another spelling": lambda folder: f"{folder}/out/../in/./content.png",
    "symbolic link": lambda folder: link(os.symlink, folder),
    "hard link": lambda folder: link(os.link, folder),
    "linked folder": lambda folder: linked_folder(folder) / "content.png",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["output_image", "mask_preview"])
def test_an_input_is_not_replaced_by_whatever_name(options, tmp_path, way, name):
    path, role = str(WAYS[way](tmp_path)), name.replace("_", " ")
    message = refused(dataclasses.replace(options, **{name: path}))
    assert message == f"{role} {path} would overwrite the input {tmp_path}/in/content.png; choose another place"


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({"style_image_path": "out/a.png"}, "output image"),
        ({"content_seg_path": "out/a.png", "style_seg_path": "in/style_seg.png"}, "output image"),
        ({"init_image_path": "out/tmp_result.png", "style_option": 2}, "snapshot"),
        ({"init_image_path": "out/out_iter_100.png"}, "snapshot"),
        ({"content_seg_path": "out/", "style_seg_path": "masks/"}, "output image"),  # a file in a folder of masks
        ({"content_seg_path": "masks/", "style_seg_path": "masks/", "mask_preview": "masks/sky.png"}, "mask preview"),
        ({"style_image_path": "out/a.png", "lut": "out/a.png", "output_image": "out/b.png"}, "LUT"),
        ({"style_image_path": "out/a_sky.png", "lut": "out/a_{region}.png", "output_image": "out/b.png"}, "LUT"),
        ({"vgg19_weights": "out/a.json"}, "record"),
        ({"vgg19_weights": "out/a.log"}, "log"),
        ({"style_image_path": "out/auto_style_seg.png", "auto_seg": "3"}, "mask"),
    ],
)
def test_every_file_that_is_written_and_every_input_counts(options, tmp_path, changes, role):
    for name in ("a.png", "tmp_result.png", "out_iter_100.png", "a_sky.png", "auto_style_seg.png", "a.json", "a.log"):
        shutil.copy(DATA / "content.png", tmp_path / "out" / name)
    chosen = {name: f"{tmp_path}/{value}" if "/" in str(value) else value for name, value in changes.items()}
    assert refused(dataclasses.replace(options, **chosen)).startswith(f"{role} {tmp_path}")


def test_what_another_run_left_can_be_the_start_of_this_one(options, tmp_path):
    shutil.copy(DATA / "init.png", tmp_path / "out" / "tmp_result.png")
    claim(dataclasses.replace(options, style_option=1, init_image_path=str(tmp_path / "out" / "tmp_result.png")))


@pytest.mark.parametrize("there", [True, False])
def test_no_job_replaces_what_another_reads_before_or_after_it(options, tmp_path, there):
    other = dataclasses.replace(options, output_image=str(tmp_path / "out" / "b.png"), content_image_path=options.output_image)
    if there:
        shutil.copy(DATA / "content.png", options.output_image)
    path = options.output_image
    for jobs in ((options, other), (other, options)):
        assert refused(*jobs) == f"output image {path} would overwrite the input {path}; choose another place"


def test_each_file_is_written_by_one_job(options, tmp_path):
    other = dataclasses.replace(options, content_image_path=str(tmp_path / "in" / "style.png"))
    path, content = options.output_image, options.content_image_path
    assert refused(options, other) == f"output image {path} is also written for {content}; give each its own name"
    os.symlink(tmp_path / "out", tmp_path / "also out")
    twin = dataclasses.replace(other, output_image=str(tmp_path / "also out" / "a.png"))
    assert "is also written for" in refused(options, twin)


BY_PRODUCTS = {
    "first stage": ("x/tmp_result.png", {"style_option": 2}),
    "snapshot": ("x/out_iter_300.png", {}),
    "mask": ("x/auto_style_seg.png", {"auto_seg": "3"}),
}


@pytest.mark.parametrize("by_product", BY_PRODUCTS)
@pytest.mark.parametrize("many", [False, True])
def test_no_by_product_replaces_another_jobs_result(options, tmp_path, by_product, many):
    name, changes = BY_PRODUCTS[by_product]
    own = name.replace("x/", "x/a_") if many else name
    result = dataclasses.replace(options, output_image=str(tmp_path / own), serial=str(tmp_path / "y"))
    other = dataclasses.replace(options, serial=str(tmp_path / "x"), batch="jobs.csv" if many else "", **changes)
    for jobs in ((result, other), (other, result)):
        assert refused(*jobs).endswith(f" is also written for {options.content_image_path}; give each its own name")
    os.mkdir(tmp_path / "y")
    os.symlink(tmp_path / "y", tmp_path / "x")  # the same by another way
    linked = dataclasses.replace(result, output_image=str(tmp_path / own.replace("x/", "y/")))
    assert "is also written for" in refused(linked, other)


def test_results_named_like_snapshots_are_each_others_concern_no_more_than_others(options, tmp_path):
    names = ("out_iter_1.png", "out_iter_2.png")
    claim(*(dataclasses.replace(options, output_image=str(tmp_path / name), serial=str(tmp_path / name[:-4])) for name in names))


def test_results_that_are_links_of_one_file_are_several_files(options, tmp_path):
    jobs = [
        dataclasses.replace(options, output_image=str(tmp_path / f"{name}.png"), serial=str(tmp_path / name)) for name in "ab"
    ]
    shutil.copy(DATA / "content.png", tmp_path / "a.png")
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    claim(*jobs)


def test_a_job_that_is_refused_adds_no_files(options, tmp_path):
    with contextlib.closing(FilesInUse()) as files:
        files.add_outputs(options)
        other = dataclasses.replace(options, output_image=str(tmp_path / "b.png"), mask_preview=options.output_image)
        with pytest.raises(UserError, match="is also written for"):
            files.add_outputs(other)
        files.add_outputs(dataclasses.replace(other, mask_preview="", serial=str(tmp_path / "b")))


@pytest.mark.parametrize(
    ("result", "is_refused"),
    [("out/look_sky.png", True), ("out/look_.png", False), ("out/look_sky.jpg", False), ("out/x/look_sky.png", False)],
)
def test_no_lut_of_a_region_replaces_another_jobs_result(options, tmp_path, result, is_refused):
    other = dataclasses.replace(options, output_image=str(tmp_path / result), serial=str(tmp_path / "y"))
    luts = dataclasses.replace(options, lut=str(tmp_path / "out" / "look_{region}.png"))
    for jobs in ((luts, other), (other, luts)):
        if is_refused:
            assert refused(*jobs).endswith(f"written for {options.content_image_path}; give each its own name")
        else:
            claim(*jobs)


def test_no_lut_of_a_region_replaces_the_jobs_own_result(options, tmp_path):
    lut, own = str(tmp_path / "out" / "look_{region}.png"), str(tmp_path / "out" / "look_sky.png")
    message = refused(dataclasses.replace(options, lut=lut, output_image=own))
    assert message == f"LUT {lut} could overwrite the output image {own}; give each its own name"
    claim(dataclasses.replace(options, lut=lut, output_image=str(tmp_path / "out" / "sky.png")))


def test_what_a_job_reads_that_cannot_run_counts_no_more(options, tmp_path):
    bad = dataclasses.replace(options, style_image_path=str(tmp_path / "out" / "b.png"), output_image=str(tmp_path / "c.png"))
    good = dataclasses.replace(options, output_image=bad.style_image_path)
    for readers, is_free in (([bad], True), ([bad, dataclasses.replace(bad, serial=str(tmp_path))], False)):
        with contextlib.closing(FilesInUse()) as files:
            for job in (*readers, good):
                files.add_inputs(job)
            files.remove_inputs(bad)
            with contextlib.nullcontext() if is_free else pytest.raises(UserError, match="would overwrite the input"):
                files.add_outputs(good)


def test_without_room_for_what_is_read_that_job_alone_is_refused(options, tmp_path):
    with contextlib.closing(FilesInUse()) as files:
        full = dataclasses.replace(options, output_image=str(tmp_path / "full.png"))
        files.add_inputs(options)
        files._base.execute("PRAGMA max_page_count = 1")  # SQLite takes it for as many as there are
        long = [str(tmp_path / f"{number}{'x' * 200}") for number in range(200)]
        for path in long:
            files.add_inputs(dataclasses.replace(full, content_image_path=path))
        with pytest.raises(UserError, match=r"^the files of all jobs cannot be tracked \(.*full\); free space for temporary"):
            files.add_outputs(dataclasses.replace(full, content_image_path=long[-1]))
        files._base.execute("PRAGMA max_page_count = 1000000")
        files.add_outputs(options)


def test_nor_does_one_job_write_two_results_in_one_file(options):
    assert "is also written for" in refused(dataclasses.replace(options, mask_preview=options.output_image))


def test_names_that_are_no_utf8(options, tmp_path):
    path = str(tmp_path / "in" / "caf\udce9.png")
    shutil.copy(DATA / "content.png", path)
    assert "would overwrite" in refused(dataclasses.replace(options, content_image_path=path, output_image=path))


def test_folders_are_made_for_what_is_written(options, tmp_path):
    there = {
        "auto_seg": "0",
        "output_image": str(tmp_path / "x" / "a.png"),
        "serial": str(tmp_path / "y"),
        "lut": str(tmp_path / "z" / "a.cube"),
    }
    job = dataclasses.replace(options, **there, mask_preview=str(tmp_path / "m" / "m.png"))
    before = set(os.listdir(tmp_path))
    prepare_folders(dataclasses.replace(job, dry_run=True))
    assert set(os.listdir(tmp_path)) - before == {"m"}
    (tmp_path / "m" / ".m.png.0123abcd.part").touch()  # as a run leaves that was killed
    prepare_folders(job)
    assert set(os.listdir(tmp_path)) - before == {"m", "x", "y", "z"} and not [*tmp_path.rglob(".*")]
    assert record_path(job) == tmp_path / "y" / "a.json"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^folder of output image .*file/x/a.png cannot be created"):
        prepare_folders(dataclasses.replace(job, output_image=str(tmp_path / "file" / "x" / "a.png")))


def test_a_single_strength_keeps_the_name():
    assert output_images(Options(output_image="a/b.jpg", strength="0.5")) == ("a/b.jpg",)
    assert output_images(Options(output_image="a/b.jpg", strength="0,1.0")) == ("a/b_0.jpg", "a/b_1.jpg")


def test_files_are_named_after_realism_and_strength():
    options = Options(style_option=2, realism="0,1", strength="0.5,1", output_image="a/b.png")
    assert output_images(options) == ("a/b_realism0_0.5.png", "a/b_realism0_1.png", "a/b_realism1_0.5.png", "a/b_realism1_1.png")
    assert output_images(Options(style_option=2, realism="2", output_image="b.png")) == ("b.png",)


def test_paths_of_luts():
    assert lut_paths(Options()) == ()
    assert lut_paths(Options(lut="a.cube", strength="0.5,1")) == ("a.cube",)
    assert lut_paths(Options(lut="a_{region}.png", realism="0,2", style_option=2)) == (
        "a_{region}_realism0.png",
        "a_{region}_realism2.png",
    )
