/*
 * Open Inference Protocol, version 2, over HTTP. A model is an arm of the snapshot, its version the
 * snapshot's generation. It takes the tensors
 *
 *   user        BYTES [1]                 an id; "" is an anonymous user
 *   candidates  BYTES [n] or [1, n]       item ids
 *   history     BYTES [h] or [1, h]       optional: item ids, oldest first
 *
 * and gives, of the shape of candidates and in their order,
 *
 *   scores      FP32
 *   degraded    BYTES                     why a score is not the model's full answer, or ""
 *
 * Data of a tensor may be flat or nested. Errors are {"error": text} (lcf_answer_fail).
 *
 * source   the protocol's "Inference Protocol", REST; schemas/openapi.json
 */
#include "online/server/handlers.h"

#include "common/base/cli.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"

#include <stdlib.h>
#include <string.h>

typedef struct tensor {
    const char **ids; /* [n] of the request's JSON */
    size_t n;
    bool batched; /* [1, n] */
} tensor;

typedef struct inputs {
    tensor user, candidates, history;
    const char *id;        /* of the request, or NULL */
    bool scores, degraded; /* outputs that are asked for */
} inputs;

/* ---- about the server and its models ---- */

lcf_answer lcf_handle_v2_server(lcf_handler *h, const lcf_request *q)
{
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    (void)q;
    lcf_buf_append_text(&h->body,
                        "{\"name\":\"llmcf\",\"version\":\"" LCF_VERSION "\",\"extensions\":[]}");
    return answer;
}

lcf_answer lcf_handle_v2_live(lcf_handler *h, const lcf_request *q)
{
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    (void)q;
    lcf_buf_append_text(&h->body, "{\"live\":true}");
    return answer;
}

static lcf_answer ready(lcf_handler *h, const char *name)
{
    const bool is_ready = !atomic_load(&h->shared->draining);
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    lcf_buf_append_char(&h->body, '{');
    if (name) {
        lcf_buf_append_text(&h->body, "\"name\":");
        lcf_wire_write_string(&h->body, name);
        lcf_buf_append_char(&h->body, ',');
    }
    lcf_buf_printf(&h->body, "\"ready\":%s}", is_ready ? "true" : "false");
    answer.code = is_ready ? 200 : 503;
    return answer;
}

lcf_answer lcf_handle_v2_ready(lcf_handler *h, const lcf_request *q)
{
    (void)q;
    return ready(h, NULL);
}

/* Whether the snapshot in place has that arm; `generation` receives a copy of its name. */
static bool has_model(lcf_buf *generation, lcf_handler *h, const char *name)
{
    lcf_generation *g = lcf_reloader_acquire(h->shared->reloader);
    lcf_rank_info info;
    bool found = false;

    lcf_rank_info_of(&info, g->snapshot);
    for (size_t i = 0; i < info.arms_n; i++)
        found |= !strcmp(info.arms[i], name);
    if (generation)
        lcf_buf_append_text(generation, info.generation);
    lcf_generation_release(g);
    return found;
}

lcf_answer lcf_handle_v2_model_ready(lcf_handler *h, const lcf_request *q)
{
    return has_model(NULL, h, q->parameter)
               ? ready(h, q->parameter)
               : lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
}

