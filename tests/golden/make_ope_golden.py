#!/usr/bin/python3
"""Writes example logs for counterfactual evaluation, and what NumPy makes of them: every estimator, from its definition.

Run it by hand where python3-numpy is installed; the tests need only its output.
    /usr/bin/python3 tests/golden/make_ope_golden.py

    schemas/examples/ope/log.jsonl, log.csv      one log in two forms (schemas/bandit_log.md)
    schemas/examples/bandit_log.json             its rows as one JSON array
    schemas/examples/ope/requests.jsonl          a request log, candidate.jsonl the scores of another ranker
    schemas/examples/request_log.json            its lines as one JSON array
    tests/golden/ope_golden.h                    the expected figures
"""
import json
import os

import numpy as np

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = os.path.join(ROOT, "schemas", "examples")
ACTIONS = ["apron", "bread", "cocoa", "dates"]
DELTA = 0.05
L2 = 1.0
FOLDS = 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rounded(p):
    """Probabilities of six digits that sum to 1 exactly enough."""
    p = np.round(p, 6)
    p[np.argmax(p)] += 1 - p.sum()
    return [float("%.6f" % v) for v in p]


# ---- the plain log ----

def make_log(rng):
    rows = []
    for user in range(24):
        age, segment = int(rng.integers(18, 65)), ["new", "loyal", "guest"][int(rng.integers(3))]
        for _ in range(int(rng.integers(1, 6))):
            logging = rounded(0.7 * rng.dirichlet(np.ones(4)) + 0.3 / 4)
            target = rounded(0.9 * rng.dirichlet(np.ones(4)) + 0.1 / 4)
            a = int(rng.choice(4, p=np.array(logging) / sum(logging)))
            reward = int(rng.random() < sigmoid(-0.8 + 0.5 * a + (segment == "loyal") - 0.01 * age))
            rows.append({
                "user": "u%d" % user, "action": ACTIONS[a], "reward": reward, "propensity": logging[a],
                "propensities": dict(zip(ACTIONS, logging)), "target": dict(zip(ACTIONS, target)),
                "context": {"age": age, "segment": segment}})
    return rows


