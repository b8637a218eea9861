#!/usr/bin/env python3
"""The PyTorch twin of a ranking request: DIN + ICT with the same weights, items and examples as ours, the way one would
write it in PyTorch (batched over candidates, histories padded, nothing in Python loops, inference mode).

    OPENBLAS_CORETYPE=SkylakeX /usr/bin/python3 tests/bench/rank_twin.py FOLDER

FOLDER is what bench_rank leaves there while it runs: dataset/, vectors/, examples/, ict.lcf and requests.jsonl, a request
with our response a line. The twin is given the examples that we retrieved; retrieval is in our time, not in its own.
Every score must agree with ours to 1e-4, or it exits with 1. Prints `candidates milliseconds`: the median of the
process's time for a request of so many candidates, on one thread. Needs Debian's python3-torch.
"""
import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_flush_denormal(True)
DTYPES = {1: np.uint8, 2: np.uint32, 3: np.uint64, 4: np.int32, 5: np.int64, 6: np.float32, 7: np.float64}
HISTORY_MAX = 20


def bundle(path):
    """The arrays of a .lcf file (schemas/bundle.md)."""
    raw = np.memmap(path, np.uint8, "r")
    count, offset = raw[32:36].view(np.uint32)[0], int(raw[40:48].view(np.uint64)[0])
    arrays = {}
    for i in range(count):
        entry = raw[offset + 128 * i: offset + 128 * (i + 1)]
        dtype, dims_n = entry[64:72].view(np.uint32)
        dims = [int(d) for d in entry[72:104].view(np.uint64)[:dims_n]]
        begin, n = int(entry[104:112].view(np.uint64)[0]), int(np.prod(dims)) * np.dtype(DTYPES[dtype]).itemsize
        arrays[bytes(entry[:64]).rstrip(b"\0").decode()] = raw[begin: begin + n].view(DTYPES[dtype]).reshape(dims)
    return arrays


def strings(arrays, name):
    offsets, chars = arrays[name + ".offsets"], bytes(arrays[name + ".chars"])
    return {chars[int(a):int(b)].decode(): i for i, (a, b) in enumerate(zip(offsets, offsets[1:]))}


def tensor(a):
    a = np.array(a)
    return torch.from_numpy(a.astype(np.int64) if a.dtype.kind == "u" else a)


