/* The naive twins; see reference.h. */
#include "common/math/reference.h"

#include <math.h>

void lcf_ref_gemm(float *c, const float *a, const float *b, bool transpose_a, bool transpose_b,
                  size_t m, size_t n, size_t k, float alpha, float beta, size_t lda, size_t ldb,
                  size_t ldc)
{
    size_t i, j, p;

    for (i = 0; i < m; i++)
        for (j = 0; j < n; j++) {
            double sum = 0;

            for (p = 0; p < k; p++)
                sum += (double)(transpose_a ? a[p * lda + i] : a[i * lda + p]) *
                       (transpose_b ? b[j * ldb + p] : b[p * ldb + j]);
            c[i * ldc + j] =
                (float)(alpha * sum + (beta != 0.0f ? (double)beta * c[i * ldc + j] : 0.0));
        }
}

void lcf_ref_linear(float *y, const float *x, const float *w, const float *bias, size_t n,
                    size_t in, size_t out)
{
    size_t i, j, p;

    for (i = 0; i < n; i++)
        for (j = 0; j < out; j++) {
            double sum = bias ? bias[j] : 0;

            for (p = 0; p < in; p++)
                sum += (double)x[i * in + p] * w[j * in + p];
            y[i * out + j] = (float)sum;
        }
}

float lcf_ref_dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return (float)sum;
}

void lcf_ref_axpy(float *y, float a, const float *x, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        y[i] = y[i] + a * x[i];
}

void lcf_ref_square_sums(double *sums, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i % LCF_SQUARE_SUMS] += (double)x[i] * (double)x[i];
}

void lcf_ref_hamming(uint32_t *out, const uint8_t *code, const uint8_t *codes, size_t n,
                     size_t bytes)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t bit = 0; bit < 8 * bytes; bit++)
            out[i] += (unsigned)(code[bit / 8] ^ codes[i * bytes + bit / 8]) >> bit % 8 & 1;
    }
}

void lcf_ref_csr_multiply_add(float *y, const lcf_csr *a, const float *x, const float *z, size_t d)
{
    for (size_t i = 0; i < a->rows_n; i++)
        for (size_t j = 0; j < d; j++) {
            double sum = x[i * d + j];

            for (uint32_t e = a->begin[i]; e < a->begin[i + 1]; e++)
                sum += (double)a->value[e] * z[a->column[e] * d + j];
            y[i * d + j] = (float)sum;
        }
}

void lcf_ref_softmax(float *x, size_t rows, size_t n)
{
    size_t row, i;

    for (row = 0; row < rows; row++, x += n) {
        double max = -INFINITY, sum = 0;

        for (i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
        for (i = 0; i < n; i++)
            sum += exp(x[i] - max);
        for (i = 0; i < n; i++)
            x[i] = (float)(exp(x[i] - max) / sum);
    }
}

static double rms_inverse(const float *x, size_t n, float eps)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return 1.0 / sqrt(sum / (double)n + eps);
}

void lcf_ref_rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++) {
        double r = rms_inverse(x + row * n, n, eps);

        for (i = 0; i < n; i++)
            y[row * n + i] = (float)(x[row * n + i] * r * w[i]);
    }
}

/* The normalised value i of a row, and in *inverse 1 / its standard deviation. */
static double layer_normalised(double *inverse, const float *x, size_t i, size_t n, float eps)
{
    double mean = 0, square = 0;
    size_t j;

    for (j = 0; j < n; j++)
        mean += (double)x[j] / (double)n;
    for (j = 0; j < n; j++)
        square += (x[j] - mean) * (x[j] - mean);
    *inverse = 1.0 / sqrt(square / (double)n + eps);
    return (x[i] - mean) * *inverse;
}

void lcf_ref_gelu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(0.5 * x[i] * (1.0 + erf(x[i] * 0.70710678118654752)));
}

void lcf_ref_gelu_backward(float *dx, const float *dy, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double cdf = 0.5 * (1.0 + erf(x[i] * 0.70710678118654752));
        const double density = 0.39894228040143268 * exp(-0.5 * (double)x[i] * x[i]);

        dx[i] += (float)(dy[i] * (cdf + x[i] * density));
    }
}

void lcf_ref_layernorm(float *y, const float *x, const float *w, const float *bias, size_t rows,
                       size_t n, float eps)
{
    double inverse;
    size_t row, i;

    for (row = 0; row < rows; row++)
        for (i = 0; i < n; i++)
            y[row * n + i] =
                (float)(layer_normalised(&inverse, x + row * n, i, n, eps) * w[i] + bias[i]);
}

