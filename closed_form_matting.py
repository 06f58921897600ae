"""Matting Laplacian of a photo (Levin, Lischinski, Weiss 2008, "A Closed-Form Solution to Natural Image Matting").

The quadratic form v' L v is small exactly when v is, in every small window, an affine function of the photo's colours.
Luan et al. 2017 (eq. 2 to 4) add it to style transfer: a result whose channels all have a small form looks like a photo.
"""

from __future__ import annotations

import numpy as np
import scipy

from dpst.errors import UserError
from dpst.imaging.local_affine import affine_fit, planes, window_covariances

# Windows handled at once: 27 float64 values a window then stay in the cache.
_CHUNK_WINDOWS = 4096
# Pixels up to which the preconditioner factorises: 512x512, where the factors take about 500 MB.
DIRECT_PIXELS = 512 * 512
# Pixels of a mask that are solved for at once, in about a second, and the rows that pieces of a larger mask share on each side.
_PIECE, _SHARED_ROWS = 60_000, 12
# Change of a mask in a step at which its pieces have settled; an error of about 0.3 levels of 255 is left. And the most steps:
# masks of photos take three to five.
_SETTLED, _MOST_STEPS = 2e-3, 100


def matting_laplacian(image: np.ndarray, epsilon: float = 1e-5, radius: int = 1) -> scipy.sparse.csr_matrix:
    """Matting Laplacian of a photo (Levin et al. 2008, eq. 12).

    Args:
        image: (H, W, 3), 0..1; both sides at least 2 * radius + 1.
        epsilon: regularisation of the windows' colour covariance. More lets the result keep less to the colours of flat areas.
            1e-5 in the reference script, 1e-7 in the paper authors' own code.
        radius: windows have (2 * radius + 1)^2 pixels and lie fully inside the image.

    Returns:
        Float64 CSR (H * W, H * W), pixel index y * W + x; symmetric, positive semi-definite, rows sum to 0.

    Raises:
        UserError: the image is smaller than one window.
    """
    height, width, _ = image.shape
    side, reach = 2 * radius + 1, 2 * radius
    if min(height, width) < side:
        wrong = f"photo of {width}x{height} pixels, as it is solved, is narrower than a window of {side}x{side}"
        raise UserError(f"{wrong}; use a wider one, or a larger `max_size`")
    planes = image.transpose(2, 0, 1).astype(np.float64)
    shifts = [(y, x) for y in range(side) for x in range(side)]
    count, columns = len(shifts), width - reach
    # bands[dy, dx, y, x] couples pixel (y, x) with (y + dy, x + dx - reach), pixels below it or to the right; the rest follows by
    # symmetry.
    bands = np.zeros((reach + 1, 2 * reach + 1, height, width))
    rows_at_once = max(1, _CHUNK_WINDOWS // width)
    for top in range(0, height - reach, rows_at_once):
        rows = min(rows_at_once, height - reach - top)
        window = np.stack([planes[:, top + y : top + y + rows, x : x + columns] for y, x in shifts])  # (n, 3, rows, columns)
        window -= window.mean(axis=0)
        _whiten(window, epsilon)
        for i, (yi, xi) in enumerate(shifts):
            for j, (yj, xj) in enumerate(shifts[i:], start=i):
                affinity = (1 + np.einsum("krc,krc->rc", window[i], window[j])) / count
                bands[yj - yi, xj - xi + reach, top + yi : top + yi + rows, xi : xi + columns] -= affinity
    return _csr_of_bands(_mirrored(bands))


def _whiten(window: np.ndarray, epsilon: float) -> None:
    """Multiplies the colours (n, 3, rows, columns) of windows about their means by L^-1, L L' their covariance + epsilon / n Id.

    Their scalar products are then those by the inverse covariance. Plane by plane, so that what is computed stays in the cache.
    """
    x, y, z = planes = window.swapaxes(0, 1)
    covariance = {
        i + j: np.einsum("nrc,nrc->rc", planes["xyz".index(i)], planes["xyz".index(j)]) / len(window)
        for i, j in ("xx", "xy", "xz", "yy", "yz", "zz")
    }
    for channel in ("xx", "yy", "zz"):
        covariance[channel] += epsilon / len(window)
    # Cholesky's factor, and its forward substitution
    xx = np.sqrt(covariance["xx"])
    xy, xz = covariance["xy"] / xx, covariance["xz"] / xx
    yy = np.sqrt(covariance["yy"] - xy * xy)
    yz = (covariance["yz"] - xy * xz) / yy
    zz = np.sqrt(covariance["zz"] - xz * xz - yz * yz)
    x /= xx
    y -= xy * x
    y /= yy
    z -= xz * x + yz * y
    z /= zz


def _mirrored(half: np.ndarray) -> np.ndarray:
    """All bands (D, D, H, W) of a symmetric matrix whose rows sum to 0, from those of its upper half, (D // 2 + 1, D, H, W)."""
    reach, side, height, width = half.shape[0] - 1, *half.shape[1:]
    bands = np.zeros((side, side, height, width))
    bands[reach:] = half
    for dy in range(reach + 1):
        for dx in range(-reach, reach + 1):
            if (dy, dx) > (0, 0):
                left, right = max(0, dx), width + min(0, dx)
                bands[reach - dy, reach - dx, dy:, left:right] = half[dy, reach + dx, : height - dy, left - dx : right - dx]
    bands[reach, reach] -= bands.sum(axis=(0, 1))
    return bands


def _csr_of_bands(bands: np.ndarray) -> scipy.sparse.csr_matrix:
    """CSR (H * W, H * W) of bands (D, D, H, W); couplings to pixels outside the image are left out."""
    side, _, height, width = bands.shape
    offsets = np.arange(side) - side // 2
    y, x = np.arange(height), np.arange(width)
    inside_y = (y[:, None] + offsets >= 0) & (y[:, None] + offsets < height)  # (H, D)
    inside_x = (x[:, None] + offsets >= 0) & (x[:, None] + offsets < width)  # (W, D)
    inside = inside_y[:, None, :, None] & inside_x[None, :, None, :]  # (H, W, D, D)
    pixel = (y[:, None] * width + x).astype(np.int32)
    columns = pixel[:, :, None, None] + (offsets[:, None] * width + offsets).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=(2, 3)).ravel())]).astype(np.int32)
    values = bands.transpose(2, 3, 0, 1)[inside]
    return scipy.sparse.csr_matrix((values, columns[inside], starts), shape=(height * width, height * width))


