/*
 * What requests and answers cost beside ranking: 500 candidates (or as many as are asked for) as
 * JSON and in bytes, in and out, best of many. What is read is checked against what was written
 * first.
 *
 *     bench_wire [CANDIDATES]   CSV on stdout: name,value,unit
 */
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "online/rank/wire_binary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 2000

typedef struct bench {
    lcf_rank_request request;
    lcf_rank_response response;
    lcf_buf json, bytes, out;
    lcf_wire_request wire;
    lcf_err err;
} bench;

static void need(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "bench_wire: %s\n", what);
        exit(1);
    }
}

static void parse_json(bench *b)
{
    need(!lcf_wire_parse(&b->wire, b->json.data, b->json.len, "body", LCF_RANK_CANDIDATES_MAX,
                         &b->err),
         b->err.text);
}

static void parse_bytes(bench *b)
{
    need(!lcf_wire_parse_binary(&b->wire, b->bytes.data, b->bytes.len, LCF_RANK_CANDIDATES_MAX,
                                &b->err),
         b->err.text);
}

static void write_json(bench *b)
{
    const lcf_wire_options options = {false, false};

    lcf_buf_reset(&b->out);
    lcf_wire_write(&b->out, &b->response, &options);
}

static void write_bytes(bench *b)
{
    lcf_buf_reset(&b->out);
    lcf_wire_write_binary(&b->out, &b->response);
}

static double best_us(bench *b, void (*what)(bench *))
{
    double best_s = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        const double start_s = lcf_clock_s();

        what(b);
        if (lcf_clock_s() - start_s < best_s)
            best_s = lcf_clock_s() - start_s;
    }
    return best_s * 1e6;
}

static void make(bench *b, size_t n)
{
    char(*ids)[16] = lcf_alloc(n, sizeof(*ids));
    const char **candidates = lcf_alloc(n, sizeof(*candidates));
    lcf_rank_result *results = lcf_alloc_zero(n, sizeof(*results));

    need(ids && candidates && results, "no memory");
    lcf_buf_append_text(&b->json, "{\"user_id\":\"u4711\",\"candidates\":[");
    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof(ids[i]), "item-%zu", 10000 + i * 7919 % 90000);
        candidates[i] = ids[i];
        lcf_buf_printf(&b->json, "%s\"%s\"", i ? "," : "", ids[i]);
        results[i] = (lcf_rank_result){.candidate = n - 1 - i,
                                       .item_id = ids[i],
                                       .title = "A title of some thirty letters",
                                       .score = 1.0f / (float)(i + 2),
                                       .examples_n = 4};
    }
    lcf_buf_append_text(&b->json, "]}");
    b->request =
        (lcf_rank_request){.user_id = "u4711", .candidates = candidates, .candidates_n = n};
    b->response = (lcf_rank_response){
        .generation = "20261122T020000Z", .arm = "din-ict", .results = results, .results_n = n};
    need(!lcf_wire_write_request_binary(&b->bytes, &b->request, &b->err), b->err.text);
}

static void check(bench *b)
{
    parse_json(b);
    need(b->wire.request.candidates_n == b->request.candidates_n, "JSON lost candidates");
    parse_bytes(b);
    need(b->wire.request.candidates_n == b->request.candidates_n, "bytes lost candidates");
    for (size_t i = 0; i < b->request.candidates_n; i++)
        need(!strcmp(b->wire.request.candidates[i], b->request.candidates[i]), "another candidate");
}

int main(int argc, char **argv)
{
    static bench b;
    const size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 500;
    double json_us, bytes_us;

    need(n >= 1 && n <= LCF_RANK_CANDIDATES_MAX, "usage: bench_wire [CANDIDATES]");
    lcf_wire_init(&b.wire);
    make(&b, n);
    check(&b);
    json_us = best_us(&b, parse_json);
    bytes_us = best_us(&b, parse_bytes);
    printf("wire.request_bytes.json,%zu,bytes\nwire.request_bytes.binary,%zu,bytes\n", b.json.len,
           b.bytes.len);
    printf("wire.parse_%zu.json,%.1f,us\nwire.parse_%zu.binary,%.1f,us\n", n, json_us, n, bytes_us);
    json_us += best_us(&b, write_json);
    printf("wire.response_bytes.json,%zu,bytes\n", b.out.len);
    bytes_us += best_us(&b, write_bytes);
    printf("wire.response_bytes.binary,%zu,bytes\n", b.out.len);
    printf("wire.both_%zu.json,%.1f,us\nwire.both_%zu.binary,%.1f,us\n", n, json_us, n, bytes_us);
    return 0;
}
