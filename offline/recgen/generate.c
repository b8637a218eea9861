/*
 * Generation; see the header for what is guaranteed. An engine writes the texts in any order; a
 * finished group waits until all groups before it are committed, so that the store grows in the
 * order of the rows.
 */
#include "offline/recgen/generate.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/recgen/endpoint.h"
#include "offline/recgen/engine.h"
#include "offline/recgen/order.h"
#include "offline/recgen/record.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct slot {     /* what becomes of a chosen row */
    bool present;         /* in the store already */
    size_t group, record; /* where its record goes */
} slot;

typedef struct group { /* rows [begin, end) of the chosen ones, committed together */
    size_t begin, end;
    lcf_cot_record *records; /* [missing_n], with texts of their own */
    size_t missing_n, done_n;
    bool committed;
} group;

typedef struct generation {
    const lcf_generate_options *o;
    lcf_generate_result *result;
    lcf_manifest *manifest;
    lcf_prompt_options prompt; /* with the template, if any */
    lcf_prompt_template template;
    char *template_bytes;
    lcf_codes codes;
    lcf_dataset d;
    lcf_related *related;
    lcf_engine *engine;
    lcf_cot_store *store, *other; /* the other one is only looked into; may be NULL */
    lcf_chosen_rows chosen;
    slot *slots; /* [chosen.n] */
    group *groups;
    size_t groups_n;
    char version[LCF_PROMPT_VERSION_BYTES], sampling[LCF_SAMPLING_TEXT_BYTES];
    lcf_score_weights weights_storage;
    const lcf_score_weights *weights; /* NULL: none */
    lcf_provenance provenance;
    pthread_mutex_t mutex;       /* over all below, over the groups' states and `result` */
    size_t take_group, take_row; /* the next row to hand out; take_row counts within all rows */
    uint64_t taken_n, tokens_n;  /* rows handed out; tokens of those that came back */
    size_t commit_group;         /* the first group that is not committed */
    lcf_progress progress;
    double score_sum;
} generation;

void lcf_generate_options_init(lcf_generate_options *o)
{
    *o = (lcf_generate_options){
        .choice = {.share = 0.1, .seed = 1},
        .decoding = {.candidates_n = 3, .tokens_max = 160, .sampling = LCF_SAMPLING_INIT},
        .batch_rows = 8,
        .prompt = LCF_PROMPT_OPTIONS_INIT,
        .endpoint = LCF_ENDPOINT_OPTIONS_INIT,
    };
}

/* The hash of the strings, each ended by a NUL, in their order. */
static void append_stops(lcf_buf *out, const lcf_stops *stops)
{
    lcf_buf all = LCF_BUF_INIT;
    char hex[33];

    for (size_t i = 0; i < stops->n; i++)
        lcf_buf_append(&all, stops->texts[i], strlen(stops->texts[i]) + 1);
    lcf_hash128_hex(hex, lcf_hash128_of(lcf_buf_text(&all), all.len));
    lcf_buf_printf(out, " stops=%s", hex);
    if (all.status)
        out->status = all.status;
    lcf_buf_dispose(&all);
}

lcf_status lcf_generate_weights(const lcf_score_weights **weights, lcf_score_weights *storage,
                                const lcf_generate_options *options, lcf_err *err)
{
    *weights = NULL;
    if (!options->score_weights)
        return LCF_OK;
    *weights = storage;
    return lcf_score_weights_load(storage, options->score_weights, err);
}

lcf_status lcf_sampling_text(char out[LCF_SAMPLING_TEXT_BYTES], const lcf_generate_options *o,
                             const lcf_score_weights *weights, lcf_err *err)
{
    const lcf_decoding *how = &o->decoding;
    const lcf_sampling *s = &how->sampling;
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_printf(&text,
                   "temperature=%.6g top_k=%u top_p=%.6g candidates=%zu max_tokens=%zu seed=%llu",
                   (double)s->temperature, s->top_k, (double)s->top_p, how->candidates_n,
                   how->tokens_max, (unsigned long long)o->choice.seed);
    if (s->min_p > 0)
        lcf_buf_printf(&text, " min_p=%.6g", (double)s->min_p);
    if (s->repeat_penalty > 0 && s->repeat_penalty != 1)
        lcf_buf_printf(&text, " repeat_penalty=%.6g", (double)s->repeat_penalty);
    if (how->beams_n)
        lcf_buf_printf(&text, " beams=%zu", how->beams_n);
    if (how->stops.n)
        append_stops(&text, &how->stops);
    if (weights)
        lcf_buf_printf(&text, " score=%s", weights->id);
    status = text.status ? LCF_FAIL(err, text.status, "sampling parameters") : LCF_OK;
    snprintf(out, LCF_SAMPLING_TEXT_BYTES, "%s", lcf_buf_text(&text));
    lcf_buf_dispose(&text);
    return status;
}

