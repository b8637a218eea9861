/*
 * The requests of a measurement, as they go over the wire: read from a file, or drawn from a
 * snapshot. The same seed gives the same ones.
 */
#ifndef LCF_ONLINE_LOAD_REQUESTS_H
#define LCF_ONLINE_LOAD_REQUESTS_H

#include "common/base/str.h"

#include <stdbool.h>

typedef struct lcf_load_requests {
    lcf_buf bytes;
    lcf_str *list; /* [n] into bytes */
    size_t n, capacity;
    size_t *offsets; /* [n] */
    size_t offsets_capacity;
} lcf_load_requests;

typedef struct lcf_load_form {
    const char *host, *path;
    const char *token; /* NULL: none */
    bool binary;       /* drawn bodies, and their answers, are LCF_WIRE_BINARY_TYPE; else JSON */
} lcf_load_form;

/* Empties `requests`, which starts as zeros. */
void lcf_load_requests_dispose(lcf_load_requests *requests);
/*
 * One request a line: the JSON of its body.
 *
 * errors   EIO, ENOENT; EFORMAT a line that is no JSON object (named), no line at all; ENOMEM
 */
lcf_status lcf_load_requests_read(lcf_load_requests *out, const char *path,
                                  const lcf_load_form *form, lcf_err *err);

typedef struct lcf_load_draw {
    const char *snapshot;
    size_t requests_n, candidates_n;
    const char *arm; /* NULL: the default */
    uint64_t seed;
} lcf_load_draw;

/*
 * Users and candidates drawn uniformly from a snapshot.
 *
 * errors   as lcf_rank_open; EINVAL a snapshot without users or items; ENOMEM
 */
lcf_status lcf_load_requests_draw(lcf_load_requests *out, const lcf_load_draw *draw,
                                  const lcf_load_form *form, lcf_err *err);

#endif
