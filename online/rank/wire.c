/*
 * JSON of requests and responses. Parsing goes through jansson, which validates UTF-8 and refuses
 * duplicate keys; writing goes straight into a buffer, because a tree of 500 results costs more
 * than ranking some of them.
 */
#include "online/rank/wire.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "online/rank/wire_ids.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void lcf_wire_init(lcf_wire_request *w)
{
    memset(w, 0, sizeof(*w));
}

static void wire_clear(lcf_wire_request *w)
{
    json_decref(w->json);
    w->json = NULL;
    memset(&w->request, 0, sizeof(w->request));
}

void lcf_wire_adopt(lcf_wire_request *w, void *json)
{
    wire_clear(w);
    w->json = json;
}

void lcf_wire_dispose(lcf_wire_request *w)
{
    wire_clear(w);
    free(w->ids);
    free(w->values);
    free(w->items);
    free(w->categories);
    lcf_wire_init(w);
}

static lcf_status parse_string(const char **out, const json_t *value, const char *key,
                               size_t bytes_max, lcf_err *err)
{
    if (!json_is_string(value))
        return LCF_FAIL(err, LCF_EFORMAT, "\"%s\" must be a string", key);
    if (json_string_length(value) > bytes_max)
        return LCF_FAIL(err, LCF_ELIMIT, "\"%s\" is longer than %zu bytes", key, bytes_max);
    *out = json_string_value(value);
    return LCF_OK;
}

static lcf_status parse_bool(bool *out, const json_t *value, const char *key, lcf_err *err)
{
    if (!json_is_boolean(value))
        return LCF_FAIL(err, LCF_EFORMAT, "\"%s\" must be true or false", key);
    *out = json_is_true(value);
    return LCF_OK;
}

static lcf_status parse_integer(int64_t *out, const json_t *value, const char *key, int64_t min,
                                int64_t max, lcf_err *err)
{
    if (!json_is_integer(value))
        return LCF_FAIL(err, LCF_EFORMAT, "\"%s\" must be an integer", key);
    *out = json_integer_value(value);
    if (*out < min || *out > max)
        return LCF_FAIL(err, LCF_ELIMIT, "\"%s\" must be between %" PRId64 " and %" PRId64, key,
                        min, max);
    return LCF_OK;
}

lcf_status lcf_wire_check_counts(size_t candidates_n, size_t candidates_max, size_t history_n,
                                 lcf_err *err)
{
    if (candidates_n < 1 || candidates_n > candidates_max)
        return LCF_FAIL(err, LCF_ELIMIT, "\"candidates\" has %zu items; 1 to %zu are allowed",
                        candidates_n, candidates_max);
    if (history_n > LCF_WIRE_HISTORY_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "\"history\" has %zu items; at most %d are allowed",
                        history_n, LCF_WIRE_HISTORY_MAX);
    return LCF_OK;
}

lcf_status lcf_wire_read_ids(const char **ids, const json_t *array, const char *key, lcf_err *err)
{
    size_t idx;
    json_t *value;

    json_array_foreach(array, idx, value)
    {
        if (!json_is_string(value))
            return LCF_FAIL(err, LCF_EFORMAT, "\"%s\"[%zu] must be a string", key, idx);
        if (json_string_length(value) > LCF_WIRE_ID_BYTES_MAX)
            return LCF_FAIL(err, LCF_ELIMIT, "\"%s\"[%zu] is longer than %d bytes", key, idx,
                            LCF_WIRE_ID_BYTES_MAX);
        ids[idx] = json_string_value(value);
    }
    return LCF_OK;
}

