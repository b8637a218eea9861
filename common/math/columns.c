/*
 * The dispatch.
 */
#include "common/math/columns.h"

#include "common/math/simd.h"

void lcf_columns_gather(float *x, size_t ldx, const float *const *cases, size_t features)
{
    lcf_simd_get()->columns_gather(x, ldx, cases, features);
}

void lcf_columns_scatter(float *const *cases, const float *x, size_t ldx, size_t features)
{
    lcf_simd_get()->columns_scatter(cases, x, ldx, features);
}

void lcf_columns_linear(float *y, size_t ldy, const float *x, size_t ldx, const float *w, size_t n,
                        size_t in, size_t out, bool add)
{
    lcf_simd_get()->tile_gemm(y, ldy, w, in, 1, x, ldx, out, n, in, 1.0f, add);
}

void lcf_columns_rmsnorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                         size_t features, size_t n, float eps)
{
    lcf_simd_get()->columns_rmsnorm(y, ldy, x, ldx, w, features, n, eps);
}

void lcf_columns_rope(float *x, size_t ldx, const float *cos_sin, const lcf_columns_shape *shape,
                      float scale)
{
    lcf_simd_get()->columns_rope(x, ldx, cos_sin, shape, scale);
}

void lcf_columns_attend(float *out, size_t ldo, const float *q, size_t ldq, const float *k,
                        size_t ldk, const float *v, size_t ldv, const lcf_columns_shape *shape,
                        size_t width, bool whole, float *scratch)
{
    lcf_simd_get()->columns_attend(out, ldo, q, ldq, k, ldk, v, ldv, shape, width, whole, scratch);
}
