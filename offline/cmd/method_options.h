/*
 * The options that say how a language model is trained: method, optimizer, schedule, precision.
 */
#ifndef LCF_OFFLINE_CMD_METHOD_OPTIONS_H
#define LCF_OFFLINE_CMD_METHOD_OPTIONS_H

#include "common/base/options.h"
#include "offline/recgen/tune.h"

extern const lcf_option lcf_method_rows[]; /* of an lcf_tune_options */

#endif