lcf_answer lcf_handle_v2_model(lcf_handler *h, const lcf_request *q)
{
    lcf_buf generation = LCF_BUF_INIT;
    const bool found = has_model(&generation, h, q->parameter);
    lcf_answer answer;

    if (!found || generation.status) {
        lcf_buf_dispose(&generation);
        return found ? lcf_answer_fail(h, 503, "out_of_memory", "out of memory")
                     : lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
    }
    answer = lcf_answer_ok(h, LCF_TYPE_JSON);
    lcf_buf_append_text(&h->body, "{\"name\":");
    lcf_wire_write_string(&h->body, q->parameter);
    lcf_buf_append_text(&h->body, ",\"versions\":[");
    lcf_wire_write_string(&h->body, lcf_buf_text(&generation));
    lcf_buf_append_text(&h->body,
                        "],\"platform\":\"llmcf\",\"inputs\":["
                        "{\"name\":\"user\",\"datatype\":\"BYTES\",\"shape\":[1]},"
                        "{\"name\":\"candidates\",\"datatype\":\"BYTES\",\"shape\":[-1]},"
                        "{\"name\":\"history\",\"datatype\":\"BYTES\",\"shape\":[-1]}],"
                        "\"outputs\":[{\"name\":\"scores\",\"datatype\":\"FP32\",\"shape\":[-1]},"
                        "{\"name\":\"degraded\",\"datatype\":\"BYTES\",\"shape\":[-1]}]}");
    lcf_buf_dispose(&generation);
    return answer;
}

/* ---- infer: in ---- */

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
    size_t idx;
    json_t *value;

    if (t->batched && json_array_size(data) == 1 && json_is_array(first))
        data = first; /* nested */
    if (!json_is_array(data) || json_array_size(data) != t->n)
        return LCF_FAIL(err, LCF_EFORMAT, "input \"%s\": %zu values for a shape of %zu", name,
                        json_array_size(data), t->n);
    json_array_foreach(data, idx, value)
    {
        if (!json_is_string(value))
            return LCF_FAIL(err, LCF_EFORMAT, "input \"%s\"[%zu] must be a string", name, idx);
        if (json_string_length(value) > LCF_WIRE_ID_BYTES_MAX)
            return LCF_FAIL(err, LCF_ELIMIT, "input \"%s\"[%zu] is longer than %d bytes", name, idx,
                            LCF_WIRE_ID_BYTES_MAX);
        t->ids[idx] = json_string_value(value);
    }
    return LCF_OK;
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

static lcf_status read_inputs(inputs *in, lcf_handler *h, const json_t *json, lcf_err *err)
{
    const size_t candidates_max = h->shared->options.candidates_max;
    const size_t ids_max = 1 + candidates_max + LCF_WIRE_HISTORY_MAX;
    const json_t *list = json_object_get(json, "inputs");
    size_t idx, used = 0;
    json_t *input;
    lcf_status status = LCF_OK;

    if (!json_is_array(list))
        return LCF_FAIL(err, LCF_EFORMAT, "\"inputs\" must be an array of tensors");
    if (lcf_grow((void **)&h->wire.ids, &h->wire.ids_capacity, ids_max, sizeof(*h->wire.ids)))
        return LCF_FAIL(err, LCF_ENOMEM, "ids of the request");
    json_array_foreach(list, idx, input)
    {
        status = read_input(in, input, h->wire.ids, &used, ids_max, err);
        if (status)
            return status;
    }
    if (!in->user.ids || in->user.n != 1)
        return LCF_FAIL(err, LCF_EFORMAT, "input \"user\" must hold one id");
    if (!in->candidates.ids || in->candidates.n < 1 || in->candidates.n > candidates_max)
        return LCF_FAIL(err, LCF_ELIMIT, "input \"candidates\" must hold 1 to %zu ids",
                        candidates_max);
    if (in->history.n > LCF_WIRE_HISTORY_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "input \"history\" has %zu items; at most %d are allowed",
                        in->history.n, LCF_WIRE_HISTORY_MAX);
    return LCF_OK;
}

/* Without a list all outputs are meant. */
static lcf_status read_outputs(inputs *in, const json_t *json, lcf_err *err)
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

