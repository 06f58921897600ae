"""The repository itself: the examples that ship, and what the Makefile promises."""

import ast
import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import photo_style
from dpst.files.photos import read_photo
from dpst.options import Options
from dpst.regions.reading import read_regions

ROOT = Path(__file__).parent.parent
PAIRS = {"landscape": 3, "monument": 2, "portrait": 5}  # regions


@pytest.mark.parametrize("pair", PAIRS)
def test_masks_of_an_example_pair_match_without_a_word(pair, caplog):
    folder = ROOT / "examples" / pair
    content, style = (read_photo(str(folder / name)).pixels for name in ("content.jpg", "style.jpg"))
    paths = str(folder / "content_seg.png"), str(folder / "style_seg.png")
    for options in (Options(), Options(strict_masks=True)):
        regions = read_regions(*paths, content, style, options)
        assert len(regions.names) == PAIRS[pair]
        assert not regions.unmatched
        np.testing.assert_array_equal(regions.content.sum(axis=-1), 1)
        np.testing.assert_array_equal(regions.style.sum(axis=-1), 1)
    assert not caplog.records


def test_example_strokes_are_completed_to_the_example_masks(caplog):
    folder = ROOT / "examples" / "landscape"
    photos = [read_photo(str(folder / name)).pixels for name in ("content.jpg", "style.jpg")]
    given, completed = (
        read_regions(*(str(folder / f"{side}_{kind}.png") for side in ("content", "style")), *photos, Options())
        for kind in ("seg", "strokes")
    )
    order = [completed.names.index(name) for name in given.names]
    for masks, others in ((given.content, completed.content), (given.style, completed.style)):
        assert (masks.argmax(axis=-1) == others[..., order].argmax(axis=-1)).mean() > 0.94
    assert not caplog.records


def test_every_example_photo_is_small_and_credited():
    credited = (ROOT / "examples" / "CREDITS.md").read_text(encoding="utf-8")
    photos = sorted((ROOT / "examples").rglob("*.jpg"))
    assert len(photos) == 3 * len(PAIRS)  # content, style and result
    for photo in photos:
        assert f"`{photo.relative_to(ROOT / 'examples').as_posix()}`" in credited
        assert max(read_photo(str(photo)).size) == 512


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_every_target():
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE).group(1).split()
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in listed.splitlines()] == declared


@pytest.mark.parametrize(
    ("module", "may_import"),
    [
        ("closed_form_matting", {"dpst.errors", "dpst.imaging"}),
        (
            "photo_style",
            {"dpst", "dpst.solver", "dpst.regions", "dpst.files", "dpst.imaging", "dpst.options", "dpst.errors", "vgg19"},
        ),
    ],
)
def test_modules_at_the_top_import_downward_only(module, may_import):
    # The rooms below are held to it by import-linter, which knows packages alone.
    tree = ast.parse((ROOT / f"{module}.py").read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    rooms = {".".join(name.split(".")[: 2 if name.startswith("dpst.") else 1]) for name in imported if name}
    ours = {path.stem for path in ROOT.glob("*.py")} | {"vgg19"}
    assert {name for name in rooms if name in ours or name.startswith("dpst")} <= may_import


def test_type_checkers_see_the_library_as_it_is():
    stub = ast.parse((ROOT / "dpst" / "stubs" / "__init__.pyi").read_text(encoding="utf-8"))
    names = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname}
    (declared,) = (node for node in stub.body if isinstance(node, ast.FunctionDef))
    assert names | {declared.name} == set(photo_style.__all__)
    (defined,) = (
        node
        for node in ast.parse((ROOT / "photo_style.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == declared.name
    )
    assert ast.unparse(declared.args) == ast.unparse(defined.args)
    assert ast.unparse(declared.returns) == ast.unparse(defined.returns)


def test_every_package_is_installed():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"(.+?)"', re.search(r"^packages = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE).group(1))
    found = [path.parent.relative_to(ROOT) for name in ("dpst", "vgg19") for path in sorted((ROOT / name).rglob("__init__.py"))]
    assert {".".join(folder.parts) for folder in found} == set(listed) - {"photo_style-stubs"}


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_docs_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_the_docs_name_exist(page):
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"`[^`]*`|^    .*$", text, re.MULTILINE)
    ours = {field.name for field in dataclasses.fields(Options)} | {"help", "version"}
    theirs = {
        *("require-hashes", "output", "size", "reference_iter", "sizes"),
        *("regions", "megapixels", "end_to_end", "restyle", "fade", "hour"),
    }
    named = {name for each in code for name in re.findall(r"(?<![\w-])--([a-z][\w-]*)", each)}
    assert named <= ours | theirs


def test_pictures_of_the_gallery_are_small_and_shown():
    shown = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    pictures = sorted((ROOT / "docs" / "pictures").glob("gallery_*.jpg"))
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.stat().st_size < 60_000 and f"(pictures/{picture.name})" in shown


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_snippets_run_as_they_stand(page, tmp_path, monkeypatch):
    data = ROOT / "tests" / "data"
    for name, source in (
        ("content", "content"),
        ("style", "style"),
        ("content_mask", "content_seg"),
        ("style_mask", "style_seg"),
    ):
        kind = "png" if "mask" in name else "jpg"
        with Image.open(data / f"{source}.png") as picture:
            picture.convert("RGB").save(tmp_path / f"{name}.{kind}", **({} if kind == "png" else {"quality": 95}))
    shutil.copy(data / "thin_vgg19.npy", tmp_path / "vgg19.npy")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(snippet, page, "exec"), {})
    assert read_photo("result.jpg").size == read_photo("content.jpg").size
    assert not np.array_equal(read_photo("result.jpg").samples, read_photo("content.jpg").samples)


def test_every_guarantee_names_tests_that_exist():
    rows = [line for line in (ROOT / "docs" / "tests.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    guarantees = [row for row in rows if not row.startswith(("| guarantee |", "| --- |"))]
    assert len(guarantees) > 20
    for row in guarantees:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        for file, name in named:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_the_lock_pins_every_requirement_with_hashes():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9.-]+)==\S+", lock, re.MULTILINE))
    wanted = re.findall(r"^([a-z0-9.-]+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(wanted) <= pinned
    assert all("--hash=sha256:" in part for part in re.split(r"\n(?=\w)", lock) if "==" in part)
    assert "://" not in lock  # whoever installs it names the registry
