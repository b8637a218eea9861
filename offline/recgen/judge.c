/* Asks a RecGen-LLaMA Yes or No, one prompt at a time and worker. */
#include "offline/recgen/judge.h"

#include "common/base/mem.h"
#include "offline/recgen/mixture.h"

#include <stdlib.h>
#include <string.h>

struct lcf_judge {
    const lcf_dataset *d;
    const lcf_prompt_options *prompt;
    const lcf_tokenizer *tokenizer;
    size_t context_n;
    lcf_tokens common;            /* what Yes and No begin with alike */
    uint32_t yes, no;             /* the first tokens that differ */
    lcf_llama_session **sessions; /* [workers_n] */
    size_t workers_n;
    /* of the run in progress */
    const size_t *samples;
    float *logits;
};

static lcf_status find_answers(lcf_judge *j, lcf_err *err)
{
    lcf_tokens yes = LCF_TOKENS_INIT, no = LCF_TOKENS_INIT;
    size_t at = 0;
    lcf_status status = lcf_tokenizer_encode(&yes, j->tokenizer, " Yes", 4, false, err);

    if (!status)
        status = lcf_tokenizer_encode(&no, j->tokenizer, " No", 3, false, err);
    if (status)
        goto done;
    while (at < yes.n && at < no.n && yes.ids[at] == no.ids[at])
        at++;
    if (at == yes.n || at == no.n) {
        status = LCF_FAIL(err, LCF_EUNSUPPORTED, "Yes and No have no differing token");
        goto done;
    }
    for (size_t i = 0; i < at && !status; i++)
        status = lcf_tokens_push(&j->common, yes.ids[i]);
    j->yes = yes.ids[at];
    j->no = no.ids[at];
done:
    lcf_tokens_dispose(&yes);
    lcf_tokens_dispose(&no);
    return status;
}

static lcf_status open_sessions(lcf_judge *j, const lcf_llama *model, size_t workers_n,
                                lcf_err *err)
{
    lcf_status status = LCF_OK;

    j->sessions = lcf_alloc_zero(workers_n, sizeof(*j->sessions));
    if (!j->sessions)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu sessions", workers_n);
    j->workers_n = workers_n;
    for (size_t i = 0; i < workers_n && !status; i++)
        status =
            lcf_llama_session_create(&j->sessions[i], model, 1, j->context_n, j->context_n, err);
    return status;
}

lcf_status lcf_judge_create(lcf_judge **out, const lcf_llama *model, const lcf_tokenizer *tokenizer,
                            const lcf_dataset *d, const lcf_prompt_options *prompt,
                            size_t context_n, size_t workers_n, lcf_err *err)
{
    lcf_judge *j = lcf_alloc_zero(1, sizeof(*j));
    lcf_status status;

    *out = NULL;
    if (!j)
        return LCF_FAIL(err, LCF_ENOMEM, "judge");
    j->d = d;
    j->prompt = prompt;
    j->tokenizer = tokenizer;
    j->context_n = context_n;
    status = find_answers(j, err);
    if (!status)
        status = open_sessions(j, model, workers_n, err);
    if (!status) {
        *out = j;
        j = NULL;
    }
    lcf_judge_free(j);
    return status;
}

void lcf_judge_free(lcf_judge *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->workers_n; i++)
        lcf_llama_session_free(j->sessions[i]);
    free(j->sessions);
    lcf_tokens_dispose(&j->common);
    free(j);
}

/* log p(Yes) - log p(No) after these tokens; the normaliser cancels. */
static lcf_status ask(float *logit, const lcf_judge *j, lcf_llama_session *session,
                      const lcf_tokens *tokens, lcf_err *err)
{
    lcf_llama_token *batch = lcf_alloc(tokens->n, sizeof(*batch));
    const float *logits;
    lcf_status status;

    if (!batch)
        return LCF_FAIL(err, LCF_ENOMEM, "prompt of %zu tokens", tokens->n);
    for (size_t i = 0; i < tokens->n; i++)
        batch[i] = (lcf_llama_token){tokens->ids[i], 0, i + 1 == tokens->n};
    lcf_llama_seq_reset(session, 0);
    status = lcf_llama_decode(&logits, session, batch, tokens->n, err);
    if (!status)
        *logit = logits[j->yes] - logits[j->no];
    free(batch);
    return status;
}

static lcf_status judge_one(void *arg, size_t task, size_t worker, lcf_err *err)
{
    lcf_judge *j = arg;
    lcf_tokens tokens = LCF_TOKENS_INIT;
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;
    lcf_facts f;

    lcf_facts_of(&f, j->d, NULL, j->prompt->history_n, j->samples[task]);
    status = lcf_prompt_tokens(&tokens, j->tokenizer, j->prompt, j->d, &f, false, &text, err);
    for (size_t i = 0; i < j->common.n && !status; i++)
        status = lcf_tokens_push(&tokens, j->common.ids[i]);
    if (!status && tokens.n > j->context_n) {
        /* Too long: its end, with the target, is what must be seen. Keep <s>. */
        memmove(tokens.ids + 1, tokens.ids + tokens.n - (j->context_n - 1),
                (j->context_n - 1) * sizeof(*tokens.ids));
        tokens.n = j->context_n;
    }
    if (!status)
        status = ask(&j->logits[task], j, j->sessions[worker], &tokens, err);
    lcf_tokens_dispose(&tokens);
    lcf_buf_dispose(&text);
    return status;
}

lcf_status lcf_judge_run(float *logits, lcf_judge *j, const size_t *samples, size_t n,
                         lcf_pool *pool, lcf_err *err)
{
    LCF_ASSERT(lcf_pool_threads(pool) <= j->workers_n);
    j->samples = samples;
    j->logits = logits;
    return lcf_pool_run(pool, n, judge_one, j, err);
}