/* Both id lists share one allocation, which is kept between requests. */
static lcf_status parse_lists(lcf_wire_request *w, const json_t *object, size_t candidates_max,
                              lcf_err *err)
{
    const json_t *candidates = json_object_get(object, "candidates");
    const json_t *history = json_object_get(object, "history");
    size_t candidates_n, history_n;
    lcf_status status;

    if (!json_is_array(candidates))
        return LCF_FAIL(err, LCF_EFORMAT, "\"candidates\" must be an array of item ids");
    if (history && !json_is_array(history))
        return LCF_FAIL(err, LCF_EFORMAT, "\"history\" must be an array of item ids");
    candidates_n = json_array_size(candidates);
    history_n = history ? json_array_size(history) : 0;
    status = lcf_wire_check_counts(candidates_n, candidates_max, history_n, err);
    if (status)
        return status;
    status =
        lcf_grow((void **)&w->ids, &w->ids_capacity, candidates_n + history_n, sizeof(*w->ids));
    if (status)
        return LCF_FAIL(err, status, "ids of the request");
    w->request.candidates = w->ids;
    w->request.candidates_n = candidates_n;
    w->request.history = history ? w->ids + candidates_n : NULL;
    w->request.history_n = history_n;
    status = lcf_wire_read_ids(w->ids, candidates, "candidates", err);
    if (status || !history)
        return status;
    return lcf_wire_read_ids(w->ids + candidates_n, history, "history", err);
}

static lcf_status check_values(const json_t *object, const char *key, lcf_err *err)
{
    if (object && !json_is_object(object))
        return LCF_FAIL(err, LCF_EFORMAT, "\"%s\" must be an object of texts", key);
    if (json_object_size(object) > LCF_WIRE_CONTEXT_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "\"%s\" has %zu members; at most %d are allowed", key,
                        json_object_size(object), LCF_WIRE_CONTEXT_MAX);
    return LCF_OK;
}

/* The members of an object that may be missing, each a string. */
static lcf_status parse_values(lcf_rank_value *out, json_t *object, lcf_err *err)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        lcf_status status = parse_string(&out->value, value, name, LCF_WIRE_VALUE_BYTES_MAX, err);

        if (status)
            return status;
        out++->name = name;
    }
    return LCF_OK;
}

/* "context" and "user_features", which share one allocation. */
static lcf_status parse_fields(lcf_wire_request *w, const json_t *object, lcf_err *err)
{
    json_t *context = json_object_get(object, "context");
    json_t *features = json_object_get(object, "user_features");
    const size_t context_n = json_object_size(context), features_n = json_object_size(features);
    lcf_status status = check_values(context, "context", err);

    if (!status)
        status = check_values(features, "user_features", err);
    if (status || (!context && !features))
        return status;
    if (lcf_grow((void **)&w->values, &w->values_capacity, context_n + features_n + 1,
                 sizeof(*w->values)))
        return LCF_FAIL(err, LCF_ENOMEM, "fields of the request");
    status = parse_values(w->values, context, err);
    if (!status)
        status = parse_values(w->values + context_n, features, err);
    w->request.context = w->values;
    w->request.context_n = context_n;
    w->request.user_features = w->values + context_n;
    w->request.user_features_n = features_n;
    return status;
}

/* ---- items that are described ---- */

static lcf_status parse_categories(lcf_rank_item *item, const char **room, const json_t *array,
                                   lcf_err *err)
{
    size_t idx;
    json_t *value;

    json_array_foreach(array, idx, value)
    {
        lcf_status status =
            parse_string(&room[idx], value, "categories", LCF_WIRE_VALUE_BYTES_MAX, err);

        if (status)
            return status;
    }
    item->categories = room;
    item->categories_n = json_array_size(array);
    return LCF_OK;
}

