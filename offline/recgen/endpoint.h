/*
 * A remote endpoint: where it is, what it is asked with, and what its failures mean. No transfer
 * here; see engine_remote.c.
 *
 * The API key is read from a file or from the environment, goes into one header, and stands in no
 * log line, error text, command line or record.
 */
#ifndef LCF_OFFLINE_RECGEN_ENDPOINT_H
#define LCF_OFFLINE_RECGEN_ENDPOINT_H

#include "common/base/rng.h"
#include "offline/recgen/openai.h"

typedef struct lcf_endpoint_options {
    const char *url; /* base of the API, e.g. http://host:8000/v1; NULL = no endpoint */
    const char *model_name;
    const char *key_file; /* NULL = LLMCF_API_KEY in the environment, if any */
    lcf_openai_api api;
    size_t concurrency; /* requests in flight at a time */
    size_t retries_max; /* of one request */
    double connect_timeout_s, timeout_s;
    double retry_wait_s; /* before the first retry; doubles up to a minute */
} lcf_endpoint_options;
#define LCF_ENDPOINT_OPTIONS_INIT                                 \
    {                                                             \
        NULL, NULL, NULL, LCF_OPENAI_CHAT, 8, 8, 10.0, 600.0, 0.5 \
    }

/*
 * The address that requests are posted to: `url` with the path of the API behind it, and /v1 before
 * that where `url` has no path; a `url` that ends with the API's own path is taken as it is.
 *
 * errors   EUSAGE no http(s) URL, or one with a user or password in it, which would be logged
 * memory   free()
 */
lcf_status lcf_endpoint_address(char **out, const char *url, lcf_openai_api api, lcf_err *err);
/*
 * The API key: the first line of `file`, else LLMCF_API_KEY; NULL where there is neither.
 *
 * errors   EUSAGE an empty key or one that is no header text (which is not shown); ENOENT, EIO
 * memory   lcf_endpoint_key_free, which wipes it
 */
lcf_status lcf_endpoint_key(char **out, const char *file, lcf_err *err);
void lcf_endpoint_key_free(char *key);

typedef enum lcf_verdict {
    LCF_VERDICT_ANSWERED,
    LCF_VERDICT_AGAIN,   /* the same request may succeed later */
    LCF_VERDICT_REFUSED, /* this request never will; others may */
    LCF_VERDICT_GIVE_UP, /* no request will: wrong key, wrong address, wrong model */
} lcf_verdict;
/* What an HTTP status says about a request. */
lcf_verdict lcf_endpoint_verdict(long http_status);
/*
 * Seconds to wait before the attempt after `failures` (from 1) failed ones: first_s doubled each
 * time, at most a minute, between half of that and all of it.
 */
double lcf_endpoint_backoff_s(size_t failures, double first_s, lcf_rng *rng);

/* The model behind an endpoint. errors: those of lcf_endpoint_address and lcf_endpoint_key; ENOMEM
 * run: EBUSY it does not answer (for now); EINVAL it refuses */
lcf_status lcf_engine_remote_create(lcf_engine **out, const lcf_engine_options *options,
                                    const lcf_endpoint_options *endpoint, lcf_err *err);

#endif
