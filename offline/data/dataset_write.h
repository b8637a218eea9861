/*
 * Writes what lcf_dataset_open reads.
 *
 * source   schemas/dataset.md, schemas/items.md
 */
#ifndef LCF_OFFLINE_DATA_DATASET_WRITE_H
#define LCF_OFFLINE_DATA_DATASET_WRITE_H

#include "common/base/status.h"
#include "common/data/dataset.h"

/* items.lcf. `bundle` of the catalogue is not used. errors: EIO, ENOSPC, ENOMEM. */
lcf_status lcf_catalogue_save(const char *path, const lcf_catalogue *c, lcf_err *err);
/*
 * items.lcf, users.lcf, samples.lcf and, where there are fields, fields.lcf into the folder `dir`,
 * which exists; the manifest is the caller's. `id` and the bundles of `d` are not used; every
 * string table that is searched needs `sorted`.
 *
 * errors   EIO, ENOSPC, ENOMEM
 */
lcf_status lcf_dataset_save(const char *dir, const lcf_dataset *d, lcf_err *err);

#endif
