/*
 * Responses back into a store; see batch.h. A line is judged alone: what is wrong with one costs
 * that one.
 */
#include "offline/recgen/batch.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/data/byte_stream.h"
#include "offline/recgen/batch_job.h"
#include "offline/recgen/record.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX ((size_t)8 << 20)
#define READ_BYTES ((size_t)1 << 16)
#define CHUNK_RECORDS 256

typedef struct importing {
    const lcf_import_options *o;
    lcf_import_result *result;
    lcf_batch_job job;
    lcf_dataset d;
    lcf_related *related;
    lcf_cot_store *store;
    lcf_provenance provenance;
    lcf_chosen_rows rows;  /* all training rows, by key */
    bool *taken;           /* [rows.n] answered in this run */
    lcf_cot_record *chunk; /* [CHUNK_RECORDS] */
    size_t chunk_n;
    uint64_t line; /* of the file at hand, blank ones counted */
    lcf_progress progress;
} importing;

static int by_key(const void *a, const void *b)
{
    const lcf_chosen *x = a, *y = b;

    return memcmp(x->key.bytes, y->key.bytes, sizeof(x->key.bytes));
}

/* Any row may have been asked about: the choice of the export is not needed to know its key. */
static lcf_status open_rows(importing *im, lcf_err *err)
{
    const lcf_row_source source = {im->job.version, im->job.model_id, im->job.sampling};
    const lcf_row_choice all = {.share = 1.0};
    lcf_status status = lcf_rows_choose(&im->rows, &im->d, &all, &source, err);

    if (status)
        return status;
    qsort(im->rows.rows, im->rows.n, sizeof(*im->rows.rows), by_key);
    im->taken = lcf_alloc_zero(im->rows.n + 1, sizeof(*im->taken));
    im->chunk = lcf_alloc_zero(CHUNK_RECORDS, sizeof(*im->chunk));
    return im->taken && im->chunk ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu rows", im->rows.n);
}

/* ---- records ---- */

static lcf_status commit_chunk(importing *im, lcf_err *err)
{
    lcf_status status = lcf_cot_store_put(im->store, im->chunk, im->chunk_n, err);

    for (size_t i = 0; i < im->chunk_n; i++) {
        if (!status) {
            im->result->imported_n++;
            im->result->rejected_n += im->chunk[i].reject_reason[0] != '\0';
            im->result->tokens_n += im->chunk[i].tokens_generated;
        }
        lcf_record_dispose(&im->chunk[i]);
    }
    im->chunk_n = 0;
    return status;
}

static lcf_status add_answer(importing *im, const lcf_chosen *row, const lcf_openai_reply *reply,
                             lcf_err *err)
{
    size_t n = reply->n < im->job.candidates_n ? reply->n : im->job.candidates_n;
    lcf_ask ask = {.key = row->key, .history_n = im->job.prompt.history_n};
    lcf_status status;

    lcf_facts_of(&ask.facts, &im->d, im->related, ask.history_n, row->sample);
    status = lcf_record_make(&im->chunk[im->chunk_n++], &im->provenance, &ask, row->sample_hash,
                             reply->answers, n, (size_t)reply->prompt_tokens_n, err);
    if (!status && im->chunk_n == CHUNK_RECORDS)
        status = commit_chunk(im, err);
    return status;
}

/* ---- one line ---- */

static lcf_status malformed(importing *im, const char *source, const char *why)
{
    if (!im->result->malformed_n++)
        snprintf(im->result->malformed, sizeof(im->result->malformed), "%.120s: %.120s", source,
                 why);
    lcf_utf8_mend(im->result->malformed);
    return LCF_OK;
}

static lcf_status failed(importing *im, const char *source, const json_t *line)
{
    const json_t *response = json_object_get(line, "response");
    json_int_t http = json_integer_value(json_object_get(response, "status_code"));
    lcf_buf message = LCF_BUF_INIT;
    char *body = json_dumps(
        json_is_object(json_object_get(line, "error")) ? line : json_object_get(response, "body"),
        JSON_COMPACT);

    if (body)
        lcf_openai_error(&message, body, strlen(body), NULL);
    if (!im->result->failed_n++)
        snprintf(im->result->failure, sizeof(im->result->failure), "%.80s: HTTP %lld: %.120s",
                 source, (long long)http, lcf_buf_text(&message));
    lcf_utf8_mend(im->result->failure);
    lcf_buf_dispose(&message);
    free(body);
    return LCF_OK;
}

static lcf_chosen *find_row(const importing *im, const char *custom_id)
{
    lcf_chosen wanted;

    if (!lcf_hash128_parse(&wanted.key, custom_id))
        return NULL;
    return bsearch(&wanted, im->rows.rows, im->rows.n, sizeof(wanted), by_key);
}

static lcf_status take_answer(importing *im, const char *source, const lcf_chosen *row,
                              json_t *body, lcf_err *err)
{
    bool *taken = &im->taken[row - im->rows.rows];
    lcf_status has = *taken ? LCF_OK : lcf_cot_store_has(im->store, row->key, err), status;
    lcf_openai_reply reply;
    lcf_err wrong = LCF_ERR_INIT;

    if (has == LCF_OK)
        im->result->present_n++;
    if (has != LCF_ENOTFOUND)
        return has;
    status = lcf_openai_parse_json(&reply, body, &wrong);
    if (status == LCF_EFORMAT)
        return malformed(im, source, wrong.text);
    if (status)
        return LCF_FAIL(err, status, "%s", wrong.text);
    status = add_answer(im, row, &reply, err);
    *taken = true;
    lcf_openai_reply_dispose(&reply);
    return status;
}

