/*
 * Operands and products of training; see product.h. The f32 side is packed.c's. This file has the
 * portable bf16 kernels, which are the reference of the fast ones.
 */
#include "common/math/product.h"

#include "common/base/mem.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/math/amx.h"
#include "common/math/amx_bf16.h"
#include "common/math/bf16.h"
#include "common/math/half.h"
#include "common/math/packed.h"
#include "common/math/simd.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define PAIRS 384 /* of a row, transposed at a time, on the stack: rows are read as they lie */

/* ---- portable kernels ---- */

/* As the processor rounds: denormals are zero. */
static uint16_t round_one(float x)
{
    const uint32_t bits = lcf_bits_of_float(x);

    return bits & 0x7f800000u ? lcf_bf16_narrow(x) : (uint16_t)(bits >> 31 << 15);
}

static void portable_round(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = round_one(x[i]);
}

static void portable_pair(uint16_t *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[2 * i] = round_one(a[i]);
        y[2 * i + 1] = round_one(b[i]);
    }
}

static void portable_panel(uint16_t *panel, const float *b, size_t ldb, size_t k)
{
    static const float zeros[LCF_PANEL];

    for (size_t i = 0; i < k; i += 2, panel += 2 * LCF_PANEL)
        portable_pair(panel, b + i * ldb, i + 1 < k ? b + (i + 1) * ldb : zeros, LCF_PANEL);
}

static void portable_panel_of_left(uint16_t *panel, const uint16_t *left, size_t ld, size_t k,
                                   size_t n)
{
    for (size_t i = 0; i < k + k % 2; i++)
        for (size_t j = 0; j < LCF_PANEL; j++)
            panel[(i / 2 * LCF_PANEL + j) * 2 + i % 2] = i < k && j < n ? left[i * ld + j] : 0;
}

static void portable_end(const lcf_bf16_end *end, size_t row, size_t column, const float *sums,
                         size_t rows, size_t n)
{
    for (size_t r = row; r < row + rows; r++, sums += LCF_PANEL) {
        for (size_t j = 0; j < n; j++) {
            float sum = sums[j];

            if (end->bias)
                sum += end->bias[column + j];
            if (end->onto)
                sum += end->onto[r * end->onto_ld + column + j];
            if (end->relu)
                sum = sum > 0.0f ? sum : 0.0f;
            if (end->mask && (int16_t)end->mask[r * end->mask_ld + column + j] <= 0)
                sum = 0.0f;
            if (end->c)
                end->c[r * end->c_ld + column + j] = sum;
            if (end->left)
                end->left[r * end->left_ld + column + j] = round_one(sum);
        }
        if (end->left && n % 2)
            end->left[r * end->left_ld + column + n] = 0;
    }
}

static void portable_product(const lcf_bf16_end *end, size_t column, const uint16_t *a, size_t lda,
                             const uint16_t *panel, size_t m, size_t n, size_t k)
{
    for (size_t r = 0; r < m; r++) {
        float sums[LCF_PANEL] = {0};

        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < n; j++)
                sums[j] += lcf_bf16_widen(a[r * lda + i]) *
                           lcf_bf16_widen(panel[(i / 2 * LCF_PANEL + j) * 2 + i % 2]);
        portable_end(end, r, column, sums, 1, n);
    }
}

static void portable_across(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t m,
                            size_t n, size_t k, bool add)
{
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) {
            float sum = 0.0f;

            for (size_t i = 0; i < k; i++) {
                const size_t pair = i / 2 * LCF_PANEL;

                sum += lcf_bf16_widen(a[(pair + r) * 2 + i % 2]) *
                       lcf_bf16_widen(b[(pair + j) * 2 + i % 2]);
            }
            c[r * ldc + j] = add ? c[r * ldc + j] + sum : sum;
        }
}

static void portable_column_sums(float *sums, const uint16_t *panel, size_t n, size_t k)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < n; j++)
            sums[j] += lcf_bf16_widen(panel[(i / 2 * LCF_PANEL + j) * 2 + i % 2]);
}

static float portable_softmax(uint16_t *kept, float *x, size_t n)
{
    float max = x[0], sum = 0.0f;

    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        sum += x[i];
    }
    for (size_t i = 0; kept && i < n; i++)
        kept[i] = lcf_f16_narrow(x[i] * (LCF_HALF_ONE / sum));
    return max + logf(sum);
}

