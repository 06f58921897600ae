"""The LUTs that are written beside a result."""

from __future__ import annotations

import dataclasses
import logging

from dpst import __version__
from dpst.files.luts import check_lut_writable
from dpst.jobs.places import lut_paths
from dpst.jobs.region_files import region_path, region_paths
from dpst.jobs.stopping import interrupts_deferred
from dpst.option_checks import REGION
from dpst.options import Options
from dpst.solver.result import Result

logger = logging.getLogger(__name__)


def check_luts(options: Options) -> None:
    """Sees whether the LUTs of a job could be written.

    Raises:
        UserError: they cannot.
    """
    for path in lut_paths(options):
        check_lut_writable(region_path(path, "region"))


def write_luts(result: Result, options: Options) -> dict[str, dict[str, float]]:
    """Writes a LUT for each realism and, with `{region}` in the name, for each region; says how well each fits.

    Returns:
        Mean and 95th percentile of CIEDE2000 to the result, by path.
    """
    fits = {}
    for realism, pattern in zip(options.realisms, lut_paths(options), strict=False):
        paths = region_paths(pattern, result.masks) if REGION in pattern else {None: pattern}
        for region, path in paths.items():
            lut = result.lut(region, options.lut_size, realism, options.lut_profile)
            fit = result.lut_fit(lut, region, realism)
            where = "whole photo" if region is None else f"region {region}"
            comments = (f"Made by deep-photostyle {__version__}.", *lut.comments, f"Fit to the {where}: {fit}.")
            with interrupts_deferred():
                dataclasses.replace(lut, comments=comments).write(path)
            logger.info("%s is written; in the %s, %s", path, where, fit)
            fits[path] = {"mean": round(fit.mean, 3), "percentile95": round(fit.percentile95, 3)}
    return fits
