/*
 * Writing a CoT store once more: into a new folder, or in place. See cot_store.h.
 */
#include "common/base/file.h"
#include "common/store/cot_batch.h"
#include "common/store/cot_store_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { COPY_LEVEL = 12 }; /* read often, written once */

static lcf_status copy_records(lcf_cot_store *to, lcf_cot_store *from, lcf_err *err)
{
    cot_batch batch = {.to = to};
    lcf_status status = lcf_cot_store_each(from, cot_batch_add, &batch, err);

    if (!status)
        status = cot_batch_flush(&batch, err);
    cot_batch_discard(&batch);
    return status;
}

lcf_status lcf_cot_store_recompress(lcf_cot_store *s, lcf_err *err)
{
    uint32_t id;
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = cot_dictionary_renew(&id, s, s, err);
    pthread_mutex_unlock(&s->mutex);
    if (!status)
        status = copy_records(s, s, err);
    if (status)
        return status == LCF_EUNSUPPORTED ? LCF_OK : status;
    pthread_mutex_lock(&s->mutex);
    status = cot_dictionaries_keep(s, id, err);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static lcf_status remove_locks(const char *dir, lcf_err *err)
{
    static const char *const names[] = {"lock.mdb", "writer.lock"};

    for (size_t i = 0; i < 2; i++) {
        char *path = lcf_path_join(dir, names[i]);
        if (!path)
            return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
        if (remove(path) && lcf_path_exists(path)) {
            lcf_status status = LCF_FAIL_ERRNO(err, "%s", path);
            free(path);
            return status;
        }
        free(path);
    }
    return LCF_OK;
}

lcf_status lcf_cot_store_copy(lcf_cot_store *s, const char *dir, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    uint32_t id;
    char *data = lcf_path_join(dir, "data.mdb");
    lcf_cot_store *to = NULL;
    lcf_status status;

    if (!data)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (lcf_path_exists(data)) {
        status = LCF_FAIL(err, LCF_EEXIST, "%s: there is a store already", dir);
        goto done;
    }
    options.write = true;
    options.level = COPY_LEVEL;
    options.without_index = true;
    options.dictionary_after = SIZE_MAX; /* the dictionary comes first or not at all */
    status = lcf_cot_store_open(&to, dir, &options, err);
    if (!status) { /* on the records in key order: the copy depends on nothing else */
        pthread_mutex_lock(&s->mutex);
        status = cot_dictionary_renew(&id, to, s, err);
        pthread_mutex_unlock(&s->mutex);
        status = status == LCF_EUNSUPPORTED ? LCF_OK : status;
    }
    if (!status)
        status = copy_records(to, s, err);
    lcf_cot_store_close(to);
    if (!status)
        status = remove_locks(dir, err);
done:
    free(data);
    return status;
}
