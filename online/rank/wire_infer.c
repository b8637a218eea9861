/* Tensors in JSON. Data that does not fit its shape is refused before it is used. */
#include "online/rank/wire_infer.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "online/rank/wire_ids.h"

#include <stdlib.h>
#include <string.h>

typedef struct tensor {
    const char **ids; /* [n] of the request's JSON */
    size_t n;
    bool batched; /* [1, n] */
} tensor;

typedef struct inputs {
    tensor user, candidates, history;
} inputs;

/* ---- in ---- */

/* [n] or [1, n]. */
static lcf_status read_shape(tensor *t, const json_t *shape, const char *name, lcf_err *err)
{
    const size_t rank = json_array_size(shape);
    const json_t *last = rank ? json_array_get(shape, rank - 1) : NULL;

    if (!json_is_array(shape) || rank < 1 || rank > 2 || !json_is_integer(last) ||
        json_integer_value(last) < 0 ||
        (rank == 2 && json_integer_value(json_array_get(shape, 0)) != 1))
        return LCF_FAIL(err, LCF_EFORMAT, "input \"%s\": the shape must be [n] or [1, n]", name);
    t->n = (size_t)json_integer_value(last);
    t->batched = rank == 2;
    return LCF_OK;
}

static lcf_status read_data(tensor *t, const json_t *data, const char *name, lcf_err *err)
{
    const json_t *first = json_array_get(data, 0);

    if (t->batched && json_array_size(data) == 1 && json_is_array(first))
        data = first; /* nested */
    if (!json_is_array(data) || json_array_size(data) != t->n)
        return LCF_FAIL(err, LCF_EFORMAT, "input \"%s\": %zu values for a shape of %zu", name,
                        json_array_size(data), t->n);
    return lcf_wire_read_ids(t->ids, data, name, err);
}

static tensor *find_input(inputs *in, const char *name)
{
    if (!strcmp(name, "user"))
        return &in->user;
    if (!strcmp(name, "candidates"))
        return &in->candidates;
    return !strcmp(name, "history") ? &in->history : NULL;
}

/* One tensor, its ids behind those that are there already. */
static lcf_status read_input(inputs *in, const json_t *input, const char **ids, size_t *used,
                             size_t ids_max, lcf_err *err)
{
    const char *name, *datatype;
    tensor *t;
    lcf_status status = lcf_json_str(&name, input, "name", err);

    if (!status)
        status = lcf_json_str(&datatype, input, "datatype", err);
    if (status)
        return status;
    t = find_input(in, name);
    if (!t || t->ids)
        return LCF_FAIL(err, LCF_EFORMAT, "input \"%.64s\" %s", name,
                        t ? "is there twice" : "is not one of user, candidates and history");
    if (strcmp(datatype, "BYTES"))
        return LCF_FAIL(err, LCF_EFORMAT, "input \"%s\" has the datatype BYTES, not \"%.16s\"",
                        name, datatype);
    status = read_shape(t, json_object_get(input, "shape"), name, err);
    if (!status && t->n > ids_max - *used)
        status = LCF_FAIL(err, LCF_ELIMIT, "input \"%s\" has too many values", name);
    if (status)
        return status;
    t->ids = ids + *used;
    *used += t->n;
    return read_data(t, json_object_get(input, "data"), name, err);
}

static lcf_status read_inputs(inputs *in, lcf_wire_request *w, const json_t *json,
                              size_t candidates_max, lcf_err *err)
{
    const size_t ids_max = 1 + candidates_max + LCF_WIRE_HISTORY_MAX;
    const json_t *list = json_object_get(json, "inputs");
    size_t idx, used = 0;
    json_t *input;
    lcf_status status = LCF_OK;

    if (!json_is_array(list))
        return LCF_FAIL(err, LCF_EFORMAT, "\"inputs\" must be an array of tensors");
    if (lcf_grow((void **)&w->ids, &w->ids_capacity, ids_max, sizeof(*w->ids)))
        return LCF_FAIL(err, LCF_ENOMEM, "ids of the request");
    json_array_foreach(list, idx, input)
    {
        status = read_input(in, input, w->ids, &used, ids_max, err);
        if (status)
            return status;
    }
    if (!in->user.ids || in->user.n != 1)
        return LCF_FAIL(err, LCF_EFORMAT, "input \"user\" must hold one id");
    return lcf_wire_check_counts(in->candidates.n, candidates_max, in->history.n, err);
}

/* Without a list all outputs are meant. */
static lcf_status read_outputs(lcf_wire_infer *in, const json_t *json, lcf_err *err)
{
    const json_t *list = json_object_get(json, "outputs");
    size_t idx;
    json_t *output;

    if (list && !json_is_array(list))
        return LCF_FAIL(err, LCF_EFORMAT, "\"outputs\" must be an array of tensors");
    in->scores = in->degraded = !json_array_size(list);
    json_array_foreach(list, idx, output)
    {
        const char *name = json_string_value(json_object_get(output, "name"));

        if (!name || (strcmp(name, "scores") && strcmp(name, "degraded")))
            return LCF_FAIL(err, LCF_EFORMAT, "the outputs are \"scores\" and \"degraded\"");
        in->scores |= *name == 's';
        in->degraded |= *name == 'd';
    }
    return LCF_OK;
}

