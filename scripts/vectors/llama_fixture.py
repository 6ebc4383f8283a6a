"""Makes test/vectors/llama-tiny.safetensors and llama-tiny-tied.safetensors: weights, logits, loss and gradients of two small
Llamas in float64, against which the engine's model is tested.

    /usr/bin/python3 scripts/vectors/llama_fixture.py            # write both files
    python3 scripts/vectors/llama_fixture.py --check             # compare the files on disk with transformers' LlamaForCausalLM

Writing needs torch alone. The weights are drawn from a seed and rounded to float32, and everything after is float64, so the engine can load
exactly these weights and its distance from `logits` and `grad.*` is its own error. The model is written out below from the definition, in plain
tensor operations; --check needs transformers too, and compares with that implementation, which shares no code with this one.

Conventions (B batch, T time, C hidden, H heads, D head size, F feed-forward, V vocabulary; weights are (out, in)):
  RMSNorm    x / sqrt(mean(x^2) + eps) * gain
  RoPE       pairs (i, i + D/2), angle t * theta^(-2i/D), on q and k
  attention  causal, scores / sqrt(D), query head h reads key/value head h // (H / Hkv)
  SwiGLU     down(silu(gate(x)) * up(x))
  loss       mean over all B*T positions of -log softmax(logits)[target]
"""

import json
import math
import os
import struct
import sys

import torch

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "vectors")
COMMAND = "/usr/bin/python3 scripts/vectors/llama_fixture.py"

# In the order of LlamaForCausalLM's config.json; "seed", "batch" and "time" are the fixture's own.
FIXTURES = {
    "llama-tiny": dict(
        vocab_size=37, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, rope_theta=10000.0, rms_norm_eps=1e-5,
        tie_word_embeddings=False, seed=20240917, batch=3, time=11),
    "llama-tiny-tied": dict(
        vocab_size=19, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=8, rope_theta=500.0, rms_norm_eps=1e-6,
        tie_word_embeddings=True, seed=7, batch=2, time=7),
}


def shapes(c):
    """Name -> shape of every weight, in the order of the forward pass."""
    C, F, H, Hkv = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"], c["num_key_value_heads"]
    D = C // H
    out = {"model.embed_tokens.weight": (c["vocab_size"], C)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = (C,)
        out[p + "self_attn.q_proj.weight"] = (H * D, C)
        out[p + "self_attn.k_proj.weight"] = (Hkv * D, C)
        out[p + "self_attn.v_proj.weight"] = (Hkv * D, C)
        out[p + "self_attn.o_proj.weight"] = (C, H * D)
        out[p + "post_attention_layernorm.weight"] = (C,)
        out[p + "mlp.gate_proj.weight"] = (F, C)
        out[p + "mlp.up_proj.weight"] = (F, C)
        out[p + "mlp.down_proj.weight"] = (C, F)
    out["model.norm.weight"] = (C,)
    if not c["tie_word_embeddings"]:
        out["lm_head.weight"] = (c["vocab_size"], C)
    return out


def draw_weights(c, generator):
    """Scaled so that every nonlinearity is used away from its linear part. Rounded to float32, held in float64."""
    weights = {}
    for name, shape in shapes(c).items():
        w = torch.randn(shape, generator=generator, dtype=torch.float64)
        if len(shape) == 1:
            w = 1 + 0.1 * w  # not all one: a gain forgotten or applied twice must show
        elif name != "model.embed_tokens.weight" or c["tie_word_embeddings"]:
            w = w / math.sqrt(shape[1])
        weights[name] = w.to(torch.float32).to(torch.float64).requires_grad_(True)
    return weights


def rms_norm(x, gain, eps):
    return x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + eps) * gain