static void portable_of_half(uint16_t *y, const uint16_t *x, float scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = round_one(scale * lcf_f16_widen(x[i]));
}

const lcf_bf16 lcf_bf16_portable = {.round = portable_round,
                                    .pair = portable_pair,
                                    .panel = portable_panel,
                                    .panel_of_left = portable_panel_of_left,
                                    .product = portable_product,
                                    .across = portable_across,
                                    .column_sums = portable_column_sums,
                                    .end = portable_end,
                                    .softmax = portable_softmax,
                                    .of_half = portable_of_half};

/* ---- AMX ---- */

#define AMX_ROWS 96   /* whose sums wait for their end */
#define AMX_DEPTH 256 /* k of a panel that is turned */

typedef void (*amx_kernel)(const lcf_amx_bf16 *);
typedef void (*bf16_finish)(const lcf_bf16_end *end, size_t row, size_t column, const float *sums,
                            size_t rows, size_t n);

/* C [m, n] = A B, or that is added, k even. A panel's columns are two tiles side by side. */
static void amx_multiply(amx_kernel kernel, float *c, size_t ldc, const uint16_t *a, size_t lda,
                         const uint16_t *panel, size_t m, size_t n, size_t k, bool add)
{
    const size_t pair = 2 * sizeof(*panel);
    const lcf_amx_bf16 p = {
        .c = c,
        .ldc = ldc,
        .a = a,
        .a_row = lda * sizeof(*a),
        .a_group = LCF_TILE_ROWS * lda * sizeof(*a),
        .a_step = LCF_TILE_ROW_BYTES,
        .b = panel,
        .b_row = LCF_PANEL * pair,
        .b_second = LCF_PANEL / 2 * pair,
        .b_step = LCF_TILE_ROWS * LCF_PANEL * pair,
        .m = m,
        .n = n,
        .k = k,
        .add = add,
    };

    kernel(&p);
}

static void amx_product(amx_kernel kernel, bf16_finish finish, const lcf_bf16_end *end,
                        size_t column, const uint16_t *a, size_t lda, const uint16_t *panel,
                        size_t m, size_t n, size_t k)
{
    const bool plain = !end->bias && !end->relu && !end->mask && !end->left &&
                       (!end->onto || (end->onto == end->c && end->onto_ld == end->c_ld));
    float sums[AMX_ROWS * LCF_PANEL] = {0};

    if (plain) {
        amx_multiply(kernel, end->c + column, end->c_ld, a, lda, panel, m, n, k, end->onto);
        return;
    }
    for (size_t r = 0; r < m; r += AMX_ROWS) {
        const size_t rows = m - r < AMX_ROWS ? m - r : AMX_ROWS;

        amx_multiply(kernel, sums, LCF_PANEL, a + r * lda, lda, panel, rows, n, k, false);
        finish(end, r, column, sums, rows, n);
    }
}

/* A panel of A, turned, is a left operand: its pairs move as floats do. */
static void amx_across(amx_kernel kernel, float *c, size_t ldc, const uint16_t *a,
                       const uint16_t *b, size_t m, size_t n, size_t k, bool add)
{
    float left[LCF_PANEL * AMX_DEPTH / 2];

    for (size_t i = 0; i < k; i += AMX_DEPTH) {
        const size_t depth = k - i < AMX_DEPTH ? k - i : AMX_DEPTH;

        lcf_simd_get()->transpose(left, AMX_DEPTH / 2, (const float *)(a + i * LCF_PANEL),
                                  LCF_PANEL, depth / 2, LCF_PANEL);
        amx_multiply(kernel, c, ldc, (const uint16_t *)left, AMX_DEPTH, b + i * LCF_PANEL, m, n,
                     depth, add || i > 0);
    }
}

static void emulated_product(const lcf_bf16_end *end, size_t column, const uint16_t *a, size_t lda,
                             const uint16_t *panel, size_t m, size_t n, size_t k)
{
    amx_product(lcf_amx_bf16_product_emulated, portable_end, end, column, a, lda, panel, m, n, k);
}

