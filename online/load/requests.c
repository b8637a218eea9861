/* Requests as bytes. Invariant: list[i] is bytes[offsets[i] .. offsets[i + 1]) once all are there;
 * until then only the offsets are right, for the buffer moves. */
#include "online/load/requests.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "online/rank/llmcf.h"
#include "online/rank/wire.h"
#include "online/rank/wire_binary.h"

#include <stdio.h>
#include <stdlib.h>

void lcf_load_requests_dispose(lcf_load_requests *requests)
{
    lcf_buf_dispose(&requests->bytes);
    free(requests->list);
    free(requests->offsets);
    *requests = (lcf_load_requests){.list = NULL};
}

static lcf_status add(lcf_load_requests *to, const lcf_load_form *form, const char *body, size_t n,
                      lcf_err *err)
{
    const char *type = form->binary ? LCF_WIRE_BINARY_TYPE : "application/json";

    if (lcf_grow((void **)&to->offsets, &to->offsets_capacity, to->n + 1, sizeof(*to->offsets)))
        return LCF_FAIL(err, LCF_ENOMEM, "requests");
    to->offsets[to->n++] = to->bytes.len;
    lcf_buf_printf(&to->bytes, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nAccept: %s\r\n",
                   form->path, form->host, type, type);
    if (form->token)
        lcf_buf_printf(&to->bytes, "Authorization: Bearer %s\r\n", form->token);
    lcf_buf_printf(&to->bytes, "Content-Length: %zu\r\n\r\n", n);
    lcf_buf_append(&to->bytes, body, n);
    return to->bytes.status ? LCF_FAIL(err, to->bytes.status, "requests") : LCF_OK;
}

