/*
 * Choosing the next token: the repetition penalty; then greedy, or temperature, top-k, top-p and
 * min-p, in this order. The same
 * logits and generator state give the same token: candidates are ordered by (logit, id), sums run
 * in that order in double.
 */
#include "common/base/mem.h"
#include "common/math/kernels.h"
#include "offline/llama/llama.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct choice {
    float logit;
    uint32_t id;
} choice;

struct lcf_sampler {
    size_t vocab_n;
    choice *choices; /* [vocab_n] */
    double *weights; /* [vocab_n] */
    float *scratch;  /* [vocab_n] */
    float *changed;  /* [vocab_n] logits after the penalty */
};

lcf_status lcf_sampler_create(lcf_sampler **out, size_t vocab_n, lcf_err *err)
{
    lcf_sampler *s = NULL;
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!vocab_n)
        return LCF_FAIL(err, LCF_EINVAL, "sampler for an empty vocabulary");
    s = lcf_alloc_zero(1, sizeof(*s));
    if (s) {
        s->vocab_n = vocab_n;
        s->choices = lcf_alloc(vocab_n, sizeof(*s->choices));
        s->weights = lcf_alloc(vocab_n, sizeof(*s->weights));
        s->scratch = lcf_alloc_aligned(vocab_n, sizeof(*s->scratch));
        s->changed = lcf_alloc_aligned(vocab_n, sizeof(*s->changed));
    }
    if (!s || !s->choices || !s->weights || !s->scratch || !s->changed) {
        status = LCF_FAIL(err, LCF_ENOMEM, "sampler for %zu tokens", vocab_n);
        goto done;
    }
    *out = s;
    s = NULL;
done:
    lcf_sampler_free(s);
    return status;
}

void lcf_sampler_free(lcf_sampler *s)
{
    if (!s)
        return;
    free(s->choices);
    free(s->weights);
    free(s->scratch);
    free(s->changed);
    free(s);
}

/* Loops over LANES values at a time are written so that the compiler makes vectors of them. */
enum { LANES = 16, BLOCK = 64 };

/* The position of the largest value, the first of equals. */
static uint32_t largest(const float *logits, size_t n)
{
    float most[LANES], best = logits[0];
    size_t i = 0;

    for (size_t j = 0; j < LANES; j++)
        most[j] = best;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            most[j] = logits[i + j] > most[j] ? logits[i + j] : most[j];
    for (; i < n; i++)
        most[0] = logits[i] > most[0] ? logits[i] : most[0];
    for (size_t j = 0; j < LANES; j++)
        best = most[j] > best ? most[j] : best;
    for (i = 0; i < n; i++)
        if (logits[i] == best)
            return (uint32_t)i;
    return 0; /* not reached unless nothing is comparable */
}

/* True when one of the BLOCK values is above the limit. */
static bool any_above(const float *x, float limit)
{
    int above = 0;

    for (size_t j = 0; j < BLOCK; j++)
        above |= x[j] > limit;
    return above;
}

double lcf_logprob(const float *logits, size_t vocab_n, uint32_t id)
{
    double shift = logits[largest(logits, vocab_n)], sum = 0;

    for (size_t i = 0; i < vocab_n; i++)
        sum += exp(logits[i] - shift);
    return logits[id] - shift - log(sum);
}