static void emulated_across(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t m,
                            size_t n, size_t k, bool add)
{
    amx_across(lcf_amx_bf16_product_emulated, c, ldc, a, b, m, n, k, add);
}

static const lcf_bf16 amx_emulated = {.round = portable_round,
                                      .pair = portable_pair,
                                      .panel = portable_panel,
                                      .panel_of_left = portable_panel_of_left,
                                      .product = emulated_product,
                                      .across = emulated_across,
                                      .column_sums = portable_column_sums,
                                      .end = portable_end,
                                      .softmax = portable_softmax,
                                      .of_half = portable_of_half};

#if defined(__x86_64__)
static void tile_product(const lcf_bf16_end *end, size_t column, const uint16_t *a, size_t lda,
                         const uint16_t *panel, size_t m, size_t n, size_t k)
{
    amx_product(lcf_amx_bf16_product, lcf_bf16_avx512.end, end, column, a, lda, panel, m, n, k);
}

static void tile_across(float *c, size_t ldc, const uint16_t *a, const uint16_t *b, size_t m,
                        size_t n, size_t k, bool add)
{
    amx_across(lcf_amx_bf16_product, c, ldc, a, b, m, n, k, add);
}

static lcf_bf16 amx; /* those of AVX-512 but for the products */

/* A product by a unit and the same by AVX-512 agree as two orders of summation do. */
static bool agrees(const lcf_bf16 *unit)
{
    enum { M = 37, K = 72 };
    uint16_t a[M * K], panel[K * LCF_PANEL];
    float x[K * LCF_PANEL], y[M * LCF_PANEL], wanted[M * LCF_PANEL];

    for (size_t i = 0; i < K * LCF_PANEL; i++)
        x[i] = (float)(i * 37 % 101) / 101 - 0.5f;
    for (size_t r = 0; r < M; r++)
        unit->round(a + r * K, x + r, K);
    unit->panel(panel, x, LCF_PANEL, K);
    unit->product(&(lcf_bf16_end){.c = y, .c_ld = LCF_PANEL}, 0, a, K, panel, M, LCF_PANEL, K);
    lcf_bf16_avx512.product(&(lcf_bf16_end){.c = wanted, .c_ld = LCF_PANEL}, 0, a, K, panel, M,
                            LCF_PANEL, K);
    for (size_t i = 0; i < M * LCF_PANEL; i++)
        if (!(fabsf(y[i] - wanted[i]) < 1e-4f))
            return false;
    return true;
}

static pthread_once_t amx_tried = PTHREAD_ONCE_INIT;
static bool amx_works;

static void try_amx(void)
{
    if (!lcf_amx_ready())
        return;
    amx = lcf_bf16_avx512;
    amx.product = tile_product;
    amx.across = tile_across;
    amx_works = agrees(&amx);
    if (!amx_works)
        lcf_log(LCF_LOG_WARN, "bf16 unit=amx refused=1 reason='its products are not those of "
                              "AVX-512, which is used instead'");
}
#endif

/* ---- dispatch ---- */

static int forced = -1; /* a unit, or none */

const char *lcf_bf16_unit_name(lcf_bf16_unit unit)
{
    static const char *const NAMES[] = {"portable", "avx512", "amx-emulated", "amx"};

    return NAMES[unit];
}

bool lcf_bf16_fast(void)
{
    return lcf_bf16_has(LCF_BF16_AVX512);
}

bool lcf_bf16_has(lcf_bf16_unit unit)
{
#if defined(__x86_64__)
    if (unit == LCF_BF16_AVX512)
        return lcf_simd_best() == LCF_SIMD_AVX512 && __builtin_cpu_supports("avx512bf16");
    if (unit == LCF_BF16_AMX) {
        pthread_once(&amx_tried, try_amx);
        return amx_works;
    }
    if (unit == LCF_BF16_AMX_EMULATED)
        return !lcf_bf16_has(LCF_BF16_AVX512) || agrees(&amx_emulated);
#endif
    return unit == LCF_BF16_PORTABLE || unit == LCF_BF16_AMX_EMULATED;
}

void lcf_bf16_force(lcf_bf16_unit unit)
{
    LCF_ASSERT(lcf_bf16_has(unit));
    __atomic_store_n(&forced, (int)unit, __ATOMIC_RELEASE);
}

