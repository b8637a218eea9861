/* Intern table: see intern.h. Invariant: at most half of the slots are taken. */
#include "offline/data/intern.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

static lcf_str get(const lcf_intern *t, size_t idx)
{
    return (lcf_str){t->chars + t->offsets[idx], (size_t)(t->offsets[idx + 1] - t->offsets[idx])};
}

lcf_status lcf_intern_append(lcf_intern *t, const char *text, size_t len)
{
    uint64_t end = t->n ? t->offsets[t->n] : 0;
    lcf_status status;

    if (t->n == UINT32_MAX)
        return LCF_ELIMIT;
    status = lcf_grow((void **)&t->offsets, &t->offsets_capacity, t->n + 2, sizeof(*t->offsets));
    if (!status)
        status = lcf_grow((void **)&t->chars, &t->chars_capacity, (size_t)end + len + 1, 1);
    if (status)
        return status;
    if (!t->n)
        t->offsets[0] = 0;
    if (len)
        memcpy(t->chars + end, text, len);
    t->offsets[++t->n] = end + len;
    return LCF_OK;
}

lcf_status lcf_intern_init(lcf_intern *t)
{
    memset(t, 0, sizeof(*t));
    t->slots_n = 1024;
    t->slots = lcf_alloc_zero(t->slots_n, sizeof(*t->slots));
    return t->slots ? lcf_intern_append(t, "", 0) : LCF_ENOMEM;
}

void lcf_intern_dispose(lcf_intern *t)
{
    free(t->offsets);
    free(t->chars);
    free(t->slots);
    free(t->sorted);
    memset(t, 0, sizeof(*t));
}

/* The slot of that string, or the free one where it would go. */
static size_t slot_of(const lcf_intern *t, const char *text, size_t len)
{
    size_t mask = t->slots_n - 1, slot = (size_t)lcf_hash64(text, len, 0) & mask;

    for (; t->slots[slot]; slot = (slot + 1) & mask) {
        lcf_str s = get(t, t->slots[slot]);

        if (s.len == len && !memcmp(s.data, text, len))
            break;
    }
    return slot;
}

uint32_t lcf_intern_find(const lcf_intern *t, const char *text, size_t len)
{
    return len ? t->slots[slot_of(t, text, len)] : 0;
}

static lcf_status rehash(lcf_intern *t)
{
    size_t slots_n;
    uint32_t *slots;

    if (!lcf_mul_size(&slots_n, t->slots_n, 2))
        return LCF_ELIMIT;
    slots = lcf_alloc_zero(slots_n, sizeof(*slots));
    if (!slots)
        return LCF_ENOMEM;
    free(t->slots);
    t->slots = slots;
    t->slots_n = slots_n;
    for (size_t i = 1; i < t->n; i++) {
        lcf_str s = get(t, i);
        t->slots[slot_of(t, s.data, s.len)] = (uint32_t)i;
    }
    return LCF_OK;
}

lcf_status lcf_intern_add(uint32_t *idx, lcf_intern *t, const char *text, size_t len)
{
    size_t slot;
    lcf_status status;

    *idx = lcf_intern_find(t, text, len);
    if (*idx || !len)
        return LCF_OK;
    if (t->n >= t->slots_n / 2) {
        status = rehash(t);
        if (status)
            return status;
    }
    slot = slot_of(t, text, len);
    status = lcf_intern_append(t, text, len);
    if (status)
        return status;
    *idx = t->slots[slot] = (uint32_t)(t->n - 1);
    return LCF_OK;
}

static int by_bytes(const void *left, const void *right, void *arg)
{
    const lcf_intern *t = arg;
    lcf_str a = get(t, *(const uint32_t *)left), b = get(t, *(const uint32_t *)right);
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

lcf_status lcf_intern_sort(lcf_intern *t)
{
    uint32_t *sorted = lcf_alloc(t->n, sizeof(*sorted));

    if (!sorted)
        return LCF_ENOMEM;
    for (size_t i = 0; i < t->n; i++)
        sorted[i] = (uint32_t)i;
    qsort_r(sorted, t->n, sizeof(*sorted), by_bytes, t);
    free(t->sorted);
    t->sorted = sorted;
    return LCF_OK;
}

lcf_strings lcf_intern_view(const lcf_intern *t)
{
    return (lcf_strings){t->n, t->offsets, t->chars, t->sorted};
}
