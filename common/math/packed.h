/*
 * Products with a weight matrix that was packed once: y = x w^T for few to some hundred rows of x.
 *
 * Packed, the rows of w (outputs) stand in panels of LCF_PANEL, transposed: [panel][in][LCF_PANEL],
 * the last panel filled up with zeros. Each output is one sum over `in` in order, whatever the
 * number of rows: a row gives the same bits alone and in any batch.
 */
#ifndef LCF_COMMON_MATH_PACKED_H
#define LCF_COMMON_MATH_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#define LCF_PANEL 32

/* Floats that `out` rows of `in` take when packed. */
size_t lcf_packed_n(size_t in, size_t out);
/* Puts w [out, in], ldw floats between its rows, at rows first .. first + out of the packed matrix.
 * The caller zeroes it beforehand. */
void lcf_pack(float *packed, const float *w, size_t ldw, size_t first, size_t in, size_t out);

/* What becomes of the product. */
#define LCF_PACKED_ADD 1u  /* what y holds is added */
#define LCF_PACKED_RELU 2u /* and then negative ones become 0 */

/*
 * y = x w^T + bias, and what the flags say.
 *
 * shapes   y [n, out] with ldy floats between rows; x [n, in] with ldx; packed as above; bias [out]
 *          or NULL
 */
void lcf_packed_linear(float *y, size_t ldy, const float *x, size_t ldx, const float *packed,
                       const float *bias, size_t n, size_t in, size_t out, unsigned flags);

#endif
