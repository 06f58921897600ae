# The types of photo_style for type checkers. It is a module of its own, which cannot carry `py.typed` (PEP 561), so this is
# installed beside it as the package photo_style-stubs.
from collections.abc import Callable

from dpst import __version__ as __version__
from dpst.errors import Cancelled as Cancelled
from dpst.errors import UserError as UserError
from dpst.files.luts import Lut as Lut
from dpst.files.photos import Photo as Photo
from dpst.files.photos import read_photo as read_photo
from dpst.files.writing import write_photo as write_photo
from dpst.imaging.pictures import Mask, Picture
from dpst.options import Options as Options
from dpst.regions.reading import read_regions as read_regions
from dpst.regions.regions import Regions as Regions
from dpst.solver.result import Result as Result
from dpst.solver.stages import REFINEMENT as REFINEMENT
from dpst.solver.stages import SEGMENTED as SEGMENTED
from dpst.solver.stages import Progress as Progress
from vgg19.network import Network as Network
from vgg19.networks import Networks as Networks

def stylize(
    content: Picture,
    style: Picture,
    content_mask: Mask | None = None,
    style_mask: Mask | None = None,
    *,
    options: Options | None = None,
    regions: Regions | None = None,
    network: Network | Networks | None = None,
    init: Picture | None = None,
    by_place: bool = True,
    callback: Callable[[Progress], None] | None = None,
    **chosen: object,
) -> Result: ...
