"""The training step in PyTorch on a CPU: python3 torch_step.py <folder of the plan>.

The same Llama as src/model, float32, torch.optim.AdamW. The native mark for the whole step; bench/step has the protocol and the plan.
"""

import ctypes
import json
import re
import sys


def say(record):
    print(json.dumps(record), flush=True)


try:
    import torch
except ImportError as error:
    say({"unavailable": f"PyTorch: {error} (Debian: python3-torch and libopenblas0)"})
    sys.exit()

from torch.nn import functional

folder = sys.argv[1]
with open(f"{folder}/plan.json", encoding="utf-8") as file:
    plan = json.load(file)
config = plan["config"]
batch, time, threads = plan["batchSize"], plan["blockSize"], plan["threads"]
heads, width = config["heads"], config["hiddenSize"]
size = width // heads
torch.set_num_threads(threads)


def blas():
    """The library that multiplies, and its kernels: with the reference BLAS a figure would mean little."""
    if torch.backends.mkl.is_available():
        return "MKL"
    with open("/proc/self/maps", encoding="utf-8") as maps:
        library = re.search(r"\S*/libopenblas\S*", maps.read())
    if not library:
        return "another BLAS"
    name_of_core = ctypes.CDLL(library[0]).openblas_get_corename
    name_of_core.restype = ctypes.c_char_p
    return f"OpenBLAS for {name_of_core().decode()}"


def read(name, dtype):
    with open(f"{folder}/{name}.bin", "rb") as data:
        return torch.frombuffer(bytearray(data.read()), dtype=dtype)


def parameters():
    weights, at = read("weights", torch.float32), 0
    table = {}
    for parameter in plan["parameters"]:
        shape = parameter["shape"]
        count = torch.Size(shape).numel()
        table[parameter["name"]] = weights[at : at + count].clone().view(shape).requires_grad_()
        at += count
    return table


tokens = read("tokens", torch.int32).view(batch, time + 1).long()
table = parameters()
groups = [
    {"params": [table[p["name"]] for p in plan["parameters"] if p["decay"] is decay], "weight_decay": rate}
    for decay, rate in ((True, plan["weightDecay"]), (False, 0.0))
]
optimizer = torch.optim.AdamW(groups, lr=plan["learningRate"], betas=(plan["beta1"], plan["beta2"]), eps=plan["eps"])
frequencies = config["ropeTheta"] ** (-2 * torch.arange(size // 2, dtype=torch.float64) / size)
angles = torch.arange(time, dtype=torch.float64)[:, None] * frequencies
cosines, sines = angles.cos().float(), angles.sin().float()
mask = torch.full((time, time), float("-inf")).triu(1)


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + config["rmsNormEps"]) * gain


def rotate(x):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cosines - b * sines, b * cosines + a * sines), -1)


def attention(x, w_qkv):
    parts = functional.linear(x, w_qkv).chunk(3, -1)
    q, k, v = (part.view(batch, time, heads, size).transpose(1, 2) for part in parts)
    scores = rotate(q) @ rotate(k).transpose(2, 3) * size**-0.5
    return ((scores + mask).softmax(-1) @ v).transpose(1, 2).reshape(batch, time, width)


def loss_of(ids):
    h = functional.embedding(ids[:, :-1], table["embed"])
    for layer in range(config["layers"]):
        w = lambda name: table[f"layers.{layer}.{name}"]
        h = h + functional.linear(attention(norm(h, w("attn_norm")), w("qkv")), w("o"))
        gate, up = functional.linear(norm(h, w("mlp_norm")), w("gate_up")).chunk(2, -1)
        h = h + functional.linear(functional.silu(gate) * up, w("down"))
    logits = functional.linear(norm(h, table["norm"]), table["embed"])
    return functional.cross_entropy(logits.view(-1, config["vocabSize"]), ids[:, 1:].reshape(-1))


def step():
    optimizer.zero_grad()
    loss = loss_of(tokens)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(table.values()), plan["gradClip"])
    optimizer.step()
    return loss.item()


say({"name": f"PyTorch {torch.__version__}, {blas()}"})
for line in sys.stdin:
    if line.strip() != "step":
        break
    say({"loss": step()})
with open("/proc/self/status", encoding="utf-8") as status:
    say({"peakBytes": 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])})
