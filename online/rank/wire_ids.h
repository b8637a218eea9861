/*
 * Ids and how many of them a request may have, the same in every form of it. Private to
 * online/rank.
 */
#ifndef LCF_ONLINE_RANK_WIRE_IDS_H
#define LCF_ONLINE_RANK_WIRE_IDS_H

#include "online/rank/wire.h"

#include <jansson.h>

/* errors: ELIMIT no candidates, more than candidates_max, or a history that is too long */
lcf_status lcf_wire_check_counts(size_t candidates_n, size_t candidates_max, size_t history_n,
                                 lcf_err *err);
/*
 * The strings of a JSON array.
 *
 * shapes   ids [size of the array]; `key` names it in messages
 * errors   EFORMAT one of them is no string; ELIMIT it is longer than LCF_WIRE_ID_BYTES_MAX
 * memory   the strings stay the JSON's
 */
lcf_status lcf_wire_read_ids(const char **ids, const json_t *array, const char *key, lcf_err *err);

#endif
