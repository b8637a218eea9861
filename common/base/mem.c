/*
 * Allocation with an injectable failure, and arenas.
 *
 * Invariant of an arena: blocks form a list in order of creation; `current` is the block being
 * filled, blocks before it are full or too small for the request that went past them, blocks after
 * it are empty.
 */
#include "common/base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_BYTES ((size_t)2 << 20) /* a large page */

static _Atomic uint64_t fail_at; /* 0 = never */
static _Atomic uint64_t alloc_count;

void lcf_alloc_fail_at(uint64_t n)
{
    atomic_store(&alloc_count, 0);
    atomic_store(&fail_at, n);
}

static bool must_fail(void)
{
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);

    return at && atomic_fetch_add(&alloc_count, 1) + 1 >= at;
}

/* malloc(0) may be NULL, which would read as a failure: ask for one byte. */
static bool total_bytes(size_t *out, size_t n, size_t size)
{
    if (!lcf_mul_size(out, n, size) || must_fail())
        return false;
    if (*out == 0)
        *out = 1;
    return true;
}

void *lcf_alloc(size_t n, size_t size)
{
    size_t bytes;

    return total_bytes(&bytes, n, size) ? malloc(bytes) : NULL;
}

void *lcf_alloc_zero(size_t n, size_t size)
{
    size_t bytes;

    return total_bytes(&bytes, n, size) ? calloc(1, bytes) : NULL;
}

void *lcf_realloc(void *old, size_t n, size_t size)
{
    size_t bytes;

    return total_bytes(&bytes, n, size) ? realloc(old, bytes) : NULL;
}

void *lcf_alloc_aligned(size_t n, size_t size)
{
    size_t bytes;

    if (!total_bytes(&bytes, n, size) || !lcf_add_size(&bytes, bytes, ALIGNMENT - 1))
        return NULL;
    return aligned_alloc(ALIGNMENT, bytes / ALIGNMENT * ALIGNMENT);
}

void lcf_use_huge_pages(void *start, size_t bytes)
{
    const uintptr_t page = 4096, first = ((uintptr_t)start + page - 1) & ~(page - 1);
    const uintptr_t end = ((uintptr_t)start + bytes) & ~(page - 1);

    if (start && end > first && end - first >= HUGE_BYTES)
        (void)!madvise((void *)first, end - first, MADV_HUGEPAGE);
}

char *lcf_strdup(const char *s)
{
    return lcf_strndup(s, strlen(s));
}

char *lcf_strndup(const char *s, size_t n)
{
    char *copy = lcf_alloc(n + 1, 1);

    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

lcf_status lcf_grow(void **array, size_t *capacity, size_t n_wanted, size_t size)
{
    size_t n = *capacity ? *capacity : 16;
    void *grown;

    if (n_wanted <= *capacity)
        return LCF_OK;
    while (n < n_wanted)
        if (!lcf_mul_size(&n, n, 2))
            return LCF_ENOMEM;
    grown = lcf_realloc(*array, n, size);
    if (!grown)
        return LCF_ENOMEM;
    *array = grown;
    *capacity = n;
    return LCF_OK;
}

typedef struct arena_block {
    struct arena_block *next;
    size_t bytes_n, used;
    uint8_t *data;
} arena_block;

struct lcf_arena {
    size_t block_bytes;
    arena_block *first, *current;
};

lcf_status lcf_arena_create(lcf_arena **out, size_t block_bytes)
{
    *out = lcf_alloc_zero(1, sizeof(**out));
    if (!*out)
        return LCF_ENOMEM;
    (*out)->block_bytes = block_bytes;
    return LCF_OK;
}

void lcf_arena_free(lcf_arena *arena)
{
    if (!arena)
        return;
    for (arena_block *b = arena->first, *next; b; b = next) {
        next = b->next;
        free(b->data);
        free(b);
    }
    free(arena);
}

void lcf_arena_reset(lcf_arena *arena)
{
    for (arena_block *b = arena->first; b; b = b->next)
        b->used = 0;
    arena->current = arena->first;
}

/* Memory of a block. Large ones ask for large pages: what is read from all over a block would else
 * wait for its address as often as for its bytes. */
static void *block_memory(size_t bytes)
{
    size_t whole = bytes;
    void *p;

    if (bytes < HUGE_BYTES || !lcf_add_size(&whole, bytes, HUGE_BYTES - 1))
        return lcf_alloc_aligned(bytes, 1);
    whole = whole / HUGE_BYTES * HUGE_BYTES;
    if (must_fail())
        return NULL;
    p = aligned_alloc(HUGE_BYTES, whole);
    lcf_use_huge_pages(p, whole);
    return p;
}

/* A block of at least `bytes`, put right after the current one. */
static arena_block *arena_add_block(lcf_arena *arena, size_t bytes)
{
    arena_block *b = lcf_alloc_zero(1, sizeof(*b));

    if (!b)
        return NULL;
    b->bytes_n = bytes > arena->block_bytes ? bytes : arena->block_bytes;
    b->data = block_memory(b->bytes_n);
    if (!b->data) {
        free(b);
        return NULL;
    }
    if (arena->current) {
        b->next = arena->current->next;
        arena->current->next = b;
    } else {
        b->next = arena->first;
        arena->first = b;
    }
    return b;
}

void *lcf_arena_alloc(lcf_arena *arena, size_t n, size_t size)
{
    size_t bytes;
    arena_block *b;

    if (!lcf_mul_size(&bytes, n, size) || !lcf_add_size(&bytes, bytes, ALIGNMENT - 1))
        return NULL;
    bytes = bytes / ALIGNMENT * ALIGNMENT;
    for (b = arena->current; b && b->bytes_n - b->used < bytes; b = b->next)
        ;
    if (!b && !(b = arena_add_block(arena, bytes)))
        return NULL;
    /* Stay at the first block with room worth having, so that large requests do not strand small
     * ones. */
    if (!arena->current || arena->current->bytes_n - arena->current->used < arena->block_bytes / 16)
        arena->current = b;
    b->used += bytes;
    return b->data + b->used - bytes;
}

void *lcf_arena_alloc_zero(lcf_arena *arena, size_t n, size_t size)
{
    void *p = lcf_arena_alloc(arena, n, size);

    if (p)
        memset(p, 0, n * size);
    return p;
}

size_t lcf_arena_bytes(const lcf_arena *arena)
{
    size_t bytes = 0;

    for (const arena_block *b = arena->first; b; b = b->next)
        bytes += b->bytes_n;
    return bytes;
}