/* ---- which rows ---- */

static lcf_status is_present(bool *out, lcf_cot_store *store, lcf_hash128 key, lcf_err *err)
{
    lcf_status status = store ? lcf_cot_store_has(store, key, err) : LCF_ENOTFOUND;

    *out = !status;
    return status == LCF_ENOTFOUND ? LCF_OK : status;
}

/* Marks what is in a store. Rows of equal content have one key, and so one record. */
static lcf_status look_up(generation *g, lcf_err *err)
{
    lcf_status status = LCF_OK;

    g->slots = lcf_alloc_zero(g->chosen.n + 1, sizeof(*g->slots));
    if (!g->slots)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu chosen rows", g->chosen.n);
    for (size_t i = 0; i < g->chosen.n && !status; i++) {
        slot *s = &g->slots[i];
        status = is_present(&s->present, g->store, g->chosen.rows[i].key, err);
        if (!status && !s->present)
            status = is_present(&s->present, g->other, g->chosen.rows[i].key, err);
        g->result->rows_present += s->present;
    }
    g->result->rows_chosen = g->chosen.n;
    return status;
}

/* Rows of one commit. What an endpoint has answered is paid for: it is kept at once. */
static size_t commit_rows(const lcf_generate_options *o)
{
    return o->endpoint.url ? 1 : o->batch_rows;
}

static lcf_status form_groups(generation *g, lcf_err *err)
{
    size_t batch = commit_rows(g->o);

    g->groups = lcf_alloc_zero(g->chosen.n / batch + 1, sizeof(*g->groups));
    if (!g->groups)
        return LCF_FAIL(err, LCF_ENOMEM, "groups of %zu rows", g->chosen.n);
    for (size_t begin = 0; begin < g->chosen.n; begin += batch) {
        group *gr = &g->groups[g->groups_n];
        size_t end = begin + batch < g->chosen.n ? begin + batch : g->chosen.n;
        *gr = (group){.begin = begin, .end = end};
        for (size_t i = begin; i < end; i++)
            if (!g->slots[i].present) {
                g->slots[i].group = g->groups_n;
                g->slots[i].record = gr->missing_n++;
            }
        g->groups_n += gr->missing_n > 0;
    }
    if (g->groups_n)
        g->take_row = g->groups[0].begin;
    return LCF_OK;
}

/* ---- commit, in order ---- */

static void free_records(group *gr)
{
    for (size_t i = 0; gr->records && i < gr->missing_n; i++)
        lcf_record_dispose(&gr->records[i]);
    free(gr->records);
    gr->records = NULL;
}

static lcf_status commit(generation *g, group *gr, lcf_err *err)
{
    lcf_generate_result *result = g->result;
    lcf_status status = lcf_cot_store_put(g->store, gr->records, gr->missing_n, err);

    gr->committed = true;
    for (size_t i = 0; i < gr->missing_n && !status; i++) {
        result->rows_generated++;
        result->rows_rejected += gr->records[i].reject_reason[0] != '\0';
        result->tokens_generated += gr->records[i].tokens_generated;
        g->score_sum += gr->records[i].score;
    }
    free_records(gr);
    return status;
}

static bool is_ready(const group *gr)
{
    return gr->done_n == gr->missing_n && !gr->committed;
}

static void show_progress(generation *g)
{
    lcf_progress_note(&g->progress, "%.0f tokens/s, %llu rejected",
                      (double)g->result->tokens_generated /
                          (lcf_clock_s() - g->progress.start_s + 1e-9),
                      (unsigned long long)g->result->rows_rejected);
    lcf_progress_update(&g->progress, g->result->rows_generated);
}

/* Under the mutex. */
static lcf_status commit_now(generation *g, group *gr, lcf_err *err)
{
    lcf_status status = commit(g, gr, err);

    show_progress(g);
    return status;
}

/* Under the mutex: commits every ready group up to the first that is not. */
static lcf_status commit_ready(generation *g, lcf_err *err)
{
    lcf_status status = LCF_OK;

    while (!status && g->commit_group < g->groups_n && is_ready(&g->groups[g->commit_group]))
        status = commit(g, &g->groups[g->commit_group++], err);
    show_progress(g);
    return status;
}

/* Leaves the rows of a group that are done. */
static void gather_done(group *gr)
{
    size_t n = 0;

    for (size_t i = 0; i < gr->missing_n; i++)
        if (gr->records[i].text)
            gr->records[n++] = gr->records[i];
    gr->missing_n = n;
}

