"""The minimisers against SciPy, closed forms and the reference's figures; what they tell their callback; why they stop."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from conftest import golden_photo

from dpst.solver.maps import DeviceInverseHessian
from dpst.solver.optimizers import InverseHessian, minimize_adam, minimize_lbfgsb, minimize_preconditioned
from dpst.solver.optimum import Evaluation, NonFiniteLoss

SHAPE = (2, 5, 3)
SIZE = 30


class Function:
    """A function of an image from a function of a vector; keeps count and, to catch who changes them, copies of its arguments."""

    def __init__(self, value_and_gradient):
        self.of_vector, self.asked = value_and_gradient, []

    def __call__(self, levels):
        assert levels.shape == SHAPE and levels.dtype == np.float64
        self.asked.append(levels.copy())
        value, gradient = self.of_vector(levels.ravel())
        return Evaluation({"total": float(value)}, gradient.reshape(SHAPE), levels / 255)


class Steps:
    """A callback that remembers everything as it came, without a copy, as a caller may who keeps the best image."""

    def __init__(self):
        self.numbers, self.levels, self.evaluations = [], [], []

    def __call__(self, step, levels, evaluation):
        self.numbers.append(step)
        self.levels.append(levels)
        self.evaluations.append(evaluation)

    @property
    def totals(self):
        return [evaluation.total for evaluation in self.evaluations]


def random_hessian(condition):
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((SIZE, SIZE)))[0]
    return rotation @ np.diag(np.geomspace(1, condition, SIZE)) @ rotation.T


HESSIAN = random_hessian(300.0)
MINIMUM = np.random.default_rng(1).standard_normal(SIZE)
START = np.zeros(SHAPE)


def quadratic(x):
    return (x - MINIMUM) @ HESSIAN @ (x - MINIMUM) / 2 + 1, HESSIAN @ (x - MINIMUM)


def rosenbrock(x):
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def inverse(gradient):
    return np.linalg.solve(HESSIAN, gradient.ravel()).reshape(SHAPE)


def identity(gradient):
    return gradient.copy()


def preconditioned(evaluate, start, max_iter, callback):
    return minimize_preconditioned(evaluate, start, max_iter, callback, identity)


minimizers = pytest.mark.parametrize("minimize", [minimize_lbfgsb, minimize_adam, preconditioned])


@minimizers
@pytest.mark.parametrize("function", [quadratic, rosenbrock])
def test_the_callback_sees_each_true_iteration_with_the_objective_there(minimize, function):
    evaluate, steps = Function(function), Steps()
    optimum = minimize(evaluate, START, 12, steps)
    assert steps.numbers == list(range(13))
    assert optimum.iterations == 12
    np.testing.assert_array_equal(steps.levels[0], START)
    for levels, evaluation in zip(steps.levels, steps.evaluations, strict=True):
        there = evaluate(levels)
        assert there.total == pytest.approx(evaluation.total, rel=1e-12)
        np.testing.assert_allclose(there.gradient, evaluation.gradient, rtol=1e-9, atol=1e-9)


@minimizers
@pytest.mark.parametrize("function", [quadratic, rosenbrock])
def test_the_best_iterate_comes_back_with_its_own_evaluation(minimize, function):
    evaluate, steps = Function(function), Steps()
    optimum = minimize(evaluate, START, 25, steps)
    assert optimum.evaluation.total == min(steps.totals)
    assert evaluate(optimum.solution).total == optimum.evaluation.total


@pytest.mark.parametrize("minimize", [minimize_lbfgsb, minimize_adam])
def test_a_loss_that_is_not_finite_ends_the_run_after_the_callback_saw_what_was(minimize):
    def breaks(x):
        if len(evaluate.asked) == 4:
            raise NonFiniteLoss("loss nan is not finite")
        return rosenbrock(x)

    evaluate, steps = Function(breaks), Steps()
    with pytest.raises(NonFiniteLoss):
        minimize(evaluate, START, 50, steps)
    assert len(evaluate.asked) == 4
    assert steps.numbers == list(range(len(steps.numbers))) and 1 <= len(steps.numbers) <= 3


def test_a_step_beyond_all_numbers_is_shortened():
    def steep(x):
        if np.abs(x).max() > 0.5:
            raise NonFiniteLoss("loss inf is not finite")
        return quadratic(x)

    evaluate, steps = Function(steep), Steps()
    optimum = preconditioned(evaluate, START, 5, steps)
    assert optimum.evaluation.total < steps.totals[0]
    assert len(evaluate.asked) > optimum.iterations + 1


def test_where_no_step_has_a_finite_loss_the_run_ends():
    def only_at_the_start(x):
        if x.any():
            raise NonFiniteLoss("loss nan is not finite")
        return quadratic(x)

    steps = Steps()
    with pytest.raises(NonFiniteLoss):
        preconditioned(Function(only_at_the_start), START, 5, steps)
    assert steps.numbers == [0]


@minimizers
def test_what_the_callback_raises_ends_the_run(minimize):
    def callback(step, levels, evaluation):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(Function(quadratic), START, 50, callback)


@minimizers
def test_the_start_is_left_as_it_was(minimize):
    start = np.full(SHAPE, 0.5)
    minimize(Function(quadratic), start, 5, Steps())
    np.testing.assert_array_equal(start, 0.5)


@minimizers
def test_iterations_that_ran_out_are_reported(minimize):
    assert "iterations" in minimize(Function(rosenbrock), START, 3, Steps()).reason


# L-BFGS-B


@pytest.mark.parametrize("name", ["segmented", "matting"])
def test_lbfgsb_goes_the_way_of_the_reference(reference, golden_objective, name):
    objective, losses = golden_objective(name == "matting"), []

    def evaluate(levels):
        evaluation = objective(levels)
        losses.append(evaluation.total)
        return evaluation

    optimum = minimize_lbfgsb(evaluate, golden_photo("init.png").astype(np.float64) * 255, 10, Steps())
    np.testing.assert_allclose(losses[:8], reference[name]["losses_per_evaluation"][:8], rtol=1e-2)
    # Rounding grows from step to step; still the pictures are the same to the eye.
    np.testing.assert_allclose(optimum.solution.mean((0, 1))[::-1], reference[name]["final_mean_bgr"], atol=0.5)


def test_lbfgsb_runs_on_where_scipys_tolerance_would_stop():
    def shallow(x):
        value, gradient = rosenbrock(x)
        return 1e8 + value, gradient

    usual = scipy.optimize.minimize(shallow, START.ravel(), jac=True, method="L-BFGS-B")
    optimum = minimize_lbfgsb(Function(shallow), START, 1000, Steps())
    assert optimum.iterations > usual.nit
    assert optimum.evaluation.total < usual.fun


def test_lbfgsb_says_why_it_stopped_before_its_iterations_ran_out():
    optimum = minimize_lbfgsb(Function(quadratic), START, 1000, Steps())
    assert optimum.iterations < 1000
    assert optimum.reason and optimum.reason == optimum.reason.strip().rstrip(".").lower()
    assert "iterations" not in optimum.reason
    np.testing.assert_allclose(optimum.solution.ravel(), MINIMUM, atol=1e-4)


# Adam


def adam_by_formula(function, x, steps, rate):
    """Kingma, Ba 2014, algorithm 1."""
    mean, square = np.zeros(SIZE), np.zeros(SIZE)
    for step in range(1, steps + 1):
        _, gradient = function(x)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        x = x - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        yield x


def test_adam_takes_the_steps_of_its_formula():
    steps = Steps()
    minimize_adam(Function(quadratic), START, 6, steps, learning_rate=0.3)
    for levels, expected in zip(steps.levels[1:], adam_by_formula(quadratic, START.ravel(), 6, 0.3), strict=True):
        np.testing.assert_allclose(levels.ravel(), expected, rtol=1e-4, atol=1e-5)


def test_adam_returns_an_earlier_iterate_if_that_was_best():
    steps = Steps()
    optimum = minimize_adam(Function(quadratic), START, 7, steps, learning_rate=2.0)
    best = int(np.argmin(steps.totals))
    assert best < 7  # the rate is too large for this function, or the test shows nothing
    assert optimum.evaluation is steps.evaluations[best]
    np.testing.assert_array_equal(optimum.solution, steps.levels[best])


def test_adam_returns_the_start_if_every_step_made_it_worse():
    start = MINIMUM.reshape(SHAPE) + 1e-3
    optimum = minimize_adam(Function(quadratic), start, 3, Steps(), learning_rate=10.0)
    np.testing.assert_array_equal(optimum.solution, start)


def test_adam_ends_near_the_reference(reference, golden_objective):
    # The reference takes one step less and picks its best image by another loss, hence a level of tolerance.
    start = golden_photo("init.png").astype(np.float64) * 255
    optimum = minimize_adam(golden_objective(matting=True), start, 10, Steps(), learning_rate=1.0)
    np.testing.assert_allclose(optimum.solution.mean((0, 1))[::-1], reference["matting"]["adam_10_updates_best_mean_bgr"], atol=1)


# Preconditioned L-BFGS


@pytest.mark.parametrize("kind", [InverseHessian, DeviceInverseHessian])
@pytest.mark.parametrize("most", [3, 5, 9])
def test_the_compact_inverse_hessian_is_that_of_the_bfgs_updates(most, kind):
    """Nocedal, Wright 2006, eq. 6.17, pair after pair, from H0 rescaled by the newest pair; of seven pairs the newest count."""
    random = np.random.default_rng(2)
    first = random_hessian(20.0)
    inverse, pairs = kind(SIZE, most), []

    def variable(vector):
        return (
            vector.reshape(SHAPE).astype(np.float32) if kind is InverseHessian else tf.constant(vector.reshape(SHAPE), tf.float32)
        )

    for number in range(1, 8):
        move = random.standard_normal(SIZE)
        change = HESSIAN @ move
        inverse.add(variable(move), variable(change), variable(first @ change), float(move @ change))
        pairs = [*pairs, (move, change)][-most:]
        assert inverse.pairs == min(number, most)
        expected = first * (move @ change) / (change @ first @ change)
        for s, y in pairs:
            project = np.eye(SIZE) - np.outer(s, y) / (s @ y)
            expected = project @ expected @ project.T + np.outer(s, s) / (s @ y)
        gradient = random.standard_normal(SIZE)
        found = inverse(variable(gradient), variable(first @ gradient))
        np.testing.assert_allclose(np.ravel(found), expected @ gradient, rtol=1e-3, atol=1e-4 * np.abs(expected @ gradient).max())
    inverse.clear()
    np.testing.assert_array_equal(inverse(gradient.reshape(SHAPE), START), START)


def test_preconditioned_lbfgs_finds_the_minimum_that_scipy_finds():
    expected = scipy.optimize.minimize(rosenbrock, START.ravel(), jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-9})
    optimum = minimize_preconditioned(Function(rosenbrock), START, 400, Steps(), identity)
    np.testing.assert_allclose(optimum.solution.ravel(), expected.x, atol=1e-4)


def test_the_exact_inverse_needs_one_step():
    evaluate = Function(quadratic)
    optimum = minimize_preconditioned(evaluate, START, 1, Steps(), inverse)
    assert optimum.evaluation.total == pytest.approx(1, abs=1e-9)
    assert len(evaluate.asked) == 2


@pytest.mark.parametrize("scale", [0.2, 1.5, 7.0])
def test_the_inverse_up_to_a_factor_needs_two_steps(scale):
    evaluate = Function(quadratic)
    optimum = minimize_preconditioned(evaluate, START, 2, Steps(), lambda gradient: scale * inverse(gradient))
    assert optimum.evaluation.total == pytest.approx(1, abs=1e-6)
    assert len(evaluate.asked) <= 4


STRETCH = np.geomspace(0.1, 10, SIZE)


def stretched(x):
    """The quadratic with its axes stretched, which a diagonal scaling undoes."""
    value, gradient = quadratic(STRETCH * x)
    return value, STRETCH * gradient


def test_a_better_preconditioner_gets_further_in_as_many_steps():
    jacobi, plain = (
        minimize_preconditioned(Function(stretched), START, 12, Steps(), precondition).evaluation.total
        for precondition in (lambda gradient: gradient / STRETCH.reshape(SHAPE) ** 2, identity)
    )
    assert jacobi - 1 < 0.05 * (plain - 1)


def test_each_accepted_step_lowers_the_loss_by_armijos_rule():
    steps = Steps()
    minimize_preconditioned(Function(rosenbrock), np.full(SHAPE, -1.5), 60, steps, identity)
    for number in range(60):
        promised = np.vdot(steps.levels[number + 1] - steps.levels[number], steps.evaluations[number].gradient)
        assert promised < 0
        assert steps.totals[number + 1] <= steps.totals[number] + 1e-4 * promised


def test_it_stops_when_the_loss_hardly_falls_any_more():
    steps = Steps()
    optimum = minimize_preconditioned(Function(quadratic), START, 500, steps, identity, least_progress=0.01, patience=4)
    assert optimum.reason == "the loss falls by less than 1.00% per evaluation"
    assert optimum.iterations == steps.numbers[-1] < 500
    totals = np.array(steps.totals)
    falls = (totals[:-4] - totals[4:]) / totals[4:] / 4  # one evaluation a step or more
    assert falls[-1] < 0.01
    longer = minimize_preconditioned(Function(quadratic), START, 500, Steps(), identity, least_progress=1e-6, patience=4)
    assert longer.iterations > optimum.iterations


def test_at_the_minimum_no_step_is_made():
    evaluate, steps = Function(quadratic), Steps()
    optimum = minimize_preconditioned(evaluate, MINIMUM.reshape(SHAPE), 50, steps, identity)
    assert optimum.iterations == 0 and steps.numbers == [0]
    assert "iterations made" not in optimum.reason


def test_single_precision_runs_out_without_harm():
    # Where neither loss nor gradient can tell two images apart any more, the change of the gradient is exactly 0.
    def rounded(x):
        value, gradient = quadratic(x.astype(np.float32).astype(np.float64))
        return np.float32(value), gradient.astype(np.float32).astype(np.float64)

    optimum = minimize_preconditioned(Function(rounded), START, 1000, Steps(), inverse)
    np.testing.assert_allclose(optimum.solution.ravel(), MINIMUM, atol=1e-4)


def test_gradients_whose_squares_leave_single_precision_do_no_harm():
    def steep(x):
        value, gradient = quadratic(x)
        return 1e24 * value, 1e24 * gradient

    steps = Steps()
    optimum = minimize_preconditioned(Function(steep), START, 20, steps, identity, bounds=(-0.3, 0.3))
    assert np.isfinite(optimum.solution).all()
    assert 0 < optimum.iterations == steps.numbers[-1]
    assert optimum.evaluation.total < steps.totals[0]


def test_a_start_over_from_the_gradient_is_no_iteration():
    # A wall appears that the curvature gathered before does not know: the line search fails and the pairs are let go.
    def wall(x):
        value, gradient = quadratic(x)
        if len(evaluate.asked) in range(6, 18):
            return 1e6 + value, gradient
        return value, gradient

    evaluate, steps = Function(wall), Steps()
    optimum = minimize_preconditioned(evaluate, START, 10, steps, identity)
    assert steps.numbers == list(range(optimum.iterations + 1))
    assert optimum.iterations == 10


@pytest.mark.parametrize("precondition", [identity, inverse])
def test_bounds_are_kept_and_the_minimum_within_them_found(precondition):
    # As tight as this, most of the variables end at a bound.
    within = scipy.optimize.Bounds(np.full(SIZE, -0.3), np.full(SIZE, 0.3))
    settings = {"ftol": 0, "gtol": 1e-9}
    expected = scipy.optimize.minimize(quadratic, START.ravel(), jac=True, method="L-BFGS-B", bounds=within, options=settings)
    assert np.mean(np.abs(expected.x) == 0.3) > 0.5
    evaluate = Function(quadratic)
    optimum = minimize_preconditioned(evaluate, START + 0.5, 500, Steps(), precondition, bounds=(-0.3, 0.3))
    assert np.abs(evaluate.asked).max() <= 0.3
    np.testing.assert_allclose(optimum.solution.ravel(), expected.x, atol=1e-5)
