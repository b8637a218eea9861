/* llmcf publish: artefacts into a snapshot. Options and the gate; the work is in
 * common/snapshot/snapshot.h. */
#include "common/base/cli.h"
#include "common/base/json.h"
#include "common/snapshot/snapshot.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    OPT_DATASET = 0x100,
    OPT_VECTORS,
    OPT_EXAMPLES,
    OPT_COT,
    OPT_ARM,
    OPT_DEFAULT,
    OPT_KNOWLEDGE,
    OPT_ROOT,
    OPT_GENERATION,
    OPT_REPORT,
    OPT_KEEP,
    OPT_FORCE,
    OPT_JSON,
    OPT_IMPORT,
    OPT_VERIFY,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "Items, users and their histories", 1},
    {"vectors", OPT_VECTORS, "DIR", 0, "Embeddings of the items", 1},
    {"arm", OPT_ARM, "NAME=FILE", 0,
     "Weights under the name that requests use; several may be given, a backbone arm answers where "
     "an arm with ICT finds no example",
     1},
    {"examples", OPT_EXAMPLES, "DIR", 0, "The example index, needed by arms with ICT", 1},
    {"cot", OPT_COT, "DIR", 0, "The CoT store: texts for explanations", 1},
    {"knowledge", OPT_KNOWLEDGE, "DIR", 0, "Made by `llmcf knowledge`, needed by arms with KAR", 1},
    {"root", OPT_ROOT, "DIR", 0, "Where generations live (default snapshots)", 2},
    {"default", OPT_DEFAULT, "NAME", 0, "The arm of requests that name none (default: the last)",
     2},
    {"generation", OPT_GENERATION, "NAME", 0, "Name of the new folder (default: UTC time)", 2},
    {"report", OPT_REPORT, "FILE", 0,
     "report.json of evaluate: publish only when its gate was passed, else exit with 3", 2},
    {"keep", OPT_KEEP, "N", 0,
     "Older generations kept besides the new one, and besides those that somebody reads (default "
     "3)",
     2},
    {"import", OPT_IMPORT, "DIR", 0,
     "Publish a generation that was made elsewhere: a copy of its folder", 2},
    {"verify", OPT_VERIFY, "DIR", 0,
     "Change nothing: check every file of a generation, or of a root's current one, by SHA-256, "
     "and "
     "that it opens",
     2},
    {"force", OPT_FORCE, NULL, 0, "Also when the gate failed, or when nothing changed", 3},
    {"json", OPT_JSON, NULL, 0, "Print what was published as JSON on stdout", 3},
    {0},
};

static const char DOC[] =
    "Publishes a snapshot: an immutable, checksummed folder that rank and serve read."
    "\v"
    "Copies the parts into ROOT/GENERATION, opens it as a server would, and only then moves "
    "ROOT/current to it. Whatever fails, `current` stays as it was. When `current` was made from "
    "just these inputs nothing is done. A gate that was not passed is refused; --force publishes "
    "all the same, and the snapshot says so.\n\n"
    "A generation may be made on one machine and served on others: copy its folder (rsync, an "
    "object store), then --import it there. It is verified before `current` moves.\n\n"
    "Examples:\n"
    "  llmcf publish --dataset dataset --vectors vectors \\\n"
    "    --examples examples --cot cot \\\n"
    "    --arm backbone=ranker-backbone/best.lcf \\\n"
    "    --arm ict=ranker-ict/best.lcf \\\n"
    "    --report report/report.json --root snapshots\n"
    "  rsync -a snapshots/20261122T020000Z web1:/srv/incoming/\n"
    "  llmcf publish --import /srv/incoming/20261122T020000Z --root /srv/snapshots";

typedef struct arguments {
    lcf_publish_options publish;
    lcf_snapshot_arm arms[LCF_ARMS_MAX];
    char generation[32];
    const char *root, *report, *import, *verify;
    bool json;
} arguments;

static void add_arm(arguments *a, char *text, struct argp_state *state)
{
    char *equals = strchr(text, '=');

    if (!equals || equals == text || !equals[1])
        argp_error(state, "--arm takes NAME=FILE, not '%s'", text);
    else if (a->publish.arms_n == LCF_ARMS_MAX)
        argp_error(state, "more than %d arms", LCF_ARMS_MAX);
    else {
        *equals = '\0';
        a->arms[a->publish.arms_n++] = (lcf_snapshot_arm){text, equals + 1};
    }
}

