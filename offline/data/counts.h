/*
 * The counts of a step: kept in its manifest, and read from there when there was nothing to do.
 */
#ifndef LCF_OFFLINE_DATA_COUNTS_H
#define LCF_OFFLINE_DATA_COUNTS_H

#include "common/base/manifest.h"

#include <jansson.h>

/* Every member of `stats` becomes a statistic of m. errors: ENOMEM, also when stats is NULL */
lcf_status lcf_counts_keep(lcf_manifest *m, json_t *stats, lcf_err *err);
/* What lcf_counts_keep kept in the artefact at dir; the caller's (json_decref). */
lcf_status lcf_counts_read(json_t **stats, const char *dir, lcf_err *err);

#endif
