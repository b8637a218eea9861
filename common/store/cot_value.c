/*
 * Heads of stored values: see cot_value.h. Invariant: a head is read only when its checksum holds.
 *
 * All numbers are little-endian: 0 checksum of what follows (the low half of XXH3-64), 4 key, 20
 * sample hash, 36 content hash, 52 time, 60 score (the bits of an f32), 64 reason.
 */
#include "common/store/cot_value.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { KEY = 4, SAMPLE = 20, CONTENT = 36, TIME = 52, SCORE = 60, REASON = 64, HASH = 16 };

void cot_number_bytes(uint8_t out[4], uint32_t number)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* ---- reasons ---- */

void cot_reasons_drop(cot_reasons *r, size_t n)
{
    while (r->n > n)
        free(r->texts[--r->n]);
}

void cot_reasons_dispose(cot_reasons *r)
{
    cot_reasons_drop(r, 0);
    free(r->texts);
    *r = (cot_reasons){NULL, 0, 0};
}

static lcf_status add(cot_reasons *r, lcf_str text, lcf_err *err)
{
    char *copy = lcf_alloc_zero(text.len + 1, 1);

    if (!copy || lcf_grow((void **)&r->texts, &r->capacity, r->n + 1, sizeof(*r->texts))) {
        free(copy);
        return LCF_FAIL(err, LCF_ENOMEM, "reason of %zu bytes", text.len);
    }
    memcpy(copy, text.data, text.len);
    r->texts[r->n++] = copy;
    return LCF_OK;
}

lcf_status cot_reasons_load(cot_reasons *r, lcf_cot_db *db, lcf_err *err)
{
    const lcf_cot_limits all = LCF_COT_LIMITS_NONE;
    lcf_cot_page page = {LCF_BUF_INIT, NULL, 0, 0};
    uint8_t number[4];
    lcf_str after = {(const char *)number, sizeof(number)};
    lcf_status status;

    cot_number_bytes(number, (uint32_t)r->n);
    status = lcf_cot_db_scan(&page, db, LCF_COT_REASONS, &after, &all, err);
    for (size_t i = 0; i < page.n && !status; i++) {
        const lcf_str key = lcf_cot_page_key(&page, i);

        cot_number_bytes(number, (uint32_t)r->n + 1);
        if (key.len != sizeof(number) || memcmp(key.data, number, sizeof(number)))
            status = LCF_FAIL(err, LCF_EFORMAT, "%s: reason %zu of rejection is missing",
                              lcf_cot_db_path(db), r->n + 1);
        else
            status = add(r, lcf_cot_page_value(&page, i), err);
    }
    lcf_cot_page_dispose(&page);
    return status;
}

lcf_status cot_reasons_number(uint32_t *number, cot_reasons *r, const char *text, lcf_err *err)
{
    const lcf_str all = {text, strlen(text)};

    *number = 0;
    if (!all.len)
        return LCF_OK;
    for (*number = 1; *number <= r->n; ++*number)
        if (!strcmp(r->texts[*number - 1], text))
            return LCF_OK;
    return add(r, all, err);
}

/* ---- heads ---- */

static void put_le(uint8_t *out, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *in, size_t n)
{
    uint64_t value = 0;

    while (n-- > 0)
        value = value << 8 | in[n];
    return value;
}

static uint32_t checksum(const uint8_t *head)
{
    return (uint32_t)lcf_hash64(head + KEY, LCF_COT_HEAD_BYTES - KEY, 0);
}

void cot_head_write(uint8_t out[LCF_COT_HEAD_BYTES], const lcf_cot_head *head, uint32_t reason)
{
    uint32_t score;

    memcpy(&score, &head->score, sizeof(score));
    memcpy(out + KEY, head->key.bytes, HASH);
    memcpy(out + SAMPLE, head->sample_hash.bytes, HASH);
    memcpy(out + CONTENT, head->content.bytes, HASH);
    put_le(out + TIME, (uint64_t)head->time, 8);
    put_le(out + SCORE, score, 4);
    put_le(out + REASON, reason, 4);
    put_le(out, checksum(out), 4);
}

lcf_status cot_head_read(lcf_cot_head *out, const cot_reasons *r, lcf_str value, lcf_err *err)
{
    const uint8_t *bytes = (const uint8_t *)value.data;
    uint32_t score, reason;

    if (value.len < LCF_COT_HEAD_BYTES || get_le(bytes, 4) != checksum(bytes))
        return LCF_FAIL(err, LCF_ECHECKSUM, "damaged head");
    score = (uint32_t)get_le(bytes + SCORE, 4);
    reason = (uint32_t)get_le(bytes + REASON, 4);
    memcpy(out->key.bytes, bytes + KEY, HASH);
    memcpy(out->sample_hash.bytes, bytes + SAMPLE, HASH);
    memcpy(out->content.bytes, bytes + CONTENT, HASH);
    out->time = (int64_t)get_le(bytes + TIME, 8);
    memcpy(&out->score, &score, sizeof(score));
    out->reject_reason = !reason ? "" : reason <= r->n ? r->texts[reason - 1] : NULL;
    return out->reject_reason ? LCF_OK : LCF_ENOTFOUND;
}

lcf_str cot_value_frame(lcf_str value)
{
    return (lcf_str){value.data + LCF_COT_HEAD_BYTES, value.len - LCF_COT_HEAD_BYTES};
}
