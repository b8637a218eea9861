/*
 * Fields: what is known about users, items and the moment of a decision beyond the catalogue's own
 * columns, as a YAML schema declares it (schemas/fields.md) and `llmcf prepare --fields` encodes
 * it.
 *
 * A field turns a text (a cell of a table, a value in a request) into rows of an embedding table,
 * or looks up a given vector. lcf_field_encode is the one way this is done, offline and online.
 *
 * A file of fields is a bundle. Everything is a view into its map: read only, valid until close,
 * shared between threads.
 *
 * Invariant: every id of a field is below its table's rows. Row 0 of a table is "nothing there" and
 * is never written as an id: an entity without a value has none.
 *
 * source   schemas/fields.md
 */
#ifndef LCF_COMMON_DATA_FIELDS_H
#define LCF_COMMON_DATA_FIELDS_H

#include "common/data/dataset.h"

#include <jansson.h>

#define LCF_FIELDS_VERSION 1 /* of fields.lcf, kind "fields" */
#define LCF_FIELDS_MAX 64
#define LCF_FIELD_NAME_MAX 33         /* with the NUL; [a-z0-9_] */
#define LCF_FIELD_VALUES_MAX 256      /* of one entity */
#define LCF_FIELD_ROWS_MAX (1u << 28) /* of a table */
#define LCF_FIELD_VECTOR_MAX 4096     /* dimensions */

typedef enum lcf_field_owner {
    LCF_FIELD_USER,
    LCF_FIELD_ITEM,
    LCF_FIELD_CONTEXT, /* of the decision: known when a request is made */
    LCF_FIELD_OWNERS_N
} lcf_field_owner;

typedef enum lcf_field_kind {
    LCF_FIELD_CATEGORICAL, /* one value */
    LCF_FIELD_MULTI,       /* a set of values */
    LCF_FIELD_SEQUENCE,    /* values in order, oldest first; the most recent values_max count */
    LCF_FIELD_NUMERIC,     /* a number, as the bucket that it falls into */
    LCF_FIELD_HASHED,      /* values without a vocabulary: a hash picks the row */
    LCF_FIELD_VECTOR,      /* a given vector */
    LCF_FIELD_KINDS_N
} lcf_field_kind;

/* The table that a field's ids belong to. */
typedef enum lcf_field_table {
    LCF_FIELD_TABLE_OWN,
    LCF_FIELD_TABLE_FIELD, /* another field's: `shares` */
    LCF_FIELD_TABLE_USER,  /* the ranker's own tables, by external id or name */
    LCF_FIELD_TABLE_ITEM,
    LCF_FIELD_TABLE_BRAND,
    LCF_FIELD_TABLE_CATEGORY,
} lcf_field_table;

typedef struct lcf_field {
    char name[LCF_FIELD_NAME_MAX];
    lcf_field_owner owner;
    lcf_field_kind kind;
    lcf_field_table table;
    uint32_t shares;     /* index of the field whose table it is, with TABLE_FIELD */
    uint32_t table_rows; /* of the table, 0 for vectors */
    char separator;      /* of multi, sequence and hashed values; 0: one value */
    uint32_t values_max; /* per entity */
    uint32_t min_count;  /* rarer values are out of vocabulary (row 1) */
    bool log;            /* numeric: sign(x) log(1 + |x|) first */
    bool frozen;         /* vectors: not trained */
    uint32_t dim;        /* of vectors, else 0 */
    /* Views. */
    lcf_strings vocabulary; /* categorical, multi, sequence with a table of their own: string i is
                               row i + 1; string 0 is empty and stands for "out of vocabulary" */
    const double *edges;    /* [edges_n] numeric, ascending: x falls into the bucket of all edges
                               <= x, row 1 + their number */
    size_t edges_n;
    size_t entities_n;       /* users, items (as in the dataset), or samples */
    const uint64_t *offsets; /* [entities_n + 1] into ids; NULL for vectors */
    const uint32_t *ids;
    const float *vectors;  /* [entities_n, dim]; zeros where there is none */
    const uint32_t *given; /* [given_n] of a user's field: what a request says of its user, in place
                              of the file's; NULL: nothing */
    size_t given_n;
} lcf_field;

typedef struct lcf_fields {
    lcf_bundle *bundle;
    size_t n;
    lcf_field list[LCF_FIELDS_MAX];
} lcf_fields;

extern const char *const LCF_FIELD_OWNER_NAMES[LCF_FIELD_OWNERS_N]; /* "user", "item", "context" */
extern const char *const LCF_FIELD_KIND_NAMES[LCF_FIELD_KINDS_N];

/* The names behind ids of the ranker's own tables; see lcf_field_encode. */
typedef struct lcf_field_names {
    const lcf_strings *users; /* NULL: nobody is known */
    const lcf_catalogue *catalogue;
} lcf_field_names;

/*
 * The ids of a text: at most field->values_max of them, the last ones of a sequence, the first ones
 * of a set, without repeats in a set.
 *
 * shapes   ids [field->values_max] out
 * returns  how many; 0 for an empty text, and for a number that cannot be read (*bad is set, which
 *          may be NULL)
 * threads  safe
 * source   schemas/fields.md section 3
 */
size_t lcf_field_encode(uint32_t *ids, bool *bad, const lcf_fields *fields, const lcf_field *field,
                        const lcf_field_names *names, lcf_str text);

/*
 * errors   those of lcf_bundle_open; EFORMAT a field that is not as schemas/fields.md says (named)
 * memory   close releases; fine on a struct of zeros
 */
lcf_status lcf_fields_open(lcf_fields *out, const char *path, lcf_err *err);
void lcf_fields_close(lcf_fields *fields);
/*
 * Checks that there is an entry for every user, item and decision, and that shared tables are
 * those of this catalogue.
 *
 * errors   EFORMAT (the field is named)
 */
lcf_status lcf_fields_check(const lcf_fields *fields, size_t users_n, const lcf_catalogue *c,
                            size_t decisions_n, lcf_err *err);
/* errors: EIO, ENOSPC, ENOMEM */
lcf_status lcf_fields_save(const char *path, const lcf_fields *fields, lcf_err *err);
/* NULL when there is none. */
const lcf_field *lcf_fields_find(const lcf_fields *fields, lcf_field_owner owner, const char *name);

#endif
