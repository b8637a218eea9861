/* Layouts are those of schemas/rank_binary.layout.json; fields are little-endian. */
#include "online/rank/wire_binary.h"

#include "common/base/mem.h"
#include "online/rank/wire_ids.h"

#include <endian.h>
#include <string.h>

#define FLAG_HISTORY 1u
#define FLAG_STRICT 2u
#define FLAG_ITEMS 4u
#define FLAG_FEATURES 8u

typedef struct request_header {
    char magic[4];
    uint16_t version, flags;
    uint32_t candidates_n, history_n, context_n;
    uint16_t k, top;
    int64_t time;
} request_header;
_Static_assert(sizeof(request_header) == 32, "as it is on the wire");

typedef struct response_header {
    char magic[4];
    uint16_t version, degraded;
    uint32_t results_n, degraded_n;
    float retrieve_ms, ict_ms, score_ms, total_ms;
} response_header;
_Static_assert(sizeof(response_header) == 32, "as it is on the wire");

typedef struct response_record {
    uint32_t candidate;
    float score;
    uint16_t examples_n, degraded;
} response_record;
_Static_assert(sizeof(response_record) == 12, "as it is on the wire");

static const char REQUEST_MAGIC[4] = {'L', 'C', 'F', 'Q'};
static const char RESPONSE_MAGIC[4] = {'L', 'C', 'F', 'R'};

const char *const LCF_WIRE_DEGRADED[LCF_WIRE_DEGRADED_N] = {
    "",      "unknown_item", "no_examples", "deadline", "no_example_index", "unknown_user",
    "other", "unknown_arm"};
#define OTHER 6

uint16_t lcf_wire_degraded(const char *reason)
{
    for (uint16_t i = 0; reason && i < LCF_WIRE_DEGRADED_N; i++)
        if (!strcmp(reason, LCF_WIRE_DEGRADED[i]))
            return i;
    return reason ? OTHER : 0;
}

/* ---- requests ---- */

/* Bytes that are still to be read. */
typedef struct reader {
    const char *at, *end;
} reader;

/* The string at hand, which ends with a NUL. */
static lcf_status read_string(const char **out, reader *r, const char *name, size_t bytes_max,
                              lcf_err *err)
{
    const size_t left = (size_t)(r->end - r->at);
    const size_t n = strnlen(r->at, left < bytes_max + 1 ? left : bytes_max + 1);

    if (n == left)
        return LCF_FAIL(err, LCF_EFORMAT, "body: the bytes end within %s", name);
    if (n > bytes_max)
        return LCF_FAIL(err, LCF_ELIMIT, "body: %s is longer than %zu bytes", name, bytes_max);
    if (!lcf_utf8_valid(r->at, n))
        return LCF_FAIL(err, LCF_EFORMAT, "body: %s is not UTF-8", name);
    *out = r->at;
    r->at += n + 1;
    return LCF_OK;
}

static lcf_status read_header(request_header *h, reader *r, lcf_err *err)
{
    if ((size_t)(r->end - r->at) < sizeof(*h))
        return LCF_FAIL(err, LCF_EFORMAT, "body: %zu bytes are no request",
                        (size_t)(r->end - r->at));
    memcpy(h, r->at, sizeof(*h));
    r->at += sizeof(*h);
    h->version = le16toh(h->version);
    h->flags = le16toh(h->flags);
    h->candidates_n = le32toh(h->candidates_n);
    h->history_n = le32toh(h->history_n);
    h->context_n = le32toh(h->context_n);
    h->k = le16toh(h->k);
    h->top = le16toh(h->top);
    h->time = (int64_t)le64toh((uint64_t)h->time);
    if (memcmp(h->magic, REQUEST_MAGIC, sizeof(h->magic)))
        return LCF_FAIL(err, LCF_EFORMAT, "body: it does not begin with LCFQ");
    if (h->version != LCF_WIRE_BINARY_VERSION)
        return LCF_FAIL(err, LCF_EVERSION, "body: version %u, this program reads %d", h->version,
                        LCF_WIRE_BINARY_VERSION);
    if (h->flags & ~(FLAG_HISTORY | FLAG_STRICT | FLAG_ITEMS | FLAG_FEATURES))
        return LCF_FAIL(err, LCF_EFORMAT, "body: unknown flags %#x", h->flags);
    if (h->history_n && !(h->flags & FLAG_HISTORY))
        return LCF_FAIL(err, LCF_EFORMAT, "body: a history without its flag");
    return LCF_OK;
}

