#!/usr/bin/env python3
"""Golden tensors for the next-item models: an independent statement of them with PyTorch's own modules.

    OPENBLAS_CORETYPE=SkylakeX /usr/bin/python3 tests/parity/make_next_item_golden.py [FOLDER, default tests/parity/golden]

Writes next_<encoder>_<loss>.txt (one line "name dim ..." per tensor, in file order) and .f32 (their little-endian
values one after another; integers are stored as floats, all are small). Every query is computed alone, from the items
that it sees, in float64, from the description in schemas/next_item_weights.md: nothing is shared between queries,
packed or padded. Needs Debian's python3-torch; the tests need only the files.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
rng = np.random.RandomState(11)

ITEMS, DIM, HISTORY, HIDDEN, LAYERS, HEADS = 12, 8, 6, 10, 2, 2
LEARNING_RATE, WEIGHT_DECAY, STEPS = 0.01, 1e-4, 3
# an item met twice, at once and later (graphs), an unknown one, one newer than the weights
SEQUENCES = [[3], [1, 2, 1], [5, 5, 4, 5, 6, 4], [7, 0], [8, 9, 13, 2, 11]]
QUERIES = [(0, 1), (1, 1), (1, 2), (1, 3), (2, 2), (2, 6), (3, 2), (4, 3), (4, 5)]  # sequence, items seen
TARGETS = [2, 2, 1, 7, 4, 11, 3, 2, 1]
NEGATIVES = {"sampled": [2, 9, 4, 4, 10, 1], "bce": [5, 3, 2, 8, 9, 10, 11, 1, 6], "full": [1]}


def linear(n, m):
    return nn.Linear(n, m)


class Net(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.item = nn.Embedding(ITEMS, DIM, padding_idx=0)
        if encoder == "youtubednn":
            self.mlp = nn.Sequential(linear(DIM, HIDDEN), nn.ReLU(), linear(HIDDEN, DIM))
        elif encoder == "gru4rec":
            self.gru = nn.ModuleList([nn.GRU(HIDDEN if i else DIM, HIDDEN) for i in range(LAYERS)])
            self.out = linear(HIDDEN, DIM)
        elif encoder == "sasrec":
            self.position = nn.Embedding(HISTORY, DIM)
            self.norm1 = nn.ModuleList([nn.LayerNorm(DIM, eps=1e-8) for _ in range(LAYERS)])
            self.attention = nn.ModuleList([nn.MultiheadAttention(DIM, HEADS) for _ in range(LAYERS)])
            self.norm2 = nn.ModuleList([nn.LayerNorm(DIM, eps=1e-8) for _ in range(LAYERS)])
            self.ffn1 = nn.ModuleList([linear(DIM, HIDDEN) for _ in range(LAYERS)])
            self.ffn2 = nn.ModuleList([linear(HIDDEN, DIM) for _ in range(LAYERS)])
            self.norm = nn.LayerNorm(DIM, eps=1e-8)
        else:
            self.w_in, self.w_out = linear(DIM, DIM), linear(DIM, DIM)
            self.cell = nn.GRUCell(2 * DIM, DIM)
            self.last, self.click = linear(DIM, DIM), linear(DIM, DIM)
            self.weight = nn.Linear(DIM, 1, bias=False)
            self.user = linear(2 * DIM, DIM)
        with torch.no_grad():
            for name, p in self.named_parameters():
                v = rng.randn(*p.shape) * (0.5 if "item" in name or "position" in name else 1 / np.sqrt(p.shape[-1]))
                if "norm" in name and name.endswith("weight"):
                    v = 1 + 0.2 * v
                p.copy_(torch.tensor(v.astype(np.float32).astype(np.float64)))
            self.item.weight[0] = 0
            if encoder == "sasrec":  # a bias of keys adds the same to all scores of a query
                for a in self.attention:
                    a.in_proj_bias[DIM : 2 * DIM] = 0

    def names(self):
        """Our names of the parameters; a tuple is a run of rows of one of PyTorch's."""
        out = {"item.table": self.item.weight}
        if self.encoder == "youtubednn":
            out.update({"mlp.0.w": self.mlp[0].weight, "mlp.0.b": self.mlp[0].bias,
                        "mlp.1.w": self.mlp[2].weight, "mlp.1.b": self.mlp[2].bias})
        elif self.encoder == "gru4rec":
            for i, g in enumerate(self.gru):
                out.update({f"gru.{i}.in.w": g.weight_ih_l0, f"gru.{i}.in.b": g.bias_ih_l0,
                            f"gru.{i}.state.w": g.weight_hh_l0, f"gru.{i}.state.b": g.bias_hh_l0})
            out.update({"out.w": self.out.weight, "out.b": self.out.bias})
        elif self.encoder == "sasrec":
            out["position.table"] = self.position.weight
            for i in range(LAYERS):
                a, p = self.attention[i], f"block.{i}."
                out.update({p + "norm1.w": self.norm1[i].weight, p + "norm1.b": self.norm1[i].bias})
                for j, c in enumerate("qkv"):
                    out[p + c + ".w"] = (a.in_proj_weight, j * DIM, (j + 1) * DIM)
                    if c != "k":
                        out[p + c + ".b"] = (a.in_proj_bias, j * DIM, (j + 1) * DIM)
                out.update({p + "o.w": a.out_proj.weight, p + "o.b": a.out_proj.bias,
                            p + "norm2.w": self.norm2[i].weight, p + "norm2.b": self.norm2[i].bias,
                            p + "ffn1.w": self.ffn1[i].weight, p + "ffn1.b": self.ffn1[i].bias,
                            p + "ffn2.w": self.ffn2[i].weight, p + "ffn2.b": self.ffn2[i].bias})
            out.update({"final.w": self.norm.weight, "final.b": self.norm.bias})
        else:
            out.update({"graph.in.w": self.w_in.weight, "graph.in.b": self.w_in.bias,
                        "graph.out.w": self.w_out.weight, "graph.out.b": self.w_out.bias,
                        "graph.gru.in.w": self.cell.weight_ih, "graph.gru.in.b": self.cell.bias_ih,
                        "graph.gru.state.w": self.cell.weight_hh, "graph.gru.state.b": self.cell.bias_hh,
                        "read.last.w": self.last.weight, "read.last.b": self.last.bias,
                        "read.click.w": self.click.weight, "read.click.b": self.click.bias,
                        "read.weight.w": self.weight.weight,
                        "read.user.w": self.user.weight, "read.user.b": self.user.bias})
        return out

    def values(self, prefix, of):
        out = {}
        for name, p in self.names().items():
            tensor, begin, end = p if isinstance(p, tuple) else (p, 0, len(p))
            out[prefix + name] = of(tensor)[begin:end].detach().numpy().copy()
        return out

    def forward(self, items):
        return getattr(self, self.encoder)(torch.tensor([i if i < ITEMS else 0 for i in items]))

    def youtubednn(self, items):
        return self.mlp(self.item(items).mean(0))

    def gru4rec(self, items):
        x = self.item(items)[:, None]
        for g in self.gru:
            x = g(x)[0]
        return self.out(x[-1, 0])

    def sasrec(self, items):
        n = len(items)
        x = self.item(items) * DIM**0.5 + self.position(torch.arange(n))
        mask = torch.ones(n, n, dtype=torch.bool).triu(1)
        for i in range(LAYERS):
            q = self.norm1[i](x)
            x = q + self.attention[i](q[:, None], x[:, None], x[:, None], attn_mask=mask)[0][:, 0]
            y = self.norm2[i](x)
            x = y + self.ffn2[i](torch.relu(self.ffn1[i](y)))
        return self.norm(x)[-1]

    def srgnn(self, items):
        items = items.tolist()
        nodes = list(dict.fromkeys(items))
        at = [nodes.index(i) for i in items]
        edges = torch.zeros(len(nodes), len(nodes))
        for a, b in zip(at, at[1:]):
            edges[a, b] = 1
        share = lambda m: m / m.sum(1, keepdim=True).clamp(min=1)
        h = self.item(torch.tensor(nodes))
        for _ in range(LAYERS):
            a = torch.cat([share(edges.T) @ self.w_in(h), share(edges) @ self.w_out(h)], 1)
            h = self.cell(a, h)
        clicks, last = h[at], h[at[-1]]
        alpha = self.weight(torch.sigmoid(self.last(last) + self.click(clicks)))
        return self.user(torch.cat([(alpha * clicks).sum(0), last]))


