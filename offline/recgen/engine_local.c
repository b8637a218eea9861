/*
 * The local engine: rows go to a decoder as it has room for them, and back to the job as they are
 * complete; see decode.h for what the texts depend on.
 */
#include "offline/recgen/engine.h"

#include "common/base/mem.h"
#include "offline/recgen/mixture.h"

#include <stdlib.h>

typedef struct local {
    lcf_engine face;
    lcf_engine_options o;
    lcf_llama *model;
    /* of the run in progress */
    const lcf_job *job;
    lcf_decoder *decoder;
    lcf_ask *asks; /* [asks_n] rows that the decoder has, by its id for them */
    bool *taken;   /* [asks_n] */
    size_t asks_n;
    lcf_answer *answers;  /* [candidates_n] */
    size_t *text_end;     /* [candidates_n] where each candidate's text ends in `text` */
    lcf_buf prompt, text; /* scratch; texts of one row */
} local;

/* The row's prompt: the dialect's text, or its messages in the model's chat template. */
static lcf_status encode_prompt(lcf_tokens *out, local *l, const lcf_facts *facts, lcf_err *err)
{
    const lcf_tokenizer *tokenizer = l->model->tokenizer;
    lcf_buf system = LCF_BUF_INIT;
    lcf_status status;

    if (l->o.prompt->chat == LCF_TEMPLATE_PLAIN)
        return lcf_prompt_tokens(out, tokenizer, l->o.prompt, l->o.dataset, facts, true, &l->prompt,
                                 err);
    lcf_buf_reset(&l->prompt);
    lcf_prompt_chat(&system, &l->prompt, l->o.prompt, l->o.dataset, facts);
    status = system.status || l->prompt.status ? LCF_FAIL(err, LCF_ENOMEM, "prompt text") : LCF_OK;
    if (!status)
        status = lcf_template_encode(out, tokenizer, l->o.prompt->chat,
                                     (lcf_str){lcf_buf_text(&system), system.len},
                                     (lcf_str){lcf_buf_text(&l->prompt), l->prompt.len}, err);
    lcf_buf_dispose(&system);
    return status;
}

/* The row's prompt, with as much history as the model's context has room for. Memory takes none of
 * it: the same row has the same text on any machine, or none. */
static lcf_status make_prompt(lcf_tokens *prompt, local *l, lcf_ask *ask, lcf_err *err)
{
    const size_t room = l->model->config.context_n - l->o.decoding.tokens_max;
    const size_t most = lcf_decoder_prompt_max(l->decoder);

    for (;;) {
        lcf_status status;
        prompt->n = 0;
        status = encode_prompt(prompt, l, &ask->facts, err);
        if (status || prompt->n <= most)
            return status;
        if (prompt->n <= room)
            return LCF_FAIL(err, LCF_ELIMIT,
                            "a prompt of %zu tokens; a KV cache of %zu bytes has room for %zu: "
                            "give it more",
                            prompt->n, l->o.kv_bytes_max, most);
        if (!l->job->shorten(l->job->arg, ask))
            return LCF_FAIL(err, LCF_ELIMIT,
                            "a prompt of %zu tokens; the model's context leaves room for %zu",
                            prompt->n, room);
    }
}

static lcf_status next(void *arg, lcf_decoder_row *row, bool *any, lcf_err *err)
{
    local *l = arg;
    size_t idx = 0;

    while (l->taken[idx])
        idx++; /* there are as many as the decoder can hold */
    *any = l->job->take(l->job->arg, &l->asks[idx], 1) == 1;
    if (!*any)
        return LCF_OK;
    l->taken[idx] = true;
    row->id = idx;
    row->key = l->asks[idx].key;
    return make_prompt(&row->prompt, l, &l->asks[idx], err);
}

/* Up to a stop string. */
static void append_text(local *l, const lcf_tokens *tokens)
{
    size_t begin = l->text.len;

    lcf_tokenizer_decode(&l->text, l->model->tokenizer, tokens->ids, tokens->n);
    if (!l->text.status)
        l->text.len = begin + lcf_stops_find(&l->o.decoding.stops, lcf_buf_text(&l->text) + begin,
                                             l->text.len - begin);
}

