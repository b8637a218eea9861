/*
 * llmcf store: look after a chain-of-thought store. Options only; the work is in
 * common/store/cot_maintain.h and common/store/cot_json.h.
 */
#include "common/store/cot_json.h"

#include "common/base/file.h"
#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/data/byte_stream.h"
#include "offline/data/zst_out.h"
#include "offline/recgen/generate.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_S 86400

typedef struct action action;

typedef struct arguments {
    const action *action;
    const char *cot, *out, *operand, *keep_model;
    lcf_cli_texts operands; /* all of them; `operand` is the first */
    lcf_hash128 key;
    uint64_t sample, seed, keep_days;
    lcf_cot_select select;
} arguments;

static const char DOC[] =
    "Looks after a chain-of-thought store."
    "\v"
    "  stats        counts, sizes, records per reason of rejection, as JSON\n"
    "  get KEY      one record, as JSON; KEY is 32 hexadecimal digits\n"
    "  export       all records as JSON lines in key order: equal stores give equal lines; "
    "compressed where --out ends in .zst\n"
    "  list         records by --user, --from and --until as JSON lines, in the order of time\n"
    "  import FILE  adds exported records, compressed or not (- is stdin); those there already "
    "stay as they are\n"
    "  merge DIR... adds the records of other stores, such as shards; conflicts are named, and "
    "fail the run once all else is merged\n"
    "  verify       reads every record and names each damaged one: checksums, dictionaries, and "
    "that "
    "each key is that of its content, and each record is found by user and by time\n"
    "  repair       makes a store of everything that can still be read; the old file is kept as "
    "data.mdb.damaged\n"
    "  compact      rewrites the store without gaps, recompressed with one new dictionary\n"
    "  recompress   writes every record once more, in place, with a newly trained dictionary\n"
    "  gc           removes records by --keep-days and --keep-model\n\n"
    "What changes a store does so in whole transactions; killed, it leaves the old state or the "
    "new "
    "one.\n\n"
    "Examples:\n"
    "  llmcf store stats --cot cot\n"
    "  llmcf store export --cot cot --sample 10 | jq -r '.score, .text'\n"
    "  llmcf store export --cot cot --out cot.jsonl.zst\n"
    "  llmcf store import cot.jsonl.zst --cot copy\n"
    "  llmcf store merge cot/shard-*-of-8 --cot cot\n"
    "  llmcf store gc --keep-days 180 --cot cot";

struct action {
    const char *name, *operand; /* what it takes besides options, or NULL; "...": several */
    lcf_status (*run)(const arguments *a, lcf_err *err);
};

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

static lcf_status open_store(lcf_cot_store **out, const arguments *a, bool write, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;

    options.write = write;
    return lcf_cot_store_open(out, a->cot, &options, err);
}

/* ---- looking ---- */

static lcf_status run_stats(const arguments *a, lcf_err *err)
{
    lcf_cot_store *store;
    json_t *json = NULL;
    lcf_status status = open_store(&store, a, false, err);

    if (status)
        return status;
    status = lcf_cot_stats_json(&json, store, err);
    lcf_cot_store_close(store);
    return status ? status : print_json(json, err);
}

static lcf_status run_get(const arguments *a, lcf_err *err)
{
    lcf_cot_store *store;
    lcf_cot_record *record = NULL;
    char hex[33];
    lcf_status status = open_store(&store, a, false, err);

    if (status)
        return status;
    status = lcf_cot_store_get(&record, store, a->key, err);
    lcf_cot_store_close(store);
    lcf_hash128_hex(hex, a->key);
    if (status == LCF_ENOTFOUND)
        return LCF_FAIL(err, status, "no record %s", hex);
    if (!status)
        status = print_json(lcf_cot_record_to_json(record), err);
    free(record);
    return status;
}

static bool named_zst(const char *path)
{
    const size_t n = strlen(path);

    return n > 4 && !strcmp(path + n - 4, ".zst");
}

static lcf_status export_to(FILE *to, uint64_t *n, const arguments *a, lcf_err *err)
{
    FILE *compressed;
    lcf_status status;

    if (!a->out || !named_zst(a->out))
        return lcf_cot_export(to, n, a->cot, a->sample, a->seed, err);
    status = lcf_zst_out_open(&compressed, to, err);
    if (status)
        return status;
    status = lcf_cot_export(compressed, n, a->cot, a->sample, a->seed, err);
    if (fclose(compressed) && !status)
        status = LCF_FAIL_ERRNO(err, "cannot write %s", a->out);
    return status;
}

