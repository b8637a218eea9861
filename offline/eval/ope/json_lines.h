/*
 * What the JSON formats of logs share: lines of objects, each of which goes to a function together
 * with its number (a line that is no object is a bad row of the log), and the context of a row.
 */
#ifndef LCF_OFFLINE_EVAL_OPE_JSON_LINES_H
#define LCF_OFFLINE_EVAL_OPE_JSON_LINES_H

#include "common/base/status.h"
#include "offline/eval/ope/log.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define LCF_OPE_LINE_BYTES_MAX ((size_t)16 << 20)

/* The object is released after the call. */
typedef lcf_status (*lcf_ope_object)(void *arg, uint64_t line, json_t *object, lcf_err *err);

/* Empty lines are skipped. errors: EFORMAT (file:line), and those of the function. */
lcf_status lcf_ope_json_lines(lcf_ope_log *log, const char *data, size_t bytes_n,
                              lcf_ope_object add, void *arg, lcf_err *err);

/* The "context" of rows as features: numbers, and texts that are categories. Holds what the row
 * points to; start with zeros. */
typedef struct lcf_ope_context {
    lcf_ope_feature *features;
    size_t capacity;
    lcf_buf names;
} lcf_ope_context;

/*
 * Sets features and features_n of the row, until the next call. *kept is false when a member is
 * neither a number nor a text and the row was counted as bad.
 *
 * errors   EFORMAT, ENOMEM
 */
lcf_status lcf_ope_context_read(bool *kept, lcf_ope_context *context, lcf_ope_row *row,
                                lcf_ope_log *log, json_t *object, lcf_err *err);
void lcf_ope_context_dispose(lcf_ope_context *context);

#endif