/* One description; its categories are parsed later, into room for those of all. */
static lcf_status parse_item(lcf_rank_item *item, json_t *object, lcf_err *err)
{
    const struct {
        const char *name, **text;
        size_t bytes_max;
    } texts[] = {{"item_id", &item->item_id, LCF_WIRE_ID_BYTES_MAX},
                 {"title", &item->title, LCF_WIRE_VALUE_BYTES_MAX},
                 {"brand", &item->brand, LCF_WIRE_VALUE_BYTES_MAX},
                 {"text", &item->text, LCF_WIRE_VALUE_BYTES_MAX}};
    const char *key;
    json_t *value;

    *item = (lcf_rank_item){0};
    if (!json_is_object(object))
        return LCF_FAIL(err, LCF_EFORMAT, "it must be an object");
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        lcf_status status = LCF_OK;

        while (i < 4 && strcmp(key, texts[i].name))
            i++;
        if (i < 4)
            status = parse_string(texts[i].text, value, key, texts[i].bytes_max, err);
        else if (strcmp(key, "categories"))
            status = LCF_FAIL(err, LCF_EFORMAT, "unknown member \"%.64s\"", key);
        else if (!json_is_array(value))
            status = LCF_FAIL(err, LCF_EFORMAT, "\"categories\" must be an array of texts");
        else if (json_array_size(value) > LCF_WIRE_CATEGORIES_MAX)
            status = LCF_FAIL(err, LCF_ELIMIT, "%zu categories; at most %d are allowed",
                              json_array_size(value), LCF_WIRE_CATEGORIES_MAX);
        if (status)
            return status;
    }
    return item->item_id ? LCF_OK : LCF_FAIL(err, LCF_EFORMAT, "\"item_id\" is missing");
}

static lcf_status parse_items(lcf_wire_request *w, const json_t *object, size_t items_max,
                              lcf_err *err)
{
    const json_t *items = json_object_get(object, "items");
    const size_t n = json_array_size(items);
    size_t categories_n = 0;
    lcf_status status = LCF_OK;

    if (!items)
        return LCF_OK;
    if (!json_is_array(items))
        return LCF_FAIL(err, LCF_EFORMAT, "\"items\" must be an array of objects");
    if (n > items_max)
        return LCF_FAIL(err, LCF_ELIMIT, "\"items\" has %zu items; at most %zu are allowed", n,
                        items_max);
    for (size_t i = 0; i < n; i++)
        categories_n += json_array_size(json_object_get(json_array_get(items, i), "categories"));
    if (lcf_grow((void **)&w->items, &w->items_capacity, n + 1, sizeof(*w->items)) ||
        lcf_grow((void **)&w->categories, &w->categories_capacity, categories_n + 1,
                 sizeof(*w->categories)))
        return LCF_FAIL(err, LCF_ENOMEM, "items of the request");
    categories_n = 0;
    for (size_t i = 0; i < n && !status; i++) {
        status = parse_item(&w->items[i], json_array_get(items, i), err);
        if (!status)
            status = parse_categories(&w->items[i], w->categories + categories_n,
                                      json_object_get(json_array_get(items, i), "categories"), err);
        categories_n += w->items[i].categories_n;
        if (status)
            lcf_err_prefix(err, "\"items\"[%zu]", i);
    }
    w->request.items = w->items;
    w->request.items_n = n;
    return status;
}

static lcf_status parse_member(lcf_rank_request *r, const char *key, const json_t *value,
                               lcf_err *err)
{
    int64_t number = 0;
    lcf_status status;

    if (!strcmp(key, "candidates") || !strcmp(key, "history") || !strcmp(key, "context") ||
        !strcmp(key, "user_features") || !strcmp(key, "items"))
        return LCF_OK; /* by parse_lists, parse_fields and parse_items */
    if (!strcmp(key, "user_id"))
        return parse_string(&r->user_id, value, key, LCF_WIRE_ID_BYTES_MAX, err);
    if (!strcmp(key, "arm"))
        return parse_string(&r->arm, value, key, LCF_WIRE_ARM_BYTES_MAX, err);
    if (!strcmp(key, "explain"))
        return parse_bool(&r->explain, value, key, err);
    if (!strcmp(key, "strict"))
        return parse_bool(&r->strict, value, key, err);
    if (!strcmp(key, "k")) {
        status = parse_integer(&number, value, key, 1, LCF_WIRE_EXAMPLES_K_MAX, err);
        r->k = (uint32_t)number;
        return status;
    }
    if (!strcmp(key, "top")) {
        status = parse_integer(&number, value, key, 1, LCF_RANK_CANDIDATES_MAX, err);
        r->top = (size_t)number;
        return status;
    }
    if (!strcmp(key, "time"))
        return parse_integer(&r->time, value, key, 1, INT64_MAX - 1, err);
    return LCF_FAIL(err, LCF_EFORMAT, "unknown member \"%.64s\"", key);
}

