/*
 * Forced scoring and beam search over a session's sequences.
 */
#include "offline/llama/search.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The prompt into sequence 0, in batches; *logits are those after its last token. */
static lcf_status read_prompt(const float **logits, lcf_llama_session *s, const lcf_tokens *prompt,
                              lcf_err *err)
{
    size_t batch_max = lcf_llama_session_batch_max(s), n;
    lcf_llama_token *batch = lcf_alloc(batch_max, sizeof(*batch));
    lcf_status status = LCF_OK;

    if (!batch)
        return LCF_FAIL(err, LCF_ENOMEM, "batch of %zu tokens", batch_max);
    lcf_llama_seq_reset(s, 0);
    for (size_t first = 0; first < prompt->n && !status; first += n) {
        n = prompt->n - first < batch_max ? prompt->n - first : batch_max;
        for (size_t i = 0; i < n; i++)
            batch[i] = (lcf_llama_token){prompt->ids[first + i], 0, first + i + 1 == prompt->n};
        status = lcf_llama_decode(logits, s, batch, n, err);
    }
    free(batch);
    if (!status && !prompt->n)
        status = LCF_FAIL(err, LCF_EINVAL, "the prompt is empty");
    return status;
}

static lcf_status check_sequences(const lcf_llama_session *s, size_t wanted, lcf_err *err)
{
    if (wanted > lcf_llama_session_seqs_max(s))
        return LCF_FAIL(err, LCF_ELIMIT, "%zu sequences are needed, the session has %zu", wanted,
                        lcf_llama_session_seqs_max(s));
    return LCF_OK;
}

static lcf_status copy_sequence(lcf_llama_session *s, uint32_t dst, uint32_t src, lcf_err *err)
{
    if (!lcf_llama_seq_copy(s, dst, src, lcf_llama_seq_len(s, src)))
        return LCF_FAIL(err, LCF_ELIMIT, "the KV cache has no page left");
    return LCF_OK;
}

/* ---- forced scoring ---- */

/* All but the last token of each continuation, each in its own sequence: what comes after them is
 * what is scored. */
static lcf_status read_continuations(const float **logits, lcf_llama_session *s,
                                     const lcf_tokens *continuations, size_t n, size_t total,
                                     lcf_err *err)
{
    lcf_llama_token *batch = lcf_alloc(total ? total : 1, sizeof(*batch));
    size_t at = 0;
    lcf_status status = LCF_OK;

    if (!batch)
        return LCF_FAIL(err, LCF_ENOMEM, "batch of %zu tokens", total);
    for (size_t i = 0; i < n && !status; i++) {
        status = copy_sequence(s, (uint32_t)i + 1, 0, err);
        for (size_t t = 0; t + 1 < continuations[i].n; t++)
            batch[at++] = (lcf_llama_token){continuations[i].ids[t], (uint32_t)i + 1, true};
    }
    if (!status && at)
        status = lcf_llama_decode(logits, s, batch, at, err);
    free(batch);
    return status;
}

lcf_status lcf_llama_score(double *out, lcf_llama_session *s, const lcf_llama *m,
                           const lcf_tokens *prompt, const lcf_tokens *continuations, size_t n,
                           lcf_err *err)
{
    const size_t vocab_n = m->config.vocab_n;
    const float *logits = NULL;
    size_t total = 0;
    lcf_status status = check_sequences(s, n + 1, err);

    for (size_t i = 0; i < n && !status; i++) {
        if (!continuations[i].n)
            status = LCF_FAIL(err, LCF_EINVAL, "continuation %zu is empty", i);
        else
            total += continuations[i].n - 1;
    }
    if (!status)
        status = read_prompt(&logits, s, prompt, err);
    for (size_t i = 0; i < n && !status; i++)
        out[i] = lcf_logprob(logits, vocab_n, continuations[i].ids[0]);
    if (!status)
        status = read_continuations(&logits, s, continuations, n, total, err);
    for (size_t i = 0; i < n && !status; i++)
        for (size_t t = 1; t < continuations[i].n; t++, logits += vocab_n)
            out[i] += lcf_logprob(logits, vocab_n, continuations[i].ids[t]);
    for (size_t i = 0; i <= n && i < lcf_llama_session_seqs_max(s); i++)
        lcf_llama_seq_reset(s, (uint32_t)i);
    return status;
}

