/*
 * The by-user and by-time tables: see cot_index.h. A key of by_user is the first half of the hash
 * of the user's id and that of the record's key; one of by_time the time and the latter. Times are
 * big-endian with the sign flipped, so that bytes are in the order of time.
 */
#include "common/store/cot_index.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { HALF = COT_INDEX_HALF, TABLE_KEY = 16, PAGE = 4096 };
/* Entries per transaction: a tenth of the table or less, so that the pages that it leaves free are
 * taken by the next one. They need not come together. */
enum { CHUNK = 1 << 15 };

void cot_entries_dispose(cot_entries *e)
{
    free(e->list);
    *e = (cot_entries){NULL, 0, 0};
}

static lcf_status add(cot_entries *e, const cot_entry *entry, lcf_err *err)
{
    if (lcf_grow((void **)&e->list, &e->capacity, e->n + 1, sizeof(*e->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu entries of a CoT index", e->n + 1);
    e->list[e->n++] = *entry;
    return LCF_OK;
}

static void put_time(uint8_t *out, int64_t time)
{
    const uint64_t bits = (uint64_t)time ^ (uint64_t)1 << 63;

    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(bits >> (56 - 8 * i));
}

static void put_user(uint8_t *out, const char *user_id)
{
    const lcf_hash128 hash = lcf_hash128_of(user_id, strlen(user_id));

    memcpy(out, hash.bytes, HALF);
}

lcf_status cot_entries_add(cot_entries *e, const lcf_cot_record *r, lcf_err *err)
{
    cot_entry entry;

    put_user(entry.user, r->user_id);
    put_time(entry.time, r->time);
    memcpy(entry.key, r->key.bytes, HALF);
    return add(e, &entry, err);
}

/* ---- writing ---- */

static int by_user(const void *a, const void *b)
{
    const cot_entry *x = a, *y = b;
    const int order = memcmp(x->user, y->user, HALF);

    return order ? order : memcmp(x->key, y->key, HALF);
}

/* The time and the key lie side by side. */
static int by_time(const void *a, const void *b)
{
    return memcmp(((const cot_entry *)a)->time, ((const cot_entry *)b)->time, TABLE_KEY);
}

/* Puts or removes the entries of one table, in the order of its keys. */
static lcf_status change_table(lcf_cot_db *db, cot_entries *e, lcf_cot_table table, bool remove,
                               lcf_err *err)
{
    const lcf_str value = {remove ? NULL : "", 0};
    const bool users = table == LCF_COT_BY_USER;
    const size_t room = e->n < CHUNK ? e->n : CHUNK;
    char *keys = lcf_alloc(room, TABLE_KEY);
    lcf_cot_pair *pairs = lcf_alloc(room, sizeof(*pairs));
    lcf_status status = keys && pairs ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "entries of an index");

    qsort(e->list, e->n, sizeof(*e->list), users ? by_user : by_time);
    for (size_t at = 0, n; at < e->n && !status; at += n) {
        n = e->n - at < room ? e->n - at : room;
        for (size_t i = 0; i < n; i++) {
            const cot_entry *entry = &e->list[at + i];
            char *key = keys + i * TABLE_KEY;

            memcpy(key, users ? entry->user : entry->time, HALF);
            memcpy(key + HALF, entry->key, HALF);
            pairs[i] = (lcf_cot_pair){table, {key, TABLE_KEY}, value};
        }
        status = lcf_cot_db_put(db, pairs, n, err);
    }
    free(keys);
    free(pairs);
    return status;
}

static lcf_status change(lcf_cot_db *db, cot_entries *e, bool remove, lcf_err *err)
{
    lcf_status status = e->n ? change_table(db, e, LCF_COT_BY_USER, remove, err) : LCF_OK;

    if (!status && e->n)
        status = change_table(db, e, LCF_COT_BY_TIME, remove, err);
    return status;
}

lcf_status cot_index_write(lcf_cot_db *db, cot_entries *entries, lcf_err *err)
{
    lcf_status status = change(db, entries, false, err);

    entries->n = 0;
    return status;
}

lcf_status cot_index_remove(lcf_cot_db *db, cot_entries *entries, lcf_err *err)
{
    return change(db, entries, true, err);
}

lcf_status cot_index_is_whole(bool *whole, lcf_cot_db *db, lcf_err *err)
{
    uint64_t records = 0, users = 0, times = 0;
    lcf_status status = LCF_OK;

    *whole = false;
    if (lcf_cot_db_version(db) == 1) /* whose entries were others */
        return LCF_OK;
    status = lcf_cot_db_count(&records, db, LCF_COT_RECORDS, err);
    if (!status)
        status = lcf_cot_db_count(&users, db, LCF_COT_BY_USER, err);
    if (!status)
        status = lcf_cot_db_count(&times, db, LCF_COT_BY_TIME, err);
    *whole = !status && users == records && times == records;
    return status;
}

/* ---- reading ---- */

/* Takes the entries of one page up to `last`; *more: whether further ones may be. */
static lcf_status take_page(cot_entries *out, bool *more, const lcf_cot_page *page,
                            const uint8_t last[HALF], lcf_err *err)
{
    *more = page->n > 0;
    for (size_t i = 0; *more && i < page->n; i++) {
        const lcf_str key = lcf_cot_page_key(page, i);
        cot_entry entry = {{0}, {0}, {0}};
        lcf_status status;

        if (key.len != TABLE_KEY)
            return LCF_FAIL(err, LCF_EFORMAT, "a key of %zu bytes in the index of a CoT store",
                            key.len);
        memcpy(entry.key, key.data + HALF, HALF);
        *more = memcmp(key.data, last, HALF) <= 0;
        status = *more ? add(out, &entry, err) : LCF_OK;
        if (status)
            return status;
    }
    return LCF_OK;
}

lcf_status cot_index_find(cot_entries *out, lcf_cot_db *db, const lcf_cot_select *select,
                          lcf_err *err)
{
    const lcf_cot_limits limits = {PAGE, SIZE_MAX, SIZE_MAX};
    const lcf_cot_table table = select->user_id ? LCF_COT_BY_USER : LCF_COT_BY_TIME;
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    uint8_t at[TABLE_KEY] = {0}, last[HALF];
    const lcf_str after = {(const char *)at, TABLE_KEY};
    bool more = true;
    lcf_status status = LCF_OK;

    if (select->user_id) {
        put_user(at, select->user_id);
        memcpy(last, at, HALF);
    } else {
        put_time(at, select->from);
        put_time(last, select->until);
    }
    while (!status && more) {
        status = lcf_cot_db_scan(&page, db, table, &after, &limits, err);
        if (!status)
            status = take_page(out, &more, &page, last, err);
        if (!status && more)
            memcpy(at, lcf_cot_page_key(&page, page.n - 1).data, TABLE_KEY);
    }
    lcf_cot_page_dispose(&page);
    return status;
}
