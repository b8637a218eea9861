/*
 * Generation; see the header for what is guaranteed. Workers decode groups in any order; a finished
 * group waits until all groups before it are committed, so that the store grows in dataset order.
 */
#include "offline/recgen/generate.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/pool.h"
#include "common/base/progress.h"
#include "offline/recgen/decode.h"
#include "offline/recgen/mixture.h"
#include "offline/recgen/score.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct chosen { /* a row to explain */
    uint64_t hash;      /* that chose it */
    size_t sample;
    lcf_hash128 sample_hash, key;
    bool present; /* in the store already */
} chosen;

typedef struct group { /* rows [begin, end) of the chosen ones, committed together */
    size_t begin, end;
    lcf_cot_record *records; /* [records_n], with texts of their own */
    size_t records_n;
    bool ready, committed;
} group;

typedef struct worker { /* one thread's room */
    lcf_decoder *decoder;
    lcf_tokens *prompts; /* [batch_rows] */
    lcf_facts *facts;    /* [batch_rows] */
    lcf_hash128 *keys;   /* [batch_rows] */
    size_t *rows;        /* [batch_rows] into chosen */
    lcf_buf raw, text, prompt, title;
} worker;

typedef struct generation {
    const lcf_generate_options *o;
    lcf_generate_result *result;
    lcf_manifest *manifest;
    lcf_dataset d;
    lcf_related *related;
    lcf_llama *model;
    lcf_cot_store *store;
    lcf_pool *pool;
    worker *workers;
    size_t workers_n;
    chosen *rows;
    size_t rows_n, rows_capacity;
    group *groups;
    size_t groups_n, next_group;
    char version[LCF_PROMPT_VERSION_BYTES], sampling[LCF_SAMPLING_TEXT_BYTES];
    pthread_mutex_t mutex; /* over all below, over the groups' states and `result` */
    lcf_progress progress;
    double score_sum;
} generation;

void lcf_generate_options_init(lcf_generate_options *o)
{
    *o = (lcf_generate_options){
        .share = 0.1,
        .seed = 1,
        .candidates_n = 3,
        .tokens_max = 160,
        .batch_rows = 8,
        .sampling = LCF_SAMPLING_INIT,
        .prompt = LCF_PROMPT_OPTIONS_INIT,
    };
}

void lcf_sampling_text(char out[LCF_SAMPLING_TEXT_BYTES], const lcf_generate_options *o)
{
    snprintf(out, LCF_SAMPLING_TEXT_BYTES,
             "temperature=%.6g top_k=%u top_p=%.6g candidates=%zu max_tokens=%zu seed=%llu",
             (double)o->sampling.temperature, o->sampling.top_k, (double)o->sampling.top_p,
             o->candidates_n, o->tokens_max, (unsigned long long)o->seed);
}

lcf_hash128 lcf_cot_key(lcf_hash128 sample, const char *prompt_version, const char *model_id,
                        const char *sampling)
{
    char bytes[16 + LCF_PROMPT_VERSION_BYTES + 40 + LCF_SAMPLING_TEXT_BYTES];
    const char *const parts[] = {prompt_version, model_id, sampling};
    size_t n = sizeof(sample.bytes);

    memcpy(bytes, sample.bytes, n);
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(parts[i]) + 1; /* the NUL ends a part */
        LCF_ASSERT(n + len <= sizeof(bytes));
        memcpy(bytes + n, parts[i], len);
        n += len;
    }
    return lcf_hash128_of(bytes, n);
}

/* ---- which rows ---- */

static int by_hash(const void *a, const void *b)
{
    const chosen *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return memcmp(x->sample_hash.bytes, y->sample_hash.bytes, 16);
}

static int by_sample(const void *a, const void *b)
{
    const chosen *x = a, *y = b;

    return (x->sample > y->sample) - (x->sample < y->sample);
}