static lcf_status check_header(const request_header *h, size_t candidates_max, lcf_err *err)
{
    const lcf_status status =
        lcf_wire_check_counts(h->candidates_n, candidates_max, h->history_n, err);

    if (status) {
        lcf_err_prefix(err, "body");
        return status;
    }
    if (h->context_n > LCF_WIRE_CONTEXT_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "body: a context of %u values; at most %d are allowed",
                        h->context_n, LCF_WIRE_CONTEXT_MAX);
    if (h->k > LCF_WIRE_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "body: k is %u; at most %d are allowed", h->k,
                        LCF_WIRE_EXAMPLES_K_MAX);
    if (h->top > LCF_RANK_CANDIDATES_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "body: top is %u; at most %d are allowed", h->top,
                        LCF_RANK_CANDIDATES_MAX);
    if (h->time < 0 || h->time == INT64_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "body: the time is out of range");
    return LCF_OK;
}

static lcf_status read_ids(const char **ids, size_t n, reader *r, const char *name, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++)
        status = read_string(&ids[i], r, name, LCF_WIRE_ID_BYTES_MAX, err);
    return status;
}

static bool is_among(const char *name, const lcf_rank_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(values[i].name, name))
            return true;
    return false;
}

/* Names, each once, and values; `what` says of what in messages. */
static lcf_status read_values(lcf_rank_value *values, size_t n, reader *r, const char *what,
                              lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++) {
        status = read_string(&values[i].name, r, what, LCF_WIRE_ID_BYTES_MAX, err);
        if (!status && is_among(values[i].name, values, i))
            status =
                LCF_FAIL(err, LCF_EFORMAT, "body: \"%s\" stands twice in %s", values[i].name, what);
        if (!status)
            status = read_string(&values[i].value, r, what, LCF_WIRE_VALUE_BYTES_MAX, err);
    }
    return status;
}

static lcf_status read_strings(lcf_wire_request *w, const request_header *h, reader *r,
                               lcf_err *err)
{
    lcf_status status = read_string(&w->request.user_id, r, "user_id", LCF_WIRE_ID_BYTES_MAX, err);

    if (!status)
        status = read_string(&w->request.arm, r, "arm", LCF_WIRE_ARM_BYTES_MAX, err);
    if (!status)
        status = read_ids(w->ids, h->candidates_n, r, "a candidate", err);
    if (!status)
        status = read_ids(w->ids + h->candidates_n, h->history_n, r, "the history", err);
    if (!status)
        status = read_values(w->values, h->context_n, r, "the context", err);
    return status;
}

static lcf_status read_u16(uint16_t *out, reader *r, const char *name, size_t max, lcf_err *err)
{
    if ((size_t)(r->end - r->at) < sizeof(*out))
        return LCF_FAIL(err, LCF_EFORMAT, "body: the bytes end within %s", name);
    memcpy(out, r->at, sizeof(*out));
    r->at += sizeof(*out);
    *out = le16toh(*out);
    if (*out > max)
        return LCF_FAIL(err, LCF_ELIMIT, "body: %s is %u; at most %zu are allowed", name, *out,
                        max);
    return LCF_OK;
}

/* One item; its categories go behind the `used` that are there. */
static lcf_status read_item(lcf_rank_item *item, lcf_wire_request *w, size_t *used, reader *r,
                            lcf_err *err)
{
    uint16_t n = 0;
    lcf_status status = read_string(&item->item_id, r, "an item's id", LCF_WIRE_ID_BYTES_MAX, err);

    if (!status)
        status = read_string(&item->title, r, "a title", LCF_WIRE_VALUE_BYTES_MAX, err);
    if (!status)
        status = read_string(&item->brand, r, "a brand", LCF_WIRE_VALUE_BYTES_MAX, err);
    if (!status)
        status = read_string(&item->text, r, "a text", LCF_WIRE_VALUE_BYTES_MAX, err);
    if (!status)
        status = read_u16(&n, r, "the number of categories", LCF_WIRE_CATEGORIES_MAX, err);
    if (!status && lcf_grow((void **)&w->categories, &w->categories_capacity, *used + n + 1,
                            sizeof(*w->categories)))
        status = LCF_FAIL(err, LCF_ENOMEM, "categories of the request");
    for (size_t i = 0; i < n && !status; i++)
        status =
            read_string(&w->categories[(*used)++], r, "a category", LCF_WIRE_VALUE_BYTES_MAX, err);
    item->categories_n = n;
    return status;
}

