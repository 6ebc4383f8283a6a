"""Makes test/vectors/ml_dtypes_digests.json: digests of what ml_dtypes makes of all 2^32 float32 inputs, ties to even, without saturation.

    pip install ml_dtypes==0.6.0 numpy==2.4.6
    python3 scripts/vectors/ml_dtypes_digests.py > test/vectors/ml_dtypes_digests.json      # some ten minutes

Shares no code with Octavo but the digest, written out again from assembly/reduce.ts. A NaN becomes the code Octavo writes for it: the canonical
one without a sign, and the largest value where a format has none.
"""

import json
import sys

import ml_dtypes
import numpy as np

# The codes of NaN as Octavo writes them; None: the code of the largest value.
NAN = {
    "bfloat16": 0x7FC0, "float16": 0x7E00, "float8_e4m3fn": 0x7F, "float8_e5m2": 0x7E, "float8_e4m3": 0x7C, "float8_e4m3fnuz": 0x80,
    "float8_e5m2fnuz": 0x80, "float8_e3m4": 0x78, "float8_e4m3b11fnuz": 0x80, "float8_e8m0fnu": 0xFF, "float6_e2m3fn": 0x1F,
    "float6_e3m2fn": 0x1F, "float4_e2m1fn": 0x07,
}
CHUNK = 1 << 20
STEP = 16 * CHUNK


def unit_digests(data):
    """The digests of the rows of an array (units, bytes) of up to 65536 bytes each."""
    n = data.shape[1]
    words = np.ascontiguousarray(data.reshape(len(data), n // 16, 16).transpose(1, 0, 2)).view(np.uint32)
    h = np.tile(np.array([0x811C9DC5, 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35], np.uint32), (len(data), 1))
    for word in words:
        h = (h ^ word) * np.uint32(0x01000193)
        h ^= h >> np.uint32(15)
    h = h.astype(np.uint64)
    m = (np.uint64(n) ^ h[:, 0]) * np.uint64(0x9E3779B97F4A7C15)
    m = ((m ^ (m >> np.uint64(29))) ^ h[:, 1]) * np.uint64(0xBF58476D1CE4E5B9)
    m = ((m ^ (m >> np.uint64(32))) ^ h[:, 2]) * np.uint64(0x94D049BB133111EB)
    m = ((m ^ (m >> np.uint64(29))) ^ h[:, 3]) * np.uint64(0x9E3779B97F4A7C15)
    return m ^ (m >> np.uint64(32))


def digest_of_all(name):
    dtype = np.float16 if name == "float16" else getattr(ml_dtypes, name)
    width = np.dtype(dtype).itemsize
    chunks = []
    for first in range(0, 1 << 32, STEP):
        x = np.arange(first, first + STEP, dtype=np.uint32).view(np.float32)
        y = x.astype(dtype)
        codes = y.view(f"u{width}")
        nan = np.isnan(x) if name.startswith(("float6", "float4")) else np.isnan(y)
        codes = np.where(nan, np.array(NAN[name], codes.dtype), codes)
        units = unit_digests(codes.view(np.uint8).reshape(-1, 65536))
        chunks.append(unit_digests(units.view(np.uint8).reshape(-1, 8 * CHUNK * width // 65536)))
    return "%016x" % int(unit_digests(np.concatenate(chunks).view(np.uint8).reshape(1, -1))[0])


def main():
    digests = {}
    with np.errstate(all="ignore"):
        for name in NAN:
            digests[f"{name} tiesToEven overflowing"] = digest_of_all(name)
            print(name, file=sys.stderr)
    provenance = (
        f"ml_dtypes {ml_dtypes.__version__} and numpy {np.__version__} (float16), made by scripts/vectors/ml_dtypes_digests.py. "
        "A NaN is written as Octavo writes it."
    )
    print(json.dumps({"provenance": provenance, "digests": digests}, indent=2))


if __name__ == "__main__":
    main()
