/* Asking a model for likelihoods, through one session a worker: sequence 0 holds the beginning, 1
 * and 2 in turn the beginning and a question. What a question has in common with the worker's last
 * one is not computed again; a token's bits depend on what stands before it alone. */
#include "offline/recgen/probe.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 64 /* tokens of one pass: bounds the logits that are held at once */

typedef struct worker {
    lcf_llama_session *session;
    lcf_tokens last;   /* the last question; empty: none */
    uint32_t last_seq; /* where it stands, behind the beginning: 1 or 2 */
    lcf_llama_token batch[BATCH];
} worker;

struct lcf_probe {
    worker *workers;
    size_t workers_n, context_n, vocab_n;
};

lcf_status lcf_probe_create(lcf_probe **out, const lcf_llama *model, size_t context_n,
                            size_t workers_n, lcf_err *err)
{
    lcf_probe *p = lcf_alloc_zero(1, sizeof(*p));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (p)
        p->workers = lcf_alloc_zero(workers_n, sizeof(*p->workers));
    if (!p || !p->workers) {
        lcf_probe_free(p);
        return LCF_FAIL(err, LCF_ENOMEM, "%zu sessions", workers_n);
    }
    p->workers_n = workers_n;
    p->vocab_n = model->config.vocab_n;
    p->context_n = context_n < model->config.context_n ? context_n : model->config.context_n;
    for (size_t i = 0; i < workers_n && !status; i++) {
        p->workers[i].last_seq = 1;
        status =
            lcf_llama_session_create(&p->workers[i].session, model, 3, p->context_n, BATCH, err);
    }
    if (!status) {
        *out = p;
        p = NULL;
    }
    lcf_probe_free(p);
    return status;
}

void lcf_probe_free(lcf_probe *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->workers_n; i++) {
        lcf_llama_session_free(p->workers[i].session);
        lcf_tokens_dispose(&p->workers[i].last);
    }
    free(p->workers);
    free(p);
}

void lcf_probe_soft(lcf_probe *p, const lcf_soft_tokens *soft)
{
    for (size_t i = 0; i < p->workers_n; i++) {
        lcf_llama_session_soft(p->workers[i].session, soft);
        p->workers[i].last.n = 0; /* the same ids are other vectors now */
    }
}

size_t lcf_probe_context(const lcf_probe *p)
{
    return p->context_n;
}

/* Appends tokens to a sequence; the logits of the last one when wanted. */
static lcf_status append(const float **logits, worker *w, uint32_t seq, const uint32_t *tokens,
                         size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t at = 0; at < n && !status; at += BATCH) {
        size_t take = n - at < BATCH ? n - at : BATCH;
        const float *unused;
        for (size_t i = 0; i < take; i++)
            w->batch[i] = (lcf_llama_token){tokens[at + i], seq, logits && at + i + 1 == n};
        status = lcf_llama_decode(logits ? logits : &unused, w->session, w->batch, take, err);
    }
    return status;
}

lcf_status lcf_probe_begin(lcf_probe *p, size_t idx, const uint32_t *tokens, size_t n, lcf_err *err)
{
    p->workers[idx].last.n = 0;
    lcf_llama_seq_reset(p->workers[idx].session, 0);
    return append(NULL, &p->workers[idx], 0, tokens, n, err);
}

/* Tokens at the beginning of a question that the last one has as well; one at least is left over.
 */
static size_t common_with_last(const worker *w, const uint32_t *tokens, size_t n)
{
    size_t same = 0;

    while (same + 1 < n && same < w->last.n && w->last.ids[same] == tokens[same])
        same++;
    return same;
}

static lcf_status keep_as_last(worker *w, uint32_t seq, const uint32_t *tokens, size_t n,
                               lcf_err *err)
{
    w->last.n = 0;
    w->last_seq = seq;
    for (size_t i = 0; i < n; i++)
        if (lcf_tokens_push(&w->last, tokens[i]))
            return LCF_FAIL(err, LCF_ENOMEM, "a question of %zu tokens", n);
    return LCF_OK;
}

