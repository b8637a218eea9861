/* llmcf compare-next: two next-item runs over the same targets, with intervals. Options only; the
 * work is in offline/eval/ranks_compare.h. */
#include "offline/eval/ranks_compare.h"

#include "common/base/json.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    const char *dir[2], *split, *out;
    lcf_ranks_compare_options options;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"a", "DIR", "The first run, made by `llmcf train-next`", 1, LCF_OPT_TEXT(dir[0]),
     LCF_REQUIRED},
    {"b", "DIR", "The second one; differences are B - A", 1, LCF_OPT_TEXT(dir[1]), LCF_REQUIRED},
    {"split", "NAME", "valid or test (default test)", 1, LCF_OPT_WORD(split, "valid", "test")},
    {"out", "FILE", "The comparison as JSON; replaced in one step", 1, LCF_OPT_TEXT(out)},
    {"replicates", "N", "Of the bootstrap (default 2000)", 2,
     LCF_OPT_WHOLE(options.replicates_n, 1, 1000000)},
    LCF_ROW_SEED(2, "Of the bootstrap (default 1)", options.seed),
    {"seeds-fixed", NULL, "Do not draw seeds, too: the intervals then speak of users only", 2,
     LCF_OPT_FLAG(options.seeds_fixed)},
    {"threads", "N", "Default: one per processor; the result does not depend on it", 3,
     LCF_OPT_WHOLE(options.threads, 0, 1024)},
    LCF_ROW_JSON(3, "the comparison as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Compares two next-item runs that ranked the same targets: HR, NDCG and MRR of both, the "
    "difference, and its 95 % interval by a paired bootstrap that draws users (all rows of a user "
    "together) and seeds."
    "\v"
    "Example:\n"
    "  llmcf compare-next --a next-gru4rec --b next-sasrec";

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
        fprintf(stderr, "  %-8s %9.4f %9.4f %+9.4f   [%+.4f, %+.4f]   %7.4f\n", name,
                lcf_cmd_real(m, "a"), lcf_cmd_real(m, "b"), lcf_cmd_real(m, "difference"),
                lcf_cmd_real(m, "low"), lcf_cmd_real(m, "high"), lcf_cmd_real(m, "p"));
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
    static const lcf_options options = {"compare-next", DOC, OPTIONS, NULL, NULL};
    arguments a = {.split = "test", .options = LCF_RANKS_COMPARE_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    json_t *result = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = compare(&result, &a, &err);
    }
    if (!status)
        print_summary(result, &a);
    return lcf_cmd_finish("compare-next", status, result, a.json, &err);
}
