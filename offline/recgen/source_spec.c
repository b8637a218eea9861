/* How a source is written on the command line, and how it enters a manifest. */
#include "offline/recgen/sources.h"

#include "common/base/mem.h"
#include "common/store/cot_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool needs_path, dataset;
} KINDS[LCF_SOURCE_KINDS_N] = {
    [LCF_SOURCE_DECIDE] = {"decide", false, true},
    [LCF_SOURCE_EXPLAIN] = {"explain", false, true},
    [LCF_SOURCE_COT] = {"cot", true, true},
    [LCF_SOURCE_NEXT] = {"next", false, true},
    [LCF_SOURCE_RATING] = {"rating", false, true},
    [LCF_SOURCE_SESSION] = {"session", false, true},
    [LCF_SOURCE_ALPACA] = {"alpaca", true, false},
    [LCF_SOURCE_SHAREGPT] = {"sharegpt", true, false},
    [LCF_SOURCE_OPENAI] = {"openai", true, false},
    [LCF_SOURCE_TEXT] = {"text", true, false},
};

const char *lcf_source_kind_name(lcf_source_kind kind)
{
    return KINDS[kind].name;
}

bool lcf_source_is_of_dataset(lcf_source_kind kind)
{
    return KINDS[kind].dataset;
}

static bool is_word(lcf_str text, const char *word)
{
    return text.len == strlen(word) && !memcmp(text.data, word, text.len);
}

static lcf_status parse_kind(lcf_source_spec *out, lcf_str name, lcf_err *err)
{
    for (int i = 0; i < LCF_SOURCE_KINDS_N; i++)
        if (is_word(name, KINDS[i].name)) {
            out->kind = (lcf_source_kind)i;
            return LCF_OK;
        }
    return LCF_FAIL(
        err, LCF_EUSAGE,
        "no kind of source '%.*s'; there are decide, explain, cot, next, rating, session, "
        "alpaca, sharegpt, openai and text",
        name.len > 60 ? 60 : (int)name.len, name.data);
}

static lcf_status parse_number(double *out, lcf_str value, const char *key, double low, double high,
                               lcf_err *err)
{
    if (!lcf_parse_f64(value.data, value.len, out) || *out < low || *out > high)
        return LCF_FAIL(err, LCF_EUSAGE, "%s takes a number from %g to %g", key, low, high);
    return LCF_OK;
}

static lcf_status parse_rows(lcf_source_spec *out, lcf_str value, lcf_err *err)
{
    uint64_t n;

    if (!lcf_parse_u64(value.data, value.len, &n) || !n || n > UINT32_MAX)
        return LCF_FAIL(err, LCF_EUSAGE, "rows takes a whole number from 1");
    out->rows = (size_t)n;
    return LCF_OK;
}

static lcf_status parse_group(lcf_source_spec *out, lcf_str value, lcf_err *err)
{
    if (!is_word(value, "rec") && !is_word(value, "general"))
        return LCF_FAIL(err, LCF_EUSAGE, "group is rec or general");
    out->rec = is_word(value, "rec");
    return LCF_OK;
}

static lcf_status parse_setting(lcf_source_spec *out, lcf_str text, lcf_err *err)
{
    const char *equals = memchr(text.data, '=', text.len);
    size_t n = equals ? (size_t)(equals - text.data) : text.len;
    lcf_str key = {text.data, n};
    lcf_str value = {text.data + n + 1, equals ? text.len - n - 1 : 0};

    if (is_word(key, "weight"))
        return parse_number(&out->weight, value, "weight", 0.0, 1e6, err);
    if (is_word(key, "share"))
        return parse_number(&out->share, value, "share", 0.0, 1.0, err);
    if (is_word(key, "part"))
        return parse_number(&out->part, value, "part", 0.0, 1.0, err);
    if (is_word(key, "hold"))
        return parse_number(&out->hold, value, "hold", 0.0, 1.0, err);
    if (is_word(key, "rows"))
        return parse_rows(out, value, err);
    if (is_word(key, "group"))
        return parse_group(out, value, err);
    return LCF_FAIL(
        err, LCF_EUSAGE,
        "'%.*s': the settings of a source are weight, share, part, rows, hold and group",
        key.len > 60 ? 60 : (int)key.len, key.data);
}