/* ---- beam search ---- */

typedef struct choice { /* one beam with one more token */
    double logprob;
    size_t beam;
    uint32_t id;
} choice;

typedef struct search {
    lcf_llama_session *s;
    const lcf_llama *m;
    lcf_beam_options o;
    lcf_beam *open, *spare; /* [beams_n] under way, and room for the next step's */
    size_t open_n;
    uint32_t half;   /* open beams are in sequences half * beams_n ..., the next go to the others */
    choice *choices; /* [2 beams_n] the best of this step, best first */
    size_t choices_n;
    lcf_beam *done; /* [beams_n] the caller's, best first */
    size_t done_n;
} search;

static double merit(const search *b, double logprob, size_t length)
{
    return logprob / pow((double)(length ? length : 1), b->o.length_power);
}

/* Keeps the 2 beams_n best: even if each beam has an end among them, beams_n go on. Where a
 * vocabulary has several ends fewer can, or none. */
static void offer(search *b, choice c)
{
    size_t max = 2 * b->o.beams_n, at = b->choices_n;

    if (at == max && c.logprob <= b->choices[max - 1].logprob)
        return;
    at = at < max ? b->choices_n++ : max - 1;
    for (; at && b->choices[at - 1].logprob < c.logprob; at--)
        b->choices[at] = b->choices[at - 1];
    b->choices[at] = c;
}

/* log of the sum of exponentials */
static double normalizer(const float *logits, size_t n)
{
    return logits[0] - lcf_logprob(logits, n, 0);
}

static void find_choices(search *b, const float *logits)
{
    const size_t vocab_n = b->m->config.vocab_n, max = 2 * b->o.beams_n;

    b->choices_n = 0;
    for (size_t i = 0; i < b->open_n; i++, logits += vocab_n) {
        double base = b->open[i].logprob - normalizer(logits, vocab_n);
        for (size_t id = 0; id < vocab_n; id++)
            if (b->choices_n < max || base + logits[id] > b->choices[max - 1].logprob)
                offer(b, (choice){base + logits[id], i, (uint32_t)id});
    }
}

static lcf_status copy_tokens(lcf_tokens *to, const lcf_tokens *from, lcf_err *err)
{
    lcf_status status = LCF_OK;

    to->n = 0;
    for (size_t i = 0; i < from->n && !status; i++)
        status = lcf_tokens_push(to, from->ids[i]);
    return status ? LCF_FAIL(err, status, "beam of %zu tokens", from->n) : LCF_OK;
}

/* A text that ended takes its place among the best ones, if it is one. */
static lcf_status finish(search *b, const lcf_tokens *tokens, double logprob, bool finished,
                         lcf_err *err)
{
    double value = merit(b, logprob, tokens->n + finished);
    size_t at = b->done_n;
    lcf_beam last;
    lcf_status status;

    while (at && merit(b, b->done[at - 1].logprob,
                       b->done[at - 1].tokens.n + b->done[at - 1].finished) < value)
        at--;
    if (at == b->o.beams_n)
        return LCF_OK;
    last = b->done[b->o.beams_n - 1]; /* falls out, its room is used again */
    memmove(b->done + at + 1, b->done + at, (b->o.beams_n - 1 - at) * sizeof(*b->done));
    status = copy_tokens(&last.tokens, tokens, err);
    b->done[at] = (lcf_beam){last.tokens, logprob, finished};
    b->done_n += b->done_n < b->o.beams_n;
    return status;
}

