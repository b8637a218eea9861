/* Intra-list diversity by text vectors. */
#include "offline/eval/lists/list.h"

#include <math.h>
#include <stdbool.h>

static double inner(const float *a, const float *b, size_t dim)
{
    double sum = 0;

    for (size_t d = 0; d < dim; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

static bool has_text(const float *vector, size_t dim)
{
    for (size_t d = 0; d < dim; d++)
        if (vector[d] != 0)
            return true;
    return false;
}

double lcf_list_diversity(const uint32_t *items, size_t n, const float *vectors, size_t dim)
{
    double sum = 0, pairs = 0;

    for (size_t i = 0; i < n; i++) {
        const float *a = vectors + (size_t)items[i] * dim;
        if (!has_text(a, dim))
            continue;
        for (size_t j = 0; j < i; j++) {
            const float *b = vectors + (size_t)items[j] * dim;
            if (!has_text(b, dim))
                continue;
            sum += 1 - inner(a, b, dim);
            pairs++;
        }
    }
    return pairs > 0 ? sum / pairs : NAN;
}
