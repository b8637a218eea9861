/*
 * Pages and sequences of the KV cache, and the choice of kernels for it.
 */
#include "offline/llama/kv_cache.h"

#include "common/base/mem.h"
#include "common/math/half.h"
#include "common/math/kernels.h"
#include "offline/llama/llama.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(LCF_KV_PAGE == LCF_LLAMA_PAGE, "what llama.h tells the world is true");

static size_t pages_of(size_t len)
{
    return (len + LCF_KV_PAGE - 1) / LCF_KV_PAGE;
}

/* ---- life cycle ---- */

static void *account(lcf_kv_cache *c, size_t n, size_t size)
{
    void *p = lcf_alloc_aligned(n, size);

    if (p)
        c->bytes_n += n * size;
    return p;
}

static size_t value_dim_of(size_t head_dim)
{
    return (head_dim + LCF_KV_LANES - 1) / LCF_KV_LANES * LCF_KV_LANES;
}

static size_t head_bytes_of(size_t head_dim, bool f16)
{
    return (head_dim + value_dim_of(head_dim)) * LCF_KV_PAGE * (f16 ? 2 : 4);
}

size_t lcf_kv_page_bytes(size_t layers_n, size_t kv_heads_n, size_t head_dim, bool f16)
{
    return layers_n * kv_heads_n * head_bytes_of(head_dim, f16);
}

/* Sizes; false when one is no number. */
static bool plan(lcf_kv_cache *c, const lcf_kv_options *o)
{
    size_t per_layer;

    c->kernels = lcf_kv_kernels_best(o->f16);
    c->seqs_max = o->seqs_max;
    c->context_n = o->context_n;
    c->kv_heads_n = o->kv_heads_n;
    c->head_dim = o->head_dim;
    c->value_dim = value_dim_of(o->head_dim);
    c->head_bytes = head_bytes_of(o->head_dim, o->f16);
    c->pages_max = pages_of(o->context_n);
    if (!lcf_mul_size(&per_layer, c->head_bytes, o->kv_heads_n) ||
        !lcf_mul_size(&c->page_bytes, per_layer, o->layers_n) ||
        !lcf_mul_size(&c->pages_n, o->seqs_max, c->pages_max))
        return false;
    if (o->bytes_max && o->bytes_max / c->page_bytes < c->pages_n)
        c->pages_n = o->bytes_max / c->page_bytes;
    return c->pages_n <= UINT32_MAX;
}

lcf_status lcf_kv_cache_init(lcf_kv_cache *c, const lcf_kv_options *o, lcf_err *err)
{
    size_t slots_n = o->seqs_max;

    memset(c, 0, sizeof(*c));
    if (!plan(c, o) || !lcf_mul_size(&slots_n, o->seqs_max, c->pages_max))
        return LCF_FAIL(err, LCF_ENOMEM, "KV cache for %zu sequences of %zu tokens", o->seqs_max,
                        o->context_n);
    if (c->pages_n < c->pages_max)
        return LCF_FAIL(err, LCF_EINVAL,
                        "a KV cache of %zu bytes; one sequence of %zu tokens takes %zu",
                        o->bytes_max, o->context_n, c->pages_max * c->page_bytes);
    c->pages = account(c, c->pages_n, c->page_bytes);
    lcf_use_huge_pages(c->pages, c->pages_n * c->page_bytes);
    c->page_table = account(c, slots_n, sizeof(*c->page_table));
    c->refs = account(c, c->pages_n, sizeof(*c->refs));
    c->free_pages = account(c, c->pages_n, sizeof(*c->free_pages));
    c->seqs = account(c, c->seqs_max, sizeof(*c->seqs));
    if (!c->pages || !c->page_table || !c->refs || !c->free_pages || !c->seqs)
        return LCF_FAIL(err, LCF_ENOMEM,
                        "KV cache for %zu sequences of %zu tokens: %zu pages of %zu bytes",
                        c->seqs_max, c->context_n, c->pages_n, c->page_bytes);
    for (size_t i = 0; i < c->pages_n; i++)
        c->free_pages[i] = (uint32_t)(c->pages_n - 1 - i); /* the lowest page is taken first */
    c->free_n = c->pages_n;
    for (size_t i = 0; i < c->seqs_max; i++)
        c->seqs[i] = (lcf_kv_sequence){c->page_table + i * c->pages_max, 0, 0};
    return LCF_OK;
}

