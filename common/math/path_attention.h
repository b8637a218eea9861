/*
 * Causal attention along paths of a tree: the tokens of one path lie in a small cache that is cut
 * back to a prefix and grown again, so that leaves visited in depth-first order share what their
 * paths share. For short paths of small heads, where a general attention is mostly overhead.
 *
 * Life cycle: the caller brings the memory; bind -> append, attend ... A path belongs to one
 * thread.
 */
#ifndef LCF_COMMON_MATH_PATH_ATTENTION_H
#define LCF_COMMON_MATH_PATH_ATTENTION_H

#include <stddef.h>

typedef struct lcf_path {
    size_t heads, head_dim;
    size_t lanes;    /* tokens that have room: a multiple of 16 */
    float *rotation; /* [lanes, 2, head_dim] cos of every element, sin with the sign of its pair */
    float *keys;     /* [heads, head_dim, lanes] rotated */
    float *values;   /* [lanes, heads * head_dim] */
    float *scratch;  /* [head_dim + lanes] of one row */
} lcf_path;

/* Floats of memory that a path of up to tokens_max tokens takes. */
size_t lcf_path_floats(size_t heads, size_t head_dim, size_t tokens_max);
/* shapes: memory [lcf_path_floats], kept; head_dim is even. source: RoPE as in lcf_rope */
void lcf_path_bind(lcf_path *path, float *memory, size_t heads, size_t head_dim, size_t tokens_max,
                   float theta);
/*
 * Tokens at .. at + n become k and v; what lay there and behind is gone.
 *
 * shapes   k, v [n, heads * head_dim] with ldk and ldv floats between rows; k is not rotated yet
 */
void lcf_path_append(lcf_path *path, size_t at, const float *k, size_t ldk, const float *v,
                     size_t ldv, size_t n);
/*
 * Attention of the tokens at .. at + n, each over the path up to and with itself, scaled by
 * 1 / sqrt(head_dim).
 *
 * shapes   out [n, heads * head_dim] with ldo floats between rows; q likewise with ldq, not rotated
 * order    a row's sums depend on its position alone
 */
void lcf_path_attend(float *out, size_t ldo, const lcf_path *path, size_t at, const float *q,
                     size_t ldq, size_t n);
/*
 * The same of one token where every head weighs whole rows of values: for values that are mapped
 * only after they were summed.
 *
 * shapes   out [heads, heads * head_dim]; q [heads * head_dim], not rotated
 */
void lcf_path_attend_whole(float *out, const lcf_path *path, size_t at, const float *q);

#endif