static lcf_status take_line(importing *im, const char *source, json_t *line, lcf_err *err)
{
    const char *custom_id = json_string_value(json_object_get(line, "custom_id"));
    json_t *response = json_object_get(line, "response");
    json_t *body = json_object_get(response, "body");
    const json_t *http = json_object_get(response, "status_code"); /* some writers leave it out */
    const lcf_chosen *row;

    if (!custom_id)
        return malformed(im, source, "no custom_id");
    row = find_row(im, custom_id);
    if (!row) {
        im->result->unknown_n++;
        return LCF_OK;
    }
    if (json_is_object(json_object_get(line, "error")) || (http && json_integer_value(http) != 200))
        return failed(im, source, line);
    if (!json_is_object(body))
        return malformed(im, source, "no response.body");
    return take_answer(im, source, row, body, err);
}

static lcf_status import_line(importing *im, const char *name, const lcf_buf *text, lcf_err *err)
{
    lcf_err wrong = LCF_ERR_INIT;
    lcf_buf source = LCF_BUF_INIT;
    json_t *line = NULL;
    lcf_status status;

    im->result->lines_n++;
    lcf_buf_printf(&source, "%s:%llu", name, (unsigned long long)im->line);
    if (source.status)
        return LCF_FAIL(err, LCF_ENOMEM, "%s", name);
    if (lcf_json_parse(&line, lcf_buf_text(text), text->len, lcf_buf_text(&source), &wrong))
        status = malformed(im, lcf_buf_text(&source), "not valid JSON");
    else
        status = take_line(im, lcf_buf_text(&source), line, err);
    json_decref(line);
    lcf_buf_dispose(&source);
    if (!status && lcf_stop_requested())
        status = LCF_FAIL(err, LCF_ECANCELED, "stopped; the same command goes on");
    lcf_progress_update(&im->progress, im->result->lines_n);
    return status;
}

/* ---- files ---- */

/* Goes on with `line` by the next bytes of the file. A line that is too long is malformed. */
static lcf_status split(importing *im, const char *name, lcf_buf *line, bool *too_long,
                        const char *bytes, size_t n, lcf_err *err)
{
    lcf_status status = LCF_OK;

    while (n && !status) {
        const char *end = memchr(bytes, '\n', n);
        size_t part = end ? (size_t)(end - bytes) : n;
        *too_long = *too_long || line->len + part > LINE_BYTES_MAX;
        if (!*too_long)
            lcf_buf_append(line, bytes, part);
        if (line->status)
            return LCF_FAIL(err, LCF_ENOMEM, "a line of %s", name);
        im->line += end != NULL;
        if (end && *too_long)
            status = malformed(im, name, "a line of more than 8 MiB");
        else if (end && line->len)
            status = import_line(im, name, line, err);
        if (end) {
            line->len = 0;
            *too_long = false;
        }
        bytes += part + (end != NULL);
        n -= part + (end != NULL);
    }
    return status;
}

static lcf_status import_file(importing *im, const char *path, lcf_err *err)
{
    char *bytes = lcf_alloc(READ_BYTES, 1);
    lcf_byte_stream *in = NULL;
    lcf_buf line = LCF_BUF_INIT;
    size_t got = READ_BYTES;
    bool too_long = false;
    lcf_status status =
        bytes ? lcf_byte_stream_open(&in, path, err) : LCF_FAIL(err, LCF_ENOMEM, "%s", path);

    im->line = 0;
    while (!status && got == READ_BYTES) {
        status = lcf_byte_stream_read(&got, in, bytes, READ_BYTES, err);
        if (!status)
            status = split(im, path, &line, &too_long, bytes, got, err);
    }
    im->line++;
    if (!status && line.len) /* the last one, perhaps torn off */
        status = import_line(im, path, &line, err);
    lcf_byte_stream_close(in);
    lcf_buf_dispose(&line);
    free(bytes);
    return status;
}

static lcf_status import_files(importing *im, lcf_err *err)
{
    lcf_status status = LCF_OK, rest = LCF_OK;

    lcf_progress_start(&im->progress, "import-responses", "lines", 0);
    for (size_t i = 0; i < im->o->responses_n && !status; i++)
        status = import_file(im, im->o->responses[i], err);
    if (im->chunk_n && status != LCF_ENOMEM) /* answers before a damaged file are good */
        rest = commit_chunk(im, status ? NULL : err);
    lcf_progress_end(&im->progress);
    return status ? status : rest;
}

lcf_status lcf_import_responses(lcf_import_result *result, const lcf_import_options *options,
                                lcf_err *err)
{
    lcf_cot_store_options writing = LCF_COT_STORE_OPTIONS_INIT;
    importing im = {.o = options, .result = result};
    lcf_status status = lcf_batch_job_load(&im.job, options->requests, err);

    memset(result, 0, sizeof(*result));
    writing.write = true;
    if (!status)
        status = lcf_dataset_open(&im.d, options->dataset, err);
    if (!status)
        status = lcf_related_create(&im.related, &im.d, err);
    if (!status)
        status = open_rows(&im, err);
    if (!status)
        status = lcf_dir_create(options->out, err);
    if (!status)
        status = lcf_cot_store_open(&im.store, options->out, &writing, err);
    im.provenance =
        (lcf_provenance){&im.d,           &im.job.prompt,      im.job.version, im.job.model_id,
                         im.job.sampling, im.job.candidates_n, im.job.weights};
    if (!status)
        status = import_files(&im, err);
    for (size_t i = 0; i < im.chunk_n; i++)
        lcf_record_dispose(&im.chunk[i]);
    free(im.chunk);
    free(im.taken);
    lcf_chosen_rows_dispose(&im.rows);
    lcf_cot_store_close(im.store);
    lcf_related_free(im.related);
    lcf_dataset_close(&im.d);
    lcf_batch_job_dispose(&im.job);
    return status;
}
