/* The codes step: see run_codes.h. */
#include "offline/recgen/run_codes.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/data/codes.h"
#include "common/data/dataset.h"
#include "common/model/codes.h"
#include "offline/data/counts.h"
#include "offline/llama/tokenizer.h"
#include "offline/recgen/code_stats.h"
#include "offline/recgen/code_text.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct step {
    const lcf_codes_options *o;
    lcf_manifest *manifest;
    lcf_dataset dataset;
    lcf_ranker *ranker;
    lcf_gguf *gguf;
    lcf_tokenizer *tokenizer;
    uint8_t *users, *items;
    lcf_codes codes; /* views of both */
    json_t *stats;
} step;

static lcf_status describe(step *s, lcf_err *err)
{
    const lcf_input inputs[] = {{"dataset", s->o->dataset},
                                {"ranker", s->o->ranker},
                                {"tokenizer", s->o->tokenizer},
                                {NULL, NULL}};

    return lcf_manifest_describe(&s->manifest, "codes", json_object(), inputs, err);
}

static lcf_status open_inputs(step *s, lcf_err *err)
{
    const lcf_ranker_config *c;
    lcf_status status = lcf_dataset_open(&s->dataset, s->o->dataset, err);

    if (!status)
        status = lcf_ranker_open(&s->ranker, s->o->ranker, err);
    if (!status && s->o->tokenizer)
        status = lcf_gguf_open(&s->gguf, s->o->tokenizer, err);
    if (!status && s->gguf)
        status = lcf_tokenizer_from_gguf(&s->tokenizer, s->gguf, err);
    if (status)
        return status;
    c = lcf_ranker_config_of(s->ranker);
    if (c->users_n != s->dataset.users_n || c->items_n != s->dataset.catalogue.items_n)
        return LCF_FAIL(err, LCF_EINVAL,
                        "%s is about %u users and %u items, the dataset %s about %u and %u: the "
                        "ranker must have been trained on it",
                        s->o->ranker, c->users_n, c->items_n, s->o->dataset, s->dataset.users_n,
                        s->dataset.catalogue.items_n);
    return LCF_OK;
}

static lcf_status make_codes(step *s, lcf_err *err)
{
    const lcf_ranker_config *c = lcf_ranker_config_of(s->ranker);
    const size_t bytes = c->dim / 8;

    s->users = lcf_alloc_zero((size_t)c->users_n * bytes + 1, 1);
    s->items = lcf_alloc_zero((size_t)c->items_n * bytes + 1, 1);
    if (!s->users || !s->items)
        return LCF_FAIL(err, LCF_ENOMEM, "codes of %u users and %u items", c->users_n, c->items_n);
    s->codes = (lcf_codes){NULL, bytes, c->users_n, c->items_n, s->users, s->items};
    return lcf_ranker_codes(s->users, s->items, s->ranker, err);
}

/* ---- figures ---- */

/* Tokens that the codes of known items take as text on average. */
static lcf_status mean_tokens(double *out, const step *s, lcf_code_form form, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_status status = LCF_OK;
    size_t tokens_n = 0;

    for (size_t i = 1; i < s->codes.items_n && !status; i++) {
        lcf_buf_reset(&text);
        lcf_code_append(&text, s->items + i * s->codes.bytes, s->codes.bytes, form);
        ids.n = 0;
        status = text.status
                     ? LCF_FAIL(err, text.status, "text of a code")
                     : lcf_tokenizer_encode(&ids, s->tokenizer, text.data, text.len, false, err);
        tokens_n += ids.n;
    }
    *out = (double)tokens_n / (double)(s->codes.items_n > 1 ? s->codes.items_n - 1 : 1);
    lcf_buf_dispose(&text);
    lcf_tokens_dispose(&ids);
    return status;
}

