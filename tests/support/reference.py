"""Slow reference implementations: plain loops over dense arrays and boolean masks, in float64.

Written from the equations and the papers, never from the package, which this file does not import.
"""

from __future__ import annotations

import math

import numpy as np

# x -> y and x -> dy/dx for single numbers
FUNCTIONS = {
    "identity": (lambda x: x, lambda x: 1.0),
    "sigmoid": (
        lambda x: 1.0 / (1.0 + math.exp(-x)),
        lambda x: math.exp(-x) / (1.0 + math.exp(-x)) ** 2,
    ),
    "tanh": (math.tanh, lambda x: 1.0 / math.cosh(x) ** 2),
    "relu": (lambda x: max(x, 0.0), lambda x: 1.0 if x > 0 else 0.0),
    "elu": (
        lambda x: x if x > 0 else math.exp(x) - 1.0,
        lambda x: 1.0 if x > 0 else math.exp(x),
    ),
    "softplus": (lambda x: math.log(1.0 + math.exp(x)), lambda x: 1.0 / (1.0 + math.exp(-x))),
}


def dense_and_stored(matrix):
    """Return the values of a CSR array as a dense array, and True where an entry is stored."""
    values = np.zeros(matrix.shape, np.result_type(matrix.dtype, np.float64))
    stored = np.zeros(matrix.shape, bool)
    for row in range(matrix.shape[0]):
        for entry in range(matrix.indptr[row], matrix.indptr[row + 1]):
            values[row, matrix.indices[entry]] = matrix.data[entry]
            stored[row, matrix.indices[entry]] = True
    return values, stored


# Kernels


def spmm(matrix, dense):
    """A D by loops."""
    values, stored = dense_and_stored(matrix)
    product = np.zeros((matrix.shape[0], dense.shape[1]), np.result_type(values, dense))
    for row, column in zip(*np.nonzero(stored), strict=True):
        for j in range(dense.shape[1]):
            product[row, j] += values[row, column] * dense[column, j]
    return product


def spmm_transpose(matrix, dense):
    """A^T D by loops."""
    values, stored = dense_and_stored(matrix)
    product = np.zeros((matrix.shape[1], dense.shape[1]), np.result_type(values, dense))
    for row, column in zip(*np.nonzero(stored), strict=True):
        for j in range(dense.shape[1]):
            product[column, j] += values[row, column] * dense[row, j]
    return product


def sddmm(pattern, left, right):
    """L R^T at the stored entries by loops, in the order of ``pattern.data``."""
    sampled = np.zeros(pattern.nnz, np.result_type(left, right, np.float64))
    for row in range(pattern.shape[0]):
        for entry in range(pattern.indptr[row], pattern.indptr[row + 1]):
            for j in range(left.shape[1]):
                sampled[entry] += left[row, j] * right[pattern.indices[entry], j]
    return sampled


def column_sums(matrix):
    """Sums over the columns by loops."""
    values, stored = dense_and_stored(matrix)
    sums = np.zeros(matrix.shape[1], values.dtype)
    for row, column in zip(*np.nonzero(stored), strict=True):
        sums[column] += values[row, column]
    return sums


# The objective


