/* llmcf compare: several rankers against a baseline. Options only; the work is in
 * offline/eval/arms.h. */
#include "offline/eval/arms.h"

#include "common/base/cli.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"
#include "offline/eval/arms_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_BASELINE = 0x100,
    OPT_SECTION,
    OPT_OUT,
    OPT_SPLIT,
    OPT_REPLICATES,
    OPT_SEED,
    OPT_SEEDS,
    OPT_THREADS,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"baseline", OPT_BASELINE, "DIR", 0,
     "The ranker that those after it are compared with; once a section", 1},
    {"section", OPT_SECTION, "NAME", 0,
     "What to call the section of the next baseline (default: the folder that the baseline is in)",
     1},
    {"out", OPT_OUT, "DIR", 0, "The comparison; replaced in one step", 1},
    {"split", OPT_SPLIT, "NAME", 0, "valid or test (default test)", 2},
    {"replicates", OPT_REPLICATES, "N", 0, "Bootstrap replicates (default 2000)", 3},
    {"seed", OPT_SEED, "N", 0, "Of the bootstrap (default 1)", 3},
    {"seeds", OPT_SEEDS, "HOW", 0,
     "drawn: intervals cover new users and new training runs; fixed: new users only (default "
     "drawn)",
     3},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     4},
    {"force", OPT_FORCE, NULL, 0, "Also when the comparison is up to date", 4},
    {"json", OPT_JSON, NULL, 0, "Print compare.json on stdout", 4},
    {0},
};

static const char DOC[] =
    "Several rankers against one baseline, data set by data set: AUC, UAUC and log loss with "
    "paired "
    "95 % intervals of their lifts, p-values corrected for the number of rankers, training times "
    "and sizes."
    "\v"
    "Reads DIR/test.lcf as `llmcf train`, `llmcf retrieve` and `llmcf judge` write it (valid.lcf "
    "with --split valid), and the training times and curves of those that `llmcf train` made. Each "
    "--baseline opens a section; the folders after it are its rivals and must be about the same "
    "rows.\n\n"
    "Writes DIR/compare.md, compare.html, compare.csv and compare.json with every measure, "
    "manifest.json (schemas/compare.md).\n\n"
    "Examples:\n"
    "  llmcf compare --baseline ranker-din ranker-ict ranker-kar --out compare\n"
    "  llmcf compare --out compare \\\n"
    "    --section MovieLens --baseline ml/ranker-din ml/ranker-ict \\\n"
    "    --section Beauty --baseline beauty/ranker-din beauty/ranker-ict";

typedef struct arguments {
    lcf_arms_options compare;
    lcf_arms_section *sections;
    lcf_cli_texts dirs; /* of all sections; a section's begin at first[i] */
    size_t *first;
    char **names; /* NULL: by the baseline's folder */
    size_t sections_n;
    size_t sections_capacity, first_capacity, names_capacity;
    const char *section; /* of the next baseline */
    bool json;
} arguments;

/* "work/beauty/ranker-din/" stands in "beauty"; without a folder, "rankers". */
static char *parent_name(const char *path)
{
    size_t end = strlen(path), begin;

    for (size_t part = 0; part < 2; part++) { /* off with the slashes and, once, the last name */
        while (end > 0 && path[end - 1] == '/')
            end--;
        while (!part && end > 0 && path[end - 1] != '/')
            end--;
    }
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    return end > begin ? lcf_strndup(path + begin, end - begin) : lcf_strdup("rankers");
}

static void out_of_memory(struct argp_state *state)
{
    argp_failure(state, 1, 0, "out of memory");
}

static void add_dir(arguments *a, struct argp_state *state, const char *dir)
{
    if (!a->sections_n)
        argp_error(state, "'%s': a --baseline comes first", dir);
    lcf_cli_texts_add(&a->dirs, state, dir);
}

/* Takes the folders after it from the command line at once, as getopt would put all of them last.
 */
