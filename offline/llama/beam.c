/*
 * Beam search apart from the network; see the header.
 *
 * Invariant: `open` are the texts that go on, `parent` which text of the step before each came
 * from; `done` are the finished ones, best first.
 */
#include "offline/llama/beam.h"

#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct choice { /* one text with one more token */
    double key;         /* what it is chosen by */
    double logprob;
    size_t beam;
    uint32_t id;
} choice;

struct lcf_beams {
    lcf_beam_options o;
    const lcf_tokenizer *tokenizer;
    lcf_beam *open, *spare;  /* [beams_n] under way, and room for the next step's */
    size_t *parent;          /* [beams_n] */
    size_t open_n, opened_n; /* texts that go on; that the step has opened so far */
    uint32_t *seqs;          /* [beams_n] scratch for moving */
    bool *kept;              /* [beams_n] scratch: some text stays in this sequence */
    choice *choices;         /* [2 beams_n] of this step */
    size_t choices_n;
    lcf_beam *done; /* [beams_n] */
    size_t done_n;
    lcf_buf text; /* scratch */
};

/* ---- life cycle ---- */

lcf_status lcf_beams_create(lcf_beams **out, const lcf_beam_options *options,
                            const lcf_tokenizer *t, lcf_err *err)
{
    size_t n = options->beams_n;
    lcf_beams *b = NULL;

    *out = NULL;
    if (!n || !options->tokens_max)
        return LCF_FAIL(err, LCF_EINVAL, "%zu beams of %zu tokens", n, options->tokens_max);
    b = lcf_alloc_zero(1, sizeof(*b));
    if (!b)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu beams", n);
    b->o = *options;
    b->tokenizer = t;
    b->open = lcf_alloc_zero(n, sizeof(*b->open));
    b->spare = lcf_alloc_zero(n, sizeof(*b->spare));
    b->done = lcf_alloc_zero(n, sizeof(*b->done));
    b->parent = lcf_alloc(n, sizeof(*b->parent));
    b->seqs = lcf_alloc(n, sizeof(*b->seqs));
    b->kept = lcf_alloc(n, sizeof(*b->kept));
    b->choices = lcf_alloc(2 * n, sizeof(*b->choices));
    if (!b->open || !b->spare || !b->done || !b->parent || !b->seqs || !b->kept || !b->choices) {
        lcf_beams_free(b);
        return LCF_FAIL(err, LCF_ENOMEM, "%zu beams", n);
    }
    *out = b;
    return LCF_OK;
}

static void free_texts(lcf_beam *texts, size_t n)
{
    for (size_t i = 0; texts && i < n; i++)
        lcf_tokens_dispose(&texts[i].tokens);
    free(texts);
}

void lcf_beams_free(lcf_beams *b)
{
    if (!b)
        return;
    free_texts(b->open, b->o.beams_n);
    free_texts(b->spare, b->o.beams_n);
    free_texts(b->done, b->o.beams_n);
    free(b->parent);
    free(b->seqs);
    free(b->kept);
    free(b->choices);
    lcf_buf_dispose(&b->text);
    free(b);
}

void lcf_beams_begin(lcf_beams *b)
{
    b->open_n = 1;
    b->open[0].tokens.n = 0;
    b->open[0].logprob = 0.0;
    b->done_n = 0;
}

size_t lcf_beams_open_n(const lcf_beams *b)
{
    return b->open_n;
}

uint32_t lcf_beams_token(const lcf_beams *b, size_t i)
{
    const lcf_tokens *t = &b->open[i].tokens;

    return t->ids[t->n - 1];
}

const lcf_beam *lcf_beams_result(const lcf_beams *b, size_t i)
{
    return i < b->done_n ? &b->done[i] : NULL;
}

/* ---- a step ---- */

/* Keeps the 2 beams_n of the largest keys: even if each text has an end among them, beams_n go on.
 * Where a vocabulary has several ends fewer can, or none. */
static void offer(lcf_beams *b, choice c)
{
    size_t max = 2 * b->o.beams_n, at = b->choices_n;

    if (at == max && c.key <= b->choices[max - 1].key)
        return;
    at = at < max ? b->choices_n++ : max - 1;
    for (; at && b->choices[at - 1].key < c.key; at--)
        b->choices[at] = b->choices[at - 1];
    b->choices[at] = c;
}

static double gumbel(lcf_rng *rng)
{
    return -log(-log(lcf_rng_f64(rng)));
}

static void find_choices(lcf_beams *b, const float *logits, size_t vocab_n, lcf_sampler *sampler,
                         lcf_rng *rng)
{
    const double temperature = (double)b->o.sampling.temperature;

    b->choices_n = 0;
    for (size_t i = 0; i < b->open_n; i++, logits += vocab_n) {
        const lcf_beam *text = &b->open[i];
        const lcf_continuation *next;
        size_t n = lcf_sampler_continuations(&next, sampler, logits, text->tokens.ids,
                                             text->tokens.n, &b->o.sampling, 2 * b->o.beams_n);
        for (size_t k = 0; k < n; k++) {
            double logprob = text->logprob + next[k].logprob;
            double key = temperature > 0.0 ? logprob / temperature + gumbel(rng) : logprob;
            offer(b, (choice){key, logprob, i, next[k].id});
        }
    }
}

/* The likeliest of what was drawn comes first. */
static void sort_choices(lcf_beams *b)
{
    for (size_t i = 1; i < b->choices_n; i++) {
        choice c = b->choices[i];
        size_t at = i;
        for (; at && b->choices[at - 1].logprob < c.logprob; at--)
            b->choices[at] = b->choices[at - 1];
        b->choices[at] = c;
    }
}

