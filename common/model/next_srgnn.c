/*
 * SR-GNN: the history as a graph of its items, an edge from each to the one that followed. Gated
 * updates carry what is known along the edges, both ways; then the last item asks all others how
 * much they count.
 *
 *     a_i = [mean over i's predecessors of W_in h + b_in, mean over successors of W_out h + b_out]
 *     h_i = GRU(a_i, h_i)                                  layers_n times
 *     user = W [sum over clicks of alpha h, h_last],  alpha = v . sigmoid(W1 h_last + W2 h + c)
 *
 * source   Wu et al. 2019; the biases that the published code adds to a_i are part of the GRU's
 */
#include "common/model/next_item_internal.h"

#include <math.h>
#include <string.h>

static lcf_status declare(lcf_next *m, const lcf_next_config *c, lcf_err *err)
{
    const size_t d = c->dim;
    const float s = 1.0f / sqrtf((float)d);
    const lcf_init uniform = LCF_INIT_UNIFORM;
    const next_param graph[] = {
        {"in.w", d, d, uniform, s},
        {"in.b", d, 0, uniform, s},
        {"out.w", d, d, uniform, s},
        {"out.b", d, 0, uniform, s},
        {"gru.in.w", 3 * d, 2 * d, uniform, s},
        {"gru.in.b", 3 * d, 0, uniform, s},
        {"gru.state.w", 3 * d, d, uniform, s},
        {"gru.state.b", 3 * d, 0, uniform, s},
    };
    const next_param read[] = {
        {"last.w", d, d, uniform, s},   {"last.b", d, 0, uniform, s},
        {"click.w", d, d, uniform, s},  {"click.b", d, 0, uniform, s},
        {"weight.w", 1, d, uniform, s}, {"user.w", d, 2 * d, uniform, s},
        {"user.b", d, 0, uniform, s},
    };
    lcf_status status =
        lcf_next_declare(m, "graph", LCF_NEXT_ONE, graph, sizeof(graph) / sizeof(graph[0]), err);

    return status ? status
                  : lcf_next_declare(m, "read", LCF_NEXT_ONE, read, sizeof(read) / sizeof(read[0]),
                                     err);
}

/* The graphs of all queries side by side. */
typedef struct graphs {
    next_prefixes clicks;
    size_t clicks_n, nodes_n;
    uint32_t *node_item;                 /* [nodes_n] */
    uint32_t *node;                      /* [clicks_n] of every click */
    uint32_t *query;                     /* [clicks_n] */
    uint32_t *last;                      /* [queries_n] the node of the last click */
    uint32_t *from, *to;                 /* edges by node: predecessors and successors, each once */
    uint32_t *from_offsets, *to_offsets; /* [nodes_n + 1] */
} graphs;

/* Nodes of clicks [begin, end): each item once, in order of appearance. */
static void add_nodes(graphs *g, uint32_t begin, uint32_t end, uint32_t query)
{
    const size_t first = g->nodes_n;

    for (uint32_t i = begin; i < end; i++) {
        size_t node = first;

        while (node < g->nodes_n && g->node_item[node] != g->clicks.items[i])
            node++;
        if (node == g->nodes_n)
            g->node_item[g->nodes_n++] = g->clicks.items[i];
        g->node[i] = (uint32_t)node;
        g->query[i] = query;
    }
}

/* Appends `other` to the neighbours [begin, *at) unless it is there. */
static void add_neighbour(uint32_t *list, uint32_t begin, uint32_t *at, uint32_t other)
{
    for (uint32_t i = begin; i < *at; i++)
        if (list[i] == other)
            return;
    list[(*at)++] = other;
}

/* Edges of the nodes of clicks [begin, end), which are nodes [first, last). */
static void add_edges(graphs *g, uint32_t begin, uint32_t end, size_t first, size_t last)
{
    for (size_t node = first; node < last; node++) {
        uint32_t from = g->from_offsets[node], to = g->to_offsets[node];

        for (uint32_t i = begin; i < end; i++) {
            if (g->node[i] != node)
                continue;
            if (i > begin)
                add_neighbour(g->from, g->from_offsets[node], &from, g->node[i - 1]);
            if (i + 1 < end)
                add_neighbour(g->to, g->to_offsets[node], &to, g->node[i + 1]);
        }
        g->from_offsets[node + 1] = from;
        g->to_offsets[node + 1] = to;
    }
}

