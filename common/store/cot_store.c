/*
 * The CoT store: records are packed (protobuf), compressed (zstd) and kept by key (LMDB).
 *
 * Invariants: a batch is one transaction; a record is only returned when its checksum holds and the
 * key inside it is the key it was asked for by; a dictionary is stored in the transaction of the
 * first records that need it. One mutex serialises all calls of a handle.
 */
#include "common/store/cot_store.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/cot_index.h"
#include "common/store/cot_lmdb.h"
#include "common/store/cot_record.h"
#include "common/store/cot_zstd.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNWRITTEN_MAX = 1 << 18,
    SCAN_RECORDS = 512,
    SCAN_BYTES = 16 << 20,
    TRAIN_BYTES_MAX = 32 << 20, /* what zstd would look at anyway */
    DICTIONARY_BYTES_MIN = 4096,
    COPY_LEVEL = 12, /* read often, written once */
};

struct lcf_cot_store {
    lcf_cot_db *db;
    lcf_cot_codec *codec;
    lcf_cot_store_options options;
    pthread_mutex_t mutex;
    uint64_t train_at;     /* number of records at which a dictionary is tried next */
    lcf_buf raw, frame;    /* scratch */
    cot_entries unwritten; /* of the by-user and by-time tables: they follow the records */
};

/* ---- dictionaries ---- */

static void id_bytes(uint8_t out[4], uint32_t id)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(id >> (24 - 8 * i));
}

static const char CURRENT_KEY[] = "dictionary"; /* in the table meta: the id of the newest */

static lcf_cot_pair current_pair(const uint8_t id[4])
{
    return (lcf_cot_pair){
        LCF_COT_META, {CURRENT_KEY, sizeof(CURRENT_KEY) - 1}, {(const char *)id, 4}};
}