/* Of the known ones of one kind. */
static lcf_status add_stats(json_t *stats, const char *kind, const uint8_t *codes, size_t n,
                            size_t bytes, lcf_err *err)
{
    static const char *const NAMES[][2] = {
        {"distinct_", "s"}, {"", "_ones"}, {"", "_entropy"}, {"", "_bit_entropy"}};
    json_t *values[4] = {NULL, NULL, NULL, json_array()};
    lcf_code_stats c;
    lcf_status status = lcf_code_stats_make(&c, codes + bytes, n - 1, bytes, err);
    int failed = 0;

    if (!status) {
        values[0] = json_integer((json_int_t)c.distinct);
        values[1] = json_real(c.ones);
        values[2] = json_real(c.entropy);
        for (size_t bit = 0; bit < 8 * bytes; bit++)
            failed |= json_array_append_new(values[3], json_real(c.bit_entropy[bit]));
    }
    for (size_t i = 0; i < 4; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%s%s%s", NAMES[i][0], kind, NAMES[i][1]);
        failed |= json_object_set_new(stats, name, values[i]);
    }
    free(c.bit_entropy);
    return !status && failed ? LCF_FAIL(err, LCF_ENOMEM, "statistics of codes") : status;
}

static lcf_status make_stats(step *s, lcf_err *err)
{
    const lcf_codes *c = &s->codes;
    double tokens[LCF_CODE_FORMS_N];
    lcf_status status;

    s->stats = json_pack("{s:I, s:I, s:I}", "bits", (json_int_t)(8 * c->bytes), "users",
                         (json_int_t)c->users_n - 1, "items", (json_int_t)c->items_n - 1);
    status = add_stats(s->stats, "user", c->users, c->users_n, c->bytes, err);
    if (!status)
        status = add_stats(s->stats, "item", c->items, c->items_n, c->bytes, err);
    for (int form = 0; form < LCF_CODE_FORMS_N && s->tokenizer && !status; form++)
        status = mean_tokens(&tokens[form], s, (lcf_code_form)form, err);
    if (!status && s->tokenizer &&
        json_object_set_new(s->stats, "tokens",
                            json_pack("{s:f, s:f}", lcf_code_form_name(LCF_CODE_BITS),
                                      tokens[LCF_CODE_BITS], lcf_code_form_name(LCF_CODE_DOTTED),
                                      tokens[LCF_CODE_DOTTED])))
        status = LCF_FAIL(err, LCF_ENOMEM, "statistics of codes");
    return status ? status : lcf_counts_keep(s->manifest, s->stats, err);
}

/* ---- the step ---- */

static lcf_status write_artefact(step *s, lcf_err *err)
{
    lcf_stage *stage = NULL;
    char *path = NULL;
    lcf_status status = lcf_stage_open(&stage, s->o->out, err);

    if (status)
        return status;
    path = lcf_path_join(lcf_stage_path(stage), "codes.lcf");
    status = path ? lcf_codes_save(path, &s->codes, err)
                  : LCF_FAIL(err, LCF_ENOMEM, "path in %s", s->o->out);
    free(path);
    return lcf_manifest_finish(s->manifest, stage, status, err);
}

static lcf_status make(step *s, lcf_err *err)
{
    lcf_status status = open_inputs(s, err);

    if (!status)
        status = make_codes(s, err);
    if (!status)
        status = make_stats(s, err);
    return status ? status : write_artefact(s, err);
}

lcf_status lcf_codes_step(json_t **stats, bool *current, const lcf_codes_options *options,
                          lcf_err *err)
{
    step s = {.o = options};
    lcf_status status = describe(&s, err);

    *stats = NULL;
    *current = !status && !options->force && lcf_manifest_is_current(s.manifest, options->out);
    if (*current)
        status = lcf_counts_read(stats, options->out, err);
    else if (!status)
        status = make(&s, err);
    if (!status && !*current)
        *stats = json_incref(s.stats);
    json_decref(s.stats);
    free(s.users);
    free(s.items);
    lcf_tokenizer_free(s.tokenizer);
    lcf_gguf_close(s.gguf);
    lcf_ranker_free(s.ranker);
    lcf_dataset_close(&s.dataset);
    lcf_manifest_free(s.manifest);
    return status;
}
