/* Losses: scalars, summed in double in row order; the gradient of the inputs is computed with the
 * loss. */
#include "common/math/kernels.h"
#include "common/nn/tape_internal.h"

#include <math.h>
#include <string.h>

/* d loss / d input, as if d loss / d loss were 1. */
typedef struct loss_note {
    float *grad;
} loss_note;

static void loss_backward(lcf_tape *t, tape_node *node)
{
    const loss_note *note = node->extra;
    lcf_tensor *x = node->in[0];
    float *dx;

    if (!x->grad && node->out->grad[0] == 1.0f) { /* the usual case: hand the memory over */
        x->grad = note->grad;
        return;
    }
    dx = tape_grad_zeroed(t, x);
    if (dx)
        lcf_axpy(dx, node->out->grad[0], note->grad, x->n);
}

/* The scalar, and in *grad the memory for its gradient (NULL when none is needed or memory is out).
 */
static lcf_tensor *loss_tensor(lcf_tape *t, float **grad, lcf_tensor *x)
{
    size_t one = 1;
    lcf_tensor *y = tape_tensor(t, &one, 1, tape_needs(t, x, NULL, NULL));
    loss_note *note = tape_note(t, loss_backward, y, x, NULL, NULL, sizeof(*note));

    *grad = NULL;
    if (note)
        note->grad = *grad = lcf_tape_alloc(t, x->n, sizeof(float));
    return y;
}

lcf_tensor *lcf_op_bce_with_logits(lcf_tape *t, lcf_tensor *logits, const float *labels,
                                   const float *weights, float normaliser)
{
    float *grad;
    lcf_tensor *y = loss_tensor(t, &grad, logits);
    double sum = 0;
    size_t i;

    if (tape_failed(t))
        return y;
    for (i = 0; i < logits->n; i++) {
        double x = logits->data[i], weight = weights ? weights[i] : 1.0;
        double e = exp(-fabs(x)), p = x >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);

        sum += weight * ((x > 0 ? x : 0) - x * labels[i] + log1p(e));
        if (grad)
            grad[i] = (float)(weight * (p - labels[i]) / normaliser);
    }
    y->data[0] = (float)(sum / normaliser);
    return y;
}

lcf_tensor *lcf_op_cross_entropy(lcf_tape *t, lcf_tensor *logits, const int32_t *targets,
                                 float normaliser)
{
    size_t rows = logits->dims[0], vocab = tensor_last_dim(logits), i;
    float *grad;
    lcf_tensor *y = loss_tensor(t, &grad, logits);
    double sum = 0;

    if (tape_failed(t))
        return y;
    LCF_ASSERT(logits->dims_n == 2);
    for (i = 0; i < rows; i++) {
        if (targets[i] < 0) {
            if (grad)
                memset(grad + i * vocab, 0, vocab * sizeof(*grad));
            continue;
        }
        LCF_ASSERT((size_t)targets[i] < vocab);
        sum += lcf_cross_entropy(grad ? grad + i * vocab : NULL, logits->data + i * vocab,
                                 (size_t)targets[i], vocab, 1.0f / normaliser);
    }
    y->data[0] = (float)(sum / normaliser);
    return y;
}

/*
 * -sum over v of q_v log softmax(logits)_v, q = (1 - smoothing) one-hot(target) + smoothing / n;
 * when grad is not NULL: grad = scale * (softmax(logits) - q).
 */
static double smooth_row(float *grad, const float *logits, size_t target, size_t n, float smoothing,
                         float scale)
{
    const double loss = lcf_cross_entropy(grad, logits, target, n, scale);
    const float even = scale * smoothing / (float)n;
    double sum = 0;

    if (smoothing == 0.0f)
        return loss;
    for (size_t i = 0; i < n; i++)
        sum += logits[i];
    for (size_t i = 0; grad && i < n; i++)
        grad[i] -= even;
    if (grad)
        grad[target] += scale * smoothing;
    /* loss + logits[target] is the logarithm of the sum of exponentials. */
    return (1.0 - smoothing) * loss + smoothing * (loss + logits[target] - sum / (double)n);
}

lcf_tensor *lcf_op_smooth_cross_entropy(lcf_tape *t, lcf_tensor *logits, const int32_t *targets,
                                        float smoothing, float normaliser)
{
    const size_t rows = logits->dims[0], vocab = tensor_last_dim(logits);
    float *grad;
    lcf_tensor *y = loss_tensor(t, &grad, logits);
    double sum = 0;

    LCF_ASSERT(logits->dims_n == 2);
    for (size_t i = 0; i < rows && !tape_failed(t); i++) {
        float *row = grad ? grad + i * vocab : NULL;

        LCF_ASSERT(targets[i] < (int64_t)vocab);
        if (targets[i] >= 0)
            sum += smooth_row(row, logits->data + i * vocab, (size_t)targets[i], vocab, smoothing,
                              1.0f / normaliser);
        else if (row)
            memset(row, 0, vocab * sizeof(*row));
    }
    if (!tape_failed(t))
        y->data[0] = (float)(sum / normaliser);
    return y;
}