static lcf_status choose_current(lcf_cot_store *s, lcf_err *err)
{
    lcf_buf value = LCF_BUF_INIT;
    lcf_status status =
        lcf_cot_db_get(&value, s->db, LCF_COT_META, CURRENT_KEY, sizeof(CURRENT_KEY) - 1, err);

    if (!status && value.len == 4) {
        const uint8_t *b = (const uint8_t *)value.data;

        lcf_cot_codec_choose(s->codec, (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
                                           (uint32_t)b[2] << 8 | b[3]);
    }
    lcf_buf_dispose(&value);
    return status == LCF_ENOTFOUND ? LCF_OK : status;
}

/* All dictionaries of the store into the codec; the newest is used for writing. */
static lcf_status load_dictionaries(lcf_cot_store *s, lcf_err *err)
{
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_status status =
        lcf_cot_db_scan(&page, s->db, LCF_COT_DICTIONARIES, NULL, SIZE_MAX, SIZE_MAX, err);

    for (size_t i = 0; i < page.n && !status; i++) {
        lcf_str value = lcf_cot_page_value(&page, i);
        uint32_t id = lcf_cot_dictionary_id(value.data, value.len);
        if (!id || !lcf_cot_codec_has_dictionary(s->codec, id))
            status = lcf_cot_codec_add_dictionary(s->codec, value.data, value.len, err);
    }
    lcf_cot_page_dispose(&page);
    if (!status)
        status = choose_current(s, err);
    if (status)
        lcf_err_prefix(err, "%s", lcf_cot_db_path(s->db));
    return status;
}

/* ---- reading ---- */

static lcf_status decode(lcf_cot_record **out, lcf_cot_store *s, lcf_hash128 key, lcf_str frame,
                         lcf_err *err)
{
    size_t raw_bytes;
    uint32_t id;
    char hex[33];
    lcf_status status = lcf_cot_frame_info(&raw_bytes, &id, frame.data, frame.len, err);

    *out = NULL;
    if (!status && id && !lcf_cot_codec_has_dictionary(s->codec, id))
        status = load_dictionaries(s, err); /* another process has added one since */
    lcf_buf_reset(&s->raw);
    if (!status)
        status = lcf_cot_codec_decode(s->codec, &s->raw, frame.data, frame.len, err);
    if (!status)
        status = lcf_cot_record_unpack(out, lcf_buf_text(&s->raw), s->raw.len, err);
    if (!status && memcmp((*out)->key.bytes, key.bytes, sizeof(key.bytes))) {
        free(*out);
        *out = NULL;
        status = LCF_FAIL(err, LCF_ECHECKSUM, "the record there has another key");
    }
    if (status) {
        lcf_hash128_hex(hex, key);
        lcf_err_prefix(err, "%s: record %s", lcf_cot_db_path(s->db), hex);
    }
    return status;
}

static lcf_str key_str(const lcf_hash128 *key)
{
    lcf_str s = {(const char *)key->bytes, sizeof(key->bytes)};

    return s;
}

lcf_status lcf_cot_store_has(lcf_cot_store *s, lcf_hash128 key, lcf_err *err)
{
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    lcf_buf_reset(&s->frame);
    status = lcf_cot_db_get(&s->frame, s->db, LCF_COT_RECORDS, key.bytes, sizeof(key.bytes), err);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

lcf_status lcf_cot_store_get(lcf_cot_record **out, lcf_cot_store *s, lcf_hash128 key, lcf_err *err)
{
    lcf_status status;

    *out = NULL;
    pthread_mutex_lock(&s->mutex);
    lcf_buf_reset(&s->frame);
    status = lcf_cot_db_get(&s->frame, s->db, LCF_COT_RECORDS, key.bytes, sizeof(key.bytes), err);
    if (!status) {
        lcf_str frame = {lcf_buf_text(&s->frame), s->frame.len};
        status = decode(out, s, key, frame, err);
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static lcf_status key_of(lcf_hash128 *out, const lcf_cot_store *s, lcf_str key, lcf_err *err)
{
    if (key.len != sizeof(out->bytes))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a key of %zu bytes", lcf_cot_db_path(s->db),
                        key.len);
    memcpy(out->bytes, key.data, sizeof(out->bytes));
    return LCF_OK;
}

/* Whom a walk tells. */
typedef struct visitor {
    lcf_cot_visit fn;
    void *arg;
    lcf_cot_damage damaged; /* NULL: damage ends the walk */
    void *damaged_arg;
} visitor;

/* Visits one page of records, each decoded under the mutex and handed over outside of it, so that
 * the visitor may use the store. */
static lcf_status visit_page(lcf_cot_store *s, const lcf_cot_page *page, const visitor *v,
                             lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < page->n && !status; i++) {
        lcf_cot_record *record = NULL;
        lcf_err why = LCF_ERR_INIT;
        lcf_hash128 key;
        status = key_of(&key, s, lcf_cot_page_key(page, i), err);
        if (status)
            break;
        pthread_mutex_lock(&s->mutex);
        status = decode(&record, s, key, lcf_cot_page_value(page, i), &why);
        pthread_mutex_unlock(&s->mutex);
        if (!status)
            status = v->fn(v->arg, record, err);
        else if (!v->damaged || status == LCF_ENOMEM)
            status = LCF_FAIL(err, status, "%s", why.text);
        else {
            v->damaged(v->damaged_arg, key, why.text);
            status = LCF_OK;
        }
        free(record);
    }
    return status;
}

/* The next page after `last`; updates `last` to its last key. */
static lcf_status next_page(lcf_cot_page *page, lcf_cot_store *s, lcf_hash128 *last, bool first,
                            lcf_err *err)
{
    lcf_str after = key_str(last);
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = lcf_cot_db_scan(page, s->db, LCF_COT_RECORDS, first ? NULL : &after, SCAN_RECORDS,
                             SCAN_BYTES, err);
    pthread_mutex_unlock(&s->mutex);
    if (!status && page->n)
        status = key_of(last, s, lcf_cot_page_key(page, page->n - 1), err);
    return status;
}

static lcf_status walk(lcf_cot_store *s, const visitor *v, lcf_err *err)
{
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_hash128 last = {{0}};
    bool first = true;
    lcf_status status;

    do {
        status = next_page(&page, s, &last, first, err);
        if (!status)
            status = visit_page(s, &page, v, err);
        first = false;
    } while (!status && page.n);
    lcf_cot_page_dispose(&page);
    return status;
}

lcf_status lcf_cot_store_each(lcf_cot_store *s, lcf_cot_visit fn, void *arg, lcf_err *err)
{
    const visitor v = {.fn = fn, .arg = arg};

    return walk(s, &v, err);
}

lcf_status lcf_cot_store_each_sound(lcf_cot_store *s, lcf_cot_visit fn, void *arg,
                                    lcf_cot_damage damaged, void *damaged_arg, lcf_err *err)
{
    const visitor v = {fn, arg, damaged, damaged_arg};

    return walk(s, &v, err);
}

static lcf_status stat_page(lcf_cot_store_stats *out, const lcf_cot_store *s,
                            const lcf_cot_page *page, lcf_err *err)
{
    for (size_t i = 0; i < page->n; i++) {
        lcf_str frame = lcf_cot_page_value(page, i);
        size_t raw;
        uint32_t id;
        lcf_status status = lcf_cot_frame_info(&raw, &id, frame.data, frame.len, err);
        if (status) {
            lcf_err_prefix(err, "%s", lcf_cot_db_path(s->db));
            return status;
        }
        out->records_n++;
        out->raw_bytes += raw;
        out->stored_bytes += frame.len;
    }
    return LCF_OK;
}

lcf_status lcf_cot_store_stat(lcf_cot_store_stats *out, lcf_cot_store *s, lcf_err *err)
{
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_hash128 last = {{0}};
    bool first = true;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    do {
        status = next_page(&page, s, &last, first, err);
        if (!status)
            status = stat_page(out, s, &page, err);
        first = false;
    } while (!status && page.n);
    lcf_cot_page_dispose(&page);
    if (!status) {
        pthread_mutex_lock(&s->mutex);
        status = lcf_cot_db_count(&out->dictionaries_n, s->db, LCF_COT_DICTIONARIES, err);
        pthread_mutex_unlock(&s->mutex);
    }
    return status;
}

/* ---- writing ---- */

/* Packed records, one after the other, with the size of each. */
typedef struct samples {
    lcf_buf bytes;
    size_t *sizes;
    size_t capacity, n;
} samples;

static lcf_status samples_add(samples *all, const lcf_cot_record *record, lcf_err *err)
{
    size_t before = all->bytes.len;
    lcf_status status;

    if (lcf_grow((void **)&all->sizes, &all->capacity, all->n + 1, sizeof(size_t)))
        return LCF_FAIL(err, LCF_ENOMEM, "sizes of %zu CoT records", all->n + 1);
    status = lcf_cot_record_pack(&all->bytes, record, err);
    if (!status)
        all->sizes[all->n++] = all->bytes.len - before;
    return status;
}

static void samples_dispose(samples *all)
{
    lcf_buf_dispose(&all->bytes);
    free(all->sizes);
}

/* Adds what the store holds, up to a limit; called with the mutex held. */
static lcf_status samples_stored(samples *all, lcf_cot_store *s, lcf_err *err)
{
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_hash128 last = {{0}};
    lcf_str after = key_str(&last);
    lcf_status status = LCF_OK;

    do {
        status = lcf_cot_db_scan(&page, s->db, LCF_COT_RECORDS, page.n ? &after : NULL,
                                 SCAN_RECORDS, SCAN_BYTES, err);
        for (size_t i = 0; i < page.n && !status; i++) {
            lcf_cot_record *record = NULL;
            status = key_of(&last, s, lcf_cot_page_key(&page, i), err);
            if (!status)
                status = decode(&record, s, last, lcf_cot_page_value(&page, i), err);
            if (!status)
                status = samples_add(all, record, err);
            free(record);
        }
    } while (!status && page.n && all->bytes.len < TRAIN_BYTES_MAX);
    lcf_cot_page_dispose(&page);
    return status;
}

/* A dictionary no larger than a twentieth of what it was trained on: a larger one never pays. */
static lcf_status train(lcf_buf *out, const samples *all, size_t bytes_max, lcf_err *err)
{
    size_t bytes = all->bytes.len / 20;

    if (bytes > bytes_max)
        bytes = bytes_max;
    if (bytes < DICTIONARY_BYTES_MIN)
        return LCF_EUNSUPPORTED;
    return lcf_cot_dictionary_train(out, all->bytes.data, all->sizes, all->n, bytes, err);
}

/*
 * When enough records are there and no dictionary yet: trains one on those stored and those that
 * come, and gives it to the codec. Leaves `out` empty otherwise.
 */
static lcf_status maybe_train(lcf_buf *out, lcf_cot_store *s, const lcf_cot_record *records,
                              size_t n, lcf_err *err)
{
    samples all = {LCF_BUF_INIT, NULL, 0, 0};
    uint64_t stored;
    lcf_status status;

    if (!s->options.dictionary_bytes || lcf_cot_codec_dictionaries_n(s->codec))
        return LCF_OK;
    status = lcf_cot_db_count(&stored, s->db, LCF_COT_RECORDS, err);
    if (status || stored + n < s->train_at)
        return status;
    status = samples_stored(&all, s, err);
    for (size_t i = 0; i < n && !status; i++)
        status = samples_add(&all, &records[i], err);
    if (!status)
        status = train(out, &all, s->options.dictionary_bytes, err);
    if (!status)
        status = lcf_cot_codec_add_dictionary(s->codec, out->data, out->len, err);
    if (status == LCF_EUNSUPPORTED) { /* too few or too alike: again at twice as many */
        s->train_at = 2 * (stored + n);
        status = LCF_OK;
    }
    samples_dispose(&all);
    return status;
}

/* The pairs of a batch: the frames of the records and, when new, the dictionary before them. */
typedef struct batch {
    lcf_buf frames, dictionary;
    size_t *ends; /* [n] */
    lcf_cot_pair *pairs;
    uint8_t id[4];
} batch;

static void batch_dispose(batch *b)
{
    lcf_buf_dispose(&b->frames);
    lcf_buf_dispose(&b->dictionary);
    free(b->ends);
    free(b->pairs);
}

static lcf_status batch_encode(batch *b, lcf_cot_store *s, const lcf_cot_record *records, size_t n,
                               lcf_err *err)
{
    for (size_t i = 0; i < n; i++) {
        lcf_status status;
        lcf_buf_reset(&s->raw);
        status = lcf_cot_record_pack(&s->raw, &records[i], err);
        if (!status)
            status = lcf_cot_codec_encode(s->codec, &b->frames, s->raw.data, s->raw.len, err);
        if (status) {
            lcf_err_prefix(err, "record %zu of %zu", i, n);
            return status;
        }
        b->ends[i] = b->frames.len;
    }
    return LCF_OK;
}

/* Once all frames are in place and their buffer no longer moves. */
static size_t batch_pairs(batch *b, const lcf_cot_record *records, size_t n)
{
    size_t pairs_n = 0, begin = 0;

    if (b->dictionary.len) {
        id_bytes(b->id, lcf_cot_dictionary_id(b->dictionary.data, b->dictionary.len));
        b->pairs[pairs_n++] = (lcf_cot_pair){LCF_COT_DICTIONARIES,
                                             {(const char *)b->id, sizeof(b->id)},
                                             {b->dictionary.data, b->dictionary.len}};
    }
    for (size_t i = 0; i < n; i++) {
        b->pairs[pairs_n++] = (lcf_cot_pair){LCF_COT_RECORDS,
                                             key_str(&records[i].key),
                                             {b->frames.data + begin, b->ends[i] - begin}};
        begin = b->ends[i];
    }
    return pairs_n;
}

/* In the order of the tables and keys, which LMDB takes in half the time; of one key twice the
 * later frame comes later. */
static int by_place(const void *a, const void *b)
{
    const lcf_cot_pair *x = a, *y = b;
    const size_t shared = x->key.len < y->key.len ? x->key.len : y->key.len;
    const int order = memcmp(x->key.data, y->key.data, shared);

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    if (order || x->key.len != y->key.len)
        return order ? order : x->key.len < y->key.len ? -1 : 1;
    return (x->value.data > y->value.data) - (x->value.data < y->value.data);
}

/* The tables follow the records; what they miss, whoever opens the store for writing next adds. */
static void follow(lcf_cot_store *s, const lcf_cot_record *records, size_t n)
{
    if (s->options.without_index)
        return;
    for (size_t i = 0; i < n; i++)
        if (cot_entries_add(&s->unwritten, &records[i], NULL))
            return;
    if (s->unwritten.n >= UNWRITTEN_MAX)
        (void)cot_index_write(s->db, &s->unwritten, NULL);
}

static lcf_status put_locked(lcf_cot_store *s, const lcf_cot_record *records, size_t n,
                             lcf_err *err)
{
    batch b = {LCF_BUF_INIT, LCF_BUF_INIT, NULL, NULL, {0}};
    size_t dictionaries_n = lcf_cot_codec_dictionaries_n(s->codec);
    lcf_status status = LCF_OK;

    b.ends = lcf_alloc(n, sizeof(*b.ends));
    b.pairs = lcf_alloc(n + 1, sizeof(*b.pairs));
    if (!b.ends || !b.pairs) {
        status = LCF_FAIL(err, LCF_ENOMEM, "batch of %zu CoT records", n);
        goto done;
    }
    status = maybe_train(&b.dictionary, s, records, n, err);
    if (!status)
        status = batch_encode(&b, s, records, n, err);
    if (!status) {
        const size_t pairs_n = batch_pairs(&b, records, n);

        qsort(b.pairs, pairs_n, sizeof(*b.pairs), by_place);
        status = lcf_cot_db_put(s->db, b.pairs, pairs_n, err);
    }
    if (status) /* a dictionary that was not stored must not be used */
        lcf_cot_codec_drop_dictionaries(s->codec, dictionaries_n);
    else
        follow(s, records, n);
done:
    batch_dispose(&b);
    return status;
}

lcf_status lcf_cot_store_put(lcf_cot_store *s, const lcf_cot_record *records, size_t n,
                             lcf_err *err)
{
    lcf_status status;

    if (n == 0)
        return LCF_OK;
    pthread_mutex_lock(&s->mutex);
    status = put_locked(s, records, n, err);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

/* The entries of the records that are there and can be read. */
static lcf_status entries_of(cot_entries *out, lcf_cot_store *s, const lcf_hash128 *keys, size_t n,
                             lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; !status && i < n; i++) {
        lcf_cot_record *record;

        if (!lcf_cot_store_get(&record, s, keys[i], NULL))
            status = cot_entries_add(out, record, err);
        free(record);
    }
    return status;
}

lcf_status lcf_cot_store_remove(lcf_cot_store *s, const lcf_hash128 *keys, size_t n, lcf_err *err)
{
    cot_entries entries = {NULL, 0, 0};
    lcf_cot_pair *pairs;
    lcf_status status;

    if (n == 0)
        return LCF_OK;
    status = entries_of(&entries, s, keys, n, err);
    if (status) {
        cot_entries_dispose(&entries);
        return status;
    }
    pairs = lcf_alloc_zero(n, sizeof(*pairs));
    if (!pairs) {
        cot_entries_dispose(&entries);
        return LCF_FAIL(err, LCF_ENOMEM, "%zu keys to remove", n);
    }
    for (size_t i = 0; i < n; i++)
        pairs[i] = (lcf_cot_pair){.table = LCF_COT_RECORDS, .key = key_str(&keys[i])};
    pthread_mutex_lock(&s->mutex);
    (void)cot_index_write(s->db, &s->unwritten, NULL);
    status = cot_index_remove(s->db, &entries, err);
    if (!status)
        status = lcf_cot_db_put(s->db, pairs, n, err);
    pthread_mutex_unlock(&s->mutex);
    cot_entries_dispose(&entries);
    free(pairs);
    return status;
}

/* ---- by user and by time ---- */

static lcf_status note_entry(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    return cot_entries_add(arg, record, err);
}

/* After a crash, and in a store that never had the tables: all entries anew. */
static lcf_status complete_index(lcf_cot_store *s, lcf_err *err)
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

typedef struct selection {
    const lcf_cot_select *select;
    cot_entries entries;
} selection;

static bool is_selected(const lcf_cot_select *select, const lcf_cot_record *r)
{
    return r->time >= select->from && r->time <= select->until &&
           (!select->user_id || !strcmp(select->user_id, r->user_id));
}

static lcf_status select_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    selection *s = arg;

    return is_selected(s->select, record) ? cot_entries_add(&s->entries, record, err) : LCF_OK;
}

static int by_time(const void *a, const void *b)
{
    const cot_entry *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return memcmp(x->key.bytes, y->key.bytes, sizeof(x->key.bytes));
}

/* Entries whose records are not there, or are others, are of something that is gone. */
static lcf_status visit_entries(lcf_cot_store *s, const selection *all, lcf_cot_visit fn, void *arg,
                                lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; !status && i < all->entries.n; i++) {
        lcf_cot_record *record;

        status = lcf_cot_store_get(&record, s, all->entries.list[i].key, err);
        if (status == LCF_ENOTFOUND)
            status = LCF_OK;
        else if (!status && record->time == all->entries.list[i].time &&
                 is_selected(all->select, record))
            status = fn(arg, record, err);
        free(record);
    }
    return status;
}

