/* llmcf compare-next: two next-item runs over the same targets, with intervals. Options only; the
 * work is in offline/eval/ranks_compare.h. */
#include "offline/eval/ranks_compare.h"

#include "common/base/cli.h"
#include "common/base/json.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    OPT_A = 0x100,
    OPT_B,
    OPT_SPLIT,
    OPT_OUT,
    OPT_REPLICATES,
    OPT_SEED,
    OPT_SEEDS_FIXED,
    OPT_THREADS,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"a", OPT_A, "DIR", 0, "The first run, made by `llmcf train-next`", 1},
    {"b", OPT_B, "DIR", 0, "The second one; differences are B - A", 1},
    {"split", OPT_SPLIT, "NAME", 0, "valid or test (default test)", 1},
    {"out", OPT_OUT, "FILE", 0, "The comparison as JSON; replaced in one step", 1},
    {"replicates", OPT_REPLICATES, "N", 0, "Of the bootstrap (default 2000)", 2},
    {"seed", OPT_SEED, "N", 0, "Of the bootstrap (default 1)", 2},
    {"seeds-fixed", OPT_SEEDS_FIXED, NULL, 0,
     "Do not draw seeds, too: the intervals then speak of users only", 2},
    {"threads", OPT_THREADS, "N", 0, "Default: one per processor; the result does not depend on it",
     3},
    {"json", OPT_JSON, NULL, 0, "Print the comparison as JSON on stdout", 3},
    {0},
};

static const char DOC[] =
    "Compares two next-item runs that ranked the same targets: HR, NDCG and MRR of both, the "
    "difference, and its 95 % interval by a paired bootstrap that draws users (all rows of a user "
    "together) and seeds."
    "\v"
    "Example:\n"
    "  llmcf compare-next --a next-gru4rec --b next-sasrec";

typedef struct arguments {
    const char *dir[2], *split, *out;
    lcf_ranks_compare_options options;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_A:
        a->dir[0] = text;
        return 0;
    case OPT_B:
        a->dir[1] = text;
        return 0;
    case OPT_SPLIT:
        a->split = lcf_cli_choice(state, "split", text, "valid", "test", NULL) ? "test" : "valid";
        return 0;
    case OPT_OUT:
        a->out = text;
        return 0;
    case OPT_REPLICATES:
        a->options.replicates_n = (size_t)lcf_cli_u64(state, "replicates", text, 1, 1000000);
        return 0;
    case OPT_SEED:
        a->options.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_SEEDS_FIXED:
        a->options.seeds_fixed = true;
        return 0;
    case OPT_THREADS:
        a->options.threads = (size_t)lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!a->dir[0] || !a->dir[1])
            argp_error(state, "--a and --b are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static lcf_status open_ranks(lcf_ranks *out, const char *dir, const char *split, lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_printf(&path, "%s/ranks-%s.lcf", dir, split);
    status = path.status ? LCF_FAIL(err, path.status, "path in %s", dir)
                         : lcf_ranks_open(out, lcf_buf_text(&path), err);
    lcf_buf_dispose(&path);
    return status;
}

static double real(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void print_summary(const json_t *result, const arguments *a)
{
    const json_t *m;
    const char *name;

    fprintf(stderr, "A %s, B %s: %lld %s rows of %lld users, among %lld items\n", a->dir[0],
            a->dir[1], lcf_cmd_count(result, "rows"), a->split, lcf_cmd_count(result, "users"),
            lcf_cmd_count(result, "candidates"));
    fprintf(stderr, "  %-8s %9s %9s %9s   %-21s %7s\n", "", "A", "B", "B - A", "95 % interval",
            "p");
    json_object_foreach(json_object_get(result, "measures"), name, m)
        fprintf(stderr, "  %-8s %9.4f %9.4f %+9.4f   [%+.4f, %+.4f]   %7.4f\n", name, real(m, "a"),
                real(m, "b"), real(m, "difference"), real(m, "low"), real(m, "high"), real(m, "p"));
}

static lcf_status compare(json_t **result, const arguments *a, lcf_err *err)
{
    lcf_ranks ranks[2];
    lcf_status status;

    memset(ranks, 0, sizeof(ranks));
    status = open_ranks(&ranks[0], a->dir[0], a->split, err);
    if (!status)
        status = open_ranks(&ranks[1], a->dir[1], a->split, err);
    if (!status)
        status = lcf_ranks_compare(result, &ranks[0], &ranks[1], &a->options, err);
    if (!status && a->out)
        status = lcf_json_save(a->out, *result, err);
    lcf_ranks_close(&ranks[0]);
    lcf_ranks_close(&ranks[1]);
    return status;
}

int lcf_cmd_compare_next(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.split = "test", .options = LCF_RANKS_COMPARE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *result = NULL;
    lcf_status status = lcf_cli_parse(&argp, "compare-next", argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = compare(&result, &a, &err);
    }
    if (!status) {
        print_summary(result, &a);
        if (a.json)
            status = lcf_cmd_print_json(result, &err);
    }
    json_decref(result);
    return lcf_cli_finish("compare-next", status, &err);
}
