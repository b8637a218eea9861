#!/usr/bin/python3
"""DIN and DIN + ICT in PyTorch, as one would write them there: the peer of bench_training, and the other side of the
comparison of a full training run. Same model, data, initial weights and batches as ours; see schemas/ranker_weights.md.

    twin_training.py speed WORLD_DIR [STEPS]      WORLD_DIR: what `bench_training STEPS WORLD_DIR` wrote; prints name,value,unit
    twin_training.py train DATASET_DIR EXPORT_DIR LR WEIGHT_DECAY BATCH
                                                  EXPORT_DIR: what twin_export wrote; trains DIN without dropout for as many
                                                  epochs as there are orders; prints a line of JSON per epoch

Set OPENBLAS_NUM_THREADS=1 and OPENBLAS_CORETYPE (SkylakeX where there is AVX-512, else Haswell), or Debian's OpenBLAS runs
PyTorch on its fallback core. Needs python3-torch and python3-numpy.
"""
import json
import os
import statistics
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

HISTORY = 20
DTYPES = {1: "u1", 2: "<u4", 3: "<u8", 4: "<i4", 5: "<i8", 6: "<f4", 7: "<f8"}


def read_bundle(path):
    """The arrays of a *.lcf file by name (schemas/bundle.md); checksums are the C side's business."""
    data = np.memmap(path, mode="r")
    assert bytes(data[:8]) == b"LCFBUNDL", path
    arrays_n, directory = struct.unpack("<I", data[32:36])[0], struct.unpack("<Q", data[40:48])[0]
    arrays = {}
    for i in range(arrays_n):
        entry = bytes(data[directory + 128 * i : directory + 128 * (i + 1)])
        dtype, dims_n, *dims, offset = struct.unpack("<II4QQ", entry[64:112])
        dims = dims[:dims_n]
        kind = np.dtype(DTYPES[dtype])
        end = offset + kind.itemsize * int(np.prod(dims))
        arrays[entry[:64].rstrip(b"\0").decode()] = data[offset:end].view(kind).reshape(dims)
    return arrays


def longs(array):
    return torch.from_numpy(np.asarray(array).astype(np.int64))


def floats(array):
    return torch.from_numpy(np.array(array, dtype=np.float32))


def pad_histories(items, lengths):
    """[n, HISTORY] item indices, oldest first, zeros behind."""
    items = longs(items)
    return items * (torch.arange(items.shape[1])[None] < longs(lengths)[:, None])


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.w = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.w