lcf_status lcf_cot_store_each_of(lcf_cot_store *s, const lcf_cot_select *select, lcf_cot_visit fn,
                                 void *arg, lcf_err *err)
{
    selection all = {select, {NULL, 0, 0}};
    bool whole;
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = cot_index_write(s->db, &s->unwritten, err);
    if (!status)
        status = cot_index_is_whole(&whole, s->db, err);
    if (!status && whole)
        status = cot_index_find(&all.entries, s->db, select, err);
    pthread_mutex_unlock(&s->mutex);
    if (!status && !whole) {
        status = lcf_cot_store_each(s, select_record, &all, err);
        if (all.entries.n)
            qsort(all.entries.list, all.entries.n, sizeof(*all.entries.list), by_time);
    }
    if (!status)
        status = visit_entries(s, &all, fn, arg, err);
    cot_entries_dispose(&all.entries);
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

/* ---- digest ---- */

lcf_status lcf_cot_digest_add(lcf_buf *digest, const lcf_cot_record *record, lcf_err *err)
{
    lcf_buf packed = LCF_BUF_INIT;
    lcf_status status = lcf_cot_record_pack(&packed, record, err);

    if (!status) {
        lcf_hash128 hash = lcf_hash128_of(packed.data, packed.len);
        lcf_buf_append(digest, record->key.bytes, sizeof(record->key.bytes));
        lcf_buf_append(digest, hash.bytes, sizeof(hash.bytes));
    }
    lcf_buf_dispose(&packed);
    return status;
}

lcf_status lcf_cot_digest_end(char out[LCF_SHA256_HEX_BYTES], const lcf_buf *digest, lcf_err *err)
{
    return digest->status ? LCF_FAIL(err, digest->status, "hashes of all records")
                          : lcf_sha256_hex(out, lcf_buf_text(digest), digest->len, err);
}

static lcf_status digest_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    return lcf_cot_digest_add(arg, record, err);
}

