/*
 * Batched sampling of candidates; see the header. Sequence row * candidates_n + c holds candidate
 * c; candidate 0's sequence is the one that reads the prompt.
 */
#include "offline/recgen/decode.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PREFILL_BATCH 256 /* tokens of one prefill call */

struct lcf_decoder {
    const lcf_llama *model;
    lcf_decoder_options options;
    size_t prompt_max, seqs_max, batch_max;
    lcf_llama_session *session;
    lcf_sampler *sampler;
    lcf_llama_token *batch; /* [batch_max] */
    size_t *wanted;         /* [batch_max] the row or sequence behind each row of logits */
    lcf_candidate *cands;   /* [seqs_max] */
    lcf_rng *rngs;          /* [seqs_max] */
    uint32_t *next;         /* [seqs_max] the token to feed */
    bool *active;           /* [seqs_max] */
};

lcf_status lcf_decoder_create(lcf_decoder **out, const lcf_llama *model,
                              const lcf_decoder_options *options, lcf_err *err)
{
    size_t context = model->config.context_n;
    lcf_decoder *d = NULL;
    lcf_status status;

    *out = NULL;
    if (!options->rows_max || !options->candidates_n || !options->tokens_max ||
        options->tokens_max + 8 > context)
        return LCF_FAIL(err, LCF_EINVAL, "%zu new tokens for a model with a context of %zu",
                        options->tokens_max, context);
    d = lcf_alloc_zero(1, sizeof(*d));
    if (!d)
        return LCF_FAIL(err, LCF_ENOMEM, "decoder");
    d->model = model;
    d->options = *options;
    d->prompt_max = context - options->tokens_max;
    d->seqs_max = options->rows_max * options->candidates_n;
    d->batch_max = d->seqs_max > PREFILL_BATCH ? d->seqs_max : PREFILL_BATCH;
    d->batch = lcf_alloc(d->batch_max, sizeof(*d->batch));
    d->wanted = lcf_alloc(d->batch_max, sizeof(*d->wanted));
    d->cands = lcf_alloc_zero(d->seqs_max, sizeof(*d->cands));
    d->rngs = lcf_alloc(d->seqs_max, sizeof(*d->rngs));
    d->next = lcf_alloc(d->seqs_max, sizeof(*d->next));
    d->active = lcf_alloc_zero(d->seqs_max, sizeof(*d->active));
    status = d->batch && d->wanted && d->cands && d->rngs && d->next && d->active
                 ? LCF_OK
                 : LCF_FAIL(err, LCF_ENOMEM, "decoder of %zu sequences", d->seqs_max);
    if (!status)
        status = lcf_sampler_create(&d->sampler, model->config.vocab_n, err);
    if (!status)
        status =
            lcf_llama_session_create(&d->session, model, d->seqs_max, context, d->batch_max, err);
    if (status) {
        lcf_decoder_free(d);
        return status;
    }
    *out = d;
    return LCF_OK;
}

void lcf_decoder_free(lcf_decoder *d)
{
    if (!d)
        return;
    for (size_t i = 0; d->cands && i < d->seqs_max; i++)
        lcf_tokens_dispose(&d->cands[i].tokens);
    lcf_llama_session_free(d->session);
    lcf_sampler_free(d->sampler);
    free(d->batch);
    free(d->wanted);
    free(d->cands);
    free(d->rngs);
    free(d->next);
    free(d->active);
    free(d);
}

size_t lcf_decoder_prompt_max(const lcf_decoder *d)
{
    return d->prompt_max;
}

const lcf_candidate *lcf_decoder_candidate(const lcf_decoder *d, size_t row, size_t candidate)
{
    return &d->cands[row * d->options.candidates_n + candidate];
}

/* Draws the next token of one candidate; it ends at </s> or when it is full. */
static lcf_status draw(lcf_decoder *d, size_t seq, const float *logits, lcf_err *err)
{
    lcf_candidate *c = &d->cands[seq];
    float logprob = 0.0f;
    uint32_t id =
        lcf_sampler_next(d->sampler, logits, &d->options.sampling, &d->rngs[seq], &logprob);

    c->logprob += logprob;
    d->active[seq] = false;
    if (lcf_tokenizer_is_end(d->model->tokenizer, id)) {
        c->finished = true;
        return LCF_OK;
    }
    if (lcf_tokens_push(&c->tokens, id))
        return LCF_FAIL(err, LCF_ENOMEM, "generated tokens");
    d->next[seq] = id;
    d->active[seq] = c->tokens.n < d->options.tokens_max;
    return LCF_OK;
}

