/*
 * What is kept of a finished seed besides its weights: seed-<s>.result.lcf, with its report and one
 * value for each row of the valid and of the test split.
 */
#ifndef LCF_OFFLINE_TRAIN_SEED_FILE_H
#define LCF_OFFLINE_TRAIN_SEED_FILE_H

#include "common/base/bundle.h"
#include "common/base/status.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct seed_file {
    const char *kind; /* of the file, with the version of what the report holds */
    uint32_t version;
    lcf_dtype dtype;        /* of the values, 4 bytes each */
    size_t valid_n, test_n; /* rows of the splits */
} seed_file;

/*
 * report   taken over; NULL counts as out of memory
 * valid    [valid_n] of dtype; test likewise
 */
lcf_status seed_file_save(const seed_file *f, const char *dir, uint64_t seed, json_t *report,
                          const void *valid, const void *test, lcf_err *err);
/*
 * errors   ENOENT the seed is not done; EFORMAT, ECHECKSUM, EVERSION what is there cannot be used
 * memory   *report (json_decref), *valid and *test (free) are the caller's, NULL on failure
 */
lcf_status seed_file_load(json_t **report, void **valid, void **test, const seed_file *f,
                          const char *dir, uint64_t seed, lcf_err *err);

#endif
