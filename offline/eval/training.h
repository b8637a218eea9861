/*
 * How a ranker came to be: the learning curves and times that `llmcf train` wrote beside its
 * predictions, and the size of its weights.
 *
 * Life cycle: read -> use -> dispose. A folder of predictions that no `train` has written (the
 * neighbours' vote of `llmcf retrieve`, say) is known to have no training.
 *
 * source   schemas/train_report.md, schemas/ranker_weights.md
 */
#ifndef LCF_OFFLINE_EVAL_TRAINING_H
#define LCF_OFFLINE_EVAL_TRAINING_H

#include "common/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lcf_training_seed {
    uint64_t seed, best_epoch; /* the epoch whose weights were kept, from 1 */
    size_t epochs_n;
    double *loss, *valid_auc; /* [epochs_n] */
    double seconds;           /* of the training steps; NaN where the manifest has none */
} lcf_training_seed;

typedef struct lcf_training {
    bool known;     /* `llmcf train` made the folder; nothing else is set otherwise */
    char model[64]; /* "din", "din + ict" */
    size_t seeds_n;
    lcf_training_seed *seeds; /* [seeds_n] */
    size_t parameters_n;      /* trained numbers of one seed; 0: unknown */
} lcf_training;

/*
 * errors   EFORMAT a report, manifest or weights that cannot be read (the file and the key are
 *          named); ECHECKSUM, EVERSION of the weights; ENOMEM
 * memory   dispose releases
 */
lcf_status lcf_training_read(lcf_training *out, const char *dir, lcf_err *err);
/* The report of `llmcf train` alone, without times and size; source names it in messages. */
lcf_status lcf_training_parse(lcf_training *out, const char *text, size_t n, const char *source,
                              lcf_err *err);
void lcf_training_dispose(lcf_training *t);

/* Mean over the seeds; NaN where no seed has a time. */
double lcf_training_seconds(const lcf_training *t);
/* As an object of report.json and compare.json, null when not known. New, or NULL when out of
 * memory. */
json_t *lcf_training_json(const lcf_training *t);

#endif
