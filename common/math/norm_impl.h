/*
 * The bodies of RMSNorm and LayerNorm, forward and backward: included by simd_impl.h, which says
 * how they are compiled.
 */

/* ---- RMSNorm: y = x r w with r = 1 / sqrt(mean(x^2) + eps) ---- */

ALWAYS_INLINE float rms_inverse(const float *x, size_t n, float eps)
{
    float sum = 0;
    size_t i;

#pragma omp simd reduction(+ : sum)
    for (i = 0; i < n; i++)
        sum += x[i] * x[i];
    return 1.0f / sqrtf(sum / (float)n + eps);
}

static void impl_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, y += n) {
        float r = rms_inverse(x, n, eps);

#pragma omp simd
        for (i = 0; i < n; i++)
            y[i] = x[i] * r * w[i];
    }
}

static void impl_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x,
                                  const float *w, size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, dy += n) {
        float r = rms_inverse(x, n, eps), sum = 0, back;

#pragma omp simd reduction(+ : sum)
        for (i = 0; i < n; i++)
            sum += dy[i] * w[i] * x[i];
        back = sum * r * r * r / (float)n;
        if (dx) {
            float *d = dx + row * n;

#pragma omp simd
            for (i = 0; i < n; i++)
                d[i] += dy[i] * w[i] * r - x[i] * back;
        }
        if (dw) {
#pragma omp simd
            for (i = 0; i < n; i++)
                dw[i] += dy[i] * x[i] * r;
        }
    }
}

/* ---- LayerNorm: y = (x - mean) r w + bias with r = 1 / sqrt(variance + eps) ---- */

typedef struct moments {
    float mean, inverse; /* r */
} moments;

ALWAYS_INLINE moments layer_moments(const float *x, size_t n, float eps)
{
    float sum = 0, square = 0, mean;
    size_t i;

#pragma omp simd reduction(+ : sum)
    for (i = 0; i < n; i++)
        sum += x[i];
    mean = sum / (float)n;
#pragma omp simd reduction(+ : square)
    for (i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    return (moments){mean, 1.0f / sqrtf(square / (float)n + eps)};
}

static void impl_layernorm(float *y, const float *x, const float *w, const float *bias, size_t rows,
                           size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, y += n) {
        const moments m = layer_moments(x, n, eps);

#pragma omp simd
        for (i = 0; i < n; i++)
            y[i] = (x[i] - m.mean) * m.inverse * w[i] + bias[i];
    }
}

/* dx += r (g - mean(g) - xhat mean(g xhat)), g = dy w and xhat the normalised row */
static void impl_layernorm_backward(float *dx, float *dw, float *dbias, const float *dy,
                                    const float *x, const float *w, size_t rows, size_t n,
                                    float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n, dy += n) {
        const moments m = layer_moments(x, n, eps);
        float *d = dx ? dx + row * n : NULL, sum = 0, product = 0;

#pragma omp simd reduction(+ : sum, product)
        for (i = 0; i < n; i++) {
            sum += dy[i] * w[i];
            product += dy[i] * w[i] * (x[i] - m.mean) * m.inverse;
        }
        sum /= (float)n;
        product /= (float)n;
#pragma omp simd
        for (i = 0; i < (d ? n : 0); i++)
            d[i] += m.inverse * (dy[i] * w[i] - sum - (x[i] - m.mean) * m.inverse * product);
#pragma omp simd
        for (i = 0; i < (dw ? n : 0); i++)
            dw[i] += dy[i] * (x[i] - m.mean) * m.inverse;
#pragma omp simd
        for (i = 0; i < (dbias ? n : 0); i++)
            dbias[i] += dy[i];
    }
}
