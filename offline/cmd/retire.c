/* llmcf retire: old generations go. Options only; the work is in common/snapshot/snapshot.h. */
#include "common/base/options.h"
#include "common/snapshot/snapshot.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    const char *root;
    size_t keep;
} arguments;

static const lcf_option OPTIONS[] = {
    {"root", "DIR", "Where generations live (default snapshots)", 1, LCF_OPT_TEXT(root)},
    {"keep", "N", "Older generations kept besides the current one (default 3)", 1,
     LCF_OPT_WHOLE(keep, 0, 1000000)},
    {0},
};

static const char DOC[] =
    "Removes all but the newest generations of a root of snapshots."
    "\v"
    "`current` is never removed, nor is a generation that a process of this machine has open: "
    "readers hold a flock on its folder. `llmcf publish` does the same after each publication.\n\n"
    "Example:\n"
    "  llmcf retire --root work/shop/snapshots --keep 1";

int lcf_cmd_retire(int argc, char **argv)
{
    static const lcf_options options = {"retire", DOC, OPTIONS, NULL, NULL};
    arguments a = {"snapshots", 3};
    size_t retired_n, in_use_n;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status)
        status = lcf_snapshot_retire(&retired_n, &in_use_n, a.root, a.keep, &err);
    if (!status)
        fprintf(stderr, "%zu generations removed, %zu older ones are in use\n", retired_n,
                in_use_n);
    return lcf_cli_finish("retire", status, &err);
}