/* After a stop, a budget or a failure: what is done behind a gap, or of a group, is kept too. */
static lcf_status commit_rest(generation *g, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < g->groups_n && !status; i++) {
        group *gr = &g->groups[i];
        if (!gr->records || gr->committed)
            continue;
        gather_done(gr);
        status = commit(g, gr, err);
    }
    return status;
}

/* ---- the engine's job ---- */

/* Under the mutex: whether to begin nothing more, rows_n having been begun. */
static bool is_over(generation *g, uint64_t rows_n)
{
    const char *budget = lcf_budget_reached(&g->o->budget, rows_n, g->tokens_n, g->o->out);

    if (budget)
        g->result->budget = budget;
    return budget || lcf_stop_requested();
}

static bool stopping(void *arg)
{
    generation *g = arg;
    bool over;

    pthread_mutex_lock(&g->mutex);
    over = is_over(g, 0); /* rows that were begun are finished, however many were allowed */
    pthread_mutex_unlock(&g->mutex);
    return over;
}

/* Under the mutex: the numbers of up to n rows of one group. */
static size_t hand_out(generation *g, lcf_ask *out, size_t n)
{
    const uint64_t rows_max = g->o->budget.rows_max;
    size_t taken = 0;

    if (g->take_group == g->groups_n || is_over(g, g->taken_n))
        return 0;
    if (rows_max && n > rows_max - g->taken_n)
        n = (size_t)(rows_max - g->taken_n);
    for (const group *gr = &g->groups[g->take_group]; taken < n && g->take_row < gr->end;
         g->take_row++)
        if (!g->slots[g->take_row].present)
            out[taken++].row = g->take_row;
    while (g->take_row < g->groups[g->take_group].end && g->slots[g->take_row].present)
        g->take_row++;
    if (g->take_row == g->groups[g->take_group].end && ++g->take_group < g->groups_n)
        g->take_row = g->groups[g->take_group].begin;
    g->taken_n += taken;
    return taken;
}

static size_t take(void *arg, lcf_ask *out, size_t n)
{
    generation *g = arg;

    pthread_mutex_lock(&g->mutex);
    n = hand_out(g, out, n);
    pthread_mutex_unlock(&g->mutex);
    for (size_t i = 0; i < n; i++) {
        out[i].key = g->chosen.rows[out[i].row].key;
        out[i].history_n = g->prompt.history_n;
        lcf_facts_of(&out[i].facts, &g->d, g->related, out[i].history_n,
                     g->chosen.rows[out[i].row].sample);
    }
    return n;
}

static bool shorten(void *arg, lcf_ask *ask)
{
    const generation *g = arg;

    if (ask->history_n == 1)
        return false;
    ask->history_n = (ask->history_n + 1) / 2;
    lcf_facts_of(&ask->facts, &g->d, g->related, ask->history_n, g->chosen.rows[ask->row].sample);
    return true;
}

/* Under the mutex. */
static lcf_status add_record(generation *g, group *gr, size_t at, lcf_cot_record *record,
                             lcf_err *err)
{
    if (!gr->records)
        gr->records = lcf_alloc_zero(gr->missing_n, sizeof(*gr->records));
    if (!gr->records)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu records", gr->missing_n);
    gr->records[at] = *record;
    g->tokens_n += record->tokens_generated;
    memset(record, 0, sizeof(*record)); /* its strings are the group's now */
    gr->done_n++;
    if (!is_ready(gr))
        return LCF_OK;
    /* An endpoint answers when it likes: what is paid for does not wait for what is late. */
    return g->o->endpoint.url ? commit_now(g, gr, err) : commit_ready(g, err);
}

static lcf_status done(void *arg, const lcf_ask *ask, const lcf_answer *answers, size_t answers_n,
                       size_t prompt_tokens_n, lcf_err *err)
{
    generation *g = arg;
    const lcf_chosen *row = &g->chosen.rows[ask->row];
    const slot *place = &g->slots[ask->row];
    lcf_cot_record record;
    lcf_status status = lcf_record_make(&record, &g->provenance, ask, row->sample_hash, answers,
                                        answers_n, prompt_tokens_n, err);

    if (!status) {
        pthread_mutex_lock(&g->mutex);
        status = add_record(g, &g->groups[place->group], place->record, &record, err);
        pthread_mutex_unlock(&g->mutex);
    }
    lcf_record_dispose(&record);
    return status;
}

/* ---- the step ---- */

