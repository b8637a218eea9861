/* llmcf retire: old generations go. Options only; the work is in common/snapshot/snapshot.h. */
#include "common/base/cli.h"
#include "common/snapshot/snapshot.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_ROOT = 0x100, OPT_KEEP };

static const struct argp_option OPTIONS[] = {
    {"root", OPT_ROOT, "DIR", 0, "Where generations live (default snapshots)", 1},
    {"keep", OPT_KEEP, "N", 0, "Older generations kept besides the current one (default 3)", 1},
    {0},
};

static const char DOC[] =
    "Removes all but the newest generations of a root of snapshots."
    "\v"
    "`current` is never removed, nor is a generation that a process of this machine has open: "
    "readers hold a flock on its folder. `llmcf publish` does the same after each publication.\n\n"
    "Example:\n"
    "  llmcf retire --root work/shop/snapshots --keep 1";

typedef struct arguments {
    const char *root;
    size_t keep;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_ROOT:
        a->root = text;
        return 0;
    case OPT_KEEP:
        a->keep = lcf_cli_u64(state, "keep", text, 0, 1000000);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int lcf_cmd_retire(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {"snapshots", 3};
    size_t retired_n, in_use_n;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_cli_parse(&argp, "retire", argc, argv, &a, &err);

    if (!status)
        status = lcf_snapshot_retire(&retired_n, &in_use_n, a.root, a.keep, &err);
    if (!status)
        fprintf(stderr, "%zu generations removed, %zu older ones are in use\n", retired_n,
                in_use_n);
    return lcf_cli_finish("retire", status, &err);
}
