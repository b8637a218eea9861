#!/usr/bin/env python3
"""SASRec as published, in PyTorch, on the same data and under the same evaluation as `llmcf train-next --model sasrec`.

    OPENBLAS_CORETYPE=SkylakeX /usr/bin/python3 tests/bench/twin_sasrec.py DIR [--loss sampled|full|bce] [--epochs N]

DIR has interactions.tsv (user_id, item_id, timestamp; in order per user). The last item of a user is test, the last but
one valid; the target is ranked among all items but those of the user's past, ties against it. The model is that of
Kang and McAuley 2018 in its usual form: sequences padded on the left to the last 50 items, one learned position per slot,
queries alone normalised, dropout also on the attention's weights, Xavier initial values. What it shares with ours is the
protocol (Adam, learning rate, batch of users, one loss over all positions, early stopping on valid NDCG@10), not code.
Prints a line per epoch and the test figures of the best one. Needs Debian's python3-torch.
"""
import argparse
import collections
import csv
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def read(folder):
    """Item lists of the users, items numbered from 1."""
    items, users = {}, collections.OrderedDict()
    with open(f"{folder}/interactions.tsv", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            users.setdefault(row["user_id"], []).append(items.setdefault(row["item_id"], len(items) + 1))
    return list(users.values()), len(items)


class SASRec(nn.Module):
    def __init__(self, items_n, o):
        super().__init__()
        self.o = o
        self.item = nn.Embedding(items_n + 1, o.dim, padding_idx=0)
        self.position = nn.Embedding(o.history, o.dim)
        self.drop = nn.Dropout(o.dropout)
        self.norm1, self.norm2, self.norm = (nn.LayerNorm(o.dim, eps=1e-8) for _ in range(3))
        self.attention = nn.MultiheadAttention(o.dim, o.heads, dropout=o.dropout, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(o.dim, o.dim), nn.Dropout(o.dropout), nn.ReLU(), nn.Linear(o.dim, o.dim),
                                 nn.Dropout(o.dropout))
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_normal_(p)
        with torch.no_grad():
            self.item.weight[0] = 0

    def forward(self, x):  # [B, L] -> [B, L, dim]
        empty, L = (x == 0)[..., None], x.shape[1]
        h = self.item(x) * self.o.dim**0.5 + self.position(torch.arange(self.o.history - L, self.o.history))
        h = self.drop(h).masked_fill(empty, 0)
        q = self.norm1(h)
        future = torch.ones(L, L, dtype=torch.bool).triu(1)
        h = (q + self.attention(q, h, h, attn_mask=future, need_weights=False)[0])
        y = self.norm2(h)
        return self.norm((y + self.ffn(y)).masked_fill(empty, 0))


def pad(rows):
    out = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        out[i, out.shape[1] - len(row):] = row
    return torch.from_numpy(out)


def loss_of(model, h, target, o, items_n, users):
    u, t, table = h[target > 0], target[target > 0], model.item.weight
    if o.loss == "full":
        return F.cross_entropy(u @ table[1:].T, t - 1)
    if o.loss == "bce":
        seen = [set(row) for row in users]
        owner = (target > 0).nonzero()[:, 0].tolist()
        negative = torch.randint(1, items_n + 1, (len(t),))
        for i, row in enumerate(owner):
            while negative[i].item() in seen[row]:
                negative[i] = torch.randint(1, items_n + 1, (1,))
        return -(F.logsigmoid((u * table[t]).sum(1)) + F.logsigmoid(-(u * table[negative]).sum(1))).mean()
    negative = torch.randint(1, items_n + 1, (o.negatives,))
    scores = (u @ table[negative].T).masked_fill(negative[None] == t[:, None], float("-inf"))
    return F.cross_entropy(torch.cat([(u * table[t]).sum(1, keepdim=True), scores], 1), torch.zeros(len(t), dtype=torch.long))


@torch.no_grad()
def ranks_of(model, users, behind, o):
    """Ranks of the item `behind` places from the end, from all before it."""
    model.eval()
    out = []
    rows = [(row[:-behind], row[-behind]) for row in users if len(row) > behind]
    for at in range(0, len(rows), 256):
        block = rows[at:at + 256]
        scores = model(pad([past[-o.history:] for past, _ in block]))[:, -1] @ model.item.weight.T
        scores[:, 0] = float("-inf")
        for i, (past, target) in enumerate(block):
            own = scores[i, target].item()
            scores[i, past] = float("-inf")
            scores[i, target] = own
        target = torch.tensor([t for _, t in block])
        out.append((scores >= scores.gather(1, target[:, None])).sum(1))
    return torch.cat(out).double()


def figures(ranks):
    hr = lambda k: (ranks <= k).double().mean().item()
    ndcg = (torch.where(ranks <= 10, 1 / torch.log2(1 + ranks), torch.zeros_like(ranks))).mean().item()
    return {"HR@5": hr(5), "HR@10": hr(10), "HR@20": hr(20), "NDCG@10": ndcg, "MRR": (1 / ranks).mean().item()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--loss", default="sampled", choices=["sampled", "full", "bce"])
    for name, value in dict(epochs=200, patience=10, batch=128, negatives=512, dim=64, history=50, heads=2, seed=2023).items():
        parser.add_argument("--" + name, type=int, default=value)
    for name, value in dict(lr=1e-3, weight_decay=1e-5, dropout=0.2).items():
        parser.add_argument("--" + name, type=float, default=value)
    o = parser.parse_args()
    torch.manual_seed(o.seed)
    torch.set_num_threads(1)
    rng = np.random.RandomState(o.seed)
    users, items_n = read(o.folder)
    train = [row[:-2][-(o.history + 1):] for row in users if len(row) > 3]
    model = SASRec(items_n, o)
    optimizer = torch.optim.Adam(model.parameters(), lr=o.lr, weight_decay=o.weight_decay)
    best, best_epoch, kept, seconds, rows = -1.0, 0, None, 0.0, sum(len(r) - 1 for r in train)
    for epoch in range(1, o.epochs + 1):
        model.train()
        start, total, order = time.time(), 0.0, rng.permutation(len(train))
        for at in range(0, len(train), o.batch):
            batch = [train[i] for i in order[at:at + o.batch]]
            x, target = pad([r[:-1] for r in batch]), pad([r[1:] for r in batch])
            loss = loss_of(model, model(x), target, o, items_n, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * (target > 0).sum().item() / rows
        seconds += time.time() - start
        valid = figures(ranks_of(model, users, 2, o))
        print(f"epoch {epoch} loss {total:.4f} valid HR@10 {valid['HR@10']:.4f} NDCG@10 {valid['NDCG@10']:.4f} "
              f"rows/s {rows * epoch / seconds:.0f}", flush=True)
        if valid["NDCG@10"] > best:
            best, best_epoch, kept = valid["NDCG@10"], epoch, {k: v.clone() for k, v in model.state_dict().items()}
        if epoch >= best_epoch + o.patience:
            break
    model.load_state_dict(kept)
    test = figures(ranks_of(model, users, 1, o))
    print(f"test, best epoch {best_epoch}: " + " ".join(f"{k} {v:.4f}" for k, v in test.items()))


if __name__ == "__main__":
    main()
