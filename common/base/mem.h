/*
 * Heap allocation, checked size arithmetic, and arenas.
 *
 * What our C code allocates on the heap goes through here, so that tests can make the n-th
 * allocation fail. An arena is a list of blocks that is reset in one step: it serves one batch or
 * one request, and after warm-up allocates nothing. Arenas are not thread-safe; give each thread
 * its own.
 */
#ifndef LCF_COMMON_BASE_MEM_H
#define LCF_COMMON_BASE_MEM_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n * size bytes, or NULL when out of memory or when the product overflows. free() releases all of
 * them. */
void *lcf_alloc(size_t n, size_t size);
void *lcf_alloc_zero(size_t n, size_t size);
void *lcf_realloc(void *old, size_t n, size_t size);
/* 64-byte aligned (for vector loads); free() releases it. */
void *lcf_alloc_aligned(size_t n, size_t size);
/* A hint to the system for a block that is walked through again and again: fewer, larger pages
 * spare address translation, and memory then comes in pieces of a large page. To be given before
 * the block is first touched. Where there are no such pages nothing changes. */
void lcf_use_huge_pages(void *start, size_t bytes);
char *lcf_strdup(const char *s);
char *lcf_strndup(const char *s, size_t n);

/* Test hook: the n-th allocation from now on (1 = the next) fails, and every one after it; 0
 * switches this off. */
void lcf_alloc_fail_at(uint64_t n);

/* *out = a * b; false when the product does not fit. */
static inline bool lcf_mul_size(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool lcf_add_size(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

#define LCF_CACHE_LINE 64

/* Asks for memory that will be read soon, in the second-level cache; any address is fine. gcc takes
 * a function that does nothing else to have no effect and leaves its calls out: the empty statement
 * is one. */
static inline void lcf_fetch(const void *p, size_t bytes)
{
    const char *line = (const char *)((uintptr_t)p & ~(uintptr_t)(LCF_CACHE_LINE - 1));

    __asm__ volatile("");
    for (; bytes && line < (const char *)p + bytes; line += LCF_CACHE_LINE)
        __builtin_prefetch(line, 0, 2);
}

/*
 * Grows an array geometrically so that it holds at least n_wanted elements of `size` bytes.
 *
 * errors   ENOMEM, the array is unchanged
 */
lcf_status lcf_grow(void **array, size_t *capacity, size_t n_wanted, size_t size);

typedef struct lcf_arena lcf_arena;

/* block_bytes: the size of an ordinary block; larger requests get a block of their own. */
lcf_status lcf_arena_create(lcf_arena **out, size_t block_bytes);
void lcf_arena_free(lcf_arena *arena);
/* All memory of the arena is free again; its blocks are kept. */
void lcf_arena_reset(lcf_arena *arena);
/* 64-byte aligned, not zeroed; NULL when out of memory. */
void *lcf_arena_alloc(lcf_arena *arena, size_t n, size_t size);
void *lcf_arena_alloc_zero(lcf_arena *arena, size_t n, size_t size);
/* Bytes held in blocks, for reports of peak memory. */
size_t lcf_arena_bytes(const lcf_arena *arena);

#endif
