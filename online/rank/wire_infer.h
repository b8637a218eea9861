/*
 * Requests and answers of the Open Inference Protocol, version 2, over HTTP. A model is an arm, its
 * version a generation. It takes the tensors
 *
 *   user        BYTES [1]                 an id; "" is an anonymous user
 *   candidates  BYTES [n] or [1, n]       item ids
 *   history     BYTES [h] or [1, h]       optional: item ids, oldest first
 *
 * and gives, of the shape of candidates and in their order,
 *
 *   scores      FP32
 *   degraded    BYTES                     why a score is not the model's full answer, or ""
 *
 * Data of a tensor may be flat or nested.
 *
 * source   the protocol's "Inference Protocol", REST; schemas/openapi.json
 */
#ifndef LCF_ONLINE_RANK_WIRE_INFER_H
#define LCF_ONLINE_RANK_WIRE_INFER_H

#include "online/rank/wire.h"

/* What an answer has to look like. */
typedef struct lcf_wire_infer {
    const char *id;        /* of the request, or NULL; in w->json */
    bool batched;          /* candidates are [1, n] */
    bool scores, degraded; /* outputs that are asked for */
} lcf_wire_infer;

/*
 * lcf_wire_parse for a request of the protocol, with the same limits; the arm is the caller's to
 * set.
 *
 * errors   EFORMAT, ELIMIT, ENOMEM as lcf_wire_parse
 * memory   as lcf_wire_parse
 */
lcf_status lcf_wire_parse_infer(lcf_wire_infer *out, lcf_wire_request *w, const char *text,
                                size_t n, const char *source, size_t candidates_max, lcf_err *err);
/*
 * Appends the answer; the response holds all candidates.
 *
 * errors   ENOMEM, out is as before
 */
lcf_status lcf_wire_write_infer(lcf_buf *out, const lcf_wire_infer *asked, const char *model,
                                const lcf_rank_response *response);
/* Appends what a model takes and gives. */
void lcf_wire_write_infer_model(lcf_buf *out, const char *model, const char *version);

#endif
