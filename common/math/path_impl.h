/*
 * The bodies of lcf_path_append and lcf_path_attend: included by simd_impl.h, which says how it is
 * compiled.
 *
 * Keys lie transposed, so that the scores of a row against VW tokens are one vector; a head of 16,
 * the usual size, is compiled with its size known.
 */
#include "common/math/path_attention.h"

#if VW == 16
#define SWAP_PAIRS 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define COUNT 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif VW == 8
#define SWAP_PAIRS 1, 0, 3, 2, 5, 4, 7, 6
#define COUNT 0, 1, 2, 3, 4, 5, 6, 7
#else
#define SWAP_PAIRS 1, 0, 3, 2
#define COUNT 0, 1, 2, 3
#endif

/* RoPE of one head by a row of the rotation table, scaled. */
ALWAYS_INLINE void path_rotate(float *to, const float *x, const float *rotation, size_t head_dim,
                               float scale)
{
    const float *sine = rotation + head_dim;
    size_t i = 0;

    for (; i + VW <= head_dim; i += VW) {
        vec a = *(const vec *)(x + i), b = __builtin_shufflevector(a, a, SWAP_PAIRS);

        *(vec *)(to + i) =
            (a * *(const vec *)(rotation + i) + b * *(const vec *)(sine + i)) * scale;
    }
    for (; i < head_dim; i += 2) {
        to[i] = (x[i] * rotation[i] + x[i + 1] * sine[i]) * scale;
        to[i + 1] = (x[i + 1] * rotation[i + 1] + x[i] * sine[i + 1]) * scale;
    }
}

/* The keys of one head, one token after the other. */
ALWAYS_INLINE void path_keys(const lcf_path *path, size_t head, size_t at, const float *k,
                             size_t ld, size_t n, const size_t head_dim)
{
    float *keys = path->keys + head * head_dim * path->lanes + at;
    size_t i, d;

    for (i = 0; i < n; i++) {
        path_rotate(path->scratch, k + i * ld, path->rotation + (at + i) * 2 * head_dim, head_dim,
                    1.0f);
#pragma GCC unroll 16
        for (d = 0; d < head_dim; d++)
            keys[d * path->lanes + i] = path->scratch[d];
    }
}

/* The same for a head of VW among the first VW tokens of a path: all at once, transposed. Lanes
 * behind them, which are not in use, become 0. */
ALWAYS_INLINE void path_keys_block(const lcf_path *path, size_t head, size_t at, const float *k,
                                   size_t ld, size_t n)
{
    float block[VW * VW], turned[VW * VW], *keys = path->keys + head * VW * path->lanes;
    const ivec kept = (ivec){COUNT} < (int32_t)at;
    size_t i;

    for (i = 0; i < at; i++)
        *(vec *)(block + i * VW) = (vec){0};
    for (; i < at + n; i++)
        path_rotate(block + i * VW, k + (i - at) * ld, path->rotation + i * 2 * VW, VW, 1.0f);
    for (; i < VW; i++)
        *(vec *)(block + i * VW) = (vec){0};
    transpose_block(turned, VW, block, VW);
    for (i = 0; i < VW; i++, keys += path->lanes)
        *(vec *)keys = (vec)(((ivec) * (const vec *)keys & kept) |
                             ((ivec) * (const vec *)(turned + i * VW) & ~kept));
}