static lcf_status done(void *arg, const lcf_decoder_row *row, const lcf_candidate *candidates,
                       lcf_err *err)
{
    local *l = arg;
    size_t n = l->o.decoding.candidates_n;

    lcf_buf_reset(&l->text);
    for (size_t c = 0; c < n; c++) {
        append_text(l, &candidates[c].tokens);
        l->text_end[c] = l->text.len;
    }
    if (l->text.status)
        return LCF_FAIL(err, l->text.status, "generated text");
    for (size_t c = 0; c < n; c++) {
        size_t begin = c ? l->text_end[c - 1] : 0;
        l->answers[c] = (lcf_answer){{lcf_buf_text(&l->text) + begin, l->text_end[c] - begin},
                                     candidates[c].tokens.n,
                                     candidates[c].finished};
    }
    l->taken[row->id] = false;
    return l->job->done(l->job->arg, &l->asks[row->id], l->answers, n, row->prompt.n, err);
}

static lcf_status open_decoder(local *l, lcf_err *err)
{
    lcf_decoder_options options = {
        .decoding = l->o.decoding,
        .slots = l->o.slots,
        .threads = l->o.threads,
        .kv_bytes_max = l->o.kv_bytes_max,
    };
    lcf_status status = lcf_decoder_create(&l->decoder, l->model, &options, err);

    if (status)
        return status;
    l->asks_n = lcf_decoder_rows_max(l->decoder) + 1; /* and the one that waits for room */
    l->asks = lcf_alloc(l->asks_n, sizeof(*l->asks));
    l->taken = lcf_alloc_zero(l->asks_n, sizeof(*l->taken));
    l->answers = lcf_alloc(l->o.decoding.candidates_n, sizeof(*l->answers));
    l->text_end = lcf_alloc(l->o.decoding.candidates_n, sizeof(*l->text_end));
    return l->asks && l->taken && l->answers && l->text_end
               ? LCF_OK
               : LCF_FAIL(err, LCF_ENOMEM, "room for %zu rows", l->asks_n);
}

static void close_decoder(local *l)
{
    lcf_decoder_free(l->decoder);
    l->decoder = NULL;
    free(l->asks);
    free(l->taken);
    free(l->answers);
    free(l->text_end);
    lcf_buf_dispose(&l->prompt);
    lcf_buf_dispose(&l->text);
}

static lcf_status run(lcf_engine *e, const lcf_job *job, lcf_err *err)
{
    local *l = (local *)e;
    lcf_decoder_source source = {l, next, done};
    lcf_status status = open_decoder(l, err);

    l->job = job;
    if (!status)
        status = lcf_decoder_run(l->decoder, &source, err);
    if (l->decoder) {
        const lcf_decoder_stats *stats = lcf_decoder_stats_of(l->decoder);
        e->stats.tokens_served = stats->prompt_tokens + stats->made_tokens;
        e->stats.tokens_computed = stats->prompt_computed + stats->made_tokens;
    }
    close_decoder(l);
    return status;
}

static void free_local(lcf_engine *e)
{
    local *l = (local *)e;

    lcf_llama_close(l->model);
    free(l);
}

lcf_status lcf_engine_local_create(lcf_engine **out, const lcf_engine_options *options,
                                   const char *model, lcf_err *err)
{
    local *l = lcf_alloc_zero(1, sizeof(*l));
    lcf_status status;

    *out = NULL;
    if (!l)
        return LCF_FAIL(err, LCF_ENOMEM, "engine");
    l->o = *options;
    l->face.run = run;
    l->face.free = free_local;
    status = lcf_llama_open(&l->model, model, err);
    if (status) {
        free_local(&l->face);
        return status;
    }
    l->face.model_id = l->model->id;
    *out = &l->face;
    return LCF_OK;
}

void lcf_engine_free(lcf_engine *e)
{
    if (e)
        e->free(e);
}