class Twin:
    def __init__(self, folder):
        weights = bundle(folder + "/ict.lcf")
        self.config = json.loads(bytes(weights["config"]))
        self.p = {n[6:]: tensor(a) for n, a in weights.items() if n.startswith("param.")}
        items, users = bundle(folder + "/snapshots/current/items.lcf"), bundle(folder + "/snapshots/current/users.lcf")
        self.item_of, self.user_of = strings(items, "item_id"), strings(users, "user_id")
        self.brand = tensor(items["item_brand"])
        offsets, flat = items["category_offsets"].astype(np.int64), items["item_categories"]
        lengths = np.diff(offsets)
        padded = np.zeros((len(lengths), max(1, lengths.max())), np.int64)
        padded[np.arange(padded.shape[1])[None] < lengths[:, None]] = flat
        self.categories = torch.from_numpy(padded)
        self.text = tensor(bundle(folder + "/vectors/items.lcf")["vectors"])
        self.history, self.history_n = tensor(users["history"]), tensor(users["history_n"])
        e = bundle(folder + "/examples/examples.lcf")
        self.key = {bytes(k).hex(): i for i, k in enumerate(e["key"].reshape(-1, 16))}
        self.example_key = [bytes(k) for k in e["key"].reshape(-1, 16)]
        self.e_user, self.e_item, self.e_label = tensor(e["user"]), tensor(e["item"]), tensor(e["label"])
        self.e_history, self.e_vec, self.e_cot = tensor(e["history"]), tensor(e["history_vec"]), tensor(e["cot_vec"])
        self.w0 = torch.cat([self.p[f"att.{n}.w"] for n in "qhdm"], 1)
        d, heads, tokens = self.config["dim"], self.config["heads_n"], 3 * self.config["retrieval"]["k"] + 1
        angle = torch.arange(tokens)[:, None] * 10000.0 ** (-torch.arange(0, d // heads, 2) / (d // heads))
        self.cos, self.sin = angle.cos().float(), angle.sin().float()
        self.mask = torch.full((tokens, tokens), float("-inf")).triu(1)

    def item(self, i):
        c = self.categories[i]
        present = (c > 0).float().unsqueeze(-1)
        mean = (self.p["category.table"][c] * present).sum(-2) / present.sum(-2).clamp(min=1)
        return torch.cat([self.p["item.table"][i], self.p["brand.table"][self.brand[i]], mean], -1)

    def mlp(self, name, x, layers):
        for i in range(layers):
            x = F.linear(x, self.p[f"{name}.{i}.w"], self.p[f"{name}.{i}.b"])
            x = torch.relu(x) if i + 1 < layers else x
        return x

    def x(self, user, item, history, hbar):
        """The token of a decision, from nine fields."""
        present = (history > 0).float().unsqueeze(-1)
        mean = (self.item(history) * present).sum(-2) / present.sum(-2).clamp(min=1)
        return self.mlp("x", torch.cat([self.p["user.table"][user], self.item(item), self.mlp("text", self.text[item], 2),
                                        mean, self.mlp("text", hbar, 2)], -1), 2)

    def norm(self, x, w):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w

    def rope(self, x):
        a, b, t = x[..., ::2], x[..., 1::2], x.shape[-2]
        cos, sin = self.cos[:t], self.sin[:t]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)

    def decoder(self, t):
        n, length, d = t.shape
        heads = self.config["heads_n"]
        for i in range(self.config["layers_n"]):
            w = lambda name: self.p[f"layer.{i}.{name}.w"]
            x = self.norm(t, w("norm1"))
            q, k, v = (F.linear(x, w(c)).view(n, length, heads, d // heads).transpose(1, 2) for c in "qkv")
            s = self.rope(q) @ self.rope(k).transpose(-1, -2) / (d // heads) ** 0.5 + self.mask[:length, :length]
            t = t + F.linear((s.softmax(-1) @ v).transpose(1, 2).reshape(n, length, d), w("o"))
            x = self.norm(t, w("norm2"))
            t = t + F.linear(F.silu(F.linear(x, w("gate"))) * F.linear(x, w("up")), w("down"))
        return self.norm(t, self.p["norm.w"])

    def score(self, user, items, examples):
        n, k = examples.shape
        history = self.history[user]
        h = history.expand(n, -1)
        present = history > 0
        hbar = self.text[history].sum(0) / present.sum().clamp(min=1)
        flat = examples.reshape(-1)
        x = self.x(self.e_user[flat], self.e_item[flat], self.e_history[flat], self.e_vec[flat])
        c = self.mlp("text", self.e_cot[flat], 2)
        label = self.p["label.table"][self.e_label[flat].long()]
        t = torch.stack([x, c, label], 1).view(n, 3 * k, -1)
        users = user.expand(n)
        own = self.x(users, items, h, hbar.expand(n, -1))
        extra = self.decoder(torch.cat([t, own.unsqueeze(1)], 1))[:, -1]
        q, hi = self.item(items), self.item(h)
        qe = q.unsqueeze(1).expand_as(hi)
        a = torch.relu(F.linear(torch.cat([qe, hi, qe - hi, qe * hi], -1), self.w0, self.p["att.0.b"]))
        a = torch.relu(F.linear(a, self.p["att.1.w"], self.p["att.1.b"]))
        a = F.linear(a, self.p["att.2.w"], self.p["att.2.b"])
        pooled = (a * present.float().view(1, -1, 1) * hi).sum(1)
        logit = self.mlp("head", torch.cat([self.p["user.table"][users], q, pooled, extra], -1), 3)
        return torch.sigmoid(logit.squeeze(-1))


def read(twin, line):
    """Tensors of one request, and our scores."""
    request = json.loads(line)
    results = request["response"]["results"]
    examples = []
    for r in results:
        ids = [twin.key[e["key"]] for e in r["examples"]]
        assert len(ids) == twin.config["retrieval"]["k"], "the twin wants all k examples of every candidate"
        examples.append(sorted(ids, key=lambda i: twin.example_key[i]))
    return (torch.tensor(twin.user_of[request["user_id"]]), torch.tensor([twin.item_of[r["item_id"]] for r in results]),
            torch.tensor(examples), torch.tensor([r["score"] for r in results]))


def main():
    folder = sys.argv[1]
    twin = Twin(folder)
    requests = [read(twin, line) for line in open(folder + "/requests.jsonl")]
    with torch.inference_mode():
        for user, items, examples, ours in requests:
            difference = (twin.score(user, items, examples) - ours).abs().max().item()
            if not difference <= 1e-4:
                sys.exit(f"rank_twin: scores differ by {difference}")
        for n in (100, 500):
            times = []
            for user, items, examples, _ in requests * 2:
                start = time.process_time()
                twin.score(user, items[:n], examples[:n])
                times.append(time.process_time() - start)
            print(n, 1e3 * sorted(times[3:])[len(times[3:]) // 2], flush=True)


if __name__ == "__main__":
    main()
