/* Weights of rationales' features as a file; see the header. */
#include "offline/recgen/score_weights.h"

#include "common/base/hash.h"
#include "common/base/json.h"

#include <math.h>
#include <string.h>

#define FORMAT "llmcf-score-weights"
#define VERSION 1
#define NUMBER_MAX 1e9 /* of any of them: a sum stays finite */

double lcf_score_feature(const lcf_score_weights *w, size_t feature, double x)
{
    double spread = w->spread[feature];
    double z = spread > 0.0 ? (x - w->mean[feature]) / spread : 0.0;

    return fmax(-LCF_SCORE_CLIP, fmin(LCF_SCORE_CLIP, z));
}

double lcf_score_weighted(const lcf_score_weights *w, lcf_str text, lcf_str prompt, uint8_t label)
{
    double x[LCF_RATIONALE_N], sum = 0.0;

    lcf_rationale_features(x, text, prompt, label);
    for (size_t f = 0; f < LCF_RATIONALE_N; f++)
        sum += w->weight[f] * lcf_score_feature(w, f, x[f]);
    return 1.0 / (1.0 + exp(-sum));
}

void lcf_score_weights_identify(lcf_score_weights *w)
{
    char text[96 * (LCF_RATIONALE_N + 1)];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s %d\n", FORMAT, VERSION);

    for (size_t f = 0; f < LCF_RATIONALE_N; f++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %.17g %.17g %.17g\n",
                              lcf_rationale_name((lcf_rationale_feature)f), w->mean[f],
                              w->spread[f], w->weight[f]);
    lcf_hash128_hex(w->id, lcf_hash128_of(text, n));
}

static lcf_status number_of(double *out, const json_t *json, const char *key, double min,
                            lcf_err *err)
{
    lcf_status status = lcf_json_f64(out, json, key, err);

    if (!status && !(*out >= min && *out <= NUMBER_MAX))
        status = LCF_FAIL(err, LCF_EFORMAT, "'%s' is out of range", key);
    return status;
}

static lcf_status read_features(lcf_score_weights *out, const json_t *features, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (json_object_size(features) != LCF_RATIONALE_N)
        return LCF_FAIL(err, LCF_EFORMAT, "'features' must hold %d of them", LCF_RATIONALE_N);
    for (size_t f = 0; f < LCF_RATIONALE_N && !status; f++) {
        const char *name = lcf_rationale_name((lcf_rationale_feature)f);
        const json_t *one = json_object_get(features, name);
        status = number_of(&out->mean[f], one, "mean", -NUMBER_MAX, err);
        if (!status)
            status = number_of(&out->spread[f], one, "spread", 0.0, err);
        if (!status)
            status = number_of(&out->weight[f], one, "weight", -NUMBER_MAX, err);
        if (status)
            lcf_err_prefix(err, "feature '%s'", name);
    }
    return status;
}

lcf_status lcf_score_weights_parse(lcf_score_weights *out, const json_t *json, lcf_err *err)
{
    const char *format;
    uint64_t version;
    lcf_status status = lcf_json_str(&format, json, "format", err);

    memset(out, 0, sizeof(*out));
    if (!status && strcmp(format, FORMAT))
        status = LCF_FAIL(err, LCF_EFORMAT, "the format is '%s', not " FORMAT, format);
    if (!status)
        status = lcf_json_u64(&version, json, "version", err);
    if (!status && version != VERSION)
        status = LCF_FAIL(err, LCF_EVERSION, "version %llu; this program reads %d",
                          (unsigned long long)version, VERSION);
    if (!status)
        status = lcf_json_u64(&out->prompts_n, json, "prompts", err);
    if (!status)
        status = number_of(&out->accuracy, json, "accuracy", 0.0, err);
    if (!status)
        status = read_features(out, json_object_get(json, "features"), err);
    if (!status)
        lcf_score_weights_identify(out);
    return status;
}

lcf_status lcf_score_weights_load(lcf_score_weights *out, const char *path, lcf_err *err)
{
    json_t *json = NULL;
    lcf_status status = lcf_json_load(&json, path, err);

    memset(out, 0, sizeof(*out));
    if (!status) {
        status = lcf_score_weights_parse(out, json, err);
        if (status)
            lcf_err_prefix(err, "%s", path);
    }
    json_decref(json);
    return status;
}

json_t *lcf_score_weights_json(const lcf_score_weights *w)
{
    json_t *features = json_object();

    for (size_t f = 0; f < LCF_RATIONALE_N && features; f++) {
        json_t *one = json_pack("{s:f, s:f, s:f}", "mean", w->mean[f], "spread", w->spread[f],
                                "weight", w->weight[f]);
        if (json_object_set_new(features, lcf_rationale_name((lcf_rationale_feature)f), one)) {
            json_decref(features);
            features = NULL;
        }
    }
    return json_pack("{s:s, s:i, s:I, s:f, s:o}", "format", FORMAT, "version", VERSION, "prompts",
                     (json_int_t)w->prompts_n, "accuracy", w->accuracy, "features", features);
}

lcf_status lcf_score_weights_save(const char *path, const lcf_score_weights *w, lcf_err *err)
{
    json_t *json = lcf_score_weights_json(w);
    lcf_status status =
        json ? lcf_json_save(path, json, err) : LCF_FAIL(err, LCF_ENOMEM, "weights for %s", path);

    json_decref(json);
    return status;
}