void lcf_bf16_force_none(void)
{
    __atomic_store_n(&forced, -1, __ATOMIC_RELEASE);
}

lcf_bf16_unit lcf_bf16_in_use(void)
{
    const int unit = __atomic_load_n(&forced, __ATOMIC_ACQUIRE);

    if (unit >= 0)
        return (lcf_bf16_unit)unit;
    if (lcf_bf16_has(LCF_BF16_AMX))
        return LCF_BF16_AMX;
    return lcf_bf16_has(LCF_BF16_AVX512) ? LCF_BF16_AVX512 : LCF_BF16_PORTABLE;
}

const lcf_bf16 *lcf_bf16_get(void)
{
    switch (lcf_bf16_in_use()) {
#if defined(__x86_64__)
    case LCF_BF16_AMX:
        return &amx;
    case LCF_BF16_AVX512:
        return &lcf_bf16_avx512;
#endif
    case LCF_BF16_AMX_EMULATED:
        return &amx_emulated;
    default:
        return &lcf_bf16_portable;
    }
}

/* ---- operands ---- */

static size_t even(size_t n)
{
    return n + n % 2;
}

size_t lcf_operand_bytes(lcf_precision precision)
{
    return precision == LCF_PRECISION_BF16 ? sizeof(uint16_t) : sizeof(float);
}

size_t lcf_left_ld(size_t k)
{
    size_t lines = (k + 31) / 32; /* of 64 bytes in bf16, pairs of them in f32 */

    return (lines | 1) * 32; /* an odd number */
}

size_t lcf_right_n(lcf_precision precision, size_t k, size_t n)
{
    return lcf_packed_n(precision == LCF_PRECISION_BF16 ? even(k) : k, n);
}

void lcf_left(lcf_precision precision, void *y, size_t ldy, const float *x, size_t ldx, size_t rows,
              size_t cols)
{
    const lcf_bf16 *kernels = lcf_bf16_get();

    LCF_ASSERT(ldy >= even(cols));
    for (size_t r = 0; r < rows; r++) {
        if (precision == LCF_PRECISION_F32) {
            memcpy((float *)y + r * ldy, x + r * ldx, cols * sizeof(*x));
            continue;
        }
        kernels->round((uint16_t *)y + r * ldy, x + r * ldx, cols);
        if (cols % 2)
            ((uint16_t *)y)[r * ldy + cols] = 0;
    }
}

/* Panels of B^T [n, k], k side by side. */
static void right_of_rows(uint16_t *panels, const float *b, size_t ldb, size_t k, size_t n)
{
    const lcf_simd *simd = lcf_simd_get();
    const lcf_bf16 *kernels = lcf_bf16_get();
    uint16_t block[LCF_PANEL][2 * PAIRS];

    for (size_t at = 0; at < n; at += LCF_PANEL, panels += even(k) * LCF_PANEL) {
        const size_t wide = n - at < LCF_PANEL ? n - at : LCF_PANEL;

        if (wide < LCF_PANEL)
            memset(panels, 0, even(k) * LCF_PANEL * sizeof(*panels));
        for (size_t i = 0; i < k; i += 2 * PAIRS) {
            const size_t depth = k - i < 2 * PAIRS ? k - i : 2 * PAIRS;

            for (size_t j = 0; j < wide; j++) {
                lcf_fetch(b + (at + j) * ldb + i + 2 * PAIRS, depth * sizeof(*b));
                kernels->round(block[j], b + (at + j) * ldb + i, depth);
                block[j][depth % 2 ? depth : 2 * PAIRS - 1] =
                    depth % 2 ? 0 : block[j][2 * PAIRS - 1];
            }
            simd->transpose((float *)(panels + i * LCF_PANEL), LCF_PANEL, (const float *)block[0],
                            PAIRS, wide, even(depth) / 2);
        }
    }
}

/* Some rows at a time into all panels: they are read as they lie in memory. */
#define PANEL_ROWS 16

