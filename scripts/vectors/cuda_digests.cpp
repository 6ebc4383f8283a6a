/**
 * Digests of what NVIDIA's own host code for the small floats makes of all 2^32 float32 inputs, for test/vectors/cuda_digests.json.
 *
 *     g++ -O2 -I nvidia/cu13/include scripts/vectors/cuda_digests.cpp -o cuda_digests && ./cuda_digests > test/vectors/cuda_digests.json
 *
 * The headers cuda_fp8.h, cuda_fp6.h and cuda_fp4.h come with the CUDA toolkit, or in the Python wheel nvidia-cuda-runtime (13.0.96 here),
 * what they include in the wheels nvidia-cuda-crt (13.0.88) and nvidia-cuda-cccl.
 * Shares no code with Octavo but the digest, written out again from assembly/reduce.ts. A NaN becomes the code Octavo writes for it:
 * 0x7f of float8_e4m3fn without its sign, 0x7e instead of 0x7f of float8_e5m2.
 */
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

static const uint32_t CHUNK = 1u << 20;

static uint64_t digest_unit(const uint8_t *p, uint32_t n) {
  uint32_t h[4] = {0x811c9dc5u, 0x9e3779b9u, 0x85ebca6bu, 0xc2b2ae35u};
  for (uint32_t i = 0; i < n; i += 16) {
    uint32_t w[4];
    std::memcpy(w, p + i, 16);
    for (int j = 0; j < 4; j++) {
      h[j] = (h[j] ^ w[j]) * 0x01000193u;
      h[j] ^= h[j] >> 15;
    }
  }
  uint64_t m = n;
  m = (m ^ h[0]) * 0x9e3779b97f4a7c15ull;
  m = ((m ^ (m >> 29)) ^ h[1]) * 0xbf58476d1ce4e5b9ull;
  m = ((m ^ (m >> 32)) ^ h[2]) * 0x94d049bb133111ebull;
  m = ((m ^ (m >> 29)) ^ h[3]) * 0x9e3779b97f4a7c15ull;
  return m ^ (m >> 32);
}

static uint64_t digest(const uint8_t *p, uint32_t n) {
  if (n <= 65536) return digest_unit(p, n);
  std::vector<uint64_t> units;
  for (uint32_t i = 0; i < n; i += 65536) units.push_back(digest_unit(p + i, n - i < 65536 ? n - i : 65536));
  return digest(reinterpret_cast<const uint8_t *>(units.data()), 8 * units.size());
}

static uint8_t e4m3fn(uint8_t c) { return (c & 0x7f) == 0x7f ? 0x7f : c; }
static uint8_t e5m2(uint8_t c) { return (c & 0x7f) > 0x7c ? 0x7e : c; }

template <typename F> static void row(const char *name, bool last, F code) {
  std::vector<uint8_t> codes(CHUNK);
  std::vector<uint64_t> digests;
  for (uint64_t first = 0; first < (1ull << 32); first += CHUNK) {
    for (uint32_t i = 0; i < CHUNK; i++) {
      const uint32_t bits = static_cast<uint32_t>(first) + i;
      float x;
      std::memcpy(&x, &bits, 4);
      codes[i] = code(x);
    }
    digests.push_back(digest(codes.data(), CHUNK));
  }
  const uint64_t d = digest(reinterpret_cast<const uint8_t *>(digests.data()), 8 * digests.size());
  std::printf("    \"%s\": \"%016llx\"%s\n", name, static_cast<unsigned long long>(d), last ? "" : ",");
  std::fflush(stdout);
}

int main() {
  std::printf("{\n  \"provenance\": \"cuda_fp8.h, cuda_fp6.h and cuda_fp4.h of CUDA 13.0 (nvidia-cuda-runtime 13.0.96), host code, g++ %s; "
              "made by scripts/vectors/cuda_digests.cpp. A NaN is written as Octavo writes it.\",\n  \"digests\": {\n", __VERSION__);
  row("float8_e4m3fn tiesToEven saturating", false, [](float x) { return e4m3fn(__nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3)); });
  row("float8_e4m3fn tiesToEven overflowing", false, [](float x) { return e4m3fn(__nv_cvt_float_to_fp8(x, __NV_NOSAT, __NV_E4M3)); });
  row("float8_e5m2 tiesToEven saturating", false, [](float x) { return e5m2(__nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E5M2)); });
  row("float8_e5m2 tiesToEven overflowing", false, [](float x) { return e5m2(__nv_cvt_float_to_fp8(x, __NV_NOSAT, __NV_E5M2)); });
  row("float6_e2m3fn tiesToEven saturating", false, [](float x) { return __nv_cvt_float_to_fp6(x, __NV_E2M3, cudaRoundNearest); });
  row("float6_e3m2fn tiesToEven saturating", false, [](float x) { return __nv_cvt_float_to_fp6(x, __NV_E3M2, cudaRoundNearest); });
  row("float4_e2m1fn tiesToEven saturating", true, [](float x) { return __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest); });
  std::printf("  }\n}\n");
  return 0;
}
