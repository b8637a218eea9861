/*
 * The bodies of the kernels behind lcf_gemm and lcf_linear: included by simd_impl.h, which says how
 * they are compiled. Small products go tile by tile; larger ones in panels of B that stay in the
 * first-level cache; a few rows by their inner products.
 */

/* ---- products ---- */

/* rows x (vecs * VW) of C; rows and vecs are constants at every call, so the accumulators stay in
 * registers. */
ALWAYS_INLINE void tile(const size_t rows, const size_t vecs, float *c, size_t ldc, const float *a,
                        size_t a_row, size_t a_col, const float *b, size_t ldb, size_t k,
                        float alpha, bool accumulate)
{
    vec sum[TILE_ROWS][TILE_VECS];
    size_t i, j, p;

#pragma GCC unroll 8
    for (i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (j = 0; j < vecs; j++)
            sum[i][j] = (vec){0};
    for (p = 0; p < k; p++) {
        const float *bp = b + p * ldb, *ap = a + p * a_col;
        vec bv[TILE_VECS];

#pragma GCC unroll 2
        for (j = 0; j < vecs; j++)
            bv[j] = *(const vec *)(bp + j * VW);
#pragma GCC unroll 8
        for (i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (j = 0; j < vecs; j++)
                sum[i][j] += ap[i * a_row] * bv[j];
    }
#pragma GCC unroll 8
    for (i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (j = 0; j < vecs; j++) {
            vec *out = (vec *)(c + i * ldc + j * VW);
            *out = accumulate ? *out + alpha * sum[i][j] : alpha * sum[i][j];
        }
}

ALWAYS_INLINE void tile_columns(const size_t vecs, float *c, size_t ldc, const float *a,
                                size_t a_row, size_t a_col, const float *b, size_t ldb, size_t m,
                                size_t k, float alpha, bool accumulate)
{
    size_t i = 0;

    for (; i + TILE_ROWS <= m; i += TILE_ROWS)
        tile(TILE_ROWS, vecs, c + i * ldc, ldc, a + i * a_row, a_row, a_col, b, ldb, k, alpha,
             accumulate);
    for (; i + 4 <= m; i += 4)
        tile(4, vecs, c + i * ldc, ldc, a + i * a_row, a_row, a_col, b, ldb, k, alpha, accumulate);
    for (; i < m; i++)
        tile(1, vecs, c + i * ldc, ldc, a + i * a_row, a_row, a_col, b, ldb, k, alpha, accumulate);
}

/* The last n < VW columns. */
static void tile_tail(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                      const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                      bool accumulate)
{
    size_t i, j, p;

    for (i = 0; i < m; i++) {
        float sum[VW] = {0};

        for (p = 0; p < k; p++)
            for (j = 0; j < n; j++)
                sum[j] += a[i * a_row + p * a_col] * b[p * ldb + j];
        for (j = 0; j < n; j++)
            c[i * ldc + j] = alpha * sum[j] + (accumulate ? c[i * ldc + j] : 0.0f);
    }
}

static void impl_tile_gemm(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                           const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                           bool accumulate)
{
    size_t j = 0;

    for (; j + TILE_VECS * VW <= n; j += TILE_VECS * VW)
        tile_columns(TILE_VECS, c + j, ldc, a, a_row, a_col, b + j, ldb, m, k, alpha, accumulate);
    for (; j + VW <= n; j += VW)
        tile_columns(1, c + j, ldc, a, a_row, a_col, b + j, ldb, m, k, alpha, accumulate);
    if (j < n)
        tile_tail(c + j, ldc, a, a_row, a_col, b + j, ldb, m, n - j, k, alpha, accumulate);
}

/* ---- packed products: C = A B in panels of B that stay in the first-level cache ---- */

/* The first and the second halves of a and b, element by element in turn. */
#if VW == 16
#define ZIP_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VW == 8
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* A block of VW x VW: zipping row i with row i + VW / 2, log2(VW) times, transposes it. */
ALWAYS_INLINE void transpose_block(float *out, size_t ldo, const float *x, size_t ldx)
{
    vec rows[VW], next[VW];
    size_t i, stage;

#pragma GCC unroll 16
    for (i = 0; i < VW; i++)
        rows[i] = *(const vec *)(x + i * ldx);
#pragma GCC unroll 4
    for (stage = 1; stage < VW; stage *= 2) {
#pragma GCC unroll 8
        for (i = 0; i < VW / 2; i++) {
            next[2 * i] = ZIP_LOW(rows[i], rows[i + VW / 2]);
            next[2 * i + 1] = ZIP_HIGH(rows[i], rows[i + VW / 2]);
        }
#pragma GCC unroll 16
        for (i = 0; i < VW; i++)
            rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (i = 0; i < VW; i++)
        *(vec *)(out + i * ldo) = rows[i];
}

static void impl_transpose(float *out, size_t ldo, const float *x, size_t ldx, size_t rows,
                           size_t cols)
{
    size_t r = 0, c, i;

    for (; r + VW <= rows; r += VW) {
        for (c = 0; c + VW <= cols; c += VW)
            transpose_block(out + c * ldo + r, ldo, x + r * ldx + c, ldx);
        for (; c < cols; c++)
            for (i = r; i < r + VW; i++)
                out[c * ldo + i] = x[i * ldx + c];
    }
    for (; r < rows; r++)
        for (c = 0; c < cols; c++)
            out[c * ldo + r] = x[r * ldx + c];
}

#define PANEL (TILE_VECS * VW)
#define PACK_K 256 /* rows of a panel */

/* out[p * PANEL + j] = element (p, j) of B, zero for j >= n. */
static void pack_panel(float *restrict out, const float *b, size_t b_row, size_t b_col, size_t k,
                       size_t n)
{
    size_t p, j;

    if (b_col == 1 && n == PANEL) {
        for (p = 0; p < k; p++)
            memcpy(out + p * PANEL, b + p * b_row, PANEL * sizeof(*out));
        return;
    }
    if (n < PANEL)
        memset(out, 0, k * PANEL * sizeof(*out));
    if (b_col == 1) {
        for (p = 0; p < k; p++)
            memcpy(out + p * PANEL, b + p * b_row, n * sizeof(*out));
        return;
    }
    if (b_row == 1) {
        impl_transpose(out, PANEL, b, b_col, n, k);
        return;
    }
    for (p = 0; p < k; p++)
        for (j = 0; j < n; j++)
            out[p * PANEL + j] = b[p * b_row + j * b_col];
}

/* A panel of n < PANEL columns of C, through a block of full width. */
static void edge_columns(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                         const float *panel, size_t m, size_t n, size_t k, float alpha,
                         bool accumulate)
{
    float block[TILE_ROWS * PANEL];
    size_t i, r, j;

    for (i = 0; i < m; i += TILE_ROWS) {
        size_t rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;

        if (n > VW)
            tile_columns(2, block, PANEL, a + i * a_row, a_row, a_col, panel, PANEL, rows, k, alpha,
                         false);
        else
            tile_columns(1, block, PANEL, a + i * a_row, a_row, a_col, panel, PANEL, rows, k, alpha,
                         false);
        for (r = 0; r < rows; r++)
            for (j = 0; j < n; j++)
                c[(i + r) * ldc + j] =
                    block[r * PANEL + j] + (accumulate ? c[(i + r) * ldc + j] : 0.0f);
    }
}

/* One block of rows of A, k <= PACK_K, against all of B. */
static void gemm_block(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                       const float *b, size_t b_row, size_t b_col, size_t m, size_t n, size_t k,
                       float alpha, bool accumulate)
{
    float panel[PACK_K * PANEL] __attribute__((aligned(64)));
    size_t j;

    for (j = 0; j < n; j += PANEL) {
        size_t columns = n - j < PANEL ? n - j : PANEL;
        const float *from = b + j * b_col;

        if (columns == PANEL && b_col == 1 && m < 4 * TILE_ROWS) { /* not worth a copy */
            tile_columns(TILE_VECS, c + j, ldc, a, a_row, a_col, from, b_row, m, k, alpha,
                         accumulate);
            continue;
        }
        pack_panel(panel, from, b_row, b_col, k, columns);
        if (columns == PANEL)
            tile_columns(TILE_VECS, c + j, ldc, a, a_row, a_col, panel, PANEL, m, k, alpha,
                         accumulate);
        else
            edge_columns(c + j, ldc, a, a_row, a_col, panel, m, columns, k, alpha, accumulate);
    }
}

static void impl_gemm(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                      const float *b, size_t b_row, size_t b_col, size_t m, size_t n, size_t k,
                      float alpha, bool accumulate)
{
    size_t p;

    for (p = 0; p < k || p == 0; p += PACK_K) {
        size_t depth = k - p < PACK_K ? k - p : PACK_K;

        gemm_block(c, ldc, a + p * a_col, a_row, a_col, b + p * b_row, b_row, b_col, m, n, depth,
                   alpha, accumulate || p > 0);
    }
}

/* xs rows of x against ws rows of w: every row of w is read once for all of x. */
ALWAYS_INLINE void linear_block(const size_t xs, const size_t ws, float *y, const float *x,
                                const float *w, const float *bias, size_t in, size_t out)
{
    vec sum[4][4];
    size_t i, j, p = 0;

#pragma GCC unroll 4
    for (i = 0; i < xs; i++)
#pragma GCC unroll 4
        for (j = 0; j < ws; j++)
            sum[i][j] = (vec){0};
    for (; p + VW <= in; p += VW) {
        vec wv[4];

#pragma GCC unroll 4
        for (j = 0; j < ws; j++)
            wv[j] = *(const vec *)(w + j * in + p);
#pragma GCC unroll 4
        for (i = 0; i < xs; i++)
#pragma GCC unroll 4
            for (j = 0; j < ws; j++)
                sum[i][j] += *(const vec *)(x + i * in + p) * wv[j];
    }
#pragma GCC unroll 4
    for (i = 0; i < xs; i++)
#pragma GCC unroll 4
        for (j = 0; j < ws; j++) {
            float s = vec_sum(sum[i][j]);
            size_t q;

            for (q = p; q < in; q++)
                s += x[i * in + q] * w[j * in + q];
            y[i * out + j] = s + (bias ? bias[j] : 0.0f);
        }
}

#define W_BLOCK (VW == 16 ? 4 : 2)

ALWAYS_INLINE void linear_rows(const size_t xs, float *y, const float *x, const float *w,
                               const float *bias, size_t in, size_t out)
{
    size_t j = 0;

    for (; j + W_BLOCK <= out; j += W_BLOCK)
        linear_block(xs, W_BLOCK, y + j, x, w + j * in, bias ? bias + j : NULL, in, out);
    for (; j < out; j++)
        linear_block(xs, 1, y + j, x, w + j * in, bias ? bias + j : NULL, in, out);
}

static void impl_linear_few(float *y, const float *x, const float *w, const float *bias, size_t n,
                            size_t in, size_t out)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        linear_rows(4, y + i * out, x + i * in, w, bias, in, out);
    for (; i + 2 <= n; i += 2)
        linear_rows(2, y + i * out, x + i * in, w, bias, in, out);
    for (; i < n; i++)
        linear_rows(1, y + i * out, x + i * in, w, bias, in, out);
}

typedef int16_t rounded __attribute__((vector_size(VW * 2), aligned(2), may_alias));

/* `rows` rows of w, a constant where this is inlined. */
ALWAYS_INLINE void rounded_rows(float *y, const float *x, const int16_t *w, const float *scale,
                              size_t in, const size_t rows)
{
    vec sum[4];
    size_t i = 0, r, q;

#pragma GCC unroll 4
    for (r = 0; r < rows; r++)
        sum[r] = (vec){0};
    for (; i + VW <= in; i += VW)
#pragma GCC unroll 4
        for (r = 0; r < rows; r++)
            sum[r] += *(const vec *)(x + i) *
                      __builtin_convertvector(*(const rounded *)(w + r * in + i), vec);
#pragma GCC unroll 4
    for (r = 0; r < rows; r++) {
        float s = vec_sum(sum[r]);

        for (q = i; q < in; q++)
            s += x[q] * (float)w[r * in + q];
        y[r] = s * scale[r];
    }
}

static void impl_rounded_products(float *y, const float *x, const int16_t *w, const float *scale,
                                size_t in, size_t out)
{
    size_t j = 0;

    for (; j + 4 <= out; j += 4)
        rounded_rows(y + j, x, w + j * in, scale + j, in, 4);
    for (; j < out; j++)
        rounded_rows(y + j, x, w + j * in, scale + j, in, 1);
}
