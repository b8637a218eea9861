/* Results as JSON: see seed_fields.h. */
#include "offline/train/seed_fields.h"

#include "common/base/json.h"
#include "offline/train/train.h"

#include <math.h>

bool seed_fields_put(json_t *object, const seed_field *fields, const void *of)
{
    int failed = !object;

    for (; fields->name && !failed; fields++) {
        const double value = *(const double *)((const char *)of + fields->offset);

        failed = json_object_set_new(object, fields->name,
                                     isfinite(value) ? json_real(value) : json_null());
    }
    return !failed;
}

lcf_status seed_fields_get(void *of, const seed_field *fields, const json_t *object, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (; fields->name && !status; fields++) {
        double *value = (double *)((char *)of + fields->offset);

        if (fields->or_null && json_is_null(json_object_get(object, fields->name)))
            *value = NAN;
        else
            status = lcf_json_f64(value, object, fields->name, err);
    }
    return status;
}

json_t *seed_epochs_json(const void *epochs, size_t bytes, const seed_field *fields, uint32_t n)
{
    json_t *array = json_array();
    bool done = array != NULL;

    for (uint32_t i = 0; i < n && done; i++) {
        json_t *epoch = json_object();

        done = seed_fields_put(epoch, fields, (const char *)epochs + i * bytes);
        done = !json_array_append_new(array, epoch) && done;
    }
    if (done)
        return array;
    json_decref(array);
    return NULL;
}

lcf_status seed_epochs_get(void *epochs, uint32_t *epochs_n, uint32_t *best_epoch, size_t bytes,
                           const seed_field *fields, const json_t *report, lcf_err *err)
{
    const json_t *array = json_object_get(report, "epochs");
    const size_t n = json_array_size(array);
    uint64_t best = 0;
    lcf_status status = LCF_OK;

    if (!n || n > LCF_TRAIN_EPOCHS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu epochs", n);
    for (size_t i = 0; i < n && !status; i++)
        status = seed_fields_get((char *)epochs + i * bytes, fields, json_array_get(array, i), err);
    if (!status)
        status = lcf_json_u64(&best, report, "best_epoch", err);
    if (!status && (!best || best > n))
        status = LCF_FAIL(err, LCF_EFORMAT, "best_epoch is out of range");
    *epochs_n = (uint32_t)n;
    *best_epoch = (uint32_t)best;
    return status;
}
