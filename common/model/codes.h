/*
 * The binary codes that a trained ranker of the backbones binmf and binlightgcn has for users and
 * items.
 */
#ifndef LCF_COMMON_MODEL_CODES_H
#define LCF_COMMON_MODEL_CODES_H

#include "common/model/ranker.h"

#include <stdint.h>

/* True of a backbone that is there and has codes. */
bool lcf_ranker_has_codes(const char *backbone);

/*
 * Sets the bits of 1 in codes that were all 0; an element's bit is the highest first.
 *
 * shapes   users [users_n, dim / 8], items [items_n, dim / 8] of the ranker's configuration
 * errors   EINVAL the ranker's backbone has no codes, or its dim is no multiple of 8; ENOMEM
 */
lcf_status lcf_ranker_codes(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err);

/*
 * How training sees codes from now on: each element is hard (1 or -1) with this probability, else
 * as soft as tanh left it. A new ranker's is 1, and inference sees nothing else.
 *
 * source   the published code of BinLLM, which lets the share grow from 0 to 1: companions.md 2.1
 */
void lcf_ranker_harden(lcf_ranker *r, float share);

#endif
