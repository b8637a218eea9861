/*
 * Any bytes as what a ranker makes of items and examples alone (tokens/<arm>.lcf of a snapshot):
 * once as they are, and once with checksums that are right. Whatever is accepted also scores, and
 * everything in it is read.
 *
 * With LCF_FUZZ_TOKENS a file of this ranker is written there first: the corpus has one.
 */
#include "common/model/ranker.h"
#include "tests/fuzz/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ITEMS = 3, EXAMPLES = 4, DIM = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t BRANDS[ITEMS] = {0, 1, 1}, CATEGORIES[] = {1, 1};
static const uint64_t CATEGORY_OFFSETS[ITEMS + 1] = {0, 0, 1, 2};
static const uint32_t USERS[EXAMPLES] = {1, 1, 0, 1}, TARGETS[EXAMPLES] = {1, 2, 2, 1};
static const uint8_t LABELS[EXAMPLES] = {1, 0, 0, 1};
static const int64_t TIMES[EXAMPLES] = {1, 2, 3, 4};
static const uint32_t HISTORIES[EXAMPLES][LCF_HISTORY_MAX] = {{0}, {1}, {1, 2}, {2}};
static const uint32_t HISTORY_N[EXAMPLES] = {0, 1, 2, 1};
static const lcf_hash128 KEYS[EXAMPLES] = {{{1}}, {{2}}, {{3}}, {{4}}};
static float g_vectors[EXAMPLES * DIM];

static lcf_catalogue g_catalogue = {.items_n = ITEMS,
                                    .brands_n = 2,
                                    .categories_n = 2,
                                    .item_brand = BRANDS,
                                    .category_offsets = CATEGORY_OFFSETS,
                                    .item_categories = CATEGORIES};
static lcf_embeddings g_items = {.n = ITEMS, .dim = DIM, .vectors = g_vectors};
static lcf_examples g_examples = {.n = EXAMPLES,
                                  .text_dim = DIM,
                                  .cot_dim = DIM,
                                  .key = KEYS,
                                  .sample_hash = KEYS,
                                  .user = USERS,
                                  .item = TARGETS,
                                  .label = LABELS,
                                  .time = TIMES,
                                  .history = HISTORIES[0],
                                  .history_n = HISTORY_N,
                                  .history_vec = g_vectors,
                                  .target_vec = g_vectors,
                                  .cot_vec = g_vectors};
static const lcf_ranker_source g_source = {
    .catalogue = &g_catalogue, .item_vectors = &g_items, .examples = &g_examples};

static lcf_ranker *make_ranker(void)
{
    lcf_ranker_config c = LCF_RANKER_CONFIG_INIT;
    const char *path = getenv("LCF_FUZZ_TOKENS");
    lcf_ranker *r;

    c.side = "ict";
    c.users_n = c.brands_n = c.categories_n = 2;
    c.items_n = ITEMS;
    c.text_dim = c.cot_dim = c.dim = DIM;
    c.k = 2;
    c.text_hidden = c.x_hidden = c.ffn_hidden = 3;
    c.att_hidden[0] = c.att_hidden[1] = c.head_hidden[0] = c.head_hidden[1] = 3;
    for (size_t i = 0; i < EXAMPLES * DIM; i++)
        g_vectors[i] = (float)(i % 5) / 4.0f - 0.5f;
    if (lcf_ranker_create(&r, &c, 1, NULL))
        abort();
    if (path && (lcf_ranker_freeze(r, &g_source, NULL) || lcf_ranker_save_tokens(r, path, NULL)))
        abort();
    return r;
}

/* A few rows that read all items and all examples; of an example that stands first the states. */
static void score(lcf_ranker *r, lcf_tape *tape)
{
    static const uint32_t ids[4][2] = {
        {0, 1}, {2, 3}, {3, LCF_EXAMPLE_NONE}, {1, LCF_EXAMPLE_NONE}};
    static const uint32_t history[] = {2, 1};
    lcf_ranker_row rows[10];
    float scores[10];

    for (size_t i = 0; i < 10; i++) /* enough of one user for the faster way */
        rows[i] = (lcf_ranker_row){.user = 1,
                                   .item = (uint32_t)i % ITEMS,
                                   .history = history,
                                   .history_n = 2,
                                   .examples = ids[i % 4],
                                   .time = 5};
    if (lcf_ranker_score(scores, tape, r, &g_source, rows, 10, NULL))
        abort();
}

static void read_tokens(const uint8_t *data, size_t size)
{
    static lcf_ranker *r;
    static lcf_tape *tape;
    char path[64];
    int fd = memfd_create("tokens", 0);

    if (!r) {
        r = make_ranker();
        if (lcf_tape_create(&tape, NULL))
            abort();
    }
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (!lcf_ranker_freeze_from(r, &g_source, path, NULL))
        score(r, tape);
    lcf_ranker_thaw(r);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = malloc(size + 1);

    if (!mended)
        return 0;
    read_tokens(data, size);
    memcpy(mended, data, size);
    fuzz_bundle_mend(mended, size);
    read_tokens(mended, size);
    free(mended);
    return 0;
}
