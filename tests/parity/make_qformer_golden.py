#!/usr/bin/env python3
"""Golden tensors for the Q-Former: an independent statement of it with PyTorch's own modules.

    OPENBLAS_CORETYPE=SkylakeX /usr/bin/python3 tests/parity/make_qformer_golden.py [FOLDER, default tests/parity/golden]

Writes qformer.txt (one line "name dim ..." per tensor, in file order) and .f32 (their little-endian values one after another;
integers are stored as floats, all are small). Every pair of a vector and a text is computed alone, its queries and tokens in one
sequence under an explicit mask, in float64, from the description in schemas/qformer.md: nothing is packed, shared or reduced.
Needs Debian's python3-torch; the tests need only the files.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
rng = np.random.RandomState(5)

LAYERS, HIDDEN, HEADS, FFN, QUERIES, ITEM_DIM, FEATURES, VOCAB, TEXT_MAX, EVERY, SCALE = 3, 12, 2, 20, 3, 5, 6, 15, 7, 2, 2.0
CLS, DEC, END = VOCAB, VOCAB + 1, VOCAB + 2
# eps: gradients that are zero but for rounding (biases of keys) must not become steps
LEARNING_RATE, WEIGHT_DECAY, EPS, SMOOTHING = 0.01, 0.05, 1e-3, 0.1
# entities 0 and 9 are the unknown item and user; items 1..8, of which 3 and 6 have one text; users 10, 11
ENTITIES = 12
TEXTS = {1: [4, 9, 2], 2: [7], 3: [1, 1, 14, 3, 5], 4: [8, 0], 5: [13, 12, 11, 10], 6: [1, 1, 14, 3, 5], 7: [6], 8: [2, 3]}
# steps: items, pairs of items, pairs of user and item; negatives of two rows are each other
BATCHES = [
    {"losses": ["itc", "itg", "iic", "uic"], "items": [1, 3, 4, 6, 8],
     "item_pairs": [(1, 2), (5, 7), (1, 4), (2, 8), (3, 7)], "user_pairs": [(10, 3), (11, 5), (10, 1)]},
    {"losses": ["itc", "itm", "itg"], "items": [2, 5], "item_pairs": [], "user_pairs": []},
    {"losses": ["itm", "iic"], "items": [7, 3], "item_pairs": [(8, 1), (2, 3)], "user_pairs": []},
]


class Layer(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.attention = nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.has_cross = index % EVERY == 0
        if self.has_cross:
            self.cross = nn.MultiheadAttention(HIDDEN, HEADS, kdim=ITEM_DIM, vdim=ITEM_DIM, batch_first=True)
            self.cross_norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.up = nn.ModuleDict({s: nn.Linear(HIDDEN, FFN) for s in ("query", "text")})
        self.down = nn.ModuleDict({s: nn.Linear(FFN, HIDDEN) for s in ("query", "text")})
        self.last = nn.ModuleDict({s: nn.LayerNorm(HIDDEN, eps=1e-12) for s in ("query", "text")})

    def forward(self, x, queries_n, item, sees):
        """x [n, d]: queries, then tokens; sees [n, n] bool."""
        y, _ = self.attention(x[None], x[None], x[None], attn_mask=~sees)
        x = self.norm(x + y[0])
        q, t = x[:queries_n], x[queries_n:]
        if self.has_cross and queries_n:
            y, _ = self.cross(q[None], item[None, None], item[None, None])
            q = self.cross_norm(q + y[0])
        parts = [self.last[s](p + self.down[s](F.gelu(self.up[s](p)))) for s, p in (("query", q), ("text", t)) if len(p)]
        return torch.cat(parts)


class QFormer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(QUERIES, HIDDEN))
        self.word = nn.Embedding(VOCAB + 3, HIDDEN)
        self.position = nn.Embedding(TEXT_MAX, HIDDEN)
        self.embed_norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.layers = nn.ModuleList([Layer(i) for i in range(LAYERS)])
        self.feature = nn.ModuleDict({s: nn.Linear(HIDDEN, FEATURES) for s in ("query", "text")})
        self.temperature = nn.Parameter(torch.tensor([0.2]))
        self.pair_temperature = nn.Parameter(torch.tensor([0.3]))
        self.match = nn.Linear(HIDDEN, 2)
        self.token = nn.Linear(HIDDEN, HIDDEN)
        self.token_norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.word_bias = nn.Parameter(torch.zeros(VOCAB + 3))
        with torch.no_grad():
            for name, p in self.named_parameters():
                if "temperature" in name:
                    p.copy_(p.float().double())
                    continue
                v = rng.randn(*p.shape) * (0.3 if p.dim() == 1 else 1 / np.sqrt(p.shape[-1]))
                if "norm" in name and name.endswith("weight") or "last" in name and name.endswith("weight"):
                    v = 1 + v
                p.copy_(torch.tensor(v.astype(np.float32).astype(np.float64)))

    def names(self):
        """Our names of the parameters; a list is stacked."""
        out = {"query": self.query, "embed.word": self.word.weight, "embed.position": self.position.weight}

        def add(name, module):
            out[name + ".w"], out[name + ".b"] = module.weight, module.bias

        add("embed.norm", self.embed_norm)
        for i, layer in enumerate(self.layers):
            a = layer.attention
            out[f"layer.{i}.self.qkv.w"], out[f"layer.{i}.self.qkv.b"] = a.in_proj_weight, a.in_proj_bias
            add(f"layer.{i}.self.out", a.out_proj)
            add(f"layer.{i}.self.norm", layer.norm)
            if layer.has_cross:
                c = layer.cross
                out[f"layer.{i}.cross.query.w"] = c.q_proj_weight
                out[f"layer.{i}.cross.kv.w"] = [c.k_proj_weight, c.v_proj_weight]
                out[f"layer.{i}.cross.query.b"] = (c.in_proj_bias, 0, HIDDEN)
                out[f"layer.{i}.cross.kv.b"] = (c.in_proj_bias, HIDDEN, 3 * HIDDEN)
                add(f"layer.{i}.cross.out", c.out_proj)
                add(f"layer.{i}.cross.norm", layer.cross_norm)
            for s in ("query", "text"):
                add(f"layer.{i}.{s}.up", layer.up[s])
                add(f"layer.{i}.{s}.down", layer.down[s])
                add(f"layer.{i}.{s}.norm", layer.last[s])
        add("head.query", self.feature["query"])
        add("head.text", self.feature["text"])
        out["head.temperature"], out["head.pair.temperature"] = self.temperature, self.pair_temperature
        add("head.match", self.match)
        add("head.token", self.token)
        add("head.token.norm", self.token_norm)
        out["head.word.b"] = self.word_bias
        return out

    def run(self, item, ids, mask):
        """Queries and tokens of one pair; item or ids may be None."""
        parts, k = [], 0
        if item is not None:
            parts.append(self.query)
            k = QUERIES
        if ids is not None:
            parts.append(self.word(torch.tensor(ids)) + self.position(torch.arange(len(ids))))
        x = self.embed_norm(torch.cat(parts))
        n = len(x)
        sees = torch.zeros(n, n, dtype=torch.bool)
        for i in range(n):
            for j in range(n):
                if i < k:
                    sees[i, j] = j < k or mask == "bidirectional"
                elif mask == "unilm":
                    sees[i, j] = j <= i
                else:
                    sees[i, j] = j >= k or mask == "bidirectional"
        for layer in self.layers:
            x = layer(x, k, None if item is None else item * SCALE, sees)
        return x[:k], x[k:]


def smooth(logits, target, smoothing):
    return F.cross_entropy(logits[None], torch.tensor([target]), label_smoothing=smoothing)


def contrast(scores, negative, smoothing):
    """negative(i, j): pair j is one for pair i."""
    n, total = len(scores), 0
    for s in (scores, scores.T):
        for i in range(n):
            kept = [j for j in range(n) if j == i or (negative(i, j) if s is scores else negative(j, i))]
            total = total + smooth(s[i, kept], kept.index(i), smoothing)
    return total / (2 * n)


def losses_of(m, vectors, batch):
    items, out = batch["items"], {}
    queries = lambda e: F.normalize(m.feature["query"](m.run(vectors[e], None, "separate")[0]), dim=-1)
    if "itc" in batch["losses"]:
        text = [F.normalize(m.feature["text"](m.run(None, [CLS] + TEXTS[i] + [END], "separate")[1][0]), dim=-1) for i in items]
        scores = torch.stack([torch.stack([(queries(i) @ t).max() for t in text]) for i in items]) / m.temperature
        out["itc"] = contrast(scores, lambda i, j: TEXTS[items[i]] != TEXTS[items[j]], SMOOTHING)
    if "itm" in batch["losses"]:
        total = 0
        for own, other in (items, items[::-1]):
            for item, text, label in ((own, own, 1), (other, own, 0), (own, other, 0)):
                q, _ = m.run(vectors[item], [CLS] + TEXTS[text] + [END], "bidirectional")
                total = total + F.cross_entropy(m.match(q).mean(0)[None], torch.tensor([label]))
        out["itm"] = total / 6
    if "itg" in batch["losses"]:
        total, n = 0, 0
        for i in items:
            _, t = m.run(vectors[i], [DEC] + TEXTS[i], "unilm")
            logits = F.linear(m.token_norm(F.gelu(m.token(t))), m.word.weight, m.word_bias)
            for row, target in zip(logits, TEXTS[i] + [END]):
                total, n = total + smooth(row, target, SMOOTHING), n + 1
        out["itg"] = total / n
    for name in ("iic", "uic"):
        if name in batch["losses"]:
            p = batch["item_pairs" if name == "iic" else "user_pairs"]
            scores = torch.stack([torch.stack([(queries(a) @ queries(b).T).max() for _, b in p]) for a, _ in p]) / m.pair_temperature
            out[name] = contrast(scores, lambda i, j: p[i][0] != p[j][0] and p[i][1] != p[j][1] and p[i][0] != p[j][1], 0.0)
    return out


def view(p, of):
    """What `of` (value or gradient) says under one of our names."""
    if isinstance(p, list):
        return torch.cat([of(x) for x in p])
    if isinstance(p, tuple):
        return of(p[0])[p[1] : p[2]]
    return of(p)


def gradient(p):
    return p.grad if p.grad is not None else torch.zeros_like(p)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "tests/parity/golden"
    tensors, m = [], QFormer()
    put = lambda name, x: tensors.append((name, np.atleast_1d(x.detach().numpy() if torch.is_tensor(x) else np.array(x, dtype=float))))
    vectors = torch.tensor(rng.randn(ENTITIES, ITEM_DIM).astype(np.float32).astype(np.float64))
    put("vectors", vectors)
    for name, p in m.names().items():
        put("param." + name, view(p, lambda x: x.detach().clone()))
    # forward of three pairs under each mask
    for mask in ("separate", "bidirectional", "unilm"):
        runs = []
        for i in (1, 2, 3):
            ids = [DEC] + TEXTS[i] if mask == "unilm" else [CLS] + TEXTS[i] + [END]
            if mask == "separate":
                runs.append((m.run(vectors[i], None, mask)[0], m.run(None, ids, mask)[1]))
            else:
                runs.append(m.run(vectors[i], ids, mask))
        put(f"{mask}.queries", torch.cat([q for q, _ in runs]))
        put(f"{mask}.text", torch.cat([t for _, t in runs]))
    # as torch.optim.AdamW is used: decay on matrices alone
    decayed = [p for p in m.parameters() if p.dim() == 2]
    plain = [p for p in m.parameters() if p.dim() != 2]
    adam = torch.optim.AdamW([{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}],
                             lr=LEARNING_RATE, eps=EPS)
    for step, batch in enumerate(BATCHES):
        losses = losses_of(m, vectors, batch)
        adam.zero_grad(set_to_none=True)
        sum(losses.values()).sum().backward()
        for p in m.parameters():  # what a step does not touch has a gradient of zero, not none
            p.grad = gradient(p)
        for name, loss in losses.items():
            put(f"loss.{step}.{name}", loss.reshape(1))
        for name, p in m.names().items():
            put(f"grad.{step}.{name}", view(p, gradient))
        adam.step()
    for name, p in m.names().items():
        put("step." + name, view(p, lambda x: x.detach().clone()))
    with open(os.path.join(folder, "qformer.txt"), "w", encoding="ascii") as index, open(os.path.join(folder, "qformer.f32"), "wb") as data:
        for name, x in tensors:
            index.write(" ".join([name] + [str(d) for d in x.shape]) + "\n")
            data.write(x.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