/* h->wire owns the JSON that `in` and h->wire.request point into. */
static lcf_status parse(inputs *in, lcf_handler *h, const lcf_request *q, lcf_err *err)
{
    const json_t *id;
    json_t *json;
    lcf_status status = lcf_json_parse(&json, q->body, q->body_bytes, "body", err);

    if (status)
        return status;
    lcf_wire_adopt(&h->wire, json);
    status = read_inputs(in, h, json, err);
    if (!status)
        status = read_outputs(in, json, err);
    id = json_object_get(json, "id");
    if (!status && id && !json_is_string(id))
        status = LCF_FAIL(err, LCF_EFORMAT, "\"id\" must be a string");
    if (status)
        return status;
    in->id = json_string_value(id);
    h->wire.request = (lcf_rank_request){.user_id = in->user.ids[0],
                                         .candidates = in->candidates.ids,
                                         .candidates_n = in->candidates.n,
                                         .history = in->history.ids,
                                         .history_n = in->history.n,
                                         .arm = q->parameter};
    return LCF_OK;
}

/* ---- infer: out ---- */

/* Results are ordered by score, a tensor is in the order of the request: the result of each
 * candidate; NULL when out of memory. */
static const lcf_rank_result **by_candidate(const lcf_rank_response *response)
{
    const lcf_rank_result **at = lcf_alloc(response->results_n, sizeof(*at));

    for (size_t i = 0; at && i < response->results_n; i++)
        at[response->results[i].candidate] = &response->results[i];
    return at;
}

static void write_tensor(lcf_buf *out, const char *name, const char *datatype, const tensor *shape)
{
    lcf_buf_printf(out, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%s%zu],\"data\":[", name,
                   datatype, shape->batched ? "1," : "", shape->n);
}

static void write_outputs(lcf_buf *out, const inputs *in, const lcf_rank_result *const *results)
{
    const size_t n = in->candidates.n;

    if (in->scores) {
        write_tensor(out, "scores", "FP32", &in->candidates);
        for (size_t i = 0; i < n; i++)
            lcf_buf_printf(out, "%s%.9g", i ? "," : "", (double)results[i]->score);
        lcf_buf_append_text(out, in->degraded ? "]}," : "]}");
    }
    if (in->degraded) {
        write_tensor(out, "degraded", "BYTES", &in->candidates);
        for (size_t i = 0; i < n; i++)
            lcf_buf_printf(out, "%s\"%s\"", i ? "," : "",
                           results[i]->degraded ? results[i]->degraded : "");
        lcf_buf_append_text(out, "]}");
    }
}

static lcf_answer respond(lcf_handler *h, const lcf_request *q, const inputs *in,
                          const lcf_rank_response *response)
{
    const lcf_rank_result **results = by_candidate(response);
    lcf_answer answer = lcf_answer_ok(h, LCF_TYPE_JSON);

    if (!results)
        return lcf_answer_fail(h, 503, "out_of_memory", "out of memory, try again");
    lcf_buf_append_text(&h->body, "{\"model_name\":");
    lcf_wire_write_string(&h->body, q->parameter);
    lcf_buf_append_text(&h->body, ",\"model_version\":");
    lcf_wire_write_string(&h->body, response->generation);
    if (in->id) {
        lcf_buf_append_text(&h->body, ",\"id\":");
        lcf_wire_write_string(&h->body, in->id);
    }
    if (response->degraded)
        lcf_buf_printf(&h->body, ",\"parameters\":{\"degraded\":\"%s\"}", response->degraded);
    lcf_buf_append_text(&h->body, ",\"outputs\":[");
    write_outputs(&h->body, in, results);
    lcf_buf_append_text(&h->body, "]}");
    free(results);
    return answer;
}

lcf_answer lcf_handle_v2_infer(lcf_handler *h, const lcf_request *q)
{
    inputs in = {0};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    if (!has_model(NULL, h, q->parameter))
        return lcf_answer_fail(h, 404, "not_found", "the snapshot has no such arm");
    status = parse(&in, h, q, &err);
    if (!status)
        status = lcf_handler_rank(h, q, &err);
    if (status)
        return lcf_answer_refused(h, status, &err);
    return respond(h, q, &in, &h->response);
}