def objective(
    parameters,
    inputs,
    targets,
    *,
    activation,
    output_activation,
    penalties,
    fraction=1.0,
    masks=None,
    cells=None,
):
    """Return J of equation (2) and {block: dJ/dblock}, one rating after the other.

    Parameters
    ----------
    parameters : dict of str to ndarray
        Every block, "decoder.weight" too; see :func:`add_tied_gradients` for tied weights.
    inputs, targets : CSR arrays
    penalties : dict of str to float
        lambda of each weight block.
    cells : (ndarray, ndarray), (n_rows, n_columns), optional
        What each cell should be, and its weight, for the sum over all cells (70).
    """
    g, g_slope = FUNCTIONS[activation]
    f, f_slope = FUNCTIONS[output_activation]
    read, was_read = dense_and_stored(inputs)
    wanted, observed = cells or dense_and_stored(targets)
    weights = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    layers = ["encoder", *sorted(name for name in weights if name.startswith("hidden"))]
    decoder, decoder_bias = parameters["decoder.weight"], parameters["decoder.bias"]
    gradient = {name: np.zeros(block.shape) for name, block in parameters.items()}
    value = 0.0

    for row in range(inputs.shape[0]):
        signals = [[read[row, i] if was_read[row, i] else 0.0 for i in range(inputs.shape[1])]]
        activities = []
        for level, layer in enumerate(layers):
            weight, bias = parameters[f"{layer}.weight"], parameters[f"{layer}.bias"]
            activity, signal = [], []
            for j in range(weight.shape[1]):
                z = bias[j] + sum(signals[-1][i] * weight[i, j] for i in range(weight.shape[0]))
                kept = 1.0 if masks is None else masks[level][row, j]
                activity.append(z)
                signal.append(g(z) * kept)
            activities.append(activity)
            signals.append(signal)

        d_signal = np.zeros(decoder.shape[1])
        for column in range(targets.shape[1]):
            if not observed[row, column]:
                continue
            code = signals[-1]
            a = decoder_bias[column] + sum(code[j] * decoder[column, j] for j in range(len(code)))
            residual = f(a) - wanted[row, column]
            value += observed[row, column] * residual**2
            d_a = 2.0 * observed[row, column] * residual * f_slope(a)
            gradient["decoder.bias"][column] += d_a
            for j in range(len(code)):
                gradient["decoder.weight"][column, j] += d_a * code[j]
                d_signal[j] += d_a * decoder[column, j]

        for level in reversed(range(len(layers))):
            weight = parameters[f"{layers[level]}.weight"]
            d_below = np.zeros(weight.shape[0])
            for j in range(weight.shape[1]):
                kept = 1.0 if masks is None else masks[level][row, j]
                d_z = d_signal[j] * kept * g_slope(activities[level][j])
                gradient[f"{layers[level]}.bias"][j] += d_z
                for i in range(weight.shape[0]):
                    gradient[f"{layers[level]}.weight"][i, j] += d_z * signals[level][i]
                    d_below[i] += d_z * weight[i, j]
            d_signal = d_below

    for name, penalty in penalties.items():
        for index, weight in np.ndenumerate(parameters[name]):
            value += fraction * penalty / 2.0 * weight**2
            gradient[name][index] += fraction * penalty * weight
    return value, gradient


def every_cell(targets, weight, target, weights=None, shifts=None, counted=None):
    """Return what each cell should be and its weight, (70), for :func:`objective`.

    Parameters
    ----------
    targets : CSR array
    weight, target : float, float or ndarray (n_columns,)
        w0 and t0.
    weights : ndarray, (nnz,), optional
        c of each stored target, in the order of its data.
    shifts : ndarray, (n_rows, 1), optional
        s, which is already taken off the targets.
    counted : ndarray of bool, (n_columns,), optional
    """
    n_rows, n_columns = targets.shape
    wanted, weighs = np.zeros((2, n_rows, n_columns))
    targets_at = np.broadcast_to(target, n_columns)
    for row in range(n_rows):
        for column in range(n_columns):
            shift = 0.0 if shifts is None else shifts[row, 0]
            wanted[row, column] = targets_at[column] - shift
            weighs[row, column] = weight if counted is None or counted[column] else 0.0
        for entry in range(targets.indptr[row], targets.indptr[row + 1]):
            wanted[row, targets.indices[entry]] = targets.data[entry]
            weighs[row, targets.indices[entry]] = 1.0 if weights is None else weights[entry]
    return wanted, weighs


def add_tied_gradients(gradient):
    """Return the gradient where decoder.weight is encoder.weight: both derivatives add."""
    tied = dict(gradient)
    tied["encoder.weight"] = gradient["encoder.weight"] + tied.pop("decoder.weight")
    return tied


# Baselines


