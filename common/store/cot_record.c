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

/* The strings, in the order of the message. */
static const char *const STRING_NAMES[STRINGS_N] = {
    "user_id", "item_id", "text", "reject_reason", "model_id", "prompt_version", "sampling"};

static lcf_status check_numbers(const float parts[LCF_COT_PARTS_N], float score, lcf_status status,
                                lcf_err *err)
{
    for (size_t i = 0; i < LCF_COT_PARTS_N; i++)
        if (!isfinite(parts[i]))
            return LCF_FAIL(err, status, "CoT record: part %zu of its score is not a number", i);
    return isfinite(score) ? LCF_OK
                           : LCF_FAIL(err, status, "CoT record: its score is not a number");
}

static lcf_status check(const lcf_cot_record *r, lcf_err *err)
{
    const char *const values[STRINGS_N] = {r->user_id,       r->item_id,  r->text,
                                           r->reject_reason, r->model_id, r->prompt_version,
                                           r->sampling};

    for (size_t i = 0; i < STRINGS_N; i++)
        if (!values[i] || !lcf_utf8_valid(values[i], strlen(values[i])))
            return LCF_FAIL(err, LCF_EINVAL, "CoT record: %s is %s", STRING_NAMES[i],
                            values[i] ? "not UTF-8" : "missing");
    return check_numbers(r->parts, r->score, LCF_EINVAL, err);
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
    const lcf_status status = check(r, err);
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

/* ---- reading ---- */

/*
 * A message is read where it lies, in one pass and into one allocation: protobuf-c would copy every
 * string once before it is copied to where it stays. source: protobuf.dev, "Encoding".
 */
typedef struct wire {
    const uint8_t *at, *end;
} wire;

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* the wire types that there are */

enum { KEY = STRINGS_N, SAMPLE_HASH, BYTES_N }; /* behind the strings */
enum { LABEL, TIME, CANDIDATE, CANDIDATES_N, PROMPT_TOKENS, TOKENS, TOKENS_GENERATED, NUMBERS_N };
enum { PARTS = 9, FIELD_MAX = (1 << 29) - 1 }; /* numbers of fields */

/* What a message holds; of a field that comes twice the later. */
typedef struct fields {
    lcf_str bytes[BYTES_N];
    uint64_t numbers[NUMBERS_N];
    float score, parts[LCF_COT_PARTS_N];
    size_t parts_n;
} fields;

/* By the number of the field: its wire type, and where in `fields` it goes. */
static const struct field {
    uint8_t type, at;
} FIELDS[] = {
    [1] = {BYTES, KEY},
    [2] = {BYTES, SAMPLE_HASH},
    [3] = {BYTES, 0},
    [4] = {BYTES, 1},
    [5] = {VARINT, LABEL},
    [6] = {VARINT, TIME},
    [7] = {BYTES, 2},
    [8] = {FIXED32, 0},
    [PARTS] = {BYTES, 0},
    [10] = {BYTES, 3},
    [11] = {BYTES, 4},
    [12] = {BYTES, 5},
    [13] = {BYTES, 6},
    [14] = {VARINT, CANDIDATE},
    [15] = {VARINT, CANDIDATES_N},
    [16] = {VARINT, PROMPT_TOKENS},
    [17] = {VARINT, TOKENS},
    [18] = {VARINT, TOKENS_GENERATED},
};

static bool take_varint(uint64_t *out, wire *w)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && w->at < w->end; shift += 7) {
        const uint8_t byte = *w->at++;

        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool take_bytes(lcf_str *out, wire *w)
{
    uint64_t n;

    if (!take_varint(&n, w) || n > (uint64_t)(w->end - w->at))
        return false;
    *out = (lcf_str){(const char *)w->at, (size_t)n};
    w->at += n;
    return true;
}

static bool take_float(float *out, wire *w)
{
    if (w->end - w->at < (ptrdiff_t)sizeof(*out))
        return false;
    memcpy(out, w->at, sizeof(*out)); /* little-endian, as this machine is */
    w->at += sizeof(*out);
    return true;
}

static bool skip(wire *w, unsigned type)
{
    uint64_t number;
    lcf_str bytes;
    size_t n = type == FIXED64 ? 8 : 4;

    if (type == VARINT)
        return take_varint(&number, w);
    if (type == BYTES)
        return take_bytes(&bytes, w);
    if ((type != FIXED64 && type != FIXED32) || (size_t)(w->end - w->at) < n)
        return false;
    w->at += n;
    return true;
}

/* One of them, or several in one field. */
static bool take_parts(fields *f, wire *w, unsigned type)
{
    lcf_str all = {(const char *)w->at, sizeof(float)};
    wire packed;

    if (type == FIXED32 ? !skip(w, type) : type != BYTES || !take_bytes(&all, w))
        return false;
    packed = (wire){(const uint8_t *)all.data, (const uint8_t *)all.data + all.len};
    while (packed.at < packed.end) {
        if (f->parts_n == LCF_COT_PARTS_N || !take_float(&f->parts[f->parts_n], &packed))
            return false;
        f->parts_n++;
    }
    return true;
}

static bool take_field(fields *f, wire *w, uint64_t number, unsigned type)
{
    if (!number || number > FIELD_MAX)
        return false;
    if (number >= sizeof(FIELDS) / sizeof(FIELDS[0]))
        return skip(w, type);
    if (number == PARTS)
        return take_parts(f, w, type);
    if (type != FIELDS[number].type)
        return false;
    return type == BYTES    ? take_bytes(&f->bytes[FIELDS[number].at], w)
           : type == VARINT ? take_varint(&f->numbers[FIELDS[number].at], w)
                            : take_float(&f->score, w);
}

static bool take_fields(fields *f, const void *bytes, size_t n)
{
    wire w = {bytes, (const uint8_t *)bytes + n};
    uint64_t tag;

    while (w.at < w.end)
        if (!take_varint(&tag, &w) || !take_field(f, &w, tag >> 3, tag & 7))
            return false;
    return true;
}

/* What the head would say: of a whole message, in the message itself. */
static lcf_status head_of(lcf_cot_head *head, const fields *f, lcf_err *err)
{
    const lcf_str key = f->bytes[KEY], sample = f->bytes[SAMPLE_HASH];
    const uint64_t time = f->numbers[TIME];

    if (key.len != sizeof(head->key) || sample.len != sizeof(head->sample_hash))
        return LCF_FAIL(err, LCF_EFORMAT, "CoT record with a key of %zu bytes", key.len);
    memcpy(head->key.bytes, key.data, sizeof(head->key));
    memcpy(head->sample_hash.bytes, sample.data, sizeof(head->sample_hash));
    head->time = (int64_t)(time >> 1) ^ -(int64_t)(time & 1); /* zigzag */
    head->score = f->score;
    return LCF_OK;
}

static void scalars(lcf_cot_record *r, const lcf_cot_head *head, const fields *f)
{
    r->key = head->key;
    r->sample_hash = head->sample_hash;
    r->time = head->time;
    r->score = head->score;
    memcpy(r->parts, f->parts, sizeof(r->parts));
    r->label = (uint32_t)f->numbers[LABEL];
    r->candidate = (uint32_t)f->numbers[CANDIDATE];
    r->candidates_n = (uint32_t)f->numbers[CANDIDATES_N];
    r->prompt_tokens = (uint32_t)f->numbers[PROMPT_TOKENS];
    r->tokens = (uint32_t)f->numbers[TOKENS];
    r->tokens_generated = f->numbers[TOKENS_GENERATED];
}

static lcf_status to_record(lcf_cot_record **out, const lcf_cot_head *head, const fields *f,
                            lcf_err *err)
{
    size_t bytes = sizeof(lcf_cot_record);
    lcf_cot_record *r;
    char *to;

    for (size_t i = 0; i < STRINGS_N; i++) {
        const lcf_str s = f->bytes[i];

        if (!lcf_utf8_valid(s.data, s.len) || (s.len && memchr(s.data, '\0', s.len)))
            return LCF_FAIL(err, LCF_EFORMAT, "CoT record: %s is not UTF-8", STRING_NAMES[i]);
        bytes += s.len + 1;
    }
    r = lcf_alloc(1, bytes);
    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT record, %zu bytes", bytes);
    const char **const strings[STRINGS_N] = {&r->user_id,       &r->item_id,  &r->text,
                                             &r->reject_reason, &r->model_id, &r->prompt_version,
                                             &r->sampling};
    scalars(r, head, f);
    to = (char *)(r + 1);
    for (size_t i = 0; i < STRINGS_N; i++) {
        const lcf_str s = f->bytes[i];

        *strings[i] = to;
        if (s.len)
            memcpy(to, s.data, s.len);
        to[s.len] = '\0';
        to += s.len + 1;
    }
    *out = r;
    return LCF_OK;
}

/* known NULL: a whole message. */
static lcf_status unpack(lcf_cot_record **out, const lcf_cot_head *known, const void *bytes,
                         size_t n, lcf_err *err)
{
    lcf_cot_head head = {.score = 0};
    fields f = {.parts_n = 0};
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!take_fields(&f, bytes, n))
        return LCF_FAIL(err, LCF_EFORMAT, "%zu bytes that are no CoT record", n);
    if (f.parts_n != LCF_COT_PARTS_N)
        return LCF_FAIL(err, LCF_EFORMAT, "CoT record with %zu parts", f.parts_n);
    if (known)
        head = *known;
    else
        status = head_of(&head, &f, err);
    if (!status)
        status = check_numbers(f.parts, head.score, LCF_EFORMAT, err);
    return status ? status : to_record(out, &head, &f, err);
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
