/*
 * Choosing the next token: the repetition penalty; then greedy, or temperature, top-k, top-p and
 * min-p, in this order. The same logits and generator state give the same token: candidates are
 * ordered by (logit, id), sums run in that order in double.
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
    choice *choices;                 /* [vocab_n] */
    double *weights;                 /* [vocab_n] */
    float *scratch;                  /* [vocab_n] */
    float *changed;                  /* [vocab_n] logits after the penalty */
    lcf_continuation *continuations; /* [vocab_n] */
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
        s->continuations = lcf_alloc(vocab_n, sizeof(*s->continuations));
    }
    if (!s || !s->choices || !s->weights || !s->scratch || !s->changed || !s->continuations) {
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
    free(s->continuations);
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

/* log of the sum of exp(logits - the best of them), with the vector exponential: within 1e-6. */
static double log_total(lcf_sampler *s, const float *logits, uint32_t best)
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
    return log(sum);
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

/* Leaves what top-k, top-p and min-p keep in choices and weights; *sum of the weights. */
static size_t filter(double *sum, lcf_sampler *s, const float *logits, const lcf_sampling *sampling)
{
    size_t k = sampling->top_k && sampling->top_k < s->vocab_n ? sampling->top_k : s->vocab_n;
    size_t kept = 0;
    double total = 0, limit;

    select_best(s->choices, logits, s->vocab_n, k);
    for (size_t i = 0; i < k; i++)
        total += s->weights[i] =
            exp(((double)s->choices[i].logit - s->choices[0].logit) / sampling->temperature);
    limit = sampling->top_p < 1 ? sampling->top_p * total : total;
    *sum = 0;
    while (kept < k && (kept == 0 || (*sum < limit && s->weights[kept] >= sampling->min_p)))
        *sum += s->weights[kept++]; /* the best, of weight 1, is always kept */
    return kept;
}

static uint32_t sample_best(lcf_sampler *s, const float *logits, const lcf_sampling *sampling,
                            lcf_rng *rng)
{
    double sum;
    size_t kept = filter(&sum, s, logits, sampling);

    return s->choices[draw(s->weights, kept, sum, rng)].id;
}

static bool keeps_all(const lcf_sampling *sampling)
{
    return !sampling->top_k && !(sampling->top_p < 1) && !(sampling->min_p > 0);
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

/* The logits after the penalty, if there is one. */
static const float *changed_logits(lcf_sampler *s, const float *logits, const uint32_t *past,
                                   size_t past_n, const lcf_sampling *sampling)
{
    float penalty = sampling->repeat_penalty;

    return past_n && penalty > 0 && penalty != 1 ? penalize(s, logits, past, past_n, penalty)
                                                 : logits;
}

uint32_t lcf_sampler_next(lcf_sampler *s, const float *logits, const uint32_t *past, size_t past_n,
                          const lcf_sampling *sampling, lcf_rng *rng, float *logprob)
{
    const float *changed = changed_logits(s, logits, past, past_n, sampling);
    uint32_t best = largest(changed, s->vocab_n), id = best;

    if (sampling->temperature > 0)
        id = keeps_all(sampling) ? sample_all(s, changed, best, sampling->temperature, rng)
                                 : sample_best(s, changed, sampling, rng);
    if (logprob) {
        if (changed != logits)
            best = largest(logits, s->vocab_n);
        *logprob = (float)((double)logits[id] - logits[best] - log_total(s, logits, best));
    }
    return id;
}

size_t lcf_sampler_continuations(const lcf_continuation **out, lcf_sampler *s, const float *logits,
                                 const uint32_t *past, size_t past_n, const lcf_sampling *sampling,
                                 size_t most)
{
    const float *changed = changed_logits(s, logits, past, past_n, sampling);
    const uint32_t best = largest(changed, s->vocab_n);
    const double base = changed[best] + log_total(s, changed, best);
    const bool greedy = !(sampling->temperature > 0), all = !greedy && keeps_all(sampling);
    size_t n = s->vocab_n;
    double sum;

    if (greedy) {
        n = most < n ? most : n;
        select_best(s->choices, changed, s->vocab_n, n);
    } else if (!all) {
        n = filter(&sum, s, changed, sampling);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t id = all ? (uint32_t)i : s->choices[i].id;
        s->continuations[i] = (lcf_continuation){changed[id] - base, id};
    }
    *out = s->continuations;
    return n;
}

size_t lcf_stops_find(const lcf_stops *stops, const char *text, size_t len)
{
    for (size_t i = 0; i < stops->n; i++) {
        const char *found = memmem(text, len, stops->texts[i], strlen(stops->texts[i]));
        if (found)
            len = (size_t)(found - text);
    }
    return len;
}