/* A bijection of 32 bits. */
static uint64_t hash(uint64_t x)
{
    x = (x ^ x / 65536) * 0x7feb352du % 4294967296u;
    x = (x ^ x / 32768) * 0x846ca68bu % 4294967296u;
    return x ^ x / 65536;
}

void lcf_ref_dropout(float *y, const float *x, size_t n, uint64_t key, uint32_t first, double p)
{
    size_t i;

    for (i = 0; i < n; i++) {
        uint64_t counter = (uint32_t)(first + i) ^ (uint32_t)key;
        uint64_t lot = hash((hash(counter) + (key >> 32)) % 4294967296u);

        y[i] = (double)lot / 4294967296.0 < p ? 0.0f : (float)(x[i] / (1 - p));
    }
}

void lcf_ref_swiglu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        y[i] = (float)(gate[i] / (1.0 + exp(-(double)gate[i])) * up[i]);
}

void lcf_ref_rope(float *x, size_t heads, size_t head_dim, size_t position, float theta)
{
    size_t h, i;

    for (h = 0; h < heads; h++, x += head_dim)
        for (i = 0; i + 1 < head_dim; i += 2) {
            double angle = (double)position * pow(theta, -(double)i / (double)head_dim);
            double a = x[i], b = x[i + 1];

            x[i] = (float)(a * cos(angle) - b * sin(angle));
            x[i + 1] = (float)(a * sin(angle) + b * cos(angle));
        }
}

void lcf_ref_normalize(float *x, size_t n)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    for (i = 0; i < n && sum > 0; i++)
        x[i] = (float)(x[i] / sqrt(sum));
}

void lcf_ref_exp(float *y, const float *x, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        y[i] = (float)exp(x[i]);
}

void lcf_ref_sigmoid(float *y, const float *x, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        y[i] = (float)(1.0 / (1.0 + exp(-(double)x[i])));
}

void lcf_ref_tanh(float *y, const float *x, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        y[i] = (float)tanh(x[i]);
}

void lcf_ref_relu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* ---- attention ---- */

static const float *head_row(const float *x, size_t batch, size_t i, size_t t, size_t heads,
                             size_t head, size_t head_dim)
{
    return x + ((batch * t + i) * heads + head) * head_dim;
}

static bool sees(const lcf_attention_shape *s, size_t batch, size_t i, size_t j)
{
    const uint32_t *segments = s->segments ? s->segments + batch * s->t : NULL;

    return j <= i && (!segments || segments[i] == segments[j]);
}

/* Probability that token i of a head gives to token j. */
static double probability(const float *q, const float *k, const lcf_attention_shape *s,
                          size_t batch, size_t head, size_t i, size_t j)
{
    size_t kv = head / (s->heads / s->kv_heads), other;
    const float *qi = head_row(q, batch, i, s->t, s->heads, head, s->head_dim);
    double sum = 0, own = 0;

    if (!sees(s, batch, i, j))
        return 0;
    for (other = 0; other <= i; other++) {
        const float *ko = head_row(k, batch, other, s->t, s->kv_heads, kv, s->head_dim);
        double e, score = 0;
        size_t d;

        for (d = 0; d < s->head_dim; d++)
            score += (double)qi[d] * ko[d];
        e = sees(s, batch, i, other) ? exp(score / sqrt((double)s->head_dim)) : 0;
        sum += e;
        own = other == j ? e : own;
    }
    return own / sum;
}

void lcf_ref_attention(float *out, const float *q, const float *k, const float *v,
                       const lcf_attention_shape *s)
{
    size_t batch, head, i, j, d;

    for (batch = 0; batch < s->batch; batch++)
        for (head = 0; head < s->heads; head++)
            for (i = 0; i < s->t; i++) {
                size_t kv = head / (s->heads / s->kv_heads);
                float *o = out + ((batch * s->t + i) * s->heads + head) * s->head_dim;

                for (d = 0; d < s->head_dim; d++)
                    o[d] = 0;
                for (j = 0; j <= i; j++) {
                    double p = probability(q, k, s, batch, head, i, j);
                    const float *vj = head_row(v, batch, j, s->t, s->kv_heads, kv, s->head_dim);

                    for (d = 0; d < s->head_dim; d++)
                        o[d] += (float)(p * vj[d]);
                }
            }
}

