/*
 * The YAML schema of fields, read and checked: what each field is, before any data is seen.
 *
 * source   schemas/fields.md section 1
 */
#ifndef LCF_OFFLINE_DATA_FIELDS_SPEC_H
#define LCF_OFFLINE_DATA_FIELDS_SPEC_H

#include "common/data/fields.h"

typedef struct lcf_fields_spec {
    lcf_fields fields; /* definitions; table_rows, dim, and every view are still open */
    struct {
        uint32_t buckets_n; /* numeric: quantiles to cut at, hashed: rows; 0: edges are given */
        double *edges;      /* [edges_n] owned, after the logarithm where there is one */
        size_t edges_n;
        char *file; /* of vectors, relative to the folder of the schema; owned */
    } extra[LCF_FIELDS_MAX];
} lcf_fields_spec;

/*
 * errors   those of lcf_yaml_load; EFORMAT (the field and the key are named) an unknown kind or
 * key, a value out of range, a table that no earlier field has; ELIMIT too many fields; ENOMEM
 * memory   dispose releases
 */
lcf_status lcf_fields_spec_load(lcf_fields_spec *out, const char *path, lcf_err *err);
void lcf_fields_spec_dispose(lcf_fields_spec *spec);

#endif