lcf_status lcf_wire_parse(lcf_wire_request *w, const char *text, size_t n, const char *source,
                          size_t candidates_max, lcf_err *err)
{
    const char *key;
    json_t *object = NULL, *value;
    lcf_status status;

    wire_clear(w);
    status = lcf_json_parse(&object, text, n, source, err);
    if (status)
        return status;
    lcf_wire_adopt(w, object);
    if (!json_is_object(object))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: a request is a JSON object", source);
    json_object_foreach(object, key, value)
    {
        status = parse_member(&w->request, key, value, err);
        if (status)
            goto done;
    }
    status = parse_lists(w, object, candidates_max, err);
    if (!status)
        status = parse_fields(w, object, err);
    if (!status)
        status = parse_items(w, object, candidates_max, err);
done:
    if (status) {
        lcf_err_prefix(err, "%s", source);
        memset(&w->request, 0, sizeof(w->request));
    }
    return status;
}

/* ---- writing ---- */

/* Bytes of the well-formed UTF-8 character at s (NUL-terminated), or 0. */
static size_t utf8_length(const char *s)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;

    if (n == 0 || strnlen(s, n) < n)
        return 0;
    return lcf_utf8_valid(s, n) ? n : 0;
}

/* Characters that stand for themselves in a JSON string, in ASCII. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void lcf_wire_write_string(lcf_buf *out, const char *text)
{
    const char *start = text;

    lcf_buf_append_char(out, '"');
    for (;;) {
        size_t n;

        while (is_plain((unsigned char)*text))
            text++;
        if (!*text)
            break;
        n = utf8_length(text);
        if (n > 1) {
            text += n;
            continue;
        }
        lcf_buf_append(out, start, (size_t)(text - start));
        if (n == 0)
            lcf_buf_append_text(out, "\xef\xbf\xbd");
        else if (*text == '"' || *text == '\\')
            lcf_buf_printf(out, "\\%c", *text);
        else
            lcf_buf_printf(out, "\\u%04x", (unsigned)(unsigned char)*text);
        start = ++text;
    }
    lcf_buf_append(out, start, (size_t)(text - start));
    lcf_buf_append_char(out, '"');
}

/* Separators of the two layouts; depth counts open brackets. */
static void write_break(lcf_buf *out, const lcf_wire_options *options, int depth)
{
    if (!options->pretty)
        return;
    lcf_buf_append_char(out, '\n');
    for (int i = 0; i < depth; i++)
        lcf_buf_append_text(out, "  ");
}

static void write_text_member(lcf_buf *out, const char *key, const char *value)
{
    lcf_buf_append_text(out, ",\"");
    lcf_buf_append_text(out, key);
    lcf_buf_append_text(out, "\":");
    lcf_wire_write_string(out, value);
}

static void write_number_member(lcf_buf *out, const char *key, float value)
{
    lcf_buf_append_text(out, ",\"");
    lcf_buf_append_text(out, key);
    lcf_buf_append_text(out, "\":");
    lcf_buf_append_f32(out, value);
}

static void write_count_member(lcf_buf *out, const char *key, size_t value)
{
    lcf_buf_append_text(out, ",\"");
    lcf_buf_append_text(out, key);
    lcf_buf_append_text(out, "\":");
    lcf_buf_append_u64(out, value);
}

