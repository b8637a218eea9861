/*
 * What the verbs' summaries share: counts out of JSON for people, and JSON on stdout for programs.
 */
#ifndef LCF_OFFLINE_CMD_SUMMARY_H
#define LCF_OFFLINE_CMD_SUMMARY_H

#include "common/base/status.h"

#include <jansson.h>

/* The whole number of that name; 0 when there is none. */
long long lcf_cmd_count(const json_t *stats, const char *key);

/* Prints an object, keys sorted, as a text of several lines. errors: EIO */
lcf_status lcf_cmd_print_json(const json_t *json, lcf_err *err);

#endif
