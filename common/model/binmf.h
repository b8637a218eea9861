/*
 * The binary codes that a trained BinMF has for users and items.
 */
#ifndef LCF_COMMON_MODEL_BINMF_H
#define LCF_COMMON_MODEL_BINMF_H

#include "common/model/ranker.h"

#include <stdint.h>

/*
 * Sets the bits of 1 in codes that were all 0; an element's bit is the highest first.
 *
 * shapes   users [users_n, dim / 8], items [items_n, dim / 8] of the ranker's configuration
 * errors   EINVAL the ranker is no binmf, or its dim no multiple of 8; ENOMEM
 */
lcf_status lcf_binmf_codes(uint8_t *users, uint8_t *items, const lcf_ranker *r, lcf_err *err);

#endif
