"""Makes the `ml_dtypes` part of test/vectors/ofp8.json: what ml_dtypes decodes every code of one byte to, and what it casts 319 float32 numbers to.

    pip install ml_dtypes==0.6.0 numpy==2.4.6
    python3 scripts/vectors/ofp8.py            # write that part of the file; the rest stays as it is
    python3 scripts/vectors/ofp8.py --check    # compare, write nothing; exit code 1 where they differ

The other parts of the file (limits, ONNX, papers) were copied by hand from the tables their provenance names. Nothing here shares code with
Octavo. The output is the same bytes each time; the versions found are written into it, so another version shows as a difference.

The casts are ml_dtypes' own, from float32: ties to even, without saturation, a NaN with the sign of the input. The inputs are float32 numbers,
so no cast rounds twice.
"""

import json
import os
import platform
import sys

import ml_dtypes
import numpy as np

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "vectors", "ofp8.json")
SEED = 20240918

ONE_BYTE = {
    name: getattr(ml_dtypes, name)
    for name in [
        "float8_e4m3fn", "float8_e5m2", "float8_e4m3", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e3m4", "float8_e4m3b11fnuz",
        "float8_e8m0fnu", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn",
    ]
}
FORMATS = {**ONE_BYTE, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def number(value):
    """A value as the file writes it: what JSON cannot hold becomes a string."""
    value = float(value)
    if value != value:
        return "NaN"
    if value in (float("inf"), -float("inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 and np.signbit(value):
        return "-0"
    return int(value) if value == int(value) else value


def inputs():
    """float32 numbers: near the 8-bit formats, over all of float32, with short significands (ties), and the edges by hand."""
    rng = np.random.default_rng(SEED)
    near = np.exp2(rng.uniform(-20, 18, 160)) * rng.choice([-1, 1], 160)
    wide = np.exp2(rng.uniform(-148, 127.9, 64)) * rng.choice([-1, 1], 64)
    ties = rng.integers(1, 64, 64) * np.exp2(rng.integers(-19, 12, 64).astype(float)) * rng.choice([-1, 1], 64)
    edges = [
        0.0, -0.0, np.inf, -np.inf, np.nan, 1000, -1000, 100000, -100000,
        448, 464, np.nextafter(np.float32(464), np.float32(500)), 480, 240, 248,
        57344, 61440, np.nextafter(np.float32(61440), np.float32(0)), 65504, 65519.99, 65520,
        3.4028234663852886e38, 3.3953e38, 2**-149, 2**-24, 2**-25, 2**-16, 2**-17, 2**-9, 2**-10, 2**-10 * 1.0001,
    ]
    return np.concatenate([near, wide, ties, np.array(edges)]).astype(np.float32)


def decoded(dtype):
    return [number(v) for v in np.arange(2 ** ml_dtypes.finfo(dtype).bits, dtype=np.uint8).view(dtype).astype(np.float64)]


def codes(x, dtype):
    width = np.dtype(dtype).itemsize
    return "".join("%0*x" % (2 * width, int(code)) for code in x.astype(dtype).view(f"u{width}"))


def part():
    """The text of the part, as it stands in the file."""
    x = inputs()
    python = ".".join(platform.python_version_tuple()[:2])
    machine = platform.machine().replace("_", "-")
    provenance = (
        f"ml_dtypes {ml_dtypes.__version__} and numpy {np.__version__}, Python {python}, {machine}. "
        "decode[name][code] = numpy.arange(2 ** bits, dtype=uint8).view(dtype).astype(float64). "
        "codes[name] = numpy.array(inputs, float32).astype(dtype).view(uint8 or uint16), as joined hexadecimal; "
        "that cast is ties-to-even without saturation. float16 is numpy.float16. "
        "inputs are exact float32 values: random (log-uniform), short significands for ties, and boundaries by hand. "
        "NaN codes keep the sign of the input."
    )
    with np.errstate(all="ignore"):
        decode_lines = [f'      "{name}": {json.dumps(decoded(dtype))}' for name, dtype in ONE_BYTE.items()]
        code_lines = [f'      "{name}": "{codes(x, dtype)}"' for name, dtype in FORMATS.items()]
    return "\n".join([
        '  "ml_dtypes": {',
        f'    "provenance": {json.dumps(provenance)},',
        f'    "inputs": {json.dumps([number(v) for v in x])},',
        '    "decode": {', ",\n".join(decode_lines), "    },",
        '    "codes": {', ",\n".join(code_lines), "    }",
        "  }",
    ])


def main():
    with open(FILE, encoding="utf-8") as file:
        old = file.read()
    at = old.index('  "ml_dtypes": {')
    new = old[:at] + part() + "\n}\n"
    json.loads(new)
    if "--check" in sys.argv[1:]:
        same = new == old
        print("test/vectors/ofp8.json: " + ("the same bytes" if same else "differs"))
        return 0 if same else 1
    with open(FILE, "w", encoding="utf-8", newline="\n") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
