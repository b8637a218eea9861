/* Requests as files; see batch.h. Rows stand in the order of order.h. */
#include "offline/recgen/batch.h"

#include "common/base/file.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/recgen/batch_job.h"
#include "offline/recgen/order.h"
#include "offline/recgen/record.h"

#include <stdlib.h>
#include <string.h>

typedef struct exporting {
    const lcf_export_options *o;
    lcf_export_result *result;
    lcf_batch_job job;
    lcf_manifest *manifest;
    lcf_dataset d;
    lcf_related *related;
    lcf_cot_store *store; /* whose rows are left out; may be NULL */
    lcf_chosen_rows chosen;
    lcf_stage *stage;
    lcf_out *file; /* the one that grows */
    size_t file_requests_n;
    uint64_t file_bytes;
} exporting;

static lcf_status describe(exporting *x, lcf_err *err)
{
    const lcf_generate_options *g = &x->o->job;
    const lcf_input inputs[] = {{"dataset", g->dataset}, {NULL, NULL}};
    char shard[64];
    json_t *params;

    snprintf(shard, sizeof(shard), "%zu/%zu", g->choice.shard, g->choice.shards_n);
    params =
        json_pack("{s:s, s:s, s:s, s:f, s:I, s:s, s:I, s:I}", "prompt", x->job.version, "sampling",
                  x->job.sampling, "model", x->job.model_id, "share", g->choice.share, "rows",
                  (json_int_t)g->choice.rows_max, "shard", shard, "max_requests",
                  (json_int_t)x->o->requests_max, "max_bytes", (json_int_t)x->o->bytes_max);
    return lcf_manifest_describe(&x->manifest, "export-requests", params, inputs, err);
}

/* What the store holds is left out, so its content is a parameter. */
static lcf_status open_store(exporting *x, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    char digest[LCF_SHA256_HEX_BYTES];
    lcf_status status = lcf_cot_store_open(&x->store, x->o->job.skip_in, &options, err);

    if (!status)
        status = lcf_cot_store_digest(digest, x->store, err);
    return status ? status : lcf_manifest_param_str(x->manifest, "skip_in", digest, err);
}

/* ---- files ---- */

static lcf_status end_file(exporting *x, lcf_err *err)
{
    lcf_status status = x->file ? lcf_out_commit(x->file, err) : LCF_OK;

    x->file = NULL;
    x->file_requests_n = 0;
    x->file_bytes = 0;
    return status;
}

static lcf_status begin_file(exporting *x, lcf_err *err)
{
    char name[32], *path;
    lcf_status status;

    snprintf(name, sizeof(name), "requests-%05llu.jsonl", (unsigned long long)++x->result->files_n);
    path = lcf_path_join(lcf_stage_path(x->stage), name);
    status = path ? lcf_out_open(&x->file, path, err) : LCF_FAIL(err, LCF_ENOMEM, "%s", name);
    free(path);
    return status;
}

static lcf_status write_line(exporting *x, const char *line, lcf_err *err)
{
    size_t n = strlen(line) + 1;
    lcf_status status = LCF_OK;

    if (n > x->o->bytes_max)
        return LCF_FAIL(err, LCF_ELIMIT, "a request of %zu bytes; a file may have %llu", n,
                        (unsigned long long)x->o->bytes_max);
    if (x->file &&
        (x->file_requests_n == x->o->requests_max || x->file_bytes + n > x->o->bytes_max))
        status = end_file(x, err);
    if (!status && !x->file)
        status = begin_file(x, err);
    if (status)
        return status;
    if (fprintf(lcf_out_stream(x->file), "%s\n", line) < 0)
        return LCF_FAIL_ERRNO(err, "cannot write requests");
    x->file_requests_n++;
    x->file_bytes += n;
    x->result->bytes_n += n;
    x->result->requests_n++;
    return LCF_OK;
}

/* ---- requests ---- */