/* The first token of each candidate of a row whose prompt has been read. */
static lcf_status branch(lcf_decoder *d, size_t row, const float *logits, lcf_err *err)
{
    size_t first = row * d->options.candidates_n;
    lcf_status status = LCF_OK;

    for (size_t c = 0; c < d->options.candidates_n && !status; c++) {
        if (c && !lcf_llama_seq_copy(d->session, (uint32_t)(first + c), (uint32_t)first,
                                     lcf_llama_seq_len(d->session, (uint32_t)first)))
            return LCF_FAIL(err, LCF_ELIMIT, "the KV cache is full");
        status = draw(d, first + c, logits, err);
    }
    return status;
}

static lcf_status flush_prefill(lcf_decoder *d, size_t n, size_t wanted_n, lcf_err *err)
{
    const float *logits = NULL;
    lcf_status status = n ? lcf_llama_decode(&logits, d->session, d->batch, n, err) : LCF_OK;

    for (size_t i = 0; i < wanted_n && !status; i++)
        status = branch(d, d->wanted[i], logits + i * d->model->config.vocab_n, err);
    return status;
}

static lcf_status prefill(lcf_decoder *d, const lcf_tokens *prompts, size_t rows_n, lcf_err *err)
{
    size_t n = 0, wanted_n = 0;
    lcf_status status = LCF_OK;

    for (size_t row = 0; row < rows_n && !status; row++) {
        uint32_t seq = (uint32_t)(row * d->options.candidates_n);
        if (!prompts[row].n || prompts[row].n > d->prompt_max)
            return LCF_FAIL(err, LCF_EINVAL, "prompt of %zu tokens, room for %zu", prompts[row].n,
                            d->prompt_max);
        for (size_t i = 0; i < prompts[row].n && !status; i++) {
            bool last = i + 1 == prompts[row].n;
            d->batch[n++] = (lcf_llama_token){prompts[row].ids[i], seq, last};
            if (last)
                d->wanted[wanted_n++] = row;
            if (n == PREFILL_BATCH) {
                status = flush_prefill(d, n, wanted_n, err);
                n = wanted_n = 0;
            }
        }
    }
    return status ? status : flush_prefill(d, n, wanted_n, err);
}

/* One more token for every active candidate; *n is how many there were. */
static lcf_status step(size_t *n, lcf_decoder *d, lcf_err *err)
{
    const float *logits;
    lcf_status status;

    *n = 0;
    for (size_t seq = 0; seq < d->seqs_max; seq++)
        if (d->active[seq]) {
            d->batch[*n] = (lcf_llama_token){d->next[seq], (uint32_t)seq, true};
            d->wanted[(*n)++] = seq;
        }
    if (!*n)
        return LCF_OK;
    status = lcf_llama_decode(&logits, d->session, d->batch, *n, err);
    for (size_t i = 0; i < *n && !status; i++)
        status = draw(d, d->wanted[i], logits + i * d->model->config.vocab_n, err);
    return status;
}

lcf_status lcf_decoder_run(lcf_decoder *d, const lcf_tokens *prompts, const lcf_hash128 *keys,
                           size_t rows_n, lcf_err *err)
{
    size_t n = 1;
    lcf_status status;

    LCF_ASSERT(rows_n <= d->options.rows_max);
    for (size_t seq = 0; seq < d->seqs_max; seq++) {
        size_t row = seq / d->options.candidates_n;
        uint64_t seed = 0;
        d->cands[seq].tokens.n = 0;
        d->cands[seq].finished = false;
        d->cands[seq].logprob = 0.0;
        d->active[seq] = false;
        lcf_llama_seq_reset(d->session, (uint32_t)seq);
        if (row >= rows_n)
            continue;
        for (size_t i = 0; i < 8; i++)
            seed = seed << 8 | keys[row].bytes[i];
        lcf_rng_seed(&d->rngs[seq], seed, seq % d->options.candidates_n);
    }
    status = prefill(d, prompts, rows_n, err);
    while (!status && n)
        status = step(&n, d, err);
    return status;
}
