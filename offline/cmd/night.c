/* llmcf night: the books of the nightly run. Options only; the work is in offline/night/night.h. */
#include "offline/night/night.h"

#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char DOC[] =
    "Keeps the books of the nightly run (Makefile.pipeline)."
    "\v"
    "  step     runs a verb and adds one line to steps.jsonl: step, start, seconds, changed, rows, "
    "tokens, exit; exits as the verb did\n"
    "  changes  rows, users and items that came and went between two nights, and the drift of "
    "features and scores as population stability index\n"
    "  end      writes the metrics and exits with the night's own code: 0, or that of the step "
    "that failed\n\n"
    "Formats: schemas/night.md.\n\n"
    "Examples:\n"
    "  llmcf night step --night logs/d1 --name prepare --artefact dataset \\\n"
    "    -- prepare --input raw --out dataset\n"
    "  llmcf night changes --before work/before --after work --out work/changes\n"
    "  llmcf night end --night logs/d1 --metrics /var/lib/node_exporter/llmcf.prom";

typedef struct action action;

typedef struct arguments {
    const action *action;
    lcf_night_step step;
    lcf_night_changes changes;
    lcf_night_end end;
    lcf_cli_texts command; /* of step: a verb and its options */
    bool json;
} arguments;

struct action {
    const char *name;
    int (*run)(arguments *a, lcf_err *err); /* the exit code; an error is finished by the caller */
};

static int run_step(arguments *a, lcf_err *err)
{
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    int exit_code = 1;
    lcf_status status;

    if (n <= 0)
        return lcf_cli_finish("night", LCF_FAIL_ERRNO(err, "this program's own path"), err);
    program[n] = '\0';
    a->step.program = program;
    a->step.command = (char **)(uintptr_t)a->command.list; /* argv's own */
    a->step.command_n = a->command.n;
    status = lcf_night_step_run(&exit_code, &a->step, err);
    return status ? lcf_cli_finish("night", status, err) : exit_code;
}

static int run_changes(arguments *a, lcf_err *err)
{
    json_t *json = NULL;
    bool current;
    lcf_status status = lcf_night_changes_run(&json, &current, &a->changes, err);
    const json_t *rows = json_object_get(json, "rows"), *users = json_object_get(json, "users");
    const json_t *items = json_object_get(json, "items");

    if (!status)
        fprintf(stderr, "%s: %lld new rows, %lld new users, %lld new items%s\n", a->changes.out_dir,
                lcf_cmd_count(rows, "new"), lcf_cmd_count(users, "new"),
                lcf_cmd_count(items, "new"), current ? "; up to date, nothing done" : "");
    if (!status && a->json)
        status = lcf_cmd_print_json(json, err);
    json_decref(json);
    return lcf_cli_finish("night", status, err);
}

static int run_end(arguments *a, lcf_err *err)
{
    int exit_code = 1;
    lcf_status status;

    a->end.night_dir = a->step.night_dir;
    status = lcf_night_end_run(&exit_code, &a->end, err);

    return status ? lcf_cli_finish("night", status, err) : exit_code;
}

static const action ACTIONS[] = {{"step", run_step}, {"changes", run_changes}, {"end", run_end}};

static lcf_status parse_action(void *field, const char *text, lcf_err *err)
{
    return lcf_cmd_find_action(field, ACTIONS, sizeof(ACTIONS), sizeof(ACTIONS[0]), text, err);
}

static const lcf_option OPTIONS[] = {
    {"night", "DIR", "step, end: the night's own folder; steps.jsonl is in it", 1,
     LCF_OPT_TEXT(step.night_dir)},
    {"name", "NAME", "step: what the step is called", 1, LCF_OPT_TEXT(step.name)},
    {"artefact", "DIR", "step: what it makes, to tell whether it changed", 1,
     LCF_OPT_TEXT(step.artefact_dir)},
    {"before", "DIR", "changes: dataset/ and ranker-*/ of an earlier night", 2,
     LCF_OPT_TEXT(changes.before_dir)},
    {"after", "DIR", "changes: and those of this one", 2, LCF_OPT_TEXT(changes.after_dir)},
    {"out", "DIR", "changes: where changes.json and changes.md go", 2,
     LCF_OPT_TEXT(changes.out_dir)},
    {"root", "DIR", "end: of the snapshots (default snapshots)", 3, LCF_OPT_TEXT(end.root)},
    {"changes", "FILE", "end: changes.json, where there is one", 3, LCF_OPT_TEXT(end.changes)},
    {"metrics", "FILE.prom",
     "end: for the node exporter's textfile collector; replaced in one step", 3,
     LCF_OPT_TEXT(end.metrics)},
    {"failed", NULL, "end: the graph did not come to its end", 3, LCF_OPT_FLAG(end.failed)},
    {"force", NULL, "changes: also when the report is up to date", 4, LCF_OPT_FLAG(changes.force)},
    {"json", NULL, "changes: print changes.json on stdout", 4, LCF_OPT_FLAG(json)},
    {NULL, "ACTION", NULL, 0, LCF_OPT_PARSED(action, parse_action)},
    {NULL, "[-- VERB OPTIONS...]", NULL, 0, LCF_OPT_TEXTS(command)},
    {0},
};

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (!a->action)
        argp_error(state, "an action is needed: step, changes or end");
    if (a->action->run != run_changes && !a->step.night_dir)
        argp_error(state, "--night is needed");
    if (a->action->run == run_step && (!a->step.name || !a->command.n))
        argp_error(state, "step needs --name and, after --, a verb with its options");
    if (a->action->run != run_step && a->command.n)
        argp_error(state, "%s takes no '%s'", a->action->name, a->command.list[0]);
    if (a->action->run == run_changes &&
        (!a->changes.before_dir || !a->changes.after_dir || !a->changes.out_dir))
        argp_error(state, "changes needs --before, --after and --out");
}

int lcf_cmd_night(int argc, char **argv)
{
    static const lcf_options options = {"night", DOC, OPTIONS, check, NULL};
    arguments a = {.end = {.root = "snapshots"}};
    lcf_err err = LCF_ERR_INIT;
    const lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);
    const int code = status ? lcf_cli_finish("night", status, &err) : a.action->run(&a, &err);

    lcf_cli_texts_dispose(&a.command);
    return code;
}