static lcf_status seal(lcf_load_requests *to, lcf_err *err)
{
    if (lcf_grow((void **)&to->list, &to->capacity, to->n, sizeof(*to->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "requests");
    for (size_t i = 0; i < to->n; i++) {
        const size_t end = i + 1 < to->n ? to->offsets[i + 1] : to->bytes.len;

        to->list[i] = (lcf_str){to->bytes.data + to->offsets[i], end - to->offsets[i]};
    }
    return LCF_OK;
}

/* ---- from a file ---- */

static lcf_status add_line(lcf_load_requests *to, const lcf_load_form *form, char *line, size_t n,
                           const char *source, lcf_err *err)
{
    json_t *json = NULL;
    lcf_status status;

    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    if (!n)
        return LCF_OK;
    status = lcf_json_parse(&json, line, n, source, err);
    if (!status && !json_is_object(json))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: a request is a JSON object", source);
    json_decref(json);
    return status ? status : add(to, form, line, n, err);
}

lcf_status lcf_load_requests_read(lcf_load_requests *out, const char *path,
                                  const lcf_load_form *form, lcf_err *err)
{
    FILE *in = fopen(path, "re");
    char *line = NULL, source[300];
    size_t capacity = 0, line_n = 0;
    lcf_status status = in ? LCF_OK : LCF_FAIL_ERRNO(err, "cannot open %s", path);
    ssize_t n;

    while (!status && (n = getline(&line, &capacity, in)) >= 0) {
        snprintf(source, sizeof(source), "%.200s:%zu", path, ++line_n);
        status = add_line(out, form, line, (size_t)n, source, err);
    }
    if (!status && ferror(in))
        status = LCF_FAIL_ERRNO(err, "cannot read %s", path);
    if (!status && !out->n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s holds no request", path);
    if (!status)
        status = seal(out, err);
    free(line);
    if (in)
        fclose(in);
    return status;
}

/* ---- from a snapshot ---- */

typedef struct population {
    lcf_ranker_snapshot *snapshot;
    lcf_rank_context *contexts[2]; /* whose memory holds users and items */
    lcf_rank_entry *entries[2];
    size_t n[2];
} population;

static lcf_status list_all(population *p, lcf_rank_kind kind, size_t n, lcf_err *err)
{
    lcf_status status = lcf_rank_context_create(&p->contexts[kind], p->snapshot, err);

    p->entries[kind] = status ? NULL : lcf_alloc(n + 1, sizeof(*p->entries[kind]));
    if (!status && !p->entries[kind])
        status = LCF_FAIL(err, LCF_ENOMEM, "users and items of the snapshot");
    return status
               ? status
               : lcf_rank_find(p->entries[kind], &p->n[kind], p->contexts[kind], kind, "", n, err);
}

static lcf_status population_open(population *p, const char *path, lcf_err *err)
{
    lcf_rank_info info;
    lcf_status status = lcf_rank_open(&p->snapshot, path, err);

    if (status)
        return status;
    lcf_rank_info_of(&info, p->snapshot);
    status = list_all(p, LCF_RANK_USERS, info.users_n, err);
    return status ? status : list_all(p, LCF_RANK_ITEMS, info.items_n, err);
}

static void population_close(population *p)
{
    for (int i = 0; i < 2; i++) {
        free(p->entries[i]);
        lcf_rank_context_free(p->contexts[i]);
    }
    lcf_rank_close(p->snapshot);
}

static void write_json(lcf_buf *out, const lcf_rank_request *request)
{
    lcf_buf_append_text(out, "{\"user_id\":");
    lcf_wire_write_string(out, request->user_id);
    if (request->arm) {
        lcf_buf_append_text(out, ",\"arm\":");
        lcf_wire_write_string(out, request->arm);
    }
    lcf_buf_append_text(out, ",\"candidates\":[");
    for (size_t i = 0; i < request->candidates_n; i++) {
        lcf_buf_append_text(out, i ? "," : "");
        lcf_wire_write_string(out, request->candidates[i]);
    }
    lcf_buf_append_text(out, "]}");
}

static lcf_status write_body(lcf_buf *out, const population *p, const lcf_load_draw *draw,
                             bool binary, lcf_rng *rng, lcf_err *err)
{
    const lcf_rank_entry *users = p->entries[LCF_RANK_USERS], *items = p->entries[LCF_RANK_ITEMS];
    const char *candidates[LCF_RANK_CANDIDATES_MAX];
    const lcf_rank_request request = {.user_id = users[lcf_rng_below(rng, p->n[LCF_RANK_USERS])].id,
                                      .arm = draw->arm,
                                      .candidates = candidates,
                                      .candidates_n = draw->candidates_n};

    for (size_t i = 0; i < draw->candidates_n; i++)
        candidates[i] = items[lcf_rng_below(rng, p->n[LCF_RANK_ITEMS])].id;
    lcf_buf_reset(out);
    if (binary)
        return lcf_wire_write_request_binary(out, &request, err);
    write_json(out, &request);
    return out->status ? LCF_FAIL(err, out->status, "requests") : LCF_OK;
}

lcf_status lcf_load_requests_draw(lcf_load_requests *out, const lcf_load_draw *draw,
                                  const lcf_load_form *form, lcf_err *err)
{
    population p = {.snapshot = NULL};
    lcf_buf body = LCF_BUF_INIT;
    lcf_rng rng;
    lcf_status status = population_open(&p, draw->snapshot, err);

    if (!status && (!p.n[LCF_RANK_USERS] || !p.n[LCF_RANK_ITEMS]))
        status = LCF_FAIL(err, LCF_EINVAL, "%s has no users or no items", draw->snapshot);
    lcf_rng_seed(&rng, draw->seed, 1);
    for (size_t i = 0; i < draw->requests_n && !status; i++) {
        status = write_body(&body, &p, draw, form->binary, &rng, err);
        if (!status)
            status = add(out, form, body.data, body.len, err);
    }
    if (!status)
        status = seal(out, err);
    lcf_buf_dispose(&body);
    population_close(&p);
    return status;
}
