/*
 * The bodies of columns.h: included by simd_impl.h, which says how they are compiled.
 *
 * A product's tile of COLUMNS_ROWS outputs by up to COLUMNS_VECS vectors of columns stays in
 * registers while `in` runs; weights are broadcast from their panel.
 */
#include "common/math/columns.h"

#define COLUMNS_VECS 3
#if VW == 16
#define COLUMNS_ROWS 8
#else
#define COLUMNS_ROWS 4 /* of 16 registers */
#endif

static void impl_columns_gather(float *x, size_t ldx, const float *const *cases, size_t features)
{
    float block[VW * VW];
    size_t f = 0, c, i;

    for (; f + VW <= features; f += VW)
        for (c = 0; c < LCF_COLUMNS; c += VW) {
#pragma GCC unroll 16
            for (i = 0; i < VW; i++)
                *(vec *)(block + i * VW) = *(const vec *)(cases[c + i] + f);
            transpose_block(x + f * ldx + c, ldx, block, VW);
        }
    for (; f < features; f++)
        for (c = 0; c < LCF_COLUMNS; c++)
            x[f * ldx + c] = cases[c][f];
}

static void impl_columns_scatter(float *const *cases, const float *x, size_t ldx, size_t features)
{
    float block[VW * VW];
    size_t f = 0, c, i;

    for (; f + VW <= features; f += VW)
        for (c = 0; c < LCF_COLUMNS; c += VW) {
            transpose_block(block, VW, x + f * ldx + c, ldx);
#pragma GCC unroll 16
            for (i = 0; i < VW; i++)
                *(vec *)(cases[c + i] + f) = *(const vec *)(block + i * VW);
        }
    for (; f < features; f++)
        for (c = 0; c < LCF_COLUMNS; c++)
            cases[c][f] = x[f * ldx + c];
}

/* The first `kept` outputs of a tile; `vecs` is a constant where this is inlined. */
ALWAYS_INLINE void columns_tile(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                                size_t in, size_t kept, const size_t vecs, bool add)
{
    vec sum[COLUMNS_ROWS][COLUMNS_VECS];
    size_t i, r, v;

    for (r = 0; r < COLUMNS_ROWS; r++)
        for (v = 0; v < vecs; v++)
            sum[r][v] = (vec){0};
    for (i = 0; i < in; i++) {
        vec xv[COLUMNS_VECS];

        for (v = 0; v < vecs; v++)
            xv[v] = *(const vec *)(x + i * ldx + v * VW);
        for (r = 0; r < COLUMNS_ROWS; r++)
            for (v = 0; v < vecs; v++)
                sum[r][v] += w[i * LCF_COLUMNS_OUT + r] * xv[v];
    }
#pragma GCC unroll 8
    for (r = 0; r < COLUMNS_ROWS; r++) {
        if (r == kept)
            return;
#pragma GCC unroll 3
        for (v = 0; v < vecs; v++) {
            vec *to = (vec *)(y + r * ldy + v * VW);

            if (add)
                sum[r][v] += *to;
            *to = sum[r][v];
        }
    }
}

/* All outputs of some columns: their part of x stays in the first-level cache. */
ALWAYS_INLINE void columns_block(float *y, size_t ldy, const float *x, size_t ldx,
                                 const float *packed, size_t in, size_t out, const size_t vecs,
                                 bool add)
{
    size_t o;

    for (o = 0; o < out; o += COLUMNS_ROWS) {
        const float *w = packed + o / LCF_COLUMNS_OUT * LCF_COLUMNS_OUT * in + o % LCF_COLUMNS_OUT;

        columns_tile(y + o * ldy, ldy, x, ldx, w, in, out - o, vecs, add);
    }
}

static void impl_columns_linear(float *y, size_t ldy, const float *x, size_t ldx,
                                const float *packed, size_t n, size_t in, size_t out, bool add)
{
    size_t c = 0;

    for (; c + 3 * VW <= n; c += 3 * VW)
        columns_block(y + c, ldy, x + c, ldx, packed, in, out, 3, add);
    if (c + 2 * VW <= n)
        columns_block(y + c, ldy, x + c, ldx, packed, in, out, 2, add);
    else if (c < n)
        columns_block(y + c, ldy, x + c, ldx, packed, in, out, 1, add);
}

ALWAYS_INLINE vec vec_inverse_root(vec v)
{
    float x[VW];
    size_t i;

    *(vec *)x = v;
#pragma omp simd
    for (i = 0; i < VW; i++)
        x[i] = 1.0f / sqrtf(x[i]);
    return *(const vec *)x;
}

static void impl_columns_rmsnorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                                 size_t features, size_t n, float eps)
{
    const float share = 1.0f / (float)features;
    size_t c, i;

    for (c = 0; c < n; c += VW) {
        vec even = {0}, odd = {0};

        for (i = 0; i + 1 < features; i += 2) {
            const vec a = *(const vec *)(x + i * ldx + c),
                      b = *(const vec *)(x + i * ldx + ldx + c);

            even += a * a;
            odd += b * b;
        }
        for (; i < features; i++)
            even += *(const vec *)(x + i * ldx + c) * *(const vec *)(x + i * ldx + c);
        even = vec_inverse_root((even + odd) * share + eps);
        for (i = 0; i < features; i++)
            *(vec *)(y + i * ldy + c) = *(const vec *)(x + i * ldx + c) * even * w[i];
    }
}

