/* llmcf sweep: training at many points. Options only; the work is in offline/train/sweep.h. */
#include "offline/train/sweep.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

#define SHOWN 5 /* points of the summary */

enum { OPT_SPACE = 0x100, OPT_OUT, OPT_POINTS, OPT_SEED, OPT_JOBS, OPT_KEEP, OPT_JSON };

static const struct argp_option OPTIONS[] = {
    {"space", OPT_SPACE, "FILE", 0, "YAML: options of `llmcf train` and the values to try", 1},
    {"out", OPT_OUT, "DIR", 0, "Points and results.csv; grows, finished points are kept", 1},
    {"points", OPT_POINTS, "N", 0, "Random search: draw so many (default: the whole grid)", 2},
    {"seed", OPT_SEED, "N", 0, "Of random search (default 1)", 2},
    {"jobs", OPT_JOBS, "N", 0, "Processes at a time, one thread each (default 1)", 3},
    {"keep", OPT_KEEP, NULL, 0, "Keep the rankers of every point, too", 3},
    {"json", OPT_JSON, NULL, 0, "Print all points as JSON on stdout, the best first", 3},
    {0},
};

static const char DOC[] =
    "Trains rankers with many settings and puts them in order of their valid AUC."
    "\v"
    "The space is one section named train: what an option is given as one value is the same in "
    "every point, a list is tried value by value, a range {min, max, scale} is drawn from (random "
    "search only):\n\n"
    "  train:\n"
    "    dataset: dataset\n"
    "    seeds: 2023,2024\n"
    "    backbone: [din, deepfm]\n"
    "    lr: {min: 0.001, max: 0.01, scale: log}\n"
    "    weight-decay: [1e-5, 1e-4]\n\n"
    "Without --points every combination of the lists is trained. DIR/results.csv has a line per "
    "point, the best first, and is written after each; a point that fails stands there with its "
    "error, and is tried again the next time. Stopped or killed, a sweep goes on where it was; the "
    "same command on a finished one does nothing. The test split has no column, so that nothing is "
    "chosen by it: train the best setting once more with `llmcf train` to read it.\n\n"
    "Examples:\n"
    "  llmcf sweep --space space.yaml --out sweep --points 30 --jobs 2\n"
    "  llmcf sweep --space grid.yaml --out sweep --jobs 4 --keep";

typedef struct arguments {
    lcf_sweep_options sweep;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_SPACE:
        a->sweep.space_path = text;
        return 0;
    case OPT_OUT:
        a->sweep.out_dir = text;
        return 0;
    case OPT_POINTS:
        a->sweep.points = (size_t)lcf_cli_u64(state, "points", text, 1, 10000);
        return 0;
    case OPT_SEED:
        a->sweep.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_JOBS:
        a->sweep.jobs = (size_t)lcf_cli_u64(state, "jobs", text, 1, LCF_SWEEP_JOBS_MAX);
        return 0;
    case OPT_KEEP:
        a->sweep.keep = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!a->sweep.space_path || !a->sweep.out_dir)
            argp_error(state, "--space and --out are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_summary(const json_t *results, const char *out)
{
    const json_t *point;
    size_t i;

    fprintf(stderr, "%s/results.csv: %zu points\n", out, json_array_size(results));
    json_array_foreach(results, i, point)
    {
        const char *error = json_string_value(json_object_get(point, "error"));

        if (error)
            fprintf(stderr, "  %s failed: %s\n", json_string_value(json_object_get(point, "point")),
                    error);
        else if (i < SHOWN)
            fprintf(stderr, "  %s valid AUC %.4f\n",
                    json_string_value(json_object_get(point, "point")),
                    json_number_value(json_object_get(point, "valid_auc")));
    }
}

int lcf_cmd_sweep(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.sweep = {.program = "/proc/self/exe", .seed = 1, .jobs = 1}};
    lcf_err err = LCF_ERR_INIT;
    json_t *results = NULL;
    lcf_status status = lcf_cli_parse(&argp, "sweep", argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = lcf_sweep(&results, &a.sweep, &err);
    }
    if (!status) {
        print_summary(results, a.sweep.out_dir);
        if (a.json)
            status = lcf_cmd_print_json(results, &err);
    }
    json_decref(results);
    return lcf_cli_finish("sweep", status, &err);
}
