"""Every option of the tool, once: its default, its range and what it does to the picture.

The command line reads its defaults and its help from `Options`; the library takes an `Options`; a batch job is an
`Options` of its own. Nothing here needs TensorFlow, so `--help` and every wrong value answer at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable
from pathlib import PurePath

from dpst.option_checks import check_options, numbers_in

# Long sides in pixels of a solve without `max_size`: it takes about seven seconds on two cores, and about five with `preview`.
SOLVE_SIZE, PREVIEW_SIZE = 512, 160
# Maximum iterations of a stage of a preview.
PREVIEW_ITERATIONS = 25
# Above it, most colours are clipped.
MAX_STRENGTH = 2.0
# Above it, a look is only a weak colour grade.
MAX_REALISM = 3.0

# Beyond it single precision loses the other terms: at 256 pixels 1e7 led to foreign colours, and 1e8 to noise.
MAX_AFFINE = 1e6
# Single precision holds squares of no more; the variation's default is small, and its loss is an error of its own if too large.
MAX_WEIGHT, MAX_TV = 1e18, 1e35

# The values of `auto_seg` besides a number of regions: the number is chosen, or the photos are labelled.
AUTO, SEMANTIC = "auto", "semantic"
# Clips of film that are read, and those that are written.
CLIP_EXTENSIONS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mxf")
WRITTEN_CLIPS = (".mp4", ".mov", ".m4v", ".mkv")
H264, HEVC, PRORES, FFV1 = "h264", "hevc", "prores", "ffv1"
# Nodes a side of a LUT.
LUT_SIZES = (17, 33, 65)
# Colours that a LUT may be made for, the usual ones first; and what of a photo a result may keep.
LUT_PROFILES = ("srgb", "adobe-rgb", "rec709")
NOTHING, LIGHT = "nothing", "light"

# Texts that are accepted for True and False.
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


# Heading in --help of the options that people need first.
MOST_USED = "most used"
# Characters of a misspelt name that are compared with the names of options.
_LONGEST_NAME = 100


def _option(default, group: str, text: str, *, scope: str = "picture", changes_result: bool = True, file: str = "", **how):
    """A field of `Options`.

    Args:
        default: its value where the user gives none; its type is the option's.
        group: heading in `--help`.
        text: what it does, for `--help`.
        scope: what it belongs to: one "picture", the whole "batch", or the "console".
        changes_result: whether it may change the result; the contents of input files are compared separately.
        file: "input" or "output" for the path of one.
        how: `metavar`, and the rules of `option_checks`: `choices`; bounds, `minimum` or `above` and `maximum`; `numbers_to`, of
            lists of numbers; a `pattern` with what to use `instead`.
    """
    return dataclasses.field(
        default=default,
        metadata={"group": group, "help": text, "scope": scope, "changes_result": changes_result, "file": file, **how},
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """All options of one picture. Names and defaults of the reference script where it has them; its style option was 0."""

    content_image_path: str = _option(
        "",
        MOST_USED,
        "photo to restyle, or a clip: .mp4, .mov, .mkv and others (needs requirements-video.txt)",
        metavar="FILE",
        changes_result=False,
        file="input",
    )
    style_image_path: str = _option(
        "", MOST_USED, "photo that gives the look", metavar="FILE", changes_result=False, file="input"
    )
    content_seg_path: str = _option(
        "",
        MOST_USED,
        "mask of the content photo, with one colour for each region; for a clip also a clip or a folder, with a mask for each "
        "frame; without masks, regions of a photo are found (--auto_seg)",
        metavar="FILE",
        changes_result=False,
        file="input",
    )
    style_seg_path: str = _option(
        "",
        MOST_USED,
        "mask of the style photo; each region of the content takes the look of the region with the same colour",
        metavar="FILE",
        changes_result=False,
        file="input",
    )
    init_image_path: str = _option(
        "",
        "input",
        "picture to start from, and to refine with style option 1; by default the content photo",
        metavar="FILE",
        changes_result=False,
        file="input",
    )
    max_pixels: float = _option(
        200.0,
        "input",
        "largest picture to read, in megapixels; larger ones are refused before they are decoded",
        above=0,
        changes_result=False,
    )
    apply_lut: str = _option(
        "",
        "input",
        "instead of a style photo, a LUT to apply to the content photo or, with --batch, to a folder of photos, in seconds: "
        ".cube (1D or 3D) or a HaldCLUT, of any program. With {region} in the name, one for each region of --content_seg_path",
        metavar="FILE",
        changes_result=False,
        file="input",
    )

    output_image: str = _option(
        "best_stylized.png",
        MOST_USED,
        "the result; PNG, JPEG, TIFF or WebP by its extension, for a clip .mp4, .mov or .mkv",
        metavar="FILE",
        changes_result=False,
        file="output",
    )
    serial: str = _option(
        "",
        "output",
        "folder for the snapshots out_iter_N.png, the masks of found regions, the record of the run, a .json, and the result of "
        "the first stage, tmp_result.png. By default the latter is not written, and the others are next to the result, with its "
        "name in front, such as result.jpg.json; with --batch, all are in a folder with the name of the result",
        metavar="DIR",
        changes_result=False,
        file="output",
    )
    output_size: str = _option(
        "full",
        "output",
        "full: the photo's own size, with all its detail; solve: the size of the solve (--max_size)",
        choices=("full", "solve"),
    )
    strength: str = _option(
        "1",
        MOST_USED,
        "strength of the effect: photo + A * (result - photo), so 0 is the photo, 1 the result, and up to 2 exaggerates it. "
        "0.5,0.75,1 writes a file for each value, name_0.5.png and so on, and solves only once",
        metavar="A[,A...]",
        numbers_to=MAX_STRENGTH,
    )
    lut: str = _option(
        "",
        "output",
        "also write the look as a LUT for other photos and programs, at strength 1: .cube, or .png for a HaldCLUT. With {region} "
        "in the name, one LUT for each region, which is closer to the result",
        metavar="FILE",
        file="output",
    )
    lut_size: int = _option(33, "output", "nodes of the LUT along each side", choices=LUT_SIZES)
    lut_profile: str = _option(
        LUT_PROFILES[0],
        "output",
        "the colours that the LUT of --lut or --apply_lut is made for: srgb, as photos and most LUTs; adobe-rgb, Adobe RGB "
        "(1998); rec709, video on a display of gamma 2.4",
        choices=LUT_PROFILES,
    )
    keep: str = _option(
        NOTHING,
        "output",
        "light keeps the photo's own luma and changes only the colours, as the blend mode Colour of photo editors does; for "
        "styles and LUTs",
        choices=(NOTHING, LIGHT),
    )
    print_iter: int = _option(1, "output", "report the loss every N iterations", minimum=1, changes_result=False)
    save_iter: int = _option(100, "output", "save a snapshot every N iterations", minimum=1, changes_result=False)
    drop_exif: bool = _option(
        False,
        "output",
        "do not write camera, date and place (EXIF, XMP, IPTC) to the result; otherwise they are kept, IPTC from JPEG to JPEG",
    )
    quiet: bool = _option(False, "output", "print only warnings and errors", scope="console", changes_result=False)

    video_codec: str = _option(
        H264,
        "film",
        "codec of a clip: h264 plays everywhere; hevc is smaller and slower; prores and ffv1 (lossless) are large, for editing",
        choices=(H264, HEVC, PRORES, FFV1),
    )
    crf: int = _option(
        16,
        "film",
        "quality of h264 and hevc, from 0 (best) to 51; at 16 no difference is visible, 23 takes half the space",
        minimum=0,
        maximum=51,
    )

    one_look: bool = _option(
        False, "film", "one look for a whole clip, however many shots it has; by default, each shot gets its own"
    )

    style_option: int = _option(
        2,
        MOST_USED,
        "0 segmented style (painterly), 1 photorealistic refinement of the init image, 2 both in sequence (photo style transfer)",
        choices=(0, 1, 2),
    )
    solver: str = _option(
        "auto",
        "optimisation",
        "maps solves for a field of colour maps, so that the result stays a photograph; pixels changes every pixel and also "
        "transfers textures; reference follows the reference script step by step, which can take hours. auto is pixels for style "
        "option 0 and maps for 1 and 2",
        choices=("auto", "maps", "pixels", "reference"),
    )
    realism: str = _option(
        "1",
        MOST_USED,
        "with the maps solver, how much of the photo is kept: 0 transfers as much style as colour maps can, with glows and "
        "strong contrast; 1 keeps the visible structure of the photo; 2 is little more than a colour grade of each region. 0,1,2 "
        "writes a file for each value, name_realism0.png and so on, in little more than the time of one",
        metavar="A[,A...]",
        numbers_to=MAX_REALISM,
    )
    max_size: int = _option(
        0,
        "optimisation",
        f"long side in pixels of the solve, at most that of the photo; larger is finer and slower. 0 is {SOLVE_SIZE} "
        f"({PREVIEW_SIZE} with --preview), or less if there is too little memory",
        minimum=0,
        maximum=100_000,
    )
    preview: bool = _option(
        False,
        MOST_USED,
        "a quick preview for trying masks and weights: solved at a small size, stopped early, written at full size",
    )
    max_iter: int = _option(
        1000,
        "optimisation",
        "largest number of iterations of each stage (style option 2 has two) and, except with --solver reference, of each scale",
        minimum=1,
        maximum=1_000_000,
    )
    lbfgs: bool = _option(
        True, "optimisation", "with --solver reference: True for L-BFGS-B, False for Adam (slower, keeps more of the start image)"
    )
    learning_rate: float = _option(1.0, "optimisation", "step of Adam in levels of 0..255", above=0)
    content_weight: float = _option(
        5.0, "optimisation", "more keeps the content's objects, less lets the style in", minimum=0, maximum=MAX_WEIGHT
    )
    style_weight: float = _option(
        100.0, "optimisation", "more brings in more of the style's colours and textures", minimum=0, maximum=MAX_WEIGHT
    )
    tv_weight: float = _option(1e-3, "optimisation", "more removes noise and fine detail", minimum=0, maximum=MAX_TV)
    affine_weight: float = _option(
        1e4,
        "optimisation",
        "photorealism: more keeps edges straight and textures the content's own (options 1 and 2)",
        minimum=0,
        maximum=MAX_AFFINE,
    )
    seed: int = _option(
        0, "optimisation", "seed of everything random; the same seed gives the same picture", minimum=0, maximum=2**64 - 1
    )
    device: str = _option(
        "auto",
        "optimisation",
        "where to compute; auto uses a GPU if there is one",
        choices=("auto", "cpu", "gpu"),
        scope="batch",
    )

    vgg19_weights: str = _option(
        "auto",
        "weights",
        "auto (a vgg19.npy, else Keras' copy, else a download, else learned), pretrained (auto, but never learned), "
        "learned (features learned from the two photos), or a file: .npy, .h5 or .npz",
        metavar="auto|pretrained|learned|FILE",
    )

    strict_masks: bool = _option(
        False, "masks", "the reference's nine colours and thresholds; by default each pixel joins the nearest colour"
    )
    seg_classes: str = _option(
        "",
        "masks",
        "names for the colours of the masks, such as sky=0000ff,water=00ffff (for label images sky=2); other colours are ignored",
        metavar="NAME=COLOUR,...",
    )
    seg_scribbles: str = _option(
        "auto",
        "masks",
        "whether masks are strokes, which are completed to whole regions along the photo's edges. auto: if less than a fifth is "
        "painted and the rest is transparent; always: everything transparent is completed; never: nothing is; a colour, such as "
        "ffffff: the background that strokes are drawn on",
        metavar="auto|always|never|COLOUR",
        pattern="auto|always|never|#?[0-9a-fA-F]{6}",
        instead="auto, always, never or a colour (ffffff)",
    )
    missing_class: str = _option(
        "ignore",
        "masks",
        "what to do with a region that only the content mask has: ignore leaves it without a style, merge joins it to the region "
        "next to it, error stops",
        choices=("ignore", "merge", "error"),
    )
    refine_masks: bool = _option(
        False, "masks", "move the edges of the masks to the edges in the photos, softly where hair or leaves are"
    )
    auto_seg: str = _option(
        AUTO,
        "masks",
        "without masks, find this many regions, 2 to 9, that both photos have; or semantic: regions by what they show, "
        "sky, water, plants and so on (needs requirements-semantic.txt). Their masks are written as "
        "auto_content_seg.png and auto_style_seg.png (see --serial); you can correct copies of them and use those as masks. 0 "
        "finds none. auto is semantic if it is installed and its model has been downloaded, otherwise up to four regions, and "
        "none for style option 0 and --solver reference",
        choices=(AUTO, "0", *map(str, range(2, 10)), SEMANTIC),
        metavar=f"{AUTO}|K|{SEMANTIC}",
    )
    seg_model: str = _option(
        "segformer_b0_ade20k_512",
        "masks",
        "for --auto_seg semantic: a KerasHub SegFormer trained on ADE20K, b0 to b5, where larger ones are more accurate and "
        "slower; it is downloaded once. Or the folder of a copy",
        metavar="PRESET|FOLDER",
    )
    mask_preview: str = _option(
        "",
        "masks",
        "picture of both photos overlaid with their regions, written before solving",
        metavar="FILE",
        changes_result=False,
        file="output",
    )
    dry_run: bool = _option(
        False,
        "masks",
        "stop before the solve, after the table of regions, --mask_preview and the masks of --auto_seg",
        changes_result=False,
    )

    apply_smooth: bool = _option(
        True, "smoothing", "smooth the result along the content's edges after options 1 and 2; the maps solver does not need it"
    )
    f_radius: int = _option(15, "smoothing", "radius of that smoothing in pixels; larger is smoother", minimum=1, maximum=100)
    f_edge: float = _option(
        0.1,
        "smoothing",
        "how different neighbours may be and still be smoothed together; larger is smoother",
        above=0,
        maximum=10,
    )

    batch: str = _option(
        "",
        MOST_USED,
        "run many jobs: a folder of input/in1.png, style/tar1.png, segmentation/in1.png and segmentation/tar1.png; "
        "a folder of content photos for one --style_image_path (masks of the same names in the folder --content_seg_path); "
        "or a manifest, .csv or .jsonl, of paths and any other options, one job per line. Finished jobs are skipped",
        metavar="PATH",
        scope="batch",
        changes_result=False,
    )
    output_dir: str = _option(
        "results",
        "batch",
        "folder for the results, named after the content photos, and for report.html",
        metavar="DIR",
        scope="batch",
        changes_result=False,
    )
    allow_outside: bool = _option(
        False,
        "batch",
        "let a manifest write anywhere; by default its results must be in --output_dir, links followed",
        scope="batch",
        changes_result=False,
    )
    keep_going: bool = _option(
        True,
        "batch",
        "skip jobs that cannot run; with False, one such job stops the batch before it starts",
        scope="batch",
        changes_result=False,
    )
    workers: int = _option(
        1,
        "batch",
        "jobs at a time; more than 1 needs Ray (requirements-ray.txt)",
        minimum=1,
        maximum=1024,
        scope="batch",
        changes_result=False,
    )
    ray_address: str = _option(
        "",
        "batch",
        "run on a Ray cluster whose machines see the same files at the same paths; auto uses the cluster of this machine",
        metavar="ADDRESS",
        scope="batch",
        changes_result=False,
    )
    gpus_per_job: float = _option(
        0.0,
        "batch",
        "share of a GPU, and of its memory, for each worker, such as 0.5; 0 divides all GPUs among the workers",
        minimum=0,
        maximum=64,
        scope="batch",
        changes_result=False,
    )

    app: bool = _option(
        False,
        "page",
        "open a page in the browser: draw regions, try realism and strength, and download the result. It always uses "
        "--style_option 2; other options apply to all results. It needs requirements-page.txt",
        scope="console",
        changes_result=False,
    )
    app_host: str = _option(
        "127.0.0.1",
        "page",
        "address of the page. The default is for this machine only; with any other, everyone who can reach the address can use "
        "the page",
        metavar="ADDRESS",
        scope="console",
        changes_result=False,
    )
    app_port: int = _option(
        7860, "page", "port of the page; 0 chooses a free one", minimum=0, scope="console", changes_result=False
    )

    def __post_init__(self):
        check_options(self)

    @property
    def solve_size(self) -> int:
        """Long side in pixels at which the style is solved, memory and the photo's own size permitting."""
        return self.max_size or (PREVIEW_SIZE if self.preview else SOLVE_SIZE)

    @property
    def regions_size(self) -> int:
        """Long side in pixels at which regions are found: no less than a full solve's, so that a preview has the same regions."""
        return max(self.solve_size, SOLVE_SIZE)

    @property
    def as_preview(self) -> Options:
        """The options, of a preview those that end early; it is small unless the user has fixed its size."""
        return dataclasses.replace(self, max_iter=min(self.max_iter, PREVIEW_ITERATIONS)) if self.preview else self

    @property
    def is_clip(self) -> bool:
        """Whether the content is a clip of film, by its extension."""
        return is_clip_name(self.content_image_path)

    @property
    def solver_used(self) -> str:
        """The solver that `solver` stands for: maps, pixels or reference."""
        return self.solver if self.solver != "auto" else "maps" if self.style_option else "pixels"

    @property
    def auto_seg_used(self) -> str:
        """What `auto_seg` asks for where it counts, that is without masks: a number, `auto`, `semantic`, or "" for nothing."""
        # Regions that are found in a clip would not follow what moves.
        never = self.auto_seg == "0" or self.content_seg_path or self.apply_lut or self.is_clip
        if self.auto_seg == AUTO and (self.style_option == 0 or self.solver_used == "reference"):
            return ""
        return "" if never else self.auto_seg

    @property
    def realisms(self) -> tuple[float, ...]:
        """The numbers of `realism`."""
        return numbers_in("`realism`", self.realism, MAX_REALISM)

    @property
    def strengths(self) -> tuple[float, ...]:
        """The numbers of `strength`."""
        return numbers_in("`strength`", self.strength, MAX_STRENGTH)