static lcf_status parse(lcf_wire_infer *out, inputs *in, lcf_wire_request *w, const json_t *json,
                        size_t candidates_max, lcf_err *err)
{
    const json_t *id = json_object_get(json, "id");
    lcf_status status = read_inputs(in, w, json, candidates_max, err);

    if (!status)
        status = read_outputs(out, json, err);
    if (!status && id && !json_is_string(id))
        status = LCF_FAIL(err, LCF_EFORMAT, "\"id\" must be a string");
    return status;
}

lcf_status lcf_wire_parse_infer(lcf_wire_infer *out, lcf_wire_request *w, const char *text,
                                size_t n, const char *source, size_t candidates_max, lcf_err *err)
{
    inputs in = {.user = {0}};
    json_t *json = NULL;
    lcf_status status;

    *out = (lcf_wire_infer){.id = NULL};
    lcf_wire_adopt(w, NULL);
    status = lcf_json_parse(&json, text, n, source, err);
    if (status)
        return status;
    lcf_wire_adopt(w, json);
    status = parse(out, &in, w, json, candidates_max, err);
    if (status) {
        lcf_err_prefix(err, "%s", source);
        return status;
    }
    out->id = json_string_value(json_object_get(json, "id"));
    out->batched = in.candidates.batched;
    w->request = (lcf_rank_request){.user_id = in.user.ids[0],
                                    .candidates = in.candidates.ids,
                                    .candidates_n = in.candidates.n,
                                    .history = in.history.ids,
                                    .history_n = in.history.n};
    return LCF_OK;
}

/* ---- out ---- */

/* Results are ordered by score, a tensor is in the order of the request: the result of each
 * candidate; NULL when out of memory. */
static const lcf_rank_result **by_candidate(const lcf_rank_response *response)
{
    const lcf_rank_result **at = lcf_alloc(response->results_n, sizeof(*at));

    for (size_t i = 0; at && i < response->results_n; i++)
        at[response->results[i].candidate] = &response->results[i];
    return at;
}

static void write_tensor(lcf_buf *out, const char *name, const char *datatype, bool batched,
                         size_t n)
{
    lcf_buf_printf(out, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%s%zu],\"data\":[", name,
                   datatype, batched ? "1," : "", n);
}

static void write_outputs(lcf_buf *out, const lcf_wire_infer *asked,
                          const lcf_rank_result *const *results, size_t n)
{
    if (asked->scores) {
        write_tensor(out, "scores", "FP32", asked->batched, n);
        for (size_t i = 0; i < n; i++)
            lcf_buf_printf(out, "%s%.9g", i ? "," : "", (double)results[i]->score);
        lcf_buf_append_text(out, asked->degraded ? "]}," : "]}");
    }
    if (asked->degraded) {
        write_tensor(out, "degraded", "BYTES", asked->batched, n);
        for (size_t i = 0; i < n; i++)
            lcf_buf_printf(out, "%s\"%s\"", i ? "," : "",
                           results[i]->degraded ? results[i]->degraded : "");
        lcf_buf_append_text(out, "]}");
    }
}

lcf_status lcf_wire_write_infer(lcf_buf *out, const lcf_wire_infer *asked, const char *model,
                                const lcf_rank_response *response)
{
    const lcf_rank_result **results = by_candidate(response);

    if (!results)
        return LCF_ENOMEM;
    lcf_buf_append_text(out, "{\"model_name\":");
    lcf_wire_write_string(out, model);
    lcf_buf_append_text(out, ",\"model_version\":");
    lcf_wire_write_string(out, response->generation);
    if (asked->id) {
        lcf_buf_append_text(out, ",\"id\":");
        lcf_wire_write_string(out, asked->id);
    }
    if (response->degraded)
        lcf_buf_printf(out, ",\"parameters\":{\"degraded\":\"%s\"}", response->degraded);
    lcf_buf_append_text(out, ",\"outputs\":[");
    write_outputs(out, asked, results, response->results_n);
    lcf_buf_append_text(out, "]}");
    free(results);
    return LCF_OK;
}

void lcf_wire_write_infer_model(lcf_buf *out, const char *model, const char *version)
{
    lcf_buf_append_text(out, "{\"name\":");
    lcf_wire_write_string(out, model);
    lcf_buf_append_text(out, ",\"versions\":[");
    lcf_wire_write_string(out, version);
    lcf_buf_append_text(out,
                        "],\"platform\":\"llmcf\",\"inputs\":["
                        "{\"name\":\"user\",\"datatype\":\"BYTES\",\"shape\":[1]},"
                        "{\"name\":\"candidates\",\"datatype\":\"BYTES\",\"shape\":[-1]},"
                        "{\"name\":\"history\",\"datatype\":\"BYTES\",\"shape\":[-1]}],"
                        "\"outputs\":[{\"name\":\"scores\",\"datatype\":\"FP32\",\"shape\":[-1]},"
                        "{\"name\":\"degraded\",\"datatype\":\"BYTES\",\"shape\":[-1]}]}");
}