static lcf_status describe_model(generation *g, lcf_err *err)
{
    const lcf_endpoint_options *e = &g->o->endpoint;
    char id[LCF_OPENAI_ID_BYTES];

    if (!e->url)
        return lcf_manifest_input(g->manifest, "model", g->o->model, err);
    lcf_openai_model_id(id, e->api, e->model_name);
    return lcf_manifest_param_str(g->manifest, "endpoint_model", id, err);
}

static lcf_status describe(generation *g, lcf_err *err)
{
    const lcf_generate_options *o = g->o;
    const lcf_input inputs[] = {{"dataset", o->dataset}, {NULL, NULL}};
    const lcf_row_choice *c = &o->choice;
    char shard[64];
    json_t *params;
    lcf_status status = lcf_generate_weights(&g->weights, &g->weights_storage, o, err);

    lcf_prompt_version(g->version, &g->prompt);
    if (!status)
        status = lcf_sampling_text(g->sampling, o, g->weights, err);
    if (status)
        return status;
    snprintf(shard, sizeof(shard), "%zu/%zu", c->shard, c->shards_n);
    /* skip_in counts: without it, rows that this store lacks are to be made */
    params = json_pack("{s:s, s:s, s:f, s:I, s:s?, s:s?, s:I}", "prompt", g->version, "sampling",
                       g->sampling, "share", c->share, "rows", (json_int_t)c->rows_max, "shard",
                       c->shards_n ? shard : NULL, "skip_in", o->skip_in ? "yes" : NULL, "batch",
                       (json_int_t)commit_rows(o));
    status = lcf_manifest_describe(&g->manifest, "generate", params, inputs, err);
    return status ? status : describe_model(g, err);
}

static lcf_status open_engine(generation *g, lcf_err *err)
{
    const lcf_generate_options *o = g->o;
    lcf_engine_options options = {&g->d,      &g->prompt, o->decoding,
                                  o->threads, o->slots,   o->kv_bytes_max};
    lcf_status status = o->endpoint.url
                            ? lcf_engine_remote_create(&g->engine, &options, &o->endpoint, err)
                            : lcf_engine_local_create(&g->engine, &options, o->model, err);

    if (!status)
        g->provenance = (lcf_provenance){&g->d,       &g->prompt,
                                         g->version,  g->engine->model_id,
                                         g->sampling, o->decoding.candidates_n,
                                         g->weights};
    return status;
}

static lcf_status open_stores(generation *g, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_status status = LCF_OK;

    if (g->o->skip_in)
        status = lcf_cot_store_open(&g->other, g->o->skip_in, &options, err);
    if (!status)
        status = lcf_dir_create(g->o->out, err);
    options.write = true;
    return status ? status : lcf_cot_store_open(&g->store, g->o->out, &options, err);
}

static lcf_status open_inputs(generation *g, lcf_err *err)
{
    lcf_status status = lcf_dataset_open(&g->d, g->o->dataset, err);

    if (!status)
        status = lcf_prompt_open_codes(&g->prompt, &g->codes, g->o->codes, &g->d,
                                       g->o->template_file, err);
    if (!status)
        status = open_engine(g, err);
    if (!status)
        status = lcf_related_create(&g->related, &g->d, err);
    if (!status) {
        const lcf_row_source source = {g->version, g->engine->model_id, g->sampling};
        status = lcf_rows_choose(&g->chosen, &g->d, &g->o->choice, &source, err);
    }
    if (!status)
        status = lcf_rows_order(&g->chosen, &g->d, g->related, &g->prompt, err);
    if (!status)
        status = open_stores(g, err);
    if (!status)
        status = look_up(g, err);
    return status ? status : form_groups(g, err);
}

/* The manifest describes a finished store: while there is work to do there is none. */
static lcf_status remove_manifest(const generation *g, lcf_err *err)
{
    char *path = lcf_path_join(g->o->out, "manifest.json");
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of the manifest");
    if (lcf_path_exists(path) && unlink(path) < 0)
        status = LCF_FAIL_ERRNO(err, "cannot remove %s", path);
    free(path);
    return status;
}