static void add_section(arguments *a, struct argp_state *state, const char *baseline)
{
    const size_t i = a->sections_n;

    if (lcf_grow((void **)&a->first, &a->first_capacity, i + 1, sizeof(*a->first)) ||
        lcf_grow((void **)&a->names, &a->names_capacity, i + 1, sizeof(*a->names)))
        out_of_memory(state);
    a->first[i] = a->dirs.n;
    a->names[i] = a->section ? lcf_strdup(a->section) : parent_name(baseline);
    if (!a->names[i])
        out_of_memory(state);
    a->section = NULL;
    a->sections_n = i + 1;
    add_dir(a, state, baseline);
    while (state->next < state->argc && state->argv[state->next][0] != '-')
        add_dir(a, state, state->argv[state->next++]);
}

static void finish(arguments *a, struct argp_state *state)
{
    if (!a->sections_n || !a->compare.out_dir)
        argp_error(state, "--baseline, rivals and --out are needed");
    if (a->section)
        argp_error(state, "--section %s: no --baseline after it", a->section);
    if (lcf_grow((void **)&a->sections, &a->sections_capacity, a->sections_n, sizeof(*a->sections)))
        out_of_memory(state);
    for (size_t i = 0; i < a->sections_n; i++) {
        size_t end = i + 1 < a->sections_n ? a->first[i + 1] : a->dirs.n;
        a->sections[i] =
            (lcf_arms_section){a->names[i], a->dirs.list + a->first[i], end - a->first[i]};
        if (a->sections[i].dirs_n < 2)
            argp_error(state, "--baseline %s: no ranker after it", a->dirs.list[a->first[i]]);
    }
    a->compare.sections = a->sections;
    a->compare.sections_n = a->sections_n;
}

static error_t parse_statistics(int key, char *text, struct argp_state *state, lcf_arms_options *o)
{
    switch (key) {
    case OPT_SPLIT:
        o->split = lcf_cli_choice(state, "split", text, "valid", "test", NULL) ? "test" : "valid";
        return 0;
    case OPT_REPLICATES:
        o->replicates_n = lcf_cli_u64(state, "replicates", text, 100, 1000000);
        return 0;
    case OPT_SEED:
        o->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_SEEDS:
        o->seeds_fixed = lcf_cli_choice(state, "seeds", text, "drawn", "fixed", NULL);
        return 0;
    case OPT_THREADS:
        o->threads = lcf_cli_u64(state, "threads", text, 0, 1024);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_BASELINE:
        add_section(a, state, text);
        return 0;
    case OPT_SECTION:
        a->section = text;
        return 0;
    case OPT_OUT:
        a->compare.out_dir = text;
        return 0;
    case OPT_FORCE:
        a->compare.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (a->sections_n > 1)
            argp_error(state,
                       "'%s': with several sections rankers stand right after their --baseline",
                       text);
        add_dir(a, state, text);
        return 0;
    case ARGP_KEY_END:
        finish(a, state);
        return 0;
    default:
        return parse_statistics(key, text, state, &a->compare);
    }
}

static void dispose(arguments *a)
{
    for (size_t i = 0; i < a->sections_n; i++)
        free(a->names[i]);
    free(a->names);
    free(a->first);
    lcf_cli_texts_dispose(&a->dirs);
    free(a->sections);
}

int lcf_cmd_compare(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, "--baseline DIR DIR...", DOC, NULL,
                                     NULL,    NULL};
    arguments a = {.compare = LCF_ARMS_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    lcf_buf text = LCF_BUF_INIT;
    bool current = false;
    json_t *compare = NULL;
    lcf_status status = lcf_cli_parse(&argp, "compare", argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_arms_compare(&compare, &current, &a.compare, &err);
    if (!status) {
        lcf_arms_summary(&text, compare);
        fputs(lcf_buf_text(&text), stderr);
        fprintf(stderr, "%s/compare.html%s\n", a.compare.out_dir,
                current ? " is up to date, nothing done (--force makes it again)"
                        : " shows it all");
        if (a.json)
            status = lcf_cmd_print_json(compare, &err);
    }
    json_decref(compare);
    lcf_buf_dispose(&text);
    dispose(&a);
    return lcf_cli_finish("compare", status, &err);
}