static lcf_status copy_tokens(lcf_tokens *to, const lcf_tokens *from)
{
    lcf_status status = LCF_OK;

    to->n = 0;
    for (size_t i = 0; i < from->n && !status; i++)
        status = lcf_tokens_push(to, from->ids[i]);
    return status;
}

static double merit(const lcf_beams *b, double logprob, size_t length)
{
    return logprob / pow((double)(length ? length : 1), (double)b->o.length_power);
}

/* A text that ended takes its place among the best ones, if it is one. */
static lcf_status finish(lcf_beams *b, const lcf_tokens *tokens, double logprob, bool finished)
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
    status = copy_tokens(&last.tokens, tokens);
    b->done[at] = (lcf_beam){last.tokens, logprob, finished};
    b->done_n += b->done_n < b->o.beams_n;
    return status;
}

static bool has_stop(lcf_beams *b, const lcf_tokens *tokens)
{
    if (!b->o.stops.n)
        return false;
    lcf_buf_reset(&b->text);
    lcf_tokenizer_decode(&b->text, b->tokenizer, tokens->ids, tokens->n);
    return lcf_stops_find(&b->o.stops, lcf_buf_text(&b->text), b->text.len) < b->text.len;
}

/* A choice ends its text or opens one. One that is not among the best is no end: it would not have
 * been seen. */
static lcf_status follow(lcf_beams *b, const choice *c, bool among_best)
{
    const lcf_beam *parent = &b->open[c->beam];
    lcf_beam *child = &b->spare[b->opened_n];
    lcf_status status;

    if (lcf_tokenizer_is_end(b->tokenizer, c->id))
        return among_best ? finish(b, &parent->tokens, c->logprob, true) : LCF_OK;
    status = copy_tokens(&child->tokens, &parent->tokens);
    if (!status)
        status = lcf_tokens_push(&child->tokens, c->id);
    if (status)
        return status;
    if (has_stop(b, &child->tokens))
        return among_best ? finish(b, &child->tokens, c->logprob, true) : LCF_OK;
    child->logprob = c->logprob;
    b->parent[b->opened_n++] = c->beam;
    return b->text.status;
}

/* True when no open text can pass the worst finished one. Its merit can only fall while it grows,
 * unless lengths are weighed more than logarithms fall: then the search goes on. */
static bool is_settled(const lcf_beams *b)
{
    const lcf_beam *worst = &b->done[b->o.beams_n - 1];

    return b->open_n && b->done_n == b->o.beams_n &&
           merit(b, b->open[0].logprob, b->o.tokens_max) <=
               merit(b, worst->logprob, worst->tokens.n + worst->finished);
}

/* The choices become the open texts, as many as there is room for. */
static lcf_status advance(lcf_beams *b)
{
    const size_t n = b->o.beams_n;
    lcf_beam *swap = b->open;
    lcf_status status = LCF_OK;

    b->opened_n = 0;
    for (size_t i = 0; i < b->choices_n && b->opened_n < n && !status; i++)
        status = follow(b, &b->choices[i], i < n);
    b->open = b->spare;
    b->spare = swap;
    b->open_n = b->opened_n;
    return status;
}

lcf_status lcf_beams_step(lcf_beams *b, const float *logits, lcf_sampler *sampler, lcf_rng *rng,
                          lcf_err *err)
{
    lcf_status status;

    find_choices(b, logits, lcf_tokenizer_vocab_n(b->tokenizer), sampler, rng);
    sort_choices(b);
    status = advance(b);
    for (size_t i = 0; i < b->open_n && !status && b->open[0].tokens.n == b->o.tokens_max; i++)
        status = finish(b, &b->open[i].tokens, b->open[i].logprob, false);
    if (b->open_n && (b->open[0].tokens.n == b->o.tokens_max || is_settled(b)))
        b->open_n = 0;
    return status ? LCF_FAIL(err, status, "texts of %zu beams", b->o.beams_n) : LCF_OK;
}

/* ---- sequences ---- */

/* Text i stays in the sequence of its parent unless an earlier one does. */
static void take_over(lcf_beams *b, const uint32_t *seqs)
{
    memset(b->kept, 0, b->o.beams_n * sizeof(*b->kept));
    for (size_t i = 0; i < b->open_n; i++) {
        size_t parent = b->parent[i];
        b->seqs[i] = b->kept[parent] ? UINT32_MAX : seqs[parent];
        b->kept[parent] = true;
    }
}

lcf_status lcf_beams_move(uint32_t *seqs, lcf_beams *b, lcf_llama_session *s, lcf_err *err)
{
    size_t spare = 0, n = b->o.beams_n, used = b->open_n;
    lcf_status status = LCF_OK;

    take_over(b, seqs);
    for (size_t i = 0; i < n; i++)
        if (!b->kept[i])
            lcf_llama_seq_reset(s, seqs[i]);
    for (size_t i = 0; i < b->open_n && !status; i++) {
        uint32_t from = seqs[b->parent[i]];
        if (b->seqs[i] != UINT32_MAX)
            continue;
        while (b->kept[spare])
            spare++;
        b->seqs[i] = seqs[spare++];
        if (!lcf_llama_seq_copy(s, b->seqs[i], from, lcf_llama_seq_len(s, from)))
            status = LCF_FAIL(err, LCF_ELIMIT, "the KV cache has no page left");
    }
    for (; spare < n; spare++)
        if (!b->kept[spare])
            b->seqs[used++] = seqs[spare];
    memcpy(seqs, b->seqs, n * sizeof(*seqs));
    return status;
}
