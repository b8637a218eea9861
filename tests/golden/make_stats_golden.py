#!/usr/bin/python3
"""Writes golden values of distributions and tests as SciPy computes them, and by definition in numpy.

Run it by hand where python3-scipy is installed (Debian 12: 1.10.1); the tests need only its output.
    /usr/bin/python3 tests/golden/make_stats_golden.py > tests/golden/stats_golden.h
    /usr/bin/python3 tests/golden/make_stats_golden.py experiment > tests/golden/experiment_golden.h
"""
import sys

import numpy as np
from scipy import optimize, stats

from make_metrics_golden import array, real, single


def exact(v):
    return "%.17g" % v if np.isfinite(v) else ("INFINITY" if v > 0 else "-INFINITY")


def triples(name, rows):
    print("static const double %s[][3] = {%s};" % (name, ", ".join("{%s}" % ", ".join(map(exact, row)) for row in rows)))


def t_quantile(p, df):
    """stats.t.ppf of SciPy 1.10 errs in the ninth digit; its cdf does not."""
    rough = stats.t.ppf(p, df)
    if p == .5:
        return 0.0
    return optimize.brentq(lambda x: stats.t.cdf(x, df) - p, rough - .01 * abs(rough), rough + .01 * abs(rough), xtol=1e-300, rtol=1e-15)


def distributions():
    triples("GOLDEN_NORMAL", [(x, 0, stats.norm.cdf(x)) for x in (-37, -8.5, -3, -1.96, -.1, 0, .7, 1.64, 5, 9)])
    triples("GOLDEN_NORMAL_QUANTILE", [(p, 0, stats.norm.ppf(p)) for p in (1e-300, 1e-12, .001, .02425, .025, .3, .5, .8, .975, .999999)])
    degrees = (.5, 1, 2, 4.3, 9, 30, 1e3, 1e6)
    triples("GOLDEN_STUDENT", [(t, df, stats.t.cdf(t, df)) for df in degrees for t in (-30, -2.5, -.3, 0, 1.1, 4)])
    triples("GOLDEN_STUDENT_QUANTILE", [(p, df, t_quantile(p, df)) for df in degrees for p in (.0005, .025, .4, .5, .9, .975)])
    triples("GOLDEN_CHI2", [(x, df, stats.chi2.sf(x, df)) for df in (1, 2, 7, 50, 400) for x in (.01, .9, 3.84, 40, 420)])
    triples("GOLDEN_COIN", [(k, n, stats.binomtest(k, n).pvalue) for k, n in
                            ((0, 1), (0, 5), (3, 10), (5, 10), (40, 60), (1000, 2100), (49500, 100000))])


def placements(scores, labels):
    """Share of the other class on the right side, over all pairs."""
    wins = (scores[labels == 1][:, None] > scores[labels == 0][None, :]) + .5 * (
        scores[labels == 1][:, None] == scores[labels == 0][None, :])
    out = np.empty(len(scores))
    out[labels == 1] = wins.mean(axis=1)
    out[labels == 0] = wins.mean(axis=0)
    return out


def delong(values, labels, users):
    """DeLong et al. 1988 by rows; Obuchowski 1997 by users, as sums over clusters."""
    auc = values[labels == 1].mean()
    rows = sum(values[labels == c].var(ddof=1) / (labels == c).sum() for c in (0, 1))
    groups, m = np.unique(users), [(labels == c).sum() for c in (0, 1)]
    sums = np.array([[(values[(users == u) & (labels == c)] - auc).sum() for c in (0, 1)] for u in groups])
    scale = len(groups) / (len(groups) - 1)
    s10 = scale * (sums[:, 1] ** 2).sum() / m[1]
    s01 = scale * (sums[:, 0] ** 2).sum() / m[0]
    s11 = scale * (sums[:, 1] * sums[:, 0]).sum()
    return auc, np.sqrt(rows), np.sqrt(s10 / m[1] + s01 / m[0] + 2 * s11 / (m[1] * m[0]))


def two_arms(rng):
    n = 80
    users, labels = rng.integers(0, 15, n), rng.integers(0, 2, n)
    a = (np.round(rng.random(n) * 12 + 3 * labels) / 16).astype(np.float32)
    b = (np.round(rng.random(n) * 12 + 4 * labels) / 16).astype(np.float32)
    print("enum { GOLDEN_ARMS_N = %d, GOLDEN_ARMS_USERS = 15 };" % n)
    print("static const float GOLDEN_ARM_A[] = %s;" % array("float", a, single).split(")", 1)[1])
    print("static const float GOLDEN_ARM_B[] = %s;" % array("float", b, single).split(")", 1)[1])
    print("static const uint8_t GOLDEN_ARM_LABELS[] = %s;" % array("uint8_t", labels, str).split(")", 1)[1])
    print("static const uint32_t GOLDEN_ARM_USERS_OF[] = %s;" % array("uint32_t", users, str).split(")", 1)[1])
    va, vb = placements(a, labels), placements(b, labels)
    for name, values in (("A", va), ("B", vb), ("LIFT", vb - va)):
        print("static const double GOLDEN_DELONG_%s[] = {%s};" % (name, ", ".join(map(real, delong(values, labels, users)))))
    right_a, right_b = (a >= .5) == labels, (b >= .5) == labels
    only_a, only_b = (right_a & ~right_b).sum(), (right_b & ~right_a).sum()
    d = np.array([right_b[users == u].sum() - right_a[users == u].sum() for u in np.unique(users)], float)
    z = d.sum() / np.sqrt((d ** 2).sum())
    print("static const double GOLDEN_MCNEMAR[] = {%s};" % ", ".join(map(real, (
        only_a, only_b, stats.binomtest(int(only_a), int(only_a + only_b)).pvalue, z, 2 * stats.norm.sf(abs(z))))))