static bool build(graphs *g, const next_pass *p)
{
    const size_t queries_n = p->batch->queries_n;
    uint32_t **arrays[] = {&g->node_item, &g->node,         &g->query,     &g->from,
                           &g->to,        &g->from_offsets, &g->to_offsets};

    if (!lcf_next_prefixes(&g->clicks, p))
        return false;
    g->clicks_n = g->clicks.offsets[queries_n];
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
        *arrays[i] = lcf_tape_alloc(p->tape, g->clicks_n + 1, sizeof(uint32_t));
    g->last = lcf_tape_alloc(p->tape, queries_n, sizeof(*g->last));
    if (lcf_tape_status(p->tape))
        return false;
    g->from_offsets[0] = g->to_offsets[0] = 0;
    for (uint32_t i = 0; i < queries_n; i++) {
        const uint32_t begin = g->clicks.offsets[i], end = g->clicks.offsets[i + 1];
        const size_t first = g->nodes_n;

        add_nodes(g, begin, end, i);
        add_edges(g, begin, end, first, g->nodes_n);
        g->last[i] = g->node[end - 1];
    }
    return true;
}

static lcf_tensor *linear(const next_pass *p, const char *prefix, const char *name, lcf_tensor *x)
{
    return lcf_next_linear(p, prefix, LCF_NEXT_ONE, name, x);
}

/* One gated update of all nodes. */
static lcf_tensor *step(const next_pass *p, const graphs *g, lcf_tensor *h)
{
    lcf_tensor *parts[2], *a;

    parts[0] = lcf_op_gather_mean(p->tape, linear(p, "graph", "in", h), g->from, g->from_offsets,
                                  g->nodes_n);
    parts[1] =
        lcf_op_gather_mean(p->tape, linear(p, "graph", "out", h), g->to, g->to_offsets, g->nodes_n);
    a = linear(p, "graph", "gru.in", lcf_op_concat(p->tape, parts, 2));
    return lcf_op_gru_cell(p->tape, a, linear(p, "graph", "gru.state", h), h);
}

/* Users from the nodes' states. */
static lcf_tensor *read_out(const next_pass *p, const graphs *g, lcf_tensor *h)
{
    const size_t queries_n = p->batch->queries_n;
    lcf_tensor *clicks = lcf_op_gather(p->tape, h, g->node, g->clicks_n), *parts[2], *alpha;

    parts[1] = lcf_op_gather(p->tape, h, g->last, queries_n);
    alpha = lcf_op_gather(p->tape, linear(p, "read", "last", parts[1]), g->query, g->clicks_n);
    alpha = lcf_op_add(p->tape, alpha, linear(p, "read", "click", clicks));
    alpha = lcf_op_linear(p->tape, lcf_op_sigmoid(p->tape, alpha),
                          lcf_next_param(p, "read", LCF_NEXT_ONE, "weight.w"), NULL);
    parts[0] = lcf_op_segment_sum(p->tape, clicks, alpha, g->clicks.offsets, queries_n);
    return linear(p, "read", "user", lcf_op_concat(p->tape, parts, 2));
}

static lcf_tensor *forward(const next_pass *p)
{
    graphs g = {0};
    lcf_tensor *h;

    if (!build(&g, p))
        return lcf_next_table(p); /* the tape has failed: no data is touched */
    h = lcf_next_dropout(p, lcf_op_gather(p->tape, lcf_next_table(p), g.node_item, g.nodes_n));
    for (uint32_t i = 0; i < p->config->layers_n; i++)
        h = step(p, &g, h);
    return read_out(p, &g, h);
}

const lcf_next_encoder lcf_next_srgnn = {"srgnn", NULL, declare, forward};
