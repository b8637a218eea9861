/*
 * Numbers of a seed's result as JSON and back. One table for both ways names the doubles of a
 * struct; it ends with a name that is NULL.
 */
#ifndef LCF_OFFLINE_TRAIN_SEED_FIELDS_H
#define LCF_OFFLINE_TRAIN_SEED_FIELDS_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct seed_field {
    const char *name;
    size_t offset; /* of a double */
    bool or_null;  /* may be NaN, which is null in JSON */
} seed_field;

/* Adds the numbers of `of` to object; false when out of memory, or where object is NULL. */
bool seed_fields_put(json_t *object, const seed_field *fields, const void *of);
/* errors: EFORMAT one is missing or no number */
lcf_status seed_fields_get(void *of, const seed_field *fields, const json_t *object, lcf_err *err);

/* n structs of so many bytes as an array of objects. New, or NULL. */
json_t *seed_epochs_json(const void *epochs, size_t bytes, const seed_field *fields, uint32_t n);
/*
 * The members `epochs` and `best_epoch` of a seed's report.
 *
 * shapes   epochs has room for LCF_TRAIN_EPOCHS_MAX structs
 * errors   EFORMAT no epoch or too many, a best one that is none of them; as seed_fields_get
 */
lcf_status seed_epochs_get(void *epochs, uint32_t *epochs_n, uint32_t *best_epoch, size_t bytes,
                           const seed_field *fields, const json_t *report, lcf_err *err);

#endif