/* Takes the text up to the next comma from *rest. */
static lcf_str take(lcf_str *rest)
{
    const char *comma = memchr(rest->data, ',', rest->len);
    size_t n = comma ? (size_t)(comma - rest->data) : rest->len;
    lcf_str head = {rest->data, n};

    *rest = comma ? (lcf_str){comma + 1, rest->len - n - 1} : (lcf_str){rest->data + n, 0};
    return head;
}

static lcf_status parse(lcf_source_spec *out, const char *text, lcf_err *err)
{
    lcf_str rest = {text, strlen(text)}, head = take(&rest);
    const char *colon = memchr(head.data, ':', head.len);
    size_t n = colon ? (size_t)(colon - head.data) : head.len;
    lcf_status status = parse_kind(out, (lcf_str){head.data, n}, err);

    if (status)
        return status;
    out->path = colon ? (lcf_str){colon + 1, head.len - n - 1} : (lcf_str){"", 0};
    out->rec = KINDS[out->kind].dataset;
    out->hold = KINDS[out->kind].dataset ? 0.0 : 0.05;
    if (KINDS[out->kind].needs_path != (out->path.len > 0))
        return LCF_FAIL(err, LCF_EUSAGE, out->path.len ? "%s takes no path" : "%s needs :PATH",
                        KINDS[out->kind].name);
    while (rest.len && !status)
        status = parse_setting(out, take(&rest), err);
    if (!status && out->hold > 0.0 && KINDS[out->kind].dataset)
        status = LCF_FAIL(err, LCF_EUSAGE, "hold is for files; a dataset has its own splits");
    return status;
}

lcf_status lcf_source_parse(lcf_source_spec *out, const char *text, lcf_err *err)
{
    lcf_status status;

    *out = (lcf_source_spec){.text = text, .weight = 1.0, .part = 1.0};
    status = parse(out, text, err);
    if (status)
        lcf_err_prefix(err, "source '%s'", text);
    return status;
}

lcf_chat lcf_sources_chat(const lcf_sources_options *options)
{
    if (options->chat != LCF_CHATS_N)
        return options->chat;
    return options->prompt.dialect == LCF_DIALECT_LLAMA2 ? LCF_CHAT_LLAMA2 : LCF_CHAT_RECGEN;
}

/* ---- manifest ---- */

/* A store by its records: it grows in place, and has a manifest only where `generate` finished it.
 */
static lcf_status describe_store(lcf_manifest *m, const char *name, const char *path, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    char role[48], digest[LCF_SHA256_HEX_BYTES];
    lcf_cot_store *store;
    lcf_status status = lcf_cot_store_open(&store, path, &options, err);

    if (status)
        return status;
    status = lcf_cot_store_digest(digest, store, err);
    lcf_cot_store_close(store);
    snprintf(role, sizeof(role), "%s records", name);
    return status ? status : lcf_manifest_param_str(m, role, digest, err);
}

static lcf_status describe_one(lcf_manifest *m, const lcf_source_spec *s, size_t idx, lcf_err *err)
{
    char name[32], value[256];
    char *path;
    lcf_status status;

    snprintf(name, sizeof(name), "source-%zu", idx);
    snprintf(value, sizeof(value), "%s weight=%g share=%g part=%g rows=%zu hold=%g group=%s",
             KINDS[s->kind].name, s->weight, s->share, s->part, s->rows, s->hold,
             s->rec ? "rec" : "general");
    status = lcf_manifest_param_str(m, name, value, err);
    if (status || !s->path.len)
        return status;
    path = lcf_strndup(s->path.data, s->path.len);
    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of a source");
    status = s->kind == LCF_SOURCE_COT ? describe_store(m, name, path, err)
                                       : lcf_manifest_input(m, name, path, err);
    free(path);
    return status;
}

lcf_status lcf_sources_describe(lcf_manifest *m, const lcf_sources_options *options, lcf_err *err)
{
    lcf_status status =
        lcf_prompt_describe(m, &options->prompt, options->template_file, options->codes, err);

    if (!status)
        status = lcf_manifest_param_str(m, "chat", lcf_chat_name(lcf_sources_chat(options)), err);
    if (!status && isfinite(options->rec_share))
        status = lcf_manifest_param_f64(m, "rec_share", options->rec_share, err);
    for (size_t i = 0; i < options->n && !status; i++)
        status = describe_one(m, &options->list[i], i, err);
    return status;
}
