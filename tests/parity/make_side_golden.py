#!/usr/bin/env python3
"""Golden tensors for the side modules beside ICT (its ablations and orders of examples, its rivals), for histories with
labels and for batch normalisation, on a small DIN.

    OPENBLAS_CORETYPE=SkylakeX /usr/bin/python3 tests/parity/make_side_golden.py [FOLDER, default tests/parity/golden]

Writes ranker_din_<side>.txt and .f32 as make_ranker_golden.py does, whose world and whose words for DIN and ICT it shares;
what is new stands here, row by row, in float64, from schemas/ranker_weights.md.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import make_ranker_golden as g

SIDES = ("ict-nocot", "ict-mean", "ict-similarity", "ict-time", "text", "knn", "kar", "labels", "norm", "knrm", "ict-knrm")
LABEL = 100  # an item of a history that is labelled l stands as item + LABEL * l
SHARED, OWN = 4, 3
BINS = 10
rng = np.random.RandomState(11)


def small():
    g.sizes(True)
    g.DIM, g.LAYERS = 4, 1
    g.ATT, g.HEAD, g.TEXT_HIDDEN, g.X_HIDDEN, g.FFN = (5, 3), (6, 4), 6, 5, 4


def world():
    """More about the same world: times, similarities, and what is known about users and items."""
    w = g.world()
    w["example_time"] = np.array([40, 10, 30, 10, 60, 20, 50, 70])
    w["row_time"] = np.array([100, 25, 55, 5, 100, 30, 61])
    w["row_similarities"] = np.round(rng.uniform(-0.2, 1, w["row_examples"].shape), 3)
    w["row_similarities"][0] = [0.5, 0.25, 0.5, 0.125]  # a tie
    w["row_similarities"][w["row_examples"] == g.NONE] = 0
    w["row_history_labels"] = rng.randint(0, 3, w["row_history"].shape)
    for owner, n in (("user", g.USERS), ("item", g.CATALOGUE_ITEMS)):
        times = [[], [10, 25], [25], [], [5, 61, 61], []] if owner == "user" else [[1], [], [20, 30], [], [60], [99], [], [], [], [5]]
        w[f"known_{owner}_begin"] = np.cumsum([0] + [len(t) for t in times])
        w[f"known_{owner}_time"] = np.array([t for one in times for t in one])
        w[f"known_{owner}_vectors"] = rng.randn(len(w[f"known_{owner}_time"]), g.TEXT).astype(np.float32)
        assert len(times) == n
    return w


def shapes(side):
    s = g.shapes("din", False)
    if side.startswith("ict"):
        s = g.shapes("din", True)
        drop = {"ict-nocot": ("rec.",), "ict-mean": ("rec.", "layer.", "norm.")}.get(side, ())
        s = {k: v for k, v in s.items() if not k.startswith(drop)} if drop else s
    s["head.0.w"] = (g.HEAD[0], g.DIM * {"text": 9, "kar": 9, "ict-knrm": 9, "labels": 7, "norm": 7}.get(side, 8))
    if side == "labels":
        s["history.label.table"] = (3, g.DIM)
    if side == "norm":
        for i in range(2):
            s.update({f"head.{i}.norm.{part}": (g.HEAD[i],) for part in ("w", "b", "mean", "variance")})
    if side == "text":
        s.update({"text.0.w": (g.TEXT_HIDDEN, g.TEXT), "text.0.b": (g.TEXT_HIDDEN,),
                  "text.1.w": (g.DIM, g.TEXT_HIDDEN), "text.1.b": (g.DIM,)})
    if side == "knn":
        s.update({"knn.w": (g.DIM, 4), "knn.b": (g.DIM,)})
    if side.endswith("knrm"):
        s.update({"knrm.w": (g.DIM, BINS + 2), "knrm.b": (g.DIM,)})
    if side == "kar":
        for name, n in (("shared", SHARED), ("user", OWN), ("item", OWN)):
            for i in range(n):
                s.update({f"kar.{name}.{i}.0.w": (g.X_HIDDEN, g.TEXT), f"kar.{name}.{i}.0.b": (g.X_HIDDEN,),
                          f"kar.{name}.{i}.1.w": (g.DIM, g.X_HIDDEN), f"kar.{name}.{i}.1.b": (g.DIM,)})
            if name != "shared":
                s.update({f"kar.{name}.gate.w": (SHARED + OWN, g.TEXT), f"kar.{name}.gate.b": (SHARED + OWN,)})
    return s


class Model(g.Model):
    def __init__(self, p, w, side):
        super().__init__(p, w, "din", False)
        self.side = side

    def item(self, i):
        label, i = divmod(int(i), LABEL)
        e = super().item(i)
        return e if self.side != "labels" else torch.cat([e[: g.DIM] + self.table("history.label.table", label), e[g.DIM :]])

    def examples(self, r):
        """The examples of a row that are there, in order, with their similarities."""
        w = self.w
        there = [(e, s) for e, s in zip(w["row_examples"][r], w["row_similarities"][r]) if e != g.NONE]
        key = {"ict-similarity": lambda x: (x[1], x[0]), "ict-time": lambda x: (w["example_time"][x[0]], x[0])}
        return sorted(there, key=key.get(self.side, lambda x: w["example_key"][x[0]]))

    def ict_vector(self, r, user, item, history):
        w, tokens, losses = self.w, [], []
        for e, _ in self.examples(r):
            h = list(w["example_history"][e][: w["example_history_n"][e]])
            tokens.append(self.x(w["example_user"][e], w["example_item"][e], h))
            if self.side != "ict-nocot":
                tokens.append(self.mlp("text", self.cot[e], 2))
            tokens.append(self.p["label.table"][w["example_label"][e]])
        tokens.append(self.x(user, item, history))
        if self.side == "ict-mean":
            return torch.stack(tokens).mean(0), losses
        hidden = self.decoder(torch.stack(tokens))
        if self.side != "ict-nocot":
            for j, (e, _) in enumerate(self.examples(r)):
                losses.append(1 - F.cosine_similarity(self.mlp("rec", hidden[3 * j], 2), self.cot[e], dim=0))
        return hidden[-1], losses

    def knn_vector(self, r):
        there = [(self.w["example_label"][e], s) for e, s in self.examples(r)]
        weight = [(label, s) for label, s in there if s > 0]
        vote = sum(s for label, s in weight if label) / sum(s for _, s in weight) if weight else 0.5
        best = [max([0.0] + [s for label, s in there if label == want]) for want in (0, 1)]
        numbers = torch.tensor([vote - 0.5, len(there) / g.K] + best, dtype=torch.float64)
        return self.p["knn.w"] @ numbers + self.p["knn.b"]

    def knrm_vector(self, item, history):
        """Kernel pooling of the inner products of the texts of target and history; with the mean of the history; with the latest."""
        near = [float(self.text[item] @ self.text[h]) for h in history]
        bins = [np.log1p(sum(np.exp(-0.5 * ((c - (-0.1 + 0.1 * k)) / 0.1) ** 2) for c in near)) for k in range(BINS)]
        numbers = torch.tensor(bins + [np.mean(near) if near else 0.0, near[-1] if near else 0.0], dtype=torch.float64)
        return self.p["knrm.w"] @ numbers + self.p["knrm.b"]

    def known(self, owner, i, time):
        """The last entry before the time, or None."""
        w = self.w
        entries = [j for j in range(w[f"known_{owner}_begin"][i], w[f"known_{owner}_begin"][i + 1]) if w[f"known_{owner}_time"][j] < time]
        return torch.tensor(w[f"known_{owner}_vectors"][entries[-1]].astype(np.float64)) if entries else None

    def adapted(self, kind, k):
        gate = torch.softmax(self.p[f"kar.{kind}.gate.w"] @ k + self.p[f"kar.{kind}.gate.b"], 0)
        experts = [f"kar.shared.{i}" for i in range(SHARED)] + [f"kar.{kind}.{i}" for i in range(OWN)]
        return sum(gate[i] * self.mlp(name, k, 2) for i, name in enumerate(experts))

    def kar_vector(self, r, user, item):
        time = self.w["row_time"][r]
        of_user, of_item = self.known("user", user, time), self.known("item", item, time)
        return torch.cat([self.adapted("user", torch.zeros(g.TEXT) if of_user is None else of_user),
                          self.adapted("item", self.text[item] if of_item is None else of_item)])

    def normed_logits(self, training):
        """torch.nn.BatchNorm1d before the ReLUs of the head, over all rows; its running statistics change while training."""
        w, rows, p = self.w, [], self.p
        for r in range(len(w["row_user"])):
            history = list(w["row_history"][r][: w["row_history_n"][r]])
            q = self.item(w["row_item"][r])
            rows.append(torch.cat([self.table("user.table", w["row_user"][r]), q, self.pooled(q, history)]))
        x = torch.stack(rows)
        for i in range(2):
            n = f"head.{i}.norm."
            x = F.batch_norm(x @ p[f"head.{i}.w"].T + p[f"head.{i}.b"], p[n + "mean"], p[n + "variance"], p[n + "w"], p[n + "b"], training, 0.1, 1e-5)
            x = torch.relu(x)
        return (x @ p["head.2.w"].T + p["head.2.b"])[:, 0]

    def loss(self):
        if self.side != "norm":
            return super().loss()
        logits = self.normed_logits(True)
        total = F.binary_cross_entropy_with_logits(logits, torch.tensor(self.w["row_label"], dtype=torch.float64))
        return logits, torch.zeros(()), total

    def text_vector(self, item, history):
        hbar = self.text[history].mean(0) if history else torch.zeros(g.TEXT)
        return torch.cat([self.mlp("text", self.text[item], 2), self.mlp("text", hbar, 2)])

    def row(self, r):
        w, losses = self.w, []
        user, item = w["row_user"][r], w["row_item"][r]
        history = list(w["row_history"][r][: w["row_history_n"][r]])
        if self.side == "labels":
            labels = w["row_history_labels"][r]
            return self.logit(user, item, [i + LABEL * l if i else 0 for i, l in zip(history, labels)], None)[None], losses
        if self.side == "text":
            extra = self.text_vector(item, history)
        elif self.side == "knn":
            extra = self.knn_vector(r)
        elif self.side == "knrm":
            extra = self.knrm_vector(item, history)
        elif self.side == "kar":
            extra = self.kar_vector(r, user, item)
        else:
            extra, losses = self.ict_vector(r, user, item, history)
        if self.side == "ict-knrm":
            extra = torch.cat([extra, self.knrm_vector(item, history)])
        return self.logit(user, item, history, extra)[None], losses


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
    small()
    w = world()
    for side in SIDES:
        p = {}
        for name, shape in shapes(side).items():
            v = rng.randn(*shape) * (0.3 if "table" in name else 1.0 / np.sqrt(shape[-1]))
            if "norm" in name:
                v = 1 + 0.2 * v
            if name.split(".")[-1] == "table" and name != "label.table":
                v[0] = 0
            running = name.endswith(("norm.mean", "norm.variance"))
            p[name] = torch.tensor(v.astype(np.float32).astype(np.float64), requires_grad=not running)
        trained = [v for v in p.values() if v.requires_grad]
        model = Model(p, w, side)
        out = {f"world.{k}": v for k, v in w.items()}
        out.update({f"param.{k}": v.detach().numpy().copy() for k, v in p.items()})
        optimizer = torch.optim.Adam(trained, lr=g.LEARNING_RATE, weight_decay=g.WEIGHT_DECAY)
        for step in range(g.STEPS):
            optimizer.zero_grad()
            logits, rec, total = model.loss()
            total.backward()
            out[f"loss.{step}"] = total.item()
            if step == 0:
                out["logits"], out["rec_loss"] = logits.detach().numpy(), rec.item()
                out.update({f"grad.{k}": (v.grad if v.requires_grad else torch.zeros_like(v)).numpy().copy() for k, v in p.items()})
            optimizer.step()
        out.update({f"step.{k}": v.detach().numpy().copy() for k, v in p.items()})
        if side == "norm":
            out["scores"] = torch.sigmoid(model.normed_logits(False)).detach().numpy()
        g.write(folder, f"ranker_din_{side}", out)
        print(side, "losses", [round(out[f"loss.{s}"], 6) for s in range(g.STEPS)], "rec", round(out["rec_loss"], 6))


if __name__ == "__main__":
    main()