static lcf_status write_request(exporting *x, const lcf_chosen *row, lcf_err *err)
{
    const lcf_generate_options *g = &x->o->job;
    const lcf_openai_request request = {g->endpoint.api, g->endpoint.model_name, g->decoding,
                                        lcf_openai_seed(row->key, 0)};
    char hex[33], *line = NULL;
    lcf_buf url = LCF_BUF_INIT;
    lcf_status status = LCF_ENOMEM;
    json_t *json = NULL;
    lcf_facts f;

    lcf_facts_of(&f, &x->d, x->related, x->job.prompt.history_n, row->sample);
    lcf_hash128_hex(hex, row->key);
    lcf_buf_printf(&url, "/v1%s", lcf_openai_path(g->endpoint.api));
    json =
        json_pack("{s:s, s:s, s:s, s:o}", "custom_id", hex, "method", "POST", "url",
                  lcf_buf_text(&url), "body", lcf_openai_body(&request, &x->job.prompt, &x->d, &f));
    line = json ? json_dumps(json, JSON_COMPACT) : NULL;
    status = line && !url.status ? write_line(x, line, err)
                                 : LCF_FAIL(err, LCF_ENOMEM, "request of row %zu", row->sample);
    json_decref(json);
    free(line);
    lcf_buf_dispose(&url);
    return status;
}

static lcf_status write_missing(exporting *x, lcf_err *err)
{
    lcf_progress progress;
    lcf_status status = LCF_OK;

    x->result->rows_chosen = x->chosen.n;
    lcf_progress_start(&progress, "export-requests", "rows", x->chosen.n);
    for (size_t i = 0; i < x->chosen.n && !status; i++) {
        lcf_status has = LCF_ENOTFOUND;
        if (lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped; nothing was written");
        else if (x->store)
            has = lcf_cot_store_has(x->store, x->chosen.rows[i].key, err);
        x->result->rows_present += has == LCF_OK;
        if (!status && has == LCF_ENOTFOUND)
            status = write_request(x, &x->chosen.rows[i], err);
        else if (!status && has)
            status = has;
        lcf_progress_update(&progress, i + 1);
    }
    lcf_progress_end(&progress);
    return status ? status : end_file(x, err);
}

static lcf_status write_folder(exporting *x, lcf_err *err)
{
    const lcf_row_source source = {x->job.version, x->job.model_id, x->job.sampling};
    lcf_status status = lcf_dataset_open(&x->d, x->o->job.dataset, err);

    if (!status)
        status = lcf_related_create(&x->related, &x->d, err);
    if (!status)
        status = lcf_rows_choose(&x->chosen, &x->d, &x->o->job.choice, &source, err);
    if (!status) /* for the prefix cache of whoever answers */
        status = lcf_rows_order(&x->chosen, &x->d, x->related, &x->job.prompt, err);
    if (!status)
        status = lcf_stage_open(&x->stage, x->o->job.out, err);
    if (!status)
        status = write_missing(x, err);
    if (!status)
        status = lcf_batch_job_save(&x->job, lcf_stage_path(x->stage), err);
    if (!status)
        status = lcf_manifest_stat(x->manifest, "requests",
                                   json_integer((json_int_t)x->result->requests_n), err);
    status = lcf_manifest_finish(x->manifest, x->stage, status, err);
    x->stage = NULL;
    return status;
}

lcf_status lcf_export_requests(lcf_export_result *result, const lcf_export_options *options,
                               lcf_err *err)
{
    exporting x = {.o = options, .result = result};
    lcf_status status;

    memset(result, 0, sizeof(*result));
    if (!options->requests_max || !options->job.endpoint.model_name)
        return LCF_FAIL(err, LCF_EUSAGE, "a model's name and requests in a file are needed");
    status = lcf_batch_job_of(&x.job, &options->job, err);
    if (!status)
        status = describe(&x, err);
    if (!status && options->job.skip_in)
        status = open_store(&x, err);
    if (!status && !options->force && lcf_manifest_is_current(x.manifest, options->job.out))
        result->current = true;
    else if (!status)
        status = write_folder(&x, err);
    lcf_out_abandon(x.file);
    lcf_chosen_rows_dispose(&x.chosen);
    lcf_related_free(x.related);
    lcf_cot_store_close(x.store);
    lcf_dataset_close(&x.d);
    lcf_manifest_free(x.manifest);
    lcf_batch_job_dispose(&x.job);
    return status;
}
