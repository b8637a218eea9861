/*
 * The request log: what was asked and what was shown, a JSON line each, for `llmcf ope`.
 *
 * A line is one write to the end of the file; a file that has reached its size is renamed to
 * "<path>.1", what stands there to "<path>.2" and so on, and the oldest is removed. A log that
 * cannot be written never fails a request: it says so once and goes on trying.
 *
 * Life cycle: open -> next_id, wants, write ... -> close. Shared by all workers.
 *
 * source   schemas/request_log.md
 */
#ifndef LCF_ONLINE_SERVER_REQUEST_LOG_H
#define LCF_ONLINE_SERVER_REQUEST_LOG_H

#include "common/base/str.h"
#include "online/rank/llmcf.h"

#define LCF_REQUEST_ID_BYTES 33 /* with the NUL */
#define LCF_REQUEST_LOG_FILES 5 /* beside the one being written */

typedef struct lcf_request_log lcf_request_log;

/*
 * share: of the requests that are logged, in [0, 1]; bytes_max: of a file.
 *
 * errors   EIO, EACCES ... the file cannot be opened (named); ENOMEM
 */
lcf_status lcf_request_log_open(lcf_request_log **out, const char *path, double share,
                                uint64_t bytes_max, lcf_err *err);
void lcf_request_log_close(lcf_request_log *log); /* NULL is fine */

/* A new id: 32 hexadecimal digits that no other request of this or another start has. */
void lcf_request_log_next_id(char out[LCF_REQUEST_ID_BYTES], lcf_request_log *log);
/* Whether the request of that id is among the share: the same answer every time. */
bool lcf_request_log_wants(const lcf_request_log *log, const char *id);
/* Appends one line; `line` is scratch. arm_propensity: of this user's getting the arm. */
void lcf_request_log_write(lcf_request_log *log, lcf_buf *line, const char *id,
                           const lcf_rank_request *request, const lcf_rank_response *response,
                           double arm_propensity);

#endif
