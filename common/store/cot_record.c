/*
 * CoT records as protobuf messages. Invariant: what packs unpacks to the same values, and what
 * unpacks has 16-byte hashes, LCF_COT_PARTS_N parts and valid UTF-8, wherever the bytes came from.
 */
#include "common/store/cot_record.h"

#include "common/base/mem.h"
#include "common/store/cot_record.pb-c.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STRINGS_N 7

enum { PB_ROOM = 1024 }; /* beyond the bytes themselves: the message, gaps of alignment */

/* The string fields, in the order of the message: one list for checks and copies. */
static void record_strings(const char *out[STRINGS_N], const char *names[STRINGS_N],
                           const lcf_cot_record *r)
{
    const char *values[STRINGS_N] = {r->user_id,  r->item_id,        r->text,    r->reject_reason,
                                     r->model_id, r->prompt_version, r->sampling};
    static const char *const field[STRINGS_N] = {
        "user_id", "item_id", "text", "reject_reason", "model_id", "prompt_version", "sampling"};

    memcpy(out, values, sizeof(values));
    memcpy(names, field, sizeof(field));
}

static lcf_status check(const lcf_cot_record *r, lcf_status status, lcf_err *err)
{
    const char *values[STRINGS_N], *names[STRINGS_N];

    record_strings(values, names, r);
    for (size_t i = 0; i < STRINGS_N; i++)
        if (!values[i] || !lcf_utf8_valid(values[i], strlen(values[i])))
            return LCF_FAIL(err, status, "CoT record: %s is %s", names[i],
                            values[i] ? "not UTF-8" : "missing");
    for (size_t i = 0; i < LCF_COT_PARTS_N; i++)
        if (!isfinite(r->parts[i]))
            return LCF_FAIL(err, status, "CoT record: part %zu of its score is not a number", i);
    if (!isfinite(r->score))
        return LCF_FAIL(err, status, "CoT record: its score is not a number");
    return LCF_OK;
}

static Lcf__CotRecord message_of(const lcf_cot_record *r)
{
    Lcf__CotRecord m = LCF__COT_RECORD__INIT;

    m.key = (ProtobufCBinaryData){sizeof(r->key), (uint8_t *)r->key.bytes};
    m.sample_hash = (ProtobufCBinaryData){sizeof(r->sample_hash), (uint8_t *)r->sample_hash.bytes};
    m.user_id = (char *)r->user_id;
    m.item_id = (char *)r->item_id;
    m.label = r->label;
    m.time = r->time;
    m.text = (char *)r->text;
    m.score = r->score;
    m.n_parts = LCF_COT_PARTS_N;
    m.parts = (float *)r->parts;
    m.reject_reason = (char *)r->reject_reason;
    m.model_id = (char *)r->model_id;
    m.prompt_version = (char *)r->prompt_version;
    m.sampling = (char *)r->sampling;
    m.candidate = r->candidate;
    m.candidates_n = r->candidates_n;
    m.prompt_tokens = r->prompt_tokens;
    m.tokens = r->tokens;
    m.tokens_generated = r->tokens_generated;
    return m;
}

static lcf_status pack(lcf_buf *out, const Lcf__CotRecord *m, lcf_err *err)
{
    const size_t bytes = lcf__cot_record__get_packed_size(m);
    char *to = lcf_buf_reserve(out, bytes);

    if (!to)
        return LCF_FAIL(err, out->status, "CoT record, %zu bytes", bytes);
    lcf_buf_advance(out, lcf__cot_record__pack(m, (uint8_t *)to));
    return LCF_OK;
}

lcf_status lcf_cot_record_pack(lcf_buf *out, const lcf_cot_record *r, lcf_err *err)
{
    const lcf_status status = check(r, LCF_EINVAL, err);
    const Lcf__CotRecord m = status ? (Lcf__CotRecord)LCF__COT_RECORD__INIT : message_of(r);

    return status ? status : pack(out, &m, err);
}

lcf_status lcf_cot_record_pack_body(lcf_buf *out, const lcf_cot_record *r, lcf_err *err)
{
    Lcf__CotRecord m = message_of(r);

    m.key = m.sample_hash = (ProtobufCBinaryData){0, NULL};
    m.time = 0;
    m.score = 0;
    return pack(out, &m, err);
}

/* One block for the parts of a message; what does not fit in is allocated beside it. protobuf-c
 * tells "no memory" and "no message" apart by nothing; the flag does. */
typedef struct pb_room {
    char *bytes;
    size_t used, size;
    bool out_of_memory;
} pb_room;

static void *pb_alloc(void *arg, size_t n)
{
    pb_room *room = arg;
    const size_t begin = (room->used + 15) & ~(size_t)15;
    void *p;

    if (begin <= room->size && n <= room->size - begin) {
        room->used = begin + n;
        return room->bytes + begin;
    }
    p = lcf_alloc(n, 1);
    if (!p)
        room->out_of_memory = true;
    return p;
}

