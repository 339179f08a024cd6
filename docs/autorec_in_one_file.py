"""AutoRec in one file: from ratings to the error on test ratings, in plain NumPy.

    python autorec_in_one_file.py               # on made-up ratings, in a few seconds
    python autorec_in_one_file.py ratings.csv   # a line of names, then user,item,rating: numbers

The numbers in the comments are equations of docs/derivation.md. A row is an item, a column is a
user, and `rated` says where there is a rating. The package does the same on sparse matrices.
"""

import sys

import numpy as np


def made_up_ratings(rng, n_users=300, n_items=150, n_factors=2):
    """Return users, items, ratings: biases, a product of hidden factors, noise, and stars."""
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.2)
    p, q = rng.normal(0, 0.8, (n_users, n_factors)), rng.normal(0, 0.8, (n_items, n_factors))
    bias = rng.normal(0, 0.4, n_users)[users] + rng.normal(0, 0.4, n_items)[items]
    exact = 3.3 + bias + np.sum(p[users] * q[items], axis=1) + rng.normal(0, 0.4, len(users))
    return users, items, np.clip(np.round(exact), 1, 5)


def table(users, items, ratings, shape):
    """Return the items x users table, 0 in the holes, and where it is rated."""
    X, rated = np.zeros(shape), np.zeros(shape, bool)
    X[items, users], rated[items, users] = ratings, True  # a rating of 0 is a rating
    return X, rated


def forward(X, V, mu, W, b):
    """Return the codes and the outputs of all rows."""
    H = 1 / (1 + np.exp(-(X @ V + mu)))  # (1), g is the sigmoid
    return H, H @ W.T + b  # (1), f is the identity


def value_and_gradient(theta, X, rated, penalty):
    """Return J and its derivatives by V, mu, W and b."""
    V, mu, W, b = theta
    H, Y = forward(X, V, mu, W, b)
    E = np.where(rated, Y - X, 0)  # (3), only where there is a rating
    J = np.sum(E**2) + penalty / 2 * (np.sum(W**2) + np.sum(V**2))  # (2)
    D_A = 2 * E  # (4), (5)
    D_W = D_A.T @ H + penalty * W  # (6), and the penalty
    D_b = D_A.sum(axis=0)  # (7)
    D_H = D_A @ W  # (8)
    D_Z = D_H * H * (1 - H)  # (9)
    D_V = X.T @ D_Z + penalty * V  # (10), and the penalty
    D_mu = D_Z.sum(axis=0)  # (11)
    return J, [D_V, D_mu, D_W, D_b]


def fit(X, rated, rng, n_hidden=10, penalty=6.0, n_steps=400, rate=0.01):
    """Minimize (2) with Adam, all rows in each step; return V, mu, W, b."""
    n_columns = X.shape[1]
    V, W = rng.normal(0, 0.05, (2, n_columns, n_hidden))
    b = (X.sum(axis=0) + 3 * X[rated].mean()) / (rated.sum(axis=0) + 3)  # the users' means, nearly
    theta = [V, np.zeros(n_hidden), W, b]
    m, v = [0 * part for part in theta], [0 * part for part in theta]
    for t in range(1, n_steps + 1):
        J, gradient = value_and_gradient(theta, X, rated, penalty)
        for i, g in enumerate(gradient):  # docs/derivation.md, "How the gradient is used: steps"
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            m_hat, v_hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            theta[i] = theta[i] - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        if t == 1 or t % 100 == 0:
            print(f"step {t:4}: J = {J:.0f}")
    return theta


def rmse(ratings, predicted):
    """Return the root of the mean squared error."""
    return np.sqrt(np.mean((ratings - predicted) ** 2))


def main(path=None):
    """Hide a tenth of the ratings, learn from the others, and predict the hidden ones."""
    rng = np.random.default_rng(0)
    if path is None:
        users, items, ratings = made_up_ratings(rng)
    else:
        users, items, ratings = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 1, 2)).T
        users, items = (np.unique(ids, return_inverse=True)[1] for ids in (users, items))
    shape = items.max() + 1, users.max() + 1
    is_test = rng.random(len(ratings)) < 0.1
    X, rated = table(users[~is_test], items[~is_test], ratings[~is_test], shape)
    _, Y = forward(X, *fit(X, rated, rng))
    mean, scale = X[rated].mean(), (X[rated].min(), X[rated].max())
    of_items = (X.sum(axis=1) + 3 * mean) / (rated.sum(axis=1) + 3)
    left = np.where(rated, X - of_items[:, None], 0).sum(axis=0) / (rated.sum(axis=0) + 3)
    biases = of_items[:, None] + left
    for name, table_of in [("the mean", mean + 0 * Y), ("biases", biases), ("AutoRec", Y)]:
        predicted = np.clip(table_of[items[is_test], users[is_test]], *scale)
        print(f"test RMSE of {name:8} {rmse(ratings[is_test], predicted):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
