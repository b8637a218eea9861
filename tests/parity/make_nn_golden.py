#!/usr/bin/python3
"""Golden tensors for the tape, the optimizers and LLaMA training, from PyTorch (Debian: python3-torch 1.13).

    tests/parity/make_nn_golden.py            writes golden/nn.txt and golden/nn.f32

nn.txt has a line `name dim dim ...` per tensor, in the order in which nn.f32 holds their values (little-endian f32).
Networks are computed in float64 and rounded once; the optimizers run in float32, for their arithmetic is what is compared.
The constants here and in test_nn_golden.c are the same.
"""
import math
import os

import torch

torch.manual_seed(20)
tensors = []


def put(name, value):
    value = value.detach().clone()
    tensors.append((name, list(value.shape) or [1], value.to(torch.float32).reshape(-1)))


# ---- Adam and AdamW, three steps ----

def optimizers():
    start, grads = torch.randn(37), [torch.randn(37) * 10.0 ** (i - 1) for i in range(3)]
    grads[1][5] = 0.0
    put("adam.start", start)
    for i, g in enumerate(grads):
        put(f"adam.grad{i}", g)
    kinds = {
        "plain": lambda p: torch.optim.Adam([p], lr=0.01),
        "l2": lambda p: torch.optim.Adam([p], lr=0.01, weight_decay=0.1),
        "decoupled": lambda p: torch.optim.AdamW([p], lr=0.01, weight_decay=0.1),
    }
    for kind, make in kinds.items():
        p = start.clone().requires_grad_()
        optimizer = make(p)
        for i, g in enumerate(grads):
            p.grad = g.clone()
            optimizer.step()
            put(f"adam.{kind}.{i}", p)


# ---- a small network of every operation the rankers use ----

def network():
    f = torch.float64
    ids, bag = torch.tensor([0, 3, 1, 5, 5, 2]), [[1, 2], [], [5, 0, 4]]
    mask = torch.tensor([1, 1, 0, 1, 0, 1], dtype=f)
    labels, weights = torch.tensor([1.0, 0.0, 1.0], dtype=f), torch.tensor([1.0, 0.5, 2.0], dtype=f)
    shapes = {"table": (6, 4), "att.w": (1, 4), "att.b": (1,), "norm": (4,), "up.w": (10, 8), "up.b": (10,),
              "down.w": (1, 10), "rec.w": (5, 8)}
    p = {name: (torch.randn(shape, dtype=f) * 0.7) for name, shape in shapes.items()}
    p["table"][0] = 0
    for name in p:
        p[name] = p[name].float().double().requires_grad_()  # values that f32 holds
        put("net.param." + name, p[name])
    wanted = torch.randn(3, 5, dtype=f).float().double()
    put("net.wanted", wanted)
    history = p["table"][ids] * mask[:, None]
    attention = torch.sigmoid(history @ p["att.w"].T + p["att.b"]).reshape(3, 2)
    pooled = (history.reshape(3, 2, 4) * attention[:, :, None]).sum(1)
    means = torch.stack([p["table"][b].mean(0) if b else torch.zeros(4, dtype=f) for b in bag])
    means = means / torch.sqrt((means ** 2).mean(-1, keepdim=True) + 1e-5) * p["norm"]
    x = torch.cat([pooled, means], -1)
    h = torch.relu(x @ p["up.w"].T + p["up.b"])
    logits = torch.tanh(h) @ p["down.w"].T
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels, weight=weights, reduction="sum") / 3
    rec = (weights * (1 - torch.nn.functional.cosine_similarity(x @ p["rec.w"].T, wanted))).sum() / 2
    loss = bce + 0.5 * rec
    loss.backward()
    put("net.logits", logits)
    put("net.loss", loss.reshape(1))
    for name in p:
        grad = p[name].grad
        if name == "table":
            grad[0] = 0  # padding gets no gradient
        put("net.grad." + name, grad)


# ---- a LLaMA: two sequences, the second of two packed rows; three training steps ----

VOCAB, DIM, LAYERS, HEADS, KV, HD, FFN, EPS, THETA = 29, 16, 2, 4, 2, 4, 20, 1e-5, 100.0
PEAK, FLOOR, DECAY, CLIP, WARMUP, TOTAL = 1e-2, 0.1, 0.05, 0.5, 2, 10
RANK, ALPHA = 2, 6.0  # of the adapters


def rope(x, positions):  # x [T, heads, HD], pairs (2i, 2i + 1)
    freq = THETA ** (-torch.arange(0, HD, 2, dtype=torch.float64) / HD)
    angle = positions[:, None].double() * freq
    c, s = torch.cos(angle)[:, None, :], torch.sin(angle)[:, None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * c - odd * s, even * s + odd * c], -1).flatten(-2)


def norm(x, w):
    return x / torch.sqrt((x ** 2).mean(-1, keepdim=True) + EPS) * w