static void pb_free(void *arg, void *p)
{
    const pb_room *room = arg;
    const uintptr_t at = (uintptr_t)p, begin = (uintptr_t)room->bytes;

    if (at < begin || at >= begin + room->size)
        free(p);
}

static void scalars(lcf_cot_record *r, const lcf_cot_head *head, const Lcf__CotRecord *m)
{
    r->key = head->key;
    r->sample_hash = head->sample_hash;
    r->time = head->time;
    r->score = head->score;
    r->label = m->label;
    memcpy(r->parts, m->parts, sizeof(r->parts));
    r->candidate = m->candidate;
    r->candidates_n = m->candidates_n;
    r->prompt_tokens = m->prompt_tokens;
    r->tokens = m->tokens;
    r->tokens_generated = m->tokens_generated;
}

static lcf_status flatten(lcf_cot_record **out, const lcf_cot_head *head, const Lcf__CotRecord *m,
                          lcf_err *err)
{
    const char *const from[STRINGS_N] = {m->user_id,       m->item_id,  m->text,
                                         m->reject_reason, m->model_id, m->prompt_version,
                                         m->sampling};
    size_t bytes = sizeof(lcf_cot_record), sizes[STRINGS_N];
    lcf_cot_record *r;
    char *to;

    for (size_t i = 0; i < STRINGS_N; i++)
        bytes += sizes[i] = strlen(from[i]) + 1;
    r = lcf_alloc(1, bytes);
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT record, %zu bytes", bytes);
    const char **const fields[STRINGS_N] = {&r->user_id,       &r->item_id,  &r->text,
                                            &r->reject_reason, &r->model_id, &r->prompt_version,
                                            &r->sampling};
    scalars(r, head, m);
    to = (char *)(r + 1);
    for (size_t i = 0; i < STRINGS_N; i++) {
        *fields[i] = memcpy(to, from[i], sizes[i]);
        to += sizes[i];
    }
    *out = r;
    return LCF_OK;
}

/* What the head would say: of a whole message, in the message itself. */
static lcf_status head_of(lcf_cot_head *head, const Lcf__CotRecord *m, lcf_err *err)
{
    if (m->key.len != sizeof(head->key) || m->sample_hash.len != sizeof(head->sample_hash))
        return LCF_FAIL(err, LCF_EFORMAT, "CoT record with a key of %zu bytes", m->key.len);
    memcpy(head->key.bytes, m->key.data, sizeof(head->key));
    memcpy(head->sample_hash.bytes, m->sample_hash.data, sizeof(head->sample_hash));
    head->time = m->time;
    head->score = m->score;
    return LCF_OK;
}

static lcf_status to_record(lcf_cot_record **out, const lcf_cot_head *head, const Lcf__CotRecord *m,
                            lcf_err *err)
{
    lcf_cot_head own;
    lcf_status status = head ? LCF_OK : head_of(&own, m, err);

    if (!status && m->n_parts != LCF_COT_PARTS_N)
        status = LCF_FAIL(err, LCF_EFORMAT, "CoT record with %zu parts", m->n_parts);
    if (!status)
        status = flatten(out, head ? head : &own, m, err);
    if (!status && (status = check(*out, LCF_EFORMAT, err))) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* head NULL: a whole message. */
static lcf_status unpack(lcf_cot_record **out, const lcf_cot_head *head, const void *bytes,
                         size_t n, lcf_err *err)
{
    pb_room room = {.size = n + PB_ROOM};
    ProtobufCAllocator allocator = {pb_alloc, pb_free, &room};
    Lcf__CotRecord *m = NULL;
    lcf_status status;

    *out = NULL;
    room.bytes = lcf_alloc(room.size, 1);
    if (room.bytes)
        m = lcf__cot_record__unpack(&allocator, n, bytes);
    if (!room.bytes || room.out_of_memory)
        status = LCF_FAIL(err, LCF_ENOMEM, "CoT record of %zu bytes", n);
    else
        status = m ? to_record(out, head, m, err)
                   : LCF_FAIL(err, LCF_EFORMAT, "%zu bytes that are no CoT record", n);
    if (m)
        lcf__cot_record__free_unpacked(m, &allocator);
    free(room.bytes);
    return status;
}

lcf_status lcf_cot_record_unpack(lcf_cot_record **out, const void *bytes, size_t n, lcf_err *err)
{
    return unpack(out, NULL, bytes, n, err);
}

lcf_status lcf_cot_record_unpack_body(lcf_cot_record **out, const lcf_cot_head *head,
                                      const void *bytes, size_t n, lcf_err *err)
{
    return unpack(out, head, bytes, n, err);
}
