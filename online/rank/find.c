/* Finding users and items of a snapshot by what people remember of them. Plain loops: this is for
 * people, who type. */
#include "online/rank/rank_internal.h"

#include <string.h>
#include <strings.h>

static bool begins_with(lcf_str s, const char *text, size_t len)
{
    return s.len >= len && !memcmp(s.data, text, len);
}

/* Letters of ASCII in either case. */
static bool contains(lcf_str s, const char *text, size_t len)
{
    for (size_t i = 0; i + len <= s.len; i++)
        if (!strncasecmp(s.data + i, text, len))
            return true;
    return false;
}

typedef struct finder {
    const lcf_snapshot *data;
    lcf_arena *arena;
    lcf_rank_kind kind;
    const char *text;
    size_t len;
} finder;

static bool matches(const finder *f, size_t i)
{
    if (f->kind == LCF_RANK_USERS)
        return begins_with(lcf_strings_get(&f->data->users.user_id, i), f->text, f->len);
    return begins_with(lcf_strings_get(&f->data->catalogue.item_id, i), f->text, f->len) ||
           contains(lcf_strings_get(&f->data->catalogue.title, i), f->text, f->len);
}

/* False when out of memory. */
static bool describe(lcf_rank_entry *out, const finder *f, size_t i)
{
    const bool user = f->kind == LCF_RANK_USERS;
    const lcf_snapshot *d = f->data;

    out->id = lcf_rank_copy_string(f->arena, user ? &d->users.user_id : &d->catalogue.item_id, i);
    out->title = user ? "" : lcf_rank_copy_string(f->arena, &d->catalogue.title, i);
    out->history_n = user ? d->users.history_n[i] : 0;
    return out->id && out->title;
}

lcf_status lcf_rank_find(lcf_rank_entry *out, size_t *out_n, lcf_rank_context *c,
                         lcf_rank_kind kind, const char *text, size_t n_max, lcf_err *err)
{
    const lcf_snapshot *d = c->snapshot->data;
    const size_t n = kind == LCF_RANK_USERS ? d->users.users_n : d->catalogue.items_n;
    const finder f = {d, c->arena, kind, text, strlen(text)};
    const size_t step = !f.len && n_max && n > n_max ? (n - 1) / n_max : 1;

    *out_n = 0;
    lcf_arena_reset(c->arena);
    for (size_t i = 1; i < n && *out_n < n_max; i += step) {
        if (!matches(&f, i))
            continue;
        if (!describe(&out[(*out_n)++], &f, i))
            return LCF_FAIL(err, LCF_ENOMEM, "found users or items");
    }
    return LCF_OK;
}