static lcf_status generate_missing(generation *g, lcf_err *err)
{
    const lcf_job job = {g, take, stopping, shorten, done};
    lcf_generate_result *result = g->result;
    lcf_err rest_err = LCF_ERR_INIT;
    lcf_status status = remove_manifest(g, err), rest;

    if (status)
        return status;
    lcf_log(LCF_LOG_INFO, "generate rows=%llu present=%llu groups=%zu model=%s prompt=\"%s\" %s",
            (unsigned long long)result->rows_chosen, (unsigned long long)result->rows_present,
            g->groups_n, g->engine->model_id, g->version, g->sampling);
    lcf_progress_start(&g->progress, "generate", "rows",
                       result->rows_chosen - result->rows_present);
    status = g->engine->run(g->engine, &job, err);
    result->engine = g->engine->stats;
    rest = commit_rest(g, status ? &rest_err : err);
    lcf_progress_end(&g->progress);
    result->rows_left = result->rows_chosen - result->rows_present - result->rows_generated;
    if (!result->rows_left)
        result->budget = NULL;
    if (!status && !rest && result->rows_left && lcf_stop_requested())
        status = LCF_FAIL(err, LCF_ECANCELED,
                          "stopped; what was generated is stored, the same command goes on");
    if (status && result->rows_generated)
        lcf_err_prefix(err, "%llu rows were generated and stored",
                       (unsigned long long)result->rows_generated);
    return status ? status : rest;
}

static lcf_status finish(generation *g, lcf_err *err)
{
    char digest[LCF_SHA256_HEX_BYTES];
    lcf_cot_store_stats stats;
    lcf_status status = lcf_cot_store_stat(&stats, g->store, err);

    if (!status)
        status = lcf_cot_store_digest(digest, g->store, err);
    if (!status)
        status = lcf_manifest_stat(g->manifest, "records",
                                   json_integer((json_int_t)stats.records_n), err);
    if (!status)
        status = lcf_manifest_stat(g->manifest, "rows",
                                   json_integer((json_int_t)g->result->rows_chosen), err);
    return status ? status : lcf_manifest_write_content(g->manifest, g->o->out, digest, err);
}

static void dispose(generation *g)
{
    for (size_t i = 0; i < g->groups_n; i++)
        free_records(&g->groups[i]);
    free(g->groups);
    lcf_chosen_rows_dispose(&g->chosen);
    free(g->slots);
    lcf_cot_store_close(g->store);
    lcf_cot_store_close(g->other);
    lcf_engine_free(g->engine);
    lcf_related_free(g->related);
    lcf_codes_close(&g->codes);
    lcf_dataset_close(&g->d);
    lcf_manifest_free(g->manifest);
    free(g->template_bytes);
    pthread_mutex_destroy(&g->mutex);
}

static lcf_status check_options(const lcf_generate_options *o, lcf_err *err)
{
    const lcf_decoding *how = &o->decoding;

    if (!how->candidates_n || !how->tokens_max || !o->batch_rows || !o->prompt.history_n)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "candidates, max-tokens, batch and history must be positive");
    if (how->beams_n && how->beams_n < how->candidates_n)
        return LCF_FAIL(err, LCF_EUSAGE, "%zu beams cannot give %zu candidates", how->beams_n,
                        how->candidates_n);
    return o->endpoint.url ? lcf_openai_check(how, err) : LCF_OK;
}

/* The counts of a store that is up to date, from its manifest. */
static lcf_status read_result(lcf_generate_result *result, const char *dir, lcf_err *err)
{
    char id[65];
    json_t *manifest = NULL;
    lcf_status status = lcf_manifest_read(id, &manifest, dir, err);

    result->current = true;
    if (!status)
        status =
            lcf_json_u64(&result->rows_chosen, json_object_get(manifest, "stats"), "rows", err);
    result->rows_present = result->rows_chosen;
    json_decref(manifest);
    return status;
}

lcf_status lcf_generate(lcf_generate_result *result, const lcf_generate_options *options,
                        lcf_err *err)
{
    generation g = {.o = options, .result = result, .mutex = PTHREAD_MUTEX_INITIALIZER};
    double start_s = lcf_clock_s();
    uint64_t good;
    lcf_status status = check_options(options, err);

    memset(result, 0, sizeof(*result));
    if (!status)
        status = lcf_prompt_open(&g.prompt, &g.template, &g.template_bytes, &options->prompt,
                                 options->template_file, err);
    if (!status)
        status = lcf_prompt_need(&g.prompt, true, err);
    if (!status)
        status = lcf_prompt_name_codes(&g.prompt, options->codes, err);
    if (!status)
        status = describe(&g, err);
    if (!status && !options->force && lcf_manifest_is_current(g.manifest, options->out)) {
        status = read_result(result, options->out, err);
        goto done;
    }
    if (!status)
        status = open_inputs(&g, err);
    if (!status && g.groups_n)
        status = generate_missing(&g, err);
    if (!status && !result->rows_left)
        status = finish(&g, err);
done:
    good = result->rows_generated - result->rows_rejected;
    result->score_mean = good ? g.score_sum / (double)good : (double)NAN;
    result->seconds = lcf_clock_s() - start_s;
    dispose(&g);
    return status;
}