static lcf_status run_export(const arguments *a, lcf_err *err)
{
    uint64_t n = 0;
    lcf_out *out = NULL;
    lcf_status status = a->out ? lcf_out_open(&out, a->out, err) : LCF_OK;

    if (!status)
        status = export_to(out ? lcf_out_stream(out) : stdout, &n, a, err);
    if (!status && out) {
        status = lcf_out_commit(out, err);
        out = NULL;
    }
    lcf_out_abandon(out);
    if (!status)
        fprintf(stderr, "%llu records\n", (unsigned long long)n);
    return status;
}

static lcf_status print_line(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    json_t *json = lcf_cot_record_to_json(record);
    lcf_status status = LCF_OK;

    (void)arg;
    if (!json)
        return LCF_FAIL(err, LCF_ENOMEM, "JSON of a record");
    if (json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) || putchar('\n') < 0)
        status = LCF_FAIL(err, LCF_EIO, "cannot write to stdout");
    json_decref(json);
    return status;
}

static lcf_status run_list(const arguments *a, lcf_err *err)
{
    lcf_cot_store *store;
    lcf_status status = open_store(&store, a, false, err);

    if (!status)
        status = lcf_cot_store_each_of(store, &a->select, print_line, NULL, err);
    lcf_cot_store_close(store);
    return status;
}

/* ---- health ---- */

static void name_damage(void *arg, lcf_hash128 key, const char *why)
{
    char hex[33];

    (void)arg;
    lcf_hash128_hex(hex, key);
    fprintf(stderr, "%s: %s\n", hex, why);
}

typedef struct verdict {
    uint64_t sound_n, damaged_n;
} verdict;

static void note_damage(void *arg, lcf_hash128 key, const char *why)
{
    ((verdict *)arg)->damaged_n++;
    name_damage(NULL, key, why);
}

/* A record that can be read is sound when its key is that of its content. */
static lcf_status check_key(void *arg, const lcf_cot_record *r, lcf_err *err)
{
    const lcf_hash128 key =
        lcf_cot_key(r->sample_hash, r->prompt_version, r->model_id, r->sampling);

    (void)err;
    if (memcmp(&key, &r->key, sizeof(key)))
        note_damage(arg, r->key, "its key is not that of its content");
    else
        ((verdict *)arg)->sound_n++;
    return LCF_OK;
}

static lcf_status run_verify(const arguments *a, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    verdict v = {0, 0};
    bool whole = false;
    lcf_cot_store *store;
    lcf_status status;

    options.walk = true;
    status = lcf_cot_store_open(&store, a->cot, &options, err);
    if (status) {
        if (status == LCF_EFORMAT)
            fprintf(stderr, "`llmcf store repair --cot %s` saves what can be read\n", a->cot);
        return status;
    }
    status = lcf_cot_store_each_sound(store, check_key, &v, note_damage, &v, err);
    if (!status && !v.damaged_n)
        status = lcf_cot_store_check_index(&whole, store, err);
    lcf_cot_store_close(store);
    if (status)
        return status;
    fprintf(stderr, "%llu records are sound\n", (unsigned long long)v.sound_n);
    if (!whole && !v.damaged_n)
        fprintf(stderr, "the tables by user and by time are not complete: whoever writes to the "
                        "store next completes them\n");
    if (v.damaged_n)
        return LCF_FAIL(err, LCF_ECHECKSUM,
                        "%llu records are damaged; `llmcf store repair` drops those that "
                        "cannot be read",
                        (unsigned long long)v.damaged_n);
    return LCF_OK;
}

static lcf_status run_repair(const arguments *a, lcf_err *err)
{
    lcf_cot_repair_counts counts = {0, 0};
    lcf_status status = lcf_cot_store_repair(&counts, a->cot, name_damage, NULL, err);

    if (!status)
        fprintf(stderr, "%llu records saved, %llu lost; the old file is %s/data.mdb.damaged\n",
                (unsigned long long)counts.sound_n, (unsigned long long)counts.lost_n, a->cot);
    return status;
}

static lcf_status data_bytes(uint64_t *out, const arguments *a, lcf_err *err)
{
    char *path = lcf_path_join(a->cot, "data.mdb");
    struct stat st = {.st_size = 0};
    lcf_status status = path ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "path in %s", a->cot);

    if (!status && stat(path, &st))
        status = LCF_FAIL_ERRNO(err, "%s", path);
    *out = (uint64_t)st.st_size;
    free(path);
    return status;
}

