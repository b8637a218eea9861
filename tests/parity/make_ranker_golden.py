#!/usr/bin/env python3
"""Golden tensors for the rankers, every backbone alone and with ICT: an independent statement of them in PyTorch.

    OPENBLAS_CORETYPE=SkylakeX /usr/bin/python3 tests/parity/make_ranker_golden.py [FOLDER, default tests/parity/golden]

Writes ranker_<backbone>.txt and ranker_<backbone>_ict.txt (ranker_ict.txt for DIN) (one line "name dim ..." per tensor, in file order) and .f32 (their
little-endian values one after another; integers are stored as floats, all are small). The model is written row
by row and without padding, in float64, from the description in schemas/ranker_weights.md: it shares no structure
with the batched code that is held to it. Needs Debian's python3-torch; the tests need only the files.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
rng = np.random.RandomState(7)

USERS, ITEMS, BRANDS, CATEGORIES, TEXT = 6, 9, 4, 7, 10
K, HEADS = 4, 2
EXAMPLES, HISTORY_MAX, NONE = 8, 20, -1
CATALOGUE_ITEMS = ITEMS + 1  # one item newer than the weights
LEARNING_RATE, WEIGHT_DECAY, STEPS = 0.01, 1e-4, 3
BACKBONES = ("lr", "fm", "mf", "deepfm", "xdeepfm", "autoint", "dcn", "dcnv2", "bst", "binmf", "sasrec", "lightgcn", "binlightgcn")
GRAPHS = ("lightgcn", "binlightgcn")
GRAPH_LAYERS = 3


def sizes(din):
    """DIN's, and smaller ones for the others, whose files would be large together."""
    global DIM, LAYERS, ATT, HEAD, TEXT_HIDDEN, X_HIDDEN, FFN, CIN, CROSS, MIX, EXPERTS, RANK, INTER, BST
    DIM, LAYERS = (8, 2) if din else (4, 1)
    ATT, HEAD, TEXT_HIDDEN, X_HIDDEN, FFN = ((12, 6), (20, 10), 24, 16, 12) if din else (None, (6, 4), 6, 5, 4)
    CIN, CROSS, MIX, EXPERTS, RANK, INTER, BST = (4, 6, 3), 3, 2, 3, 2, 6, 5


def world():
    """Catalogue, vectors, examples and rows; every awkward case stands in a row."""
    w = {}
    w["item_brand"] = np.array([0, 1, 2, 0, 3, 1, 2, 3, 1, 2])
    categories = [[], [1, 2], [3], [], [4, 5, 6], [2], [1, 6], [5], [3, 4], [2, 5]]
    w["category_offsets"] = np.cumsum([0] + [len(c) for c in categories])
    w["item_categories"] = np.array([c for row in categories for c in row])

    def unit(n, dim):
        v = rng.randn(n, dim)
        return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)

    w["item_vectors"] = unit(CATALOGUE_ITEMS, TEXT)
    w["item_vectors"][0] = 0
    w["item_vectors"][3] = 0  # an item without text
    w["example_user"] = np.array([1, 2, 3, 4, 5, 1, 2, 3])
    w["example_item"] = np.array([2, 3, 4, 5, 6, 7, 8, 1])
    w["example_label"] = np.array([1, 0, 1, 0, 1, 0, 1, 0])
    histories = [[1], [4, 5], [], [1, 2, 3], [8, 8, 2], [2, 3, 4, 5, 6], [7], [6, 1]]
    w["example_history"] = pad(histories)
    w["example_history_n"] = np.array([len(h) for h in histories])
    w["cot_vectors"] = unit(EXAMPLES, TEXT)
    # first byte of each example's key; the others are zero. The order within a row follows the keys.
    w["example_key"] = np.array([90, 17, 200, 3, 55, 130, 71, 22])
    rows = [  # user, item, label, history, examples
        (1, 2, 1, [3, 4, 5], [0, 2, 1, 3]),
        (2, 7, 0, [1], [4, 6, 5, 7]),
        (0, 4, 1, [], [2, 4, 1, 7]),  # unknown user, empty history
        (3, 9, 0, [2, 2, 9, 6], [6, NONE, 3, NONE]),  # item beyond the table, repeats, two examples
        (5, 0, 1, [8, 7, 6, 5, 4, 3, 2, 1], [NONE] * 4),  # unknown item, no example at all
        (4, 3, 0, [1, 8], [0, 1, 2, 5]),
        (4, 5, 1, [1, 8], [0, 4, 7, NONE]),
    ]
    w["row_user"] = np.array([r[0] for r in rows])
    w["row_item"] = np.array([r[1] for r in rows])
    w["row_label"] = np.array([r[2] for r in rows])
    w["row_history"] = pad([r[3] for r in rows])
    w["row_history_n"] = np.array([len(r[3]) for r in rows])
    w["row_examples"] = np.array([r[4] for r in rows])
    return w


