/*
 * The catalogue: items.lcf, opened and checked.
 *
 * Invariant: after a successful open every index of item_brand and item_categories can be used
 * without a further test.
 */
#include "common/data/check.h"
#include "common/data/dataset.h"

#include <string.h>

static lcf_status read_strings(lcf_catalogue *c, lcf_err *err)
{
    lcf_status status;

    status = lcf_strings_get_from(&c->item_id, c->bundle, "item_id", true, err);
    if (!status)
        status = lcf_strings_get_from(&c->title, c->bundle, "title", false, err);
    if (!status)
        status = lcf_strings_get_from(&c->brand, c->bundle, "brand", true, err);
    if (!status)
        status = lcf_strings_get_from(&c->category, c->bundle, "category", true, err);
    if (!status)
        status = lcf_strings_get_from(&c->text, c->bundle, "text", false, err);
    if (status)
        return status;
    if (!c->item_id.n || !c->brand.n || !c->category.n)
        return LCF_FAIL(err, LCF_EFORMAT, "a string table lacks its entry 0 (unknown)");
    if (c->title.n != c->item_id.n || c->text.n != c->item_id.n)
        return LCF_FAIL(err, LCF_EFORMAT, "%zu titles and %zu texts for %zu items", c->title.n,
                        c->text.n, c->item_id.n);
    c->items_n = (uint32_t)c->item_id.n;
    c->brands_n = (uint32_t)c->brand.n;
    c->categories_n = (uint32_t)c->category.n;
    return LCF_OK;
}

static lcf_status read_indices(lcf_catalogue *c, lcf_err *err)
{
    const void *brand, *offsets, *categories;
    size_t categories_n;
    lcf_status status;

    status = lcf_check_array(&brand, NULL, c->bundle, "item_brand", LCF_U32, c->items_n, err);
    if (!status)
        status = lcf_check_array(&offsets, NULL, c->bundle, "category_offsets", LCF_U64,
                                 (size_t)c->items_n + 1, err);
    if (!status)
        status = lcf_check_array(&categories, &categories_n, c->bundle, "item_categories", LCF_U32,
                                 SIZE_MAX, err);
    if (!status)
        status = lcf_check_u32_below(brand, c->items_n, c->brands_n, "item_brand", err);
    if (!status)
        status = lcf_check_offsets(offsets, c->items_n, categories_n, "category_offsets", err);
    if (!status)
        status =
            lcf_check_u32_below(categories, categories_n, c->categories_n, "item_categories", err);
    if (status)
        return status;
    c->item_brand = brand;
    c->category_offsets = offsets;
    c->item_categories = categories;
    return LCF_OK;
}

lcf_status lcf_catalogue_open(lcf_catalogue *out, const char *path, lcf_err *err)
{
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = lcf_bundle_open(&out->bundle, path, "items", LCF_ITEMS_VERSION, err);
    if (status)
        return status;
    status = read_strings(out, err);
    if (!status)
        status = read_indices(out, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        lcf_catalogue_close(out);
    }
    return status;
}

void lcf_catalogue_close(lcf_catalogue *c)
{
    lcf_bundle_close(c->bundle);
    memset(c, 0, sizeof(*c));
}

void lcf_item_text_add(lcf_buf *out, size_t begin, lcf_str word)
{
    if (!word.len)
        return;
    if (out->len > begin)
        lcf_buf_append_char(out, ' ');
    lcf_buf_append(out, word.data, word.len);
}

void lcf_catalogue_item_text(lcf_buf *out, const lcf_catalogue *c, uint32_t item)
{
    size_t begin = out->len;

    LCF_ASSERT(item < c->items_n);
    lcf_item_text_add(out, begin, lcf_strings_get(&c->title, item));
    lcf_item_text_add(out, begin, lcf_strings_get(&c->brand, c->item_brand[item]));
    for (uint64_t i = c->category_offsets[item]; i < c->category_offsets[item + 1]; i++)
        lcf_item_text_add(out, begin, lcf_strings_get(&c->category, c->item_categories[i]));
    lcf_item_text_add(out, begin, lcf_strings_get(&c->text, item));
}