static lcf_status run_compact(const arguments *a, lcf_err *err)
{
    uint64_t before = 0, after = 0;
    lcf_status status = data_bytes(&before, a, err);

    if (!status)
        status = lcf_cot_store_compact(a->cot, err);
    if (!status)
        status = data_bytes(&after, a, err);
    if (!status)
        fprintf(stderr, "%llu bytes, before %llu\n", (unsigned long long)after,
                (unsigned long long)before);
    return status;
}

static lcf_status run_recompress(const arguments *a, lcf_err *err)
{
    lcf_cot_store_stats before = {0}, after = {0};
    lcf_cot_store *store;
    lcf_status status = open_store(&store, a, true, err);

    if (!status)
        status = lcf_cot_store_stat(&before, store, err);
    if (!status)
        status = lcf_cot_store_recompress(store, err);
    if (!status)
        status = lcf_cot_store_stat(&after, store, err);
    lcf_cot_store_close(store);
    if (!status)
        fprintf(stderr, "%llu bytes of frames, before %llu\n",
                (unsigned long long)after.stored_bytes, (unsigned long long)before.stored_bytes);
    return status;
}

/* ---- changing ---- */

static void name_conflict(void *arg, lcf_hash128 key)
{
    (void)arg;
    name_damage(NULL, key, "there already, with another content");
}

static lcf_status summarise(const lcf_cot_merge_counts *counts, lcf_err *err)
{
    fprintf(stderr, "%llu records added, %llu were there\n", (unsigned long long)counts->added_n,
            (unsigned long long)counts->same_n);
    if (!counts->conflict_n)
        return LCF_OK;
    return LCF_FAIL(err, LCF_EEXIST, "%llu records are there with another content; they stay",
                    (unsigned long long)counts->conflict_n);
}

static lcf_status run_import(const arguments *a, lcf_err *err)
{
    const bool standard = !strcmp(a->operand, "-");
    lcf_byte_stream *bytes;
    lcf_cot_merge_counts counts = {0, 0, 0};
    lcf_cot_store *store = NULL;
    lcf_err why = LCF_ERR_INIT; /* of what is read */
    FILE *in = NULL;
    lcf_status status = standard ? lcf_byte_stream_open_stdin(&bytes, err)
                                 : lcf_byte_stream_open(&bytes, a->operand, err);

    if (!status && !(in = lcf_byte_stream_file(bytes, &why)))
        status = LCF_FAIL(err, LCF_ENOMEM, "lines of %s", a->operand);
    if (!status)
        status = open_store(&store, a, true, err);
    if (!status)
        status = lcf_cot_import(&counts, store, in, standard ? "stdin" : a->operand, name_conflict,
                                NULL, err);
    if (why.status) {
        *err = why;
        status = why.status;
    }
    lcf_cot_store_close(store);
    if (in)
        fclose(in);
    lcf_byte_stream_close(bytes);
    return status ? status : summarise(&counts, err);
}

/* The stores are there, which is to be known before the target is created. */
static lcf_status check_stores(const lcf_cli_texts *dirs, const lcf_cot_store_options *reading,
                               lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < dirs->n && !status; i++) {
        lcf_cot_store *store = NULL;
        status = lcf_cot_store_open(&store, dirs->list[i], reading, err);
        lcf_cot_store_close(store);
    }
    return status;
}

lcf_status lcf_cmd_merge_stores(const char *cot, const lcf_cli_texts *from_dirs, lcf_err *err)
{
    lcf_cot_store_options reading = LCF_COT_STORE_OPTIONS_INIT, writing = reading;
    lcf_cot_merge_counts counts = {0, 0, 0};
    lcf_cot_store *to = NULL;
    lcf_status status = check_stores(from_dirs, &reading, err);

    writing.write = true;
    if (!status)
        status = lcf_cot_store_open(&to, cot, &writing, err);
    for (size_t i = 0; i < from_dirs->n && !status; i++) {
        lcf_cot_store *from = NULL;
        status = lcf_cot_store_open(&from, from_dirs->list[i], &reading, err);
        if (!status)
            status = lcf_cot_store_merge(&counts, to, from, name_conflict, NULL, err);
        lcf_cot_store_close(from);
    }
    lcf_cot_store_close(to);
    return status ? status : summarise(&counts, err);
}

static lcf_status run_merge(const arguments *a, lcf_err *err)
{
    return lcf_cmd_merge_stores(a->cot, &a->operands, err);
}

static lcf_status find_latest(void *arg, const lcf_cot_record *r, lcf_err *err)
{
    int64_t *latest = arg;

    (void)err;
    if (r->time > *latest)
        *latest = r->time;
    return LCF_OK;
}

