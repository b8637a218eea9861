/* llmcf rollback: `current` back to an earlier generation. Options only; the work is in
 * common/snapshot/snapshot.h. */
#include "common/base/options.h"
#include "common/snapshot/snapshot.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    const char *root, *to;
} arguments;

static const lcf_option OPTIONS[] = {
    {"root", "DIR", "Where generations live (default snapshots)", 1, LCF_OPT_TEXT(root)},
    {"to", "NAME",
     "The generation (default: the one that was current when the present one was published)", 1,
     LCF_OPT_TEXT(to)},
    {0},
};

static const char DOC[] =
    "Takes a publication back: moves ROOT/current to an earlier generation."
    "\v"
    "The generation is verified, every file by SHA-256, and opened as a server would before "
    "`current` moves. Nothing is removed, so `--to` brings the later one back. Servers follow by "
    "themselves; ROOT/history.jsonl keeps every move.\n\n"
    "Examples:\n"
    "  llmcf rollback --root work/shop/snapshots\n"
    "  llmcf rollback --root work/shop/snapshots --to 20261121T020000Z";

int lcf_cmd_rollback(int argc, char **argv)
{
    static const lcf_options options = {"rollback", DOC, OPTIONS, NULL, NULL};
    arguments a = {.root = "snapshots"};
    lcf_publish_result result;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    if (!status)
        status = lcf_snapshot_rollback(&result, a.root, a.to, &err);
    if (!status)
        fprintf(stderr, "%s/current -> %s\n", a.root, result.generation);
    return lcf_cli_finish("rollback", status, &err);
}