/* The gradient that row i of one head hands on. */
static void attention_row_backward(float *dq, float *dk, float *dv, const float *dout,
                                   const float *q, const float *k, const float *v,
                                   const lcf_attention_shape *s, size_t batch, size_t head,
                                   size_t i)
{
    size_t kv = head / (s->heads / s->kv_heads), j, d, qi, hd = s->head_dim;
    double mean = 0;
    int pass;

    qi = ((batch * s->t + i) * s->heads + head) * hd;
    for (pass = 0; pass < 2; pass++)
        for (j = 0; j <= i; j++) {
            size_t kj = ((batch * s->t + j) * s->kv_heads + kv) * hd;
            double p = probability(q, k, s, batch, head, i, j), dp = 0, ds;

            for (d = 0; d < hd; d++)
                dp += (double)dout[qi + d] * v[kj + d];
            if (pass == 0) {
                mean += p * dp;
                continue;
            }
            ds = p * (dp - mean) / sqrt((double)hd);
            for (d = 0; d < hd; d++) {
                dq[qi + d] += (float)(ds * k[kj + d]);
                dk[kj + d] += (float)(ds * q[qi + d]);
                dv[kj + d] += (float)(p * dout[qi + d]);
            }
        }
}

void lcf_ref_attention_backward(float *dq, float *dk, float *dv, const float *dout, const float *q,
                                const float *k, const float *v, const lcf_attention_shape *s)
{
    size_t batch, head, i;

    for (batch = 0; batch < s->batch; batch++)
        for (head = 0; head < s->heads; head++)
            for (i = 0; i < s->t; i++)
                attention_row_backward(dq, dk, dv, dout, q, k, v, s, batch, head, i);
}

/* ---- other backward kernels ---- */

void lcf_ref_bias_backward(float *db, float *dy, const float *y, size_t rows, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        double sum = 0;

        for (size_t i = j; i < rows * n; i += n) {
            if (y && !(y[i] > 0.0f))
                dy[i] = 0.0f;
            sum += (double)dy[i];
        }
        if (db)
            db[j] += (float)sum;
    }
}

void lcf_ref_rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w,
                              size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++) {
        const float *xr = x + row * n, *dyr = dy + row * n;
        double r = rms_inverse(xr, n, eps), sum = 0;

        for (i = 0; i < n; i++)
            sum += (double)dyr[i] * w[i] * xr[i];
        for (i = 0; i < n; i++) {
            dx[row * n + i] += (float)(dyr[i] * w[i] * r - xr[i] * sum * r * r * r / (double)n);
            dw[i] += (float)(dyr[i] * xr[i] * r);
        }
    }
}

void lcf_ref_layernorm_backward(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                                const float *w, size_t rows, size_t n, float eps)
{
    size_t row, i;

    for (row = 0; row < rows; row++) {
        const float *xr = x + row * n, *dyr = dy + row * n;
        double sum = 0, product = 0, inverse, hat;

        for (i = 0; i < n; i++) {
            hat = layer_normalised(&inverse, xr, i, n, eps);
            sum += (double)dyr[i] * w[i] / (double)n;
            product += (double)dyr[i] * w[i] * hat / (double)n;
        }
        for (i = 0; i < n; i++) {
            hat = layer_normalised(&inverse, xr, i, n, eps);
            dx[row * n + i] += (float)(inverse * ((double)dyr[i] * w[i] - sum - hat * product));
            dw[i] += (float)(dyr[i] * hat);
            dbias[i] += dyr[i];
        }
    }
}

void lcf_ref_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                             const float *up, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        double s = 1.0 / (1.0 + exp(-(double)gate[i]));

        dgate[i] += (float)(dy[i] * up[i] * (s + gate[i] * s * (1.0 - s)));
        dup[i] += (float)(dy[i] * gate[i] * s);
    }
}

float lcf_ref_cross_entropy(float *grad, const float *logits, size_t target, size_t n, float scale)
{
    double max = -INFINITY, sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (i = 0; i < n; i++)
        sum += exp(logits[i] - max);
    for (i = 0; i < n && grad; i++)
        grad[i] = (float)(scale * (exp(logits[i] - max) / sum - (i == target ? 1.0 : 0.0)));
    return (float)(max + log(sum) - logits[target]);
}

void lcf_ref_adam_kernel(float *values, float *m, float *v, const float *grad, size_t n,
                         const lcf_adam_scalars *s)
{
    size_t i;

    for (i = 0; i < n; i++) {
        float value = values[i] * s->shrink;
        float g = grad[i] * s->grad_scale + s->l2 * value;

        m[i] = m[i] * s->beta1 + g * s->one_minus_beta1;
        v[i] = v[i] * s->beta2 + s->one_minus_beta2 * g * g;
        values[i] = value - s->step_size * m[i] / (sqrtf(v[i]) / s->root_bias2 + s->eps);
    }
}