lcf_status lcf_cot_store_digest(char out[LCF_SHA256_HEX_BYTES], lcf_cot_store *s, lcf_err *err)
{
    lcf_buf hashes = LCF_BUF_INIT;
    lcf_status status = lcf_cot_store_each(s, digest_record, &hashes, err);

    if (!status)
        status = lcf_cot_digest_end(out, &hashes, err);
    lcf_buf_dispose(&hashes);
    return status;
}

/* ---- opening and copying ---- */

lcf_status lcf_cot_store_open(lcf_cot_store **out, const char *dir,
                              const lcf_cot_store_options *options, lcf_err *err)
{
    static const lcf_cot_store_options defaults = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_cot_access access;
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT store handle, %zu bytes", sizeof(*s));
    pthread_mutex_init(&s->mutex, NULL);
    s->options = options ? *options : defaults;
    s->train_at = s->options.dictionary_after;
    access = s->options.write       ? LCF_COT_WRITE
             : s->options.immutable ? LCF_COT_READ_IMMUTABLE
                                    : LCF_COT_READ;
    status = lcf_cot_db_open(&s->db, dir, access, err);
    if (!status)
        status = lcf_cot_codec_create(&s->codec, s->options.level, err);
    if (!status)
        status = load_dictionaries(s, err);
    if (!status && s->options.write && !s->options.without_index)
        status = complete_index(s, err);
    if (!status) {
        *out = s;
        s = NULL;
    }
    lcf_cot_store_close(s);
    return status;
}