void lcf_kv_cache_dispose(lcf_kv_cache *c)
{
    free(c->pages);
    free(c->page_table);
    free(c->refs);
    free(c->free_pages);
    free(c->seqs);
    memset(c, 0, sizeof(*c));
}

/* ---- pages ---- */

static uint32_t page_idx(const lcf_kv_cache *c, const unsigned char *page)
{
    return (uint32_t)((size_t)(page - c->pages) / c->page_bytes);
}

static unsigned char *take_page(lcf_kv_cache *c)
{
    uint32_t idx;

    LCF_ASSERT(c->free_n);
    idx = c->free_pages[--c->free_n];
    c->refs[idx] = 1;
    return c->pages + idx * c->page_bytes;
}

static void drop_page(lcf_kv_cache *c, const unsigned char *page)
{
    uint32_t idx = page_idx(c, page);

    if (--c->refs[idx] == 0)
        c->free_pages[c->free_n++] = idx;
}

void lcf_kv_reset(lcf_kv_cache *c, uint32_t seq)
{
    LCF_ASSERT(seq < c->seqs_max);
    for (size_t i = pages_of(c->seqs[seq].len); i > 0; i--)
        drop_page(c, c->seqs[seq].pages[i - 1]);
    c->seqs[seq].len = 0;
}

bool lcf_kv_copy(lcf_kv_cache *c, uint32_t dst, uint32_t src, size_t len)
{
    lcf_kv_sequence *to, *from;
    size_t full = len / LCF_KV_PAGE;

    LCF_ASSERT(dst < c->seqs_max && src < c->seqs_max && len <= c->seqs[src].len);
    if (dst == src)
        return len == c->seqs[src].len;
    lcf_kv_reset(c, dst);
    if (len % LCF_KV_PAGE && !c->free_n)
        return false;
    to = &c->seqs[dst];
    from = &c->seqs[src];
    for (size_t i = 0; i < full; i++) {
        to->pages[i] = from->pages[i];
        c->refs[page_idx(c, to->pages[i])]++;
    }
    if (len % LCF_KV_PAGE) {
        to->pages[full] = take_page(c);
        memcpy(to->pages[full], from->pages[full], c->page_bytes);
    }
    to->len = len;
    return true;
}

size_t lcf_kv_pages_wanted(const lcf_kv_cache *c, uint32_t seq, size_t added)
{
    return pages_of(c->seqs[seq].len + added) - pages_of(c->seqs[seq].len);
}

size_t lcf_kv_append(lcf_kv_cache *c, uint32_t seq)
{
    lcf_kv_sequence *s = &c->seqs[seq];

    if (s->len % LCF_KV_PAGE == 0)
        s->pages[s->len / LCF_KV_PAGE] = take_page(c);
    return s->len++;
}

lcf_kv_view lcf_kv_view_of(const lcf_kv_cache *c, uint32_t seq, size_t layer, size_t head)
{
    return (lcf_kv_view){c->seqs[seq].pages, (layer * c->kv_heads_n + head) * c->head_bytes,
                         c->head_dim, c->value_dim};
}

/* ---- kernels ---- */

const lcf_kv_kernels *lcf_kv_kernels_at(bool f16, lcf_kv_level level)
{
#if defined(__x86_64__)
    bool half = lcf_has_f16c();
    if (level == LCF_KV_AVX512 && lcf_simd_best() >= LCF_SIMD_AVX512 && half)
        return f16 ? &lcf_kv_f16_avx512 : &lcf_kv_f32_avx512;
    if (level == LCF_KV_AVX2 && lcf_simd_best() >= LCF_SIMD_AVX2 && half)
        return f16 ? &lcf_kv_f16_avx2 : &lcf_kv_f32_avx2;
#endif
    if (level != LCF_KV_BASELINE)
        return NULL;
    return f16 ? &lcf_kv_f16_baseline : &lcf_kv_f32_baseline;
}

const lcf_kv_kernels *lcf_kv_kernels_best(bool f16)
{
    lcf_kv_level level = LCF_KV_AVX512;

    while (!lcf_kv_kernels_at(f16, level))
        level--; /* there is always the baseline */
    return lcf_kv_kernels_at(f16, level);
}
