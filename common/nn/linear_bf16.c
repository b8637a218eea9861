/*
 * Linear maps with operands in bf16; see linear_bf16.h.
 *
 * Some rows at a time go through all products that read them, so that what one product writes is in
 * a near cache when the next reads it. Invariant: how many rows that is changes no bit of what
 * belongs to a row, and gradients of weights are summed in blocks of BACKWARD_ROWS in their order.
 */
#include "common/nn/linear_bf16.h"

#include "common/math/product.h"

#define FORWARD_ROWS 96 /* a multiple of the rows of a kernel's tile; in the first-level cache */
#define BACKWARD_ROWS 256

/* What a map's rows are multiplied with and by. */
typedef struct map_room {
    uint16_t *x, *dy; /* left operands of some rows */
    uint16_t *w;      /* panels of the weights, turned or not */
    uint16_t *x_panels, *dy_panels;
} map_room;

static size_t lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Cuts n operands of 2 bytes off the memory, or counts them where it is NULL; whole cache lines. */
static uint16_t *cut(uint16_t *memory, size_t *used, size_t n)
{
    uint16_t *at = memory ? memory + *used : NULL;

    *used += (n + 31) / 32 * 32;
    return at;
}

static void cut_forward(map_room *room, uint16_t *memory, size_t *used, const bf16_map *map)
{
    const size_t in = map->w->dims[1], out = map->w->dims[0];

    room->w = cut(memory, used, lcf_right_n(LCF_PRECISION_BF16, in, out));
    room->x = cut(memory, used, FORWARD_ROWS * lcf_left_ld(in));
}

static void cut_backward(map_room *room, uint16_t *memory, size_t *used, const bf16_map *map)
{
    const size_t in = map->w->dims[1], out = map->w->dims[0];

    room->w = cut(memory, used, lcf_right_n(LCF_PRECISION_BF16, out, in));
    room->dy = cut(memory, used, BACKWARD_ROWS * lcf_left_ld(out));
    room->x_panels = cut(memory, used, lcf_right_n(LCF_PRECISION_BF16, BACKWARD_ROWS, in));
    room->dy_panels = cut(memory, used, lcf_right_n(LCF_PRECISION_BF16, BACKWARD_ROWS, out));
}

/* The rooms of n maps; false when out of memory. */
static bool take_rooms(lcf_tape *t, map_room *rooms, const bf16_map *maps, size_t n,
                       void (*cut_room)(map_room *, uint16_t *, size_t *, const bf16_map *))
{
    uint16_t *memory = NULL;

    for (int pass = 0; pass < 2; pass++) {
        size_t used = 0;

        for (size_t i = 0; i < n; i++)
            cut_room(&rooms[i], memory, &used, &maps[i]);
        if (!pass)
            memory = (uint16_t *)tape_scratch(t, used / 2);
        if (!memory)
            return false;
    }
    return true;
}

/* ---- forward ---- */

uint16_t *bf16_map_keep(lcf_tape *t, size_t rows, const lcf_tensor *w)
{
    return lcf_tape_alloc(t, rows * lcf_left_ld(w->dims[1]), sizeof(uint16_t));
}

static void pack_forward(const map_room *room, const bf16_map *map)
{
    const size_t in = map->w->dims[1], out = map->w->dims[0];

    lcf_right(LCF_PRECISION_BF16, room->w, map->w->data, in, true, in, out);
}

/* Where rows from r on of a map's input stand: kept, or for now. */
static uint16_t *input_at(const bf16_map *map, const map_room *room, size_t r)
{
    return map->x ? map->x + r * lcf_left_ld(map->w->dims[1]) : room->x;
}

/* n rows of a left operand through the map. */
static void multiply(const bf16_map *map, const map_room *room, const lcf_bf16_end *end,
                     const uint16_t *x, size_t n)
{
    const size_t in = map->w->dims[1];

    lcf_bf16_product(end, x, lcf_left_ld(in), room->w, n, map->w->dims[0], in);
}

void bf16_map_forward(lcf_tape *t, const bf16_map *map, const lcf_bf16_end *end, const float *x,
                      size_t rows)
{
    const size_t in = map->w->dims[1];
    map_room room;

    if (!take_rooms(t, &room, map, 1, cut_forward))
        return;
    pack_forward(&room, map);
    for (size_t r = 0; r < rows; r += FORWARD_ROWS) {
        const size_t n = lesser(FORWARD_ROWS, rows - r);
        uint16_t *left = input_at(map, &room, r);
        lcf_bf16_end here = *end;

        here.c += r * end->c_ld;
        here.onto = end->onto ? end->onto + r * end->onto_ld : NULL;
        lcf_left(LCF_PRECISION_BF16, left, lcf_left_ld(in), x + r * in, in, n, in);
        multiply(map, &room, &here, left, n);
    }
}

