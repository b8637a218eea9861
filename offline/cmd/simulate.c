/* llmcf simulate: a shop that does not exist. Options only; the work is in offline/data/simulate.h.
 */
#include "offline/data/simulate.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum {
    OPT_USERS = 0x100,
    OPT_ITEMS,
    OPT_DAYS,
    OPT_REQUESTS,
    OPT_SLATE,
    OPT_OUT,
    OPT_SEED,
    OPT_FORCE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"out", OPT_OUT, "DIR", 0, "The raw log; replaced in one step", 1},
    {"users", OPT_USERS, "N", 0, "(default 1500)", 2},
    {"items", OPT_ITEMS, "N", 0, "(default 800)", 2},
    {"days", OPT_DAYS, "N", 0, "Length of the log (default 120)", 2},
    {"requests", OPT_REQUESTS, "MEAN", 0, "Requests per user; the spread is wide (default 18)", 2},
    {"slate", OPT_SLATE, "N", 0, "Items shown per request (default 6)", 2},
    {"seed", OPT_SEED, "N", 0, "The same seed gives the same bytes (default 2023)", 2},
    {"force", OPT_FORCE, NULL, 0, "Also when the log is up to date", 3},
    {"json", OPT_JSON, NULL, 0, "Print the counts as JSON on stdout", 3},
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

typedef struct arguments {
    lcf_simulate_options simulate;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_OUT:
        a->simulate.out_dir = text;
        return 0;
    case OPT_USERS:
        a->simulate.users_n = (uint32_t)lcf_cli_u64(state, "users", text, 1, 100000000);
        return 0;
    case OPT_ITEMS:
        a->simulate.items_n = (uint32_t)lcf_cli_u64(state, "items", text, 1, 10000000);
        return 0;
    case OPT_DAYS:
        a->simulate.days = (uint32_t)lcf_cli_u64(state, "days", text, 1, 36500);
        return 0;
    case OPT_REQUESTS:
        a->simulate.requests_per_user = lcf_cli_f64(state, "requests", text, 1e-3, 1e5);
        return 0;
    case OPT_SLATE:
        a->simulate.slate = (uint32_t)lcf_cli_u64(state, "slate", text, 1, LCF_SIM_SLATE_MAX);
        return 0;
    case OPT_SEED:
        a->simulate.seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_FORCE:
        a->simulate.force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!a->simulate.out_dir)
            argp_error(state, "--out is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

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
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {LCF_SIMULATE_OPTIONS_INIT, false};
    lcf_err err = LCF_ERR_INIT;
    bool current = false;
    json_t *stats = NULL;
    lcf_status status = lcf_cli_parse(&argp, "simulate", argc, argv, &a, &err);

    if (!status) {
        lcf_stop_install();
        status = lcf_simulate(&stats, &current, &a.simulate, &err);
    }
    if (!status) {
        print_summary(stats, &a.simulate, current);
        if (a.json)
            status = lcf_cmd_print_json(stats, &err);
    }
    json_decref(stats);
    return lcf_cli_finish("simulate", status, &err);
}
