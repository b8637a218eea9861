/*
 * Forced scoring and beam search over a session's sequences.
 */
#include "offline/llama/search.h"

#include "common/base/mem.h"
#include "common/base/progress.h"

#include <stdlib.h>

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

/* The first beams_n sequences hold the open texts; all of the room that a step needs is there. */
static lcf_status grow(lcf_beams *b, lcf_llama_session *s, lcf_sampler *sampler, uint32_t *seqs,
                       lcf_llama_token *batch, const float *logits, lcf_rng *rng, lcf_err *err)
{
    lcf_status status = LCF_OK;

    while (!status && lcf_beams_open_n(b)) {
        status = lcf_beams_step(b, logits, sampler, rng, err);
        if (status || !lcf_beams_open_n(b))
            break;
        status = lcf_beams_move(seqs, b, s, err);
        for (size_t i = 0; i < lcf_beams_open_n(b); i++)
            batch[i] = (lcf_llama_token){lcf_beams_token(b, i), seqs[i], true};
        if (!status)
            status = lcf_llama_decode(&logits, s, batch, lcf_beams_open_n(b), err);
        if (!status && lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped in a beam search");
    }
    return status;
}

static lcf_status take_results(lcf_beam *out, const lcf_beams *b, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && lcf_beams_result(b, i) && !status; i++) {
        const lcf_beam *text = lcf_beams_result(b, i);
        out[i].logprob = text->logprob;
        out[i].finished = text->finished;
        for (size_t t = 0; t < text->tokens.n && !status; t++)
            status = lcf_tokens_push(&out[i].tokens, text->tokens.ids[t]);
    }
    return status ? LCF_FAIL(err, status, "%zu beams", n) : LCF_OK;
}

static lcf_status search(lcf_beam *out, lcf_beams *b, lcf_llama_session *s, const lcf_llama *m,
                         const lcf_tokens *prompt, size_t n, lcf_rng *rng, lcf_err *err)
{
    uint32_t *seqs = lcf_alloc(n, sizeof(*seqs));
    lcf_llama_token *batch = lcf_alloc(n, sizeof(*batch));
    lcf_sampler *sampler = NULL;
    const float *logits = NULL;
    lcf_status status =
        seqs && batch ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "sequences of %zu beams", n);

    for (size_t i = 0; seqs && i < n; i++)
        seqs[i] = (uint32_t)i;
    if (!status)
        status = lcf_sampler_create(&sampler, m->config.vocab_n, err);
    if (!status)
        status = read_prompt(&logits, s, prompt, err);
    if (!status) {
        lcf_beams_begin(b);
        status = grow(b, s, sampler, seqs, batch, logits, rng, err);
    }
    if (!status)
        status = take_results(out, b, n, err);
    for (size_t i = 0; i < n; i++)
        lcf_llama_seq_reset(s, (uint32_t)i);
    lcf_sampler_free(sampler);
    free(seqs);
    free(batch);
    return status;
}

lcf_status lcf_llama_beam_search(lcf_beam *out, lcf_llama_session *s, const lcf_llama *m,
                                 const lcf_tokens *prompt, const lcf_beam_options *options,
                                 lcf_rng *rng, lcf_err *err)
{
    size_t n = options->beams_n;
    lcf_beams *b = NULL;
    lcf_status status = check_sequences(s, n, err);

    if (!status && lcf_llama_session_batch_max(s) < n)
        status = LCF_FAIL(err, LCF_EINVAL, "%zu beams in batches of %zu", n,
                          lcf_llama_session_batch_max(s));
    if (!status)
        status = lcf_beams_create(&b, options, m->tokenizer, err);
    if (!status)
        status = search(out, b, s, m, prompt, n, rng, err);
    lcf_beams_free(b);
    return status;
}