static lcf_status choose_rows(generation *g, lcf_err *err)
{
    double threshold = g->o->share * 0x1p64;
    size_t begin = g->d.split_begin[LCF_TRAIN], end = g->d.split_begin[LCF_TRAIN + 1];

    for (size_t i = begin; i < end; i++) {
        lcf_hash128 hash = lcf_dataset_sample_hash(&g->d, i);
        uint64_t u = lcf_hash64(hash.bytes, sizeof(hash.bytes), g->o->seed);
        if ((double)u >= threshold)
            continue;
        if (lcf_grow((void **)&g->rows, &g->rows_capacity, g->rows_n + 1, sizeof(*g->rows)))
            return LCF_FAIL(err, LCF_ENOMEM, "%zu chosen rows", g->rows_n + 1);
        g->rows[g->rows_n++] =
            (chosen){u, i, hash, lcf_cot_key(hash, g->version, g->model->id, g->sampling), false};
    }
    if (g->o->rows_max && g->rows_n > g->o->rows_max) {
        qsort(g->rows, g->rows_n, sizeof(*g->rows), by_hash);
        g->rows_n = g->o->rows_max;
        qsort(g->rows, g->rows_n, sizeof(*g->rows), by_sample);
    }
    return LCF_OK;
}

/* Marks what is in the store. Rows of equal content have one key, and so one record. */
static lcf_status look_up(generation *g, lcf_err *err)
{
    for (size_t i = 0; i < g->rows_n; i++) {
        lcf_status status = lcf_cot_store_has(g->store, g->rows[i].key, err);
        if (status && status != LCF_ENOTFOUND)
            return status;
        g->rows[i].present = !status;
        g->result->rows_present += !status;
    }
    g->result->rows_chosen = g->rows_n;
    return LCF_OK;
}

static lcf_status form_groups(generation *g, lcf_err *err)
{
    size_t batch = g->o->batch_rows;

    g->groups = lcf_alloc_zero(g->rows_n / batch + 1, sizeof(*g->groups));
    if (!g->groups)
        return LCF_FAIL(err, LCF_ENOMEM, "groups of %zu rows", g->rows_n);
    for (size_t begin = 0; begin < g->rows_n; begin += batch) {
        size_t end = begin + batch < g->rows_n ? begin + batch : g->rows_n, missing = 0;
        for (size_t i = begin; i < end; i++)
            missing += !g->rows[i].present;
        if (missing)
            g->groups[g->groups_n++] = (group){.begin = begin, .end = end};
    }
    return LCF_OK;
}

/* ---- one group ---- */

/*
 * The row's prompt, with as much history as the model's context has room for.
 */
static lcf_status make_prompt(generation *g, worker *w, size_t slot, lcf_err *err)
{
    size_t room = lcf_decoder_prompt_max(w->decoder), history = g->o->prompt.history_n;
    lcf_tokens *prompt = &w->prompts[slot];

    for (;; history = (history + 1) / 2) {
        lcf_status status;
        lcf_facts_of(&w->facts[slot], &g->d, g->related, history, g->rows[w->rows[slot]].sample);
        prompt->n = 0;
        status = lcf_prompt_tokens(prompt, g->model->tokenizer, &g->o->prompt, &g->d,
                                   &w->facts[slot], true, &w->prompt, err);
        if (status || prompt->n <= room)
            return status;
        if (history == 1)
            return LCF_FAIL(err, LCF_ELIMIT,
                            "a prompt of %zu tokens; the model's context leaves room for %zu",
                            prompt->n, room);
    }
}

/* Without blanks at either end, and printable whatever the model wrote. */
static void clean_text(lcf_buf *text)
{
    bool valid = lcf_utf8_valid(lcf_buf_text(text), text->len);
    size_t skip = 0;

    while (skip < text->len && (unsigned char)text->data[skip] <= ' ')
        skip++;
    if (skip) {
        memmove(text->data, text->data + skip, text->len - skip + 1);
        text->len -= skip;
    }
    while (text->len && (unsigned char)text->data[text->len - 1] <= ' ')
        text->data[--text->len] = '\0';
    for (size_t i = 0; i < text->len; i++) {
        if ((unsigned char)text->data[i] < ' ' && text->data[i] != '\n')
            text->data[i] = ' ';
        else if (!valid && (unsigned char)text->data[i] >= 128)
            text->data[i] = '?';
    }
}

static lcf_status own_strings(lcf_cot_record *r, const generation *g, const lcf_facts *f,
                              lcf_err *err)
{
    lcf_str user = lcf_strings_get(&g->d.user_id, f->sample.user);
    lcf_str item = lcf_strings_get(&g->d.catalogue.item_id, f->sample.item);

    r->user_id = lcf_strndup(user.data, user.len);
    r->item_id = lcf_strndup(item.data, item.len);
    return r->user_id && r->item_id ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "record");
}