void lcf_cot_store_close(lcf_cot_store *s)
{
    if (!s)
        return;
    if (s->db)
        (void)cot_index_write(s->db, &s->unwritten, NULL);
    cot_entries_dispose(&s->unwritten);
    lcf_cot_db_close(s->db);
    lcf_cot_codec_free(s->codec);
    lcf_buf_dispose(&s->raw);
    lcf_buf_dispose(&s->frame);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

typedef struct copying {
    lcf_cot_store *to;
    lcf_cot_record records[SCAN_RECORDS]; /* strings point into `owned` */
    lcf_cot_record *owned[SCAN_RECORDS];
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
        lcf_status status = key_of(&key, from, lcf_cot_page_key(page, i), err);
        if (status)
            return status;
        pthread_mutex_lock(&from->mutex);
        status = decode(&record, from, key, lcf_cot_page_value(page, i), err);
        pthread_mutex_unlock(&from->mutex);
        if (status)
            return status;
        c->owned[c->n] = record;
        c->records[c->n++] = *record;
    }
    return LCF_OK;
}

/* Trains on the records in key order, so that the copy depends on nothing but the records. */
static lcf_status copy_dictionary(lcf_cot_store *to, lcf_cot_store *from, lcf_err *err)
{
    samples all = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_buf dictionary = LCF_BUF_INIT;
    lcf_status status;

    pthread_mutex_lock(&from->mutex);
    status = samples_stored(&all, from, err);
    pthread_mutex_unlock(&from->mutex);
    if (!status)
        status = train(&dictionary, &all, from->options.dictionary_bytes, err);
    if (!status)
        status = lcf_cot_codec_add_dictionary(to->codec, dictionary.data, dictionary.len, err);
    if (!status) {
        uint8_t id[4];
        lcf_cot_pair pair = {LCF_COT_DICTIONARIES,
                             {(const char *)id, sizeof(id)},
                             {dictionary.data, dictionary.len}};
        id_bytes(id, lcf_cot_dictionary_id(dictionary.data, dictionary.len));
        status = lcf_cot_db_put(to->db, &pair, 1, err);
    }
    samples_dispose(&all);
    lcf_buf_dispose(&dictionary);
    return status == LCF_EUNSUPPORTED ? LCF_OK : status;
}

