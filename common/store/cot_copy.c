/*
 * Writing a CoT store once more: into a new folder, or in place. See cot_store.h.
 */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/cot_store_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { COPY_LEVEL = 12 }; /* read often, written once */

typedef struct copying {
    lcf_cot_store *to;
    lcf_cot_record records[COT_SCAN_RECORDS]; /* strings point into `owned` */
    lcf_cot_record *owned[COT_SCAN_RECORDS];
    size_t n;
} copying;

static lcf_status copy_flush(copying *c, lcf_err *err)
{
    lcf_status status = lcf_cot_store_put(c->to, c->records, c->n, err);

    for (size_t i = 0; i < c->n; i++)
        free(c->owned[i]);
    c->n = 0;
    return status;
}

static lcf_status copy_page(copying *c, lcf_cot_store *from, const lcf_cot_page *page, lcf_err *err)
{
    for (size_t i = 0; i < page->n; i++) {
        lcf_cot_record *record;
        lcf_hash128 key;
        lcf_status status = cot_key_of(&key, from, lcf_cot_page_key(page, i), err);
        if (status)
            return status;
        pthread_mutex_lock(&from->mutex);
        status = cot_decode(&record, from, key, lcf_cot_page_value(page, i), err);
        pthread_mutex_unlock(&from->mutex);
        if (status)
            return status;
        c->owned[c->n] = record;
        c->records[c->n++] = *record;
    }
    return LCF_OK;
}

static lcf_status copy_records(lcf_cot_store *to, lcf_cot_store *from, lcf_err *err)
{
    const lcf_cot_limits limits = {COT_SCAN_RECORDS, COT_SCAN_BYTES, SIZE_MAX};
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    copying c = {.to = to};
    lcf_hash128 last = {{0}};
    bool first = true;
    lcf_status status, flushed;

    do {
        status = cot_next_page(&page, from, &last, first, &limits, err);
        if (!status)
            status = copy_page(&c, from, &page, err);
        flushed = copy_flush(&c, status ? NULL : err);
        if (!status)
            status = flushed;
        first = false;
    } while (!status && page.n);
    lcf_cot_page_dispose(&page);
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
