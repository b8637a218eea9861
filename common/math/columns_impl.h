/*
 * The bodies of columns.h: included by simd_impl.h, which says how they are compiled.
 */
#include "common/math/columns.h"

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

ALWAYS_INLINE vec vec_exp(vec v)
{
    float x[VW];
    size_t i;

    *(vec *)x = v;
#pragma omp simd
    for (i = 0; i < VW; i++)
        x[i] = exp_one(x[i]);
    return *(const vec *)x;
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
