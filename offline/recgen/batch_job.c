/* job.json of a folder of requests; see the header. */
#include "offline/recgen/batch_job.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT "llmcf-requests"
#define VERSION 2 /* 1 had no weights of the score */

lcf_status lcf_batch_job_of(lcf_batch_job *out, const lcf_generate_options *o, lcf_err *err)
{
    lcf_codes none;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_openai_check(&o->decoding, err);
    if (!status)
        status = lcf_prompt_open(&out->prompt, &out->template, &out->template_bytes, &o->prompt,
                                 o->template_file, err);
    if (!status)
        status = lcf_prompt_need(&out->prompt, true, err);
    if (!status) /* a folder of requests is read again without them */
        status = lcf_prompt_open_codes(&out->prompt, &none, NULL, NULL, o->template_file, err);
    if (!status)
        status = lcf_generate_weights(&out->weights, &out->weights_storage, o, err);
    if (status)
        return status;
    out->candidates_n = o->decoding.candidates_n;
    lcf_openai_model_id(out->model_id, o->endpoint.api, o->endpoint.model_name);
    lcf_prompt_version(out->version, &out->prompt);
    return lcf_sampling_text(out->sampling, o, out->weights, err);
}

void lcf_batch_job_dispose(lcf_batch_job *job)
{
    free(job->template_bytes);
    job->template_bytes = NULL;
}

lcf_status lcf_batch_job_save(const lcf_batch_job *job, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "job.json");
    json_t *json = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:b, s:b, s:I, s:o}", "format", FORMAT,
        "version", VERSION, "model", job->model_id, "prompt", job->version, "sampling",
        job->sampling, "template", lcf_dialect_name(job->prompt.dialect), "template_text",
        job->template_bytes, "history", (json_int_t)job->prompt.history_n, "title_bytes",
        (json_int_t)job->prompt.title_bytes_max, "hide_related", job->prompt.hide_related,
        "hide_answer", job->prompt.hide_answer, "candidates", (json_int_t)job->candidates_n,
        "score_weights", job->weights ? lcf_score_weights_json(job->weights) : json_null());
    lcf_status status = path && json ? lcf_json_save(path, json, err)
                                     : LCF_FAIL(err, LCF_ENOMEM, "job.json in %s", dir);

    json_decref(json);
    free(path);
    return status;
}

static lcf_status text_of(char *out, size_t size, const json_t *json, const char *key, lcf_err *err)
{
    const char *text;
    lcf_status status = lcf_json_str(&text, json, key, err);

    if (!status && strlen(text) >= size)
        status = LCF_FAIL(err, LCF_EFORMAT, "'%s' is longer than %zu bytes", key, size - 1);
    if (!status)
        strcpy(out, text);
    return status;
}

static lcf_status number_of(size_t *out, const json_t *json, const char *key, uint64_t max,
                            lcf_err *err)
{
    uint64_t value;
    lcf_status status = lcf_json_u64(&value, json, key, err);

    if (!status && (!value || value > max))
        status = LCF_FAIL(err, LCF_EFORMAT, "'%s' must be 1 to %llu", key, (unsigned long long)max);
    *out = status ? 0 : (size_t)value;
    return status;
}

static lcf_status read_template(lcf_batch_job *out, const json_t *json, lcf_err *err)
{
    const char *text = json_string_value(json_object_get(json, "template_text"));
    lcf_status status;

    out->prompt.hide_related = json_is_true(json_object_get(json, "hide_related"));
    out->prompt.hide_answer = json_is_true(json_object_get(json, "hide_answer"));
    if (!text)
        return LCF_OK;
    out->template_bytes = lcf_strdup(text);
    if (!out->template_bytes)
        return LCF_FAIL(err, LCF_ENOMEM, "template");
    status = lcf_prompt_template_parse(&out->template,
                                       (lcf_str){out->template_bytes, strlen(out->template_bytes)},
                                       "template_text", err);
    out->prompt.template = &out->template;
    return status ? status : lcf_prompt_need(&out->prompt, true, err);
}

static lcf_status read_weights(lcf_batch_job *out, const json_t *json, lcf_err *err)
{
    const json_t *weights = json_object_get(json, "score_weights");

    out->weights = json_is_object(weights) ? &out->weights_storage : NULL;
    return out->weights ? lcf_score_weights_parse(&out->weights_storage, weights, err) : LCF_OK;
}

static lcf_status read_job(lcf_batch_job *out, const json_t *json, lcf_err *err)
{
    const char *format, *template;
    uint64_t version;
    lcf_status status = lcf_json_str(&format, json, "format", err);

    if (!status && strcmp(format, FORMAT))
        status = LCF_FAIL(err, LCF_EFORMAT, "the format is '%s', not " FORMAT, format);
    if (!status)
        status = lcf_json_u64(&version, json, "version", err);
    if (!status && (!version || version > VERSION))
        status = LCF_FAIL(err, LCF_EVERSION, "version %llu; this program reads 1 to %d",
                          (unsigned long long)version, VERSION);
    if (!status)
        status = text_of(out->model_id, sizeof(out->model_id), json, "model", err);
    if (!status)
        status = text_of(out->version, sizeof(out->version), json, "prompt", err);
    if (!status)
        status = text_of(out->sampling, sizeof(out->sampling), json, "sampling", err);
    if (!status)
        status = lcf_json_str(&template, json, "template", err);
    if (!status)
        status = lcf_dialect_parse(&out->prompt.dialect, template, err);
    if (!status)
        status = read_template(out, json, err);
    if (!status)
        status = number_of(&out->prompt.history_n, json, "history", LCF_HISTORY_MAX, err);
    if (!status)
        status = number_of(&out->prompt.title_bytes_max, json, "title_bytes", 4096, err);
    if (!status)
        status = read_weights(out, json, err);
    return status ? status : number_of(&out->candidates_n, json, "candidates", 256, err);
}

lcf_status lcf_batch_job_load(lcf_batch_job *out, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "job.json"), version[LCF_PROMPT_VERSION_BYTES];
    json_t *json = NULL;
    lcf_status status =
        path ? lcf_json_load(&json, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    memset(out, 0, sizeof(*out));
    if (!status) {
        status = read_job(out, json, err);
        if (status)
            lcf_err_prefix(err, "%s", path);
    }
    if (!status) {
        lcf_prompt_version(version, &out->prompt);
        if (strcmp(version, out->version))
            status = LCF_FAIL(err, LCF_EVERSION,
                              "%s: its requests have prompts '%s'; this program writes '%s'", path,
                              out->version, version);
    }
    json_decref(json);
    free(path);
    return status;
}
