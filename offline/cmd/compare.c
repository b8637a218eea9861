/* llmcf compare: several rankers against a baseline. Options only; the work is in
 * offline/eval/arms.h. */
#include "offline/eval/arms.h"

#include "common/base/mem.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"
#include "offline/eval/arms_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static void add_section(void *input, char *baseline, struct argp_state *state)
{
    arguments *a = input;
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

static void add_rival(void *input, char *dir, struct argp_state *state)
{
    arguments *a = input;

    if (a->sections_n > 1)
        argp_error(state, "'%s': with several sections rankers stand right after their --baseline",
                   dir);
    add_dir(a, state, dir);
}

static const lcf_option OPTIONS[] = {
    {"baseline", "DIR", "The ranker that those after it are compared with; once a section", 1,
     LCF_OPT_CALL(add_section), LCF_REQUIRED},
    {"section", "NAME",
     "What to call the section of the next baseline (default: the folder that the baseline is in)",
     1, LCF_OPT_TEXT(section)},
    {"out", "DIR", "The comparison; replaced in one step", 1, LCF_OPT_TEXT(compare.out_dir),
     LCF_REQUIRED},
    {"split", "NAME", "valid or test (default test)", 2,
     LCF_OPT_WORD(compare.split, "valid", "test")},
    {"replicates", "N", "Bootstrap replicates (default 2000)", 3,
     LCF_OPT_WHOLE(compare.replicates_n, 100, 1000000)},
    LCF_ROW_SEED(3, "Of the bootstrap (default 1)", compare.seed),
    LCF_ROW_SEEDS_HOW(3, compare.seeds_fixed),
    LCF_ROW_THREADS(4, "result is", compare.threads),
    LCF_ROW_FORCE(4, "comparison is", compare.force),
    LCF_ROW_JSON(4, "compare.json on stdout"),
    {NULL, "--baseline DIR DIR...", NULL, 0, LCF_OPT_CALL(add_rival)},
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

static void check(void *input, struct argp_state *state)
{
    arguments *a = input;

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
    static const lcf_options options = {"compare", DOC, OPTIONS, check, NULL};
    arguments a = {.compare = LCF_ARMS_OPTIONS_INIT};
    lcf_err err = LCF_ERR_INIT;
    lcf_buf text = LCF_BUF_INIT;
    bool current = false;
    json_t *compare = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

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
