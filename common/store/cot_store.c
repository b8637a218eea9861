/*
 * The CoT store: records are packed (protobuf), compressed (zstd) and kept by key (LMDB).
 *
 * Invariants: a batch is one transaction; a record is only returned when its checksums hold and the
 * key inside it is the key it was asked for by; a dictionary and a reason of rejection are stored
 * in the transaction of the first records that need them. One mutex serialises all calls of a
 * handle.
 */
#include "common/store/cot_store.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/cot_record.h"
#include "common/store/cot_store_parts.h"

#include <stdlib.h>
#include <string.h>

enum { UNWRITTEN_MAX = 1 << 18 };

lcf_str cot_key_str(const lcf_hash128 *key)
{
    return (lcf_str){(const char *)key->bytes, sizeof(key->bytes)};
}

lcf_status cot_key_of(lcf_hash128 *out, const lcf_cot_store *s, lcf_str key, lcf_err *err)
{
    if (key.len != sizeof(out->bytes))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a key of %zu bytes", lcf_cot_db_path(s->db),
                        key.len);
    memcpy(out->bytes, key.data, sizeof(out->bytes));
    return LCF_OK;
}

/* ---- reading ---- */

/* The head of a value; one of version 1 has none, and all of it is the frame. */
static lcf_status read_head(lcf_cot_head *head, lcf_str *frame, lcf_cot_store *s, lcf_str value,
                            lcf_err *err)
{
    lcf_status status;

    *frame = value;
    if (lcf_cot_db_version(s->db) == 1)
        return LCF_OK;
    status = cot_head_read(head, &s->reasons, value, err);
    if (status == LCF_ENOTFOUND && !(status = cot_reasons_load(&s->reasons, s->db, err))) {
        status = cot_head_read(head, &s->reasons, value, err);
        if (status == LCF_ENOTFOUND)
            status = LCF_FAIL(err, LCF_EFORMAT, "its reason of rejection is not in the store");
    }
    if (!status)
        *frame = cot_value_frame(value);
    return status;
}

/* The raw message in the scratch. */
static lcf_status expand(lcf_cot_store *s, lcf_str frame, lcf_err *err)
{
    lcf_status status;

    lcf_buf_reset(&s->raw);
    status = lcf_cot_codec_decode(s->codec, &s->raw, frame.data, frame.len, err);
    if (status != LCF_ENOTFOUND)
        return status;
    status = cot_dictionaries_load(s, err); /* another process has added one since */
    if (!status)
        status = lcf_cot_codec_decode(s->codec, &s->raw, frame.data, frame.len, err);
    return status == LCF_ENOTFOUND ? LCF_EFORMAT : status;
}

