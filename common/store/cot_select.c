/*
 * Records by user and by time: through the tables of cot_index.h where these are whole, else by
 * looking at all.
 */
#include "common/base/mem.h"
#include "common/store/cot_store_parts.h"

#include <stdlib.h>
#include <string.h>

static lcf_status note_entry(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    return cot_entries_add(arg, record, err);
}

lcf_status cot_index_complete(lcf_cot_store *s, lcf_err *err)
{
    cot_entries all = {NULL, 0, 0};
    lcf_err unread = LCF_ERR_INIT;
    bool whole;
    lcf_status status = cot_index_is_whole(&whole, s->db, err);

    if (status || whole)
        return status;
    /* A damaged record keeps the tables incomplete; repair is what mends that. */
    if (!lcf_cot_store_each(s, note_entry, &all, &unread)) {
        status = lcf_cot_db_clear(s->db, LCF_COT_BY_USER, err);
        if (!status)
            status = lcf_cot_db_clear(s->db, LCF_COT_BY_TIME, err);
        if (!status)
            status = cot_index_write(s->db, &all, err);
    }
    cot_entries_dispose(&all);
    return status;
}

/* What is selected, as far as the heads tell. */
typedef struct hit {
    int64_t time;
    lcf_hash128 key;
} hit;

typedef struct selection {
    const lcf_cot_select *select;
    hit *hits;
    size_t n, capacity;
} selection;

static bool is_selected(const lcf_cot_select *select, const lcf_cot_record *r)
{
    return r->time >= select->from && r->time <= select->until &&
           (!select->user_id || !strcmp(select->user_id, r->user_id));
}

static lcf_status add_hit(selection *s, int64_t time, lcf_hash128 key, lcf_err *err)
{
    if (time < s->select->from || time > s->select->until)
        return LCF_OK;
    if (lcf_grow((void **)&s->hits, &s->capacity, s->n + 1, sizeof(*s->hits)))
        return LCF_FAIL(err, LCF_ENOMEM, "%zu CoT records", s->n + 1);
    s->hits[s->n++] = (hit){time, key};
    return LCF_OK;
}

static lcf_status select_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    selection *s = arg;

    return is_selected(s->select, record) ? add_hit(s, record->time, record->key, err) : LCF_OK;
}

/* The key before all that begin with these bytes; false when there is none. */
static bool key_before(lcf_hash128 *out, const uint8_t half[COT_INDEX_HALF])
{
    size_t i = COT_INDEX_HALF;

    memset(out->bytes, 0xff, sizeof(out->bytes));
    memcpy(out->bytes, half, COT_INDEX_HALF);
    while (i-- > 0)
        if (out->bytes[i]--) /* else it was 0, is 255 now, and one is taken from the byte before */
            return true;
    return false;
}

/* Adds the records whose keys begin with that of the entry: nearly always one. */
static lcf_status resolve(selection *all, lcf_cot_store *s, lcf_cot_page *page,
                          const cot_entry *entry, lcf_err *err)
{
    const lcf_cot_limits limits = {2, SIZE_MAX, LCF_COT_HEAD_BYTES};
    lcf_hash128 at;
    bool begin = key_before(&at, entry->key), more = true;
    lcf_str after = cot_key_str(&at);
    lcf_status status = LCF_OK;

    while (!status && more) {
        status = lcf_cot_db_scan(page, s->db, LCF_COT_RECORDS, begin ? &after : NULL, &limits, err);
        more = page->n > 0;
        for (size_t i = 0; i < page->n && !status; i++) {
            lcf_cot_head head;

            status = cot_key_of(&at, s, lcf_cot_page_key(page, i), err);
            more = !status && !memcmp(at.bytes, entry->key, COT_INDEX_HALF);
            if (!more)
                break;
            /* one whose head is damaged is met, and told of, where the record is read */
            if (cot_head_read(&head, &s->reasons, lcf_cot_page_value(page, i), NULL) ==
                LCF_ECHECKSUM)
                head.time = all->select->from;
            status = add_hit(all, head.time, at, err);
        }
        begin = true;
    }
    return status;
}

static lcf_status select_by_tables(selection *all, lcf_cot_store *s, lcf_err *err)
{
    cot_entries entries = {NULL, 0, 0};
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_status status = cot_index_find(&entries, s->db, all->select, err);

    for (size_t i = 0; i < entries.n && !status; i++)
        status = resolve(all, s, &page, &entries.list[i], err);
    lcf_cot_page_dispose(&page);
    cot_entries_dispose(&entries);
    return status;
}

static int by_time(const void *a, const void *b)
{
    const hit *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return memcmp(x->key.bytes, y->key.bytes, sizeof(x->key.bytes));
}

/* Entries whose records are not there, or are others, are of something that is gone; two that begin
 * alike have found each other's. */
static lcf_status visit_hits(lcf_cot_store *s, const selection *all, lcf_cot_visit fn, void *arg,
                             lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; !status && i < all->n; i++) {
        lcf_cot_record *record;

        if (i && !by_time(&all->hits[i - 1], &all->hits[i]))
            continue;
        status = lcf_cot_store_get(&record, s, all->hits[i].key, err);
        if (status == LCF_ENOTFOUND)
            status = LCF_OK;
        else if (!status && is_selected(all->select, record))
            status = fn(arg, record, err);
        free(record);
    }
    return status;
}

lcf_status lcf_cot_store_each_of(lcf_cot_store *s, const lcf_cot_select *select, lcf_cot_visit fn,
                                 void *arg, lcf_err *err)
{
    selection all = {.select = select};
    bool whole;
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = cot_index_write(s->db, &s->unwritten, err);
    if (!status)
        status = cot_index_is_whole(&whole, s->db, err);
    if (!status && whole)
        status = select_by_tables(&all, s, err);
    pthread_mutex_unlock(&s->mutex);
    if (!status && !whole)
        status = lcf_cot_store_each(s, select_record, &all, err);
    if (!status && all.n) {
        qsort(all.hits, all.n, sizeof(*all.hits), by_time);
        status = visit_hits(s, &all, fn, arg, err);
    }
    free(all.hits);
    return status;
}

static lcf_status count_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    (void)record;
    (void)err;
    ++*(uint64_t *)arg;
    return LCF_OK;
}

lcf_status lcf_cot_store_check_index(bool *whole, lcf_cot_store *s, lcf_err *err)
{
    const lcf_cot_select everything = LCF_COT_SELECT_ALL;
    uint64_t found = 0, records = 0;
    lcf_status status = cot_index_is_whole(whole, s->db, err);

    if (status || !*whole)
        return status;
    status = lcf_cot_store_each_of(s, &everything, count_record, &found, err);
    if (!status)
        status = lcf_cot_db_count(&records, s->db, LCF_COT_RECORDS, err);
    *whole = !status && found == records;
    return status;
}
