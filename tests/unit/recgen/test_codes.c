/* Codes as text, both ways; codes of a trained ranker against its own scores; files that lie. */
#include "common/base/file.h"
#include "common/data/codes.h"
#include "common/model/codes.h"
#include "offline/recgen/code_stats.h"
#include "offline/recgen/code_text.h"
#include "tests/unit/data/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void text_is(const uint8_t *code, size_t bytes, lcf_code_form form, const char *expected)
{
    lcf_buf text = LCF_BUF_INIT;

    lcf_code_append(&text, code, bytes, form);
    assert_string_equal(lcf_buf_text(&text), expected);
    lcf_buf_dispose(&text);
}

static void test_known_texts(void **state)
{
    static const uint8_t code[] = {172, 16, 254, 1};

    (void)state;
    text_is(code, 4, LCF_CODE_BITS, "10101100000100001111111000000001");
    text_is(code, 4, LCF_CODE_DOTTED, "172.16.254.1");
    text_is(code, 1, LCF_CODE_DOTTED, "172");
}

/* Every byte at every place of codes of one to eight bytes, read back by the C library. */
static void test_round_trip(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 8; bytes++)
        for (unsigned value = 0; value < 256; value++) {
            lcf_buf bits = LCF_BUF_INIT, dotted = LCF_BUF_INIT;
            uint8_t code[8];
            char *at;

            for (size_t i = 0; i < bytes; i++)
                code[i] = (uint8_t)(value * (2 * i + 1) + i);
            lcf_code_append(&bits, code, bytes, LCF_CODE_BITS);
            lcf_code_append(&dotted, code, bytes, LCF_CODE_DOTTED);
            assert_int_equal(bits.len, 8 * bytes);
            at = dotted.data;
            for (size_t i = 0; i < bytes; i++) {
                char digits[9] = "";

                memcpy(digits, bits.data + 8 * i, 8);
                assert_int_equal(strtoul(digits, NULL, 2), code[i]);
                assert_int_equal(strtoul(at, &at, 10), code[i]);
                assert_int_equal(*at, i + 1 < bytes ? '.' : '\0');
                at++;
            }
            lcf_buf_dispose(&bits);
            lcf_buf_dispose(&dotted);
        }
}

/* A ranker's logit is dim - 2 * the bits in which the codes of user and item differ. */
static void test_codes_are_the_rankers(void **state)
{
    enum { USERS = 7, ITEMS = 9, DIM = 16 };
    lcf_ranker_config config = LCF_RANKER_CONFIG_INIT;
    uint8_t users[USERS * DIM / 8] = {0}, items[ITEMS * DIM / 8] = {0};
    lcf_catalogue catalogue = {.items_n = ITEMS};
    lcf_ranker_source source = {.catalogue = &catalogue};
    lcf_ranker_row rows[USERS * ITEMS];
    static const uint32_t none[ITEMS + 1];
    static const uint64_t no_categories[ITEMS + 1];
    lcf_tensor *logits = NULL, *loss = NULL;
    lcf_tape *tape = NULL;
    lcf_ranker *r = NULL;

    (void)state;
    config.backbone = "binmf";
    config.dim = DIM;
    config.users_n = USERS;
    config.items_n = ITEMS;
    config.brands_n = config.categories_n = 1;
    catalogue.item_brand = none;
    catalogue.category_offsets = no_categories;
    assert_int_equal(lcf_ranker_create(&r, &config, 3, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_codes(users, items, r, NULL), LCF_OK);
    memset(rows, 0, sizeof(rows));
    for (uint32_t i = 0; i < USERS * ITEMS; i++) {
        rows[i].user = i / ITEMS;
        rows[i].item = i % ITEMS;
    }
    assert_int_equal(lcf_tape_create(&tape, NULL), LCF_OK);
    lcf_ranker_forward(&logits, &loss, tape, r, NULL, &source, rows, USERS * ITEMS, NULL);
    assert_int_equal(lcf_tape_status(tape), LCF_OK);
    for (size_t i = 0; i < USERS * ITEMS; i++)
        assert_float_equal(logits->data[i],
                           DIM - 2.0 * (double)lcf_fixture_bits_apart(users + i / ITEMS * DIM / 8,
                                                                      items + i % ITEMS * DIM / 8,
                                                                      DIM / 8),
                           0);
    lcf_tape_free(tape);
    lcf_ranker_free(r);
    config.backbone = "mf";
    assert_int_equal(lcf_ranker_create(&r, &config, 3, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_codes(users, items, r, NULL), LCF_EINVAL);
    lcf_ranker_free(r);
    config.backbone = "binmf";
    config.dim = 12;
    assert_int_equal(lcf_ranker_create(&r, &config, 3, NULL), LCF_OK);
    assert_int_equal(lcf_ranker_codes(users, items, r, NULL), LCF_EINVAL);
    lcf_ranker_free(r);
}

/* Four codes, two of them alike: 1.5 bits; the first bit halves them, the last is always 1. */
static void test_stats(void **state)
{
    static const uint8_t codes[] = {0x81, 0x00, 0x81, 0x00, 0x01, 0x00, 0x41, 0x00};
    lcf_code_stats s;

    (void)state;
    assert_int_equal(lcf_code_stats_make(&s, codes, 4, 2, NULL), LCF_OK);
    assert_int_equal(s.distinct, 3);
    assert_float_equal(s.ones, 7.0 / 64, 1e-12);
    assert_float_equal(s.entropy, 1.5, 1e-12);
    assert_float_equal(s.bit_entropy[0], 1.0, 1e-12);
    assert_float_equal(s.bit_entropy[1], 0.811278124459133, 1e-12);
    assert_float_equal(s.bit_entropy[7], 0.0, 0);
    assert_float_equal(s.bit_entropy[8], 0.0, 0);
    free(s.bit_entropy);
    assert_int_equal(lcf_code_stats_make(&s, codes, 0, 2, NULL), LCF_OK);
    assert_int_equal(s.distinct, 0);
    assert_float_equal(s.entropy, 0.0, 0);
    free(s.bit_entropy);
}

static void test_files(void **state)
{
    static const uint8_t users[] = {1, 2, 3, 4, 5, 6}, items[] = {7, 8, 9, 10};
    const lcf_codes codes = {NULL, 2, 3, 2, users, items};
    char *dir = lcf_fixture_dir(), *path = lcf_path_join(dir, "codes.lcf");
    lcf_codes back;

    (void)state;
    assert_int_equal(lcf_codes_save(path, &codes, NULL), LCF_OK);
    assert_int_equal(lcf_codes_open(&back, path, 3, 2, NULL), LCF_OK);
    assert_int_equal(back.bytes, 2);
    assert_memory_equal(back.users, users, sizeof(users));
    assert_memory_equal(back.items, items, sizeof(items));
    lcf_codes_close(&back);
    assert_int_equal(lcf_codes_open(&back, path, 4, 2, NULL), LCF_EFORMAT);
    assert_int_equal(lcf_codes_open(&back, path, 3, 3, NULL), LCF_EFORMAT);
    lcf_dir_remove(dir, NULL);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_texts),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_codes_are_the_rankers),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
