/*
 * JSON from outside, through jansson: bounded, duplicate keys refused, errors that name file and
 * line.
 */
#ifndef LCF_COMMON_BASE_JSON_H
#define LCF_COMMON_BASE_JSON_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The caller owns *out (json_decref). `source` names the text in messages. errors: EFORMAT with
 * line and column. */
lcf_status lcf_json_parse(json_t **out, const char *text, size_t n, const char *source,
                          lcf_err *err);
lcf_status lcf_json_load(json_t **out, const char *path, lcf_err *err);
/* Writes atomically, two-space indent, sorted keys, trailing newline: the same object gives the
 * same bytes. */
lcf_status lcf_json_save(const char *path, const json_t *json, lcf_err *err);
/* The same for DIR/NAME. */
lcf_status lcf_json_load_in(json_t **out, const char *dir, const char *name, lcf_err *err);
lcf_status lcf_json_save_in(const char *dir, const char *name, const json_t *json, lcf_err *err);

/* Takes away the members that are null, and returns the object, which may be NULL. */
json_t *lcf_json_without_nulls(json_t *object);

/*
 * A member of an object, checked: EFORMAT when missing or of another type (the message names the
 * key). Strings stay owned by the object.
 */
lcf_status lcf_json_str(const char **out, const json_t *object, const char *key, lcf_err *err);
lcf_status lcf_json_u64(uint64_t *out, const json_t *object, const char *key, lcf_err *err);
lcf_status lcf_json_f64(double *out, const json_t *object, const char *key, lcf_err *err);

#endif
