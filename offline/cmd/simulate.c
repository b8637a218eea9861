/* llmcf simulate: a shop that does not exist. Options only; the work is in offline/data/simulate.h.
 */
#include "offline/data/simulate.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_simulate_options simulate;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"out", "DIR", "The raw log; replaced in one step", 1, LCF_OPT_TEXT(simulate.out_dir),
     LCF_REQUIRED},
    {"users", "N", "(default 1500)", 2, LCF_OPT_WHOLE(simulate.users_n, 1, 100000000)},
    {"items", "N", "(default 800)", 2, LCF_OPT_WHOLE(simulate.items_n, 1, 10000000)},
    {"days", "N", "Length of the log (default 120)", 2, LCF_OPT_WHOLE(simulate.days, 1, 36500)},
    {"requests", "MEAN", "Requests per user; the spread is wide (default 18)", 2,
     LCF_OPT_REAL(simulate.requests_per_user, 1e-3, 1e5)},
    {"slate", "N", "Items shown per request (default 6)", 2,
     LCF_OPT_WHOLE(simulate.slate, 1, LCF_SIM_SLATE_MAX)},
    LCF_ROW_SEED(2, "The same seed gives the same bytes (default 2023)", simulate.seed),
    LCF_ROW_FORCE(3, "log is", simulate.force),
    LCF_ROW_JSON(3, "the counts as JSON on stdout"),
    {0},
};

static const char DOC[] =
    "Makes up a shop and its log: items whose texts say what they are, users whose tastes drift, a "
    "logging policy with known propensities, clicks under position bias, ratings."
    "\v"
    "Writes\n"
    "  items.tsv         item_id, title, brand, categories, text\n"
    "  interactions.tsv  user_id, item_id, timestamp, rating (1 to 5)\n"
    "  impressions.tsv   request_id, user_id, timestamp, position, item_id, propensity, click\n"
    "  truth.lcf         true click and like probabilities and policy values (schemas/truth.md)\n"
    "  manifest.json\n"
    "`llmcf prepare --input DIR` reads the first two.\n\n"
    "Example:\n"
    "  llmcf simulate --users 1500 --items 800 --seed 2023 --out raw";

static void print_summary(const json_t *stats, const lcf_simulate_options *o, bool current)
{
    long long interactions = lcf_cmd_count(stats, "interactions"),
              impressions = lcf_cmd_count(stats, "impressions");

    fprintf(stderr, "%s: %u users, %u items, %u days\n", o->out_dir, o->users_n, o->items_n,
            o->days);
    fprintf(stderr, "  %lld requests, %lld impressions, %.1f %% clicked\n",
            lcf_cmd_count(stats, "requests"), impressions,
            impressions ? 100.0 * (double)lcf_cmd_count(stats, "clicks") / (double)impressions
                        : 0.0);
    fprintf(stderr, "  %lld ratings, %.1f %% of them 4 or 5\n", interactions,
            interactions ? 100.0 * (double)lcf_cmd_count(stats, "liked") / (double)interactions
                         : 0.0);
    if (current)
        fprintf(stderr, "  up to date, nothing done (--force makes it again)\n");
}

int lcf_cmd_simulate(int argc, char **argv)
{
    static const lcf_options options = {"simulate", DOC, OPTIONS, NULL, NULL};
    arguments a = {LCF_SIMULATE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = lcf_simulate(&stats, &current, &a.simulate, &err);
    }
    if (!status)
        print_summary(stats, &a.simulate, current);
    return lcf_cmd_finish("simulate", status, stats, a.json, &err);
}