/* As lcf_logprob, with the vector exponential: within 1e-6. */
static float fast_logprob(lcf_sampler *s, const float *logits, uint32_t best, uint32_t id)
{
    double lanes[LANES] = {0}, sum = 0;
    size_t i = 0;

    for (size_t k = 0; k < s->vocab_n; k++)
        s->scratch[k] = logits[k] - logits[best];
    lcf_exp(s->scratch, s->scratch, s->vocab_n);
    for (; i + LANES <= s->vocab_n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lanes[j] += s->scratch[i + j];
    for (; i < s->vocab_n; i++)
        lanes[0] += s->scratch[i];
    for (size_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return (float)((double)logits[id] - logits[best] - log(sum));
}

/* True when a is to be preferred: the larger logit, of equals the lower id. */
static bool better(choice a, choice b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Restores the heap below its root, the worst choice on top. */
static void sift(choice *heap, size_t n, choice c)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && better(heap[child], heap[child + 1]))
            child++;
        if (!better(c, heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = c;
}

/* The k best, best first. */
static void select_best(choice *out, const float *logits, size_t n, size_t k)
{
    for (size_t filled = 0; filled < k; filled++) {
        choice c = {logits[filled], (uint32_t)filled};
        size_t at = filled;
        for (; at && better(out[(at - 1) / 2], c); at = (at - 1) / 2)
            out[at] = out[(at - 1) / 2];
        out[at] = c;
    }
    for (size_t i = k, end; i < n; i = end) {
        end = n - i < BLOCK ? n : i + BLOCK;
        if (end - i == BLOCK && !any_above(logits + i, out[0].logit))
            continue; /* nearly all of them */
        for (size_t j = i; j < end; j++)
            if (logits[j] > out[0].logit)
                sift(out, k, (choice){logits[j], (uint32_t)j});
    }
    for (size_t left = k; left > 1; left--) { /* the worst goes to the end, again and again */
        choice worst = out[0], last = out[left - 1];
        sift(out, left - 1, last);
        out[left - 1] = worst;
    }
}

static uint32_t draw(const double *weights, size_t n, double total, lcf_rng *rng)
{
    double rest = lcf_rng_f64(rng) * total;

    for (uint32_t i = 0; i + 1 < n; i++) {
        rest -= weights[i];
        if (rest < 0)
            return i;
    }
    return (uint32_t)n - 1;
}

/* Over all tokens, in the order of their ids: no sorting needed. */
static uint32_t sample_all(lcf_sampler *s, const float *logits, uint32_t best, float temperature,
                           lcf_rng *rng)
{
    double total = 0;

    for (size_t i = 0; i < s->vocab_n; i++)
        total += s->weights[i] = exp(((double)logits[i] - logits[best]) / temperature);
    return draw(s->weights, s->vocab_n, total, rng);
}

static uint32_t sample_best(lcf_sampler *s, const float *logits, const lcf_sampling *sampling,
                            lcf_rng *rng)
{
    size_t k = sampling->top_k && sampling->top_k < s->vocab_n ? sampling->top_k : s->vocab_n;
    size_t kept = 0;
    double total = 0, limit, sum = 0;

    select_best(s->choices, logits, s->vocab_n, k);
    for (size_t i = 0; i < k; i++)
        total += s->weights[i] =
            exp(((double)s->choices[i].logit - s->choices[0].logit) / sampling->temperature);
    limit = sampling->top_p < 1 ? sampling->top_p * total : total;
    while (kept < k && (kept == 0 || (sum < limit && s->weights[kept] >= sampling->min_p)))
        sum += s->weights[kept++]; /* the best, of weight 1, is always kept */
    return s->choices[draw(s->weights, kept, sum, rng)].id;
}

static bool is_new(const uint32_t *past, size_t idx)
{
    for (size_t i = 0; i < idx; i++)
        if (past[i] == past[idx])
            return false;
    return true;
}

/* source   Keskar et al. 2019, CTRL, section 4.1; negative logits multiplied as is usual since */
static const float *penalize(lcf_sampler *s, const float *logits, const uint32_t *past,
                             size_t past_n, float penalty)
{
    size_t n = past_n < LCF_REPEAT_WINDOW ? past_n : LCF_REPEAT_WINDOW;

    past += past_n - n;
    memcpy(s->changed, logits, s->vocab_n * sizeof(*logits));
    for (size_t i = 0; i < n; i++) {
        float *logit = &s->changed[past[i]];
        if (is_new(past, i))
            *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
    }
    return s->changed;
}

uint32_t lcf_sampler_next(lcf_sampler *s, const float *logits, const uint32_t *past, size_t past_n,
                          const lcf_sampling *sampling, lcf_rng *rng, float *logprob)
{
    const bool penalized = past_n && sampling->repeat_penalty > 0 && sampling->repeat_penalty != 1;
    const float *changed =
        penalized ? penalize(s, logits, past, past_n, sampling->repeat_penalty) : logits;
    uint32_t best = largest(changed, s->vocab_n), id = best;

    if (sampling->temperature > 0) {
        if (!sampling->top_k && !(sampling->top_p < 1) && !(sampling->min_p > 0))
            id = sample_all(s, changed, best, sampling->temperature, rng);
        else
            id = sample_best(s, changed, sampling, rng);
    }
    if (logprob)
        *logprob = fast_logprob(s, logits, penalized ? largest(logits, s->vocab_n) : best, id);
    return id;
}
