/*
 * The ranking request and response in bytes, for those who count microseconds: fixed headers,
 * strings that end with a NUL and are used where they lie.
 *
 * source   schemas/rank_binary.md
 */
#ifndef LCF_ONLINE_RANK_WIRE_BINARY_H
#define LCF_ONLINE_RANK_WIRE_BINARY_H

#include "online/rank/wire.h"

#define LCF_WIRE_BINARY_TYPE "application/x-llmcf"
#define LCF_WIRE_BINARY_VERSION 1

/*
 * lcf_wire_parse for a request in bytes, with the same limits; explanations cannot be asked for.
 *
 * errors   EFORMAT magic or flags unknown, a string that is not UTF-8, bytes missing or left over;
 * EVERSION; ELIMIT as lcf_wire_parse; ENOMEM
 * memory   w->request points into `bytes`, which must stay until the next parse or dispose
 */
lcf_status lcf_wire_parse_binary(lcf_wire_request *w, const void *bytes, size_t n,
                                 size_t candidates_max, lcf_err *err);
/*
 * Appends the request in bytes, for clients in C.
 *
 * errors   EINVAL more candidates, history, context, features, items or categories of one, a larger
 * k or top, than the format can say
 */
lcf_status lcf_wire_write_request_binary(lcf_buf *out, const lcf_rank_request *request,
                                         lcf_err *err);
/* Appends the response in bytes. */
void lcf_wire_write_binary(lcf_buf *out, const lcf_rank_response *response);

/* Why an answer is degraded, as numbers: 0 is not at all, 6 any reason that is not named. */
#define LCF_WIRE_DEGRADED_N 8
extern const char *const LCF_WIRE_DEGRADED[LCF_WIRE_DEGRADED_N];
uint16_t lcf_wire_degraded(const char *reason); /* NULL: 0 */

#endif
