/*
 * Predictions: what one arm said about the rows of one split, for every seed. `train` writes them,
 * `evaluate` reads them.
 *
 * source   schemas/predictions.md
 */
#ifndef LCF_COMMON_DATA_PREDICTIONS_H
#define LCF_COMMON_DATA_PREDICTIONS_H

#include "common/base/bundle.h"
#include "common/base/status.h"
#include "common/data/dataset.h"

#include <stddef.h>
#include <stdint.h>

#define LCF_PREDICTIONS_VERSION 1 /* kind "predictions" */

typedef struct lcf_predictions {
    lcf_bundle *bundle; /* NULL in a value that is about to be saved */
    size_t rows_n, seeds_n;
    const uint64_t *row;   /* [rows_n] sample index in the dataset, ascending */
    const uint32_t *user;  /* [rows_n] */
    const uint8_t *label;  /* [rows_n] */
    const uint64_t *seeds; /* [seeds_n] */
    const float *scores;   /* [seeds_n, rows_n] probabilities */
} lcf_predictions;

/*
 * A file of schemas/predictions.md, and the reverse: it appears whole or not at all.
 *
 * errors   open: as lcf_bundle_open; EFORMAT rows that do not ascend, a score that is no
 *          probability; save: the same, ELIMIT, ENOSPC, EIO
 * memory   open: arrays are views into the file, valid until close
 */
lcf_status lcf_predictions_open(lcf_predictions *out, const char *path, lcf_err *err);
void lcf_predictions_close(lcf_predictions *p);
lcf_status lcf_predictions_save(const char *path, const lcf_predictions *p, lcf_err *err);
/*
 * DIR/<split>.lcf of an arm without seeds (seed 0): one score for each of `rows`, which ascend;
 * NULL: for all rows of the split.
 *
 * shapes   rows [n] samples of the split; scores [n]
 */
lcf_status lcf_predictions_save_split(const char *dir, const lcf_dataset *d, lcf_split split,
                                      const size_t *rows, size_t n, const float *scores,
                                      lcf_err *err);

#endif
