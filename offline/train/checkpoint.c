/* Checkpoints between epochs. Invariant: everything is looked at before anything is changed. */
#include "offline/train/checkpoint.h"

#include <string.h>

#define KIND "train-epoch"
#define VERSION 1
#define PROGRESS_N 4    /* best_epoch, valid_auc, seconds, learning rate of the next epoch */
#define EPOCH_COLUMNS 3 /* loss, rec_loss, valid_auc */

static lcf_status add_all(lcf_bundle_writer *w, const train_checkpoint *c, lcf_err *err)
{
    const train_result *r = c->result;
    const double progress[PROGRESS_N] = {r->best_epoch, r->valid_auc, r->seconds,
                                         *c->learning_rate};
    const uint64_t dims[2] = {r->epochs_n, EPOCH_COLUMNS};
    lcf_status status = lcf_checkpoint_add(w, c->params, c->adam, err);

    _Static_assert(sizeof(train_epoch) == EPOCH_COLUMNS * sizeof(double), "columns of an epoch");
    if (!status)
        status = lcf_bundle_add_1d(w, "best", LCF_F32, c->params->values_n, c->best, err);
    if (!status && c->average)
        status = lcf_bundle_add_1d(w, "average", LCF_F32, c->params->values_n, c->average, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "progress", LCF_F64, PROGRESS_N, progress, err);
    if (!status)
        status = lcf_bundle_add(w, "epochs", LCF_F64, dims, 2, r->epochs, err);
    return status;
}

lcf_status train_checkpoint_save(const char *path, const train_checkpoint *c, lcf_err *err)
{
    lcf_bundle_writer *w;
    lcf_status status = lcf_bundle_create(&w, path, KIND, VERSION, err);

    if (status)
        return status;
    status = add_all(w, c, err);
    return lcf_bundle_finish(w, status, err);
}

static lcf_status read_all(const train_checkpoint *c, const lcf_bundle *bundle, lcf_err *err)
{
    const lcf_array *found = lcf_bundle_find(bundle, "epochs");
    uint64_t values[1] = {c->params->values_n}, four[1] = {PROGRESS_N};
    uint64_t dims[2] = {found ? found->dims[0] : 0, EPOCH_COLUMNS};
    const void *best, *progress, *epochs, *average = NULL;
    train_result *r = c->result;
    double numbers[PROGRESS_N];
    lcf_status status = lcf_bundle_get(&epochs, bundle, "epochs", LCF_F64, dims, 2, err);

    if (!status)
        status = lcf_bundle_get(&best, bundle, "best", LCF_F32, values, 1, err);
    if (!status && c->average)
        status = lcf_bundle_get(&average, bundle, "average", LCF_F32, values, 1, err);
    if (!status)
        status = lcf_bundle_get(&progress, bundle, "progress", LCF_F64, four, 1, err);
    if (status)
        return status;
    memcpy(numbers, progress, sizeof(numbers));
    if (!dims[0] || dims[0] > LCF_TRAIN_EPOCHS_MAX ||
        !(numbers[0] >= 0.0 && numbers[0] <= (double)dims[0]) || !(numbers[3] > 0.0))
        return LCF_FAIL(err, LCF_EFORMAT, "epochs or learning rate out of range");
    status = lcf_checkpoint_get(c->params, c->adam, bundle, err);
    if (status)
        return status;
    memcpy(c->best, best, c->params->values_n * sizeof(*c->best));
    if (average)
        memcpy(c->average, average, c->params->values_n * sizeof(*c->average));
    memcpy(r->epochs, epochs, dims[0] * sizeof(*r->epochs));
    r->epochs_n = (uint32_t)dims[0];
    r->best_epoch = (uint32_t)numbers[0];
    r->valid_auc = numbers[1];
    r->seconds = numbers[2];
    *c->learning_rate = numbers[3];
    return LCF_OK;
}

lcf_status train_checkpoint_load(const train_checkpoint *c, const char *path, lcf_err *err)
{
    lcf_bundle *bundle;
    lcf_status status = lcf_bundle_open(&bundle, path, KIND, VERSION, err);

    if (status)
        return status;
    status = read_all(c, bundle, err);
    if (status)
        lcf_err_prefix(err, "%s", path);
    lcf_bundle_close(bundle);
    return status;
}