static lcf_status run_gc(const arguments *a, lcf_err *err)
{
    int64_t latest = INT64_MIN;
    uint64_t removed_n = 0;
    lcf_cot_store *store;
    lcf_status status;

    if (a->keep_days == UINT64_MAX && !a->keep_model)
        return LCF_FAIL(err, LCF_EUSAGE, "gc needs --keep-days, --keep-model, or both");
    status = open_store(&store, a, true, err);
    if (status)
        return status;
    status = lcf_cot_store_each(store, find_latest, &latest, err);
    if (!status && a->keep_days != UINT64_MAX && latest > INT64_MIN)
        latest -= (int64_t)a->keep_days * DAY_S;
    else
        latest = INT64_MIN;
    if (!status)
        status = lcf_cot_store_gc(&removed_n, store, latest, a->keep_model, err);
    lcf_cot_store_close(store);
    if (!status)
        fprintf(stderr, "%llu records removed\n", (unsigned long long)removed_n);
    return status;
}

/* ---- arguments ---- */

static const action ACTIONS[] = {
    {"stats", NULL, run_stats},           {"get", "KEY", run_get},
    {"export", NULL, run_export},         {"list", NULL, run_list},
    {"import", "FILE", run_import},       {"merge", "DIR...", run_merge},
    {"verify", NULL, run_verify},         {"repair", NULL, run_repair},
    {"compact", NULL, run_compact},       {"gc", NULL, run_gc},
    {"recompress", NULL, run_recompress},
};

static lcf_status parse_action(void *field, const char *text, lcf_err *err)
{
    return lcf_cmd_find_action(field, ACTIONS, sizeof(ACTIONS), sizeof(ACTIONS[0]), text, err);
}

static const lcf_option OPTIONS[] = {
    {"cot", "DIR", "The store that `llmcf generate` fills", 1, LCF_OPT_TEXT(cot)},
    {"out", "FILE", "export: where to (default: stdout); compressed where it ends in .zst", 2,
     LCF_OPT_TEXT(out)},
    {"sample", "N", "export: N records chosen by hash (default: all, in key order)", 2,
     LCF_OPT_WHOLE(sample, 1, INT32_MAX)},
    LCF_ROW_SEED(2, "Of --sample (default 1)", seed),
    {"user", "ID", "list: of this user alone", 2, LCF_OPT_TEXT(select.user_id)},
    {"from", "SECONDS", "list: about decisions since then (seconds since 1970)", 2,
     LCF_OPT_WHOLE(select.from, 0, INT64_MAX)},
    {"until", "SECONDS", "list: about decisions up to then", 2,
     LCF_OPT_WHOLE(select.until, 0, INT64_MAX)},
    {"keep-days", "N", "gc: removes records about decisions more than N days before the latest one",
     3, LCF_OPT_WHOLE(keep_days, 0, 1000000)},
    {"keep-model", "ID", "gc: removes records that another model wrote", 3,
     LCF_OPT_TEXT(keep_model)},
    {NULL, "ACTION", NULL, 0, LCF_OPT_PARSED(action, parse_action)},
    {NULL, "[KEY|FILE|DIR...]", NULL, 0, LCF_OPT_TEXTS(operands)},
    {0},
};

static void check(void *input, struct argp_state *state)
{
    arguments *a = input;

    size_t taken;

    if (!a->action)
        argp_error(state, "an action is needed, such as stats; --help lists them");
    if (!a->cot)
        argp_error(state, "--cot is needed");
    a->operand = a->operands.n ? a->operands.list[0] : NULL;
    if (a->action->operand && !a->operand)
        argp_error(state, "%s needs a %s", a->action->name, a->action->operand);
    taken = !a->action->operand ? 0 : strstr(a->action->operand, "...") ? SIZE_MAX : 1;
    if (a->operands.n > taken)
        argp_error(state, "%s takes no '%s'", a->action->name, a->operands.list[taken]);
    if (a->action->run == run_get && !lcf_hash128_parse(&a->key, a->operand))
        argp_error(state, "a key is 32 hexadecimal digits, not '%s'", a->operand);
}

int lcf_cmd_store(int argc, char **argv)
{
    static const lcf_options options = {"store", DOC, OPTIONS, check, NULL};
    arguments a = {.seed = 1, .keep_days = UINT64_MAX, .select = LCF_COT_SELECT_ALL};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status)
        status = a.action->run(&a, &err);
    lcf_cli_texts_dispose(&a.operands);
    return lcf_cli_finish("store", status, &err);
}
