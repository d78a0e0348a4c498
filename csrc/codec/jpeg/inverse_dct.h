// Dequantisation and the inverse DCT of libjpeg's "islow" method, bit for bit what libjpeg-turbo's
// SIMD code computes, from coefficients to samples.
//
// Source: Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11
// multiplications" (1989), in the fixed-point form of libjpeg's jidctint.c.
// Threads: any; pure. A scalar oracle beside the kernel; all targets give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stoker {

// `count` blocks of 64 coefficients (natural order, 64-byte aligned), one behind the other, become
// 8 rows of 8 · count samples, row_bytes apart: block b the columns [8b, 8b + 8). `quant`: the 64
// factors, natural order.
void InverseDctRow(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                   ptrdiff_t row_bytes);
void InverseDctRowScalar(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                         ptrdiff_t row_bytes);

// The same, to `side` = 1, 2 or 4 rows of side · count samples: a block's low frequencies through
// the inverse DCT of that size, so that each sample is close to the mean of those it stands for.
// Plain C++; not libjpeg's arithmetic.
void ReducedInverseDctRow(const int16_t* blocks, int count, const uint16_t* quant, int side,
                          uint8_t* samples, ptrdiff_t row_bytes);

}  // namespace stoker
