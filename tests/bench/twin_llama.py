#!/usr/bin/python3
"""The PyTorch twin of bench_llama_train: full-parameter training of a LLaMA of the same shape on the same batch.

    twin_llama.py SHAPE MODE [STEPS [THREADS]]     stdout: name,value,unit

SHAPE is 15m or 110m (as in bench_llama_train.c), MODE f32, autocast (f32 weights, bfloat16 products) or bf16 (all bfloat16).
Written as PyTorch 1.13 is used: fused AdamW over a list (foreach), no Python loop over tokens, heads or sequences.
Give it OPENBLAS_CORETYPE and ATEN_CPU_CAPABILITY so that it is not slowed down; twin_llama.sh does.
"""
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {"15m": (288, 6, 6, 768), "110m": (768, 12, 12, 2048)}
VOCAB, SEQS, LENGTH, WARM_UP = 32000, 4, 256, 1


class Norm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rotate(x, cos, sin):
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = Norm(dim), Norm(dim)
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(dim, ffn, bias=False), nn.Linear(dim, ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def forward(self, x, cos, sin, mask):
        h = self.norm1(x)
        q, k, v = (f(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask
        a = torch.softmax(scores, -1).to(v.dtype) @ v
        x = x + self.o(a.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self, dim, layers, heads, ffn):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, dim)
        self.layers = nn.ModuleList(Layer(dim, heads, ffn) for _ in range(layers))
        self.norm = Norm(dim)
        half = dim // heads // 2
        angle = torch.arange(LENGTH)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.cos, self.sin = torch.cos(angle), torch.sin(angle)
        self.mask = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed(ids)
        cos, sin, mask = self.cos.to(x.dtype), self.sin.to(x.dtype), self.mask.to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def main():
    if not 3 <= len(sys.argv) <= 5 or sys.argv[1] not in SHAPES or sys.argv[2] not in ("f32", "autocast", "bf16"):
        sys.exit(__doc__)
    shape, mode = sys.argv[1:3]
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 2)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    net = Llama(*SHAPES[shape])
    if mode == "bf16":
        net = net.bfloat16()
    matrices = [p for p in net.parameters() if p.dim() > 1]
    norms = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), foreach=True)
    ids, targets = torch.randint(VOCAB, (2, SEQS, LENGTH))
    seconds = []
    for step in range(WARM_UP + steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            loss = net(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    print(f"llama_{shape}_{mode}_pytorch,{SEQS * LENGTH / sorted(seconds)[len(seconds) // 2]:.0f},tokens/s")
    print(f"llama_{shape}_{mode}_pytorch_peak,{peak_mb():.0f},MiB")


main()
