/* Checkpoints between epochs. Invariant: everything is looked at before anything is changed. */
#include "offline/train/checkpoint.h"

#include "common/base/progress.h"
#include "offline/train/train.h"

#include <string.h>

#define KIND "train-epoch"
#define VERSION 2
#define PROGRESS_N 3 /* best epoch, seconds, learning rate of the next epoch */

static lcf_status add_all(lcf_bundle_writer *w, const train_checkpoint *c, lcf_err *err)
{
    const double progress[PROGRESS_N] = {*c->best_epoch, *c->seconds, *c->learning_rate};
    const uint64_t dims[2] = {*c->epochs_n, c->epoch_doubles};
    lcf_status status = lcf_checkpoint_add(w, c->params, c->adam, err);

    if (!status)
        status = lcf_bundle_add_1d(w, "best", LCF_F32, c->params->values_n, c->best, err);
    if (!status && c->average)
        status = lcf_bundle_add_1d(w, "average", LCF_F32, c->params->values_n, c->average, err);
    if (!status)
        status = lcf_bundle_add_1d(w, "progress", LCF_F64, PROGRESS_N, progress, err);
    if (!status)
        status = lcf_bundle_add(w, "epochs", LCF_F64, dims, 2, c->epochs, err);
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
    uint64_t values[1] = {c->params->values_n}, three[1] = {PROGRESS_N};
    uint64_t dims[2] = {found ? found->dims[0] : 0, c->epoch_doubles};
    const void *best, *progress, *epochs, *average = NULL;
    double numbers[PROGRESS_N];
    lcf_status status = lcf_bundle_get(&epochs, bundle, "epochs", LCF_F64, dims, 2, err);

    if (!status)
        status = lcf_bundle_get(&best, bundle, "best", LCF_F32, values, 1, err);
    if (!status && c->average)
        status = lcf_bundle_get(&average, bundle, "average", LCF_F32, values, 1, err);
    if (!status)
        status = lcf_bundle_get(&progress, bundle, "progress", LCF_F64, three, 1, err);
    if (status)
        return status;
    memcpy(numbers, progress, sizeof(numbers));
    if (dims[0] > LCF_TRAIN_EPOCHS_MAX || !(numbers[0] >= 1.0 && numbers[0] <= (double)dims[0]) ||
        !(numbers[1] >= 0.0) || !(numbers[2] > 0.0))
        return LCF_FAIL(err, LCF_EFORMAT, "epochs, seconds or learning rate out of range");
    status = lcf_checkpoint_get(c->params, c->adam, bundle, err);
    if (status)
        return status;
    memcpy(c->best, best, c->params->values_n * sizeof(*c->best));
    if (average)
        memcpy(c->average, average, c->params->values_n * sizeof(*c->average));
    memcpy(c->epochs, epochs, dims[0] * c->epoch_doubles * sizeof(double));
    *c->epochs_n = (uint32_t)dims[0];
    *c->best_epoch = (uint32_t)numbers[0];
    *c->seconds = numbers[1];
    *c->learning_rate = numbers[2];
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

lcf_status train_checkpoint_go_on(const train_checkpoint *c, const char *path, uint64_t seed,
                                  lcf_err *err)
{
    lcf_err why = LCF_ERR_INIT;
    lcf_status status = path ? train_checkpoint_load(c, path, &why) : LCF_ENOENT;

    if (status == LCF_ENOMEM)
        return LCF_FAIL(err, status, "%s", why.text);
    if (!status)
        lcf_log(LCF_LOG_INFO, "msg=\"going on after an earlier run\" seed=%llu epoch=%u",
                (unsigned long long)seed, *c->epochs_n);
    else if (status != LCF_ENOENT)
        lcf_log(LCF_LOG_WARN, "msg=\"a seed's epochs cannot be used, it begins anew\" why=\"%s\"",
                why.text);
    return LCF_OK;
}
