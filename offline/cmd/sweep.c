/* llmcf sweep: training at many points. Options only; the work is in offline/train/sweep.h. */
#include "offline/train/sweep.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

#define SHOWN 5 /* points of the summary */

typedef struct arguments {
    lcf_sweep_options sweep;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"space", "FILE", "YAML: options of `llmcf train` and the values to try", 1,
     LCF_OPT_TEXT(sweep.space_path), LCF_REQUIRED},
    {"out", "DIR", "Points and results.csv; grows, finished points are kept", 1,
     LCF_OPT_TEXT(sweep.out_dir), LCF_REQUIRED},
    {"points", "N", "Random search: draw so many (default: the whole grid)", 2,
     LCF_OPT_WHOLE(sweep.points, 1, 10000)},
    LCF_ROW_SEED(2, "Of random search (default 1)", sweep.seed),
    {"jobs", "N", "Processes at a time, one thread each (default 1)", 3,
     LCF_OPT_WHOLE(sweep.jobs, 1, LCF_SWEEP_JOBS_MAX)},
    {"keep", NULL, "Keep the rankers of every point, too", 3, LCF_OPT_FLAG(sweep.keep)},
    LCF_ROW_JSON(3, "all points as JSON on stdout, the best first"),
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
    static const lcf_options options = {"sweep", DOC, OPTIONS, NULL, NULL};
    arguments a = {.sweep = {.program = "/proc/self/exe", .seed = 1, .jobs = 1}};
    lcf_err err = LCF_ERR_INIT;
    json_t *results = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = lcf_sweep(&results, &a.sweep, &err);
    }
    if (!status)
        print_summary(results, a.sweep.out_dir);
    return lcf_cmd_finish("sweep", status, results, a.json, &err);
}