def factorized(matrix: scipy.sparse.spmatrix) -> scipy.sparse.linalg.SuperLU:
    """A sparse LU factorisation of a symmetric positive definite matrix; without pivots it keeps the order that fills least.

    It must be freed in the thread that made it: in any other one, SciPy never gives SuperLU's memory back.
    """
    return scipy.sparse.linalg.splu(
        matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )


def matting_form(image: np.ndarray, values: np.ndarray, epsilon: float = 1e-5, radius: int = 1) -> float:
    """The sum over channels of v' L v, without the matrix (Levin et al. 2008, eq. 6).

    In each window it is what the best affine function of the photo's colours leaves of the values, in least squares with a ridge.

    Args:
        image: the photo of the Laplacian L, (H, W, 3), 0..1.
        values: v, (H, W, channels).
        epsilon: see `matting_laplacian`.
        radius: see `matting_laplacian`.
    """
    side, inner = 2 * radius + 1, (..., slice(radius, -radius), slice(radius, -radius))  # windows lie inside the photo
    photo, values = planes(image), planes(values)
    own, shared = (window_covariances(photo, other, side)[inner] for other in (photo, values))
    variance = sum(window_covariances(plane, plane, side)[inner].sum() for plane in values[:, None])
    explained = (affine_fit(own, shared, epsilon / side**2) * shared).sum()
    return float(side**2 * (variance - explained))


def matte(laplacian: scipy.sparse.csr_matrix, known: np.ndarray, drawn: np.ndarray, trust: float = 0.0) -> np.ndarray:
    """Masks that are locally affine in the photo's colours (Levin et al. 2008, eq. 15, the known pixels held exactly).

    Least m' L m + trust |m - drawn|^2 with m = drawn where it is known. Where a pixel's drawn masks sum to 1, so do these.
    The solution of more than `_PIECE` pixels is exact to about 0.3 levels of 255.

    Args:
        laplacian: (N, N), of a photo of N pixels.
        known: bool (N,); at least one pixel, unless there is trust.
        drawn: (N, K). Without trust, only the known pixels count.
        trust: how much the drawing counts where it is not known; a photo without edges is 0.

    Returns:
        Float64 (N, K).
    """
    inside, outside = np.flatnonzero(~known), np.flatnonzero(known)
    solved = drawn.astype(np.float64)
    if inside.size:
        rows = laplacian[inside]
        system = (rows[:, inside] + trust * scipy.sparse.identity(inside.size)).tocsr()
        right = trust * solved[inside] - rows[:, outside] @ solved[outside]
        used = np.flatnonzero(right.any(axis=0))  # a mask that is drawn nowhere is 0
        solved[inside] = 0
        if used.size:
            solved[np.ix_(inside, used)] = _solved(system, right[:, used])
    return solved


