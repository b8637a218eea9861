#!/usr/bin/env python3
"""The twin of bench_evaluate: scikit-learn's AUC and log loss with UAUC in numpy, or a user-clustered bootstrap in numpy,
on the rows that the program wrote, on one thread.

    /usr/bin/python3 tests/bench/evaluate_twin.py measures|bootstrap FOLDER OURS...

Prints the seconds: of all three measures (best of two), or of one replicate of both arms (median of nine). What the
program found must agree to 1e-6, or it exits with 1. The replicate is the best that numpy does: nothing is copied, the
rows are sorted once, weights per user are gathered and summed, and it has AUC and log loss alone where ours has all
measures by score.
"""
import os
import sys
import time

import numpy as np


def read(folder):
    def column(name, kind):
        return np.fromfile(os.path.join(folder, name), kind)
    return column("user.u32", np.uint32), column("label.u8", np.uint8), [column(f, np.float32) for f in ("a.f32", "b.f32")]


def uauc(user, label, score):
    """AUC within users from ranks within users (no ties here), plain mean over users with both classes."""
    order = np.lexsort((score, user))
    u, y = user[order], label[order]
    starts = np.flatnonzero(np.r_[True, u[1:] != u[:-1]])
    sizes = np.diff(np.r_[starts, len(u)])
    rank = np.arange(len(u)) - np.repeat(starts, sizes) + 1
    positives = np.add.reduceat(y.astype(np.int64), starts)
    sums = np.add.reduceat(np.where(y, rank, 0), starts)
    negatives = sizes - positives
    both = (positives > 0) & (negatives > 0)
    p, n = positives[both], negatives[both]
    return np.mean((sums[both] - p * (p + 1) / 2) / (p * n))


def check(found, ours, tolerance):
    for a, b in zip(found, ours):
        if not abs(a - b) <= tolerance:
            sys.exit("the twin found %.12g, not %.12g" % (a, b))


def measures(user, label, score, ours):
    from sklearn.metrics import log_loss, roc_auc_score
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        found = (roc_auc_score(label, score), uauc(user, label, score), log_loss(label, score.astype(np.float64), eps=1e-7))
        seconds.append(time.perf_counter() - start)
    check(found, ours, 1e-6)  # UAUC in ranks has no halves for the few ties
    return min(seconds)


def bootstrap(user, label, scores, ours):
    rng = np.random.default_rng(1)
    users_n = int(user.max()) + 1
    arms = []
    for score in scores:
        order = np.argsort(score, kind="stable")
        p = np.clip(score.astype(np.float64), 1e-7, 1 - 1e-7)
        loss = np.bincount(user, weights=-np.log(np.where(label, p, 1 - p)), minlength=users_n)
        arms.append((user[order], label[order] != 0, loss))
    rows = np.bincount(user, minlength=users_n)

    def replicate(weights):
        out = []
        for of_user, positive, loss in arms:
            w = weights[of_user]
            negatives = np.cumsum(np.where(positive, 0, w))
            wins = np.dot(w[positive].astype(np.float64), negatives[positive])
            total = w[positive].sum()
            out.append((wins / (total * negatives[-1]), weights @ loss / (weights @ rows)))
        return out

    check([auc for auc, _ in replicate(np.ones(users_n, np.int64))], ours, 1e-6)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        replicate(np.bincount(rng.integers(0, users_n, users_n), minlength=users_n))
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[4]


def main():
    what, folder, ours = sys.argv[1], sys.argv[2], [float(v) for v in sys.argv[3:]]
    user, label, scores = read(folder)
    print(measures(user, label, scores[0], ours) if what == "measures" else bootstrap(user, label, scores, ours))


main()
