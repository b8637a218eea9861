/*
 * Linear maps with operands in bf16: forward and backward of one, and of two with ReLU between.
 * Values are rounded once, where they are written, and kept so for the gradients of weights; those
 * of biases are sums of gradients as rounded. Private to common/nn.
 */
#ifndef LCF_COMMON_NN_LINEAR_BF16_H
#define LCF_COMMON_NN_LINEAR_BF16_H

#include "common/math/bf16_layer.h"
#include "common/nn/tape_internal.h"

/* A map y [rows, out] = x [rows, in] w^T and what its backward pass finds; NULL where none is
 * wanted. */
typedef struct bf16_map {
    const lcf_tensor *w;
    uint16_t *x;    /* [rows, lcf_left_ld(in)], kept by the forward pass */
    float *dw, *db; /* db is added to */
    bool add_w;     /* so is dw */
} bf16_map;

/* Room for x of a map; NULL when out of memory. */
uint16_t *bf16_map_keep(lcf_tape *t, size_t rows, const lcf_tensor *w);
/* C is what `end` makes of x w^T. x is kept where the map has room for it. */
void bf16_map_forward(lcf_tape *t, const bf16_map *map, const lcf_bf16_end *end, const float *x,
                      size_t rows);
/* dx [rows, in] or NULL; it is added to, or written. */
void bf16_map_backward(lcf_tape *t, const bf16_map *map, float *dx, bool add_x, const float *dy,
                       size_t rows);
/* y [rows, out] = w2 max(0, w1 x + b1) + b2. Both maps have room, or neither. */
void bf16_mlp_forward(lcf_tape *t, const bf16_map maps[2], float *y, const float *x,
                      const float *b1, const float *b2, size_t rows);
void bf16_mlp_backward(lcf_tape *t, const bf16_map maps[2], float *dx, bool add_x, const float *dy,
                       size_t rows);

#endif
