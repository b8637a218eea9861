#!/usr/bin/python3
"""Writes tests/golden/lists_golden.h: measures of top-K lists in trec_eval's conventions, by definition and in numpy.

Run it by hand where numpy and scikit-learn are installed (Debian 12); the tests need only its output.
    /usr/bin/python3 tests/golden/make_lists_golden.py > tests/golden/lists_golden.h
NDCG is held to scikit-learn's where no scores are equal (scikit-learn averages over ties, trec_eval breaks them).
"""
import numpy as np
from sklearn.metrics import average_precision_score, ndcg_score

from make_metrics_golden import array, real, single


def ranked(scores):
    """Rows by falling score, the greater row number first among equals (trec_eval: the greater document id)."""
    return sorted(range(len(scores)), key=lambda row: (-scores[row], -row))


def dcg(gains):
    return sum(g / np.log2(rank + 2) for rank, g in enumerate(gains))


def of_user(scores, gains, items, k, counts, vectors):
    top = ranked(scores)[:k]
    shown, ideal = gains[top], np.sort(gains)[::-1][:k]
    relevant = (gains > 0).sum()
    out = dict.fromkeys("hr recall precision ndcg ndcg_exp mrr map".split(), np.nan)
    if relevant:
        hit = shown > 0
        ranks = np.flatnonzero(hit) + 1
        out["hr"] = float(hit.any())
        out["recall"] = hit.sum() / relevant
        out["precision"] = hit.sum() / k
        out["ndcg"] = dcg(shown) / dcg(ideal)
        out["ndcg_exp"] = dcg(2.0 ** shown - 1) / dcg(2.0 ** ideal - 1)
        out["mrr"] = 1 / ranks[0] if len(ranks) else 0.0
        out["map"] = sum(hit[:r].sum() / r for r in ranks) / relevant
        if len(np.unique(scores)) == len(scores) > 1:
            reference = ndcg_score([gains], [scores], k=k)
            assert abs(reference - out["ndcg"]) < 1e-12
            if k >= len(scores):
                assert abs(average_precision_score(gains > 0, scores) - out["map"]) < 1e-12
    known = [items[row] for row in top if items[row] > 0]
    share = (counts + 1) / (counts.sum() + len(counts) - 1)  # item 0 is the unknown and no item
    out["novelty"] = np.mean([-np.log2(share[i]) for i in known]) if known else np.nan
    out["popularity"] = np.mean([counts[i] for i in known]) if known else np.nan
    with_text = [i for i in known if vectors[i].any()]
    pairs = [1 - vectors[a].astype(float) @ vectors[b].astype(float)
             for n, a in enumerate(with_text) for b in with_text[:n]]
    out["diversity"] = np.mean(pairs) if pairs else np.nan
    return out, known


def gini(exposures):
    """Half the mean absolute difference of all pairs over the mean."""
    x = np.asarray(exposures, float)
    return np.abs(x[:, None] - x[None, :]).sum() / (2 * len(x) ** 2 * x.mean()) if x.sum() else np.nan


def case(name, rng, n, users_n, k, scores, gain_max):
    items_n, dim = 12, 4
    users = rng.integers(0, users_n, n)
    gains = np.where(rng.random(n) < 0.4, rng.integers(1, gain_max + 1, n), 0)
    gains[users == 0] = 0  # a user without a relevant row
    items = rng.integers(0, items_n, n)
    counts = rng.integers(0, 9, items_n)
    counts[0] = 0
    vectors = rng.normal(size=(items_n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[0, 5]] = 0
    per_user, exposures = [], np.zeros(items_n, int)
    for user in range(users_n):
        at = np.flatnonzero(users == user)
        values, known = of_user(scores[at], gains[at], items[at], k, counts, vectors)
        per_user.append(values)
        np.add.at(exposures, known, 1)
    table = np.array([[v[m] for v in per_user] for m in per_user[0]])
    print("    {")
    print('        .name = "%s", .n = %d, .users_n = %d, .k = %d, .items_n = %d, .dim = %d,' % (name, n, users_n, k, items_n, dim))
    print("        .scores = %s," % array("float", scores, single))
    print("        .gains = %s," % array("uint8_t", gains, str))
    print("        .users = %s," % array("uint32_t", users, str))
    print("        .items = %s," % array("uint32_t", items, str))
    print("        .counts = %s," % array("uint32_t", counts, str))
    print("        .vectors = %s," % array("float", vectors.ravel(), single))
    print("        .user_values = %s," % array("double", table.ravel(), real))
    means = [np.mean(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in table]
    means += [(exposures[1:] > 0).mean(), gini(exposures[1:])]
    print("        .all = %s," % array("double", means, real))
    print("    },")


def main():
    rng = np.random.default_rng(20240301)
    print("/* Written by tests/golden/make_lists_golden.py: do not edit. */")
    print("/* clang-format off */")
    print("static const golden_lists GOLDEN_LISTS[] = {")
    case("continuous", rng, 60, 6, 5, rng.random(60).astype(np.float32), 1)
    case("ties", rng, 70, 5, 4, (rng.integers(0, 4, 70) / 4).astype(np.float32), 1)
    case("graded", rng, 50, 4, 10, (rng.integers(0, 20, 50) / 20).astype(np.float32), 4)
    case("all shown", rng, 40, 8, 40, rng.random(40).astype(np.float32), 1)
    case("one place", rng, 30, 6, 1, np.full(30, 0.5, np.float32), 2)
    print("};")
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