def graph():
    """Who liked what: one pair twice, one of the unknown, one newer than the weights; user 4 and item 8 have none."""
    pairs = [(3, 5), (1, 2), (1, 3), (2, 3), (2, 7), (3, 1), (5, 6), (1, 2), (0, 4), (5, 9), (2, 5)]
    return [np.array(x) for x in zip(*pairs)]


def pad(histories):
    out = np.zeros((len(histories), HISTORY_MAX), np.int64)
    for i, h in enumerate(histories):
        out[i, : len(h)] = h
    return out


def linear_shapes(ict, ids_only=False):
    s = {"linear.user.table": (USERS, 1), "linear.item.table": (ITEMS, 1)}
    if not ids_only:
        s.update({"linear.brand.table": (BRANDS, 1), "linear.category.table": (CATEGORIES, 1)})
    if ict:
        s["linear.extra.w"] = (1, DIM)
    s["linear.b"] = (1,)
    return s


def head_shapes(wide):
    return {"head.0.w": (HEAD[0], wide), "head.0.b": (HEAD[0],), "head.1.w": (HEAD[1], HEAD[0]), "head.1.b": (HEAD[1],),
            "head.2.w": (1, HEAD[1]), "head.2.b": (1,)}


def backbone_shapes(backbone, ict):
    item = 3 * DIM
    fields = 8 if ict else 7
    wide = fields * DIM
    s = {}
    if backbone == "din":
        s = {"att.q.w": (ATT[0], item), "att.h.w": (ATT[0], item), "att.d.w": (ATT[0], item), "att.m.w": (ATT[0], item),
             "att.0.b": (ATT[0],), "att.1.w": (ATT[1], ATT[0]), "att.1.b": (ATT[1],),
             "att.2.w": (1, ATT[1]), "att.2.b": (1,)}
    if backbone in ("lr", "fm", "mf", "deepfm", "xdeepfm"):
        s.update(linear_shapes(ict, ids_only=backbone == "mf"))
    if backbone == "lightgcn":
        s = {"graph.extra.w": (1, DIM)} if ict else {}
    if backbone in ("binmf", "binlightgcn"):
        s = {"code.user.w": (DIM, DIM), "code.user.b": (DIM,), "code.item.w": (DIM, DIM), "code.item.b": (DIM,)}
        if ict:
            s["code.extra.w"] = (1, DIM)
    if backbone == "sasrec":
        s = {"sequence.position": (HISTORY_MAX, DIM)}
        for i in range(2):
            for name, shape in {"norm1.w": (DIM,), "norm1.b": (DIM,), "q.w": (DIM, DIM), "q.b": (DIM,), "k.w": (DIM, DIM), "v.w": (DIM, DIM),
                                "v.b": (DIM,), "o.w": (DIM, DIM), "o.b": (DIM,), "norm2.w": (DIM,), "norm2.b": (DIM,), "ffn1.w": (DIM, DIM),
                                "ffn1.b": (DIM,), "ffn2.w": (DIM, DIM), "ffn2.b": (DIM,)}.items():
                s[f"sequence.{i}.{name}"] = shape
        s.update({"sequence.norm.w": (DIM,), "sequence.norm.b": (DIM,)})
        if ict:
            s["sequence.extra.w"] = (1, DIM)
    if backbone not in ("lr", "fm", "mf", "binmf", "sasrec") + GRAPHS:
        s.update(head_shapes(wide))
    if backbone == "xdeepfm":
        maps = fields
        for i, hidden in enumerate(CIN):
            s[f"cin.{i}.w"] = (hidden, maps * fields + 1)
            s[f"cin.{i}.out.w"] = (1, hidden if i == 2 else hidden // 2)
            maps = hidden // 2
    if backbone == "autoint":
        s.update({"inter.in.w": (INTER, DIM), "inter.in.b": (INTER,), "inter.qkv.w": (3 * INTER, INTER),
                  "inter.qkv.b": (3 * INTER,), "inter.out.w": (INTER, INTER), "inter.out.b": (INTER,),
                  "inter.res.w": (INTER, DIM), "inter.res.b": (INTER,), "inter.fc.w": (1, fields * INTER)})
    if backbone == "dcn":
        for i in range(CROSS):
            s.update({f"cross.{i}.w": (1, wide), f"cross.{i}.b": (wide,)})
        s["cross.out.w"] = (1, wide)
    if backbone == "dcnv2":
        s.update({"mix.gate.w": (EXPERTS, wide), "mix.gate.b": (EXPERTS,)})
        for i in range(MIX):
            s.update({f"mix.{i}.v.w": (EXPERTS * RANK, wide), f"mix.{i}.c.w": (EXPERTS * RANK, RANK),
                      f"mix.{i}.u.w": (wide, EXPERTS * RANK), f"mix.{i}.b": (wide,)})
        s["mix.out.w"] = (1, wide)
    if backbone == "bst":
        s.update({"block.qkv.w": (3 * item, item), "block.qkv.b": (3 * item,), "block.out.w": (item, item),
                  "block.out.b": (item,), "block.up.w": (BST, item), "block.up.b": (BST,), "block.down.w": (item, BST),
                  "block.down.b": (item,), "block.norm1.w": (item,), "block.norm1.b": (item,), "block.norm2.w": (item,),
                  "block.norm2.b": (item,)})
    return s


def shapes(backbone, ict):
    s = {}
    if backbone != "lr" or ict:
        s = {"user.table": (USERS, DIM), "item.table": (ITEMS, DIM)}
    if backbone == "sasrec" and not ict:
        del s["user.table"]
    if backbone not in ("lr", "mf", "binmf", "sasrec") + GRAPHS or ict:
        s.update({"brand.table": (BRANDS, DIM), "category.table": (CATEGORIES, DIM)})
    s.update(backbone_shapes(backbone, ict))
    if not ict:
        return s
    s.update({
        "text.0.w": (TEXT_HIDDEN, TEXT), "text.0.b": (TEXT_HIDDEN,), "text.1.w": (DIM, TEXT_HIDDEN), "text.1.b": (DIM,),
        "x.0.w": (X_HIDDEN, 9 * DIM), "x.0.b": (X_HIDDEN,), "x.1.w": (DIM, X_HIDDEN), "x.1.b": (DIM,),
        "label.table": (2, DIM),
    })
    for i in range(LAYERS):
        p = f"layer.{i}."
        s.update({p + "norm1.w": (DIM,), p + "q.w": (DIM, DIM), p + "k.w": (DIM, DIM), p + "v.w": (DIM, DIM),
                  p + "o.w": (DIM, DIM), p + "norm2.w": (DIM,), p + "gate.w": (FFN, DIM), p + "up.w": (FFN, DIM),
                  p + "down.w": (DIM, FFN)})
    s.update({"norm.w": (DIM,), "rec.0.w": (TEXT_HIDDEN, DIM), "rec.0.b": (TEXT_HIDDEN,),
              "rec.1.w": (TEXT, TEXT_HIDDEN), "rec.1.b": (TEXT,)})
    return s


def make_params(backbone, ict):
    p = {}
    for name, shape in shapes(backbone, ict).items():
        v = rng.randn(*shape) * (0.3 if "table" in name else 1.0 / np.sqrt(shape[-1]))
        if "norm" in name and name.endswith("w"):
            v = 1 + 0.2 * v
        if name.split(".")[-1] == "table" and name != "label.table":
            v[0] = 0
        p[name] = torch.tensor(v.astype(np.float32).astype(np.float64), requires_grad=True)
    return p


class Model:
    """One row at a time, as the words say it."""

    def __init__(self, p, w, backbone, ict):
        self.p, self.w, self.backbone, self.ict = p, w, backbone, ict
        self.text = torch.tensor(w["item_vectors"].astype(np.float64))
        self.cot = torch.tensor(w["cot_vectors"].astype(np.float64))

    def table(self, name, idx):
        t = self.p[name]
        return t[idx] if 0 < idx < len(t) else torch.zeros(DIM)  # row 0 is padding and has no gradient

    def item(self, i):
        c = self.w["item_categories"][self.w["category_offsets"][i] : self.w["category_offsets"][i + 1]]
        mean = torch.stack([self.table("category.table", x) for x in c]).mean(0) if len(c) else torch.zeros(DIM)
        return torch.cat([self.table("item.table", i), self.table("brand.table", self.w["item_brand"][i]), mean])

    def mlp(self, name, x, layers):
        for i in range(layers):
            x = self.p[f"{name}.{i}.w"] @ x + self.p[f"{name}.{i}.b"]
            x = torch.relu(x) if i + 1 < layers else x
        return x

    def pooled(self, q, history):
        """DIN: weights from an MLP over [q, h, q - h, q * h], not normalised."""
        w0 = torch.cat([self.p[f"att.{n}.w"] for n in "qhdm"], 1)
        total = torch.zeros(3 * DIM)
        for i in history:
            h = self.item(i)
            a = torch.relu(w0 @ torch.cat([q, h, q - h, q * h]) + self.p["att.0.b"])
            a = torch.relu(self.p["att.1.w"] @ a + self.p["att.1.b"])
            total = total + (self.p["att.2.w"] @ a + self.p["att.2.b"]) * h
        return total

    # ---- the other backbones: f are the fields of a row [7 or 8, DIM], the extra one last ----

    def linear(self, user, item, extra, ids_only=False):
        def weight(name, idx):
            t = self.p[f"linear.{name}.table"]
            return t[idx, 0] if 0 < idx < len(t) else torch.zeros(())

        total = weight("user", user) + weight("item", item) + self.p["linear.b"][0]
        if not ids_only:
            c = self.w["item_categories"][self.w["category_offsets"][item] : self.w["category_offsets"][item + 1]]
            total = total + weight("brand", self.w["item_brand"][item])
            total = total + (torch.stack([weight("category", x) for x in c]).mean() if len(c) else 0)
        return total if extra is None else total + self.p["linear.extra.w"][0] @ extra

    def fm(self, f):
        return sum((f[i] @ f[j] for i in range(len(f)) for j in range(i + 1, len(f))), torch.zeros(()))

    def cin(self, f):
        """Lian et al. 2018, equation 6, with half of each layer's maps going on."""
        x, total = f, torch.zeros(())
        for i, hidden in enumerate(CIN):
            w = self.p[f"cin.{i}.w"]
            products = torch.stack([a * b for a in x for b in f])  # [maps * fields, DIM]
            x = torch.relu(w[:, :-1] @ products + w[:, -1:])
            direct = x if i == 2 else x[hidden // 2 :]
            total = total + self.p[f"cin.{i}.out.w"][0] @ direct.sum(1)
            x = x[: hidden // 2]
        return total

    def attention(self, name, x, heads):
        """torch.nn.MultiheadAttention of the tokens x [T, E] with themselves."""
        p = self.p
        out, _ = F.multi_head_attention_forward(
            x[:, None], x[:, None], x[:, None], x.shape[1], heads, p[name + ".qkv.w"], p[name + ".qkv.b"], None, None, False,
            0.0, p[name + ".out.w"], p[name + ".out.b"], need_weights=False)
        return out[:, 0]

    def autoint(self, f):
        p = self.p
        tokens = self.attention("inter", f @ p["inter.in.w"].T + p["inter.in.b"], 2)
        tokens = torch.relu(tokens + f @ p["inter.res.w"].T + p["inter.res.b"])
        return p["inter.fc.w"][0] @ tokens.flatten()

    def cross(self, x0):
        x = x0
        for i in range(CROSS):
            x = x0 * (self.p[f"cross.{i}.w"][0] @ x) + self.p[f"cross.{i}.b"] + x
        return self.p["cross.out.w"][0] @ x

    def mix(self, x0):
        """Wang et al. 2021, equation 3: expert by expert."""
        p, x = self.p, x0
        for i in range(MIX):
            gates = torch.softmax(p["mix.gate.w"] @ x + p["mix.gate.b"], 0)
            total = x
            for e in range(EXPERTS):
                rows = slice(e * RANK, (e + 1) * RANK)
                h = torch.tanh(p[f"mix.{i}.c.w"][rows] @ torch.tanh(p[f"mix.{i}.v.w"][rows] @ x))
                total = total + gates[e] * x0 * (p[f"mix.{i}.u.w"][:, rows] @ h + p[f"mix.{i}.b"])
            x = total
        return p["mix.out.w"][0] @ x

    def transformer(self, tokens):
        """torch.nn.TransformerEncoderLayer, norms last, leaky ReLU; the mean of its tokens."""
        p, E = self.p, tokens.shape[1]
        norm = lambda x, n: F.layer_norm(x, (E,), p[f"block.{n}.w"], p[f"block.{n}.b"])
        x = norm(tokens + self.attention("block", tokens, 2), "norm1")
        h = F.leaky_relu(x @ p["block.up.w"].T + p["block.up.b"])
        return norm(x + h @ p["block.down.w"].T + p["block.down.b"], "norm2").mean(0)

    def code(self, owner, e):
        """Zhang et al. 2024, equation 2; the sign is identity in the gradient."""
        z = torch.tanh(self.p[f"code.{owner}.w"] @ e + self.p[f"code.{owner}.b"])
        return z + (torch.where(z >= 0, 1.0, -1.0) - z).detach()

    def nodes(self):
        """He et al. 2020, equations 3 and 4, by the whole matrix: users, then items; the unknown has neither row nor edge."""
        a = torch.zeros(USERS + ITEMS, USERS + ITEMS)
        for u, i in {(u, i) for u, i in zip(*graph()) if u < USERS and i < ITEMS and u and i}:
            a[u, USERS + i] = a[USERS + i, u] = 1
        degree = a.sum(1).clamp(min=1)
        a = a / torch.sqrt(degree[:, None] * degree[None])
        known = torch.ones(USERS + ITEMS, 1)
        known[0] = known[USERS] = 0
        layer = total = known * torch.cat([self.p["user.table"], self.p["item.table"]])
        for _ in range(GRAPH_LAYERS):
            layer = a @ layer
            total = total + layer
        return total / (GRAPH_LAYERS + 1)

    def sequence(self, history):
        """Kang and McAuley 2018, two blocks of one head; the last state. No history: the unknown item."""
        p, items = self.p, [i if i < ITEMS else 0 for i in history] or [0]
        w = lambda i, n: p[f"sequence.{i}.{n}"]
        norm = lambda x, n: F.layer_norm(x, (DIM,), p[f"sequence.{n}.w"], p[f"sequence.{n}.b"], eps=1e-8)
        x = torch.stack([self.table("item.table", i) for i in items]) * np.sqrt(DIM) + p["sequence.position"][:len(items)]
        past = torch.ones(len(items), len(items), dtype=torch.bool).tril()
        for i in range(2):
            q = norm(x, f"{i}.norm1")
            scores = (q @ w(i, "q.w").T + w(i, "q.b")) @ (x @ w(i, "k.w").T).T / np.sqrt(DIM)
            mixed = scores.masked_fill(~past, float("-inf")).softmax(-1) @ (x @ w(i, "v.w").T + w(i, "v.b"))
            n = norm(q + mixed @ w(i, "o.w").T + w(i, "o.b"), f"{i}.norm2")
            x = n + torch.relu(n @ w(i, "ffn1.w").T + w(i, "ffn1.b")) @ w(i, "ffn2.w").T + w(i, "ffn2.b")
        return norm(x[-1], "norm")

    def logit(self, user, item, history, extra):
        b = self.backbone
        if b == "sasrec":
            dot = self.sequence(history) @ self.table("item.table", item)
            return dot if extra is None else dot + self.p["sequence.extra.w"][0] @ extra
        if b in GRAPHS:
            nodes = self.nodes()
            u, i = nodes[user if user < USERS else 0], nodes[USERS + (item if item < ITEMS else 0)]
            dot = u @ i if b == "lightgcn" else self.code("user", u) @ self.code("item", i)
            return dot if extra is None else dot + self.p["graph.extra.w" if b == "lightgcn" else "code.extra.w"][0] @ extra
        e = self.table("user.table", user)
        if b == "mf":
            return e @ self.table("item.table", item) + self.linear(user, item, extra, ids_only=True)
        if b == "binmf":
            dot = self.code("user", e) @ self.code("item", self.table("item.table", item))
            return dot if extra is None else dot + self.p["code.extra.w"][0] @ extra
        q = self.item(item)
        mean = torch.stack([self.item(i) for i in history]).mean(0) if history else torch.zeros(3 * DIM)
        if b == "din":
            mean = self.pooled(q, history)
        if b == "bst":
            mean = self.transformer(torch.stack([self.item(i) for i in history] + [q]))
        own = torch.cat([e, q, mean])
        wide = own if extra is None else torch.cat([own, extra])
        f = wide.view(-1, DIM)
        total = torch.zeros(())
        if b in ("fm", "deepfm"):
            total = total + self.fm(f if b == "fm" else own.view(-1, DIM))
        if b in ("fm", "deepfm", "xdeepfm"):
            total = total + self.linear(user, item, extra)
        if b != "fm":
            total = total + self.mlp("head", wide, 3)[0]
        extras = {"xdeepfm": lambda: self.cin(f), "autoint": lambda: self.autoint(f), "dcn": lambda: self.cross(wide),
                  "dcnv2": lambda: self.mix(wide)}
        return total + extras[b]() if b in extras else total

    def x(self, user, item, history):
        """The token of a decision: nine fields."""
        n = len(history)
        mean = torch.stack([self.item(i) for i in history]).mean(0) if n else torch.zeros(3 * DIM)
        hbar = self.text[history].mean(0) if n else torch.zeros(TEXT)
        return self.mlp("x", torch.cat([self.table("user.table", user), self.item(item),
                                        self.mlp("text", self.text[item], 2), mean, self.mlp("text", hbar, 2)]), 2)

    def norm(self, x, w):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * w

    def rope(self, x):  # [T, HEADS, hd]
        T, _, hd = x.shape
        angle = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, hd, 2) / hd)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    def decoder(self, t):
        T, hd = len(t), DIM // HEADS
        for i in range(LAYERS):
            w = lambda n: self.p[f"layer.{i}.{n}.w"]
            n = self.norm(t, w("norm1"))
            q, k, v = ((n @ w(c).T).view(T, HEADS, hd) for c in "qkv")
            s = torch.einsum("ihd,jhd->hij", self.rope(q), self.rope(k)) / np.sqrt(hd)
            s = s.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
            s = s.softmax(-1)
            t = t + torch.einsum("hij,jhd->ihd", s, v).reshape(T, DIM) @ w("o").T
            n = self.norm(t, w("norm2"))
            t = t + (F.silu(n @ w("gate").T) * (n @ w("up").T)) @ w("down").T
        self.last_attention = s[:, -1].mean(0).detach()  # of the query's token, over the heads of the last layer
        return self.norm(t, self.p["norm.w"])

    def row(self, r):
        """Logit, and 1 - cos for every example present."""
        w = self.w
        user, item = w["row_user"][r], w["row_item"][r]
        history = list(w["row_history"][r][: w["row_history_n"][r]])
        losses, extra = [], None
        if self.ict:
            ids = sorted((e for e in w["row_examples"][r] if e != NONE), key=lambda e: w["example_key"][e])
            tokens = []
            for e in ids:
                h = list(w["example_history"][e][: w["example_history_n"][e]])
                tokens += [self.x(w["example_user"][e], w["example_item"][e], h), self.mlp("text", self.cot[e], 2),
                           self.p["label.table"][w["example_label"][e]]]
            tokens.append(self.x(user, item, history))
            hidden = self.decoder(torch.stack(tokens))
            extra = hidden[-1]
            for j, e in enumerate(ids):
                losses.append(1 - F.cosine_similarity(self.mlp("rec", hidden[3 * j], 2), self.cot[e], dim=0))
                self.attended[r, list(w["row_examples"][r]).index(e)] = self.last_attention[3 * j : 3 * j + 3].sum()
        if self.backbone == "lr":
            return self.linear(user, item, extra)[None], losses
        return self.logit(user, item, history, extra)[None], losses

    def loss(self):
        self.attended = np.zeros(self.w["row_examples"].shape)  # by row and place of the example
        rows = [self.row(r) for r in range(len(self.w["row_user"]))]
        logits = torch.cat([x[0] for x in rows])
        bce = F.binary_cross_entropy_with_logits(logits, torch.tensor(self.w["row_label"], dtype=torch.float64))
        losses = [l for x in rows for l in x[1]]
        rec = torch.stack(losses).mean() if losses else torch.zeros(())
        return logits, rec, bce + rec


def write(folder, name, tensors):
    with open(f"{folder}/{name}.txt", "w") as index, open(f"{folder}/{name}.f32", "wb") as data:
        for key, value in tensors.items():
            a = np.asarray(value, dtype="<f4")
            index.write(" ".join([key] + [str(d) for d in (a.shape or (1,))]) + "\n")
            data.write(a.tobytes())


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
    w = world()
    arms = [("din", "din", False), ("ict", "din", True)]
    for backbone in BACKBONES:
        arms += [(backbone, backbone, False), (backbone + "_ict", backbone, True)]
    for arm, backbone, ict in arms:
        sizes(backbone == "din")
        p = make_params(backbone, ict)
        model = Model(p, w, backbone, ict)
        out = {f"world.{k}": v for k, v in w.items()}
        if backbone in GRAPHS:
            out["world.graph_user"], out["world.graph_item"] = graph()
        out.update({f"param.{k}": v.detach().numpy().copy() for k, v in p.items()})
        optimizer = torch.optim.Adam(p.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for step in range(STEPS):
            optimizer.zero_grad()
            logits, rec, total = model.loss()
            total.backward()
            out[f"loss.{step}"] = total.item()
            if step == 0:
                out["logits"], out["rec_loss"] = logits.detach().numpy(), rec.item()
                if ict:
                    out["attention"] = model.attended
                out.update({f"grad.{k}": v.grad.numpy().copy() for k, v in p.items()})
            optimizer.step()
        out.update({f"step.{k}": v.detach().numpy().copy() for k, v in p.items()})
        write(folder, f"ranker_{arm}", out)
        print(arm, "losses", [round(out[f"loss.{s}"], 6) for s in range(STEPS)], "rec", round(out["rec_loss"], 6))


if __name__ == "__main__":
    main()