/* Scores the candidates of one row and makes the best one its record; the first of equals. */
static lcf_status keep_best(lcf_cot_record *r, generation *g, worker *w, size_t slot, lcf_err *err)
{
    const chosen *row = &g->rows[w->rows[slot]];
    const lcf_facts *f = &w->facts[slot];
    lcf_cot_subject subject = {.label = f->sample.label};
    lcf_cot_score best = {.score = -1.0f};

    lcf_buf_reset(&w->prompt);
    lcf_buf_reset(&w->title);
    lcf_prompt_explain(&w->prompt, &g->o->prompt, &g->d, f);
    lcf_prompt_title(&w->title, &g->o->prompt, &g->d.catalogue, f->sample.item);
    subject.prompt = (lcf_str){lcf_buf_text(&w->prompt), w->prompt.len};
    subject.title = (lcf_str){lcf_buf_text(&w->title), w->title.len};
    for (size_t c = 0; c < g->o->candidates_n; c++) {
        const lcf_candidate *candidate = lcf_decoder_candidate(w->decoder, slot, c);
        lcf_cot_score score;
        bool known;
        lcf_buf_reset(&w->raw);
        lcf_buf_reset(&w->text);
        lcf_tokenizer_decode(&w->raw, g->model->tokenizer, candidate->tokens.ids,
                             candidate->tokens.n);
        known = lcf_prompt_expand(&w->text, &g->o->prompt, &g->d, f,
                                  (lcf_str){lcf_buf_text(&w->raw), w->raw.len});
        if (w->raw.status || w->text.status || w->prompt.status || w->title.status)
            return LCF_FAIL(err, LCF_ENOMEM, "record");
        score = lcf_cot_score_of((lcf_str){lcf_buf_text(&w->text), w->text.len},
                                 candidate->finished, &subject);
        if (!known)
            score = (lcf_cot_score){.reject_reason = "refers to an item that is not there"};
        r->tokens_generated += candidate->tokens.n;
        if (score.score <= best.score)
            continue;
        best = score;
        clean_text(&w->text);
        free((char *)r->text);
        r->text = lcf_strndup(lcf_buf_text(&w->text), w->text.len);
        if (!r->text)
            return LCF_FAIL(err, LCF_ENOMEM, "record");
        r->candidate = (uint32_t)c;
        r->tokens = (uint32_t)candidate->tokens.n;
    }
    r->key = row->key;
    r->sample_hash = row->sample_hash;
    r->label = f->sample.label;
    r->time = f->sample.time;
    r->score = best.score;
    memcpy(r->parts, best.parts, sizeof(r->parts));
    r->reject_reason = best.reject_reason;
    r->model_id = g->model->id;
    r->prompt_version = g->version;
    r->sampling = g->sampling;
    r->candidates_n = (uint32_t)g->o->candidates_n;
    r->prompt_tokens = (uint32_t)w->prompts[slot].n;
    return own_strings(r, g, f, err);
}

static void free_records(group *gr)
{
    for (size_t i = 0; i < gr->records_n; i++) {
        free((char *)gr->records[i].text);
        free((char *)gr->records[i].user_id);
        free((char *)gr->records[i].item_id);
    }
    free(gr->records);
    gr->records = NULL;
    gr->records_n = 0;
}

static lcf_status decode_group(generation *g, group *gr, worker *w, lcf_err *err)
{
    size_t n = 0;
    lcf_status status = LCF_OK;

    for (size_t i = gr->begin; i < gr->end && !status; i++) {
        if (g->rows[i].present)
            continue;
        w->rows[n] = i;
        w->keys[n] = g->rows[i].key;
        status = make_prompt(g, w, n++, err);
    }
    if (!status)
        status = lcf_decoder_run(w->decoder, w->prompts, w->keys, n, err);
    if (status)
        return status;
    gr->records = lcf_alloc_zero(n, sizeof(*gr->records));
    if (!gr->records)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu records", n);
    gr->records_n = n;
    for (size_t i = 0; i < n && !status; i++)
        status = keep_best(&gr->records[i], g, w, i, err);
    return status;
}

/* ---- commit, in order ---- */