/* ---- contrast ---- */

/*
 * Row i, or column i, of scores [n, n] as logits whose target is element i; those of `skip` are no
 * negatives and left out. ADDS to grad [n, n] unless NULL. row, drow: room for n.
 */
static double contrast_one(float *grad, float *row, float *drow, const float *scores, size_t i,
                           size_t n, bool column, const uint8_t *skip, float smoothing)
{
    const size_t first = column ? i : i * n, step = column ? n : 1;
    size_t kept = 0, target = 0;
    double loss;

    for (size_t j = 0; j < n; j++) {
        const size_t at = first + j * step;

        if (j == i)
            target = kept;
        if (j == i || !skip || !skip[at])
            row[kept++] = scores[at];
    }
    loss = smooth_row(grad ? drow : NULL, row, target, kept, smoothing, 0.5f / (float)n);
    for (size_t j = 0, from = 0; grad && j < n; j++) {
        const size_t at = first + j * step;

        if (j == i || !skip || !skip[at])
            grad[at] += drow[from++];
    }
    return loss;
}

lcf_tensor *lcf_op_contrast(lcf_tape *t, lcf_tensor *scores, const uint8_t *skip, float smoothing)
{
    const size_t n = scores->dims[0];
    float *grad, *room = lcf_tape_alloc(t, 2 * n, sizeof(*room));
    lcf_tensor *y = loss_tensor(t, &grad, scores);
    double sum = 0;

    LCF_ASSERT(scores->dims_n == 2 && scores->dims[1] == n);
    if (grad && !tape_failed(t))
        memset(grad, 0, n * n * sizeof(*grad));
    for (size_t i = 0; i < 2 * n && !tape_failed(t); i++)
        sum += contrast_one(grad, room, room + n, scores->data, i / 2, n, i % 2, skip, smoothing);
    if (!tape_failed(t))
        y->data[0] = (float)(sum / (2.0 * (double)n));
    return y;
}

/* What the cosine of a row is made of. */
typedef struct cosine_sums {
    double xx, yy, xy;
} cosine_sums;

#define COSINE_ROWS 4 /* at a time, so that an addition need not wait for the last */

/* Those of COSINE_ROWS rows, each in the order of its elements. */
static void sum_rows(cosine_sums *restrict sums, const float *x, const float *y, size_t d)
{
    cosine_sums s[COSINE_ROWS] = {{0}};

    for (size_t i = 0; i < d; i++)
        for (size_t r = 0; r < COSINE_ROWS; r++) {
            const double a = x[r * d + i], b = y[r * d + i];

            s[r].xx += a * a;
            s[r].yy += b * b;
            s[r].xy += a * b;
        }
    memcpy(sums, s, sizeof(s));
}

static void sum_row(cosine_sums *sums, const float *x, const float *y, size_t d)
{
    *sums = (cosine_sums){0};
    for (size_t i = 0; i < d; i++) {
        sums->xx += (double)x[i] * x[i];
        sums->yy += (double)y[i] * y[i];
        sums->xy += (double)x[i] * y[i];
    }
}

/* 1 - cos(x, y) and, when dx is not NULL, its gradient times `scale`. A zero vector has cosine 0
 * and no gradient. */
static double cosine_row(float *dx, const cosine_sums *s, const float *x, const float *y, size_t d,
                         double scale)
{
    const double norms = sqrt(s->xx * s->yy);
    const bool any = norms > 1e-12;
    const double cosine = any ? s->xy / norms : 0;
    const double of_y = any ? -scale / norms : 0, of_x = any ? scale * cosine / s->xx : 0;

    for (size_t i = 0; dx && i < d; i++)
        dx[i] = (float)(of_y * y[i] + of_x * x[i]);
    return 1.0 - cosine;
}

lcf_tensor *lcf_op_cosine_loss(lcf_tape *t, lcf_tensor *x, const float *y, const float *weights,
                               float normaliser)
{
    size_t d = tensor_last_dim(x), rows = d ? x->n / d : 0, i;
    float *grad;
    lcf_tensor *loss = loss_tensor(t, &grad, x);
    cosine_sums sums[COSINE_ROWS];
    double sum = 0;

    if (tape_failed(t))
        return loss;
    for (i = 0; i < rows; i++) {
        const double weight = weights ? weights[i] : 1.0;
        const float *xi = x->data + i * d, *yi = y + i * d;
        cosine_sums *own = &sums[i % COSINE_ROWS];

        if (i % COSINE_ROWS == 0 && i + COSINE_ROWS <= rows)
            sum_rows(sums, xi, yi, d);
        else if (i >= rows / COSINE_ROWS * COSINE_ROWS)
            sum_row(own, xi, yi, d);
        if (weight != 0)
            sum += weight *
                   cosine_row(grad ? grad + i * d : NULL, own, xi, yi, d, weight / normaliser);
        else if (grad)
            memset(grad + i * d, 0, d * sizeof(*grad));
    }
    loss->data[0] = (float)(sum / normaliser);
    return loss;
}