def is_clip_name(path: str | os.PathLike) -> bool:
    """Whether a file is a clip of film, by its extension."""
    return PurePath(path).suffix.lower() in CLIP_EXTENSIONS


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The name that a misspelt one was probably meant to be; none if all are too different."""
    return difflib.get_close_matches(name[:_LONGEST_NAME], list(names), 1, cutoff=0.7)


_FIELDS = dataclasses.fields(Options)
# The options of the reference script.
REFERENCE_OPTIONS = (
    "content_image_path",
    "style_image_path",
    "content_seg_path",
    "style_seg_path",
    "init_image_path",
    "output_image",
    "serial",
    "max_iter",
    "learning_rate",
    "print_iter",
    "save_iter",
    "lbfgs",
    "content_weight",
    "style_weight",
    "tv_weight",
    "affine_weight",
    "style_option",
    "apply_smooth",
    "f_radius",
    "f_edge",
)
INPUT_FILES = tuple(field.name for field in _FIELDS if field.metadata["file"] == "input")
OUTPUT_FILES = tuple(field.name for field in _FIELDS if field.metadata["file"] == "output")
# Options that can differ between the jobs of a batch, and those that do not change the result.
PICTURE_OPTIONS = tuple(field.name for field in _FIELDS if field.metadata["scope"] == "picture")
OPTIONS_WITHOUT_EFFECT = frozenset(field.name for field in _FIELDS if not field.metadata["changes_result"])