/* All of them; they point to their categories when these no longer move. */
static lcf_status read_items(lcf_wire_request *w, size_t items_max, reader *r, lcf_err *err)
{
    size_t used = 0;
    uint16_t n = 0;
    lcf_status status = read_u16(&n, r, "the number of items", items_max, err);

    if (!status &&
        lcf_grow((void **)&w->items, &w->items_capacity, (size_t)n + 1, sizeof(*w->items)))
        status = LCF_FAIL(err, LCF_ENOMEM, "items of the request");
    for (size_t i = 0; !status && i < n; i++)
        status = read_item(&w->items[i], w, &used, r, err);
    if (status)
        return status;
    used = 0;
    for (size_t i = 0; i < n; i++) {
        w->items[i].categories = w->categories + used;
        used += w->items[i].categories_n;
    }
    w->request.items = w->items;
    w->request.items_n = n;
    return LCF_OK;
}

/* What the request says of its user, behind the context's values. */
static lcf_status read_features(lcf_wire_request *w, const request_header *h, reader *r,
                                lcf_err *err)
{
    uint16_t n = 0;
    lcf_status status =
        read_u16(&n, r, "the number of the user's features", LCF_WIRE_CONTEXT_MAX, err);

    if (status)
        return status;
    w->request.user_features = w->values + h->context_n;
    w->request.user_features_n = n;
    return read_values(w->values + h->context_n, n, r, "the user's features", err);
}

static lcf_status read_body(lcf_wire_request *w, const request_header *h, size_t items_max,
                            reader *r, lcf_err *err)
{
    lcf_status status = read_strings(w, h, r, err);

    if (!status && h->flags & FLAG_ITEMS)
        status = read_items(w, items_max, r, err);
    if (!status && h->flags & FLAG_FEATURES)
        status = read_features(w, h, r, err);
    if (!status && r->at != r->end)
        status =
            LCF_FAIL(err, LCF_EFORMAT, "body: %zu bytes are left over", (size_t)(r->end - r->at));
    return status;
}

lcf_status lcf_wire_parse_binary(lcf_wire_request *w, const void *bytes, size_t n,
                                 size_t candidates_max, lcf_err *err)
{
    reader r = {bytes, (const char *)bytes + n};
    request_header h;
    lcf_status status;

    lcf_wire_adopt(w, NULL);
    status = read_header(&h, &r, err);
    if (!status)
        status = check_header(&h, candidates_max, err);
    if (status)
        return status;
    if (lcf_grow((void **)&w->ids, &w->ids_capacity, (size_t)h.candidates_n + h.history_n,
                 sizeof(*w->ids)) ||
        lcf_grow((void **)&w->values, &w->values_capacity,
                 (size_t)h.context_n + LCF_WIRE_CONTEXT_MAX, sizeof(*w->values)))
        return LCF_FAIL(err, LCF_ENOMEM, "ids of the request");
    status = read_body(w, &h, candidates_max, &r, err);
    if (status) {
        lcf_wire_adopt(w, NULL);
        return status;
    }
    w->request.arm = *w->request.arm ? w->request.arm : NULL;
    w->request.candidates = w->ids;
    w->request.candidates_n = h.candidates_n;
    w->request.history = h.flags & FLAG_HISTORY ? w->ids + h.candidates_n : NULL;
    w->request.history_n = h.history_n;
    w->request.context = h.context_n ? w->values : NULL;
    w->request.context_n = h.context_n;
    w->request.k = h.k;
    w->request.top = h.top;
    w->request.time = h.time;
    w->request.strict = h.flags & FLAG_STRICT;
    return LCF_OK;
}