def _solved(system: scipy.sparse.csr_matrix, right: np.ndarray) -> np.ndarray:
    """The solution (n, K) for right sides (n, K), none of them 0, of a part (n, n) of a Laplacian with its pixels in order.

    A large system is solved in pieces of whole rows of the photo, which overlap: the sum of their inverses preconditions
    conjugate gradients (additive Schwarz; Smith, Bjorstad, Gropp 1996). A single factorisation would take longer and more memory,
    and cannot be interrupted.
    """
    size = len(right)
    count = -(-size // _PIECE)
    if count == 1:
        return factorized(system).solve(right)
    two_rows = int((system.indices - np.repeat(np.arange(size), np.diff(system.indptr))).max())
    shared = _SHARED_ROWS * two_rows // 2
    pieces = [slice(max(0, size * n // count - shared), size * (n + 1) // count + shared) for n in range(count)]
    factors = [factorized(system[piece][:, piece].astype(np.float32)) for piece in pieces]

    def precondition(residual: np.ndarray) -> np.ndarray:
        smoothed = np.zeros_like(residual)
        for piece, of_piece in zip(pieces, factors, strict=True):
            smoothed[piece] += of_piece.solve(np.asfortranarray(residual[piece], np.float32))
        return smoothed

    solution, residual = np.zeros_like(right), right.copy()
    direction = smoothed = precondition(residual)
    product = (residual * smoothed).sum(axis=0)
    for _ in range(_MOST_STEPS):
        ahead = system @ direction
        length = _ratio(product, (direction * ahead).sum(axis=0))
        solution += length * direction
        if np.abs(length * direction).max() < _SETTLED:
            break
        residual -= length * ahead
        smoothed = precondition(residual)
        before, product = product, (residual * smoothed).sum(axis=0)
        direction = smoothed + _ratio(product, before) * direction
    return solution


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotients (K,); 0 for a column that is solved exactly, where both are 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


class MattingPreconditioner:
    """Approximate inverse of `shift * Id + scale * L`: the known part of the objective's Hessian (Luan et al. 2017, eq. 4).

    Up to `direct_pixels` it is exact, by a sparse factorisation in single precision. Above, it is a diagonal scaling plus the
    same inverse on a grid of half the size, which is exact there or goes on so (Bramble, Pasciak, Xu 1990). Either way it is
    linear, symmetric and positive definite.
    """

    def __init__(
        self,
        laplacian: scipy.sparse.csr_matrix,
        size: tuple[int, int],
        scale: float,
        shift: float,
        direct_pixels: int = DIRECT_PIXELS,
    ):
        """Prepares the inverse for a Laplacian (H * W, H * W) of an image of `size` (H, W)."""
        matrix = (scale * laplacian + shift * scipy.sparse.identity(laplacian.shape[0])).astype(np.float32)
        self._levels: list[tuple[np.ndarray, scipy.sparse.csr_matrix]] = []  # (inverse diagonal (n, 1), interpolation (n, n / 4))
        while matrix.shape[0] > direct_pixels:
            height, width = size
            size = (height + 1) // 2, (width + 1) // 2
            finer = scipy.sparse.kron(_interpolation(height, size[0]), _interpolation(width, size[1]), format="csr")
            self._levels.append((1 / matrix.diagonal()[:, None], finer))
            matrix = (finer.T @ matrix @ finer).tocsr()
        self._factors = factorized(matrix)

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        """The inverse times each channel of a gradient (H, W, 3)."""
        columns = [gradient.reshape(-1, gradient.shape[-1]).astype(np.float32)]
        for _, finer in self._levels:
            columns.append(finer.T @ columns[-1])
        solved = self._factors.solve(np.asfortranarray(columns[-1]))  # all channels at once: in C order it takes twice as long
        for (inverse_diagonal, finer), level in zip(reversed(self._levels), reversed(columns[:-1]), strict=True):
            solved = finer @ solved + inverse_diagonal * level
        return solved.reshape(gradient.shape).astype(np.float64)

    def release(self) -> None:
        """Frees the factorisation; see `factorized`."""
        self._factors = None


def _interpolation(fine: int, coarse: int) -> scipy.sparse.csr_matrix:
    """Linear interpolation (fine, coarse) from every other pixel; float32."""
    position = np.arange(fine) / 2
    left = np.minimum(position.astype(np.int32), coarse - 1)
    right = np.minimum(left + 1, coarse - 1)
    weight = (position - left).astype(np.float32)
    rows = np.arange(fine)
    triplets = np.concatenate([1 - weight, weight]), (np.concatenate([rows, rows]), np.concatenate([left, right]))
    return scipy.sparse.csr_matrix(triplets, shape=(fine, coarse))
