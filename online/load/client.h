/*
 * An HTTP client for measurements: requests leave at moments that were drawn before, whether or not
 * earlier ones were answered (open loop), and an answer's latency counts from the moment at which
 * its request should have left. A server that stalls is so charged with all that it kept waiting
 * (Tene: coordinated omission).
 *
 * Life cycle: open -> run ... -> close. One thread; as many connections as are asked for, kept
 * alive; a request that finds none free waits for one, on the clock.
 */
#ifndef LCF_ONLINE_LOAD_CLIENT_H
#define LCF_ONLINE_LOAD_CLIENT_H

#include "common/base/status.h"
#include "common/base/str.h"
#include "online/load/histogram.h"

#include <stdbool.h>

#define LCF_LOAD_CODES_N 600

typedef struct lcf_load_client lcf_load_client;

/*
 * target: "http://host:port" or "unix:PATH".
 *
 * errors   EINVAL a target that cannot be read; ENOMEM
 */
lcf_status lcf_load_open(lcf_load_client **out, const char *target, size_t connections_n,
                         lcf_err *err);
void lcf_load_close(lcf_load_client *c); /* NULL is fine */
/* What stands in the Host header. */
const char *lcf_load_host(const lcf_load_client *c);

/* What is sent: whole HTTP/1.1 requests, taken in a random order of `seed`. */
typedef struct lcf_load_plan {
    const lcf_str *requests; /* [requests_n] */
    size_t requests_n;
    double rate;       /* requests a second on average, with exponential gaps (Poisson) */
    double duration_s; /* for which requests are due */
    double warm_up_s;  /* of it: sent, not counted */
    double patience_s; /* after the last request was due; what has no answer then has failed */
    uint64_t seed;
    /* When more than late_max answers of what counts were later than this, no more is sent; 0: all
     * is. */
    double late_ms;
    uint64_t late_max;
} lcf_load_plan;

typedef struct lcf_load_result {
    lcf_histogram latency;           /* ns, of answers of 200 */
    uint64_t sent, answered, failed; /* failed: no answer at all; of what counts */
    uint64_t codes[LCF_LOAD_CODES_N];
    uint64_t degraded; /* answers that say so */
    uint64_t bytes;    /* of all bodies */
    double seconds;    /* from the first moment that counts to the last answer */
} lcf_load_result;

/*
 * errors   EIO no connection can be made; ENOMEM. Refusals and lost connections later on are
 *          results
 */
lcf_status lcf_load_run(lcf_load_result *out, lcf_load_client *c, const lcf_load_plan *plan,
                        lcf_err *err);

#endif