static void append_string(lcf_buf *out, const char *text)
{
    lcf_buf_append(out, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void append_u16(lcf_buf *out, size_t value)
{
    const uint16_t little = htole16((uint16_t)value);

    lcf_buf_append(out, &little, sizeof(little));
}

static void append_values(lcf_buf *out, const lcf_rank_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        append_string(out, values[i].name);
        append_string(out, values[i].value);
    }
}

static void append_item(lcf_buf *out, const lcf_rank_item *item)
{
    append_string(out, item->item_id);
    append_string(out, item->title);
    append_string(out, item->brand);
    append_string(out, item->text);
    append_u16(out, item->categories_n);
    for (size_t i = 0; i < item->categories_n; i++)
        append_string(out, item->categories[i]);
}

static bool is_sayable(const lcf_rank_request *request)
{
    bool can = request->candidates_n <= UINT32_MAX && request->history_n <= UINT32_MAX &&
               request->context_n <= UINT32_MAX && request->k <= UINT16_MAX &&
               request->top <= UINT16_MAX && request->items_n <= UINT16_MAX &&
               request->user_features_n <= UINT16_MAX;

    for (size_t i = 0; can && i < request->items_n; i++)
        can = request->items[i].categories_n <= UINT16_MAX;
    return can;
}

lcf_status lcf_wire_write_request_binary(lcf_buf *out, const lcf_rank_request *request,
                                         lcf_err *err)
{
    request_header h = {.version = htole16(LCF_WIRE_BINARY_VERSION),
                        .flags = htole16((uint16_t)((request->history ? FLAG_HISTORY : 0u) |
                                                    (request->strict ? FLAG_STRICT : 0u) |
                                                    (request->items ? FLAG_ITEMS : 0u) |
                                                    (request->user_features ? FLAG_FEATURES : 0u))),
                        .candidates_n = htole32((uint32_t)request->candidates_n),
                        .history_n = htole32((uint32_t)request->history_n),
                        .context_n = htole32((uint32_t)request->context_n),
                        .k = htole16((uint16_t)request->k),
                        .top = htole16((uint16_t)request->top),
                        .time = (int64_t)htole64((uint64_t)request->time)};

    if (!is_sayable(request))
        return LCF_FAIL(err, LCF_EINVAL, "the request is larger than the format can say");
    memcpy(h.magic, REQUEST_MAGIC, sizeof(h.magic));
    lcf_buf_append(out, &h, sizeof(h));
    append_string(out, request->user_id);
    append_string(out, request->arm);
    for (size_t i = 0; i < request->candidates_n; i++)
        append_string(out, request->candidates[i]);
    for (size_t i = 0; request->history && i < request->history_n; i++)
        append_string(out, request->history[i]);
    append_values(out, request->context, request->context_n);
    if (request->items)
        append_u16(out, request->items_n);
    for (size_t i = 0; i < request->items_n; i++)
        append_item(out, &request->items[i]);
    if (request->user_features) {
        append_u16(out, request->user_features_n);
        append_values(out, request->user_features, request->user_features_n);
    }
    return LCF_OK;
}

/* ---- responses ---- */

static float le_float(double value)
{
    const float f = (float)value;
    uint32_t bits;
    float out;

    memcpy(&bits, &f, sizeof(bits));
    bits = htole32(bits);
    memcpy(&out, &bits, sizeof(out));
    return out;
}

void lcf_wire_write_binary(lcf_buf *out, const lcf_rank_response *response)
{
    response_header h = {.version = htole16(LCF_WIRE_BINARY_VERSION),
                         .degraded = htole16(lcf_wire_degraded(response->degraded)),
                         .results_n = htole32((uint32_t)response->results_n),
                         .degraded_n = htole32((uint32_t)response->degraded_n),
                         .retrieve_ms = le_float(response->retrieve_ms),
                         .ict_ms = le_float(response->ict_ms),
                         .score_ms = le_float(response->score_ms),
                         .total_ms = le_float(response->total_ms)};

    memcpy(h.magic, RESPONSE_MAGIC, sizeof(h.magic));
    lcf_buf_append(out, &h, sizeof(h));
    for (size_t i = 0; i < response->results_n; i++) {
        const lcf_rank_result *from = &response->results[i];
        const response_record to = {.candidate = htole32((uint32_t)from->candidate),
                                    .score = le_float((double)from->score),
                                    .examples_n = htole16((uint16_t)from->examples_n),
                                    .degraded = htole16(lcf_wire_degraded(from->degraded))};

        lcf_buf_append(out, &to, sizeof(to));
    }
    append_string(out, response->generation);
    append_string(out, response->arm);
}
