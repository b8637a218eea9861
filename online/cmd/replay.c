/* llmcf-replay: is what was served what the offline path says? */
#include "online/replay/replay.h"
#include "common/base/options.h"
#include "common/base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct arguments {
    const char *snapshot;
    lcf_cli_texts logs;
    bool json;
    lcf_replay_options options;
} arguments;

static const lcf_option OPTIONS[] = {
    {"snapshot", "DIR", "A generation, or a root whose `current` is followed (default snapshots)",
     1, LCF_OPT_TEXT(snapshot)},
    {"tolerance", "X", "By which a score may differ (default 1e-5)", 1,
     LCF_OPT_REAL(options.tolerance, 0.0, 1.0)},
    {"every", "N",
     "Compare one candidate in N (default 1): finding examples by plain loops takes about 10 ms "
     "for 100,000 of them",
     1, LCF_OPT_WHOLE(options.every, 1, 1000000000)},
    {"json", NULL, "The result as one JSON object", 2, LCF_OPT_FLAG(json)},
    {NULL, "LOG...", NULL, 0, LCF_OPT_TEXTS(logs), LCF_REQUIRED},
    {0},
};

static const char DOC[] =
    "Runs a request log through the offline path and compares the scores."
    "\v"
    "LOG... are files of `llmcf serve --request-log` (schemas/request_log.md), \"-\" is stdin. "
    "Every request that the given snapshot answered is asked again: histories are resolved anew, "
    "examples are found by plain loops over all of them, and the model scores as in training, with "
    "nothing computed beforehand and no faster way. The served scores come from those faster ways, "
    "whose sums have another order: a score is skewed when it is farther from the offline one than "
    "the tolerance. None must be; exit code 3 when one is.\n\n"
    "Besides it the server's own way is taken once more and the scores that come out the same to "
    "the bit are counted: all of them on the same kind of processor, where all candidates were "
    "shown.\n\n"
    "Examples:\n"
    "  llmcf replay requests.jsonl --snapshot snapshots\n"
    "  llmcf replay requests.jsonl* --snapshot snapshots/G --every 50 --json";

static lcf_status replay_file(lcf_replay *r, const char *path, lcf_err *err)
{
    const bool is_stdin = path[0] == '-' && !path[1];
    FILE *in = is_stdin ? stdin : fopen(path, "re");
    char *line = NULL, source[300];
    size_t capacity = 0, line_n = 0;
    lcf_status status = in ? LCF_OK : LCF_FAIL_ERRNO(err, "cannot open %s", path);
    ssize_t n;

    while (!status && (n = getline(&line, &capacity, in)) >= 0) {
        snprintf(source, sizeof(source), "%.200s:%zu", path, ++line_n);
        status = lcf_replay_line(r, line, (size_t)n, source, err);
    }
    if (!status && ferror(in))
        status = LCF_FAIL_ERRNO(err, "cannot read %s", path);
    free(line);
    if (in && !is_stdin)
        fclose(in);
    return status;
}

static void print_json(const lcf_replay_counts *c, const arguments *a, const char *generation)
{
    printf("{\"generation\":\"%s\",\"requests\":%" PRIu64 ",\"other_generations\":%" PRIu64
           ",\"candidates\":%" PRIu64 ",\"compared\":%" PRIu64
           ",\"tolerance\":%g,\"skewed\":%" PRIu64
           ",\"largest_difference\":%.3g,\"reranked\":%" PRIu64 ",\"same_bits\":%" PRIu64 "}\n",
           generation, c->requests, c->other_generations, c->candidates, c->compared,
           a->options.tolerance, c->skewed, c->largest, c->reranked, c->same_bits);
}

static void print_text(const lcf_replay_counts *c, const arguments *a, const char *generation)
{
    printf("snapshot %s: %" PRIu64 " requests, %" PRIu64 " of %" PRIu64 " candidates compared",
           generation, c->requests, c->compared, c->candidates);
    if (c->other_generations)
        printf(" (%" PRIu64 " requests of other snapshots left out)", c->other_generations);
    printf("\noffline path: %" PRIu64 " beyond %g, largest difference %.3g", c->skewed,
           a->options.tolerance, c->largest);
    if (c->largest > 0)
        printf(" (%s)", c->worst);
    printf("\nserver's way once more: %" PRIu64 " of %" PRIu64 " the same to the bit\n",
           c->same_bits, c->reranked);
}

static lcf_status replay(const arguments *a, lcf_err *err)
{
    lcf_replay *r = NULL;
    const lcf_replay_counts *c;
    lcf_status status = lcf_replay_open(&r, a->snapshot, &a->options, err);

    for (size_t i = 0; i < a->logs.n && !status; i++)
        status = replay_file(r, a->logs.list[i], err);
    if (status)
        goto done;
    c = lcf_replay_counts_of(r);
    (a->json ? print_json : print_text)(c, a, lcf_replay_generation(r));
    if (fflush(stdout))
        status = LCF_FAIL_ERRNO(err, "cannot write to stdout");
    else if (!c->compared)
        status = LCF_FAIL(err, LCF_EINVAL,
                          "no request of snapshot %s is in the log (%" PRIu64 " are of others): "
                          "there is nothing to compare",
                          lcf_replay_generation(r), c->other_generations);
    else if (c->skewed)
        status = LCF_FAIL(err, LCF_EGATE, "%" PRIu64 " of %" PRIu64 " scores are skewed: %s",
                          c->skewed, c->compared, c->worst);
done:
    lcf_replay_close(r);
    return status;
}

int main(int argc, char **argv)
{
    static const lcf_options options = {"replay", DOC, OPTIONS, NULL, NULL};
    arguments a = {.snapshot = "snapshots", .options = {1e-5, 1}};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    lcf_cli_start(argc, argv);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    if (!status)
        status = replay(&a, &err);
    lcf_cli_texts_dispose(&a.logs);
    return lcf_cli_finish("replay", status, &err);
}
