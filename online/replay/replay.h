/*
 * Replay: what a server showed, held against what the offline path says of the same requests.
 *
 * The offline path shares the snapshot's files and the model's definition with the server and
 * nothing else: ids and histories are resolved here, examples are found by plain loops over all of
 * them (lcf_examples_search_exact), scores come from the ranker as it was trained, with nothing
 * computed beforehand and none of the faster ways (lcf_ranker_thaw). Beside it the request is
 * ranked once more the way the server does.
 *
 * Candidates that a request described are counted and not compared: the log keeps no descriptions.
 *
 * Life cycle: open -> line ... -> close. One thread.
 *
 * source   schemas/request_log.md
 */
#ifndef LCF_ONLINE_REPLAY_REPLAY_H
#define LCF_ONLINE_REPLAY_REPLAY_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lcf_replay lcf_replay;

typedef struct lcf_replay_options {
    double tolerance; /* of a score */
    size_t every;     /* one candidate in so many is compared: plain loops take their time */
} lcf_replay_options;

typedef struct lcf_replay_counts {
    uint64_t requests;          /* of this generation */
    uint64_t other_generations; /* requests that another snapshot answered: left out */
    uint64_t candidates, compared;
    uint64_t skewed;              /* farther from the offline path than the tolerance */
    double largest;               /* difference */
    char worst[160];              /* where: request and item */
    uint64_t reranked, same_bits; /* once more the server's way */
} lcf_replay_counts;

/* snapshot: a generation, or a root whose `current` is followed. errors: as lcf_rank_open */
lcf_status lcf_replay_open(lcf_replay **out, const char *snapshot,
                           const lcf_replay_options *options, lcf_err *err);
void lcf_replay_close(lcf_replay *r); /* NULL is fine */
const char *lcf_replay_generation(const lcf_replay *r);

/*
 * One line of the log; other kinds than requests are passed over.
 *
 * errors   EFORMAT no JSON, or no request as a server writes it (what is named); EINVAL an arm or
 * field that the snapshot does not have; ENOMEM
 */
lcf_status lcf_replay_line(lcf_replay *r, const char *line, size_t n, const char *source,
                           lcf_err *err);
const lcf_replay_counts *lcf_replay_counts_of(const lcf_replay *r);

#endif
