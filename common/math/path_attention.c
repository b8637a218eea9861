/*
 * The memory of a path, and its rotations.
 */
#include "common/math/path_attention.h"

#include "common/math/simd.h"

#include <string.h>

#define LANES 16 /* a multiple of every vector's width */

static size_t lanes_of(size_t tokens_max)
{
    return (tokens_max + LANES - 1) / LANES * LANES;
}

size_t lcf_path_floats(size_t heads, size_t head_dim, size_t tokens_max)
{
    const size_t lanes = lanes_of(tokens_max);

    return lanes * (2 * head_dim + 2 * heads * head_dim + 1) + head_dim;
}

static void fill_rotation(float *rotation, size_t lanes, size_t head_dim, float theta)
{
    for (size_t at = 0; at < lanes; at++, rotation += 2 * head_dim) {
        float *cosine = rotation, *sine = rotation + head_dim;

        lcf_rope_angles(cosine, head_dim, at, theta); /* pairs of cos and sin */
        for (size_t i = 0; i < head_dim; i += 2) {
            sine[i] = -cosine[i + 1];
            sine[i + 1] = cosine[i + 1];
            cosine[i + 1] = cosine[i];
        }
    }
}

void lcf_path_bind(lcf_path *path, float *memory, size_t heads, size_t head_dim, size_t tokens_max,
                   float theta)
{
    const size_t lanes = lanes_of(tokens_max);

    *path = (lcf_path){.heads = heads, .head_dim = head_dim, .lanes = lanes};
    path->rotation = memory;
    path->keys = path->rotation + lanes * 2 * head_dim;
    path->values = path->keys + lanes * heads * head_dim;
    path->scratch = path->values + lanes * heads * head_dim;
    fill_rotation(path->rotation, lanes, head_dim, theta);
    memset(path->keys, 0,
           lanes * heads * head_dim * sizeof(*path->keys)); /* lanes not yet in use */
}

void lcf_path_append(lcf_path *path, size_t at, const float *k, size_t ldk, const float *v,
                     size_t ldv, size_t n)
{
    lcf_simd_get()->path_append(path, at, k, ldk, v, ldv, n);
}

void lcf_path_attend(float *out, size_t ldo, const lcf_path *path, size_t at, const float *q,
                     size_t ldq, size_t n)
{
    lcf_simd_get()->path_attend(out, ldo, path, at, q, ldq, n);
}

void lcf_path_attend_whole(float *out, const lcf_path *path, size_t at, const float *q)
{
    lcf_simd_get()->path_attend_whole(out, path, at, q);
}