def bca(replicates, value, left_out, confidence):
    """DiCiccio and Efron 1996."""
    below = ((replicates < value).sum() + .5 * (replicates == value).sum()) / len(replicates)
    d = left_out.mean() - left_out
    a = (d ** 3).sum() / (6 * (d ** 2).sum() ** 1.5)
    z0, out = stats.norm.ppf(below), []
    for p in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = z0 + stats.norm.ppf(p)
        out.append(np.quantile(replicates, stats.norm.cdf(z0 + z / (1 - a * z))))
    return out


def benjamini_hochberg(p):
    order = np.argsort(p, kind="stable")
    steps = np.minimum.accumulate((p[order] * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def experiment(rng):
    n = 150
    arm = rng.integers(0, 2, n)
    before = np.round(rng.normal(10, 3, n), 3)
    outcome = np.round(.7 * before + rng.normal(size=n) + .8 * arm, 3)
    print("static const double GOLDEN_OUTCOME[] = {%s};" % ", ".join(map(real, outcome)))
    print("static const double GOLDEN_BEFORE[] = {%s};" % ", ".join(map(real, before)))
    print("static const uint8_t GOLDEN_ARM_OF[] = {%s};" % ", ".join(map(str, arm)))

    def welch(values):
        a, b = values[arm == 0], values[arm == 1]
        test = stats.ttest_ind(b, a, equal_var=False)
        part = [a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)]
        df = sum(part) ** 2 / (part[0] ** 2 / (len(a) - 1) + part[1] ** 2 / (len(b) - 1))
        half = t_quantile(.975, df) * np.sqrt(sum(part))
        return b.mean() - a.mean(), test.pvalue, b.mean() - a.mean() - half, b.mean() - a.mean() + half
    theta = np.cov(before, outcome)[0, 1] / before.var(ddof=1)
    print("static const double GOLDEN_WELCH[] = {%s};" % ", ".join(map(real, welch(outcome))))
    print("static const double GOLDEN_CUPED[] = {%s};" % ", ".join(map(real, (
        theta, np.corrcoef(before, outcome)[0, 1] ** 2) + welch(outcome - theta * (before - before.mean())))))
    print("static const double GOLDEN_SPLIT = %s;" % real(stats.chisquare([450, 560], [606, 404]).pvalue))
    # confidence sequence by definition, from scores with the means of the users before
    scores, means = [], [0.0, 0.0]
    for i in range(n):
        correction = (outcome[i] - means[arm[i]]) / .5
        scores.append(means[1] - means[0] + (correction if arm[i] else -correction))
        means = [outcome[:i + 1][arm[:i + 1] == a].mean() if (arm[:i + 1] == a).any() else 0.0 for a in (0, 1)]
    scores = np.array(scores)
    l = -2 * np.log(.05)
    rho2 = (l + np.log(l) + 1) / 500
    half = scores.std() * np.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * np.log(np.sqrt(n * rho2 + 1) / .05))
    p = 1
    for t in range(100, n + 1):
        parts = [outcome[:t][arm[:t] == a] for a in (0, 1)]
        variance = sum(x.var() / len(x) for x in parts)
        mixture, lift = variance * t * rho2, parts[1].mean() - parts[0].mean()
        p = min(p, np.sqrt((variance + mixture) / variance) * np.exp(-mixture * lift ** 2 / (2 * variance * (variance + mixture))))
    print("static const double GOLDEN_SEQUENTIAL[] = {%s};" % ", ".join(map(real, (
        scores.mean(), scores.mean() - half, scores.mean() + half, p))))


def main():
    rng = np.random.default_rng(20240302)
    print("/* Written by tests/golden/make_stats_golden.py: do not edit. */")
    print("/* clang-format off */")
    if sys.argv[1:] == ["experiment"]:
        experiment(rng)
        print("/* clang-format on */")
        return
    distributions()
    two_arms(rng)
    skewed = np.round(rng.exponential(size=301), 2)
    left_out = rng.exponential(size=40)
    print("static const double GOLDEN_SKEWED[] = {%s};" % ", ".join(map(real, skewed)))
    print("static const double GOLDEN_LEFT_OUT[] = {%s};" % ", ".join(map(real, left_out)))
    print("static const double GOLDEN_BCA[] = {%s};" % ", ".join(map(real, bca(skewed, .6, left_out, .95))))
    x, y = rng.normal(size=7), rng.normal(size=7) + .4
    t = stats.ttest_rel(y, x)
    half = t_quantile(.975, 6) * stats.sem(y - x)
    low, high = (y - x).mean() - half, (y - x).mean() + half
    print("static const double GOLDEN_DIFFERENCES[] = {%s};" % ", ".join(map(real, y - x)))
    print("static const double GOLDEN_T[] = {%s};" % ", ".join(map(real, (t.statistic, t.pvalue, low, high))))
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.04, 0.8, 0.02, 0.9, 0.03])
    print("static const double GOLDEN_P[] = {%s};" % ", ".join(map(real, p)))
    print("static const double GOLDEN_BH[] = {%s};" % ", ".join(map(real, benjamini_hochberg(p))))
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