static void impl_path_append(lcf_path *path, size_t at, const float *k, size_t ldk, const float *v,
                             size_t ldv, size_t n)
{
    const size_t head_dim = path->head_dim, width = path->heads * head_dim;
    size_t i, j, h;

    for (h = 0; h < path->heads; h++) {
        if (head_dim == VW && n > 1 && at + n <= VW)
            path_keys_block(path, h, at, k + h * head_dim, ldk, n);
        else if (head_dim == 16)
            path_keys(path, h, at, k + h * head_dim, ldk, n, 16);
        else
            path_keys(path, h, at, k + h * head_dim, ldk, n, head_dim);
    }
    for (i = 0; i < n; i++) {
        float *to = path->values + (at + i) * width;
        const float *from = v + i * ldv;

        for (j = 0; j + VW <= width; j += VW)
            *(vec *)(to + j) = *(const vec *)(from + j);
        for (; j < width; j++)
            to[j] = from[j];
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

/* The largest element, by halves; one that is NaN may or may not count. */
ALWAYS_INLINE float vec_max(vec v)
{
#if VW == 16
    v = vec_larger(
        v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = vec_larger(
        v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    v = vec_larger(
        v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
#elif VW == 8
    v = vec_larger(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
    v = vec_larger(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
#else
    v = vec_larger(v, __builtin_shufflevector(v, v, 2, 3, 0, 1));
#endif
    return v[0] > v[1] ? v[0] : v[1];
}

/* weights [lanes up to `at`] = e^(score - max), unseen lanes 0; returns 1 / their sum. */
ALWAYS_INLINE float path_weights(float *weights, const float *q, const float *keys, size_t lanes,
                                 size_t at, const size_t head_dim)
{
    const size_t vecs = at / VW + 1;
    const ivec last = (ivec){COUNT} <= (int32_t)(at % VW);
    vec best, sum = {0};
    float max;
    size_t j, d;

    for (j = 0; j < vecs; j++) {
        vec even = {0}, odd = {0};

        for (d = 0; d < head_dim; d += 2) {
            even += q[d] * *(const vec *)(keys + d * lanes + j * VW);
            odd += q[d + 1] * *(const vec *)(keys + (d + 1) * lanes + j * VW);
        }
        even += odd;
        if (j + 1 == vecs)
            even = (vec)(((ivec)even & last) | ((ivec)((vec){0} - INFINITY) & ~last));
        *(vec *)(weights + j * VW) = even;
        best = j ? vec_larger(even, best) : even;
    }
    max = vec_max(best);
    for (j = 0; j < vecs; j++) {
        vec e = vec_exp(*(const vec *)(weights + j * VW) - max);

        *(vec *)(weights + j * VW) = e;
        sum += e;
    }
    return 1.0f / vec_sum(sum);
}

/* out [n] = sum of weights * values, times `scale`. */
ALWAYS_INLINE void path_mix(float *out, const float *weights, const float *values, size_t width,
                            size_t at, float scale, const size_t n)
{
    size_t i = 0, j;

    for (; i + VW <= n; i += VW) {
        vec even = {0}, odd = {0};

        for (j = 0; j + 1 <= at; j += 2) {
            even += weights[j] * *(const vec *)(values + j * width + i);
            odd += weights[j + 1] * *(const vec *)(values + (j + 1) * width + i);
        }
        if (j <= at)
            even += weights[j] * *(const vec *)(values + j * width + i);
        *(vec *)(out + i) = (even + odd) * scale;
    }
    for (; i < n; i++) {
        float sum = 0;

        for (j = 0; j <= at; j++)
            sum += weights[j] * values[j * width + i];
        out[i] = sum * scale;
    }
}

/* A head mixes its own part of the values, or, with `whole`, all of them. */
ALWAYS_INLINE void path_rows(float *out, size_t ldo, const lcf_path *path, size_t at,
                             const float *q, size_t ldq, size_t n, const size_t head_dim,
                             const bool whole)
{
    const size_t width = path->heads * head_dim, mixed = whole ? width : head_dim;
    const float scale = 1.0f / sqrtf((float)head_dim);
    float *rotated = path->scratch, *weights = path->scratch + head_dim;
    size_t i, h;

    for (i = 0; i < n; i++, at++, q += ldq, out += ldo)
        for (h = 0; h < path->heads; h++) {
            float inverse;

            path_rotate(rotated, q + h * head_dim, path->rotation + at * 2 * head_dim, head_dim,
                        scale);
            inverse = path_weights(weights, rotated, path->keys + h * head_dim * path->lanes,
                                   path->lanes, at, head_dim);
            path_mix(out + h * mixed, weights, path->values + (whole ? 0 : h * head_dim), width, at,
                     inverse, mixed);
        }
}

static void impl_path_attend(float *out, size_t ldo, const lcf_path *path, size_t at,
                             const float *q, size_t ldq, size_t n)
{
    if (path->head_dim == 16)
        path_rows(out, ldo, path, at, q, ldq, n, 16, false);
    else
        path_rows(out, ldo, path, at, q, ldq, n, path->head_dim, false);
}

static void impl_path_attend_whole(float *out, const lcf_path *path, size_t at, const float *q)
{
    if (path->head_dim == 16)
        path_rows(out, 0, path, at, q, 0, 1, 16, true);
    else
        path_rows(out, 0, path, at, q, 0, 1, path->head_dim, true);
}
