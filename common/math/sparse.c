/* Sparse products: see sparse.h. */
#include "common/math/sparse.h"

#include "common/math/simd.h"

#include <string.h>

void lcf_csr_multiply_add(float *y, const lcf_csr *a, const float *x, const float *z, size_t d)
{
    lcf_simd_get()->csr_multiply_add(y, a, x, z, d);
}

float *lcf_bipartite_propagate(float *a, float *b, const lcf_bipartite *graph, const float *left,
                               const float *right, size_t d, size_t layers_n)
{
    const size_t left_n = graph->by_left.rows_n * d, n = left_n + graph->by_right.rows_n * d;
    const float *now_left = left, *now_right = right;
    const float share = 1.0f / (float)(layers_n + 1);

    memcpy(a, left, left_n * sizeof(*a));
    memcpy(a + left_n, right, (n - left_n) * sizeof(*a));
    /* The sum of the layers by Horner's rule: x + A (x + A (x + ...)). */
    for (size_t layer = 0; layer < layers_n; layer++) {
        float *last = a;

        if (layer) {
            a = b;
            b = last;
        }
        lcf_csr_multiply_add(a, &graph->by_left, left, now_right, d);
        lcf_csr_multiply_add(a + left_n, &graph->by_right, right, now_left, d);
        now_left = a;
        now_right = a + left_n;
    }
    for (size_t i = 0; i < n; i++)
        a[i] *= share;
    return a;
}