def write_log(rows):
    os.makedirs(os.path.join(EXAMPLES, "ope"), exist_ok=True)
    with open(os.path.join(EXAMPLES, "ope", "log.jsonl"), "w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    with open(os.path.join(EXAMPLES, "bandit_log.json"), "w") as file:
        file.write("[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n")
    with open(os.path.join(EXAMPLES, "ope", "log.csv"), "w") as file:
        file.write(",".join(["user", "action", "reward", "propensity", "x:age", "c:segment"] +
                            ["propensity:" + a for a in ACTIONS] + ["target:" + a for a in ACTIONS]) + "\n")
        for r in rows:
            file.write(",".join(str(v) for v in [
                r["user"], r["action"], r["reward"], r["propensity"], r["context"]["age"], r["context"]["segment"],
                *r["propensities"].values(), *r["target"].values()]) + "\n")


# ---- the request log ----

def plackett_luce(scores, temperature):
    e = np.exp((scores - scores.max()) / temperature)
    return e / e.sum()


def make_requests(rng):
    items = ["i%d" % i for i in range(8)]
    lines, scores, clicks = [], [], []
    quality = rng.normal(size=8)
    for n in range(40):
        chosen = rng.permutation(8)[:6]
        logged = np.round(quality[chosen] * 0.5 + rng.normal(size=6), 4)
        other = np.round(quality[chosen] * 1.2 + 0.5 * rng.normal(size=6), 4)
        left, position = list(range(6)), {}
        for k in range(3):
            p = plackett_luce(logged[left], 1.0)
            at = int(rng.choice(len(left), p=p))
            position[left[at]] = (k + 1, float("%.9g" % p[at]))
            del left[at]
        candidates = []
        for i in range(6):
            c = {"item_id": items[chosen[i]], "score": float(logged[i])}
            if i in position:
                c["position"], c["propensity"] = position[i]
                if rng.random() < position[i][0] ** -0.7 * sigmoid(quality[chosen[i]]):
                    clicks.append({"kind": "click", "request_id": "r%d" % n, "item_id": items[chosen[i]],
                                   "time": 1735737941 + 60 * n + 5 * position[i][0]})
            candidates.append(c)
        lines.append({"kind": "request", "version": 1, "request_id": "r%d" % n, "user_id": "u%d" % (n % 13),
                      "time": 1735737941 + 60 * n, "generation": "20250101-000000", "arm": "ict",
                      "policy": "plackett_luce", "temperature": 1.0, "context": {"hour": n % 24},
                      "candidates": candidates})
        scores.append({"kind": "request", "version": 1, "request_id": "r%d" % n,
                       "candidates": [{"item_id": items[chosen[i]], "score": float(other[i])} for i in range(6)]})
    return lines, scores, clicks


def write_requests(lines, scores, clicks):
    with open(os.path.join(EXAMPLES, "ope", "requests.jsonl"), "w") as file:
        for line in lines + clicks:
            file.write(json.dumps(line) + "\n")
    with open(os.path.join(EXAMPLES, "ope", "candidate.jsonl"), "w") as file:
        for line in scores:
            file.write(json.dumps(line) + "\n")
    with open(os.path.join(EXAMPLES, "request_log.json"), "w") as file:
        file.write("[\n" + ",\n".join("  " + json.dumps(line) for line in lines[:3] + clicks[:2]) + "\n]\n")


# ---- reference: reward model ----

def newton(X, y):
    """Ridge logistic regression, the last column is the intercept and free."""
    beta = np.zeros(X.shape[1])
    ridge = np.full(X.shape[1], L2)
    ridge[-1] = 0
    for _ in range(100):
        p = sigmoid(X @ beta)
        gradient = X.T @ (p - y) + ridge * beta
        hessian = (X * (p * (1 - p))[:, None]).T @ X + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-14:
            break
    return beta


class Reward:
    """Cross-fitted model; feature(row, action, position, score) -> vector."""

    def __init__(self, X, y, users, feature):
        self.feature, self.fold = feature, users % FOLDS
        self.beta = [newton(X[self.fold != f], y[self.fold != f]) for f in range(FOLDS)]

    def q(self, i, *what):
        return sigmoid(self.feature(i, *what) @ self.beta[self.fold[i]])


# ---- reference: estimators ----

def shrink(name, w, lam):
    if np.isinf(lam):
        return w
    return {"clipped_ips": np.minimum(w, lam), "switch_dr": np.where(w <= lam, w, 0),
            "dros": lam * w / (w ** 2 + lam)}[name]


def terms(name, r, w, pi, q, v, lam):
    zero, one = np.zeros_like(r), np.ones_like(r)
    if name == "replay":
        match = (pi > 0) * 1.0
        return zero, match * r, match, match
    if name == "ips":
        return zero, w * r, one, w
    if name == "clipped_ips":
        s = shrink(name, w, lam)
        return zero, s * r, one, s
    if name == "snips":
        return zero, w * r, w, w
    if name == "dm":
        return v, zero, one, zero
    if name == "dr":
        return v, w * (r - q), one, w
    if name == "sndr":
        return v, w * (r - q), w, w
    s = shrink(name, w, lam)
    return v, s * (r - q), one, s


def tune(name, r, w, pi, q, v, direct):
    low, high = np.sort(w[w > 0])[int(0.05 * (np.sum(w > 0) - 1))], w.max()
    if name == "dros":
        low, high = 0.01 * low ** 2, 100 * high ** 2
    grid = [low * (high / low) ** (k / 23) for k in range(23)] + [high, np.inf]
    n, best, chosen = len(r), np.inf, np.inf
    for lam in grid:
        s = shrink(name, w, lam)
        bias = abs(np.mean((w - s) * (r - (0 if name == "clipped_ips" else q))))
        if not direct:
            bias += np.sqrt(2 * np.mean(w ** 2) * np.log(2 / DELTA) / n) + 2 * w.max() * np.log(2 / DELTA) / (3 * n)
        base, correction, _, _ = terms(name, r, w, pi, q, v, lam)
        bound = np.var(base + correction) / n + bias ** 2
        if bound <= best:
            best, chosen = bound, lam
    return chosen


def conclude(base, correction, norm, weight, reward, users):
    """value, se, ess, lift, se of the lift; the delta method, clustered."""
    out = []
    for b in (base, base - reward):
        value = b.mean() + correction.sum() / norm.sum()
        influence = (b - b.mean()) / len(b) + (correction - correction.sum() / norm.sum() * norm) / norm.sum()
        groups = np.array([influence[users == u].sum() for u in np.unique(users)])
        out += [value, np.sqrt((groups ** 2).sum() * len(groups) / (len(groups) - 1))]
    ess = weight.sum() ** 2 / (weight ** 2).sum() if weight.any() else np.nan
    return out[0], out[1], ess, out[2], out[3]


ROW_NAMES = ["replay", "ips", "clipped_ips", "snips", "dm", "dr", "sndr", "switch_dr", "dros"]


def reference_rows(rows):
    users = np.array([int(r["user"][1:]) for r in rows])
    _, first = np.unique(users, return_index=True)
    order = {users[i]: k for k, i in enumerate(sorted(first))}
    users = np.array([order[u] for u in users])
    reward = np.array([float(r["reward"]) for r in rows])
    propensity = np.array([r["propensity"] for r in rows])
    action = np.array([ACTIONS.index(r["action"]) for r in rows])
    pi = np.array([list(r["target"].values()) for r in rows])
    age = np.array([float(r["context"]["age"]) for r in rows])
    segments = sorted({r["context"]["segment"] for r in rows})
    scaled = age / np.sqrt(np.mean(age ** 2))

    def feature(i, a):
        x = [scaled[i]] + [1.0 * (rows[i]["context"]["segment"] == s) for s in segments]
        return np.array(x + [1.0 * (a == k) for k in range(4)] + [1.0])

    X = np.array([feature(i, action[i]) for i in range(len(rows))])
    model = Reward(X, reward, users, feature)
    q = np.array([model.q(i, action[i]) for i in range(len(rows))])
    v = np.array([sum(pi[i][a] * model.q(i, a) for a in range(4)) for i in range(len(rows))])
    logged_pi = pi[np.arange(len(rows)), action]
    w = logged_pi / propensity
    out = {}
    for direct in (0, 1):
        for name in ROW_NAMES[1:]:
            lam = tune(name, reward, w, logged_pi, q, v, direct) if name in ("clipped_ips", "switch_dr", "dros") else np.inf
            out[direct, name] = (lam, *conclude(*terms(name, reward, w, logged_pi, q, v, lam), reward, users))
    top = np.sort(w)[::-1]
    weights = (w.mean(), w.max(), top[: (len(w) + 99) // 100].sum() / w.sum(), w.sum() ** 2 / (w ** 2).sum())
    best = np.argmax(pi, axis=1)  # the same log with a deterministic target, for Replay
    match = (best == action) * 1.0
    replay = conclude(np.zeros_like(w), match * reward, match, match, reward, users)
    return out, weights, replay


# ---- reference: lists ----

SLATE_NAMES = ["slate_ips", "slate_iips", "slate_rips", "slate_cascade_dr"]


def reference_slates(lines, scores, clicks, temperature):
    clicked = {(c["request_id"], c["item_id"]) for c in clicks}
    rows, names = [], []
    for line, other in zip(lines, scores):
        target = np.array([c["score"] for c in other["candidates"]])
        candidates = line["candidates"]
        shown = sorted((i for i in range(len(candidates)) if "position" in candidates[i]),
                       key=lambda i: candidates[i]["position"])
        rank = sorted(shown, key=lambda i: (-target[i], candidates[i]["position"]))
        for k, i in enumerate(shown):
            left = [j for j in range(len(candidates)) if j not in shown[:k]]
            pi = plackett_luce(target[left], temperature)
            for j in left:
                if candidates[j]["item_id"] not in names:
                    names.append(candidates[j]["item_id"])
            rows.append({
                "request": line["request_id"], "user": line["user_id"], "hour": line["context"]["hour"], "k": k,
                "a": candidates[i]["item_id"], "score": candidates[i]["score"], "p": candidates[i]["propensity"],
                "pi": pi[left.index(i)], "to": rank.index(i),
                "left": [(candidates[j]["item_id"], candidates[j]["score"], pi[n]) for n, j in enumerate(left)],
                "r": 1.0 * ((line["request_id"], candidates[i]["item_id"]) in clicked)})
    users_seen = list(dict.fromkeys(r["user"] for r in rows))
    users = np.array([users_seen.index(r["user"]) for r in rows])
    hour = np.array([float(r["hour"]) for r in rows])
    scaled = hour / np.sqrt(np.mean(hour ** 2))

    def feature(i, a, k, score):
        return np.array([scaled[i]] + [1.0 * (a == n) for n in names] + [1.0 * (k == p) for p in range(3)] + [score, 1.0])

    X = np.array([feature(i, r["a"], r["k"], r["score"]) for i, r in enumerate(rows)])
    model = Reward(X, np.array([r["r"] for r in rows]), users, feature)

    def expected(i, k):
        return sum(p * model.q(i, a, k, s) for a, s, p in rows[i]["left"])

    by_request = {}
    for i, r in enumerate(rows):
        by_request.setdefault(r["request"], []).append(i)
    groups = list(by_request.values())
    reward = np.array([sum(rows[i]["r"] for i in g) for g in groups])
    owner = np.array([users[g[0]] for g in groups])
    examination = []
    for k in range(3):
        at = [r for r in rows if r["k"] == k]
        examination.append(sum(r["r"] / r["p"] for r in at) / sum(1 / r["p"] for r in at))
    examination = np.array(examination) / examination[0]
    values = {name: [] for name in SLATE_NAMES + ["slate_pbm"]}
    for g in groups:
        w = np.array([rows[i]["pi"] / rows[i]["p"] for i in g])
        r = np.array([rows[i]["r"] for i in g])
        down = np.cumprod(w)
        above = np.concatenate([[1], down[:-1]])
        values["slate_ips"].append((down[-1] * r.sum(), down[-1]))
        values["slate_iips"].append(((w * r).sum(), w.mean()))
        values["slate_rips"].append(((down * r).sum(), down[-1]))
        dr = 0
        for n, i in enumerate(g):
            later = sum(expected(i, k) for k in range(rows[i]["k"] + 1, len(g)))
            dr += down[n] * (r[n] - model.q(i, rows[i]["a"], rows[i]["k"], rows[i]["score"]) - later)
            dr += above[n] * (expected(i, rows[i]["k"]) + later)
        values["slate_cascade_dr"].append((dr, down[-1]))
        ratio = np.array([examination[rows[i]["to"]] / examination[rows[i]["k"]] for i in g])
        values["slate_pbm"].append(((ratio * r).sum(), ratio.mean()))
    out = {}
    for name, list_of in values.items():
        correction, weight = np.array(list_of).T
        out[name] = conclude(np.zeros(len(groups)), correction, np.ones(len(groups)), weight, reward, owner)
    return out, examination


def c_number(v):
    return "NAN" if np.isnan(v) else "INFINITY" if np.isinf(v) else repr(float(v))


def c_row(name, figures):
    return '    {"%s", {%s}},\n' % (name, ", ".join(c_number(v) for v in figures))


def main():
    rng = np.random.default_rng(20240607)
    rows = make_log(rng)
    write_log(rows)
    lines, scores, clicks = make_requests(rng)
    write_requests(lines, scores, clicks)
    out, weights, replay = reference_rows(rows)
    slates, examination = reference_slates(lines, scores, clicks, 0.7)
    with open(os.path.join(ROOT, "tests", "golden", "ope_golden.h"), "w") as file:
        file.write("/* Written by tests/golden/make_ope_golden.py; do not edit. */\n"
                   "/* clang-format off */\n#ifndef LCF_TESTS_GOLDEN_OPE_GOLDEN_H\n#define LCF_TESTS_GOLDEN_OPE_GOLDEN_H\n\n#include <math.h>\n\n"
                   "/* lambda, value, se, ess, lift, se of the lift */\n"
                   "typedef struct ope_golden {\n    const char *name;\n    double figures[6];\n} ope_golden;\n\n")
        for direct, rule in ((0, "BOUND"), (1, "DIRECT")):
            file.write("static const ope_golden OPE_GOLDEN_%s[] = {\n" % rule)
            for name in ROW_NAMES[1:]:
                file.write(c_row(name, out[direct, name]))
            file.write("};\n\n")
        file.write("static const ope_golden OPE_GOLDEN_REPLAY[] = {\n" + c_row("replay", (np.inf, *replay)) + "};\n\n")
        file.write("static const ope_golden OPE_GOLDEN_SLATES[] = {\n")
        for name in SLATE_NAMES:
            file.write(c_row(name, (0.0, *slates[name])))
        file.write("};\n\nstatic const ope_golden OPE_GOLDEN_PBM[] = {\n" + c_row("slate_pbm", (0.0, *slates["slate_pbm"])) + "};\n\n")
        file.write("/* mean, max, share of the top 1 %%, effective sample size */\n"
                   "static const double OPE_GOLDEN_WEIGHTS[] = {%s};\n" % ", ".join(c_number(v) for v in weights))
        file.write("static const double OPE_GOLDEN_EXAMINATION[] = {%s};\n\n#endif\n" % ", ".join(c_number(v) for v in examination))


if __name__ == "__main__":
    main()
