/* A prompt with soft tokens; see the header. */
#include "offline/ilm/soft_complete.h"

#include "common/base/mem.h"
#include "offline/ilm/adapter.h"
#include "offline/ilm/soft_prompt.h"

#include <stdlib.h>
#include <string.h>

typedef struct source {
    lcf_dataset d;
    lcf_cf_vectors v;
    lcf_ilm_adapter *a;
    lcf_pool *pool;
    float *rows; /* of all entities */
    size_t rows_n;
} source;

static lcf_status open_source(source *s, const lcf_llama *m, const lcf_soft_source *from,
                              size_t threads, lcf_err *err)
{
    lcf_status status = lcf_dataset_open(&s->d, from->dataset, err);

    if (!status)
        status = lcf_cf_vectors_open(&s->v, from->ranker, &s->d, err);
    if (!status)
        status = lcf_ilm_adapter_open(&s->a, from->adapter, err);
    if (!status)
        status = lcf_ilm_adapter_check(s->a, m, &s->v, err);
    if (!status)
        status = lcf_pool_create(&s->pool, threads, err);
    if (status)
        return status;
    s->rows_n = lcf_cf_entities(&s->v) * lcf_ilm_adapter_config(s->a)->tokens;
    s->rows = lcf_alloc(s->rows_n, m->config.dim * sizeof(*s->rows));
    return s->rows ? lcf_ilm_adapter_table(s->rows, s->a, &s->v, s->pool, err)
                   : LCF_FAIL(err, LCF_ENOMEM, "%zu soft tokens", s->rows_n);
}

static void close_source(source *s)
{
    free(s->rows);
    lcf_pool_free(s->pool);
    lcf_ilm_adapter_free(s->a);
    lcf_cf_vectors_dispose(&s->v);
    lcf_dataset_close(&s->d);
}

lcf_status lcf_soft_complete(lcf_completion *out, const lcf_llama *m, const char *prompt,
                             const lcf_soft_source *from, const lcf_complete_options *options,
                             lcf_err *err)
{
    source s = {.rows = NULL};
    lcf_tokens tokens = LCF_TOKENS_INIT;
    lcf_status status = open_source(&s, m, from, options->threads, err);

    memset(out, 0, sizeof(*out));
    if (!status) {
        const lcf_soft_form form = {m->tokenizer, &s.d, m->config.vocab_n,
                                    lcf_ilm_adapter_config(s.a)->tokens, 0};
        const lcf_soft_tokens soft = {s.rows, s.rows_n};

        status = lcf_soft_prompt_named(&tokens, (lcf_str){prompt, strlen(prompt)}, &form, err);
        if (!status)
            status = lcf_complete_tokens(out, m, &tokens, &soft, options, err);
    }
    lcf_tokens_dispose(&tokens);
    close_source(&s);
    return status;
}