static lcf_status commit(generation *g, group *gr, lcf_err *err)
{
    lcf_generate_result *result = g->result;
    lcf_status status = lcf_cot_store_put(g->store, gr->records, gr->records_n, err);

    gr->committed = true;
    for (size_t i = 0; i < gr->records_n && !status; i++) {
        result->rows_generated++;
        result->rows_rejected += gr->records[i].reject_reason[0] != '\0';
        result->tokens_generated += gr->records[i].tokens_generated;
        g->score_sum += gr->records[i].score;
    }
    free_records(gr);
    return status;
}

/* Under the mutex: commits every ready group up to the first that is not. */
static lcf_status commit_ready(generation *g, lcf_err *err)
{
    lcf_status status = LCF_OK;

    while (!status && g->next_group < g->groups_n && g->groups[g->next_group].ready)
        status = commit(g, &g->groups[g->next_group++], err);
    lcf_progress_note(&g->progress, "%.0f tokens/s, %llu rejected",
                      (double)g->result->tokens_generated /
                          (lcf_clock_s() - g->progress.start_s + 1e-9),
                      (unsigned long long)g->result->rows_rejected);
    lcf_progress_update(&g->progress, g->result->rows_generated);
    return status;
}

static lcf_status generate_group(void *arg, size_t task, size_t worker_idx, lcf_err *err)
{
    generation *g = arg;
    group *gr = &g->groups[task];
    lcf_status status;

    if (lcf_stop_requested())
        return LCF_FAIL(err, LCF_ECANCELED,
                        "stopped; what was generated is stored, the same command goes on");
    status = decode_group(g, gr, &g->workers[worker_idx], err);
    if (status)
        return status;
    pthread_mutex_lock(&g->mutex);
    gr->ready = true;
    status = commit_ready(g, err);
    pthread_mutex_unlock(&g->mutex);
    return status;
}

/* After a stop or a failure: groups behind a gap are finished work too. */
static lcf_status commit_rest(generation *g, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = g->next_group; i < g->groups_n && !status; i++)
        if (g->groups[i].ready && !g->groups[i].committed)
            status = commit(g, &g->groups[i], err);
    return status;
}

/* ---- the step ---- */

static lcf_status describe(generation *g, lcf_err *err)
{
    const lcf_generate_options *o = g->o;
    lcf_status status = lcf_manifest_create(&g->manifest, "generate", err);

    lcf_prompt_version(g->version, &o->prompt);
    lcf_sampling_text(g->sampling, o);
    if (!status)
        status = lcf_manifest_input(g->manifest, "dataset", o->dataset, err);
    if (!status)
        status = lcf_manifest_input(g->manifest, "model", o->model, err);
    if (!status)
        status = lcf_manifest_param_str(g->manifest, "prompt", g->version, err);
    if (!status)
        status = lcf_manifest_param_str(g->manifest, "sampling", g->sampling, err);
    if (!status)
        status = lcf_manifest_param_f64(g->manifest, "share", o->share, err);
    if (!status)
        status = lcf_manifest_param_i64(g->manifest, "rows", (int64_t)o->rows_max, err);
    if (!status)
        status = lcf_manifest_param_i64(g->manifest, "batch", (int64_t)o->batch_rows, err);
    return status;
}

static lcf_status open_worker(worker *w, const generation *g, lcf_err *err)
{
    size_t n = g->o->batch_rows;
    lcf_decoder_options options = {n, g->o->candidates_n, g->o->tokens_max, g->o->sampling};

    w->prompts = lcf_alloc_zero(n, sizeof(*w->prompts));
    w->facts = lcf_alloc(n, sizeof(*w->facts));
    w->keys = lcf_alloc(n, sizeof(*w->keys));
    w->rows = lcf_alloc(n, sizeof(*w->rows));
    if (!w->prompts || !w->facts || !w->keys || !w->rows)
        return LCF_FAIL(err, LCF_ENOMEM, "room for %zu rows", n);
    return lcf_decoder_create(&w->decoder, g->model, &options, err);
}

static void close_worker(worker *w, size_t n)
{
    for (size_t i = 0; w->prompts && i < n; i++)
        lcf_tokens_dispose(&w->prompts[i]);
    free(w->prompts);
    free(w->facts);
    free(w->keys);
    free(w->rows);
    lcf_buf_dispose(&w->raw);
    lcf_buf_dispose(&w->text);
    lcf_buf_dispose(&w->prompt);
    lcf_buf_dispose(&w->title);
    lcf_decoder_free(w->decoder);
}