def rope(x, theta):
    """x: (B, H, T, D)."""
    T, D = x.shape[-2:]
    i = torch.arange(D // 2, dtype=torch.float64)
    angle = torch.arange(T, dtype=torch.float64)[:, None] * torch.pow(torch.tensor(theta, dtype=torch.float64), -2 * i / D)
    cos, sin = torch.cos(angle), torch.sin(angle)
    a, b = x[..., : D // 2], x[..., D // 2 :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def attention(x, w, prefix, c):
    B, T, C = x.shape
    H, Hkv = c["num_attention_heads"], c["num_key_value_heads"]
    D = C // H
    q, k, v = (x @ w[f"{prefix}self_attn.{n}_proj.weight"].T for n in "qkv")
    q = rope(q.view(B, T, H, D).transpose(1, 2), c["rope_theta"])
    k = rope(k.view(B, T, Hkv, D).transpose(1, 2), c["rope_theta"])
    v = v.view(B, T, Hkv, D).transpose(1, 2)
    heads = []
    for h in range(H):
        g = h // (H // Hkv)
        scores = q[:, h] @ k[:, g].transpose(1, 2) / math.sqrt(D)
        future = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
        heads.append(torch.softmax(scores.masked_fill(future, -math.inf), dim=-1) @ v[:, g])
    return torch.cat(heads, dim=-1) @ w[prefix + "self_attn.o_proj.weight"].T


def swiglu(x, w, prefix):
    gate = x @ w[prefix + "mlp.gate_proj.weight"].T
    up = x @ w[prefix + "mlp.up_proj.weight"].T
    return (gate * torch.sigmoid(gate) * up) @ w[prefix + "mlp.down_proj.weight"].T


def forward(w, ids, c):
    x = w["model.embed_tokens.weight"][ids]
    eps = c["rms_norm_eps"]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        x = x + attention(rms_norm(x, w[p + "input_layernorm.weight"], eps), w, p, c)
        x = x + swiglu(rms_norm(x, w[p + "post_attention_layernorm.weight"], eps), w, p)
    x = rms_norm(x, w["model.norm.weight"], eps)
    head = w["model.embed_tokens.weight"] if c["tie_word_embeddings"] else w["lm_head.weight"]
    return x @ head.T


def cross_entropy(logits, targets):
    log_probability = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    return -log_probability.gather(-1, targets[..., None]).mean()


DTYPES = {torch.float32: ("F32", "f"), torch.float64: ("F64", "d"), torch.int32: ("I32", "i")}


def write_safetensors(path, tensors, metadata):
    """The format is a length, JSON and bytes: written out here, so that our reader is tested on a file it did not write."""
    header, data = {"__metadata__": metadata}, b""
    for name, t in tensors.items():
        dtype, code = DTYPES[t.dtype]
        flat = t.detach().reshape(-1).tolist()
        piece = struct.pack(f"<{len(flat)}{code}", *flat)
        header[name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def hf_config(c):
    return {k: v for k, v in c.items() if k not in ("seed", "batch", "time")}


def config_json(c):
    """A whole config.json, so that a test can read the model's sizes through the same door as a model directory's."""
    return json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", **hf_config(c)})


def make(name, c):
    generator = torch.Generator().manual_seed(c["seed"])
    weights = draw_weights(c, generator)
    size = (c["batch"], c["time"])
    ids = torch.randint(c["vocab_size"], size, generator=generator)
    targets = torch.randint(c["vocab_size"], size, generator=generator)
    logits = forward(weights, ids, c)
    loss = cross_entropy(logits, targets)
    loss.backward()
    # 8-byte tensors first: with 4-byte counts that may be odd behind them, every tensor stays aligned.
    tensors = {"logits": logits, "loss": loss.reshape(1)}
    tensors.update({f"grad.{n}": w.grad for n, w in weights.items()})
    tensors.update({n: w.to(torch.float32) for n, w in weights.items()})
    tensors.update({"input_ids": ids.to(torch.int32), "targets": targets.to(torch.int32)})
    path = os.path.join(VECTORS, f"{name}.safetensors")
    write_safetensors(path, tensors, {
        "about": "A small random Llama: float32 weights; logits, mean cross-entropy and gradients in float64.",
        "script": "scripts/vectors/llama_fixture.py",
        "command": COMMAND,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "seed": str(c["seed"]),
        "config": config_json(c),
    })
    print(f"{name}: loss {loss.item():.17g}, {os.path.getsize(path)} bytes")


def check(name, c):
    """Against transformers. Its RMSNorm, rotary table and softmax are float32 whatever the model's type: hence 1e-5, not 1e-12."""
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    t = load_file(os.path.join(VECTORS, f"{name}.safetensors"))
    model = LlamaForCausalLM(LlamaConfig(**hf_config(c), attn_implementation="eager")).double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        assert set(parameters) == set(shapes(c)), set(parameters) ^ set(shapes(c))
        for n, p in parameters.items():
            p.copy_(t[n])
    logits = model(t["input_ids"].long()).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, c["vocab_size"]), t["targets"].long().reshape(-1))
    loss.backward()
    worst = 0.0
    pairs = {"logits": logits, "loss": loss.reshape(1), **{f"grad.{n}": p.grad for n, p in parameters.items()}}
    for n, ours in pairs.items():
        error = ((ours.detach() - t[n]).abs().max() / t[n].abs().max()).item()
        assert error < 1e-5, (n, error)
        worst = max(worst, error)
    print(f"{name}: {len(pairs)} tensors agree with transformers, largest difference {worst:.2g} of the largest element")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for fixture, settings in FIXTURES.items():
        (check if "--check" in sys.argv[1:] else make)(fixture, settings)
