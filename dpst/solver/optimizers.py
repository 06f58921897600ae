"""Minimisers of the objective over an image: L-BFGS-B, Adam and preconditioned L-BFGS, all with one signature.

Each takes a function from an image in levels, float64 (H, W, 3), to an `Evaluation`, starts somewhere, makes at most `max_iter`
true iterations, and calls `callback(step, levels, evaluation)` after each, and once with step 0 at the start.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.optimize

from dpst.solver.optimum import Evaluation, NonFiniteLoss, Optimum

Evaluate = Callable[[np.ndarray], Evaluation]
Callback = Callable[[int, np.ndarray, Evaluation], None]

# Correction pairs that L-BFGS-B keeps: SciPy's default, which the reference uses.
LBFGSB_PAIRS = 10
# Pairs of the preconditioned L-BFGS. Each costs two images of memory; more than 30 gained nothing measurable.
PAIRS = 30
# Armijo's constant and the bounds of one backtracking step (Nocedal, Wright 2006, ch. 3.1 and 3.5).
_SUFFICIENT_DECREASE = 1e-4
_BACKTRACK_LEAST, _BACKTRACK_MOST = 0.1, 0.5
_MAX_BACKTRACKS = 12


def minimize_lbfgsb(evaluate: Evaluate, start: np.ndarray, max_iter: int, callback: Callback) -> Optimum:
    """L-BFGS-B through SciPy, without bounds (Byrd, Lu, Nocedal, Zhu 1995), the reference's optimiser.

    SciPy's tolerances are set to 0, so that it runs until `max_iter` or until no step lowers the loss in its arithmetic.
    """
    last: list[Evaluation] = []

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        evaluation = evaluate(flat.reshape(start.shape))
        if not last:
            callback(0, start, evaluation)
        last[:] = [evaluation]
        return evaluation.total, evaluation.gradient.ravel()

    steps = 0

    def on_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        # The line search ends on the point it accepts, so the last evaluation belongs to this iterate.
        nonlocal steps
        steps += 1
        callback(steps, intermediate_result.x.reshape(start.shape).copy(), last[0])  # SciPy goes on to overwrite it

    result = scipy.optimize.minimize(
        loss_and_gradient,
        start.astype(np.float64).ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=on_iteration,
        options={"maxiter": max_iter, "maxfun": np.inf, "ftol": 0.0, "gtol": 0.0, "maxcor": LBFGSB_PAIRS},
    )
    levels = result.x.reshape(start.shape)
    if result.fun != last[0].total:  # a failed line search ends elsewhere than at its best point
        last[:] = [evaluate(levels)]
    return Optimum(levels, last[0], result.nit, result.message.strip().rstrip(".").lower())


def minimize_adam(
    evaluate: Evaluate, start: np.ndarray, max_iter: int, callback: Callback, learning_rate: float = 1.0
) -> Optimum:
    """Adam through Keras (Kingma, Ba 2014); returns the iterate with the lowest full objective."""
    import keras

    levels = keras.Variable(start.astype(np.float32))
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-8)
    evaluation = evaluate(start)
    callback(0, start, evaluation)
    best, best_levels = evaluation, start
    for step in range(1, max_iter + 1):
        optimizer.apply([keras.ops.convert_to_tensor(evaluation.gradient.astype(np.float32))], [levels])
        current = np.asarray(levels.numpy(), np.float64)
        evaluation = evaluate(current)
        callback(step, current, evaluation)
        if evaluation.total < best.total:
            best, best_levels = evaluation, current
    return Optimum(best_levels, best, max_iter, f"all {max_iter} iterations made")


def minimize_preconditioned(
    evaluate: Evaluate,
    start: np.ndarray,
    max_iter: int,
    callback: Callback,
    precondition: Callable[[np.ndarray], np.ndarray],
    least_progress: float = 0.0,
    patience: int = 5,
    bounds: tuple[float, float] | None = None,
    settled: Callable[[Evaluation], str] = lambda evaluation: "",
    inverse: InverseHessian | None = None,
) -> Optimum:
    """L-BFGS whose initial inverse Hessian is given (Nocedal, Wright 2006, algorithm 7.4).

    Args:
        evaluate: the objective.
        start: (H, W, 3); without bounds, an array or a tensor of any shape.
        max_iter: most iterations.
        callback: see the module.
        precondition: gradient (H, W, 3) to H0 gradient; linear, symmetric, positive definite, near the inverse of the known part
            of the Hessian. It is rescaled at each step by s'y / y'H0 y of the newest pair (eq. 7.20 in the metric of H0).
        least_progress: stop when the loss falls, over the last `patience` iterations, by less than this share of itself per
            evaluation.
        patience: see `least_progress`.
        bounds: least and most level; the iterates stay between them.
        settled: gets each step's evaluation; what it answers, if anything, is why to stop there.
        inverse: what was learned of the inverse Hessian of a like objective with the same `precondition`; it goes on learning.

    Returns:
        The last iterate, which is the best: every accepted step lowers the loss (Armijo backtracking from step 1). A step to
        where the loss is not finite is shortened as well.

    Raises:
        NonFiniteLoss: at the start, or still after the shortest step along the gradient.
    """
    evaluations = 1
    inverse = inverse or InverseHessian(start.size, min(PAIRS, max_iter))
    x = start if bounds is None else np.clip(start, *bounds)
    current = evaluate(x)
    callback(0, x, current)
    smoothed = precondition(current.gradient)
    history: collections.deque = collections.deque([(current.total, evaluations)], maxlen=patience + 1)
    step = 0
    while step < max_iter:
        if bounds is None:
            direction = -inverse(current.gradient, smoothed)
        else:  # two-metric projection (Bertsekas 1982): levels at a bound that the gradient pushes outwards stay there
            free = ~(((x <= bounds[0]) & (current.gradient > 0)) | ((x >= bounds[1]) & (current.gradient < 0)))
            gradient = current.gradient * free
            direction = -inverse(gradient, smoothed if free.all() else precondition(gradient)) * free
        length, found, beyond = 1.0, None, None
        for _ in range(_MAX_BACKTRACKS):
            trial_x = x + length * direction if bounds is None else np.clip(x + length * direction, *bounds)
            slope = inverse.product(trial_x - x, current.gradient)
            parabola = _BACKTRACK_LEAST
            if slope < 0:
                evaluations += 1
                try:
                    trial = evaluate(trial_x)
                except NonFiniteLoss as error:  # a step too far
                    beyond = error
                else:
                    if trial.total <= current.total + _SUFFICIENT_DECREASE * slope:
                        found = trial
                        break
                    # Minimiser of the parabola through both losses and the slope (Nocedal, Wright 2006, eq. 3.58).
                    parabola = -slope / (2 * (trial.total - current.total - slope))
            length *= min(max(parabola, _BACKTRACK_LEAST), _BACKTRACK_MOST)
        if found is None:
            if not inverse.pairs:
                if beyond:
                    raise beyond
                return Optimum(x, current, step, "no step along the gradient lowers the loss")
            inverse.clear()  # the curvature pairs have gone stale: start again from the preconditioned gradient
            continue
        smoothed_before, smoothed = smoothed, precondition(found.gradient)
        move, change = trial_x - x, found.gradient - current.gradient
        if (curvature := inverse.product(move, change)) > 0:  # else the pair would make the inverse Hessian indefinite
            inverse.add(move, change, smoothed - smoothed_before, curvature)
        step, x, current = step + 1, trial_x, found
        callback(step, x, current)
        if reason := settled(current):
            return Optimum(x, current, step, reason)
        history.append((current.total, evaluations))
        (before, evaluations_before), (now, _) = history[0], history[-1]
        if len(history) > patience and before - now < least_progress * now * (evaluations - evaluations_before):
            return Optimum(x, current, step, f"the loss falls by less than {least_progress:.2%} per evaluation")
    return Optimum(x, current, max_iter, f"all {max_iter} iterations made")


class InverseHessian:
    """The inverse Hessian of L-BFGS from H0 and the newest pairs, in compact form (Byrd, Nocedal, Schnabel 1994, eq. 2.6).

    With the steps s as columns of S, the changes y of the gradient over them as columns of Y, each pair divided by sqrt(s'y), R
    the upper triangle of S'Y, and t the factor that rescales H0 (Nocedal, Wright 2006, eq. 7.20, in the metric of H0):

        H g = t H0 g + S R^-T ((Id + t Y'H0Y) R^-1 S'g - t Y'H0 g) - t H0Y R^-1 S'g

    The division leaves H as it is, makes the diagonal of R 1, and keeps the squares of large gradients within single precision.
    A few products with whole matrices, where the two-loop recursion passes over every pair four times. As H0 is linear, it is
    needed for no other vector than each new gradient, and of Y itself nothing is kept. Only `_table`, `product`, `_along`, `_put`
    and `_combined`, which a subclass may replace, handle vectors; all else is a few numbers for each pair.
    """

    def __init__(self, size: int, most: int):
        """For variables of `size` values and at most `most` pairs."""
        self._moves, self._smoothed = self._table(most, size), self._table(most, size)  # S and H0Y, a row each
        self._products, self._forms = np.zeros((2, most, most))  # S'Y and Y'H0Y
        self._most = most
        self._rows: list[int] = []  # of the pairs, from the oldest to the newest

    def _table(self, rows: int, columns: int):
        """Zeros, one vector a row, whose rows can be replaced."""
        return np.zeros((rows, columns), np.float32)

    def product(self, one, other) -> float:
        """The scalar product of two variables."""
        return float(np.vdot(one, other))

    def _along(self, table, vector, unit: float) -> np.ndarray:
        """The products (pairs,) of the used rows of a table with a vector divided by `unit`."""
        return table[: self.pairs] @ (np.ravel(vector) / unit).astype(np.float32, copy=False)

    def _put(self, table, row: int, vector, unit: float) -> None:
        """Makes a vector divided by `unit` a row of a table."""
        np.divide(np.ravel(vector), unit, out=table[row], casting="same_kind")

    def _combined(self, table, shares: np.ndarray, like):
        """The sum of the used rows of a table times `shares` (pairs,), in the shape and precision of another variable."""
        combined = (shares.astype(np.float32) @ table[: self.pairs]).reshape(like.shape)
        return combined.astype(np.asarray(like).dtype, copy=False)

    @property
    def pairs(self) -> int:
        """How many there are."""
        return len(self._rows)

    def clear(self) -> None:
        """Forgets all pairs."""
        self._rows.clear()

    def add(self, move, change, smoothed, curvature: float) -> None:
        """A step s, the change y of the gradient over it, H0 y, and s'y > 0; the oldest pair makes room."""
        unit = curvature**0.5
        new = self._rows.pop(0) if self.pairs == self._most else self.pairs
        self._rows.append(new)
        self._put(self._moves, new, move, unit)
        self._put(self._smoothed, new, smoothed, unit)
        self._products[: self.pairs, new] = self._along(self._moves, change, unit)
        self._forms[: self.pairs, new] = self._forms[new, : self.pairs] = self._along(self._smoothed, change, unit)

    def __call__(self, gradient, smoothed):
        """The inverse Hessian times a gradient, of which `smoothed` is H0 times it."""
        if not self._rows:
            return smoothed
        rows, unit, used = self._rows, self.product(gradient, gradient) ** 0.5 or 1.0, self.pairs
        triangle, forms = np.triu(self._products[np.ix_(rows, rows)]), self._forms[np.ix_(rows, rows)]
        solve = functools.partial(scipy.linalg.solve_triangular, triangle, unit_diagonal=True)
        stretch = 1 / forms[-1, -1]
        along = solve(self._along(self._moves, gradient, unit)[rows])
        of_moves, of_smoothed = np.zeros((2, used))
        of_moves[rows] = solve(along + stretch * (forms @ along - self._along(self._smoothed, gradient, unit)[rows]), trans="T")
        of_smoothed[rows] = -stretch * along
        change = self._combined(self._moves, of_moves, gradient) + self._combined(self._smoothed, of_smoothed, gradient)
        return stretch * smoothed + unit * change
