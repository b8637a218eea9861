/*
 * What the verbs' summaries share: counts out of JSON for people, and JSON on stdout for programs.
 */
#ifndef LCF_OFFLINE_CMD_SUMMARY_H
#define LCF_OFFLINE_CMD_SUMMARY_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>

/* The whole number, or any number, of that name; 0 when there is none. */
long long lcf_cmd_count(const json_t *stats, const char *key);
double lcf_cmd_real(const json_t *stats, const char *key);

/* Prints an object, keys sorted, as a text of several lines. errors: EIO */
lcf_status lcf_cmd_print_json(const json_t *json, lcf_err *err);

/* The end of a verb: prints the report where it is asked for and all went well, frees it, and
 * returns what lcf_cli_finish does. */
int lcf_cmd_finish(const char *verb, lcf_status status, json_t *report, bool json, lcf_err *err);

#endif
