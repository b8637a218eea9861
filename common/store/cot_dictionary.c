/*
 * Dictionaries of a CoT store: trained, stored, loaded, replaced. Invariant: a dictionary is stored
 * no later than the first record that needs it.
 */
#include "common/base/mem.h"
#include "common/store/cot_record.h"
#include "common/store/cot_store_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    TRAIN_BYTES_MAX = 32 << 20, /* what zstd would look at anyway */
    DICTIONARY_BYTES_MIN = 4096,
};

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

lcf_status cot_dictionaries_load(lcf_cot_store *s, lcf_err *err)
{
    const lcf_cot_limits all = LCF_COT_LIMITS_NONE;
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_status status = lcf_cot_db_scan(&page, s->db, LCF_COT_DICTIONARIES, NULL, &all, err);

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

/* ---- training ---- */

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
    status = lcf_cot_record_pack_body(&all->bytes, record, err);
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
    const lcf_cot_limits limits = {COT_SCAN_RECORDS, COT_SCAN_BYTES, SIZE_MAX};
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_hash128 last = {{0}};
    lcf_str after = cot_key_str(&last);
    lcf_status status = LCF_OK;

    do {
        status =
            lcf_cot_db_scan(&page, s->db, LCF_COT_RECORDS, page.n ? &after : NULL, &limits, err);
        for (size_t i = 0; i < page.n && !status; i++) {
            lcf_cot_record *record = NULL;
            status = cot_key_of(&last, s, lcf_cot_page_key(&page, i), err);
            if (!status)
                status = cot_decode(&record, s, last, lcf_cot_page_value(&page, i), err);
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

lcf_status cot_dictionary_maybe(lcf_buf *out, lcf_cot_store *s, const lcf_cot_record *records,
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

lcf_status cot_dictionary_renew(uint32_t *id, lcf_cot_store *to, lcf_cot_store *from, lcf_err *err)
{
    samples all = {LCF_BUF_INIT, NULL, 0, 0};
    lcf_buf dictionary = LCF_BUF_INIT;
    const size_t before = lcf_cot_codec_dictionaries_n(to->codec);
    uint8_t bytes[4];
    lcf_status status = samples_stored(&all, from, err);

    if (!status)
        status = train(&dictionary, &all, from->options.dictionary_bytes, err);
    *id = status ? 0 : lcf_cot_dictionary_id(dictionary.data, dictionary.len);
    if (!status && !lcf_cot_codec_has_dictionary(to->codec, *id))
        status = lcf_cot_codec_add_dictionary(to->codec, dictionary.data, dictionary.len, err);
    if (!status) {
        const lcf_cot_pair pairs[] = {{LCF_COT_DICTIONARIES,
                                       {(const char *)bytes, sizeof(bytes)},
                                       {dictionary.data, dictionary.len}},
                                      current_pair(bytes)};

        cot_number_bytes(bytes, *id);
        status = lcf_cot_db_put(to->db, pairs, 2, err);
        if (status)
            lcf_cot_codec_drop_dictionaries(to->codec, before);
        else
            lcf_cot_codec_choose(to->codec, *id);
    }
    samples_dispose(&all);
    lcf_buf_dispose(&dictionary);
    return status;
}

lcf_status cot_dictionaries_keep(lcf_cot_store *s, uint32_t id, lcf_err *err)
{
    const lcf_cot_limits all = LCF_COT_LIMITS_NONE;
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    uint8_t keep[4];
    lcf_status status = lcf_cot_db_scan(&page, s->db, LCF_COT_DICTIONARIES, NULL, &all, err);

    cot_number_bytes(keep, id);
    for (size_t i = 0; i < page.n && !status; i++) {
        const lcf_cot_pair pair = {LCF_COT_DICTIONARIES, lcf_cot_page_key(&page, i), {NULL, 0}};

        if (pair.key.len != sizeof(keep) || memcmp(pair.key.data, keep, sizeof(keep)))
            status = lcf_cot_db_put(s->db, &pair, 1, err);
    }
    lcf_cot_page_dispose(&page);
    return status;
}
