/*
 * llmcf cot: look into a chain-of-thought store. Options only; the work is in
 * common/store/cot_store.h and offline/recgen/generate.h.
 */
#include "common/store/cot_store.h"

#include "common/base/cli.h"
#include "common/base/file.h"
#include "offline/cmd/verbs.h"
#include "offline/recgen/generate.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_COT = 0x100, OPT_OUT, OPT_SAMPLE, OPT_SEED };

static const struct argp_option OPTIONS[] = {
    {"cot", OPT_COT, "DIR", 0, "The store that `llmcf generate` fills", 1},
    {"out", OPT_OUT, "FILE", 0, "export: where to (default: stdout)", 2},
    {"sample", OPT_SAMPLE, "N", 0, "export: N records chosen by hash (default: all, in key order)",
     2},
    {"seed", OPT_SEED, "N", 0, "Of --sample (default 1)", 2},
    {0},
};

static const char DOC[] =
    "Looks into a chain-of-thought store."
    "\v"
    "  stats     counts and sizes, as JSON\n"
    "  get KEY   one record, as JSON; KEY is 32 hexadecimal digits\n"
    "  export    all records as JSON lines in key order: equal stores give equal lines, which is "
    "how "
    "runs are compared\n"
    "  verify    reads every record: checksums, and that each key is that of its content\n\n"
    "Examples:\n"
    "  llmcf cot stats --cot cot\n"
    "  llmcf cot export --cot cot --sample 10 | jq -r '.score, .text'";

typedef struct arguments {
    const char *action, *cot, *out;
    lcf_hash128 key;
    bool has_key;
    uint64_t sample, seed;
} arguments;

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void parse_key(arguments *a, const char *text, struct argp_state *state)
{
    if (strlen(text) != 2 * sizeof(a->key.bytes))
        argp_error(state, "a key is 32 hexadecimal digits, not '%s'", text);
    for (size_t i = 0; i < sizeof(a->key.bytes); i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            argp_error(state, "a key is 32 hexadecimal digits, not '%s'", text);
        a->key.bytes[i] = (uint8_t)(high << 4 | low);
    }
    a->has_key = true;
}

static void check(const arguments *a, struct argp_state *state)
{
    static const char *const actions[] = {"stats", "get", "export", "verify"};
    bool known = false;

    for (size_t i = 0; a->action && i < 4; i++)
        known = known || !strcmp(a->action, actions[i]);
    if (!known)
        argp_error(state, "one of stats, get, export and verify is needed");
    if (!a->cot)
        argp_error(state, "--cot is needed");
    if (a->has_key != !strcmp(a->action, "get"))
        argp_error(state, "get, and only get, takes a KEY");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_COT:
        a->cot = text;
        return 0;
    case OPT_OUT:
        a->out = text;
        return 0;
    case OPT_SAMPLE:
        a->sample = lcf_cli_u64(state, "sample", text, 1, INT32_MAX);
        return 0;
    case OPT_SEED:
        a->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            a->action = text;
        else if (state->arg_num == 1)
            parse_key(a, text, state);
        else
            return ARGP_ERR_UNKNOWN;
        return 0;
    case ARGP_KEY_END:
        check(a, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Prints and releases. */
static lcf_status print_json(json_t *json, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (!json)
        return LCF_FAIL(err, LCF_ENOMEM, "JSON of the store");
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6)) ||
        putchar('\n') < 0)
        status = LCF_FAIL(err, LCF_EIO, "cannot write to stdout");
    json_decref(json);
    return status;
}

static lcf_status run_stats(lcf_cot_store *store, lcf_err *err)
{
    lcf_cot_store_stats s;
    char digest[LCF_SHA256_HEX_BYTES];
    lcf_status status = lcf_cot_store_stat(&s, store, err);

    if (!status)
        status = lcf_cot_store_digest(digest, store, err);
    if (status)
        return status;
    return print_json(json_pack("{s:I, s:I, s:I, s:I, s:f, s:s}", "records",
                                (json_int_t)s.records_n, "raw_bytes", (json_int_t)s.raw_bytes,
                                "stored_bytes", (json_int_t)s.stored_bytes, "dictionaries",
                                (json_int_t)s.dictionaries_n, "ratio",
                                s.stored_bytes ? (double)s.raw_bytes / (double)s.stored_bytes : 0.0,
                                "digest", digest),
                      err);
}

static lcf_status run_get(lcf_cot_store *store, lcf_hash128 key, lcf_err *err)
{
    lcf_cot_record *record;
    char hex[33];
    lcf_status status = lcf_cot_store_get(&record, store, key, err);

    lcf_hash128_hex(hex, key);
    if (status == LCF_ENOTFOUND)
        return LCF_FAIL(err, status, "no record %s", hex);
    if (!status)
        status = print_json(lcf_cot_record_json(record), err);
    free(record);
    return status;
}

static lcf_status verify_record(void *arg, const lcf_cot_record *r, lcf_err *err)
{
    uint64_t *n = arg;
    lcf_hash128 key = lcf_cot_key(r->sample_hash, r->prompt_version, r->model_id, r->sampling);
    char hex[33];

    if (memcmp(&key, &r->key, sizeof(key))) {
        lcf_hash128_hex(hex, r->key);
        return LCF_FAIL(err, LCF_ECHECKSUM, "record %s: its key is not that of its content", hex);
    }
    (*n)++;
    return LCF_OK;
}

static lcf_status run_verify(lcf_cot_store *store, lcf_err *err)
{
    uint64_t n = 0;
    lcf_status status = lcf_cot_store_each(store, verify_record, &n, err);

    fprintf(stderr, "%llu records are sound\n", (unsigned long long)n);
    return status;
}

static lcf_status run_export(const arguments *a, lcf_err *err)
{
    uint64_t n = 0;
    lcf_out *out = NULL;
    lcf_status status;

    if (!a->out) {
        status = lcf_cot_export(stdout, &n, a->cot, a->sample, a->seed, err);
        goto done;
    }
    status = lcf_out_open(&out, a->out, err);
    if (!status)
        status = lcf_cot_export(lcf_out_stream(out), &n, a->cot, a->sample, a->seed, err);
    if (!status) {
        status = lcf_out_commit(out, err);
        out = NULL;
    }
    lcf_out_abandon(out);
done:
    if (!status)
        fprintf(stderr, "%llu records\n", (unsigned long long)n);
    return status;
}

static lcf_status run(const arguments *a, lcf_err *err)
{
    lcf_cot_store_options reading = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *store;
    lcf_status status;

    if (!strcmp(a->action, "export"))
        return run_export(a, err);
    status = lcf_cot_store_open(&store, a->cot, &reading, err);
    if (status)
        return status;
    if (!strcmp(a->action, "stats"))
        status = run_stats(store, err);
    else if (!strcmp(a->action, "get"))
        status = run_get(store, a->key, err);
    else
        status = run_verify(store, err);
    lcf_cot_store_close(store);
    return status;
}

int lcf_cmd_cot(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, "ACTION [KEY]", DOC, NULL, NULL, NULL};
    arguments a = {.seed = 1};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_cli_parse(&argp, "cot", argc, argv, &a, &err);

    if (!status)
        status = run(&a, &err);
    return lcf_cli_finish("cot", status, &err);
}