lcf_status lcf_probe_ask(const float **logits, lcf_probe *p, size_t idx, const uint32_t *tokens,
                         size_t n, lcf_err *err)
{
    worker *w = &p->workers[idx];
    const uint32_t seq = 3 - w->last_seq;
    const size_t same = common_with_last(w, tokens, n);
    const size_t begin_n = lcf_llama_seq_len(w->session, 0);
    lcf_status status;

    LCF_ASSERT(n > 0);
    if (!lcf_llama_seq_copy(w->session, seq, same ? w->last_seq : 0, begin_n + same))
        return LCF_FAIL(err, LCF_ELIMIT, "the KV cache has no page left");
    w->last.n = 0; /* until this one is whole */
    status = append(logits, w, seq, tokens + same, n - same, err);
    return status ? status : keep_as_last(w, seq, tokens, n, err);
}

lcf_status lcf_probe_row(double *nll, uint64_t *targets_n, lcf_probe *p, size_t idx,
                         const uint32_t *tokens, const int32_t *targets, size_t n, lcf_err *err)
{
    worker *w = &p->workers[idx];
    lcf_status status = LCF_OK;

    *nll = 0.0;
    *targets_n = 0;
    w->last.n = 0;
    lcf_llama_seq_reset(w->session, 1);
    for (size_t at = 0; at < n && !status; at += BATCH) {
        size_t take = n - at < BATCH ? n - at : BATCH;
        const float *logits;
        for (size_t i = 0; i < take; i++)
            w->batch[i] = (lcf_llama_token){tokens[at + i], 1, targets[at + i] >= 0};
        status = lcf_llama_decode(&logits, w->session, w->batch, take, err);
        for (size_t i = 0; i < take && !status; i++) {
            if (targets[at + i] < 0)
                continue;
            *nll -= lcf_logprob(logits, p->vocab_n, (uint32_t)targets[at + i]);
            logits += p->vocab_n;
            ++*targets_n;
        }
    }
    return status;
}

/* ---- answers ---- */

static bool all_agree(const lcf_tokens *texts, size_t n, size_t at)
{
    for (size_t i = 0; i < n; i++)
        if (at >= texts[i].n || texts[i].ids[at] != texts[0].ids[at])
            return false;
    return true;
}

static bool tell_apart(lcf_answers *out, const lcf_tokens *texts, size_t at)
{
    for (size_t i = 0; i < out->n; i++) {
        if (at >= texts[i].n)
            return false;
        out->ids[i] = texts[i].ids[at];
        for (size_t j = 0; j < i; j++)
            if (out->ids[j] == out->ids[i])
                return false;
    }
    return true;
}

lcf_status lcf_answers_find(lcf_answers *out, const lcf_tokenizer *tokenizer,
                            const char *const *texts, size_t n, lcf_err *err)
{
    lcf_tokens tokens[LCF_ANSWERS_MAX] = {LCF_TOKENS_INIT};
    lcf_status status = LCF_OK;
    size_t at = 0;

    LCF_ASSERT(n >= 2 && n <= LCF_ANSWERS_MAX);
    out->n = n;
    out->common.n = 0;
    for (size_t i = 0; i < n && !status; i++)
        status =
            lcf_tokenizer_encode(&tokens[i], tokenizer, texts[i], strlen(texts[i]), false, err);
    while (!status && all_agree(tokens, n, at))
        status = lcf_tokens_push(&out->common, tokens[0].ids[at++]);
    if (!status && !tell_apart(out, tokens, at))
        status = LCF_FAIL(err, LCF_EUNSUPPORTED,
                          "the vocabulary cannot tell the answers '%s' and '%s' apart", texts[0],
                          texts[n - 1]);
    for (size_t i = 0; i < n; i++)
        lcf_tokens_dispose(&tokens[i]);
    return status;
}

void lcf_answers_dispose(lcf_answers *a)
{
    lcf_tokens_dispose(&a->common);
    a->n = 0;
}