static lcf_status open_workers(generation *g, lcf_err *err)
{
    size_t n = lcf_pool_threads(g->pool);
    lcf_status status = LCF_OK;

    g->workers = lcf_alloc_zero(n, sizeof(*g->workers));
    if (!g->workers)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu workers", n);
    g->workers_n = n;
    for (size_t i = 0; i < n && !status; i++)
        status = open_worker(&g->workers[i], g, err);
    return status;
}

static lcf_status open_inputs(generation *g, lcf_err *err)
{
    lcf_cot_store_options store = LCF_COT_STORE_OPTIONS_INIT;
    lcf_status status = lcf_dataset_open(&g->d, g->o->dataset, err);

    store.write = true;
    if (!status)
        status = lcf_llama_open(&g->model, g->o->model, err);
    if (!status)
        status = lcf_related_create(&g->related, &g->d, err);
    if (!status)
        status = choose_rows(g, err);
    if (!status)
        status = lcf_dir_create(g->o->out, err);
    if (!status)
        status = lcf_cot_store_open(&g->store, g->o->out, &store, err);
    if (!status)
        status = look_up(g, err);
    return status ? status : form_groups(g, err);
}

/* No more threads than groups: a worker's KV cache is large. */
static lcf_status open_pool(generation *g, lcf_err *err)
{
    lcf_status status = lcf_pool_create(&g->pool, g->o->threads, err);

    if (status || lcf_pool_threads(g->pool) <= g->groups_n)
        return status;
    lcf_pool_free(g->pool);
    g->pool = NULL;
    return lcf_pool_create(&g->pool, g->groups_n, err);
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
    lcf_generate_result *result = g->result;
    lcf_err rest_err = LCF_ERR_INIT;
    lcf_status status = open_pool(g, err), rest;

    if (!status)
        status = remove_manifest(g, err);
    if (!status)
        status = open_workers(g, err);
    if (status)
        return status;
    lcf_log(LCF_LOG_INFO, "generate rows=%llu present=%llu groups=%zu model=%s prompt=\"%s\" %s",
            (unsigned long long)result->rows_chosen, (unsigned long long)result->rows_present,
            g->groups_n, g->model->id, g->version, g->sampling);
    lcf_progress_start(&g->progress, "generate", "rows",
                       result->rows_chosen - result->rows_present);
    status = lcf_pool_run(g->pool, g->groups_n, generate_group, g, err);
    rest = commit_rest(g, status ? &rest_err : err);
    lcf_progress_end(&g->progress);
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
    for (size_t i = 0; i < g->workers_n; i++)
        close_worker(&g->workers[i], g->o->batch_rows);
    free(g->groups);
    free(g->workers);
    free(g->rows);
    lcf_pool_free(g->pool);
    lcf_cot_store_close(g->store);
    lcf_llama_close(g->model);
    lcf_related_free(g->related);
    lcf_dataset_close(&g->d);
    lcf_manifest_free(g->manifest);
    pthread_mutex_destroy(&g->mutex);
}

static lcf_status check_options(const lcf_generate_options *o, lcf_err *err)
{
    if (!(o->share > 0.0 && o->share <= 1.0))
        return LCF_FAIL(err, LCF_EUSAGE, "a share of %g; it must be in (0, 1]", o->share);
    if (!o->candidates_n || !o->tokens_max || !o->batch_rows || !o->prompt.history_n)
        return LCF_FAIL(err, LCF_EUSAGE,
                        "candidates, max-tokens, batch and history must be positive");
    return LCF_OK;
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
        status = describe(&g, err);
    if (!status && !options->force && lcf_manifest_is_current(g.manifest, options->out)) {
        status = read_result(result, options->out, err);
        goto done;
    }
    if (!status)
        status = open_inputs(&g, err);
    if (!status && g.groups_n)
        status = generate_missing(&g, err);
    if (!status)
        status = finish(&g, err);
done:
    good = result->rows_generated - result->rows_rejected;
    result->score_mean = good ? g.score_sum / (double)good : (double)NAN;
    result->seconds = lcf_clock_s() - start_s;
    dispose(&g);
    return status;
}
