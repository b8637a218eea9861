/*
 * Matrix products for training, C = A B, in f32 or with bfloat16 operands and f32 sums.
 *
 * Operands are put in order once and used many times. A left operand A [m, k] has its k side by
 * side; a right operand B [k, n] stands in panels of LCF_PANEL columns. In f32 a left operand is a
 * plain row-major matrix and panels are those of packed.h. In bf16 values are rounded to nearest
 * even, k is filled up to an even number with zeros, and a panel holds pairs of k:
 * [panel][k / 2][LCF_PANEL][2].
 *
 * Each element of C is one sum over k in an order that the unit in use alone determines, whatever
 * m, n and the blocks are: the same bits however the rows and panels are shared between threads.
 * source: Intel's AVX512-BF16, VDPBF16PS, and AMX-BF16, TDPBF16PS
 */
#ifndef LCF_COMMON_MATH_PRODUCT_H
#define LCF_COMMON_MATH_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lcf_precision { LCF_PRECISION_F32, LCF_PRECISION_BF16 } lcf_precision;

/* What multiplies bf16. */
typedef enum lcf_bf16_unit {
    LCF_BF16_PORTABLE, /* the reference, slow */
    LCF_BF16_AVX512,
    LCF_BF16_AMX_EMULATED, /* the reference of AMX, slower: for tests alone */
    LCF_BF16_AMX,
} lcf_bf16_unit;

/* True where the processor multiplies bf16 itself. Elsewhere LCF_PRECISION_BF16 works, slowly. */
bool lcf_bf16_fast(void);
/* Is the unit there? The first call about AMX also holds it against AVX-512. */
bool lcf_bf16_has(lcf_bf16_unit unit);
/* The best there is, or what was forced. */
lcf_bf16_unit lcf_bf16_in_use(void);
const char *lcf_bf16_unit_name(lcf_bf16_unit unit);
/* For tests: from now on this unit, which must be there. */
void lcf_bf16_force(lcf_bf16_unit unit);
/* For tests: again the best. */
void lcf_bf16_force_none(void);

/*
 * Memory that is read when a product is done, as rows of bytes: the weights that the next one is
 * packed from. A product in bf16 on AVX-512 asks for it while it multiplies and needs none itself;
 * other products leave it. A hint: no result depends on it.
 */
typedef struct lcf_ahead {
    const char *row;                /* that comes next */
    size_t rows, row_bytes, stride; /* rows that are left; bytes of a row and between rows */
    size_t at;                      /* bytes of `row` that were asked for */
} lcf_ahead;

/* Bytes of an element of an operand. */
size_t lcf_operand_bytes(lcf_precision precision);
/* A row length for left operands of k columns: rows that do not fall into the same cache sets. */
size_t lcf_left_ld(size_t k);
/* Elements of the panels of a right operand. */
size_t lcf_right_n(lcf_precision precision, size_t k, size_t n);

/* y [rows, ldy] = x [rows, cols]; ldy >= cols rounded up to even, what follows cols is zeroed. */
void lcf_left(lcf_precision precision, void *y, size_t ldy, const float *x, size_t ldx, size_t rows,
              size_t cols);
/* The panels of B [k, n]: B itself row-major, or its transpose [n, k] (a layer's weights). */
void lcf_right(lcf_precision precision, void *panels, const float *b, size_t ldb, bool transposed,
               size_t k, size_t n);
/* C [m, n] = A B, or C + A B. */
void lcf_product(lcf_precision precision, float *c, size_t ldc, const void *a, size_t lda,
                 const void *panels, size_t m, size_t n, size_t k, bool add);
/* As lcf_product; *ahead is moved on by what was asked for. NULL: nothing. */
void lcf_product_ahead(lcf_precision precision, float *c, size_t ldc, const void *a, size_t lda,
                       const void *panels, size_t m, size_t n, size_t k, bool add,
                       lcf_ahead *ahead);

/* ---- A^T B: sums over the rows of both ---- */

/* Elements of A [k, m] turned. */
size_t lcf_turned_n(lcf_precision precision, size_t k, size_t m);
/* Rows [first, first + rows) of A [k, m], which stand as those of a left operand, into A turned.
 * first is even; rows, too, but for the last ones. */
void lcf_turned_rows(lcf_precision precision, void *turned, size_t k, size_t first,
                     const void *left, size_t ld, size_t rows, size_t m);
/* A turned from column `first` of A on, a multiple of LCF_PANEL. */
const void *lcf_turned_at(lcf_precision precision, const void *turned, size_t k, size_t first);
/* The panels of B [k, n], whose rows stand as those of a left operand. */
void lcf_right_of_left(lcf_precision precision, void *panels, const void *left, size_t ld, size_t k,
                       size_t n);
/* C [m, n] = A^T B, or C + A^T B. */
void lcf_product_turned(lcf_precision precision, float *c, size_t ldc, const void *turned,
                        const void *panels, size_t m, size_t n, size_t k, bool add);

/* ---- softmax over parts of a row ---- */

/*
 * The log of the sum of exponentials of a part of a row of logits, and what the backward pass needs
 * of them: the logits themselves, or with bf16 the part's own softmax in half precision.
 *
 * shapes   x [n], used up; kept [n] elements of an operand, or NULL
 */
float lcf_softmax_keep(lcf_precision precision, void *kept, float *x, size_t n);
/*
 * The softmax of the whole row in the places of a part, less one at `target`, as a row of a left
 * operand.
 *
 * shapes   left [n], one more where n is odd; kept as above; part, whole: log sums; target: n or
 *          more for none
 */
void lcf_softmax_left(lcf_precision precision, void *left, const void *kept, size_t n, float part,
                      float whole, size_t target);

#endif