static void right_of_columns(uint16_t *panels, const float *b, size_t ldb, size_t k, size_t n)
{
    const lcf_bf16 *kernels = lcf_bf16_get();
    const float zeros[LCF_PANEL] = {0};
    const size_t whole = n / LCF_PANEL * LCF_PANEL;
    uint16_t *last = panels + whole * even(k);

    for (size_t i = 0; i < k; i += PANEL_ROWS) {
        for (size_t r = i + PANEL_ROWS; r < i + 2 * PANEL_ROWS && r < k; r++)
            lcf_fetch(b + r * ldb, whole * sizeof(*b));
        for (size_t at = 0; at < whole; at += LCF_PANEL)
            kernels->panel(panels + at * even(k) + i * LCF_PANEL, b + i * ldb + at, ldb,
                           k - i < PANEL_ROWS ? k - i : PANEL_ROWS);
    }
    if (whole == n)
        return;
    memset(last, 0, even(k) * LCF_PANEL * sizeof(*last));
    for (size_t i = 0; i < k; i += 2)
        kernels->pair(last + i * LCF_PANEL, b + i * ldb + whole,
                      i + 1 < k ? b + (i + 1) * ldb + whole : zeros, n - whole);
}

static void right_f32(float *panels, const float *b, size_t ldb, bool transposed, size_t k,
                      size_t n)
{
    if (n % LCF_PANEL)
        memset(panels + n / LCF_PANEL * LCF_PANEL * k, 0, LCF_PANEL * k * sizeof(*panels));
    if (transposed) {
        lcf_pack(panels, b, ldb, 0, k, n);
        return;
    }
    for (size_t i = 0; i < k; i++)
        for (size_t at = 0; at < n; at += LCF_PANEL)
            memcpy(panels + at * k + i * LCF_PANEL, b + i * ldb + at,
                   (n - at < LCF_PANEL ? n - at : LCF_PANEL) * sizeof(*b));
}

void lcf_right(lcf_precision precision, void *panels, const float *b, size_t ldb, bool transposed,
               size_t k, size_t n)
{
    if (precision == LCF_PRECISION_F32)
        right_f32(panels, b, ldb, transposed, k, n);
    else if (transposed)
        right_of_rows(panels, b, ldb, k, n);
    else
        right_of_columns(panels, b, ldb, k, n);
}

void lcf_product(lcf_precision precision, float *c, size_t ldc, const void *a, size_t lda,
                 const void *panels, size_t m, size_t n, size_t k, bool add)
{
    lcf_product_ahead(precision, c, ldc, a, lda, panels, m, n, k, add, NULL);
}

void lcf_product_ahead(lcf_precision precision, float *c, size_t ldc, const void *a, size_t lda,
                       const void *panels, size_t m, size_t n, size_t k, bool add, lcf_ahead *ahead)
{
    const lcf_bf16_end end = {
        .c = c, .c_ld = ldc, .onto = add ? c : NULL, .onto_ld = ldc, .ahead = ahead};

    if (precision == LCF_PRECISION_F32)
        lcf_packed_linear(c, ldc, a, lda, panels, NULL, m, k, n, add ? LCF_PACKED_ADD : 0);
    else
        lcf_bf16_product(&end, a, lda, panels, m, n, k);
}

/* ---- layers ---- */

/* Columns of the panel that begins at column `at`. */
static size_t panel_width(size_t at, size_t n)
{
    return n - at < LCF_PANEL ? n - at : LCF_PANEL;
}

void lcf_bf16_product(const lcf_bf16_end *end, const uint16_t *a, size_t lda,
                      const uint16_t *panels, size_t m, size_t n, size_t k)
{
    const lcf_bf16 *kernels = lcf_bf16_get();

    for (size_t at = 0; at < n; at += LCF_PANEL)
        kernels->product(end, at, a, lda, panels + at * even(k), m, panel_width(at, n), even(k));
}

void lcf_bf16_panels_of_left(uint16_t *panels, const uint16_t *left, size_t ld, size_t k, size_t n)
{
    const lcf_bf16 *kernels = lcf_bf16_get();

    for (size_t at = 0; at < n; at += LCF_PANEL)
        kernels->panel_of_left(panels + at * even(k), left + at, ld, k, panel_width(at, n));
}

/* All panels of the smaller operand, which stay in a cache, against one of the other, which is read
 * once. */