void bf16_mlp_forward(lcf_tape *t, const bf16_map maps[2], float *y, const float *x,
                      const float *b1, const float *b2, size_t rows)
{
    const size_t in = maps[0].w->dims[1], hidden = maps[1].w->dims[1], out = maps[1].w->dims[0];
    map_room rooms[2];

    if (!take_rooms(t, rooms, maps, 2, cut_forward))
        return;
    pack_forward(&rooms[0], &maps[0]);
    pack_forward(&rooms[1], &maps[1]);
    for (size_t r = 0; r < rows; r += FORWARD_ROWS) {
        const size_t n = lesser(FORWARD_ROWS, rows - r);
        uint16_t *left = input_at(&maps[0], &rooms[0], r), *h = input_at(&maps[1], &rooms[1], r);
        const lcf_bf16_end inner = {
            .bias = b1, .relu = true, .left = h, .left_ld = lcf_left_ld(hidden)};
        const lcf_bf16_end outer = {.bias = b2, .c = y + r * out, .c_ld = out};

        lcf_left(LCF_PRECISION_BF16, left, lcf_left_ld(in), x + r * in, in, n, in);
        multiply(&maps[0], &rooms[0], &inner, left, n);
        multiply(&maps[1], &rooms[1], &outer, h, n);
    }
}

/* ---- backward ---- */

static void pack_backward(const map_room *room, const bf16_map *map)
{
    const size_t in = map->w->dims[1], out = map->w->dims[0];

    lcf_right(LCF_PRECISION_BF16, room->w, map->w->data, in, false, out, in);
}

/* The gradients of weights and bias from n rows, those from r on, of which the room has dy. */
static void weights_backward(const bf16_map *map, const map_room *room, size_t r, size_t n)
{
    const size_t in = map->w->dims[1], out = map->w->dims[0], ld = lcf_left_ld(in);

    if (!map->dw && !map->db)
        return;
    lcf_bf16_panels_of_left(room->dy_panels, room->dy, lcf_left_ld(out), n, out);
    if (map->db)
        lcf_bf16_column_sums(map->db, room->dy_panels, n, out);
    if (!map->dw)
        return;
    lcf_bf16_panels_of_left(room->x_panels, map->x + r * ld, ld, n, in);
    lcf_bf16_across(map->dw, in, room->dy_panels, room->x_panels, out, in, n, map->add_w || r > 0);
}

/* What `end` makes of the gradient of n rows' input. */
static void input_backward(const bf16_map *map, const map_room *room, const lcf_bf16_end *end,
                           size_t n)
{
    const size_t in = map->w->dims[1], out = map->w->dims[0];

    lcf_bf16_product(end, room->dy, lcf_left_ld(out), room->w, n, in, out);
}

/* That of rows from r on is dx's, or added to it. */
static lcf_bf16_end end_of_input(const bf16_map *map, float *dx, bool add_x, size_t r)
{
    const size_t in = map->w->dims[1];
    float *at = dx + r * in;

    return (lcf_bf16_end){.c = at, .c_ld = in, .onto = add_x ? at : NULL, .onto_ld = in};
}

static void round_gradient(const bf16_map *map, const map_room *room, const float *dy, size_t r,
                           size_t n)
{
    const size_t out = map->w->dims[0];

    lcf_left(LCF_PRECISION_BF16, room->dy, lcf_left_ld(out), dy + r * out, out, n, out);
}

void bf16_map_backward(lcf_tape *t, const bf16_map *map, float *dx, bool add_x, const float *dy,
                       size_t rows)
{
    map_room room;

    if (!take_rooms(t, &room, map, 1, cut_backward))
        return;
    if (dx)
        pack_backward(&room, map);
    for (size_t r = 0; r < rows; r += BACKWARD_ROWS) {
        const size_t n = lesser(BACKWARD_ROWS, rows - r);

        round_gradient(map, &room, dy, r, n);
        weights_backward(map, &room, r, n);
        if (dx) {
            const lcf_bf16_end end = end_of_input(map, dx, add_x, r);

            input_backward(map, &room, &end, n);
        }
    }
}

void bf16_mlp_backward(lcf_tape *t, const bf16_map maps[2], float *dx, bool add_x, const float *dy,
                       size_t rows)
{
    const size_t ld = lcf_left_ld(maps[1].w->dims[1]);
    map_room rooms[2];

    if (!take_rooms(t, rooms, maps, 2, cut_backward))
        return;
    pack_backward(&rooms[1], &maps[1]);
    if (dx)
        pack_backward(&rooms[0], &maps[0]);
    for (size_t r = 0; r < rows; r += BACKWARD_ROWS) {
        const size_t n = lesser(BACKWARD_ROWS, rows - r);
        const lcf_bf16_end inner = {
            .mask = maps[1].x + r * ld, .mask_ld = ld, .left = rooms[0].dy, .left_ld = ld};

        round_gradient(&maps[1], &rooms[1], dy, r, n);
        weights_backward(&maps[1], &rooms[1], r, n);
        input_backward(&maps[1], &rooms[1], &inner, n);
        weights_backward(&maps[0], &rooms[0], r, n);
        if (dx) {
            const lcf_bf16_end end = end_of_input(&maps[0], dx, add_x, r);

            input_backward(&maps[0], &rooms[0], &end, n);
        }
    }
}