lcf_status cot_decode(lcf_cot_record **out, lcf_cot_store *s, lcf_hash128 key, lcf_str value,
                      lcf_err *err)
{
    lcf_cot_head head;
    lcf_str frame;
    char hex[33];
    lcf_status status = read_head(&head, &frame, s, value, err);

    *out = NULL;
    if (!status)
        status = expand(s, frame, err);
    if (!status)
        status =
            frame.len == value.len
                ? lcf_cot_record_unpack(out, lcf_buf_text(&s->raw), s->raw.len, err)
                : lcf_cot_record_unpack_body(out, &head, lcf_buf_text(&s->raw), s->raw.len, err);
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

lcf_status lcf_cot_store_has(lcf_cot_store *s, lcf_hash128 key, lcf_err *err)
{
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = lcf_cot_db_look(NULL, s->db, LCF_COT_RECORDS, key.bytes, sizeof(key.bytes), err);
    if (!status)
        lcf_cot_db_leave(s->db);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

lcf_status lcf_cot_store_get(lcf_cot_record **out, lcf_cot_store *s, lcf_hash128 key, lcf_err *err)
{
    lcf_str value;
    lcf_status status;

    *out = NULL;
    pthread_mutex_lock(&s->mutex);
    status = lcf_cot_db_look(&value, s->db, LCF_COT_RECORDS, key.bytes, sizeof(key.bytes), err);
    if (!status) {
        status = cot_decode(out, s, key, value, err);
        lcf_cot_db_leave(s->db);
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}

/* ---- walking ---- */

/* Whom a walk tells. */
typedef struct visitor {
    lcf_cot_visit fn;
    void *arg;
    lcf_cot_damage damaged; /* NULL: damage ends the walk */
    void *damaged_arg;
} visitor;

/* Visits one page of records, each decoded under the mutex and handed over outside of it, so that
 * the visitor may use the store. */
static lcf_status visit_page(void *arg, lcf_cot_store *s, const lcf_cot_page *page, lcf_err *err)
{
    const visitor *v = arg;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < page->n && !status; i++) {
        lcf_cot_record *record = NULL;
        lcf_err why = LCF_ERR_INIT;
        lcf_hash128 key;
        status = cot_key_of(&key, s, lcf_cot_page_key(page, i), err);
        if (status)
            break;
        pthread_mutex_lock(&s->mutex);
        status = cot_decode(&record, s, key, lcf_cot_page_value(page, i), &why);
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

/* The next page of records after `last`, whose key it updates; takes the mutex. */
static lcf_status next_page(lcf_cot_page *page, lcf_cot_store *s, lcf_hash128 *last, bool first,
                            const lcf_cot_limits *limits, lcf_err *err)
{
    lcf_str after = cot_key_str(last);
    lcf_status status;

    pthread_mutex_lock(&s->mutex);
    status = lcf_cot_db_scan(page, s->db, LCF_COT_RECORDS, first ? NULL : &after, limits, err);
    pthread_mutex_unlock(&s->mutex);
    if (!status && page->n)
        status = cot_key_of(last, s, lcf_cot_page_key(page, page->n - 1), err);
    return status;
}

/* Calls fn for every page of values, of which so much is read, in key order. */
typedef lcf_status (*visit_pages)(void *arg, lcf_cot_store *s, const lcf_cot_page *page,
                                  lcf_err *err);
static lcf_status each_page(lcf_cot_store *s, size_t value_bytes, visit_pages fn, void *arg,
                            lcf_err *err)
{
    const lcf_cot_limits limits = {COT_SCAN_RECORDS, COT_SCAN_BYTES, value_bytes};
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_hash128 last = {{0}};
    bool first = true;
    lcf_status status;

    do {
        status = next_page(&page, s, &last, first, &limits, err);
        if (!status)
            status = fn(arg, s, &page, err);
        first = false;
    } while (!status && page.n);
    lcf_cot_page_dispose(&page);
    return status;
}

lcf_status lcf_cot_store_each(lcf_cot_store *s, lcf_cot_visit fn, void *arg, lcf_err *err)
{
    visitor v = {.fn = fn, .arg = arg};

    return each_page(s, SIZE_MAX, visit_page, &v, err);
}

lcf_status lcf_cot_store_each_sound(lcf_cot_store *s, lcf_cot_visit fn, void *arg,
                                    lcf_cot_damage damaged, void *damaged_arg, lcf_err *err)
{
    visitor v = {fn, arg, damaged, damaged_arg};

    return each_page(s, SIZE_MAX, visit_page, &v, err);
}

/* ---- heads ---- */

typedef struct head_visitor {
    lcf_cot_visit_head fn;
    void *arg;
} head_visitor;

static lcf_status visit_heads(void *arg, lcf_cot_store *s, const lcf_cot_page *page, lcf_err *err)
{
    const head_visitor *v = arg;
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < page->n && !status; i++) {
        lcf_hash128 key;
        lcf_cot_head head;
        lcf_str frame;
        char hex[33];

        status = cot_key_of(&key, s, lcf_cot_page_key(page, i), err);
        if (status)
            break;
        pthread_mutex_lock(&s->mutex);
        status = read_head(&head, &frame, s, lcf_cot_page_value(page, i), err);
        pthread_mutex_unlock(&s->mutex);
        if (!status && memcmp(key.bytes, head.key.bytes, sizeof(key.bytes)))
            status = LCF_FAIL(err, LCF_ECHECKSUM, "the record there has another key");
        if (status) {
            lcf_hash128_hex(hex, key);
            lcf_err_prefix(err, "%s: record %s", lcf_cot_db_path(s->db), hex);
        } else {
            status = v->fn(v->arg, &head, err);
        }
    }
    return status;
}

/* Of a store of version 1. */
static lcf_status visit_as_head(void *arg, const lcf_cot_record *r, lcf_err *err)
{
    const head_visitor *v = arg;
    lcf_cot_head head = {.key = r->key,
                         .sample_hash = r->sample_hash,
                         .time = r->time,
                         .score = r->score,
                         .reject_reason = r->reject_reason};
    lcf_buf packed = LCF_BUF_INIT;
    lcf_status status = lcf_cot_record_pack(&packed, r, err);

    if (!status) {
        head.content = lcf_hash128_of(packed.data, packed.len);
        status = v->fn(v->arg, &head, err);
    }
    lcf_buf_dispose(&packed);
    return status;
}

lcf_status lcf_cot_store_each_head(lcf_cot_store *s, lcf_cot_visit_head fn, void *arg, lcf_err *err)
{
    head_visitor v = {fn, arg};

    return lcf_cot_db_version(s->db) == 1 ? lcf_cot_store_each(s, visit_as_head, &v, err)
                                          : each_page(s, LCF_COT_HEAD_BYTES, visit_heads, &v, err);
}

/* ---- what there is ---- */

static lcf_status stat_page(void *arg, lcf_cot_store *s, const lcf_cot_page *page, lcf_err *err)
{
    lcf_cot_store_stats *out = arg;

    for (size_t i = 0; i < page->n; i++) {
        const lcf_str value = lcf_cot_page_value(page, i);
        lcf_cot_head head;
        lcf_str frame;
        size_t raw = 0;
        uint32_t id;
        lcf_status status;

        pthread_mutex_lock(&s->mutex);
        status = read_head(&head, &frame, s, value, err);
        pthread_mutex_unlock(&s->mutex);
        if (!status)
            status = lcf_cot_frame_info(&raw, &id, frame.data, frame.len, err);
        if (status) {
            lcf_err_prefix(err, "%s", lcf_cot_db_path(s->db));
            return status;
        }
        out->records_n++;
        out->raw_bytes += raw + (frame.len < value.len ? LCF_COT_HEAD_CONTENT_BYTES : 0);
        out->stored_bytes += value.len;
    }
    return LCF_OK;
}

lcf_status lcf_cot_store_stat(lcf_cot_store_stats *out, lcf_cot_store *s, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = each_page(s, SIZE_MAX, stat_page, out, err);
    if (!status) {
        pthread_mutex_lock(&s->mutex);
        status = lcf_cot_db_count(&out->dictionaries_n, s->db, LCF_COT_DICTIONARIES, err);
        pthread_mutex_unlock(&s->mutex);
    }
    return status;
}

void lcf_cot_digest_add(lcf_buf *digest, const lcf_cot_head *head)
{
    lcf_buf_append(digest, head->key.bytes, sizeof(head->key.bytes));
    lcf_buf_append(digest, head->content.bytes, sizeof(head->content.bytes));
}

lcf_status lcf_cot_digest_end(char out[LCF_SHA256_HEX_BYTES], const lcf_buf *digest, lcf_err *err)
{
    return digest->status ? LCF_FAIL(err, digest->status, "hashes of all records")
                          : lcf_sha256_hex(out, lcf_buf_text(digest), digest->len, err);
}

static lcf_status digest_head(void *arg, const lcf_cot_head *head, lcf_err *err)
{
    (void)err; /* a buffer remembers what failed */
    lcf_cot_digest_add(arg, head);
    return LCF_OK;
}

lcf_status lcf_cot_store_digest(char out[LCF_SHA256_HEX_BYTES], lcf_cot_store *s, lcf_err *err)
{
    lcf_buf hashes = LCF_BUF_INIT;
    lcf_status status = lcf_cot_store_each_head(s, digest_head, &hashes, err);

    if (!status)
        status = lcf_cot_digest_end(out, &hashes, err);
    lcf_buf_dispose(&hashes);
    return status;
}

/* ---- writing ---- */

/* The pairs of a batch: the values of the records and, where new, the dictionary and the reasons
 * that they need. */
typedef struct batch {
    lcf_buf values, dictionary;
    size_t *ends; /* [n] */
    lcf_cot_pair *pairs;
    uint8_t id[4], (*reasons)[4];
} batch;

static void batch_dispose(batch *b)
{
    lcf_buf_dispose(&b->values);
    lcf_buf_dispose(&b->dictionary);
    free(b->ends);
    free(b->pairs);
    free(b->reasons);
}

static lcf_status encode(lcf_buf *values, lcf_cot_store *s, const lcf_cot_record *r, lcf_err *err)
{
    lcf_cot_head head = {
        .key = r->key, .sample_hash = r->sample_hash, .time = r->time, .score = r->score};
    uint8_t bytes[LCF_COT_HEAD_BYTES];
    uint32_t reason;
    lcf_status status;

    lcf_buf_reset(&s->raw);
    status = lcf_cot_record_pack(&s->raw, r, err);
    if (!status)
        status = cot_reasons_number(&reason, &s->reasons, r->reject_reason, err);
    if (status)
        return status;
    head.content = lcf_hash128_of(s->raw.data, s->raw.len);
    cot_head_write(bytes, &head, reason);
    lcf_buf_append(values, bytes, sizeof(bytes));
    lcf_buf_reset(&s->raw);
    status = lcf_cot_record_pack_body(&s->raw, r, err);
    return status ? status : lcf_cot_codec_encode(s->codec, values, s->raw.data, s->raw.len, err);
}

static lcf_status batch_encode(batch *b, lcf_cot_store *s, const lcf_cot_record *records, size_t n,
                               lcf_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const lcf_status status = encode(&b->values, s, &records[i], err);

        if (status) {
            lcf_err_prefix(err, "record %zu of %zu", i, n);
            return status;
        }
        b->ends[i] = b->values.len;
    }
    return LCF_OK;
}

/* Once all values are in place and their buffer no longer moves. */
static lcf_status batch_pairs(size_t *pairs_n, batch *b, const lcf_cot_store *s, size_t reasons_n,
                              const lcf_cot_record *records, size_t n, lcf_err *err)
{
    const size_t added = s->reasons.n - reasons_n;
    lcf_cot_pair *to;
    size_t begin = 0;

    b->pairs = lcf_alloc(n + added + 1, sizeof(*b->pairs));
    b->reasons = lcf_alloc(added + 1, sizeof(*b->reasons));
    if (!b->pairs || !b->reasons)
        return LCF_FAIL(err, LCF_ENOMEM, "batch of %zu CoT records", n);
    to = b->pairs;
    if (b->dictionary.len) {
        cot_number_bytes(b->id, lcf_cot_dictionary_id(b->dictionary.data, b->dictionary.len));
        *to++ = (lcf_cot_pair){LCF_COT_DICTIONARIES,
                               {(const char *)b->id, sizeof(b->id)},
                               {b->dictionary.data, b->dictionary.len}};
    }
    for (size_t i = 0; i < added; i++) {
        const char *text = s->reasons.texts[reasons_n + i];

        cot_number_bytes(b->reasons[i], (uint32_t)(reasons_n + i + 1));
        *to++ = (lcf_cot_pair){LCF_COT_REASONS,
                               {(const char *)b->reasons[i], sizeof(b->reasons[i])},
                               {text, strlen(text)}};
    }
    for (size_t i = 0; i < n; i++) {
        *to++ = (lcf_cot_pair){LCF_COT_RECORDS,
                               cot_key_str(&records[i].key),
                               {b->values.data + begin, b->ends[i] - begin}};
        begin = b->ends[i];
    }
    *pairs_n = (size_t)(to - b->pairs);
    return LCF_OK;
}

/* In the order of the tables and keys, which LMDB takes in half the time; of one key twice the
 * later value comes later. */
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
    batch b = {LCF_BUF_INIT, LCF_BUF_INIT, NULL, NULL, {0}, NULL};
    const size_t dictionaries_n = lcf_cot_codec_dictionaries_n(s->codec);
    const size_t reasons_n = s->reasons.n;
    size_t pairs_n = 0;
    lcf_status status;

    b.ends = lcf_alloc(n, sizeof(*b.ends));
    status = b.ends ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "batch of %zu CoT records", n);
    if (!status)
        status = cot_dictionary_maybe(&b.dictionary, s, records, n, err);
    if (!status)
        status = batch_encode(&b, s, records, n, err);
    if (!status)
        status = batch_pairs(&pairs_n, &b, s, reasons_n, records, n, err);
    if (!status) {
        qsort(b.pairs, pairs_n, sizeof(*b.pairs), by_place);
        status = lcf_cot_db_put(s->db, b.pairs, pairs_n, err);
    }
    if (status) { /* what was not stored must not be used */
        lcf_cot_codec_drop_dictionaries(s->codec, dictionaries_n);
        cot_reasons_drop(&s->reasons, reasons_n);
    } else {
        follow(s, records, n);
    }
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
        pairs[i] = (lcf_cot_pair){.table = LCF_COT_RECORDS, .key = cot_key_str(&keys[i])};
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

/* ---- opening ---- */

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
             : s->options.walk      ? LCF_COT_READ_WALKED
                                    : LCF_COT_READ;
    status = lcf_cot_db_open(&s->db, dir, access, err);
    if (!status)
        status = lcf_cot_codec_create(&s->codec, s->options.level, err);
    if (!status)
        status = cot_dictionaries_load(s, err);
    if (!status && lcf_cot_db_version(s->db) > 1)
        status = cot_reasons_load(&s->reasons, s->db, err);
    if (!status && s->options.write && !s->options.without_index)
        status = cot_index_complete(s, err);
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
    cot_reasons_dispose(&s->reasons);
    lcf_cot_db_close(s->db);
    lcf_cot_codec_free(s->codec);
    lcf_buf_dispose(&s->raw);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}
