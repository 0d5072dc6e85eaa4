// Stands in front of the compiler's immintrin.h while an AVX-512 file is compiled for AVX2:
// the 512-bit intrinsics become SIMDe's portable functions, under their own names.
#pragma once

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include "missing.h"