def loss_of(net, users, kind, log_share):
    table, target, negatives = net.item.weight, torch.tensor(TARGETS), torch.tensor(NEGATIVES[kind])
    if kind == "full":
        return F.cross_entropy(users @ table[1:].T, target - 1)
    if kind == "bce":
        good, bad = (users * table[target]).sum(1), (users * table[negatives]).sum(1)
        return -(F.logsigmoid(good) + F.logsigmoid(-bad)).mean()
    expected = torch.tensor(log_share) + np.log(len(negatives))
    rows = []
    for u, t in zip(users, target):
        candidates = torch.tensor([t.item()] + [j for j in negatives.tolist() if j != t])
        rows.append(-F.log_softmax(table[candidates] @ u - expected[candidates], 0)[0])
    return torch.stack(rows).mean()


def write(folder, name, tensors):
    with open(f"{folder}/{name}.txt", "w") as index, open(f"{folder}/{name}.f32", "wb") as data:
        for key, value in tensors.items():
            a = np.asarray(value, dtype="<f4")
            index.write(" ".join([key] + [str(d) for d in (a.shape or (1,))]) + "\n")
            data.write(a.tobytes())


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
    share = rng.rand(ITEMS) + 0.1
    log_share = np.log(share / share.sum()).astype(np.float32).astype(np.float64)
    begin = np.cumsum([0] + [len(s) for s in SEQUENCES])
    for encoder, kind in [("youtubednn", "sampled"), ("gru4rec", "sampled"), ("sasrec", "sampled"), ("sasrec", "full"),
                          ("sasrec", "bce"), ("srgnn", "sampled")]:
        net = Net(encoder)
        out = {"items": sum(SEQUENCES, []), "offsets": begin, "query_sequence": [q[0] for q in QUERIES],
               "query_end": [begin[q[0]] + q[1] for q in QUERIES], "target": TARGETS, "negatives": NEGATIVES[kind],
               "log_share": log_share}
        out.update(net.values("param.", lambda p: p))
        optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        losses = []
        for step in range(STEPS):
            optimizer.zero_grad()
            users = torch.stack([net(SEQUENCES[s][:n]) for s, n in QUERIES])
            loss = loss_of(net, users, kind, log_share)
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                out["users"] = users.detach().numpy()
                net.item.weight.grad[0] = 0  # scoring all items would move the unknown one's row, too
                out.update(net.values("grad.", lambda p: p.grad))
            optimizer.step()
        out.update(net.values("step.", lambda p: p))
        out["loss"] = losses
        write(folder, f"next_{encoder}_{kind}", out)
        print(encoder, kind, [round(x, 6) for x in losses])


if __name__ == "__main__":
    main()