class Layer(nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = RMSNorm(dim), RMSNorm(dim)
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(dim, ffn, bias=False) for _ in range(2))
        self.down = nn.Linear(ffn, dim, bias=False)

    def rotate(self, x, cos, sin):
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    def forward(self, x, cos, sin, mask):
        batch, length, dim = x.shape
        n = self.norm1(x)
        q, k, v = (m(n).view(batch, length, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        a = (q @ k.transpose(-1, -2) / (dim // self.heads) ** 0.5 + mask).softmax(-1)
        x = x + self.o((a @ v).transpose(1, 2).reshape(batch, length, dim))
        n = self.norm2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


def mlp(*sizes, dropout=0.0):
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers.append(nn.Linear(a, b))
        if i + 2 < len(sizes):
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class Net(nn.Module):
    """world: item_brand [items], item_categories [items, C] (0: none); with ICT also vectors and examples."""

    def __init__(self, config, world, dropout):
        super().__init__()
        c, d = config, config["dim"]
        self.world, self.ict = world, config["side"] == "ict"
        self.user, self.item, self.brand, self.category = (
            nn.Embedding(c[n], d, padding_idx=0) for n in ("users_n", "items_n", "brands_n", "categories_n")
        )
        self.att = mlp(12 * d, c["att_hidden_0"], c["att_hidden_1"], 1)
        self.head = mlp(d + 6 * d + (d if self.ict else 0), c["head_hidden_0"], c["head_hidden_1"], 1, dropout=dropout)
        if self.ict:
            self.text = mlp(c["text_dim"], c["text_hidden"], d)
            self.x = mlp(9 * d, c["x_hidden"], d)
            self.label = nn.Embedding(2, d)
            self.layers = nn.ModuleList(Layer(d, c["heads_n"], c["ffn_hidden"]) for _ in range(c["layers_n"]))
            self.norm = RMSNorm(d)
            self.rec = mlp(d, c["text_hidden"], c["cot_dim"])
            length, half = 3 * c["retrieval"]["k"] + 1, d // c["heads_n"] // 2
            angles = torch.outer(torch.arange(length).float(), 10000.0 ** (-torch.arange(half).float() / half))
            self.cos, self.sin = angles.cos(), angles.sin()
            self.mask = torch.full((length, length), float("-inf")).triu(1)

    def load(self, arrays):
        """Our weights, from a weights file."""
        w = {n[6:]: floats(a) for n, a in arrays.items() if n.startswith("param.")}
        parts = [w.pop(f"att.{part}.w") for part in "qhdm"]
        w["att.0.w"] = torch.cat(parts, 1)
        own = {}
        for name in w:
            module, _, leaf = name.rpartition(".")
            if leaf == "table":
                own[f"{module}.weight"] = w[name]
            elif module.split(".")[0] in ("att", "head", "text", "x", "rec"):
                block, i = module.split(".")
                stride = 3 if block == "head" and any(isinstance(m, nn.Dropout) for m in self.head) else 2
                own[f"{block}.{stride * int(i)}.{'weight' if leaf == 'w' else 'bias'}"] = w[name]
            elif "norm" in module:
                own[f"{module.replace('layer.', 'layers.')}.w"] = w[name]
            else:
                own[f"{module.replace('layer.', 'layers.')}.weight"] = w[name]
        self.load_state_dict(own)

    def items(self, i):
        c = self.world["item_categories"][i]
        m = (c > 0).float().unsqueeze(-1)
        categories = (self.category(c) * m).sum(-2) / m.sum(-2).clamp(min=1)
        return torch.cat([self.item(i), self.brand(self.world["item_brand"][i]), categories], -1)

    def decision(self, user, item_fields, item, history, history_fields, history_vector):
        m = (history > 0).float().unsqueeze(-1)
        mean = (history_fields * m).sum(1) / m.sum(1).clamp(min=1)
        texts = self.text(self.world["vectors"][item]), self.text(history_vector)
        return self.x(torch.cat([self.user(user), item_fields, texts[0], mean, texts[1]], -1))

    def examples(self, batch, q, h):
        e, w = batch["examples"], self.world
        flat, rows = e.flatten(), len(e)
        history = w["example_history"][flat]
        item = w["example_item"][flat]
        x = self.decision(w["example_user"][flat], self.items(item), item, history, self.items(history),
                          w["example_history_vector"][flat]).view(rows, e.shape[1], -1)
        cot = w["example_cot"][e]
        own = batch["history"]
        m = (own > 0).float().unsqueeze(-1)
        vector = (w["vectors"][own] * m).sum(1) / m.sum(1).clamp(min=1)
        query = self.decision(batch["user"], q, batch["item"], own, h, vector)
        t = torch.stack([x, self.text(cot), self.label(w["example_label"][e])], 2).flatten(1, 2)
        t = torch.cat([t, query.unsqueeze(1)], 1)
        for layer in self.layers:
            t = layer(t, self.cos, self.sin, self.mask)
        t = self.norm(t)
        loss = 1 - F.cosine_similarity(self.rec(t[:, 0:-1:3]), cot, dim=-1).mean()
        return t[:, -1], loss

    def forward(self, batch):
        q, h = self.items(batch["item"]), self.items(batch["history"])
        m = batch["history"] > 0
        qe = q.unsqueeze(1).expand_as(h)
        a = self.att(torch.cat([qe, h, qe - h, qe * h], -1)).squeeze(-1).masked_fill(~m, 0)
        features = [self.user(batch["user"]), q, (a.unsqueeze(-1) * h).sum(1)]
        loss = torch.zeros(())
        if self.ict:
            extra, loss = self.examples(batch, q, h)
            features.append(extra)
        return self.head(torch.cat(features, -1)).squeeze(-1), loss


def config_of(arrays):
    return json.loads(bytes(arrays["config"]))


def take(rows, index):
    return {name: column[index] for name, column in rows.items()}


def step(net, optimizer, batch):
    logits, side = net(batch)
    loss = F.binary_cross_entropy_with_logits(logits, batch["label"]) + side
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# ---- speed ----


def load_world(arrays):
    order = np.lexsort(arrays["example.key"].T[::-1])  # examples of a row stand in the order of their keys
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    examples = np.array(arrays["row.examples"])
    examples = np.take_along_axis(examples, np.argsort(rank[examples], 1), 1)
    user, item, lengths = arrays["row"]
    rows = {
        "user": longs(user), "item": longs(item), "label": floats(arrays["row.label"]), "examples": longs(examples),
        "history": pad_histories(arrays["row.history"], lengths),
    }
    world = {
        "item_brand": longs(arrays["item.brand"]), "item_categories": longs(arrays["item.categories"]),
        "vectors": floats(arrays["item.vector"]), "example_user": longs(arrays["example.user"]),
        "example_item": longs(arrays["example.item"]), "example_label": longs(arrays["example.label"]),
        "example_history": pad_histories(arrays["example.history"], arrays["example.history_n"]),
        "example_history_vector": floats(arrays["example.history_vector"]),
        "example_cot": floats(arrays["example.cot_vector"]),
    }
    return rows, world


def check_scores(net, rows, ours):
    """Correctness before time: the scores of the first batch, without dropout."""
    net.eval()
    with torch.no_grad():
        scores = torch.sigmoid(net(take(rows, slice(0, len(ours))))[0]).numpy()
    worst = float(np.abs(scores - ours).max())
    if not worst < 1e-5:
        sys.exit(f"twin_training.py: another model: scores differ by {worst}")
    net.train()


def speed(world_dir, steps):
    arrays = read_bundle(f"{world_dir}/world.lcf")
    rows, world = load_world(arrays)
    batch, warm_up = 256, 5
    print("name,value,unit")
    for name, file in (("din", "din.lcf"), ("din_ict", "ict.lcf")):
        weights = read_bundle(f"{world_dir}/{file}")
        net = Net(config_of(weights), world, config_of(weights)["dropout"])
        net.load(weights)
        check_scores(net, rows, arrays[f"{name}.scores"])
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5)
        seconds = []
        for i in range(steps + warm_up):
            start = time.perf_counter()
            step(net, optimizer, take(rows, slice(i * batch, (i + 1) * batch)))
            seconds.append(time.perf_counter() - start)
        print(f"train_{name}_pytorch,{batch / statistics.median(seconds[warm_up:]):.0f},samples/s", flush=True)


# ---- a full run ----


def load_dataset(path):
    items, samples = read_bundle(f"{path}/items.lcf"), read_bundle(f"{path}/samples.lcf")
    offsets = items["category_offsets"].astype(np.int64)
    width = max(1, int(np.diff(offsets).max()))
    categories = np.zeros((len(offsets) - 1, width), np.int64)
    for i in range(len(categories)):
        own = items["item_categories"][offsets[i] : offsets[i + 1]]
        categories[i, : len(own)] = own
    user = samples["sample_user"].astype(np.int64)
    end = samples["sample_history_end"].astype(np.int64)
    begin = np.maximum(samples["user_offsets"].astype(np.int64)[user], end - HISTORY)
    place = begin[:, None] + np.arange(HISTORY)[None]
    inside = place < end[:, None]
    history = np.where(inside, samples["event_item"].astype(np.int64)[np.where(inside, place, 0)], 0)
    rows = {"user": longs(user), "item": longs(samples["sample_item"]), "history": longs(history),
            "label": floats(samples["sample_label"])}
    world = {"item_brand": longs(items["item_brand"]), "item_categories": longs(categories)}
    return rows, world, samples["split_begin"].astype(np.int64)


def auc(scores, labels):
    order = np.argsort(scores, kind="stable")
    sorted_scores, ranks = scores[order], np.empty(len(scores))
    _, inverse, counts = np.unique(sorted_scores, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    ranks[order] = ((ends - counts + 1 + ends) / 2)[inverse]
    positives = labels.sum()
    return (ranks[labels > 0].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))


def evaluate(net, rows, begin, end):
    net.eval()
    scores = []
    with torch.no_grad():
        for at in range(begin, end, 2048):
            scores.append(net(take(rows, slice(at, min(end, at + 2048))))[0])
    net.train()
    return auc(torch.sigmoid(torch.cat(scores)).numpy(), rows["label"][begin:end].numpy())


def train(dataset, export, learning_rate, weight_decay, batch):
    rows, world, split = load_dataset(dataset)
    weights, orders = read_bundle(f"{export}/init.lcf"), read_bundle(f"{export}/orders.lcf")["orders"]
    net = Net(config_of(weights), world, 0.0)
    net.load(weights)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    for epoch, order in enumerate(orders):
        start, order = time.perf_counter(), longs(order)
        for at in range(0, len(order), batch):
            step(net, optimizer, take(rows, split[0] + order[at : at + batch]))
        seconds = time.perf_counter() - start
        print(json.dumps({"epoch": epoch + 1, "valid_auc": evaluate(net, rows, split[1], split[2]),
                          "test_auc": evaluate(net, rows, split[2], split[3]),
                          "samples_per_s": round(len(order) / seconds)}), flush=True)


def main():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as ours: Adam's moments of rarely touched rows decay into denormals
    torch.manual_seed(1)
    args = sys.argv[1:]
    if len(args) in (2, 3) and args[0] == "speed":
        speed(args[1], int(args[2]) if len(args) > 2 else 100)
    elif len(args) == 6 and args[0] == "train":
        train(args[1], args[2], float(args[3]), float(args[4]), int(args[5]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