static void impl_columns_rope(float *x, size_t ldx, const float *cos_sin,
                              const lcf_columns_shape *s, float scale)
{
    size_t t, i, c, h;

    for (h = 0; h < s->heads; h++)
        for (i = 0; i < s->head_dim; i += 2) {
            float *a = x + (h * s->head_dim + i) * ldx, *b = a + ldx;

            for (t = s->begin; t < s->end; t++) {
                const float cosine = cos_sin[t * s->head_dim + i] * scale;
                const float sine = cos_sin[t * s->head_dim + i + 1] * scale;

                for (c = 0; c < LCF_COLUMNS; c += VW, a += VW, b += VW) {
                    const vec first = *(const vec *)a, second = *(const vec *)b;

                    *(vec *)a = first * cosine - second * sine;
                    *(vec *)b = second * cosine + first * sine;
                }
            }
        }
}

/* e^x for x <= 0, as exp_one. */
ALWAYS_INLINE vec vec_exp(vec x)
{
    const float magic = 12582912.0f;
    ivec tiny = x < -87.0f;
    vec shifted, n, r, y;

    x = (vec)(((ivec)x & ~tiny) | ((ivec)((vec){0} - 87.0f) & tiny));
    shifted = x * 1.44269504088896341f + magic;
    n = shifted - magic;
    r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    y = y * (vec)(((ivec)shifted << 23) + 0x3f800000);
    return (vec)((ivec)y & ~tiny);
}

ALWAYS_INLINE vec vec_larger(vec a, vec b)
{
    return (vec)(((ivec)a & (a > b)) | ((ivec)b & ~(a > b)));
}

/* Weights of VW cases for tokens 0 .. n: e^(score - the largest) in `scores`, LCF_COLUMNS floats
 * from token to token, as in k. Returns 1 / their sum. */
ALWAYS_INLINE vec columns_weights(float *scores, const float *q, size_t ldq, const float *k,
                                  size_t ldk, size_t n, size_t head_dim)
{
    vec best = {0}, sum = {0};
    size_t j, d, u;

    for (j = 0; j + 4 <= n; j += 4) {
        vec s[4] = {{0}, {0}, {0}, {0}};

        for (d = 0; d < head_dim; d++)
#pragma GCC unroll 4
            for (u = 0; u < 4; u++)
                s[u] += *(const vec *)(q + d * ldq) *
                        *(const vec *)(k + d * ldk + (j + u) * LCF_COLUMNS);
#pragma GCC unroll 4
        for (u = 0; u < 4; u++) {
            *(vec *)(scores + (j + u) * LCF_COLUMNS) = s[u];
            best = j + u ? vec_larger(s[u], best) : s[u];
        }
    }
    for (; j < n; j++) {
        vec s = {0};

        for (d = 0; d < head_dim; d++)
            s += *(const vec *)(q + d * ldq) * *(const vec *)(k + d * ldk + j * LCF_COLUMNS);
        *(vec *)(scores + j * LCF_COLUMNS) = s;
        best = j ? vec_larger(s, best) : s;
    }
    for (j = 0; j < n; j++) {
        vec *at = (vec *)(scores + j * LCF_COLUMNS);

        *at = vec_exp(*at - best);
        sum += *at;
    }
    return 1.0f / sum;
}

/* `rows` rows of the weighed values, a constant where this is inlined. */
ALWAYS_INLINE void columns_mix(float *out, size_t ldo, const float *weights, const float *v,
                               size_t ldv, size_t n, vec inverse, const size_t rows)
{
    vec sum[8];
    size_t j, r;

#pragma GCC unroll 8
    for (r = 0; r < rows; r++)
        sum[r] = (vec){0};
    for (j = 0; j < n; j++)
#pragma GCC unroll 8
        for (r = 0; r < rows; r++)
            sum[r] += *(const vec *)(weights + j * LCF_COLUMNS) *
                      *(const vec *)(v + r * ldv + j * LCF_COLUMNS);
#pragma GCC unroll 8
    for (r = 0; r < rows; r++)
        *(vec *)(out + r * ldo) = sum[r] * inverse;
}

static void impl_columns_attend(float *out, size_t ldo, const float *q, size_t ldq, const float *k,
                                size_t ldk, const float *v, size_t ldv, const lcf_columns_shape *s,
                                size_t width, bool whole, float *scratch)
{
    size_t t, h, c, r;

    for (h = 0; h < s->heads; h++) {
        const float *values = v + (whole ? 0 : h * width * ldv);

        for (t = s->begin; t < s->end; t++)
            for (c = 0; c < LCF_COLUMNS; c += VW) {
                const size_t at = (t - s->begin) * LCF_COLUMNS + c;
                float *to = out + h * width * ldo + at;
                const vec inverse =
                    columns_weights(scratch, q + h * s->head_dim * ldq + at, ldq,
                                    k + h * s->head_dim * ldk + c, ldk, t + 1, s->head_dim);

                for (r = 0; r + 8 <= width; r += 8)
                    columns_mix(to + r * ldo, ldo, scratch, values + r * ldv + c, ldv, t + 1,
                                inverse, 8);
                for (; r < width; r++)
                    columns_mix(to + r * ldo, ldo, scratch, values + r * ldv + c, ldv, t + 1,
                                inverse, 1);
            }
    }
}