static lcf_status copy_records(lcf_cot_store *to, lcf_cot_store *from, lcf_err *err)
{
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    copying c = {.to = to};
    lcf_hash128 last = {{0}};
    bool first = true;
    lcf_status status, flushed;

    do {
        status = next_page(&page, from, &last, first, err);
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

/* ---- recompressing ---- */

/* Trains on what is stored, stores the dictionary and writes with it from now on. EUNSUPPORTED: too
 * little for one. */
static lcf_status renew_dictionary(uint32_t *id, lcf_cot_store *s, lcf_err *err)
{
    samples all = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_buf dictionary = LCF_BUF_INIT;
    const size_t before = lcf_cot_codec_dictionaries_n(s->codec);
    uint8_t bytes[4];
    lcf_status status = samples_stored(&all, s, err);

    if (!status)
        status = train(&dictionary, &all, s->options.dictionary_bytes, err);
    *id = status ? 0 : lcf_cot_dictionary_id(dictionary.data, dictionary.len);
    if (!status && !lcf_cot_codec_has_dictionary(s->codec, *id))
        status = lcf_cot_codec_add_dictionary(s->codec, dictionary.data, dictionary.len, err);
    if (!status) {
        const lcf_cot_pair pairs[] = {{LCF_COT_DICTIONARIES,
                                       {(const char *)bytes, sizeof(bytes)},
                                       {dictionary.data, dictionary.len}},
                                      current_pair(bytes)};

        id_bytes(bytes, *id);
        status = lcf_cot_db_put(s->db, pairs, 2, err);
        if (status)
            lcf_cot_codec_drop_dictionaries(s->codec, before);
        else
            lcf_cot_codec_choose(s->codec, *id);
    }
    samples_dispose(&all);
    lcf_buf_dispose(&dictionary);
    return status;
}

/* Once no record needs them any more. */
static lcf_status remove_others(lcf_cot_store *s, uint32_t id, lcf_err *err)
{
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    uint8_t keep[4];
    lcf_status status =
        lcf_cot_db_scan(&page, s->db, LCF_COT_DICTIONARIES, NULL, SIZE_MAX, SIZE_MAX, err);

    id_bytes(keep, id);
    for (size_t i = 0; i < page.n && !status; i++) {
        const lcf_cot_pair pair = {LCF_COT_DICTIONARIES, lcf_cot_page_key(&page, i), {NULL, 0}};

        if (pair.key.len != sizeof(keep) || memcmp(pair.key.data, keep, sizeof(keep)))
            status = lcf_cot_db_put(s->db, &pair, 1, err);
    }
    lcf_cot_page_dispose(&page);
    return status;
}

lcf_status lcf_cot_store_recompress(lcf_cot_store *s, lcf_err *err)
{
    uint32_t id;
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = renew_dictionary(&id, s, err);
    pthread_mutex_unlock(&s->mutex);
    if (!status)
        status = copy_records(s, s, err);
    if (status)
        return status == LCF_EUNSUPPORTED ? LCF_OK : status;
    pthread_mutex_lock(&s->mutex);
    status = remove_others(s, id, err);
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
    if (!status)
        status = copy_dictionary(to, s, err);
    if (!status)
        status = copy_records(to, s, err);
    lcf_cot_store_close(to);
    if (!status)
        status = remove_locks(dir, err);
done:
    free(data);
    return status;
}
