/* llmcf publish: artefacts into a snapshot. Options and the gate; the work is in
 * common/snapshot/snapshot.h. */
#include "common/base/json.h"
#include "common/base/options.h"
#include "common/snapshot/snapshot.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct arguments {
    lcf_publish_options publish;
    lcf_snapshot_arm arms[LCF_ARMS_MAX];
    char generation[32];
    const char *root, *report, *import, *verify;
    bool json;
} arguments;

static void add_arm(void *input, char *text, struct argp_state *state)
{
    arguments *a = input;
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

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "Items, users and their histories", 1, LCF_OPT_TEXT(publish.dataset_dir)},
    {"vectors", "DIR", "Embeddings of the items", 1, LCF_OPT_TEXT(publish.vectors_dir)},
    {"arm", "NAME=FILE",
     "Weights under the name that requests use; several may be given, a backbone arm answers where "
     "an arm with ICT finds no example",
     1, LCF_OPT_CALL(add_arm)},
    {"examples", "DIR", "The example index, needed by arms with ICT", 1,
     LCF_OPT_TEXT(publish.examples_dir)},
    {"cot", "DIR", "The CoT store: texts for explanations", 1, LCF_OPT_TEXT(publish.cot_dir)},
    {"knowledge", "DIR", "Made by `llmcf knowledge`, needed by arms with KAR", 1,
     LCF_OPT_TEXT(publish.knowledge_dir)},
    {"root", "DIR", "Where generations live (default snapshots)", 2, LCF_OPT_TEXT(root)},
    {"default", "NAME", "The arm of requests that name none (default: the last)", 2,
     LCF_OPT_TEXT(publish.default_arm)},
    {"generation", "NAME", "Name of the new folder (default: UTC time)", 2,
     LCF_OPT_TEXT(publish.generation)},
    {"report", "FILE",
     "report.json of evaluate: publish only when its gate was passed, else exit with 3", 2,
     LCF_OPT_TEXT(report)},
    {"keep", "N",
     "Older generations kept besides the new one, and besides those that somebody reads (default "
     "3)",
     2, LCF_OPT_WHOLE(publish.keep, 0, 1000000)},
    {"import", "DIR", "Publish a generation that was made elsewhere: a copy of its folder", 2,
     LCF_OPT_TEXT(import)},
    {"verify", "DIR",
     "Change nothing: check every file of a generation, or of a root's current one, by SHA-256, "
     "and that it opens",
     2, LCF_OPT_TEXT(verify)},
    {"force", NULL, "Also when the gate failed, or when nothing changed", 3,
     LCF_OPT_FLAG(publish.force)},
    LCF_ROW_JSON(3, "what was published as JSON on stdout"),
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

static void check(void *input, struct argp_state *state)
{
    arguments *a = input;
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
    static const lcf_options options = {"publish", DOC, OPTIONS, check, NULL};
    arguments a = {.root = "snapshots"};
    lcf_publish_result result;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    a.publish.keep = 3;
    a.publish.arms = a.arms;
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    if (!status)
        status = run(&result, &a, &err);
    if (!status)
        status = report_result(&a, &result, &err);
    return lcf_cli_finish("publish", status, &err);
}