static void check(arguments *a, struct argp_state *state)
{
    time_t now = time(NULL);
    struct tm utc;

    if (a->import && a->verify)
        argp_error(state, "either --import or --verify");
    if (a->import || a->verify)
        return;
    if (!a->publish.dataset_dir || !a->publish.vectors_dir || !a->publish.arms_n)
        argp_error(state, "--dataset, --vectors and at least one --arm are needed");
    if (!a->publish.generation && gmtime_r(&now, &utc) &&
        strftime(a->generation, sizeof(a->generation), "%Y%m%dT%H%M%SZ", &utc))
        a->publish.generation = a->generation;
}

static error_t parse_publication(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_ROOT:
        a->root = text;
        return 0;
    case OPT_DEFAULT:
        a->publish.default_arm = text;
        return 0;
    case OPT_GENERATION:
        a->publish.generation = text;
        return 0;
    case OPT_REPORT:
        a->report = text;
        return 0;
    case OPT_KEEP:
        a->publish.keep = lcf_cli_u64(state, "keep", text, 0, 1000000);
        return 0;
    case OPT_FORCE:
        a->publish.force = true;
        return 0;
    case OPT_IMPORT:
        a->import = text;
        return 0;
    case OPT_VERIFY:
        a->verify = text;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        check(a, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_DATASET:
        a->publish.dataset_dir = text;
        return 0;
    case OPT_KNOWLEDGE:
        a->publish.knowledge_dir = text;
        return 0;
    case OPT_VECTORS:
        a->publish.vectors_dir = text;
        return 0;
    case OPT_EXAMPLES:
        a->publish.examples_dir = text;
        return 0;
    case OPT_COT:
        a->publish.cot_dir = text;
        return 0;
    case OPT_ARM:
        add_arm(a, text, state);
        return 0;
    default:
        return parse_publication(key, text, state);
    }
}

/* *gate: for the record. errors: EGATE the report's gate was not passed; EFORMAT not a report */
static lcf_status check_gate(const char **record, const char *path, bool force, lcf_err *err)
{
    const json_t *gate, *passed;
    json_t *report;
    lcf_status status = lcf_json_load(&report, path, err);

    if (status)
        return status;
    gate = json_object_get(report, "gate");
    passed = json_object_get(gate, "passed");
    if (json_is_null(gate))
        status =
            LCF_FAIL(err, LCF_EFORMAT,
                     "%s has no gate: evaluate with --require, or publish without --report", path);
    else if (!json_is_boolean(passed))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: 'gate.passed' is missing: not a report", path);
    else if (!json_is_true(passed) && force)
        fprintf(stderr, "the gate of %s was not passed; published by force\n", path);
    else if (!json_is_true(passed))
        status = LCF_FAIL(err, LCF_EGATE,
                          "the gate of %s was not passed: current stays as it is (--force "
                          "publishes all the same)",
                          path);
    *record = json_is_true(passed) ? "passed" : "forced";
    json_decref(report);
    return status;
}

static void print_result(const arguments *a, const lcf_publish_result *r)
{
    if (a->verify)
        fprintf(stderr, "%s: generation %s is whole\n", a->verify, r->generation);
    else if (r->unchanged)
        fprintf(stderr, "%s/%s: up to date, nothing done (--force publishes again)\n", a->root,
                r->generation);
    else
        fprintf(stderr, "%s/current -> %s (%zu older generations removed, %zu more are in use)\n",
                a->root, r->generation, r->retired_n, r->in_use_n);
}

static lcf_status report_result(const arguments *a, const lcf_publish_result *r, lcf_err *err)
{
    json_t *json;
    lcf_status status;

    print_result(a, r);
    if (!a->json)
        return LCF_OK;
    json = json_pack("{s:s, s:s, s:b, s:I, s:I}", "generation", r->generation, "id", r->id,
                     "unchanged", r->unchanged, "retired", (json_int_t)r->retired_n, "in_use",
                     (json_int_t)r->in_use_n);
    status = lcf_cmd_print_json(json, err);
    json_decref(json);
    return status;
}

static lcf_status run(lcf_publish_result *result, arguments *a, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (a->verify)
        return lcf_snapshot_verify(result, a->verify, err);
    if (a->import)
        return lcf_snapshot_import(result, a->root, a->import, a->publish.keep, err);
    if (a->report)
        status = check_gate(&a->publish.gate, a->report, a->publish.force, err);
    return status ? status : lcf_snapshot_publish(result, a->root, &a->publish, err);
}

int lcf_cmd_publish(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.root = "snapshots"};
    lcf_publish_result result;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    a.publish.keep = 3;
    a.publish.arms = a.arms;
    status = lcf_cli_parse(&argp, "publish", argc, argv, &a, &err);
    if (!status)
        status = run(&result, &a, &err);
    if (!status)
        status = report_result(&a, &result, &err);
    return lcf_cli_finish("publish", status, &err);
}