static void write_example(lcf_buf *out, const lcf_rank_example *e,
                          const lcf_rank_response *response, const lcf_wire_options *options)
{
    lcf_buf_printf(out, "{\"key\":\"%s\"", e->key);
    if (options->example_users)
        write_text_member(out, "user_id", e->user_id);
    write_text_member(out, "item_id", e->item_id);
    write_text_member(out, "title", e->title);
    write_count_member(out, "label", (size_t)e->label);
    write_number_member(out, "similarity", e->similarity);
    if (response->attends)
        write_number_member(out, "attention", e->attention);
    if (response->explained)
        write_number_member(out, "score_without", e->score_without);
    write_text_member(out, "cot", e->cot);
    lcf_buf_append_char(out, '}');
}

static void write_result(lcf_buf *out, const lcf_rank_result *r, const lcf_rank_response *response,
                         const lcf_wire_options *options)
{
    lcf_buf_append_text(out, "{\"item_id\":");
    lcf_wire_write_string(out, r->item_id);
    write_text_member(out, "title", r->title);
    write_count_member(out, "candidate", r->candidate);
    write_number_member(out, "score", r->score);
    write_count_member(out, "examples_n", r->examples_n);
    if (response->explained)
        write_number_member(out, "score_no_examples", r->score_no_examples);
    if (r->described)
        lcf_buf_append_text(out, ",\"described\":true");
    if (r->degraded)
        write_text_member(out, "degraded", r->degraded);
    if (r->examples) {
        lcf_buf_append_text(out, ",\"examples\":[");
        for (size_t i = 0; i < r->examples_n; i++) {
            lcf_buf_append_text(out, i ? "," : "");
            write_break(out, options, 3);
            write_example(out, &r->examples[i], response, options);
        }
        lcf_buf_append_char(out, ']');
    }
    lcf_buf_append_char(out, '}');
}

static void write_history(lcf_buf *out, const lcf_rank_response *response,
                          const lcf_wire_options *options)
{
    lcf_buf_append_char(out, ',');
    write_break(out, options, 1);
    lcf_buf_append_text(out, "\"history\":[");
    for (size_t i = 0; i < response->history_n; i++) {
        const lcf_rank_event *e = &response->history[i];

        lcf_buf_append_text(out, i ? ",{\"item_id\":" : "{\"item_id\":");
        lcf_wire_write_string(out, e->item_id);
        write_text_member(out, "title", e->title);
        if (e->label >= 0)
            lcf_buf_printf(out, ",\"label\":%d", e->label);
        lcf_buf_append_char(out, '}');
    }
    lcf_buf_append_char(out, ']');
}

void lcf_wire_write(lcf_buf *out, const lcf_rank_response *response,
                    const lcf_wire_options *options)
{
    lcf_buf_append_char(out, '{');
    write_break(out, options, 1);
    lcf_buf_append_text(out, "\"generation\":");
    lcf_wire_write_string(out, response->generation);
    write_text_member(out, "arm", response->arm);
    if (response->degraded)
        write_text_member(out, "degraded", response->degraded);
    if (response->explained)
        write_history(out, response, options);
    lcf_buf_append_char(out, ',');
    write_break(out, options, 1);
    lcf_buf_append_text(out, "\"results\":[");
    for (size_t i = 0; i < response->results_n; i++) {
        lcf_buf_append_text(out, i ? "," : "");
        write_break(out, options, 2);
        write_result(out, &response->results[i], response, options);
    }
    lcf_buf_append_text(out, "],");
    write_break(out, options, 1);
    lcf_buf_printf(
        out,
        "\"timings\":{\"retrieve_ms\":%.3f,\"ict_ms\":%.3f,\"score_ms\":%.3f,\"total_ms\":%.3f}",
        response->retrieve_ms, response->ict_ms, response->score_ms, response->total_ms);
    write_break(out, options, 0);
    lcf_buf_append_char(out, '}');
    if (options->pretty)
        lcf_buf_append_char(out, '\n');
}

void lcf_wire_write_error(lcf_buf *out, const char *status, const char *reason)
{
    lcf_buf_append_text(out, "{\"error\":{\"status\":");
    lcf_wire_write_string(out, status);
    write_text_member(out, "reason", reason);
    lcf_buf_append_text(out, "}}");
}
