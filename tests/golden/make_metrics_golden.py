#!/usr/bin/python3
"""Writes tests/golden/metrics_golden.h: measures of fixed rows as scikit-learn and numpy compute them.

Run it by hand where python3-sklearn is installed (Debian 12: 1.2.1); the tests need only its output.
    /usr/bin/python3 tests/golden/make_metrics_golden.py > tests/golden/metrics_golden.h
"""
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (accuracy_score, average_precision_score, brier_score_loss, log_loss, roc_auc_score,
                             roc_curve)

CLIP = 1e-7  # LCF_LOG_LOSS_CLIP
GRID = 51    # LCF_ROC_POINTS


def array(ctype, values, fmt):
    text = ", ".join(fmt(v) for v in values)
    return "(const %s[]){%s}" % (ctype, text)


def real(v):
    return "NAN" if np.isnan(v) else repr(float(v))


def single(v):
    return ("%.9g" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.9g.0" % v) + "f"


def user_means(scores, labels, users):
    aucs, sizes, positives, skipped = [], [], [], 0
    for user in np.unique(users):
        at = users == user
        if len(np.unique(labels[at])) < 2:
            skipped += 1
            continue
        aucs.append(roc_auc_score(labels[at], scores[at]))
        sizes.append(at.sum())
        positives.append(labels[at].sum())
    if not aucs:
        return np.nan, np.nan, np.nan, 0, skipped
    return (np.mean(aucs), np.average(aucs, weights=sizes), np.average(aucs, weights=positives), len(aucs), skipped)


def calibration_fit(scores, labels):
    """Slope and intercept; none where the scores are constant or separate the classes."""
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    low, high = [scores[labels == c].min() for c in (0, 1)], [scores[labels == c].max() for c in (0, 1)]
    if len(np.unique(scores)) < 2 or low[1] >= high[0] or low[0] >= high[1]:
        return np.nan, np.nan
    odds = np.log(clipped / (1 - clipped)).reshape(-1, 1)
    fit = LogisticRegression(penalty="none", solver="newton-cg", tol=1e-12, max_iter=1000).fit(odds, labels)
    return fit.coef_[0, 0], fit.intercept_[0]


def expected_calibration_error(scores, labels):
    rate, mean = calibration_curve(labels, scores, n_bins=10, strategy="uniform")
    edges = np.linspace(0, 1, 11)
    rows = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=10)
    return np.sum(rows[rows > 0] / len(scores) * np.abs(rate - mean))


def roc_grid(scores, labels):
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    grid = np.arange(GRID) / (GRID - 1)
    at_step = [tpr[fpr == x].max() if (fpr == x).any() else -1.0 for x in grid]  # the upper end of a vertical step
    return np.where(np.array(at_step) >= 0, at_step, np.interp(grid, fpr, tpr))


def case(name, rng, n, users_n, make_scores):
    users = rng.integers(0, users_n, n)
    labels = (rng.random(n) < 0.2 + 0.6 * (users % 3) / 2).astype(int)
    scores32 = make_scores(rng, labels).astype(np.float32)
    weights = rng.integers(0, 4, n)
    scores = scores32.astype(np.float64)
    uauc, gauc_impressions, gauc_positives, counted, skipped = user_means(scores, labels, users)
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    print("    {")
    print('        .name = "%s", .n = %d, .users_max = %d,' % (name, n, users_n))
    print("        .scores = %s," % array("float", scores32, single))
    print("        .labels = %s," % array("uint8_t", labels, str))
    print("        .users = %s," % array("uint32_t", users, str))
    print("        .weights = %s," % array("uint32_t", weights, str))
    print("        .auc = %s, .auc_weighted = %s," % (
        real(roc_auc_score(labels, scores)), real(roc_auc_score(labels, scores, sample_weight=weights))))
    print("        .log_loss = %s," % real(log_loss(labels, clipped)))
    share = labels.mean()
    print("        .pr_auc = %s, .brier = %s, .ne = %s," % (
        real(average_precision_score(labels, scores)), real(brier_score_loss(labels, scores)),
        real(log_loss(labels, clipped) / log_loss(labels, np.full(n, share)))))
    print("        .slope = %s, .intercept = %s," % tuple(map(real, calibration_fit(scores, labels))))
    print("        .uauc = %s, .gauc_impressions = %s, .gauc_positives = %s, .users_n = %d, .skipped_n = %d," % (
        real(uauc), real(gauc_impressions), real(gauc_positives), counted, skipped))
    print("        .accuracy = %s, .ece = %s, .bias = %s," % (
        real(accuracy_score(labels, scores >= 0.5)), real(expected_calibration_error(scores, labels)),
        real(scores.mean() / labels.mean())))
    print("        .roc = %s," % array("double", roc_grid(scores, labels), real))
    print("    },")


def holm(p):
    """Textbook step-down: the k-th smallest times (m - k), made monotone, capped."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def main():
    rng = np.random.default_rng(20240229)
    print("/* Written by tests/golden/make_metrics_golden.py with scikit-learn: do not edit. */")
    print("/* clang-format off */")
    print("static const golden_case GOLDEN_CASES[] = {")
    case("continuous", rng, 90, 14, lambda r, y: 1 / (1 + np.exp(-(1.2 * y - 0.5 + r.normal(size=len(y))))))
    case("ties", rng, 120, 9, lambda r, y: np.round(np.clip(0.15 * y + r.random(len(y)) * 0.85, 0, 1) * 10) / 10)
    case("extremes", rng, 60, 30, lambda r, y: r.choice([0.0, 1.0, 0.5, 1e-9, 0.2], len(y)))
    case("constant", rng, 25, 5, lambda r, y: np.full(len(y), 0.25))
    print("};")
    values = rng.normal(size=101)
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.04, 0.8, 0.02])
    print("static const double GOLDEN_VALUES[] = {%s};" % ", ".join(map(real, values)))
    print("static const double GOLDEN_MEAN = %s, GOLDEN_STD = %s;" % (real(values.mean()), real(values.std(ddof=1))))
    print("static const double GOLDEN_LOW = %s, GOLDEN_HIGH = %s;" % tuple(map(real, np.quantile(values, [0.025, 0.975]))))
    print("static const double GOLDEN_P[] = {%s};" % ", ".join(map(real, p)))
    print("static const double GOLDEN_HOLM[] = {%s};" % ", ".join(map(real, holm(p))))
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
