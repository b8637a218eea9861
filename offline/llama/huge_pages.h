/*
 * A hint to the system for large blocks that are walked through again and again: fewer, larger
 * pages spare address translation. Failing costs nothing but speed.
 */
#ifndef LCF_OFFLINE_LLAMA_HUGE_PAGES_H
#define LCF_OFFLINE_LLAMA_HUGE_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

static inline void lcf_use_huge_pages(void *start, size_t bytes_n)
{
    const uintptr_t page = 4096, first = ((uintptr_t)start + page - 1) & ~(page - 1);
    const uintptr_t end = ((uintptr_t)start + bytes_n) & ~(page - 1);

    if (end > first)
        (void)!madvise((void *)first, end - first, MADV_HUGEPAGE);
}

#endif