def llama_nll(p, tokens, targets, segments, positions):
    t = len(tokens)
    x = p["token_embd.weight"][tokens]
    seen = (torch.arange(t)[None] <= torch.arange(t)[:, None]) & (segments[None] == segments[:, None])
    for layer in range(LAYERS):
        w = {n: p[f"blk.{layer}.{n}.weight"] for n in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                                                      "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")}
        h = norm(x, w["attn_norm"])
        q = rope((h @ w["attn_q"].T).reshape(t, HEADS, HD), positions)
        k = rope((h @ w["attn_k"].T).reshape(t, KV, HD), positions).repeat_interleave(HEADS // KV, 1)
        v = (h @ w["attn_v"].T).reshape(t, KV, HD).repeat_interleave(HEADS // KV, 1)
        scores = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(HD)
        probs = torch.softmax(scores.masked_fill(~seen, float("-inf")), -1)
        x = x + torch.einsum("hij,jhd->ihd", probs, v).reshape(t, -1) @ w["attn_output"].T
        h = norm(x, w["ffn_norm"])
        x = x + (torch.nn.functional.silu(h @ w["ffn_gate"].T) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
    logits = norm(x, p["output_norm.weight"]) @ p["token_embd.weight"].T
    keep = targets >= 0
    return torch.nn.functional.cross_entropy(logits[keep], targets[keep], reduction="sum"), int(keep.sum())


def llama():
    shapes = [("token_embd.weight", (VOCAB, DIM))]
    for layer in range(LAYERS):
        for name, shape in (("attn_norm", (DIM,)), ("attn_q", (HEADS * HD, DIM)), ("attn_k", (KV * HD, DIM)),
                            ("attn_v", (KV * HD, DIM)), ("attn_output", (DIM, HEADS * HD)), ("ffn_norm", (DIM,)),
                            ("ffn_gate", (FFN, DIM)), ("ffn_up", (FFN, DIM)), ("ffn_down", (DIM, FFN))):
            shapes.append((f"blk.{layer}.{name}.weight", shape))
    shapes.append(("output_norm.weight", (DIM,)))
    p = {}
    for name, shape in shapes:
        value = 1 + 0.1 * torch.randn(shape) if len(shape) == 1 else 0.3 * torch.randn(shape)
        p[name] = value.double().requires_grad_()
        put("llama.param." + name, p[name])
    lengths = (9, 12)
    seqs = []
    for s, n in enumerate(lengths):
        tokens = torch.randint(VOCAB, (n,))
        targets = torch.randint(VOCAB, (n,))
        targets[:3] = -1
        segments, positions = torch.zeros(n, dtype=torch.long), torch.arange(n)
        if s == 1:  # two rows of 5 and 7 tokens
            segments[5:], positions[5:], targets[5] = 1, torch.arange(7), -1
        seqs.append((tokens, targets, segments, positions))
        for name, value in zip(("tokens", "targets", "segments", "positions"), seqs[-1]):
            put(f"llama.{name}{s}", value)
    start = {name: p[name].detach().clone() for name in p}
    train("llama.", p, lambda: p, seqs)
    return start, seqs


def lora(base, seqs):
    """Adapters on attn_q and attn_v; the base stays."""
    p = {}
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_v"):
            out, width = base[f"blk.{layer}.{name}.weight"].shape
            for half, shape in (("a", (RANK, width)), ("b", (out, RANK))):
                full = f"blk.{layer}.{name}.weight.lora_{half}"
                p[full] = (0.3 * torch.randn(shape)).double().requires_grad_()
                put("lora.param." + full, p[full])

    def merged():
        w = dict(base)
        for name in p:
            if name.endswith("_a"):
                matrix = name[: -len(".lora_a")]
                w[matrix] = base[matrix] + ALPHA / RANK * p[matrix + ".lora_b"] @ p[name]
        return w

    train("lora.", p, merged, seqs)


def train(prefix, p, model, seqs):
    """Three steps of what is in p; model() makes the weights of it."""
    decayed = [v for v in p.values() if v.dim() > 1]
    plain = [v for v in p.values() if v.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}],
                                  lr=PEAK, betas=(0.9, 0.95), eps=1e-8)
    for step in range(3):
        optimizer.zero_grad()
        parts = [llama_nll(model(), *s) for s in seqs]
        loss = sum(x for x, _ in parts) / sum(n for _, n in parts)
        loss.backward()
        put(prefix + f"loss{step}", loss.reshape(1))
        if step == 0:
            for name in p:
                put(prefix + "grad." + name, p[name].grad)
        torch.nn.utils.clip_grad_norm_(list(p.values()), CLIP)
        if step < WARMUP:
            rate = PEAK * (step + 1) / WARMUP
        else:
            rate = PEAK * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP))))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    for name in p:
        put(prefix + "after." + name, p[name])


def sgd():
    """On the start and gradients of the Adams."""
    start, *grads = (value for name, _, value in tensors if name in ("adam.start", "adam.grad0", "adam.grad1", "adam.grad2"))
    p = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([p], lr=0.01, momentum=0.9, weight_decay=0.1)
    for i, g in enumerate(grads):
        p.grad = g.clone()
        optimizer.step()
        put(f"sgd.{i}", p)


optimizers()
network()
lora(*llama())
sgd()
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
with open(os.path.join(folder, "nn.txt"), "w") as f:
    for name, shape, _ in tensors:
        print(name, *shape, file=f)
with open(os.path.join(folder, "nn.f32"), "wb") as f:
    for _, _, value in tensors:
        f.write(value.numpy().astype("<f4").tobytes())
