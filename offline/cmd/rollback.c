/* llmcf rollback: `current` back to an earlier generation. Options only; the work is in
 * common/snapshot/snapshot.h. */
#include "common/base/cli.h"
#include "common/snapshot/snapshot.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_ROOT = 0x100, OPT_TO };

static const struct argp_option OPTIONS[] = {
    {"root", OPT_ROOT, "DIR", 0, "Where generations live (default snapshots)", 1},
    {"to", OPT_TO, "NAME", 0,
     "The generation (default: the one that was current when the present one was published)", 1},
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

typedef struct arguments {
    const char *root, *to;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_ROOT:
        a->root = text;
        return 0;
    case OPT_TO:
        a->to = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int lcf_cmd_rollback(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.root = "snapshots"};
    lcf_publish_result result;
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_cli_parse(&argp, "rollback", argc, argv, &a, &err);

    if (!status)
        status = lcf_snapshot_rollback(&result, a.root, a.to, &err);
    if (!status)
        fprintf(stderr, "%s/current -> %s\n", a.root, result.generation);
    return lcf_cli_finish("rollback", status, &err);
}
