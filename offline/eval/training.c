/* Readers of what `llmcf train` says about a ranker. Keys that are not needed here may change. */
#include "offline/eval/training.h"

#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCHS_MAX 10000
#define SEEDS_MAX 10000
#define REPORT_BYTES_MAX ((size_t)64 << 20)
#define WEIGHTS_KIND "ranker"

static lcf_status read_epochs(lcf_training_seed *out, const json_t *epochs, lcf_err *err)
{
    size_t n = json_array_size(epochs);
    lcf_status status = LCF_OK;

    if (!n || n > EPOCHS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu epochs", n);
    out->loss = lcf_alloc(n, sizeof(double));
    out->valid_auc = lcf_alloc(n, sizeof(double));
    if (!out->loss || !out->valid_auc)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu epochs", n);
    out->epochs_n = n;
    for (size_t i = 0; i < n && !status; i++) {
        const json_t *epoch = json_array_get(epochs, i);
        status = lcf_json_f64(&out->loss[i], epoch, "loss", err);
        if (!status)
            status = lcf_json_f64(&out->valid_auc[i], epoch, "valid_auc", err);
    }
    return status;
}

static lcf_status read_seed(lcf_training_seed *out, const json_t *json, lcf_err *err)
{
    lcf_status status = lcf_json_u64(&out->seed, json, "seed", err);

    out->seconds = NAN;
    if (!status)
        status = lcf_json_u64(&out->best_epoch, json, "best_epoch", err);
    if (!status)
        status = read_epochs(out, json_object_get(json, "epochs"), err);
    if (!status && (!out->best_epoch || out->best_epoch > out->epochs_n))
        status = LCF_FAIL(err, LCF_EFORMAT, "best_epoch is not one of the %zu", out->epochs_n);
    if (status)
        lcf_err_prefix(err, "seeds");
    return status;
}

/* "din" or "din + ict". */
static lcf_status read_model(lcf_training *out, const json_t *json, lcf_err *err)
{
    const char *backbone = NULL, *side = NULL;
    lcf_status status = lcf_json_str(&backbone, json, "backbone", err);

    if (!status)
        status = lcf_json_str(&side, json, "side", err);
    if (status)
        return status;
    if (!strcmp(side, "none"))
        snprintf(out->model, sizeof(out->model), "%s", backbone);
    else
        snprintf(out->model, sizeof(out->model), "%s + %s", backbone, side);
    lcf_utf8_mend(out->model);
    return LCF_OK;
}

static lcf_status read_report(lcf_training *out, const json_t *json, lcf_err *err)
{
    const json_t *seeds = json_object_get(json, "seeds");
    size_t n = json_array_size(seeds);
    lcf_status status = read_model(out, json, err);

    if (status)
        return status;
    if (!n || n > SEEDS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu seeds", n);
    out->seeds = lcf_alloc_zero(n, sizeof(*out->seeds));
    if (!out->seeds)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu seeds", n);
    for (; out->seeds_n < n && !status; out->seeds_n++)
        status = read_seed(&out->seeds[out->seeds_n], json_array_get(seeds, out->seeds_n), err);
    return status;
}

/* Times are no part of report.json, so that equal inputs give equal bytes; they stand here. */
static void read_times(lcf_training *out, const json_t *manifest)
{
    const json_t *report = json_object_get(json_object_get(manifest, "stats"), "report");
    json_t *seed;
    size_t i;

    json_array_foreach(json_object_get(report, "seeds"), i, seed)
    {
        const json_t *seconds = json_object_get(seed, "seconds");
        if (i < out->seeds_n && json_is_number(seconds))
            out->seeds[i].seconds = json_number_value(seconds);
    }
}

/* Numbers in the arrays of floats; the configuration is an array of bytes. */
static lcf_status count_parameters(lcf_training *out, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "best.lcf");
    lcf_bundle *bundle = NULL;
    lcf_status status = LCF_OK;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (lcf_path_exists(path)) {
        status = lcf_bundle_open(&bundle, path, WEIGHTS_KIND, UINT32_MAX, err);
        for (size_t i = 0; !status && i < lcf_bundle_arrays_n(bundle); i++)
            if (lcf_bundle_array(bundle, i)->dtype == LCF_F32)
                out->parameters_n += lcf_bundle_array(bundle, i)->n;
        lcf_bundle_close(bundle);
    }
    free(path);
    return status;
}

lcf_status lcf_training_parse(lcf_training *out, const char *text, size_t n, const char *source,
                              lcf_err *err)
{
    json_t *report = NULL;
    lcf_status status = lcf_json_parse(&report, text, n, source, err);

    *out = (lcf_training){.known = true};
    if (!status) {
        status = read_report(out, report, err);
        if (status)
            lcf_err_prefix(err, "%s", source);
    }
    json_decref(report);
    if (status)
        lcf_training_dispose(out);
    return status;
}

static lcf_status read_folder(lcf_training *out, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "report.json");
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status = path ? lcf_file_read(&text, path, REPORT_BYTES_MAX, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    if (!status)
        status = lcf_training_parse(out, lcf_buf_text(&text), text.len, path, err);
    lcf_buf_dispose(&text);
    free(path);
    return status ? status : count_parameters(out, dir, err);
}

lcf_status lcf_training_read(lcf_training *out, const char *dir, lcf_err *err)
{
    char id[65];
    json_t *manifest = NULL;
    const char *verb;
    lcf_status status;

    *out = (lcf_training){.known = false};
    if (!lcf_manifest_exists(dir)) /* predictions of somebody else's */
        return LCF_OK;
    status = lcf_manifest_read(id, &manifest, dir, err);
    if (status)
        return status;
    verb = json_string_value(json_object_get(json_object_get(manifest, "identity"), "verb"));
    if (verb && !strcmp(verb, "train")) {
        status = read_folder(out, dir, err);
        if (!status)
            read_times(out, manifest);
    }
    json_decref(manifest);
    if (status)
        lcf_training_dispose(out);
    return status;
}

void lcf_training_dispose(lcf_training *t)
{
    for (size_t s = 0; s < t->seeds_n; s++) {
        free(t->seeds[s].loss);
        free(t->seeds[s].valid_auc);
    }
    free(t->seeds);
    *t = (lcf_training){.known = false};
}

double lcf_training_seconds(const lcf_training *t)
{
    double sum = 0;
    size_t n = 0;

    for (size_t s = 0; s < t->seeds_n; s++)
        if (!isnan(t->seeds[s].seconds)) {
            sum += t->seeds[s].seconds;
            n++;
        }
    return n ? sum / (double)n : NAN;
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *seed_json(const lcf_training_seed *s)
{
    json_t *epochs = json_array();

    for (size_t i = 0; i < s->epochs_n; i++)
        json_array_append_new(epochs, json_pack("{s:o, s:o}", "loss", number(s->loss[i]),
                                                "valid_auc", number(s->valid_auc[i])));
    return json_pack("{s:I, s:I, s:o, s:o}", "seed", (json_int_t)s->seed, "best_epoch",
                     (json_int_t)s->best_epoch, "seconds", number(s->seconds), "epochs", epochs);
}

json_t *lcf_training_json(const lcf_training *t)
{
    json_t *seeds;

    if (!t->known)
        return json_null();
    seeds = json_array();
    for (size_t s = 0; s < t->seeds_n; s++)
        json_array_append_new(seeds, seed_json(&t->seeds[s]));
    return json_pack("{s:s, s:o, s:o, s:o}", "model", t->model, "parameters",
                     t->parameters_n ? json_integer((json_int_t)t->parameters_n) : json_null(),
                     "seconds", number(lcf_training_seconds(t)), "seeds", seeds);
}