def biases(matrix, regularization):
    """Return (mean, user biases, item biases) from the normal equations of all biases at once.

    They minimize sum (r - mean - b_u - b_i)^2 + lambda (sum b_u^2 + sum b_i^2), mean fixed.
    """
    values, stored = dense_and_stored(matrix)
    n_users, n_items = matrix.shape
    mean = values[stored].mean()
    normal = regularization * np.eye(n_users + n_items)
    right_side = np.zeros(n_users + n_items)
    for user, item in zip(*np.nonzero(stored), strict=True):
        unknowns = np.array([user, n_users + item])
        normal[np.ix_(unknowns, unknowns)] += 1.0
        right_side[unknowns] += values[user, item] - mean
    solution = np.linalg.solve(normal, right_side)
    return mean, solution[:n_users], solution[n_users:]


def ridge(codes, targets, penalty):
    """Return (w, b) of sum (t - h . w - b)^2 + penalty / 2 ||w||^2 from its normal equations."""
    design = np.column_stack((codes, np.ones(len(codes))))
    shrinkage = np.diag([*[penalty / 2.0] * codes.shape[1], 0.0])
    solution = np.linalg.solve(design.T @ design + shrinkage, design.T @ targets)
    return solution[:-1], solution[-1]


# Step rules: each returns theta after every step; gradient(theta, step) is asked for step 0, 1, ...


def gradient_descent(gradient, theta, rates):
    """theta <- theta - rate * gradient."""
    path = []
    for step, rate in enumerate(rates):
        theta = theta - rate * gradient(theta, step)
        path.append(theta)
    return path


def momentum(gradient, theta, rates, mu):
    """Classical momentum, Sutskever et al. (2013), equations 1 and 2."""
    velocity, path = np.zeros_like(theta), []
    for step, rate in enumerate(rates):
        velocity = mu * velocity - rate * gradient(theta, step)
        theta = theta + velocity
        path.append(theta)
    return path


def nesterov(gradient, theta, rates, mu):
    """Nesterov's momentum, Sutskever et al. (2013), equations 3 and 4.

    The paper takes the gradient at the point looked ahead to, theta + mu v; the path returned
    is that of the points looked ahead to, where a network is evaluated.
    """
    velocity, path = np.zeros_like(theta), []
    for step, rate in enumerate(rates):
        velocity = mu * velocity - rate * gradient(theta + mu * velocity, step)
        theta = theta + velocity
        path.append(theta + mu * velocity)
    return path


def adam(gradient, theta, rates, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Kingma and Ba (2015), algorithm 1."""
    m, v, path = np.zeros_like(theta), np.zeros_like(theta), []
    for step, rate in enumerate(rates):
        g = gradient(theta, step)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1 ** (step + 1))
        v_hat = v / (1 - beta2 ** (step + 1))
        theta = theta - rate * m_hat / (np.sqrt(v_hat) + epsilon)
        path.append(theta)
    return path


def rprop(gradient, theta, first_length, n_steps, shortest=1e-6, longest=50.0):
    """iRprop-, Igel and Huesken (2003), one parameter after the other."""
    lengths, previous, path = [first_length] * len(theta), [0.0] * len(theta), []
    for step in range(n_steps):
        g = gradient(theta, step)
        theta = theta.copy()
        for i in range(len(theta)):
            derivative = g[i]
            if previous[i] * derivative > 0:
                lengths[i] = min(lengths[i] * 1.2, longest)
            elif previous[i] * derivative < 0:
                lengths[i] = max(lengths[i] * 0.5, shortest)
                derivative = 0.0
            if derivative > 0:
                theta[i] -= lengths[i]
            elif derivative < 0:
                theta[i] += lengths[i]
            previous[i] = derivative
        path.append(theta)
    return path


# Ranking


def top_n(scores, n, excluded=None):
    """Return (columns, scores) of each row by a full sort: best first, ties by column."""
    hidden = np.zeros(scores.shape, bool) if excluded is None else dense_and_stored(excluded)[1]
    columns, best = [], []
    for row in range(scores.shape[0]):
        shown = [-math.inf if hidden[row, c] else scores[row, c] for c in range(scores.shape[1])]
        order = sorted(range(len(shown)), key=lambda c, shown=shown: (-shown[c], c))[:n]
        columns.append(order)
        best.append([shown[c] for c in order])
    return columns, best
