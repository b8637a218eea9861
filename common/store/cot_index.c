/*
 * The by-user and by-time tables: see cot_index.h. A key of by_user is the hash of the user's id,
 * the time and the record's key; one of by_time is the time and the record's key. Times are
 * big-endian with the sign flipped, so that bytes are in the order of time.
 */
#include "common/store/cot_index.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { HASH = 16, TIME = 8, USER_KEY = HASH + TIME + HASH, TIME_KEY = TIME + HASH, PAGE = 4096 };

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

lcf_status cot_entries_add(cot_entries *e, const lcf_cot_record *r, lcf_err *err)
{
    const cot_entry entry = {lcf_hash128_of(r->user_id, strlen(r->user_id)), r->key, r->time};

    return add(e, &entry, err);
}

/* ---- keys ---- */

static void put_time(char *out, int64_t time)
{
    const uint64_t bits = (uint64_t)time ^ (uint64_t)1 << 63;

    for (int i = 0; i < TIME; i++)
        out[i] = (char)(bits >> (56 - 8 * i));
}

static int64_t get_time(const char *in)
{
    uint64_t bits = 0;

    for (int i = 0; i < TIME; i++)
        bits = bits << 8 | (uint8_t)in[i];
    return (int64_t)(bits ^ (uint64_t)1 << 63);
}

/* Into USER_KEY bytes; what follows the first HASH of them is the key of by_time. */
static void put_key(char *out, const cot_entry *e)
{
    memcpy(out, e->user.bytes, HASH);
    put_time(out + HASH, e->time);
    memcpy(out + HASH + TIME, e->key.bytes, HASH);
}

static int compare_user_keys(const void *a, const void *b)
{
    return memcmp(a, b, USER_KEY);
}

static int compare_pairs(const void *a, const void *b)
{
    const lcf_cot_pair *x = a, *y = b;

    return memcmp(x->key.data, y->key.data, x->key.len);
}

/* ---- writing ---- */

/* Puts or removes all entries, in one transaction and in the order of the keys. */
static lcf_status change(lcf_cot_db *db, const cot_entries *e, bool remove, lcf_err *err)
{
    const lcf_str value = {remove ? NULL : "", 0};
    char *keys = lcf_alloc(e->n, USER_KEY);
    lcf_cot_pair *pairs = lcf_alloc(2 * e->n, sizeof(*pairs));
    lcf_status status = LCF_OK;

    if (!keys || !pairs) {
        status = LCF_FAIL(err, LCF_ENOMEM, "%zu entries of a CoT index", e->n);
        goto done;
    }
    for (size_t i = 0; i < e->n; i++)
        put_key(keys + i * USER_KEY, &e->list[i]);
    qsort(keys, e->n, USER_KEY, compare_user_keys);
    for (size_t i = 0; i < e->n; i++) {
        const char *key = keys + i * USER_KEY;

        pairs[i] = (lcf_cot_pair){LCF_COT_BY_USER, {key, USER_KEY}, value};
        pairs[e->n + i] = (lcf_cot_pair){LCF_COT_BY_TIME, {key + HASH, TIME_KEY}, value};
    }
    qsort(pairs + e->n, e->n, sizeof(*pairs), compare_pairs);
    status = lcf_cot_db_put(db, pairs, 2 * e->n, err);
done:
    free(keys);
    free(pairs);
    return status;
}

lcf_status cot_index_write(lcf_cot_db *db, cot_entries *entries, lcf_err *err)
{
    lcf_status status = entries->n ? change(db, entries, false, err) : LCF_OK;

    entries->n = 0;
    return status;
}

lcf_status cot_index_remove(lcf_cot_db *db, const cot_entries *entries, lcf_err *err)
{
    return entries->n ? change(db, entries, true, err) : LCF_OK;
}

lcf_status cot_index_is_whole(bool *whole, lcf_cot_db *db, lcf_err *err)
{
    uint64_t records = 0, by_user = 0, by_time = 0;
    lcf_status status = LCF_OK;

    *whole = false;
    if (!lcf_cot_db_has(db, LCF_COT_BY_USER) || !lcf_cot_db_has(db, LCF_COT_BY_TIME))
        return LCF_OK;
    status = lcf_cot_db_count(&records, db, LCF_COT_RECORDS, err);
    if (!status)
        status = lcf_cot_db_count(&by_user, db, LCF_COT_BY_USER, err);
    if (!status)
        status = lcf_cot_db_count(&by_time, db, LCF_COT_BY_TIME, err);
    *whole = !status && by_user == records && by_time == records;
    return status;
}

/* ---- reading ---- */

/* Takes the entries of one page that are selected; *more: whether further ones may be. */
static lcf_status take_page(cot_entries *out, bool *more, const lcf_cot_page *page,
                            const lcf_cot_select *select, const cot_entry *of, lcf_err *err)
{
    const size_t skip = select->user_id ? HASH : 0;

    *more = page->n > 0;
    for (size_t i = 0; *more && i < page->n; i++) {
        const lcf_str key = lcf_cot_page_key(page, i);
        cot_entry entry = *of;
        lcf_status status;

        if (key.len != skip + TIME_KEY)
            return LCF_FAIL(err, LCF_EFORMAT, "a key of %zu bytes in the index of a CoT store",
                            key.len);
        entry.time = get_time(key.data + skip);
        memcpy(entry.key.bytes, key.data + skip + TIME, HASH);
        *more = (!skip || !memcmp(key.data, of->user.bytes, HASH)) && entry.time <= select->until;
        status = *more ? add(out, &entry, err) : LCF_OK;
        if (status)
            return status;
    }
    return LCF_OK;
}

lcf_status cot_index_find(cot_entries *out, lcf_cot_db *db, const lcf_cot_select *select,
                          lcf_err *err)
{
    const lcf_cot_table table = select->user_id ? LCF_COT_BY_USER : LCF_COT_BY_TIME;
    const size_t skip = select->user_id ? 0 : HASH;
    cot_entry of = {.time = select->from};
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    char last[USER_KEY];
    lcf_str after;
    bool more = true;
    lcf_status status = LCF_OK;

    if (select->user_id)
        of.user = lcf_hash128_of(select->user_id, strlen(select->user_id));
    put_key(last, &of); /* with a record key of zeros: nothing lies before it */
    after = (lcf_str){last + skip, USER_KEY - skip};
    while (!status && more) {
        status = lcf_cot_db_scan(&page, db, table, &after, PAGE, SIZE_MAX, err);
        if (!status)
            status = take_page(out, &more, &page, select, &of, err);
        if (!status && more)
            memcpy(last + skip, lcf_cot_page_key(&page, page.n - 1).data, USER_KEY - skip);
    }
    lcf_cot_page_dispose(&page);
    return status;
}