/* The best choices become the open beams of the next step. */
static lcf_status advance(search *b, lcf_err *err)
{
    size_t n = b->o.beams_n, opened = 0;
    uint32_t from = b->half * (uint32_t)n, to = (1 - b->half) * (uint32_t)n;
    lcf_beam *swap;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < b->choices_n && opened < n && !status; i++) {
        const choice *c = &b->choices[i];
        const lcf_beam *parent = &b->open[c->beam];
        lcf_beam *child = &b->spare[opened];
        if (lcf_tokenizer_is_end(b->m->tokenizer, c->id)) {
            if (i < n) /* one that is not among the best would not have been seen */
                status = finish(b, &parent->tokens, c->logprob, true, err);
            continue;
        }
        status = copy_tokens(&child->tokens, &parent->tokens, err);
        if (!status && lcf_tokens_push(&child->tokens, c->id))
            status = LCF_FAIL(err, LCF_ENOMEM, "beam of %zu tokens", child->tokens.n);
        child->logprob = c->logprob;
        if (!status)
            status = copy_sequence(b->s, to + (uint32_t)opened++, from + (uint32_t)c->beam, err);
    }
    for (size_t i = 0; i < n; i++)
        lcf_llama_seq_reset(b->s, from + (uint32_t)i);
    swap = b->open;
    b->open = b->spare;
    b->spare = swap;
    b->open_n = opened;
    b->half = 1 - b->half;
    return status;
}

/* True when no open beam can pass the worst finished one. Its merit can only fall while it grows,
 * unless lengths are weighed more than logarithms fall: then the search goes on. */
static bool is_settled(const search *b)
{
    const lcf_beam *worst = &b->done[b->o.beams_n - 1];

    return b->open_n && b->done_n == b->o.beams_n &&
           merit(b, b->open[0].logprob, b->o.tokens_max) <=
               merit(b, worst->logprob, worst->tokens.n + worst->finished);
}

static lcf_status grow(search *b, const float *logits, lcf_err *err)
{
    lcf_llama_token *batch = lcf_alloc(b->o.beams_n, sizeof(*batch));
    lcf_status status = batch ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "batch of beams");

    for (size_t length = 0; !status && b->open_n && length < b->o.tokens_max; length++) {
        if (length) {
            for (size_t i = 0; i < b->open_n; i++)
                batch[i] = (lcf_llama_token){b->open[i].tokens.ids[length - 1],
                                             b->half * (uint32_t)b->o.beams_n + (uint32_t)i, true};
            status = lcf_llama_decode(&logits, b->s, batch, b->open_n, err);
        }
        if (status)
            break;
        find_choices(b, logits);
        status = advance(b, err);
        if (!status && is_settled(b))
            break;
    }
    for (size_t i = 0; i < b->open_n && !status; i++)
        if (b->open[i].tokens.n == b->o.tokens_max)
            status = finish(b, &b->open[i].tokens, b->open[i].logprob, false, err);
    free(batch);
    return status;
}

lcf_status lcf_llama_beam_search(lcf_beam *out, lcf_llama_session *s, const lcf_llama *m,
                                 const lcf_tokens *prompt, const lcf_beam_options *options,
                                 lcf_err *err)
{
    size_t n = options->beams_n;
    search b = {.s = s, .m = m, .o = *options, .open_n = 1, .done = out};
    const float *logits = NULL;
    lcf_status status = check_sequences(s, 2 * n, err);

    if (!n || !options->tokens_max || lcf_llama_session_batch_max(s) < n)
        return LCF_FAIL(err, LCF_EINVAL, "%zu beams of %zu tokens in batches of %zu", n,
                        options->tokens_max, lcf_llama_session_batch_max(s));
    if (status)
        return status;
    b.open = lcf_alloc_zero(n, sizeof(*b.open));
    b.spare = lcf_alloc_zero(n, sizeof(*b.spare));
    b.choices = lcf_alloc(2 * n, sizeof(*b.choices));
    if (!b.open || !b.spare || !b.choices)
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu beams", n);
    if (!status)
        status = read_prompt(&logits, s, prompt, err);
    if (!status)
        status = grow(&b, logits, err);
    for (size_t i = 0; i < 2 * n; i++)
        lcf_llama_seq_reset(s, (uint32_t)i);
    for (size_t i = 0; i < n; i++) {
        if (b.open)
            lcf_tokens_dispose(&b.open[i].tokens);
        if (b.spare)
            lcf_tokens_dispose(&b.spare[i].tokens);
    }
    free(b.open);
    free(b.spare);
    free(b.choices);
    return status;
}
