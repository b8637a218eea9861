/*
 * What a side module reads of other steps: item vectors, examples and those of every sample,
 * knowledge.
 */
#ifndef LCF_OFFLINE_TRAIN_SIDE_INPUTS_H
#define LCF_OFFLINE_TRAIN_SIDE_INPUTS_H

#include "common/base/manifest.h"
#include "common/model/ranker.h"
#include "common/store/retrieved.h"

/* Folders, NULL where there is none. */
typedef struct side_dirs {
    const char *vectors, *examples, *retrieved, *knowledge;
} side_dirs;

typedef struct side_inputs {
    lcf_embeddings vectors;
    lcf_examples examples;
    lcf_retrieved retrieved;
    lcf_knowledge knowledge;
    lcf_ranker_source source; /* of these and the dataset's catalogue */
} side_inputs;

/* needs: LCF_RANKER_VECTORS and the like, of the module of that name.
 * errors: EINVAL a folder is missing */
lcf_status side_dirs_check(const side_dirs *dirs, const char *side, unsigned needs, lcf_err *err);
/* The folders that are needed as inputs. */
lcf_status side_dirs_describe(lcf_manifest *m, const side_dirs *dirs, unsigned needs, lcf_err *err);

/*
 * Opens the folders that are needed, and completes config by what follows from them and the
 * dataset.
 *
 * errors   EINVAL examples that do not fit the dataset; those of opening
 * memory   nothing is to be closed on failure; the dataset must outlive the inputs
 */
lcf_status side_inputs_open(side_inputs *s, lcf_ranker_config *config, const lcf_dataset *d,
                            const side_dirs *dirs, unsigned needs, lcf_err *err);
void side_inputs_close(side_inputs *s);

/* A sample's user, history, time and examples; the target is for the caller to name. */
lcf_ranker_row side_inputs_row(const side_inputs *s, const lcf_dataset *d, size_t sample);

#endif