void lcf_bf16_across(float *c, size_t ldc, const uint16_t *a_panels, const uint16_t *b_panels,
                     size_t m, size_t n, size_t k, bool add)
{
    const lcf_bf16 *kernels = lcf_bf16_get();
    const size_t rows = (m + LCF_PANEL - 1) / LCF_PANEL, columns = (n + LCF_PANEL - 1) / LCF_PANEL;

    for (size_t at = 0; at < rows * columns; at++) {
        const size_t i = (rows < columns ? at % rows : at / columns) * LCF_PANEL;
        const size_t j = (rows < columns ? at / rows : at % columns) * LCF_PANEL;

        kernels->across(c + i * ldc + j, ldc, a_panels + i * even(k), b_panels + j * even(k),
                        panel_width(i, m), panel_width(j, n), even(k), add);
    }
}

void lcf_bf16_column_sums(float *sums, const uint16_t *panels, size_t k, size_t n)
{
    const lcf_bf16 *kernels = lcf_bf16_get();

    for (size_t at = 0; at < n; at += LCF_PANEL)
        kernels->column_sums(sums + at, panels + at * even(k), panel_width(at, n), even(k));
}

/* ---- A^T B ---- */

size_t lcf_turned_n(lcf_precision precision, size_t k, size_t m)
{
    return precision == LCF_PRECISION_F32 ? m * lcf_left_ld(k) : lcf_right_n(precision, k, m);
}

void lcf_turned_rows(lcf_precision precision, void *turned, size_t k, size_t first,
                     const void *left, size_t ld, size_t rows, size_t m)
{
    LCF_ASSERT(first % 2 == 0 && first + rows <= k);
    if (precision == LCF_PRECISION_F32) {
        lcf_simd_get()->transpose((float *)turned + first, lcf_left_ld(k), left, ld, rows, m);
        return;
    }
    for (size_t at = 0; at < m; at += LCF_PANEL)
        lcf_bf16_get()->panel_of_left((uint16_t *)turned + at * even(k) + first * LCF_PANEL,
                                      (const uint16_t *)left + at, ld, rows, panel_width(at, m));
}

const void *lcf_turned_at(lcf_precision precision, const void *turned, size_t k, size_t first)
{
    LCF_ASSERT(first % LCF_PANEL == 0);
    if (precision == LCF_PRECISION_F32)
        return (const float *)turned + first * lcf_left_ld(k);
    return (const uint16_t *)turned + first * even(k);
}

void lcf_right_of_left(lcf_precision precision, void *panels, const void *left, size_t ld, size_t k,
                       size_t n)
{
    if (precision == LCF_PRECISION_F32)
        right_f32(panels, left, ld, false, k, n);
    else
        lcf_bf16_panels_of_left(panels, left, ld, k, n);
}

void lcf_product_turned(lcf_precision precision, float *c, size_t ldc, const void *turned,
                        const void *panels, size_t m, size_t n, size_t k, bool add)
{
    if (precision == LCF_PRECISION_F32)
        lcf_product(precision, c, ldc, turned, lcf_left_ld(k), panels, m, n, k, add);
    else
        lcf_bf16_across(c, ldc, turned, panels, m, n, k, add);
}

/* ---- softmax ---- */

float lcf_softmax_keep(lcf_precision precision, void *kept, float *x, size_t n)
{
    if (precision == LCF_PRECISION_BF16)
        return lcf_bf16_get()->softmax(kept, x, n);
    if (kept)
        memcpy(kept, x, n * sizeof(*x));
    return lcf_simd_get()->cross_entropy(NULL, x, 0, n, 1.0f) + x[0];
}

void lcf_softmax_left(lcf_precision precision, void *left, const void *kept, size_t n, float part,
                      float whole, size_t target)
{
    const float scale = expf(part - whole) / LCF_HALF_ONE;
    uint16_t *y = left;

    if (precision == LCF_PRECISION_F32) {
        memcpy(left, kept, n * sizeof(float));
        lcf_simd_get()->exp_shifted(left, whole, n);
        if (target < n)
            ((float *)left)[target] -= 1.0f;
        return;
    }
    lcf_bf16_get()->of_half(y, kept, scale, n);
    if (target < n)
        y[target] = round_one(lcf_f16_widen(((const uint16_t *)kept)[target]) * scale - 1.0f);
    if (n % 2)
        y[n] = 0;
}
