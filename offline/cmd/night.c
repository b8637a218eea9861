/* llmcf night: the books of the nightly run. Options only; the work is in offline/night/night.h. */
#include "offline/night/night.h"

#include "common/base/cli.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_NIGHT = 0x100,
    OPT_NAME,
    OPT_ARTEFACT,
    OPT_BEFORE,
    OPT_AFTER,
    OPT_OUT,
    OPT_ROOT,
    OPT_CHANGES,
    OPT_METRICS,
    OPT_FAILED,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"night", OPT_NIGHT, "DIR", 0, "step, end: the night's own folder; steps.jsonl is in it", 1},
    {"name", OPT_NAME, "NAME", 0, "step: what the step is called", 1},
    {"artefact", OPT_ARTEFACT, "DIR", 0, "step: what it makes, to tell whether it changed", 1},
    {"before", OPT_BEFORE, "DIR", 0, "changes: dataset/ and ranker-*/ of an earlier night", 2},
    {"after", OPT_AFTER, "DIR", 0, "changes: and those of this one", 2},
    {"out", OPT_OUT, "DIR", 0, "changes: where changes.json and changes.md go", 2},
    {"root", OPT_ROOT, "DIR", 0, "end: of the snapshots (default snapshots)", 3},
    {"changes", OPT_CHANGES, "FILE", 0, "end: changes.json, where there is one", 3},
    {"metrics", OPT_METRICS, "FILE.prom", 0,
     "end: for the node exporter's textfile collector; replaced in one step", 3},
    {"failed", OPT_FAILED, NULL, 0, "end: the graph did not come to its end", 3},
    {"force", OPT_FORCE, NULL, 0, "changes: also when the report is up to date", 4},
    {"json", OPT_JSON, NULL, 0, "changes: print changes.json on stdout", 4},
    {0},
};

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
    const lcf_status status = lcf_night_end_run(&exit_code, &a->end, err);

    return status ? lcf_cli_finish("night", status, err) : exit_code;
}

static const action ACTIONS[] = {{"step", run_step}, {"changes", run_changes}, {"end", run_end}};

static void take_action(arguments *a, const char *text, struct argp_state *state)
{
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++)
        if (!strcmp(text, ACTIONS[i].name))
            a->action = &ACTIONS[i];
    if (!a->action)
        argp_error(state, "there is no action '%s'; --help lists them", text);
}

static void check(const arguments *a, struct argp_state *state)
{
    if (!a->action)
        argp_error(state, "an action is needed: step, changes or end");
    if (a->action->run != run_changes && !a->step.night_dir)
        argp_error(state, "--night is needed");
    if (a->action->run == run_step && (!a->step.name || !a->step.command_n))
        argp_error(state, "step needs --name and, after --, a verb with its options");
    if (a->action->run != run_step && a->step.command_n)
        argp_error(state, "%s takes no '%s'", a->action->name, a->step.command[0]);
    if (a->action->run == run_changes &&
        (!a->changes.before_dir || !a->changes.after_dir || !a->changes.out_dir))
        argp_error(state, "changes needs --before, --after and --out");
}

static error_t parse_text(int key, const char *text, arguments *a)
{
    switch (key) {
    case OPT_NIGHT:
        a->step.night_dir = a->end.night_dir = text;
        return 0;
    case OPT_NAME:
        a->step.name = text;
        return 0;
    case OPT_ARTEFACT:
        a->step.artefact_dir = text;
        return 0;
    case OPT_BEFORE:
        a->changes.before_dir = text;
        return 0;
    case OPT_AFTER:
        a->changes.after_dir = text;
        return 0;
    case OPT_OUT:
        a->changes.out_dir = text;
        return 0;
    case OPT_ROOT:
        a->end.root = text;
        return 0;
    case OPT_CHANGES:
        a->end.changes = text;
        return 0;
    case OPT_METRICS:
        a->end.metrics = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_FAILED:
        a->end.failed = true;
        return 0;
    case OPT_FORCE:
        a->changes.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (!state->arg_num) {
            take_action(a, text, state);
        } else { /* all that is left is the command */
            a->step.command = &state->argv[state->next - 1];
            a->step.command_n = (size_t)(state->argc - state->next + 1);
            state->next = state->argc;
        }
        return 0;
    case ARGP_KEY_END:
        check(a, state);
        return 0;
    default:
        return parse_text(key, text, a);
    }
}

int lcf_cmd_night(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, "ACTION [-- VERB OPTIONS...]", DOC, NULL,
                                     NULL,    NULL};
    arguments a = {.end = {.root = "snapshots"}};
    lcf_err err = LCF_ERR_INIT;
    const lcf_status status = lcf_cli_parse(&argp, "night", argc, argv, &a, &err);

    return status ? lcf_cli_finish("night", status, &err) : a.action->run(&a, &err);
}
